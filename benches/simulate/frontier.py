#!/usr/bin/env python3
"""Says who is at least as good as whom, from what `penstock simulate --references --json` printed.

    benches/simulate/frontier.py FILE...

"At least as good" means: no more GPU-seconds, no larger share of requests that wait over 1 s or over the
limit of `--slo`, and no more that get no whole answer: shed, or cut because their worker was stopped.
"""

import collections
import json
import math
import sys

WORSE_WHEN_MORE = ("gpu_seconds", "share_over_1s", "share_over_slo", "failed")
PREFIX = "Penstock, "


def cases(paths):
    """The runs of every trace, rate and start time, by the names of their scalers."""
    found = collections.defaultdict(dict)
    for path in paths:
        with open(path) as file:
            for run in json.load(file):
                run["failed"] = run["shed"] + run["cut"]
                found[path, run["speed"], run["start_seconds"]][run["scaler"]] = run
    return found


def as_good(one, other):
    return all(one[what] <= other[what] + 1e-9 for what in WORSE_WHEN_MORE)


def matched(found):
    """For every other system: how often one of ours is at least as good, and what is not."""
    counts, of, missed = collections.Counter(), collections.Counter(), []
    for case, runs in found.items():
        ours = [run for name, run in runs.items() if name.startswith(PREFIX)]
        for name, run in runs.items():
            if name.startswith(PREFIX):
                continue
            of[name] += 1
            if any(as_good(our, run) for our in ours):
                counts[name] += 1
            else:
                missed.append((*case, name))
    for name in of:
        print(f"{name:28} matched or beaten in {counts[name]} of {of[name]}")
    print(f"{'all':28} matched or beaten in {counts.total()} of {of.total()}")
    for path, speed, start, name in missed:
        print(f"    not: {name}, {path} ×{speed:g}, start {start:g} s")


def beaten(found):
    """For every setting of ours: how often another system is at least as good."""
    counts = collections.Counter()
    for runs in found.values():
        others = [run for name, run in runs.items() if not name.startswith(PREFIX)]
        for name, run in runs.items():
            if name.startswith(PREFIX):
                counts[name] += any(as_good(other, run) for other in others)
    for name, count in counts.items():
        cut = sum(runs[name]["cut"] for runs in found.values())
        print(f"{name:28} has one at least as good in {count} of {len(found)}, {cut} cut")


def beside(found, other):
    """Every setting of ours as a share of another system; the geometric mean of all cases."""
    names = {name for runs in found.values() for name in runs if name.startswith(PREFIX)}
    print(f"\nbeside {other}:        GPU-seconds  starts  over 1s  over slo")
    for name in sorted(names):
        shares = []
        for what in ("gpu_seconds", "starts", "share_over_1s", "share_over_slo"):
            pairs = [(runs[name][what], runs[other][what]) for runs in found.values()]
            logs = [math.log(ours / theirs) for ours, theirs in pairs if ours > 0 and theirs > 0]
            shares.append(math.exp(sum(logs) / len(logs)) if logs else math.nan)
        print(f"{name:28}" + "".join(f"{share:9.2f}" for share in shares))


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    found = cases(sys.argv[1:])
    matched(found)
    print()
    beaten(found)
    beside(found, "Knative KPA")


if __name__ == "__main__":
    main()
