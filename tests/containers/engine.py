"""A Docker engine and a registry of our own, and images made of programs of this machine."""

import atexit
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

IMAGE = "penstock-worker:v1"
OTHER_IMAGE = "penstock-worker:v2"

PROGRAM = pathlib.Path(os.environ.get("PENSTOCK", "target/release/penstock")).resolve()


def wait_for(what, seconds=30, every=0.05):
    """The first true value of `what()`; fails after so many seconds."""
    deadline = time.monotonic() + seconds
    while True:
        value = what()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s: {getattr(what, '__doc__', None) or what}")
        time.sleep(every)


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def output(*command, **options):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(map(str, command))}: {done.stdout}{done.stderr}")
    return done.stdout.strip()


class Engine:
    """Runs dockerd, with everything of it in a folder of its own."""

    def __init__(self):
        self.process = None

    def ensure(self):
        """Starts it the first time, with an image of Penstock; it ends with the tests, however they end."""
        if self.process:
            return
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="penstock-engine-"))
        self.socket = self.folder / "engine.sock"
        self.bridge = f"pk{os.getpid() % 100000}"
        atexit.register(self.close)
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
        net = 16 + os.getpid() % 200
        output("ip", "link", "add", self.bridge, "type", "bridge")
        output("ip", "addr", "add", f"10.213.{net}.1/24", "dev", self.bridge)
        output("ip", "link", "set", self.bridge, "up")
        self.start()
        self.make_image(IMAGE)
        self.docker("tag", IMAGE, OTHER_IMAGE)

    def start(self, *options):
        self.log = open(self.folder / "log", "a")
        command = ["dockerd", "--data-root", self.folder / "data", "--exec-root", self.folder / "exec"]
        command += ["-H", f"unix://{self.socket}", "-p", self.folder / "pid", "--bridge", self.bridge]
        self.process = subprocess.Popen([*command, *options], stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)

        def answers():
            """the engine answers"""
            if self.process.poll() is not None:
                raise RuntimeError(f"dockerd ended:\n{(self.folder / 'log').read_text()[-4000:]}")
            return subprocess.run(
                ["docker", "-H", f"unix://{self.socket}", "version"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            ).returncode == 0

        wait_for(answers, 60)

    def stop(self, how=signal.SIGTERM):
        self.process.send_signal(how)
        self.process.wait(timeout=60)
        self.log.close()
        (self.folder / "pid").unlink(missing_ok=True)
        # A killed engine takes its containerd with it, and the next one believes the number of a process
        # that nobody has reaped.
        file = self.folder / "exec/containerd/containerd.pid"
        if file.exists():
            process = pathlib.Path("/proc") / file.read_text().strip() / "stat"

            def ended():
                """containerd has ended"""
                try:
                    return process.read_text().rsplit(")", 1)[1].split()[0] == "Z"
                except FileNotFoundError:
                    return True

            wait_for(ended)
            file.unlink(missing_ok=True)

    def close(self):
        if self.process and self.process.poll() is None:
            ids = self.docker("ps", "-aq").split()
            if ids:
                self.docker("rm", "-f", *ids)
            self.stop()
        subprocess.run(["ip", "link", "del", self.bridge], check=False)
        for line in reversed(pathlib.Path("/proc/mounts").read_text().splitlines()):
            if line.split()[1].startswith(str(self.folder)):
                subprocess.run(["umount", "-l", line.split()[1]], check=False)
        shutil.rmtree(self.folder, ignore_errors=True)

    def docker(self, *words, **options):
        return output("docker", "-H", f"unix://{self.socket}", "--config", self.folder / "config", *words, **options)

    def inspect(self, container):
        return json.loads(self.docker("inspect", container))[0]

    def ids(self, *filters):
        """All containers, or those with these labels."""
        words = [word for label in filters for word in ("--filter", f"label={label}")]
        return set(self.docker("ps", "-aq", "--no-trunc", *words).split())

    def workers(self):
        """The containers of whatever Penstock."""
        return self.ids("penstock.worker")

    def make_image(self, name, bulk=0):
        """An image of Penstock, a shell and a few tools, with so many random bytes beside them."""
        root = self.folder / "root"
        if not root.exists():
            for program in [PROGRAM, "/bin/sh", "/bin/cat", "/usr/bin/tail", "/usr/bin/id", "/bin/sleep"]:
                add_program(root, pathlib.Path(program))
            (root / "tmp").mkdir()
            (root / "etc").mkdir(exist_ok=True)
            (root / "etc/passwd").write_text("root:x:0:0::/:/bin/sh\n")
        for index in range(8):
            (root / f"bulk{index}").write_bytes(os.urandom(bulk // 8))
        with subprocess.Popen(["tar", "-C", root, "-c", "."], stdout=subprocess.PIPE) as tar:
            self.docker("import", "--change", 'ENTRYPOINT ["/bin/penstock"]', "-", name, stdin=tar.stdout)


def add_program(root, program):
    """Copies a program and the libraries that it is linked with."""
    copy(program, root / "bin" / program.name)
    for line in subprocess.run(["ldd", program], stdout=subprocess.PIPE, text=True).stdout.splitlines():
        for word in line.split():
            if word.startswith("/"):
                copy(pathlib.Path(word), root / word.lstrip("/"))


def copy(file, to):
    if not to.exists():
        to.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file.resolve(), to)


class Registry:
    """Debian's docker-registry on loopback, for the user joe alone."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.port = free_port()
        self.name = f"127.0.0.1:{self.port}"
        hashed = output("perl", "-e", "print crypt($ARGV[0], q($2b$05$abcdefghijklmnopqrstuu))", "pass")
        (self.folder / "htpasswd").write_text(f"joe:{hashed}\n")
        config = self.folder / "registry.yml"
        config.write_text(
            f"""version: 0.1
log: {{ level: error }}
storage: {{ filesystem: {{ rootdirectory: {self.folder}/registry }} }}
http: {{ addr: "{self.name}" }}
auth: {{ htpasswd: {{ realm: test, path: {self.folder}/htpasswd }} }}
"""
        )
        self.log = open(self.folder / "registry.log", "w")
        self.process = subprocess.Popen(["docker-registry", "serve", config], stdout=self.log, stderr=self.log)

        def answers():
            """the registry answers"""
            with socket.socket() as asked:
                return asked.connect_ex(("127.0.0.1", self.port)) == 0

        wait_for(answers)

    def close(self):
        self.process.terminate()
        self.process.wait()
        self.log.close()
