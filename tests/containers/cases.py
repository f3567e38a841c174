"""What the tests of containers have in common."""

import json
import unittest

from engine import IMAGE, Engine

ENGINE = Engine()

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


class Case(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        ENGINE.ensure()

    def tearDown(self):
        ids = ENGINE.ids()
        if ids:
            ENGINE.docker("rm", "-f", *ids)

    def assert_nothing_is_left(self):
        self.assertEqual(ENGINE.workers(), set())
