"""Measuring processor time and memory, and what is printed of it and written as JSON."""

import json
import pathlib
import platform
import re
import statistics
import time


def cpu_ns(proxy):
    """Time that all threads of the proxy ran, in nanoseconds, user and system."""
    total = 0
    for member in proxy.family():
        for task in pathlib.Path(f"/proc/{member}/task").iterdir():
            total += int((task / "schedstat").read_text().split()[0])
    return total


def private_bytes(proxy):
    total = 0
    for member in proxy.family():
        text = pathlib.Path(f"/proc/{member}/smaps_rollup").read_text()
        total += sum(int(kib) * 1024 for kib in re.findall(r"^Private_\w+:\s+(\d+) kB", text, re.M))
    return total


def alternate(proxies, rounds, once):
    """`rounds` values of `once(proxy)` for each proxy; the order turns around every round."""
    rows = {name: [] for name in proxies}
    for index in range(rounds):
        order = list(proxies) if index % 2 == 0 else list(proxies)[::-1]
        for name in order:
            rows[name].append(once(proxies[name]))
    return rows


def cpu_each(once):
    """CPU µs for each of what `once(proxy)` says it did."""
    def measured(proxy):
        before = cpu_ns(proxy)
        count = once(proxy)
        return (cpu_ns(proxy) - before) / count / 1000
    return measured


def quartiles(values):
    if len(values) < 2:
        return values[0], values[0]
    low, _, high = statistics.quantiles(values, n=4, method="inclusive")
    return low, high


class Report:
    """Prints tables as they come, and keeps the raw figures."""

    def __init__(self, rounds, seconds):
        self.begun = time.strftime("%Y-%m-%d %H:%M:%S")
        self.rounds, self.seconds, self.tables, self.notes = rounds, seconds, [], []

    def note(self, text):
        self.notes.append(text)
        print(f"  {text}", flush=True)

    def table(self, title, unit, rows, base="haproxy", gate=None, aim=None, limit=None, digits=1):
        """Values of each proxy, one a round, and their ratios to those of `base` in the same rounds.

        `gate` and `aim` are ratios to `base`; `limit` is a figure of Penstock's own, and then so is `aim`.
        """
        rows = {name: values for name, values in rows.items() if values}
        if not rows:
            return
        print(f"\n{title} ({unit}; median and quartiles of {max(map(len, rows.values()))})")
        verdict, ratios = None, {}
        for name, values in rows.items():
            median, (low, high) = statistics.median(values), quartiles(values)
            spread = f"[{low:.{digits}f} to {high:.{digits}f}]"
            line, ratio = f"  {name:12} {median:10.{digits}f}  {spread:19}", None
            if base in rows:
                # Of two that ran in the same round: the machine is as fast for both.
                each = [value / beside for value, beside in zip(values, rows[base])]
                ratio, (low, high) = statistics.median(each), quartiles(each)
                ratios[name] = [ratio, low, high]
                line += f" {ratio:6.2f} × {base}" + (f" [{low:.2f} to {high:.2f}]" if name != base else "")
            if name == "penstock" and (gate or limit):
                value = ratio if gate else median
                verdict = "not judged" if value is None else "held" if value <= (gate or limit) else "MISSED"
                line += f"   gate ≤ {gate or limit}: {verdict}" + (f" (aim {aim})" if aim else "")
            print(line.rstrip(), flush=True)
        self.tables.append({"title": title, "unit": unit, "base": base, "gate": gate, "aim": aim,
                            "limit": limit, "verdict": verdict, "ratios": ratios, "rows": rows})

    def judge(self, title, held, text):
        """A gate that is no figure of a table."""
        verdict = "held" if held else "MISSED"
        self.tables.append({"title": title, "text": text, "verdict": verdict, "rows": {}})
        print(f"  {text}: {verdict}", flush=True)

    def grid(self, title, rows, limits, digits=0, base="haproxy"):
        """Counts, one of each proxy: `rows` are {what: {name: count}}, `limits` {what: (gate, aim)}."""
        names = list(next(iter(rows.values())))
        print(f"\n{title}\n  {'':26}" + "".join(f"{name:>13}" for name in names))
        for what, counts in rows.items():
            line = f"  {what:26}" + "".join(f"{counts[name]:13,.{digits}f}" for name in names)
            ratio = counts["penstock"] / counts[base] if counts.get(base) else None
            line += f"   {ratio:5.2f} × {base}" if ratio is not None else ""
            limit, aim = limits.get(what, (None, None))
            verdict = None
            if limit:
                verdict = "held" if counts["penstock"] <= limit else "MISSED"
                line += f"   gate ≤ {limit:,}: {verdict}" + (f" (aim {aim:,})" if aim else "")
            print(line, flush=True)
            self.tables.append({"title": f"{title}, {what}", "unit": "count", "base": base, "gate": None, "aim": aim,
                                "limit": limit, "verdict": verdict,
                                "rows": {name: [counts[name]] for name in names}})

    def summary(self):
        judged = [table for table in self.tables if table["verdict"] in ("held", "MISSED")]
        missed = [table["title"] for table in judged if table["verdict"] == "MISSED"]
        if judged:
            print(f"\nGates: {len(judged) - len(missed)} of {len(judged)} held"
                  + (f"; missed: {'; '.join(missed)}" if missed else ""))

    def write(self, file, versions):
        pathlib.Path(file).write_text(json.dumps({
            "begun": self.begun, "machine": platform.platform(), "versions": versions,
            "rounds": self.rounds, "seconds": self.seconds, "tables": self.tables, "notes": self.notes,
        }, indent=1, ensure_ascii=False) + "\n")
