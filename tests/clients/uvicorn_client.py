"""A real uvicorn as worker: it closes connections that were idle for 5 s, and no POST may notice."""

import asyncio
import socket
import subprocess
import sys
import time
import unittest

import aiohttp

from penstock import Penstock

CONFIG = """
listeners = [{{ address = "127.0.0.1:0" }}]
admin = {{ address = "127.0.0.1:0" }}
gpus = {{ devices = [] }}

[services.chat.deployments.stable]
static = {{ addresses = ["127.0.0.1:{port}"] }}
"""

AT_ONCE = 30

# Around the time after which Penstock gives up idle connections, and that of uvicorn.
PAUSES = [3.9, 3.97, 4.0, 4.03, 4.9, 4.95, 5.0, 5.05]


async def app(scope, receive, send):
    """Echoes a body, with the number of requests so far."""
    if scope["type"] != "http":
        return
    app.requests += 1
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    headers = [(b"content-length", str(len(body)).encode()), (b"x-count", str(app.requests).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


app.requests = 0


class Uvicorn:
    """Runs the app with the given HTTP implementation and uvicorn's own settings."""

    def __init__(self, http):
        self.http = http

    def __enter__(self):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        command = [sys.executable, "-B", "-m", "uvicorn", "uvicorn_client:app", "--app-dir", "tests/clients"]
        options = ["--port", str(self.port), "--http", self.http, "--log-level", "warning"]
        self.process = subprocess.Popen(command + options)
        deadline = time.monotonic() + 30
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port)).close()
                return self
            except OSError:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    raise
                time.sleep(0.02)

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(timeout=30)


class UvicornWorkers(unittest.TestCase):
    def test_posts_paced_around_its_keep_alive_meet_no_dead_connection(self):
        for http in ["h11", "httptools"]:
            with self.subTest(http), Uvicorn(http) as worker:
                with Penstock(CONFIG.format(port=worker.port)) as penstock:
                    sent, counted = asyncio.run(paced(penstock.url))
                    self.assertEqual(counted, sent, "every POST is carried out once")


async def paced(url):
    """Sends POSTs, AT_ONCE together, with each of the pauses in between; how many, and how many came."""
    # Only connections to the worker are old.
    connector = aiohttp.TCPConnector(limit=0, force_close=True, resolver=aiohttp.ThreadedResolver())
    async with aiohttp.ClientSession(connector=connector) as session:

        async def post(number):
            await asyncio.sleep(number * 0.002)
            body = f"request {number}"
            async with session.post(url, data=body) as answer:
                text = await answer.text()
                assert (answer.status, text) == (200, body), (answer.status, text)
                return int(answer.headers["x-count"])

        counts = []
        for pause in [0, *PAUSES]:
            await asyncio.sleep(pause)
            counts += await asyncio.gather(*map(post, range(AT_ONCE)))
        return len(counts), max(counts)


if __name__ == "__main__":
    unittest.main()
