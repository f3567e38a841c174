"""A running Penstock, as a user has it."""

import json
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import threading
import time
import urllib.error
import urllib.request

from engine import PROGRAM, wait_for

HEAD = """
listeners = [{{ address = "127.0.0.1:0" }}]
admin = {{ address = "127.0.0.1:0" }}
gpus = {{ devices = [] }}
containers = {{ socket = "unix://{socket}" }}
"""


class Penstock:
    """Runs the program in a folder that outlives crashes of it."""

    def __init__(self, engine, services, env=None):
        self.engine = engine
        self.env = env or {}
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="penstock-containers-"))
        self.configure(services)

    def configure(self, services):
        text = HEAD.format(socket=self.engine.socket) + services.replace("PENSTOCK", str(PROGRAM))
        (self.folder / "penstock.toml").write_text(text)

    def __enter__(self):
        self.start()
        return self

    def start(self):
        ready = self.folder / "ready.json"
        ready.unlink(missing_ok=True)
        self.log = open(self.folder / "log", "a")
        env = {**os.environ, **self.env, "PENSTOCK_READY_FILE": str(ready)}
        self.process = subprocess.Popen(
            [PROGRAM, "run", "penstock.toml"], cwd=self.folder, env=env, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log
        )

        def started():
            """penstock has started"""
            if self.process.poll() is not None:
                raise RuntimeError(f"penstock did not start:\n{self.said()}")
            return ready.exists()

        wait_for(started)
        addresses = json.loads(ready.read_text())
        self.port = addresses["listeners"][0].rsplit(":", 1)[1]
        self.admin = addresses["admin"]

    def said(self):
        return (self.folder / "log").read_text()

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.log.close()

    def stop(self, seconds=60):
        self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(timeout=seconds)
        self.log.close()
        return status

    def __exit__(self, kind, *_):
        if self.process.poll() is None:
            try:
                self.stop()
            except subprocess.TimeoutExpired:
                self.kill()
                if kind is None:
                    raise
        if kind is not None:
            print(self.said()[-6000:])
        shutil.rmtree(self.folder, ignore_errors=True)

    def ask(self, path="/v1/models", service="chat", body=None, timeout=60):
        """Status and text of an answer."""
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", data=body)
        request.add_header("Host", f"{service}.local.localhost")
        if body:
            request.add_header("Content-Type", "application/json")
        try:
            with urllib.request.urlopen(request, timeout=timeout) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def ask_beside(self, **what):
        """As `ask`, in a thread of its own; what came of it is in the list that is given back."""
        result = []

        def ask():
            try:
                result.append(self.ask(**what))
            except OSError as error:
                # Penstock was killed.
                result.append((0, str(error)))

        thread = threading.Thread(target=ask, daemon=True)
        thread.start()
        return thread, result

    def get(self, path):
        with urllib.request.urlopen(f"http://{self.admin}{path}", timeout=30) as answer:
            return answer.read().decode()

    def cli(self, *words):
        command = [PROGRAM, words[0], "--admin", self.admin, *words[1:]]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60)
        return done.stdout

    def deployment(self, service="chat", deployment="stable"):
        found = json.loads(self.get(f"/api/v1/services/{service}"))
        return next(one for one in found["deployments"] if one["name"] == deployment)

    def workers(self, service="chat", deployment="stable"):
        return self.deployment(service, deployment)["workers"]

    def wait_ready(self, count, service="chat", seconds=60):
        def there():
            """so many workers are ready"""
            workers = self.workers(service)
            return workers if [worker["state"] for worker in workers] == ["ready"] * count else None

        return wait_for(there, seconds)

    def journal(self):
        return self.get("/api/v1/journal?limit=500")


def seconds_of(what):
    began = time.monotonic()
    result = what()
    return time.monotonic() - began, result
