"""HTTP/2 without TLS: requests to an HTTP/1.1 worker, and unary gRPC calls to an h2c worker."""

import shutil

from load import h2load
from proxies import Bench
from report import alternate, cpu_each

STREAMS = 100
GATE = {"gate": 0.9}

# nginx answers about one call of 30,000 with 502, because its worker "sent frame for unknown stream" on a
# connection that it kept. Of 490,000 through HAProxy and 357,000 through Penstock none failed.
NGINX_MAY_LOSE = 1 / 1000


def http2(report):
    """100 streams on each of four connections. The worker of both is nginx: for gRPC one that answers every
    call with a message of 64 bytes and the trailer grpc-status, over h2c."""
    if shutil.which("h2load") is None:
        report.note("http2 left out: h2load is missing (apt-get install nghttp2-client)")
        return
    with Bench("nginx") as bench:
        for title, path, grpc in (("h2c GET", "/v1/models", False), ("gRPC unary", "/bench.Echo/Say", True)):
            rows = alternate(bench.proxies, report.rounds, cpu_each(lambda proxy: h2load(
                bench, f"http://127.0.0.1:{proxy.h2}{path}", report.seconds, 4, STREAMS, grpc,
                NGINX_MAY_LOSE if grpc and proxy.name == "nginx" else 0.0)))
            report.table(f"{title}, 4 connections of {STREAMS} streams", "CPU µs per request", rows, **GATE)
