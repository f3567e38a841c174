"""HTTP/1.1 on both sides: requests, events, large bodies and WebSockets; with `tls` also over TLS 1.3."""

from load import CONNECTIONS, Streams, websockets, wrk
from proxies import ALIKE, WITH_LEAN, Bench
from report import alternate, cpu_each

STREAMS = 200
POST = b'{"model":"demo","prompt":"' + b"x" * (4096 - 28) + b'"}'
MIB = 1 << 20
UPLOAD = bytes(16 * MIB)

# Ratios to HAProxy: what must be reached, and what is aimed at.
GATES = {
    "get": (0.85, 0.80),
    "post": (0.92, 0.87),
    "burst": (1.0, 0.95),
    "paced": (0.95, 0.88),
    "bodies": (1.0, None),
    "tls": (1.0, 0.9),
}


def gates(kind, tls=False):
    gate, aim = GATES["tls" if tls else kind]
    return {"gate": gate, "aim": aim}


def url(proxy, path, tls=False):
    return f"https://127.0.0.1:{proxy.tls}{path}" if tls else f"http://127.0.0.1:{proxy.port}{path}"


def requests(report, tls=False):
    """Small GET and POST 4 KiB."""
    over = " over TLS 1.3" if tls else ""
    with Bench("nginx", ALIKE if tls else WITH_LEAN) as bench:
        rates = {}

        def get(proxy):
            count = wrk(bench, url(proxy, "/v1/models", tls), report.seconds)
            rates.setdefault(proxy.name, []).append(count / report.seconds)
            return count

        def post(proxy):
            return wrk(bench, url(proxy, "/v1/completions", tls), report.seconds, body=POST)

        rows = alternate(bench.proxies, report.rounds, cpu_each(get))
        report.table(f"Small GET{over}, {CONNECTIONS} connections", "CPU µs per request", rows, **gates("get", tls))
        report.note("requests per second: "
                    + ", ".join(f"{name} {sorted(rate)[len(rate) // 2]:.0f}" for name, rate in rates.items()))
        rows = alternate(bench.proxies, report.rounds, cpu_each(post))
        report.table(f"POST 4 KiB{over}, {CONNECTIONS} connections", "CPU µs per request", rows, **gates("post", tls))


def events(report, tls=False):
    """Events in bursts of fourteen in one write, and one at a time, 20 ms apart."""
    over = " over TLS 1.3" if tls else ""
    with Bench("python") as bench:
        for kind, burst, gap in (("burst", 14, 50), ("paced", 1, 20)):
            each = int(report.seconds * 1000 / gap) * burst

            def once(proxy):
                streams = Streams(bench, proxy.tls if tls else proxy.port, STREAMS, each, gap, burst, tls=tls)
                try:
                    return cpu_each(lambda _: streams.finish())(proxy)
                finally:
                    streams.close()

            rows = alternate(bench.proxies, report.rounds, once)
            how = f"bursts of {burst}, {gap} ms apart" if burst > 1 else f"one every {gap} ms"
            report.table(f"Events{over}, {STREAMS} streams, {how}", "CPU µs per event", rows, digits=2,
                         **gates(kind, tls))


def bodies(report):
    """Answers of 1 MiB, and uploads of 16 MiB."""
    with Bench("nginx") as bench:
        rows = alternate(bench.proxies, report.rounds, cpu_each(
            lambda proxy: wrk(bench, url(proxy, "/files/mib"), report.seconds, connections=10)))
        report.table("Answers of 1 MiB, 10 connections", "CPU µs per MiB", rows, **gates("bodies"))
    with Bench("python") as bench:
        rows = alternate(bench.proxies, report.rounds, cpu_each(
            lambda proxy: 16 * wrk(bench, url(proxy, "/upload"), report.seconds, connections=4, body=UPLOAD,
                                   content_type="application/octet-stream")))
        report.table("Uploads of 16 MiB, 4 connections", "CPU µs per MiB", rows, **gates("bodies"))


def websocket(report):
    """Frames of 100 bytes that come back."""
    with Bench("python") as bench:
        rows = alternate(bench.proxies, report.rounds, cpu_each(
            lambda proxy: websockets(proxy.port, report.seconds)))
        report.table(f"WebSocket echo, {CONNECTIONS} connections", "CPU µs per echo", rows, **gates("bodies"))


def tls(report):
    """GET, POST and events once more, with TLS 1.3 between client and proxy."""
    requests(report, tls=True)
    events(report, tls=True)
