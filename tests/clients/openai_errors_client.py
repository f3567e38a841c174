"""Errors that the gateway answers, as OpenAI's clients show them: the versions of today and of one
major version back, for Python and for Node."""

import json
import os
import pathlib
import subprocess
import sys
import unittest

from penstock import Penstock

FOLDER = pathlib.Path(__file__).parent
PACKAGES = FOLDER.parents[1] / "target/clients-openai"

CONFIG = """
listeners = [{ address = "127.0.0.1:0" }]
admin = { address = "127.0.0.1:0" }
gpus = { devices = [] }

[services.locked]
hosts = ["127.0.0.1"]
paths = ["/locked"]
[services.locked.api_keys.ci]
sha256 = "71c480df93d6ae2f1efad1447c66c9525e316218cf51fc8d9ed832f2daf18b73"
[services.locked.deployments.main]
process = { command = ["PENSTOCK", "worker"] }
scaling = { min = 0 }

[services.limited]
hosts = ["127.0.0.1"]
paths = ["/limited"]
limits = [{ concurrent = 1 }, { requests = 1, burst = 1, period = "1d" }]
[services.limited.deployments.main]
process = { command = ["/secret/engine"] }
scaling = { min = 0 }

[services.broken]
hosts = ["127.0.0.1"]
paths = ["/broken"]
[services.broken.deployments.main]
process = { command = ["/secret/engine"] }
scaling = { min = 0 }

[services.slow]
hosts = ["127.0.0.1"]
paths = ["/slow"]
queue = { max_wait = "200ms" }
[services.slow.deployments.main]
process = { command = ["PENSTOCK", "worker", "--load-time", "1h"] }
probes.ready = { http = "/health" }
scaling = { min = 0 }
"""

# Path of a service with what its error must look like.
EXPECTED = {
    "locked": ("AuthenticationError", 401, "authentication_error", "unauthenticated", "not valid"),
    "nowhere": ("NotFoundError", 404, "invalid_request_error", "no_route", "no service at"),
    "limited": ("RateLimitError", 429, "rate_limit_error", "rate_limited", "the limit is 1 request"),
    "broken": ("InternalServerError", 503, "server_error", "start_failed", "could be started"),
    "slow": ("InternalServerError", 504, "server_error", "queue_timeout", "became free"),
}


class OpenAiErrors(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.penstock = cls.enterClassContext(Penstock(CONFIG))
        cls.urls = {f"http://{cls.penstock.address}/{path}": path for path in EXPECTED}
        # Uses up the only request that is allowed.
        cls.run_program([sys.executable, FOLDER / "openai_errors.py"], {}, ["limited"])

    @classmethod
    def run_program(cls, program, env, paths):
        urls = [url for url, path in cls.urls.items() if path in paths]
        done = subprocess.run(
            [*program, *urls],
            env={**os.environ, **env},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
        )
        if done.returncode != 0:
            raise AssertionError(done.stderr)
        return [json.loads(line) for line in done.stdout.splitlines()]

    def check(self, version, program, env):
        seen = self.run_program(program, env, EXPECTED)
        self.assertEqual(len(seen), 2 * len(EXPECTED))
        for error in seen:
            with self.subTest(**error):
                self.assertEqual(error["version"].split(".")[0], version)
                kind, status, error_type, code, words = EXPECTED[self.urls[error["url"]]]
                self.assertEqual((error["kind"], error["status"]), (kind, status))
                self.assertEqual((error["type"], error["code"]), (error_type, code))
                self.assertIn(words, error["message"])
                self.assertRegex(error["id"], "^[0-9a-f]{32}$")
                # Paths and addresses are the operator's business.
                self.assertNotIn("/secret/", error["message"])

    def test_the_client_for_python(self):
        self.check("3", [sys.executable, FOLDER / "openai_errors.py"], {})

    def test_the_client_for_python_of_one_major_version_back(self):
        path = str(PACKAGES / "python-2")
        self.check("2", [sys.executable, FOLDER / "openai_errors.py"], {"PYTHONPATH": path})

    def test_the_client_for_node(self):
        path = str(PACKAGES / "node-7/node_modules")
        self.check("7", ["node", FOLDER / "openai_errors.js"], {"NODE_PATH": path})

    def test_the_client_for_node_of_one_major_version_back(self):
        path = str(PACKAGES / "node-6/node_modules")
        self.check("6", ["node", FOLDER / "openai_errors.js"], {"NODE_PATH": path})


if __name__ == "__main__":
    unittest.main()
