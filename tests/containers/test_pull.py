"""Images from a registry."""

import base64
import json

from cases import ENGINE, Case, service
from engine import Registry, wait_for
from penstock import Penstock, seconds_of


class Pull(Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
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
            # The next one may be there before the last of this one is gone.
            wait_for(lambda: container not in ENGINE.ids("penstock.service=chat"))
            self.assertEqual(penstock.ask()[0], 200)
            [container] = ENGINE.ids("penstock.service=chat")
            self.assertNotEqual(ENGINE.inspect(container)["Image"], before)
