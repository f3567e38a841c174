"""Workers as containers, with a real Docker engine and a real registry."""

import base64
import json
import pathlib
import shutil
import signal
import time
import unittest

from engine import Engine, Registry, output, wait_for
from penstock import Penstock, seconds_of

IMAGE = "penstock-worker:v1"

# A service whose workers are containers; keys of the container and of the deployment may be added.
SERVICE = """
[services.chat.deployments.stable]
probes.ready = {{ http = "/health" }}
scaling = {{ min = {min}, max = 2 }}
max_concurrency = 4
{deployment}
[services.chat.deployments.stable.container]
image = "{image}"
command = {command}
{container}
"""

WORKER = ["worker", "--host", "0.0.0.0", "--port", "{port}", "--load-time", "300ms", "--tokens-per-second", "100"]

CHAT = json.dumps({"model": "demo", "stream": True, "max_tokens": 400, "ignore_eos": True, "messages": [{"role": "user", "content": "go"}]})


def service(container="", deployment="", image=IMAGE, command=WORKER, min=0):
    return SERVICE.format(
        container=container, deployment=deployment, image=image, command=json.dumps(command), min=min
    )


def shell(line):
    """What a container runs by its shell, and then is a worker."""
    return f'entrypoint = ["/bin/sh", "-c", {json.dumps(line + "; exec /bin/penstock worker --host 0.0.0.0 --load-time 0s")}]'


def setUpModule():
    global ENGINE
    ENGINE = Engine()
    try:
        ENGINE.make_image(IMAGE)
        ENGINE.docker("tag", IMAGE, "penstock-worker:v2")
    except BaseException:
        ENGINE.close()
        raise


def tearDownModule():
    ENGINE.close()


class Case(unittest.TestCase):
    def tearDown(self):
        ids = ENGINE.ids()
        if ids:
            ENGINE.docker("rm", "-f", *ids)

    def assert_nothing_is_left(self):
        self.assertEqual(ENGINE.workers(), set())


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


class Crash(Case):
    def test_containers_are_taken_over_after_kill_9_with_their_logs_whole(self):
        line = 'i=0; while [ $i -lt 400 ]; do echo line $i; i=$((i+1)); sleep 0.02; done & true'
        with Penstock(ENGINE, service(shell(line), min=2)) as penstock:
            penstock.wait_ready(2)
            before = ENGINE.ids("penstock.service=chat")
            penstock.kill()
            self.assertEqual(ENGINE.ids("penstock.service=chat"), before)
            time.sleep(1)
            penstock.start()
            penstock.wait_ready(2)
            self.assertEqual(penstock.ask()[0], 200)
            self.assertEqual(ENGINE.ids("penstock.service=chat"), before)
            self.assertIn("of an earlier run is ready", penstock.journal())

            def whole():
                """the log has its last line"""
                log = penstock.cli("logs", "chat", "--worker", "0", "-n", "1000")
                return log if "out line 399" in log else None

            log = wait_for(whole, 60)
            numbers = [int(line.split()[-1]) for line in log.splitlines() if " out line " in line]
            self.assertEqual(numbers, list(range(400)))
        self.assert_nothing_is_left()

    def test_containers_that_nobody_wants_any_more_are_ended_by_the_next_run(self):
        with Penstock(ENGINE, service(min=1)) as penstock:
            penstock.wait_ready(1)
            penstock.kill()
            foreign = ENGINE.docker("run", "-d", "--entrypoint", "/bin/sleep", IMAGE, "1000")
            penstock.configure('[services.other.deployments.stable]\nstatic.addresses = ["127.0.0.1:9"]')
            penstock.start()
            wait_for(lambda: not ENGINE.workers())
            self.assertEqual(ENGINE.ids(), {foreign})

    def test_one_that_ended_meanwhile_is_told_removed_and_replaced(self):
        with Penstock(ENGINE, service(min=1)) as penstock:
            penstock.wait_ready(1)
            [container] = ENGINE.ids("penstock.service=chat")
            penstock.kill()
            ENGINE.docker("kill", container)
            penstock.start()
            penstock.wait_ready(1)
            [other] = ENGINE.ids("penstock.service=chat")
            self.assertNotEqual(other, container)

    def test_a_lost_state_leaves_no_container_behind(self):
        with Penstock(ENGINE, service(min=1)) as penstock:
            penstock.wait_ready(1)
            [container] = ENGINE.ids("penstock.service=chat")
            penstock.kill()
            for name in ["penstock.db", "penstock.db-wal", "penstock.db-shm"]:
                (penstock.folder / name).unlink(missing_ok=True)
            penstock.start()
            penstock.wait_ready(1)
            self.assertNotIn(container, ENGINE.ids())


    def test_kill_9_at_any_moment_of_a_start_leaves_nothing_that_nobody_knows(self):
        with Penstock(ENGINE, service()) as penstock:
            for tenths in range(12):
                penstock.ask_beside()
                # Where in the start this falls differs: making, starting, probing, serving.
                time.sleep(tenths / 10)
                penstock.kill()
                penstock.start()
                self.assertEqual(penstock.ask()[0], 200)

                def agree():
                    """penstock has as many workers as there are containers of it"""
                    there = len(ENGINE.ids("penstock.service=chat"))
                    return there == len(penstock.workers()) and there

                wait_for(agree)
        self.assert_nothing_is_left()


class Update(Case):
    def test_another_image_is_rolled_out_and_a_stream_runs_through(self):
        with Penstock(ENGINE, service(min=1)) as penstock:
            penstock.wait_ready(1)
            before = ENGINE.ids("penstock.service=chat")
            thread, result = penstock.ask_beside(path="/v1/chat/completions", body=CHAT.encode())
            wait_for(lambda: penstock.deployment()["in_flight"] == 1)
            penstock.configure(service(min=1, image="penstock-worker:v2"))
            penstock.process.send_signal(signal.SIGHUP)

            def replaced():
                """a container of the new image is ready"""
                ready = [w for w in penstock.workers() if w["state"] == "ready" and not w["outdated"]]
                return ready and ENGINE.ids("penstock.service=chat") - before

            [new] = wait_for(replaced, 60)
            self.assertEqual(ENGINE.inspect(new)["Config"]["Image"], "penstock-worker:v2")
            self.assertEqual(penstock.ask()[0], 200)
            thread.join(60)
            status, text = result[0]
            self.assertEqual((status, "[DONE]" in text), (200, True))
            wait_for(lambda: ENGINE.ids("penstock.service=chat") == {new})


class Pull(Case):
    @classmethod
    def setUpClass(cls):
        cls.registry = Registry(ENGINE.folder)
        cls.image = f"{cls.registry.name}/big:v1"
        ENGINE.make_image(cls.image, bulk=200 << 20)
        ENGINE.docker("login", "-u", "joe", "-p", "pass", cls.registry.name)
        ENGINE.docker("push", cls.image)

    @classmethod
    def tearDownClass(cls):
        cls.registry.close()

    def setUp(self):
        found = ENGINE.docker("images", "-q", self.image)
        if found:
            ENGINE.docker("rmi", "-f", self.image)

    def credentials(self, password="pass"):
        file = ENGINE.folder / f"credentials-{password}.json"
        auth = base64.b64encode(f"joe:{password}".encode()).decode()
        file.write_text(json.dumps({"auths": {self.registry.name: {"auth": auth}}}))
        return f'registry_credentials = "{file}"'

    def test_a_pull_is_part_of_the_start_and_its_progress_is_shown(self):
        config = service(self.credentials(), 'start_timeout = "60s"', image=self.image)
        with Penstock(ENGINE, config) as penstock:
            thread, result = penstock.ask_beside()
            seen = set()

            def done():
                """the request is answered"""
                seen.update(worker["progress"] for worker in penstock.workers() if worker["progress"])
                return result

            wait_for(done, 120, every=0.02)
            self.assertEqual(result[0][0], 200, result)
            self.assertTrue(any("MB" in text and "layers" in text for text in seen), seen)
            self.assertTrue(all(text.startswith(f"pulls {self.image}") for text in seen), seen)
            self.assertIn(f"worker 0 pulls {self.image}", penstock.journal())

    def test_what_the_registry_says_is_told(self):
        wrong = "unauthorized|authentication required|no basic auth credentials|authorization failed"
        for container, image, expected in [
            ("", self.image, wrong),
            (self.credentials("wrong"), self.image, wrong),
            (self.credentials(), f"{self.registry.name}/missing:v1", "manifest unknown|not found"),
            ('pull = "never"', self.image, 'is not there, and pull = "never"'),
            ('registry_credentials = "/no/such/file"', self.image, "registry_credentials /no/such/file: No such file"),
        ]:
            with Penstock(ENGINE, service(container, image=image)) as penstock:
                status, text = penstock.ask()
                self.assertEqual(status, 503, text)
                self.assertRegex(penstock.cli("status"), expected)
            self.assert_nothing_is_left()

    def test_an_end_in_the_middle_of_a_pull_is_quick_and_leaves_nothing(self):
        for end in ["stop", "kill"]:
            self.setUp()
            with Penstock(ENGINE, service(self.credentials(), image=self.image)) as penstock:
                penstock.ask_beside()
                wait_for(lambda: any(worker["progress"] for worker in penstock.workers()), every=0.01)
                if end == "stop":
                    took, status = seconds_of(penstock.stop)
                    self.assertEqual(status, 0)
                    self.assertLess(took, 10)
                else:
                    penstock.kill()
                    penstock.start()
                    self.assertEqual(penstock.ask()[0], 200)
            self.assert_nothing_is_left()

    def test_a_tag_that_has_moved_is_followed_when_it_is_always_pulled(self):
        config = service(self.credentials() + '\npull = "always"', image=self.image)
        with Penstock(ENGINE, config) as penstock:
            self.assertEqual(penstock.ask()[0], 200)
            [container] = ENGINE.ids("penstock.service=chat")
            before = ENGINE.inspect(container)["Image"]
            ENGINE.make_image(self.image)
            ENGINE.docker("push", self.image)
            ENGINE.docker("kill", container)
            wait_for(lambda: not ENGINE.ids("penstock.service=chat"))
            self.assertEqual(penstock.ask()[0], 200)
            [container] = ENGINE.ids("penstock.service=chat")
            self.assertNotEqual(ENGINE.inspect(container)["Image"], before)


class Away(Case):
    """Each test gives the engine back as it was."""

    def test_without_an_engine_starts_fail_with_words_and_nothing_else_waits(self):
        both = service() + """
[services.beside.deployments.stable]
process = { command = ["PENSTOCK", "worker", "--load-time", "0s"] }
probes.ready = { http = "/health" }
"""
        ENGINE.stop()
        try:
            with Penstock(ENGINE, both) as penstock:
                took, (status, text) = seconds_of(penstock.ask)
                self.assertEqual(status, 503, text)
                self.assertLess(took, 10)
                self.assertIn("the container engine at", penstock.cli("status"))
                self.assertEqual(penstock.ask(service="beside")[0], 200)
                ENGINE.start()

                def served():
                    """the engine is back and a worker serves"""
                    return penstock.ask()[0] == 200

                wait_for(served, 90, every=0.5)
        finally:
            if ENGINE.process.poll() is not None:
                ENGINE.start()
        self.assert_nothing_is_left()

    def test_workers_serve_on_while_the_engine_is_away(self):
        ENGINE.stop()
        ENGINE.start("--live-restore")
        try:
            with Penstock(ENGINE, service('network = "host"', min=1)) as penstock:
                penstock.wait_ready(1)
                before = ENGINE.ids("penstock.service=chat")
                thread, result = penstock.ask_beside(path="/v1/chat/completions", body=CHAT.encode())
                wait_for(lambda: penstock.deployment()["in_flight"] == 1)
                ENGINE.stop(signal.SIGKILL)
                self.assertEqual(penstock.ask()[0], 200)
                ENGINE.start("--live-restore")
                thread.join(60)
                self.assertIn("[DONE]", result[0][1])
                self.assertEqual(ENGINE.ids("penstock.service=chat"), before)
                self.assertEqual(penstock.ask()[0], 200)
                self.assertEqual(penstock.stop(), 0)
            self.assert_nothing_is_left()
        finally:
            if ENGINE.process.poll() is None:
                ENGINE.stop()
            ENGINE.start()

    def test_both_may_be_away_and_the_container_is_taken_over(self):
        ENGINE.stop()
        ENGINE.start("--live-restore")
        try:
            with Penstock(ENGINE, service('network = "host"', min=1)) as penstock:
                penstock.wait_ready(1)
                before = ENGINE.ids("penstock.service=chat")
                ENGINE.stop(signal.SIGKILL)
                penstock.kill()
                penstock.start()
                penstock.wait_ready(1)
                self.assertEqual(penstock.ask()[0], 200)
                ENGINE.start("--live-restore")
                self.assertEqual(ENGINE.ids("penstock.service=chat"), before)
                self.assertEqual(penstock.stop(), 0)
            self.assert_nothing_is_left()
        finally:
            if ENGINE.process.poll() is None:
                ENGINE.stop()
            ENGINE.start()

    def test_an_engine_that_ends_its_containers_gets_new_ones_when_it_is_back(self):
        with Penstock(ENGINE, service(min=1)) as penstock:
            penstock.wait_ready(1)
            ENGINE.stop()
            ENGINE.start()

            def served():
                """a worker serves again"""
                return penstock.ask()[0] == 200

            wait_for(served, 90, every=0.5)
        self.assert_nothing_is_left()

    def test_penstock_can_end_while_the_engine_is_away(self):
        with Penstock(ENGINE, service('stop_grace = "1s"', min=1)) as penstock:
            penstock.wait_ready(1)
            ENGINE.stop(signal.SIGKILL)
            try:
                took, status = seconds_of(penstock.stop)
                self.assertEqual(status, 0)
                self.assertLess(took, 50)
                self.assertIn("is not gone yet because its engine does not answer", penstock.said())
            finally:
                ENGINE.start()
            penstock.start()
            penstock.wait_ready(1)
            self.assertEqual(len(ENGINE.workers()), 1)
        self.assert_nothing_is_left()


if __name__ == "__main__":
    unittest.main()
