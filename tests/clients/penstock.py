"""A running Penstock for the checks of other people's clients."""

import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
import time

PROGRAM = os.environ.get("PENSTOCK", "target/release/penstock")

CONFIG = """
listeners = [{ address = "127.0.0.1:0" }]
admin = { address = "127.0.0.1:0" }
gpus = { devices = [] }

[services.chat.deployments.stable]
max_concurrency = 20
process = { command = ["PENSTOCK", "worker", "--load-time", "1s", "--tokens-per-second", "200"] }
probes.ready = { http = "/health" }
scaling = { min = 0, max = 2 }
"""


def resolve_localhost_names():
    """Every name below localhost is this machine (RFC 6761); not every C library knows."""
    ask_system = socket.getaddrinfo

    def getaddrinfo(host, *args, **kwargs):
        name = host.decode() if isinstance(host, bytes) else host
        if name and name.endswith(".localhost"):
            host = "127.0.0.1"
        return ask_system(host, *args, **kwargs)

    socket.getaddrinfo = getaddrinfo


resolve_localhost_names()


class Penstock:
    """Starts the program with one service at zero; stops it at the end of the `with` block."""

    def __init__(self, config=CONFIG):
        self.config = config

    def __enter__(self):
        self.folder = pathlib.Path(tempfile.mkdtemp())
        program = pathlib.Path(PROGRAM).resolve()
        (self.folder / "penstock.toml").write_text(self.config.replace("PENSTOCK", str(program)))
        ready = self.folder / "ready.json"
        self.log = open(self.folder / "log", "w+")
        self.process = subprocess.Popen(
            [program, "run", "penstock.toml"],
            cwd=self.folder,
            env={**os.environ, "PENSTOCK_READY_FILE": str(ready)},
            stdin=subprocess.DEVNULL,
            stdout=self.log,
            stderr=subprocess.STDOUT,
        )
        deadline = time.monotonic() + 30
        while not ready.exists():
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.log.seek(0)
                raise RuntimeError(f"penstock did not start:\n{self.log.read()}")
            time.sleep(0.02)
        addresses = json.loads(ready.read_text())
        self.address, self.admin = addresses["listeners"][0], addresses["admin"]
        port = self.address.rsplit(":", 1)[1]
        self.url = f"http://chat.local.localhost:{port}"
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        try:
            status = self.process.wait(timeout=30)
        finally:
            self.process.kill()
            self.log.close()
        shutil.rmtree(self.folder)
        if status != 0:
            raise RuntimeError(f"penstock ended with status {status}")
