#!/usr/bin/env python3
"""Writes made-up arrivals of several days as `timestamp,service_seconds`, for `penstock simulate`.

    benches/simulate/traces.py KIND --days 21 --seed 1 > trace.csv

Kinds with a pattern:

- office: nothing at night and on weekends, from 9:00 to 18:00 the full rate at once;
- people: a curve over the day with its peak in the afternoon, a third of it on weekends, every day a
  little different.

Kinds without:

- constant: the same rate all the time;
- bursts: a tenth of the rate, and the full one for ten minutes, ten times a day, at any time;
- walk: a rate that goes up and down at random and remembers it for a day;
- ramps: a rate that rises for half an hour and falls for another, six times a day, at any time.

Requests come independently of each other (a Poisson process of that rate); their times on a worker are
exponential. Everything follows from the seed. Timestamps count seconds since 1970, and the first day is
Monday, 5 January 2026.
"""

import argparse
import bisect
import math
import random
import sys

DAY = 86_400
MONDAY = 1_767_571_200


def office(_):
    return lambda at: float(at // DAY % 7 < 5 and 9 <= at % DAY / 3600 < 18)


def people(chance):
    level = [chance.uniform(0.85, 1.15) for _ in range(1000)]

    def rate(at):
        day = int(at // DAY)
        share = 0.1 + 0.9 * (0.5 - 0.5 * math.cos(2 * math.pi * (at % DAY / DAY - 3 / 24))) ** 2
        weekend = 0.33 if day % 7 >= 5 else 1.0
        return share * weekend * level[day]

    return rate


def constant(_):
    return lambda at: 0.5


def bursts(chance):
    begins = sorted(chance.uniform(0, 1000) for _ in range(10_000))
    full = {int(begin * 144) for begin in begins}
    return lambda at: 1.0 if at // 600 in full else 0.1


def walk(chance):
    steps, at_step, kept = [], 0.0, math.exp(-1 / 288)
    for _ in range(288 * 1000):
        at_step = at_step * kept + chance.gauss(0, 0.08)
        steps.append(min(0.35 * math.exp(at_step), 1.2))
    return lambda at: steps[int(at // 300)]


def ramps(chance):
    begins = sorted(chance.uniform(0, 1000 * DAY) for _ in range(6000))

    def rate(at):
        after = bisect.bisect(begins, at)
        ages = (at - begin for begin in begins[max(after - 4, 0) : after])
        return 0.1 + max((max(1 - abs(age / 1800 - 1), 0) for age in ages), default=0)

    return rate


KINDS = {kind.__name__: kind for kind in (office, people, constant, bursts, walk, ramps)}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("--days", type=float, default=21)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rate", type=float, default=1.0, help="requests per second at the full rate")
    parser.add_argument("--service", type=float, default=40.0, help="mean seconds on a worker")
    options = parser.parse_args()
    chance = random.Random(f"{options.kind} {options.seed}")
    rate = KINDS[options.kind](chance)
    # Thinning: candidates at a rate that is never exceeded, kept with the share of the rate there.
    most = 1.2 * options.rate
    out = sys.stdout
    out.write("timestamp,service_seconds\n")
    at = 0.0
    while True:
        at += chance.expovariate(most)
        if at >= options.days * DAY:
            break
        if chance.random() * most < rate(at) * options.rate:
            service = chance.expovariate(1 / options.service)
            out.write(f"{MONDAY + at:.3f},{service:.2f}\n")


if __name__ == "__main__":
    main()
