#!/usr/bin/env python3
"""Writes fourteen made-up hours of arrivals, as `timestamp,service_seconds`, into a folder.

    benches/simulate/hours.py FOLDER

Each is what a scaler may meet: a constant rate, a slow wave, bursts, short bursts of quick requests,
a random walk, long requests, and nothing for minutes; and each again with other numbers. The same
seeds give the same files.
"""

import math
import pathlib
import random
import sys

LENGTH = 3600
BEGIN = 1_700_000_000


def lognormal(mean, variation):
    """Service times with this mean, in seconds, and this coefficient of variation."""
    variance = math.log(1 + variation * variation)
    return lambda chance: chance.lognormvariate(math.log(mean) - variance / 2, math.sqrt(variance))


CHAT, QUICK, LONG = lognormal(6, 0.9), lognormal(1.2, 1.0), lognormal(25, 1.2)


def bursts(seed, rate, times, gap, length):
    """`rate` with bursts of `times` as much; mean gaps and lengths in seconds."""
    chance, rates = random.Random(seed), []
    while len(rates) < LENGTH:
        rates += [rate] * (int(chance.expovariate(1 / gap)) + 1)
        rates += [rate * times] * (int(chance.expovariate(1 / length)) + 5)
    return lambda second: rates[second]


def walk(seed, mean, memory, spread):
    """A random walk that returns to the mean: `memory` in seconds, `spread` of the logarithm."""
    chance, at, rates = random.Random(seed), 0.0, []
    for _ in range(LENGTH):
        at += -at / memory + spread * math.sqrt(2 / memory) * chance.gauss(0, 1)
        rates.append(mean * math.exp(at - spread * spread / 2))
    return lambda second: rates[second]


HOURS = {
    "poisson": (lambda _: 3.0, CHAT),
    "sine": (lambda second: 5 * (1 + 0.8 * math.sin(2 * math.pi * second / 1200 - 1.5)), CHAT),
    "bursts": (bursts(2, 2.0, 6, 200, 45), CHAT),
    "code": (bursts(3, 1.0, 10, 60, 20), QUICK),
    "walk": (walk(4, 4.0, 300, 0.7), CHAT),
    "long": (walk(5, 1.0, 600, 0.5), LONG),
    "onoff": (bursts(6, 0.02, 200, 240, 120), CHAT),
    "poisson-2": (lambda _: 7.0, CHAT),
    "sine-2": (lambda second: 5 * (1 + 0.8 * math.sin(2 * math.pi * second / 700 - 1.5)), CHAT),
    "bursts-2": (bursts(12, 1.5, 8, 300, 60), CHAT),
    "code-2": (bursts(13, 2.0, 8, 90, 15), QUICK),
    "walk-2": (walk(14, 8.0, 200, 0.6), CHAT),
    "long-2": (walk(15, 1.5, 400, 0.6), LONG),
    "onoff-2": (bursts(16, 0.1, 60, 180, 90), CHAT),
}


def write(path, rate, service):
    """Arrivals at random with a rate that changes, by thinning those of the highest rate."""
    chance, at = random.Random(1), 0.0
    highest = max(rate(second) for second in range(LENGTH)) * 1.01
    lines = ["timestamp,service_seconds"]
    while True:
        at += chance.expovariate(highest)
        if at >= LENGTH:
            break
        if chance.random() * highest < rate(int(at)):
            lines.append(f"{BEGIN + at:.3f},{service(chance):.3f}")
    path.write_text("\n".join(lines) + "\n")


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    folder = pathlib.Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for name, (rate, service) in HOURS.items():
        write(folder / f"{name}.csv", rate, service)


if __name__ == "__main__":
    main()
