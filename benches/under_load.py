"""What is left of a rate while other processes keep half of the cores busy.

python benches/under_load.py [--rounds 3] [--busy PROCESSES] COMMAND…

COMMAND prints rows `name rate …`, as `target/release/latentlab bench s0-ae32 s4-ae4` does. It runs alone and under load in turn;
for each name the medians are printed, and their ratio. Half of the cores are left, so a ratio of 0.5 is in proportion.
"""

import argparse
import multiprocessing
import os
import statistics
import subprocess


def spin():
    while True:
        pass


def rates(command):
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    rows = [line.split() for line in output.splitlines()]
    return {row[0]: float(row[1]) for row in rows if len(row) > 1 and not row[0][0].isdigit() and row[1].isdigit()}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--busy", type=int, default=max(1, os.cpu_count() // 2))
    parser.add_argument("command", nargs=argparse.REMAINDER)
    arguments = parser.parse_args()
    alone, loaded = {}, {}
    for _ in range(arguments.rounds):
        for name, rate in rates(arguments.command).items():
            alone.setdefault(name, []).append(rate)
        helpers = [multiprocessing.Process(target=spin, daemon=True) for _ in range(arguments.busy)]
        for helper in helpers:
            helper.start()
        for name, rate in rates(arguments.command).items():
            loaded.setdefault(name, []).append(rate)
        for helper in helpers:
            helper.terminate()
    print(f"{arguments.busy} busy processes, {os.cpu_count()} cores, medians of {arguments.rounds} rounds")
    for name in alone:
        before, after = statistics.median(alone[name]), statistics.median(loaded[name])
        print(f"{name:<10} {before:>9.0f} alone, {after:>9.0f} under load: {after / before:.2f} of it", flush=True)


if __name__ == "__main__":
    main()
