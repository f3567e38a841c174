"""A new user's first hour with the Debian package, in a fresh Debian."""

import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import unittest
import urllib.error
import urllib.request

TOP = pathlib.Path(__file__).parents[2]
SYSTEM = TOP / "target/package-system/root"
CONFIG = "etc/penstock/penstock.toml"


def until(what, found, limit=60):
    """What is found, as soon as it is."""
    deadline = time.monotonic() + limit
    while True:
        value = found()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"it takes too long until {what}")
        time.sleep(0.05)


def package():
    [file] = (TOP / "target/package").glob("penstock_*.deb")
    return file


class System:
    """A copy of the fresh Debian, thrown away at the end of the `with` block."""

    def __enter__(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(dir=TOP / "target")).resolve()
        self.root = self.folder / "root"
        subprocess.run(["cp", "-a", SYSTEM, self.root], check=True)
        # /proc tells a worker's socket from others; of this Debian's own processes nothing else is needed.
        subprocess.run(["mount", "-t", "proc", "proc", self.root / "proc"], check=True)
        shutil.copy(package(), self.root / "penstock.deb")
        return self

    def __exit__(self, *_):
        # Workers that a crash left, where a test failed before they were taken over.
        for process in self.processes():
            os.kill(int(process.name), signal.SIGKILL)
        subprocess.run(["umount", self.root / "proc"], check=True)
        shutil.rmtree(self.folder)

    def run(self, *command, check=True, **options):
        done = subprocess.run(
            ["chroot", self.root, *command],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND": "noninteractive", **options},
        )
        if check and done.returncode != 0:
            raise AssertionError(f"{command}: {done.stdout}{done.stderr}")
        return done

    def processes(self):
        """What runs in it."""

        def root(process):
            try:
                return os.readlink(process / "root")
            except OSError:
                return None

        all_of_them = pathlib.Path("/proc").glob("[0-9]*")
        return [process for process in all_of_them if root(process) == str(self.root)]

    def install(self):
        self.run("dpkg", "--install", "/penstock.deb")


class Service:
    """The service, started as its unit says, with a manager that listens as systemd does."""

    def __init__(self, system):
        self.system = system

    def __enter__(self):
        unit = (self.system.root / "lib/systemd/system/penstock.service").read_text()
        [command] = re.findall(r"^ExecStart=(.*)$", unit, re.MULTILINE)
        folder = re.search(r"^WorkingDirectory=(.*)$", unit, re.MULTILINE)[1]
        # Any port: those of the file may be taken on this machine.
        config = self.system.root / CONFIG
        text = config.read_text()
        config.write_text(re.sub(r"127\.0\.0\.1:(8080|9900)", "127.0.0.1:0", text))
        # As RuntimeDirectory= and RuntimeDirectoryMode= make it.
        self.system.run("install", "-d", "-o", "penstock", "-g", "penstock", "-m", "0750", "/run/penstock")
        self.messages = []
        self.manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.manager.bind(str(self.system.root / "run/notify"))
        os.chmod(self.system.root / "run/notify", 0o777)
        self.manager.setblocking(False)
        self.log = open(self.system.folder / "log", "w+")
        self.process = subprocess.Popen(
            ["chroot", "--userspec=penstock:penstock", self.system.root, "sh", "-c", f"cd {folder} && exec {command}"],
            env={
                "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
                "HOME": folder,
                "NOTIFY_SOCKET": "/run/notify",
                "PENSTOCK_READY_FILE": f"{folder}/ready.json",
            },
            stdin=subprocess.DEVNULL,
            stdout=self.log,
            stderr=subprocess.STDOUT,
        )
        self.until_told("READY=1")
        ready = json.loads((self.system.root / folder[1:] / "ready.json").read_text())
        self.address, self.admin = ready["listeners"][0], ready["admin"]
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(timeout=60)
        finally:
            self.process.kill()
            self.manager.close()
            (self.system.root / "run/notify").unlink()
            self.log.close()

    def told(self):
        try:
            while True:
                self.messages += self.manager.recv(4096).decode().split("\n")
        except BlockingIOError:
            return self.messages

    def until_told(self, message):
        def found():
            # Looked at first: what the process said before it ended is still to be read.
            ended = self.process.poll() is not None
            if message in self.told():
                return True
            if ended:
                self.log.seek(0)
                raise AssertionError(f"penstock ended:\n{self.log.read()}")

        until(f"{message} is told", found)
        self.messages.clear()

    def get(self, path, headers=None):
        request = urllib.request.Request(f"http://{self.address}{path}", headers=headers or {})
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def journal(self):
        with urllib.request.urlopen(f"http://{self.admin}/api/v1/journal", timeout=10) as answer:
            return answer.read().decode()

    def command(self, *command, check=True):
        return self.system.run("penstock", *command, check=check, PENSTOCK_ADMIN=self.admin)


class Package(unittest.TestCase):
    def setUp(self):
        self.system = self.enterContext(System())

    def test_the_first_hour_from_the_first_answer_to_the_end(self):
        self.system.install()
        begun = time.monotonic()
        with Service(self.system) as service:
            status, body = service.get("/v1/models")
            print(f"first answer {time.monotonic() - begun:.1f} s after the start of the service", flush=True)
            self.assertEqual(status, 200, body)
            self.assertIn("demo", service.command("status").stdout)
            by_socket = self.system.run("penstock", "status", PENSTOCK_ADMIN="unix:/run/penstock/admin.sock")
            self.assertIn("demo", by_socket.stdout)
            self.own_model_with_a_canary(service)
            self.a_wrong_file_changes_nothing(service)
            service.process.send_signal(signal.SIGTERM)
            service.until_told("STOPPING=1")
            self.assertEqual(service.process.wait(timeout=60), 0)
        self.assertEqual(self.system.processes(), [], "something of it still runs")

    def own_model_with_a_canary(self, service):
        # In a file of its own, as the one that came with the package suggests.
        (self.system.root / "etc/penstock/services/own.toml").write_text(
            """
            [services.own.deployments.stable]
            weight = 90
            process = { command = ["penstock", "worker", "--load-time", "0s", "--model", "own"] }
            [services.own.deployments.canary]
            weight = 10
            process = { command = ["penstock", "worker", "--load-time", "0s", "--model", "newer"] }
            """
        )
        service.process.send_signal(signal.SIGHUP)
        service.until_told("STATUS=the configuration is in force")
        host = {"host": "own.local.localhost"}
        until("the new service answers", lambda: service.get("/v1/models", host)[0] == 200)
        service.command("promote", "own", "canary", "--reason", "it is better")
        until("the canary answers", lambda: "newer" in service.get("/v1/models", host)[1])

    def a_wrong_file_changes_nothing(self, service):
        config = self.system.root / CONFIG
        good = config.read_text()
        config.write_text(good + "\n[services.demo.deployments.stable.scalling]\n")
        service.until_told("STATUS=the configuration was refused, the last good one is in force; see the log")
        refused = self.system.run("penstock", "check", f"/{CONFIG}", check=False)
        self.assertNotEqual(refused.returncode, 0)
        self.assertIn("did you mean", refused.stderr)
        self.assertEqual(service.get("/v1/models")[0], 200)
        config.write_text(good)
        service.until_told("STATUS=the configuration is in force")

    def test_workers_of_a_crash_are_taken_over_and_an_upgrade_keeps_the_file(self):
        self.system.install()
        with Service(self.system) as service:
            self.assertEqual(service.get("/v1/models")[0], 200)
            service.process.kill()
            service.process.wait()
        config = self.system.root / CONFIG
        config.write_text(config.read_text() + "\n# mine\n")
        self.system.install()
        self.assertIn("# mine", config.read_text())
        with Service(self.system) as service:
            with_it = "worker 0 of an earlier run is ready"
            until("the worker is taken over", lambda: with_it in service.journal())
            self.assertEqual(service.get("/v1/models")[0], 200)

    def test_the_unit_is_good_and_what_was_installed_goes_again(self):
        self.system.install()
        # Checked by the systemd of this machine, which has the targets: what the unit runs must be there for it.
        unit = (self.system.root / "lib/systemd/system/penstock.service").read_text()
        copy = self.system.folder / "penstock.service"
        copy.write_text(unit.replace("/usr/bin/penstock", f"{self.system.root}/usr/bin/penstock"))
        done = subprocess.run(
            ["systemd-analyze", "verify", "--man=no", copy], capture_output=True, text=True
        )
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        for file in ("usr/share/man/man1/penstock-run.1.gz", "usr/share/bash-completion/completions/penstock"):
            self.assertTrue((self.system.root / file).exists(), file)
        for folder in ("var/lib/penstock", "var/log/penstock"):
            self.assertEqual((self.system.root / folder).stat().st_mode & 0o777, 0o750)
        self.system.run("dpkg", "--remove", "penstock")
        self.assertTrue((self.system.root / CONFIG).exists())
        self.system.run("dpkg", "--purge", "penstock")
        for gone in (CONFIG, "usr/bin/penstock", "var/lib/penstock", "lib/systemd/system/penstock.service"):
            self.assertFalse((self.system.root / gone).exists(), gone)


if __name__ == "__main__":
    unittest.main()
