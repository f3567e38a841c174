#!/usr/bin/env python3
"""Penstock beside nginx and HAProxy, in one run on one machine.

Each proxy is pinned to one core; the load and the worker to another. What is compared is the CPU
time of the whole proxy process (user and system, from /proc) over the requests or events that
went through it: unlike rates it does not depend on who else wants the cores. Rounds alternate
between the proxies, and the median of the rounds counts.

    benches/versus/versus.py                  everything, about three minutes
    benches/versus/versus.py requests         small keep-alive requests only (also: events, memory)

Needs nginx, haproxy and wrk from the distribution, and `cargo build --release`.
"""

import asyncio
import os
import pathlib
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
PENSTOCK = pathlib.Path(os.environ.get("PENSTOCK", ROOT / "target/release/penstock"))
TICK = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")
PROXY_CORE, LOAD_CORE = "0", "1"

ROUNDS = 5
SECONDS = 4
CONNECTIONS = 50
STREAMS = 200
EVENTS_EACH = 200
TOKENS_PER_SECOND = 50
IDLE_CONNECTIONS = 1000


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def started(command, core, port, **options):
    process = subprocess.Popen(
        ["taskset", "-c", core, *map(str, command)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        **options,
    )
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        if process.poll() is not None:
            sys.exit(f"{command[0]} ended at once; run it by hand to see why: {command}")
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return process
        except OSError:
            time.sleep(0.02)
    sys.exit(f"{command[0]} does not listen")


class Bench:
    """The worker and the three proxies in front of it."""

    def __init__(self, folder, origin):
        self.folder = pathlib.Path(folder)
        self.processes = []
        self.origin = free_port()
        self.start_origin(origin)
        self.proxies = {}
        nginx, haproxy, penstock = free_port(), free_port(), free_port()
        self.add("nginx", nginx, ["nginx", "-c", self.config("nginx.conf", nginx)])
        self.add("haproxy", haproxy, ["haproxy", "-db", "-f", self.config("haproxy.cfg", haproxy)])
        self.add("penstock", penstock, [PENSTOCK, "run", self.config("penstock.toml", penstock)])

    def config(self, name, port):
        text = (HERE / name).read_text()
        for mark, value in {"DIR": self.folder, "PORT": port, "ORIGIN": self.origin}.items():
            text = text.replace(f"@{mark}@", str(value))
        file = self.folder / f"{port}-{name}"
        file.write_text(text)
        return file

    def start_origin(self, origin):
        if origin == "static":
            command = ["nginx", "-c", self.config("origin.conf", self.origin)]
        else:
            command = [PENSTOCK, "worker", "--port", self.origin, "--load-time", "0s", "--batch", "2000",
                       "--tokens-per-second", TOKENS_PER_SECOND, "--time-to-first-token", "1s"]
        self.processes.append(started(command, LOAD_CORE, self.origin))

    def add(self, name, port, command):
        process = started(command, PROXY_CORE, port)
        self.processes.append(process)
        self.proxies[name] = (port, process.pid)

    def close(self):
        for process in self.processes:
            os.killpg(process.pid, signal.SIGTERM)
        for process in self.processes:
            process.wait(timeout=60)


def family(pid):
    """The process and its children (nginx does its work in one)."""
    children = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *map(int, children)]


def cpu_seconds(pid):
    total = 0
    for member in family(pid):
        fields = pathlib.Path(f"/proc/{member}/stat").read_text().rsplit(")", 1)[1].split()
        total += int(fields[11]) + int(fields[12])
    return total / TICK


def private_bytes(pid):
    total = 0
    for member in family(pid):
        text = pathlib.Path(f"/proc/{member}/smaps_rollup").read_text()
        total += sum(int(kib) * 1024 for kib in re.findall(r"^Private_\w+:\s+(\d+) kB", text, re.M))
    return total


def table(title, unit, rows):
    print(f"\n{title} ({unit}; median, least and most of {ROUNDS} rounds)")
    base = statistics.median(rows["haproxy"])
    for name, values in rows.items():
        median = statistics.median(values)
        print(f"  {name:9} {median:8.1f}   {min(values):8.1f} to {max(values):8.1f}   {median / base:5.2f} × HAProxy")


def requests(folder):
    bench = Bench(folder, "static")
    rows = {name: [] for name in bench.proxies}
    rates = {name: [] for name in bench.proxies}
    for _ in range(ROUNDS):
        for name, (port, pid) in bench.proxies.items():
            before = cpu_seconds(pid)
            wrk = subprocess.run(
                ["taskset", "-c", LOAD_CORE, "wrk", "-t1", f"-c{CONNECTIONS}", f"-d{SECONDS}s",
                 f"http://127.0.0.1:{port}/v1/models"],
                capture_output=True, text=True, check=True)
            used = cpu_seconds(pid) - before
            if "Non-2xx" in wrk.stdout or "Socket errors" in wrk.stdout:
                sys.exit(f"{name} failed requests:\n{wrk.stdout}")
            count = int(re.search(r"(\d+) requests in", wrk.stdout)[1])
            rows[name].append(used / count * 1e6)
            rates[name].append(count / SECONDS)
    bench.close()
    table(f"Small keep-alive requests, {CONNECTIONS} connections", "CPU µs per request", rows)
    print("  requests per second: " + ", ".join(f"{n} {statistics.median(r):.0f}" for n, r in rates.items()))


async def stream(port, ready, go):
    body = (b'{"model":"demo","stream":true,"max_tokens":%d,'
            b'"messages":[{"role":"user","content":"hello"}]}' % EVENTS_EACH)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
                 b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
    await reader.readuntil(b"\r\n\r\n")
    ready.release()
    await go.wait()
    events = 0
    tail = b""
    while b"[DONE]" not in tail:
        piece = await reader.read(65536)
        if not piece:
            sys.exit("a stream was cut off")
        events += piece.count(b"data: ")
        tail = tail[-8:] + piece
    writer.close()
    return events


async def streams(port, pid):
    ready, go = asyncio.Semaphore(0), asyncio.Event()
    tasks = [asyncio.create_task(stream(port, ready, go)) for _ in range(STREAMS)]
    for _ in tasks:
        await ready.acquire()
    memory = private_bytes(pid)
    before = cpu_seconds(pid)
    go.set()
    events = sum(await asyncio.gather(*tasks))
    return (cpu_seconds(pid) - before) / events * 1e6, memory


def events(folder):
    bench = Bench(folder, "simulated")
    rows = {name: [] for name in bench.proxies}
    memory = {}
    os.sched_setaffinity(0, {int(LOAD_CORE)})
    for _ in range(ROUNDS):
        for name, (port, pid) in bench.proxies.items():
            idle = private_bytes(pid)
            each, open_streams = asyncio.run(streams(port, pid))
            rows[name].append(each)
            memory.setdefault(name, (open_streams - idle) / STREAMS)
    os.sched_setaffinity(0, {int(LOAD_CORE), int(PROXY_CORE)})
    bench.close()
    table(f"Server-sent events, {STREAMS} streams, {1000 // TOKENS_PER_SECOND} ms apart", "CPU µs per event", rows)
    print("  memory per open stream: " + ", ".join(f"{n} {b / 1024:.1f} KiB" for n, b in memory.items()))


def memory(folder):
    bench = Bench(folder, "static")
    print(f"\nMemory (private; {IDLE_CONNECTIONS} keep-alive connections that made one request each)")
    for name, (port, pid) in bench.proxies.items():
        idle = private_bytes(pid)
        connections = []
        for _ in range(IDLE_CONNECTIONS):
            connection = socket.create_connection(("127.0.0.1", port))
            connection.sendall(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            connection.recv(4096)
            connections.append(connection)
        each = (private_bytes(pid) - idle) / IDLE_CONNECTIONS
        print(f"  {name:9} idle {idle / 2**20:6.1f} MiB   per connection {each / 1024:6.1f} KiB")
        for connection in connections:
            connection.close()
    bench.close()


def main():
    missing = [tool for tool in ("nginx", "haproxy", "wrk", "taskset") if shutil.which(tool) is None]
    if missing:
        sys.exit(f"not installed: {', '.join(missing)} (apt-get install nginx haproxy wrk util-linux)")
    if not PENSTOCK.exists():
        sys.exit(f"{PENSTOCK} is not there: cargo build --release")
    parts = {"requests": requests, "events": events, "memory": memory}
    for name in sys.argv[1:] or parts:
        if name not in parts:
            sys.exit(__doc__)
        with tempfile.TemporaryDirectory() as folder:
            parts[name](folder)


main()
