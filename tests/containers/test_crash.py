"""Penstock is killed, or the engine goes away."""

import contextlib
import signal
import time

from cases import CHAT, ENGINE, Case, service, shell
from engine import IMAGE, OTHER_IMAGE, wait_for
from penstock import Penstock, seconds_of


@contextlib.contextmanager
def containers_outlive_the_engine():
    """An engine that leaves its containers alone when it ends, for as long as this lasts."""
    ENGINE.stop()
    ENGINE.start("--live-restore")
    try:
        yield
    finally:
        if ENGINE.process.poll() is None:
            ENGINE.stop()
        ENGINE.start()


class Crash(Case):
    def test_containers_are_taken_over_after_kill_9_with_their_logs_whole(self):
        line = 'i=0; while [ $i -lt 400 ]; do echo line $i; i=$((i+1)); sleep 0.02; done & true'
        with Penstock(ENGINE, service(shell(line), min=2)) as penstock:
            penstock.wait_ready(2)
            before = ENGINE.ids("penstock.service=chat")
            penstock.kill()
            self.assertEqual(ENGINE.ids("penstock.service=chat"), before)
            a_container = next(iter(before))

            def lines():
                return len(ENGINE.docker("logs", a_container).splitlines())

            written = lines()
            wait_for(lambda: lines() > written + 40)
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

    def test_kill_9_at_any_moment_of_an_update_ends_with_the_new_image_alone(self):
        images = [OTHER_IMAGE, IMAGE]
        with Penstock(ENGINE, service(min=1)) as penstock:
            penstock.wait_ready(1)
            for tenths in range(8):
                image = images[tenths % 2]
                penstock.configure(service(min=1, image=image))
                penstock.process.send_signal(signal.SIGHUP)
                # Where in the update this falls differs.
                time.sleep(tenths / 5)
                penstock.kill()
                penstock.start()

                def updated():
                    """the containers are those that penstock knows, of the new image, and ready"""
                    states = {worker["state"] for worker in penstock.workers()}
                    there = ENGINE.ids("penstock.service=chat")
                    if states != {"ready"} or len(penstock.workers()) != len(there):
                        return False
                    return {ENGINE.inspect(one)["Config"]["Image"] for one in there} == {image}

                wait_for(updated, 60)
                self.assertEqual(penstock.ask()[0], 200)
        self.assert_nothing_is_left()


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
        with containers_outlive_the_engine():
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

    def test_both_may_be_away_and_the_container_is_taken_over(self):
        with containers_outlive_the_engine():
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
