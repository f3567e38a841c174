#!/usr/bin/env python3
"""Holds what Penstock does per request and per event to stored counts, which depend on no clock.

    benches/versus/counts.py              compares with counts.json; exit status 1 where more is done
    benches/versus/counts.py --update     writes what is counted now into counts.json

Instructions, allocations, system calls, and writes per event of a burst. Each may be up to 3 % above
the stored figure. One more than 3 % below it passes and is said, so that the gain can be stored. The
figures belong to one compiler and one kind of build (counts.json has them by both): another compiler
makes other instructions, and without stored figures of its own nothing is compared, which is an error.

Needs valgrind and strace (apt-get install valgrind strace), and a release build, or PENSTOCK=path.
"""

import argparse
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys

from counting import instructions, system_calls
from proxies import PENSTOCK, ROOT, end_on_signals

FILE = pathlib.Path(__file__).with_name("counts.json")
TOLERANCE = 0.03
# Below this a figure is an accident of the moment, such as a wake-up that a timer made.
SMALLEST = 0.01
FIGURES = ("instructions", "allocations", "reads", "writes", "calls")


def build():
    """Compiler, target and way of linking, as cargo would build the release profile here."""
    said = subprocess.run(["rustc", "-vV"], capture_output=True, text=True, check=True, cwd=ROOT).stdout
    told = dict(re.findall(r"^(\w+): (.*)$", said, re.M))
    profile = re.search(r"\[profile\.release\](.*?)(\n\[|\Z)", (ROOT / "Cargo.toml").read_text(), re.S)[1]
    lto = os.environ.get("CARGO_PROFILE_RELEASE_LTO") or re.search(r'^lto = "?(\w+)', profile, re.M)[1]
    return f"{told['host']}, rustc {told['release']}, lto {lto}"


def count():
    """{kind: {figure: per request or event}}"""
    found = instructions("penstock")
    for kind, figures in system_calls("penstock").items():
        found[kind].update(figures)
    return {kind: {figure: round(values[figure], 3) for figure in FIGURES} for kind, values in found.items()}


def compare(stored, found):
    """Prints a line for each figure; gives how many are too high."""
    above = 0
    print(f"{'':8}{'':14}{'stored':>12}{'now':>12}")
    for kind, figures in found.items():
        for figure, now in figures.items():
            before = stored.get(kind, {}).get(figure)
            if before is None:
                print(f"{kind:8}{figure:14}{'none':>12}{now:12.3f}   ABOVE: nothing is stored for it")
                above += 1
                continue
            change = now / before - 1 if before else 0.0
            apart = abs(now - before) > max(TOLERANCE * before, SMALLEST if before < 1 else 0)
            verdict = "" if not apart else "ABOVE" if now > before else "below: store it with --update"
            above += verdict == "ABOVE"
            print(f"{kind:8}{figure:14}{before:12.3f}{now:12.3f}  {change:+7.2%}   {verdict}".rstrip())
    return above


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--update", action="store_true", help="store what is counted now")
    given = parser.parse_args()
    missing = [tool for tool in ("valgrind", "strace", "openssl", "taskset") if shutil.which(tool) is None]
    if missing:
        sys.exit(f"not installed: {', '.join(missing)} (apt-get install valgrind strace openssl util-linux)")
    if not PENSTOCK.exists():
        sys.exit(f"{PENSTOCK} is not there: cargo build --release, or set PENSTOCK")
    end_on_signals()
    stored, key = json.loads(FILE.read_text()) if FILE.exists() else {}, build()
    if key not in stored and not given.update:
        sys.exit(f"{FILE.name} has no figures for this build ({key}), only for: {'; '.join(stored) or 'none'}.\n"
                 "Store them with --update, from a commit that is known to be good.")
    print(f"{PENSTOCK}: {key}")
    found = count()
    above = compare(stored.get(key, {}), found) if key in stored else 0
    if given.update:
        stored[key] = found
        FILE.write_text(json.dumps(stored, indent=1, sort_keys=True) + "\n")
        print(f"written to {FILE}")
    elif above:
        sys.exit(f"{above} figures are more than {TOLERANCE:.0%} above what is stored. If that is meant, store it "
                 "with --update and say in the commit what it buys.")


if __name__ == "__main__":
    main()
