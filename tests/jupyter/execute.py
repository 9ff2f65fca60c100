"""Tests `execute.py`, the part of `latentlab run` that talks to Jupyter: what it refuses, tags, and that it cleans up.

Run it with the Python of `.jupyter/python`. Each check prints a line; the first failure ends the program with an error.
"""

import importlib.util
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import nbformat

HERE = Path(__file__).resolve().parent
SCRIPT = HERE.parents[1] / "src/bin/latentlab/execute.py"
MUTATIONS = 300


def cell(source, *tags, kind="code"):
    rest = {"outputs": [], "execution_count": None} if kind == "code" else {}
    name = f"c{abs(hash(source)) % 10**8}"
    return {"cell_type": kind, "id": name, "metadata": {"tags": list(tags)}, "source": source, **rest}


def notebook(*cells):
    return {"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": list(cells)}


def damaged(original, rng):
    """The text of a damaged notebook: with other characters, or with other values."""
    if rng.random() < 0.5:
        text = json.dumps(original)
        for _ in range(rng.choice([1, 1, 2, 3])):
            at = rng.randrange(len(text))
            end = at + rng.choice([0, 1, 1, 8, 100])
            text = text[:at] + rng.choice(["", "9", '"', "{", "\ud800", "null", "\0", text[at:end] * 2]) + text[end:]
        return text
    strange = [None, True, -1, 2**70, 1e308, "", "x", "\ud800", [], ["a"], {}, {"a": 1}, [[[]]], "[" * 500]
    changed = json.loads(json.dumps(original))
    places = []

    def collect(value):
        for key in range(len(value)) if isinstance(value, list) else value:
            places.append((value, key))
            if isinstance(value[key], (dict, list)):
                collect(value[key])

    collect(changed)
    for holder, key in rng.sample(places, rng.choice([1, 1, 2])):
        if isinstance(holder, dict) and rng.random() < 0.3:
            holder.pop(key, None)
        elif isinstance(holder, dict) or key < len(holder):
            holder[key] = rng.choice(strange)
    return json.dumps(changed)


def check_reading():
    spec = importlib.util.spec_from_file_location("execute", SCRIPT)
    execute = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(execute)
    output = {"output_type": "display_data", "data": {"text/plain": "1", "image/png": "AAAA"}, "metadata": {}}
    original = notebook(cell("# words", kind="markdown"), cell("let a = 1;", "parameters"), cell("raw", kind="raw"))
    original["cells"][1]["outputs"] = [output, {"output_type": "stream", "name": "stdout", "text": ["1\n", "2"]}]
    execute.notebook_of(json.dumps(original))
    # As other programs write them: cell ids before the format had these, and properties of their own.
    foreign = json.loads(json.dumps(original | {"nbformat_minor": 4, "colab": {}}))
    foreign["cells"][0]["outputId"] = 1
    assert len(execute.notebook_of(json.dumps(foreign)).cells) == 3
    rng, refused = random.Random(13), 0
    for _ in range(MUTATIONS):
        text = damaged(original, rng)
        try:
            read = execute.notebook_of(text)
        except execute.Refused as error:
            assert str(error).startswith("not a notebook: ") and len(str(error)) < 500 and "\n" not in str(error), error
            refused += 1
        else:
            nbformat.validate(read, relax_add_props=True)
            assert all(isinstance(each.source, str) for each in read.cells)
            assert all(isinstance(each.metadata.get("tags", []), list) for each in read.cells)
    assert 100 < refused < MUTATIONS, refused
    for depth in (500, 100_000):
        text = json.dumps(original).replace('"AAAA"', "[" * depth + "]" * depth)
        try:
            execute.notebook_of(text)
        except execute.Refused as error:
            assert "\n" not in str(error)
    print(f"{MUTATIONS} damaged notebooks: {refused} refused, the others are valid")


def is_alive(pid):
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
        return state != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def awaited(condition, seconds=30):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "timed out"
        time.sleep(0.01)


class Run:
    """`execute.py` executing a notebook with the fake kernel."""

    def __init__(self, folder, content, timeout=60):
        self.pids = Path(folder) / f"pids-{time.monotonic_ns()}"
        kernels = Path(folder) / "share/kernels/rust"
        kernels.mkdir(parents=True, exist_ok=True)
        argv = [sys.executable, str(HERE / "fake_kernel.py"), "{connection_file}"]
        spec = {"argv": argv, "display_name": "", "language": "rust", "interrupt_mode": "message"}
        (kernels / "kernel.json").write_text(json.dumps(spec))
        self.runtime = Path(folder) / "runtime"
        variables = {"JUPYTER_PATH": f"{folder}/share", "JUPYTER_RUNTIME_DIR": str(self.runtime)}
        variables["FAKE_KERNEL"] = str(self.pids)
        self.process = subprocess.Popen(
            [sys.executable, "-c", SCRIPT.read_text(), folder],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=os.environ | variables,
            text=True,
        )
        text = content if isinstance(content, str) else json.dumps(content)
        task = {"notebook": text, "name": "n", "mark": {"executed_from": "n"}, "timeout": timeout}
        self.answer(json.dumps(task | {"counts": False, "kernel_arguments": []}))

    def answer(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def events(self):
        """All events; each result is answered by `go on`."""
        for line in self.process.stdout:
            event = json.loads(line)
            yield event
            if event["event"] == "result":
                self.answer("go on")

    def kernels(self):
        return [int(line) for line in self.pids.read_text().split()] if self.pids.exists() else []

    def is_gone(self):
        files = list(self.runtime.glob("kernel-*.json")) if self.runtime.exists() else []
        return self.process.poll() is not None and not any(map(is_alive, self.kernels())) and not files


def check_tags(folder):
    run = Run(folder, notebook(
        cell("fail expected", "raises-exception"),
        cell("fail never", "skip-execution"),
        cell("print 1"),
        cell("surrogate"),
        cell("die", "raises-exception"),
    ))
    events = list(run.events())
    results = [(event["reply"], event["may_fail"]) for event in events if event["event"] == "result"]
    assert results[:3] == [("ok", True), ("ok", False), ("ok", False)], results
    assert results[3] == ("the kernel died", True), results
    assert [event["skipped"] for event in events if event["event"] == "cell"] == [False, True, False, False, False]
    executed = nbformat.reads(events[-1]["ipynb"], as_version=4)
    assert executed.metadata.latentlab.executed_from == "n" and "Error: expected" in str(executed.cells[0].outputs)
    assert executed.cells[1].outputs == [] and executed.cells[2].outputs[0].text == "1"
    assert "<html" in events[-1]["html"]
    awaited(run.is_gone)
    print("tags: a cell that may fail, a skipped cell; a dead kernel ends the execution")


def check_refused(folder):
    for content in ("{", "[]", '{"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [{}]}'):
        run = Run(folder, content)
        (event,) = run.events()
        assert event["event"] == "refused" and event["reason"].startswith("not a notebook: "), event
        assert run.process.wait() == 0 and run.kernels() == []
    # Outputs that cannot be saved are refused, without a traceback.
    for depth in (300, 3_000):
        events = list(Run(folder, notebook(cell(f"deep {depth}"), cell("print 1"))).events())
        assert events[-1]["event"] in ("executed", "refused"), events[-1]
        assert depth > 300 or "ipynb" in events[-1], events[-1]
    print("malformed notebooks start no kernel; outputs of any depth")


def check_endings(folder):
    """However and whenever it ends, no process and no connection file is left."""
    endings = {
        "SIGTERM": lambda run: run.process.send_signal(signal.SIGTERM),
        "SIGINT twice": lambda run: [(run.process.send_signal(signal.SIGINT), time.sleep(0.01)) for _ in range(2)],
        "SIGHUP": lambda run: run.process.send_signal(signal.SIGHUP),
        "the tool's end": lambda run: run.process.stdin.close(),
        "both": lambda run: [run.process.stdin.close(), run.process.send_signal(signal.SIGTERM)],
    }
    long = notebook(cell("child"), cell("sleep 1000"))
    for name, end in endings.items():
        run = Run(folder, long)
        for event in run.events():
            if event.get("number") == 2:
                break
        assert len(run.kernels()) == 2
        end(run)
        awaited(run.is_gone)
    moments = 6
    for moment in range(moments):
        run = Run(folder, long)
        time.sleep(moment * 0.3)
        endings["both" if moment % 2 else "the tool's end"](run)
        awaited(lambda: run.process.poll() is not None)
        # So must a kernel that was just being started.
        for pid in run.kernels():
            awaited(lambda: not is_alive(pid))
    print(f"{len(endings)} ways to end, at {moments} moments: nothing is left")


with tempfile.TemporaryDirectory() as folder:
    check_reading()
    check_tags(folder)
    check_refused(folder)
    check_endings(folder)
