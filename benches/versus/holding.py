"""What connections and streams cost while nothing is sent: memory, and how many one process holds."""

import time

from load import Streams, connect, whole
from proxies import CLIENTS, FILES, Bench, present
from report import private_bytes

IDLE = 1000
GET = b"GET /v1/models HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: bench\r\n\r\n"
# KiB: what must be reached, and what is aimed at.
IDLE_LIMIT = {"limit": 2.5, "aim": 2}
STREAM_LIMITS = {200: {"limit": 9, "aim": 7}, 2000: {"limit": 4, "aim": 3}}


def idle_connections(port, count, sources=1):
    """Connections that made one request each and stay."""
    held = []
    for index in range(count):
        sock = connect(port, source=f"127.0.0.{1 + index % sources}")
        sock.sendall(GET)
        whole(sock)
        held.append(sock)
    return held


def memory(report):
    """Private memory of an idle connection, and of an open stream with both its sides.

    Each figure is taken of a process that was started for it: memory that was used once and kept would
    hide what the next use needs. The streams got three events each.
    """
    rounds = min(report.rounds, 3)
    rows, empty = {}, {}
    for _ in range(rounds):
        with Bench("nginx") as bench:
            for name, proxy in bench.proxies.items():
                before = private_bytes(proxy)
                held = idle_connections(proxy.port, IDLE)
                time.sleep(0.5)
                rows.setdefault(name, []).append((private_bytes(proxy) - before) / IDLE / 1024)
                empty.setdefault(name, []).append(before / 2**20)
                for sock in held:
                    sock.close()
    report.table("Memory of the idle process", "MiB", empty)
    report.table(f"Memory per idle connection, {IDLE} of them", "KiB", rows, **IDLE_LIMIT)
    for count, limits in STREAM_LIMITS.items():
        rows = {}
        for _ in range(rounds):
            with Bench("python") as bench:
                for name, proxy in bench.proxies.items():
                    before = private_bytes(proxy)
                    streams = Streams(bench, proxy.port, count, each=4, gap=200, warm=3)
                    rows.setdefault(name, []).append((private_bytes(proxy) - before) / count / 1024)
                    streams.close()
        report.table(f"Memory per open stream, {count} of them", "KiB", rows, **limits)


def capacity(report):
    """20,000 idle connections and 5,000 open streams in one process, each proxy in its turn.

    A stream takes two open files of the proxy, and one more of the worker; a hard limit of open files
    that has no room for all of them makes both numbers smaller, by the same share.
    """
    share = (CLIENTS - 100) / 25_000
    idle, streams = int(20_000 * share), int(5_000 * share)
    print(f"\n{idle:,} idle connections and {streams:,} open streams in one process")
    if share < 1:
        report.note(f"not 20,000 and 5,000: the hard limit of open files is {FILES:,} here (ulimit -Hn)")
    rows = {}
    for name in present():
        with Bench("python", [name]) as bench:
            proxy = bench.proxies[name]
            before = private_bytes(proxy)
            held, open_streams = [], None
            try:
                # Streams first: idle connections to the worker would be among those they need.
                open_streams = Streams(bench, proxy.port, streams, each=4, gap=1000, warm=3, sources=4)
                held = idle_connections(proxy.port, idle, sources=4)
                begun = time.monotonic()
                with connect(proxy.port) as one_more:
                    one_more.sendall(GET)
                    whole(one_more)
                took = (time.monotonic() - begun) * 1000
                used = (private_bytes(proxy) - before) / 2**20
                open_streams.finish()
                # Each is asked once more; one that was closed meanwhile says so.
                for sock in held:
                    sock.sendall(GET)
                    whole(sock)
                rows[name], text = [used], f"all there, {used:.0f} MiB; one more request took {took:.1f} ms"
            except (OSError, RuntimeError) as error:
                text = f"lost: {error}"
            finally:
                for sock in held:
                    sock.close()
                if open_streams:
                    open_streams.close()
            if name == "penstock":
                report.judge("Connections and streams held", name in rows, f"{name}: {text}")
            else:
                report.note(f"{name}: {text}")
    report.table("Memory for all of them", "MiB", rows)
