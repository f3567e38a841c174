"""What a proxy does for a request or an event, counted: instructions, allocations and system calls.

Instructions are those outside the kernel, of the thread that does the work, counted by callgrind;
allocations are the calls to the allocator that it saw. System calls are counted by strace. All of
it over the same steps of `lockstep.py`, which is why the tools may be slow.
"""

import pathlib
import re
import signal
import subprocess

from lockstep import BURST, Ends
from proxies import Bench, end, spawn

# The names under which jemalloc (Penstock) and the C library (the others) are called.
ALLOCATORS = re.compile(r"^(_rjem_)?(malloc|calloc|realloc|mallocx|rallocx|memalign|posix_memalign|aligned_alloc)"
                        r"(@@GLIBC_[\d.]+)?('\d+)?$")
READS = {"read", "readv", "recvfrom", "recvmsg"}
WAITS = {"epoll_wait", "epoll_pwait", "epoll_pwait2"}
WRITES = {"write", "writev", "sendto", "sendmsg"}

# Kind: batches or rounds to warm up, and to count.
STEPS = {"get": (40, 200), "get10": (10, 200), "post": (10, 200), "burst": (2, 10), "paced": (5, 50)}
REQUESTS = ("get", "get10", "post")


def thread_of_work(proxy):
    """The id of the thread that carries requests; the others are one process of one thread."""
    if proxy.name != "penstock":
        return proxy.pid
    for task in pathlib.Path(f"/proc/{proxy.pid}/task").iterdir():
        if (task / "comm").read_text().strip() == "gateway-0":
            return int(task.name)
    raise RuntimeError("Penstock has no thread that is called gateway-0")


def steps(ends, around):
    """Takes every kind of step; `around(count)` runs it and gives what was counted, per request or event."""
    figures = {}
    for kind in REQUESTS:
        warm, counted = STEPS[kind]
        ends.requests(kind, warm)
        figures[kind] = around(lambda kind=kind, counted=counted: ends.requests(kind, counted))
    ends.close()
    pairs = ends.open_streams()
    for kind, burst in (("burst", BURST), ("paced", 1)):
        warm, counted = STEPS[kind]
        ends.events(pairs, warm, burst)
        figures[kind] = around(lambda counted=counted, burst=burst: ends.events(pairs, counted, burst))
    ends.close()
    return figures


def counted(name, wrap, around, **options):
    """Starts one proxy and takes the steps through it."""
    ends = Ends()
    try:
        with Bench(worker=None, names=[name], worker_port=ends.worker_port,
                   wrap={name: wrap} if wrap else None, **options) as bench:
            ends.attach(bench.proxies[name])
            return steps(ends, lambda run: around(bench, bench.proxies[name], run))
    finally:
        ends.end()


def control(pid, *what):
    done = subprocess.run(["callgrind_control", *what, str(pid)], capture_output=True, text=True, timeout=120)
    if done.returncode or "Error" in done.stdout + done.stderr:
        raise RuntimeError(f"callgrind_control {what} failed: {done.stdout}{done.stderr}")


def read_dump(file):
    """Instructions in all, and calls to the allocator, of one file of callgrind's."""
    total, calls, names, called = 0, 0, {}, None
    for line in file.read_text(errors="replace").splitlines():
        # "fn=(12) name" names a function once, "fn=(12)" again; likewise "cfn=" before "calls=".
        match = re.match(r"(c?fn)=\((\d+)\)(?: (.*))?$", line)
        if match:
            if match[3]:
                names[match[2]] = match[3]
            if match[1] == "cfn":
                called = names[match[2]]
        elif line.startswith("calls=") and ALLOCATORS.match(called):
            calls += int(line[6:].split()[0])
        elif line.startswith("totals: "):
            total = int(line.split()[1])
    return total, calls


def instructions(name):
    """Instructions and allocations of each kind of step, per request or event."""
    def around(bench, proxy, run):
        pid = proxy.pid
        control(pid, "--instr=on")
        count = run()
        # Before counting is switched off: afterwards the sums read zero.
        control(pid, "--dump")
        control(pid, "--instr=off")
        # One file for each thread; the one without a number is a list of them.
        dumps = [read_dump(file) for file in bench.folder.glob(f"callgrind.{pid}.*")]
        for file in bench.folder.glob(f"callgrind.{pid}.*"):
            file.unlink()
        total, calls = max(dumps)
        if not total:
            raise RuntimeError("callgrind counted nothing")
        return {"instructions": total / count, "allocations": calls / count}

    def wrap(folder):
        return ["valgrind", "--tool=callgrind", "--instr-atstart=no", "--separate-threads=yes",
                "--trace-children=yes", f"--callgrind-out-file={folder}/callgrind.%p"]

    return counted(name, wrap, around)


def system_calls(name):
    """System calls of each kind of step, reads and writes apart, per request or event."""
    def around(bench, proxy, run):
        file = bench.folder / "strace"
        process = spawn(["strace", "-c", "-U", "calls,name", "-o", file, "-p", thread_of_work(proxy)],
                        stderr=subprocess.PIPE, text=True)
        said = process.stderr.readline()
        if "attached" not in said:
            end(process)
            raise RuntimeError(f"strace could not attach: {said.strip()}")
        count = run()
        process.send_signal(signal.SIGINT)
        process.wait(20)
        end(process)
        calls = {name: int(number) for number, name in re.findall(r"^\s*(\d+)\s+(\w+)$", file.read_text(), re.M)}
        calls.pop("total", None)
        waits = sum(calls.get(name, 0) for name in WAITS)
        return {"reads": sum(calls.get(name, 0) for name in READS) / count,
                "writes": sum(calls.get(name, 0) for name in WRITES) / count,
                # How often it waits is a matter of timing, all else is not.
                "calls": (sum(calls.values()) - waits) / count,
                "waits": waits / count,
                "by name": {name: number / count for name, number in sorted(calls.items())}}

    return counted(name, None, around)
