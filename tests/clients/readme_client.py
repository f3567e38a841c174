"""The examples of the README, as they stand there."""

import os
import pathlib
import re
import shutil
import subprocess
import sys
import unittest

from penstock import PROGRAM, Penstock

FOLDER = pathlib.Path(__file__).parents[2]
README = (FOLDER / "README.md").read_text()
QUICKSTART = (FOLDER / "config/examples/quickstart.toml").read_text()

# The same configuration on free ports.
CONFIG, PORTS = re.subn(r'"127\.0\.0\.1:(8080|9900)"', '"127.0.0.1:0"', QUICKSTART)
assert PORTS == 2


def example(language, containing):
    """The block in a language that contains a text."""
    blocks = re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    [block] = [block for block in blocks if containing in block]
    return block


class Readme(unittest.TestCase):
    def setUp(self):
        self.penstock = self.enterContext(Penstock(CONFIG))

    def run_with_our_ports(self, *command, program):
        program = program.replace("127.0.0.1:8080", self.penstock.address)
        program = program.replace(":8080", ":" + self.penstock.address.rsplit(":", 1)[1])
        program = program.replace("target/release/penstock", str(pathlib.Path(PROGRAM).resolve()))
        done = subprocess.run(
            [*command, program],
            cwd=self.penstock.folder,
            env={**os.environ, "PENSTOCK_ADMIN": self.penstock.admin},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
        )
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def test_the_python_example_prints_the_answer_twice(self):
        program = example("python", "from openai")
        whole, streamed = self.run_with_our_ports(sys.executable, "-c", program=program).split("\n")
        self.assertIn("hello", whole)
        self.assertEqual(streamed, whole)

    def test_the_curl_example_streams_from_zero(self):
        events = self.run_with_our_ports("sh", "-ec", program=example("sh", "curl -N"))
        self.assertGreater(events.count("data: {"), 10)
        self.assertTrue(events.endswith("data: [DONE]\n\n"), events[-100:])

    @unittest.skipUnless(shutil.which("wrk"), "wrk is not installed")
    def test_the_load_example_scales_the_service_up(self):
        program = example("sh", "wrk -c 300").replace("-d 60s", "-d 12s")
        self.assertIn("status --watch\n", program)
        # It would go on until Ctrl-C; the sum of all that was seen is printed instead.
        program = program.replace("status --watch", "status --watch & shown=$!; wait %1; kill $shown")
        shown = self.run_with_our_ports("bash", "-ec", program=program)
        self.assertNotIn("Non-2xx", shown)
        self.assertRegex(shown, r"#2 +ready")


if __name__ == "__main__":
    unittest.main()
