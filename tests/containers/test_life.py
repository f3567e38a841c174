"""Workers as containers: how they begin, what they are given, how they end, and how they are replaced."""

import json
import pathlib
import shutil
import signal

from cases import CHAT, ENGINE, WORKER, Case, service, shell
from engine import IMAGE, OTHER_IMAGE, output, wait_for
from penstock import Penstock, seconds_of


class Life(Case):
    def test_a_request_wakes_a_container_is_held_and_the_end_of_penstock_removes_it(self):
        foreign = ENGINE.docker("run", "-d", "--entrypoint", "/bin/sleep", IMAGE, "1000")
        other = ENGINE.docker(
            "run", "-d", "--label", "penstock.worker=x", "--label", "penstock.installation=of-others",
            "--entrypoint", "/bin/sleep", IMAGE, "1000"
        )
        with Penstock(ENGINE, service()) as penstock:
            self.assertEqual(ENGINE.ids("penstock.service=chat"), set())
            status, text = penstock.ask()
            self.assertEqual((status, "demo" in text), (200, True), text)
            [worker] = penstock.workers()
            self.assertTrue(worker["address"].startswith("127.0.0.1:2"), worker)
            [container] = ENGINE.ids("penstock.service=chat")
            found = ENGINE.inspect(container)
            [[binding]] = found["NetworkSettings"]["Ports"].values()
            self.assertEqual(f"{binding['HostIp']}:{binding['HostPort']}", worker["address"])
            self.assertEqual(found["Config"]["Labels"]["penstock.slot"], "0")
            log = penstock.cli("logs", "chat")
            self.assertRegex(log, r"(?m)^stable#0 \S+Z note starts as container [0-9a-f]{12} of image penstock-worker:v1$")
            self.assertEqual(penstock.stop(), 0)
        self.assertEqual(ENGINE.ids(), {foreign, other})

    def test_load_scales_to_two(self):
        with Penstock(ENGINE, service()) as penstock:
            asked = [
                penstock.ask_beside(path="/v1/chat/completions", body=CHAT.encode()) for _ in range(8)
            ]
            penstock.wait_ready(2)
            self.assertEqual(len(ENGINE.ids("penstock.service=chat")), 2)
            for thread, _ in asked:
                thread.join(60)
            self.assertEqual([result[0][0] for _, result in asked], [200] * 8)
            self.assertTrue(all("[DONE]" in result[0][1] for _, result in asked))
        self.assert_nothing_is_left()

    def test_a_program_that_ignores_the_signal_has_its_grace_and_no_more(self):
        command = [*WORKER, "--ignore-sigterm"]
        with Penstock(ENGINE, service('stop_grace = "2s"', command=command, min=1)) as penstock:
            penstock.wait_ready(1)
            took, status = seconds_of(penstock.stop)
            self.assertEqual(status, 0)
            self.assertTrue(1.5 < took < 15, took)
        self.assert_nothing_is_left()

    def test_init_ends_a_program_that_does_not_handle_the_signal(self):
        line = 'entrypoint = ["/bin/sh", "-c", "while :; do sleep 1; done"]\ninit = true\nstop_grace = "50s"'
        config = service(line, 'start_timeout = "500s"', min=1)
        with Penstock(ENGINE, config) as penstock:
            wait_for(lambda: ENGINE.ids("penstock.service=chat") and penstock.workers()[0]["address"])
            took, _ = seconds_of(penstock.stop)
            self.assertLess(took, 20)
        self.assert_nothing_is_left()

    def test_settings_reach_the_container(self):
        folder = pathlib.Path(output("mktemp", "-d"))
        self.addCleanup(shutil.rmtree, folder)
        (folder / "hello").write_text("from the volume\n")
        folder.chmod(0o755)
        container = f"""
{shell('id -u; id -g; cat /data/hello; echo is $WHAT $OF_OURS; echo x > /data/no || echo read-only; df /dev/shm >&2 || true')}
volumes = ["{folder}:/data:ro", "cache:/cache"]
user = "1234:4321"
memory = "256MiB"
shm_size = "16MiB"
cpus = 1.5
directory = "/tmp"
env = {{ WHAT = "at-{{port}}" }}
inherit_env = ["OF_*"]
"""
        with Penstock(ENGINE, service(container, min=1), env={"OF_OURS": "inherited"}) as penstock:
            [worker] = penstock.wait_ready(1)
            log = penstock.cli("logs", "chat")
            port = worker["address"].rsplit(":", 1)[1]
            for line in ["out 1234", "out 4321", "out from the volume", f"out is at-{port} inherited", "out read-only"]:
                self.assertRegex(log, rf"(?m) {line}$")
            [container] = ENGINE.ids("penstock.service=chat")
            host = ENGINE.inspect(container)["HostConfig"]
            self.assertEqual((host["Memory"], host["ShmSize"]), (256 << 20, 16 << 20))
            self.assertEqual(host["NanoCpus"], 1_500_000_000)
            self.assertEqual(ENGINE.inspect(container)["Config"]["WorkingDir"], "/tmp")

    def test_a_network_of_the_engine_and_that_of_the_machine(self):
        ENGINE.docker("network", "create", "--subnet", "10.214.77.0/24", "gpunet")
        try:
            for container, start in [('network = "gpunet"\nport = 8000', "10.214.77."), ('network = "host"', "127.0.0.1:2")]:
                with Penstock(ENGINE, service(container)) as penstock:
                    self.assertEqual(penstock.ask()[0], 200)
                    [worker] = penstock.workers()
                    self.assertTrue(worker["address"].startswith(start), worker)
                self.assert_nothing_is_left()
        finally:
            ENGINE.docker("network", "rm", "gpunet")

    def test_a_port_that_only_the_engine_has_opened_is_no_sign_of_readiness(self):
        command = [*WORKER, "--listen-late"]
        command[command.index("--load-time") + 1] = "3s"
        config = service(command=command).replace('{ http = "/health" }', "{ tcp = true }")
        with Penstock(ENGINE, config) as penstock:
            took, (status, text) = seconds_of(penstock.ask)
            self.assertEqual(status, 200, text)
            self.assertGreater(took, 3)

    def test_secrets_are_shown_nowhere(self):
        secret = "s3cret-of-the-worker"
        config = service(f'env = {{ TOKEN = "{secret}" }}\ninherit_env = ["OURS"]')
        env = {"OURS": f"{secret}-too", "RUST_LOG": "debug,mio=info,notify=info"}
        with Penstock(ENGINE, config, env=env) as penstock:
            self.assertEqual(penstock.ask()[0], 200)
            [container] = ENGINE.ids("penstock.service=chat")
            self.assertIn(f"TOKEN={secret}", ENGINE.inspect(container)["Config"]["Env"])
            pages = [penstock.get(f"/api/v1/{page}") for page in ["status", "services/chat", "journal"]]
            pages.append(penstock.get("/metrics"))
            pages += [penstock.cli("logs", "chat"), penstock.cli("explain", "chat"), penstock.cli("status")]
            penstock.stop()
            pages.append(penstock.said())
            for file in penstock.folder.glob("penstock.db*"):
                pages.append(file.read_bytes().decode(errors="replace"))
        self.assertGreater(len(pages), 6)
        self.assertFalse([page[:200] for page in pages if secret in page])


class Ends(Case):
    def test_an_exit_code_is_told(self):
        config = service(command=["worker", "--crash-on-start"])
        with Penstock(ENGINE, config) as penstock:
            status, text = penstock.ask()
            self.assertEqual(status, 503, text)
            deployment = penstock.deployment()
            reason = deployment["last_exit"]["reason"]
            self.assertRegex(reason, r"^worker 0: exit status 1: .*CUDA error: out of memory \(simulated")
            self.assertIn("exit status 1: ", penstock.journal())
            self.assertRegex(penstock.get("/metrics"), r'penstock_worker_exits_total\{.*reason="exit_status".*\} [1-9]')
            self.assertIn("note ended: exit status 1: ", penstock.cli("logs", "chat"))

    def test_want_of_memory_is_told(self):
        config = service('entrypoint = ["/bin/sh", "-c", "exec tail /dev/zero"]\nmemory = "32MiB"', min=1)
        with Penstock(ENGINE, config) as penstock:
            exit = wait_for(lambda: penstock.deployment().get("last_exit"))
            self.assertEqual(exit["reason"], "worker 0: out of memory, killed at its limit of 32MiB")
            self.assertRegex(penstock.get("/metrics"), r'penstock_worker_exits_total\{.*reason="out_of_memory".*\} [1-9]')
            self.assertIn("out of memory, killed at its limit of 32MiB", penstock.cli("status"))

    def test_a_container_that_somebody_removes_is_replaced(self):
        with Penstock(ENGINE, service(min=1)) as penstock:
            penstock.wait_ready(1)
            [container] = ENGINE.ids("penstock.service=chat")
            ENGINE.docker("rm", "-f", container)
            wait_for(lambda: ENGINE.ids("penstock.service=chat") - {container})
            penstock.wait_ready(1)
            self.assertRegex(penstock.deployment()["last_exit"]["reason"], "killed by SIGKILL|removed by somebody else")

    def test_what_the_engine_says_of_a_start_that_fails_is_told(self):
        for container, expected in [
            ('entrypoint = ["/bin/no-such-program"]', "no such file or directory"),
            ('volumes = ["/no/such/folder:/data"]', "bind source path does not exist: /no/such/folder"),
            ('user = "nobody-there"', "unable to find user nobody-there"),
            ('network = "no-such-network"', "no-such-network not found"),
        ]:
            with Penstock(ENGINE, service(container)) as penstock:
                status, text = penstock.ask()
                self.assertEqual(status, 503, text)
                shown = penstock.cli("status")
                self.assertIn(expected, shown)
            self.assert_nothing_is_left()


class Update(Case):
    def test_another_image_is_rolled_out_and_a_stream_runs_through(self):
        with Penstock(ENGINE, service(min=1)) as penstock:
            penstock.wait_ready(1)
            before = ENGINE.ids("penstock.service=chat")
            thread, result = penstock.ask_beside(path="/v1/chat/completions", body=CHAT.encode())
            wait_for(lambda: penstock.deployment()["in_flight"] == 1)
            penstock.configure(service(min=1, image=OTHER_IMAGE))
            penstock.process.send_signal(signal.SIGHUP)

            def replaced():
                """a container of the new image is ready"""
                ready = [w for w in penstock.workers() if w["state"] == "ready" and not w["outdated"]]
                return ready and ENGINE.ids("penstock.service=chat") - before

            [new] = wait_for(replaced, 60)
            self.assertEqual(ENGINE.inspect(new)["Config"]["Image"], OTHER_IMAGE)
            self.assertEqual(penstock.ask()[0], 200)
            thread.join(60)
            status, text = result[0]
            self.assertEqual((status, "[DONE]" in text), (200, True))
            wait_for(lambda: ENGINE.ids("penstock.service=chat") == {new})
