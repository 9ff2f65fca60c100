"""Trials a second against the number of workers, on a study of 200 trials that cost next to nothing.

    python throughput.py target/release/latentlab [SECONDS]

Each trial is a shell that sleeps so long (default 0) and prints its value: what is left is the worker's and the journal's own
time.
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

TRIALS = 200
OPTIONS = ["--trials", str(TRIALS), "-p", "x=0.0..1.0", "-p", "n=1..100:log", "-p", "c=a,b,c"]


def measure(tool, study, workers, sleep):
    script = f"sleep {sleep}; echo latentlab result $0" if sleep else "echo latentlab result $0"
    command = [tool, "worker", "--study", study, *OPTIONS, "--", "sh", "-c", script, "{x}"]
    start = time.monotonic()
    running = [subprocess.Popen(command, stdout=subprocess.DEVNULL) for _ in range(workers)]
    assert all(worker.wait() == 0 for worker in running)
    return time.monotonic() - start


def main():
    tool, sleep = sys.argv[1], float((sys.argv[2:] or [0])[0])
    print("workers  seconds  trials a second")
    with tempfile.TemporaryDirectory() as folder:
        for workers in [1, 2, 4, 8, 16]:
            seconds = measure(tool, str(Path(folder) / f"{workers}.log"), workers, sleep)
            print(f"{workers:7}  {seconds:7.1f}  {TRIALS / seconds:15.1f}", flush=True)


if __name__ == "__main__":
    main()
