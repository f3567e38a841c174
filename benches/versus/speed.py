"""Times and rates: the slowest answers at half load, and a second thread."""

import contextlib
import os
import statistics

from http1 import url
from load import open_loop, wrk
from proxies import Bench, LOAD_CORE
from report import alternate, cpu_ns


@contextlib.contextmanager
def undisturbed(report):
    """Real-time priority for us and all that is started meanwhile, and our load on the core for it.

    At ordinary priority one busy process more on a core makes a p99 of 4 ms, whichever proxy is measured:
    the scheduler lets each run for so long. The CPU times elsewhere hardly depend on that.
    """
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {int(LOAD_CORE)})
    try:
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
    except PermissionError:
        report.note("no right to real-time priority (be root): other processes make p99 longer")
    try:
        yield
    finally:
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
        os.sched_setaffinity(0, cores)


def latency(report):
    """p99 of small GETs at half of the rate that HAProxy reaches on one core.

    Twice as many rounds as elsewhere, since a pause of the machine alone can make one of them.
    """
    with undisturbed(report), Bench("nginx") as bench:
        peak = bench.proxies.get("haproxy") or bench.proxies["penstock"]
        rate = statistics.median(
            wrk(bench, url(peak, "/v1/models"), report.seconds) / report.seconds for _ in range(3)) / 2
        times = {name: [] for name in bench.proxies}

        def once(proxy):
            took = sorted(open_loop(proxy.port, rate, report.seconds))
            times[proxy.name].append(took[len(took) // 2])
            return took[int(len(took) * 0.99)]

        rows = alternate(bench.proxies, 2 * report.rounds, once)
    report.table(f"p99 at {rate:,.0f} requests per second, half of {peak.name}'s peak", "µs", rows, gate=1.0)
    report.table("p50 of the same", "µs", times)
    report.note("open loop, arrivals by chance, the time counts from when a request was due; the load, a loop in "
                "Python, shares a core with the worker and is part of every figure")


def threads(report):
    """Two gateway threads against one.

    With four cores and more, by rate, the load on cores of its own. With fewer, nothing is left for the load
    when both threads have a core, and what can be said is how much more a request costs with two: they
    would do 2 × as much if that were nothing.
    """
    cores = os.cpu_count()
    with Bench("nginx", ["penstock"], threads=1, cores="0,1") as one, \
            Bench("nginx", ["penstock"], threads=2, cores="0,1") as two:
        proxies = {"one thread": one.proxies["penstock"], "two threads": two.proxies["penstock"]}
        rates = {name: [] for name in proxies}

        def once(proxy):
            name = "one thread" if proxy is proxies["one thread"] else "two threads"
            before = cpu_ns(proxy)
            count = wrk(one if name == "one thread" else two, url(proxy, "/v1/models"), report.seconds, 100)
            rates[name].append(count / report.seconds)
            return (cpu_ns(proxy) - before) / count / 1000

        rows = alternate(proxies, report.rounds, once)
    report.table("Small GET with two gateway threads", "CPU µs per request", rows, base="one thread")
    medians = {name: statistics.median(values) for name, values in rows.items()}
    by_cost = 2 * medians["one thread"] / medians["two threads"]
    by_rate = statistics.median(rates["two threads"]) / statistics.median(rates["one thread"])
    value, how = (by_rate, "by rate") if cores >= 4 else (
        by_cost, f"by cost per request, since {cores} cores leave none for the load ({by_rate:.2f} × by rate)")
    report.judge("Two gateway threads against one", value >= 1.8, f"two threads do {value:.2f} × {how}; gate ≥ 1.8")
