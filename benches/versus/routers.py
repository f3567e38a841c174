"""vllm-router and smg, which people would pick instead, each beside Penstock with the same worker."""

import subprocess
import sys
import urllib.request

from http1 import url
from load import wrk
from proxies import PEERS, PROXY_CORE, Bench, Proxy, free_port, started
from report import alternate, cpu_each

# Installed into a virtual environment in target/, at the versions that were measured.
PACKAGES = {"vllm-router": "vllm-router==0.1.17", "smg": "smg==1.13.0"}


def install(report):
    """The routers that are there, installed if need be."""
    python = PEERS / "venv/bin/python"
    made = subprocess.run([sys.executable, "-m", "venv", PEERS / "venv"], capture_output=True, text=True)
    if made.returncode:
        report.note("both left out: no virtual environment (apt-get install python3-venv): "
                    + (made.stdout + made.stderr).strip()[:200])
        return []
    there = []
    for name, package in PACKAGES.items():
        command = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", package]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            report.note(f"{name} left out: pip could not install {package}: {done.stderr.strip()[-200:]}")
        else:
            there.append(name)
    return there


def command(name, port, bench):
    """Round robin: with one worker nothing is to be chosen, and this is the cheapest way to choose."""
    worker = f"http://127.0.0.1:{bench.worker}"
    common = ["--host", "127.0.0.1", "--port", port, "--worker-urls", worker, "--policy", "round_robin",
              "--prometheus-host", "127.0.0.1", "--prometheus-port", free_port(), "--max-concurrent-requests", 4096]
    if name == "vllm-router":
        return [PEERS / "venv/bin/vllm-router", *common, "--log-level", "error"]
    return [PEERS / "venv/bin/smg", "launch", *common, "--log-level", "error", "--disable-load-monitoring"]


def chat(size, stream):
    text = b'{"model":"demo","stream":%s,"messages":[{"role":"user","content":"' % (b"true" if stream else b"false")
    return text + b"x" * (size - len(text) - 4) + b'"}]}'


def serves(port):
    """Whether a chat request is answered yet: these routers listen before they know their workers."""
    try:
        request = urllib.request.Request(f"http://127.0.0.1:{port}/v1/chat/completions", chat(200, False),
                                         {"Content-Type": "application/json"})
        return urllib.request.urlopen(request, timeout=5).status == 200
    except OSError:
        return False


def routers(report):
    """POST /v1/chat/completions of 200 B and 200 KB, plain and streamed (20 events, 5 ms apart)."""
    there = install(report)
    if not there:
        return
    with Bench("python", ["penstock"]) as bench:
        for name in there:
            port = free_port()
            try:
                process = started(command(name, port, bench), PROXY_CORE, port, bench.folder, patience=60,
                                  ready=lambda port=port: serves(port))
            except RuntimeError as error:
                report.note(f"{name} left out: {error}")
                continue
            bench.processes.append(process)
            bench.proxies[name] = Proxy(name, process, {"PORT": port, "TLS": 0, "H2": 0})
        for size in (200, 200_000):
            for stream in (False, True):
                connections = 50 if size < 1000 else 10
                rows = alternate(bench.proxies, report.rounds, cpu_each(lambda proxy: wrk(
                    bench, url(proxy, "/v1/chat/completions"), report.seconds, connections, chat(size, stream))))
                how = "streamed" if stream else "plain"
                report.table(f"Chat of {size:,} B, {how}, {connections} connections", "CPU µs per request", rows,
                             base="penstock")
