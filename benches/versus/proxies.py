"""The worker and the proxies in front of it: their configurations, their start and their end."""

import atexit
import ctypes
import os
import pathlib
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
PENSTOCK = pathlib.Path(os.environ.get("PENSTOCK", ROOT / "target/release/penstock"))
PEERS = ROOT / "target/peers"
PROXY_CORE, LOAD_CORE = "0", "1"

FILES = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
# Connections of clients that open files have room for, beside one to the worker for every fifth of them,
# and a thousand files that Penstock keeps for itself. 25,000 are wanted, and a few to look on.
CLIENTS = min(25_100, (FILES - 1024) * 5 // 6)
PR_SET_PDEATHSIG = 1
LIBC = ctypes.CDLL(None)

RUNNING = set()


GIVEN = set()


def free_port():
    """A port that nobody has, and that was not given before: it is taken only when its process starts."""
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        if port not in GIVEN:
            GIVEN.add(port)
            return port


def raise_limits():
    """As many open files as the hard limit allows, for us and for all that is started."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (FILES, FILES))


def die_with_parent():
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def spawn(command, core=None, **options):
    """Starts a process of its own group, which ends with this one, however that ends."""
    pinned = ["taskset", "-c", core] if core else []
    process = subprocess.Popen([*pinned, *map(str, command)], stdin=subprocess.DEVNULL,
                               start_new_session=True, preexec_fn=die_with_parent, **options)
    RUNNING.add(process)
    return process


def end(process):
    """Ends the process and what it started."""
    if process not in RUNNING:
        return
    for how, patience in ((signal.SIGTERM, 10), (signal.SIGKILL, 10)):
        try:
            # One that was stopped would not hear of it.
            os.killpg(process.pid, signal.SIGCONT)
            os.killpg(process.pid, how)
        except ProcessLookupError:
            pass
        try:
            process.wait(patience)
            break
        except subprocess.TimeoutExpired:
            continue
    RUNNING.discard(process)


@atexit.register
def end_all():
    for process in list(RUNNING):
        end(process)


def end_on_signals():
    """Turns the signals that ask to end into an ordinary exit, so that everything is cleaned up."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(1))


def started(command, core, port, folder, patience=10, ready=None):
    """Starts a server and waits until it listens and, if given, until `ready()` says so."""
    name = pathlib.Path(str(command[0])).name
    log = folder / f"{port}-{name}.log"
    with log.open("wb") as file:
        process = spawn(command, core, stdout=file, stderr=file)
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            if ready is None or ready():
                return process
        except OSError:
            pass
        time.sleep(0.02)
    why = "ended at once" if process.poll() is not None else f"did not serve in {patience} s"
    end(process)
    raise RuntimeError(f"{name} {why}; it wrote:\n{log.read_text(errors='replace')[-2000:]}")


class Proxy:
    """One proxy that runs."""

    def __init__(self, name, process, ports):
        self.name, self.process, self.pid = name, process, process.pid
        self.port, self.tls, self.h2 = ports["PORT"], ports["TLS"], ports["H2"]

    def family(self):
        """The process and its children; nginx does its work in one."""
        children = pathlib.Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        return [self.pid, *map(int, children)]


# For each proxy its configuration file, and the command that the file is added to.
COMMANDS = {
    "nginx": ("nginx.conf", ["nginx", "-c"]),
    "haproxy-lean": ("haproxy-lean.cfg", ["haproxy", "-db", "-f"]),
    "haproxy": ("haproxy.cfg", ["haproxy", "-db", "-f"]),
    "penstock": ("penstock.toml", [PENSTOCK, "run"]),
}
# The lean HAProxy is not like the others, and stands beside them only where it is asked for.
ALIKE = ("nginx", "haproxy", "penstock")
WITH_LEAN = tuple(COMMANDS)


def present(names=ALIKE):
    """Which of these are installed."""
    return [name for name in COMMANDS if name in names and shutil.which(COMMANDS[name][1][0])]


class Bench:
    """A worker, and proxies in front of it, in a folder of their own.

    `worker` is "nginx" for answers without work, "python" for streams, or None where the caller is the
    worker, at `worker_port`. `wrap` gives for a proxy's name the tool that it runs under.
    """

    def __init__(self, worker="nginx", names=ALIKE, threads=1, wrap=None, worker_port=None, cores=PROXY_CORE):
        self.worker_kind, self.threads, self.wrap = worker, threads, wrap or {}
        self.names = present(names)
        self.worker = worker_port or free_port()
        self.grpc, self.cores = free_port(), cores
        self.proxies, self.processes = {}, []

    def __enter__(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="versus-"))
        try:
            self.files()
            self.start_workers()
            for name in self.names:
                self.add(name)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for process in reversed(self.processes):
            end(process)
        shutil.rmtree(self.folder, ignore_errors=True)

    def files(self):
        """The certificate of a day, the file to download, and the answer of the gRPC worker."""
        # nginx's process that does the work is another user's when started by root.
        self.folder.chmod(0o755)
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
             "-days", "1", "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1",
             "-keyout", self.folder / "key.pem", "-out", self.folder / "cert.pem"],
            check=True, capture_output=True)
        both = (self.folder / "cert.pem").read_text() + (self.folder / "key.pem").read_text()
        (self.folder / "both.pem").write_text(both)
        (self.folder / "files").mkdir()
        (self.folder / "files/mib").write_bytes(bytes(1 << 20))
        (self.folder / "grpc").mkdir()
        (self.folder / "grpc/answer").write_bytes(grpc_message(64))

    def config(self, name, ports):
        marks = {"DIR": self.folder, "WORKER": self.worker, "GRPC": self.grpc, "THREADS": self.threads,
                 "FILES": FILES, "TWICE": 2 * FILES, "CLIENTS": CLIENTS,
                 "MASTER": "off" if self.worker_kind is None else "on", **ports}
        text = (HERE / name).read_text()
        for mark, value in marks.items():
            text = text.replace(f"@{mark}@", str(value))
        file = self.folder / f"{ports['PORT']}-{name}"
        file.write_text(text)
        return file

    def start_workers(self):
        if self.worker_kind is None:
            return
        static = self.worker if self.worker_kind == "nginx" else free_port()
        if self.worker_kind == "python":
            command = [sys.executable, HERE / "origin.py", self.worker]
            self.processes.append(started(command, LOAD_CORE, self.worker, self.folder))
        if shutil.which("nginx"):
            command = ["nginx", "-c", self.config("worker.conf", {"PORT": static})]
            self.processes.append(started(command, LOAD_CORE, static, self.folder))

    def add(self, name):
        config, command = COMMANDS[name]
        ports = {"PORT": free_port(), "TLS": free_port(), "H2": free_port()}
        wrap = self.wrap[name](self.folder) if name in self.wrap else []
        command = [*wrap, *command, self.config(config, ports)]
        process = started(command, self.cores, ports["PORT"], self.folder, patience=60)
        self.processes.append(process)
        self.proxies[name] = Proxy(name, process, ports)


def grpc_message(size):
    """One message of gRPC with so many bytes: not compressed, its length, the bytes."""
    return b"\0" + size.to_bytes(4, "big") + bytes(size)
