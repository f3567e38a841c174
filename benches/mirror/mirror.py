#!/usr/bin/env python3
"""What a mirror costs its originals: latencies without one, and with one whose target misbehaves.

The same worker stands behind three services of one Penstock: `off` has no mirror, the mirror of
`well` has a target that answers, and that of `hangs` one that takes connections and does nothing
more. Rounds alternate between them, so that noise of the machine meets all alike; the median of the
rounds counts, and what is printed last is the ratio to `off`.

    benches/mirror/mirror.py            about one minute
    ROUNDS=1 SECONDS=1 benches/mirror/mirror.py

Needs `cargo build --release`, or another binary in PENSTOCK. Everything here runs on one machine:
`well` includes the CPU time that the copies take from the originals.
"""

import asyncio
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
PENSTOCK = pathlib.Path(os.environ.get("PENSTOCK", ROOT / "target/release/penstock"))
ROUNDS = int(os.environ.get("ROUNDS", "5"))
SECONDS = float(os.environ.get("SECONDS", "2"))
CONNECTIONS = 16
BODIES = [100, 100_000]
SERVICES = ["off", "well", "hangs"]

CONFIG = """
listeners = [{ address = "127.0.0.1:0" }]
admin = { address = "127.0.0.1:0" }
gpus = { devices = [] }
"""

SERVICE = """
[services.%(name)s]
%(mirror)s
[services.%(name)s.deployments.stable]
ramp = false
static = { addresses = ["127.0.0.1:%(worker)d"] }
"""

TARGET = """
[services.%(name)s.deployments.candidate]
ramp = false
takes_traffic = false
static = { addresses = ["127.0.0.1:%(target)d"] }
"""


async def answers(reader, writer):
    """A worker: reads requests with a length, and answers each."""
    try:
        while head := await reader.readuntil(b"\r\n\r\n"):
            lines = head.lower().split(b"\r\n")
            length = next(int(line[15:]) for line in lines if line.startswith(b"content-length:"))
            await reader.readexactly(length)
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
    except (asyncio.IncompleteReadError, asyncio.CancelledError, ConnectionError):
        pass
    finally:
        writer.close()


class Hangs(asyncio.Protocol):
    """A worker that takes connections and reads nothing of them."""

    def connection_made(self, transport):
        transport.pause_reading()


def config(worker, hanging):
    text = CONFIG
    for name in SERVICES:
        mirror = 'mirror = { to = "candidate", timeout = "1s" }' if name != "off" else ""
        text += SERVICE % {"name": name, "mirror": mirror, "worker": worker}
        if mirror:
            target = hanging if name == "hangs" else worker
            text += TARGET % {"name": name, "target": target}
    return text


async def client(port, request, until, latencies):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    while time.monotonic() < until:
        begun = time.perf_counter()
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200"), head
        assert await reader.readexactly(2) == b"ok"
        latencies.append(time.perf_counter() - begun)
    writer.close()


async def measured(port, name, size):
    """The median and the 99th percentile of a round, in milliseconds."""
    head = f"POST / HTTP/1.1\r\nhost: {name}.local.localhost\r\ncontent-length: {size}\r\n\r\n"
    request = head.encode() + bytes(size)
    latencies, until = [], time.monotonic() + SECONDS
    clients = [client(port, request, until, latencies) for _ in range(CONNECTIONS)]
    await asyncio.gather(*clients)
    latencies.sort()
    return [1000 * latencies[int(share * (len(latencies) - 1))] for share in (0.5, 0.99)]


async def started(folder):
    ready = folder / "ready.json"
    process = subprocess.Popen(
        [PENSTOCK, "run", "penstock.toml"],
        cwd=folder,
        env={**os.environ, "PENSTOCK_READY_FILE": str(ready)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 10
    while not ready.exists():
        if process.poll() is not None or time.monotonic() > deadline:
            process.kill()
            sys.exit(f"{PENSTOCK} does not start with {folder}/penstock.toml")
        await asyncio.sleep(0.02)
    listener = json.loads(ready.read_text())["listeners"][0]
    return process, int(listener.rpartition(":")[2])


async def compare(port):
    for size in BODIES:
        rounds = {name: [] for name in SERVICES}
        for _ in range(ROUNDS):
            for name in SERVICES:
                rounds[name].append(await measured(port, name, size))
        medians = {
            name: [statistics.median(column) for column in zip(*rows)]
            for name, rows in rounds.items()
        }
        print(f"bodies of {size} bytes, {CONNECTIONS} connections, median of {ROUNDS} rounds")
        for name, (p50, p99) in medians.items():
            ratios = [here / off for here, off in zip((p50, p99), medians["off"])]
            print(
                f"  {name:6}  p50 {p50:7.3f} ms  p99 {p99:7.3f} ms"
                f"   to off: p50 {ratios[0]:.2f}  p99 {ratios[1]:.2f}"
            )


async def main():
    worker = await asyncio.start_server(answers, "127.0.0.1", 0)
    loop = asyncio.get_running_loop()
    hanging = await loop.create_server(Hangs, "127.0.0.1", 0)
    ports = [server.sockets[0].getsockname()[1] for server in (worker, hanging)]
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        (folder / "penstock.toml").write_text(config(*ports))
        process, port = await started(folder)
        try:
            await compare(port)
        finally:
            process.kill()
            process.wait()


asyncio.run(main())
