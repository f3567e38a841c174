"""The container image, built from the package by its Containerfile on a fresh Debian."""

import pathlib
import subprocess
import sys
import unittest
import urllib.request

TOP = pathlib.Path(__file__).parents[2]
sys.path.insert(0, str(TOP / "tests/containers"))

from engine import Engine, free_port, wait_for  # noqa: E402

SYSTEM = TOP / "target/package-system/root"
ENGINE = Engine()


def setUpModule():
    try:
        ENGINE.ensure()
    except (AssertionError, OSError, RuntimeError) as error:
        # At the beginning of a line, which CI repeats at its end.
        print(f"\nNOT RUN: the test of the container image: no container can run here: {error}", flush=True)
        raise unittest.SkipTest("no container can run here") from None


def import_base():
    """Debian's own image would be downloaded; the same system is here already."""
    tar = subprocess.Popen(["tar", "-C", SYSTEM, "-c", "."], stdout=subprocess.PIPE)
    ENGINE.docker("import", "-", "debian:bookworm-slim", stdin=tar.stdout)
    if tar.wait() != 0:
        raise AssertionError("tar failed")


class Image(unittest.TestCase):
    def test_the_image_answers_and_ends_cleanly(self):
        import_base()
        # With the old builder, which needs no plug-in. Debian's archive is reached by this machine's network.
        ENGINE.docker(
            "build", "--network", "host", "-f", TOP / "config/image/Containerfile", "-t", "penstock", TOP / "target/package"
        )
        port = free_port()
        # The admin address of the package's configuration may be taken on this machine.
        name = ENGINE.docker(
            "run", "--detach", "--init", "--network", "host", "--env", f"PENSTOCK_LISTEN=127.0.0.1:{port}",
            "--env", f"PENSTOCK_ADMIN_PORT={free_port()}",
            "--entrypoint", "sh", "penstock", "-c",
            'mkdir services && sed "s/127.0.0.1:9900/127.0.0.1:$PENSTOCK_ADMIN_PORT/" /etc/penstock/penstock.toml >penstock.toml && '
            "exec penstock run penstock.toml",
        )
        self.addCleanup(ENGINE.docker, "rm", "--force", name)

        def models():
            """it answers"""
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/v1/models", timeout=30) as answer:
                    return answer.read()
            except OSError:
                if ENGINE.docker("inspect", "-f", "{{.State.Running}}", name) != "true":
                    said = subprocess.run(
                        ["docker", "-H", f"unix://{ENGINE.socket}", "logs", name], capture_output=True, text=True
                    )
                    raise AssertionError(said.stdout + said.stderr) from None
                return None

        self.assertIn(b'"object":"model"', wait_for(models).replace(b" ", b""))
        admin = "PENSTOCK_ADMIN=unix:/run/penstock/admin.sock"
        self.assertIn("demo", ENGINE.docker("exec", "--env", admin, name, "penstock", "status"))
        self.assertIn("penstock", ENGINE.docker("exec", name, "id", "-un"), "it runs as root")
        ENGINE.docker("stop", "--time", "60", name)
        self.assertEqual(ENGINE.docker("inspect", "-f", "{{.State.ExitCode}}", name), "0")


if __name__ == "__main__":
    unittest.main()
