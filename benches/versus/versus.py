#!/usr/bin/env python3
"""Penstock beside nginx and HAProxy, and beside vllm-router and smg, in one run on one machine.

Each proxy is pinned to one core; the load and the worker to another. What is compared is the CPU
time of the whole proxy process (all its threads, user and system, from schedstat) over the requests
or events that went through it, which depends far less than rates on who else wants the cores. Rounds
alternate between the proxies. Medians over the rounds are printed, with quartiles in brackets; a
ratio is the median of those within each round, so that a machine that becomes slower spoils none.
Every proxy adds the same fields for the worker (X-Forwarded-For, -Host and -Proto, Forwarded,
X-Request-Id; Penstock also traceparent) and the client (X-Request-Id), logs no requests and holds
nothing back. With TLS all take 1.3, a P-256 certificate and the cipher that OpenSSL's client asks
for first, AES-256-GCM; the handshakes of a round, one for each connection, are part of its figures.

All parts take about half an hour; `--rounds 1 --seconds 1 PART` is a quick look at one.

Needs nginx, haproxy and wrk, h2load for `http2`, valgrind and strace for `instructions` and `calls`
(apt-get install nginx haproxy wrk nghttp2-client valgrind strace), and `cargo build --release`, or
PENSTOCK=path. The part `routers` installs its two from PyPI into target/. What is missing is said and
left out. Counts, which do not depend on the machine, are held by counts.py beside this file.
"""

import argparse
import pathlib
import shutil
import subprocess
import sys

import holding
import http1
import http2
import routers
import speed
from counting import instructions, system_calls
from proxies import PENSTOCK, WITH_LEAN, end_on_signals, present, raise_limits
from report import Report

KINDS = {"get": "small GET", "get10": "GET with 10 more fields", "post": "POST 4 KiB",
         "burst": "event of a burst of 14", "paced": "paced event"}
# What must be reached, and what is aimed at.
INSTRUCTIONS = {"get": (13_000, 11_000), "get10": (17_500, None), "post": (14_500, 12_000), "burst": (700, 550),
                "paced": (2_200, 1_800)}
# None, but for the rare one that a timer makes.
ALLOCATIONS = {"get": (0.05, None), "get10": (0.05, None), "post": (0.05, None)}
# Two of each, and now and then one that wakes another thread.
TWO = {kind: (2.01, None) for kind in ("get", "get10", "post")}
# One for each read of fourteen events.
ONE_PER_BURST = {"burst": (0.075, None)}


def counts(report, tool, count, figures):
    """`figures` (title, gates and digits by name) of each proxy, as `count(name)` gives them."""
    if shutil.which(tool) is None:
        report.note(f"left out: {tool} is missing (apt-get install {tool})")
        return
    found = {name: count(name) for name in present(WITH_LEAN)}
    for figure, (title, limits, digits) in figures.items():
        rows = {what: {name: values[kind][figure] for name, values in found.items()} for kind, what in KINDS.items()}
        report.grid(title, rows, {KINDS[kind]: limit for kind, limit in limits.items()}, digits)


def instructions_part(report):
    """Instructions outside the kernel, and allocations, by callgrind."""
    counts(report, "valgrind", instructions, {
        "instructions": ("Instructions outside the kernel", INSTRUCTIONS, 0),
        "allocations": ("Allocations", ALLOCATIONS, 2)})


def calls_part(report):
    """System calls, among them reads and writes, by strace."""
    counts(report, "strace", system_calls, {
        "reads": ("Reads", TWO, 3),
        "writes": ("Writes", {**TWO, **ONE_PER_BURST}, 3),
        "calls": ("System calls, less those that wait", {}, 3)})


PARTS = {
    "requests": http1.requests,
    "events": http1.events,
    "bodies": http1.bodies,
    "websocket": http1.websocket,
    "tls": http1.tls,
    "memory": holding.memory,
    "capacity": holding.capacity,
    "latency": speed.latency,
    "threads": speed.threads,
    "http2": http2.http2,
    "routers": routers.routers,
    "instructions": instructions_part,
    "calls": calls_part,
}


def first_line(function):
    return " ".join((function.__doc__ or "").strip().split("\n\n")[0].split())


def arguments():
    parts = "\n".join(f"  {name:13} {first_line(function)}" for name, function in PARTS.items())
    parser = argparse.ArgumentParser(description=__doc__, epilog=f"parts:\n{parts}",
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", help="what to measure, in this order; all if none is given")
    parser.add_argument("--rounds", type=int, default=10, help="rounds of each measurement (default: 10)")
    parser.add_argument("--seconds", type=int, default=2, help="length of one round (default: 2)")
    parser.add_argument("--json", metavar="FILE", help="write the raw figures into this file")
    given = parser.parse_args()
    unknown = [part for part in given.parts if part not in PARTS]
    if unknown:
        parser.error(f"no part is called {', '.join(unknown)}; there are {', '.join(PARTS)}")
    if given.rounds < 1 or given.seconds < 1:
        parser.error("rounds and seconds must be 1 or more")
    return given


def versions():
    """What was measured."""
    said = {}
    for name, command in {"nginx": ["nginx", "-v"], "haproxy": ["haproxy", "-v"],
                          "penstock": [PENSTOCK, "--version"]}.items():
        if shutil.which(command[0]):
            done = subprocess.run(command, capture_output=True, text=True)
            said[name] = (done.stdout + done.stderr).splitlines()[0]
    return said


def main():
    given = arguments()
    needed = [tool for tool in ("wrk", "taskset", "openssl", "nginx") if shutil.which(tool) is None]
    if needed:
        sys.exit(f"not installed: {', '.join(needed)} (apt-get install nginx wrk util-linux openssl)")
    if not PENSTOCK.exists():
        sys.exit(f"{PENSTOCK} is not there: cargo build --release, or set PENSTOCK")
    end_on_signals()
    raise_limits()
    if "haproxy" not in present():
        print("HAProxy is not installed, so there is nothing to judge ratios by (apt-get install haproxy)")
    report, failed = Report(given.rounds, given.seconds), []
    try:
        for name in given.parts or PARTS:
            try:
                PARTS[name](report)
            except (RuntimeError, OSError, subprocess.SubprocessError) as error:
                failed.append(name)
                report.note(f"{name} FAILED: {error}")
    except KeyboardInterrupt:
        sys.exit("interrupted")
    finally:
        if given.json:
            report.write(pathlib.Path(given.json), versions())
    report.summary()
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
