"""Tests `latentlab run` with the real kernel: tags, knobs, what it replaces, a full disk, and what a killed run leaves.

Run it with the Python of `.jupyter/python`, after `cargo latentlab run`. An argument is the path of another tool than
`target/tool/latentlab`. Each check prints a line; the first failure ends the program with an error.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import nbformat

PROJECT = Path(__file__).resolve().parents[2]
TOOL = Path(sys.argv[1] if len(sys.argv) > 1 else PROJECT / "target/tool/latentlab").resolve()
# All processes of a run inherit this variable.
TOKEN = f"LATENTLAB_TEST_TOKEN={os.getpid()}-{time.time_ns()}"
SLIDER = """latentlab::interact([latentlab::slider("x", 0.0..=1.0)], |values| {
    values.float("x").map(|x| format!("x is {x}"))
})?;"""


def notebook(path, *cells):
    """Writes a notebook with these cells, each a source and its tags."""
    cells = [nbformat.v4.new_code_cell(source, metadata={"tags": list(tags)}) for source, *tags in cells]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    return path


def start(*arguments):
    name, value = TOKEN.split("=")
    return subprocess.Popen(
        [TOOL, "run", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {name: value},
    )


def run(*arguments):
    process = start(*arguments)
    output, errors = process.communicate(timeout=600)
    return process.returncode, output, errors


def running():
    """The processes of a run, with the tool itself."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            state = (process / "stat").read_text().rsplit(")", 1)[1].split()[0]
            if state != "Z" and TOKEN.encode() in (process / "environ").read_bytes():
                found.append((process.name, (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()[:100]))
        except OSError:
            pass
    return found


def awaited(condition, why, seconds=120):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, why()
        time.sleep(0.02)


def check_tags_and_knobs(folder):
    path = notebook(
        folder / "v1.0.ipynb",
        ("let size: usize = 1;\nlet (a, b): (usize, usize) = (1, 2);", "parameters"),
        ('let wrong: usize = "text";', "raises-exception"),
        ('panic!("on purpose")', "raises-exception"),
        ("compile_error!()", "skip-execution"),
        (SLIDER,),
        ('println!("{size} {a} {b}");',),
    )
    other = notebook(folder / "v1.ipynb", ('panic!("alone")',), ('println!("never");',))
    code, output, errors = run(path, other, "-p", "size=3", "--parameter", "b=5", "--out", folder / "out")
    assert code == 1 and "no knobs" in errors and not (folder / "out").exists(), errors
    code, output, errors = run(path, "-p", "size=3", "--parameter", "b=5", "--out", folder / "out")
    assert code == 0, (output, errors)
    assert output.count("(failed, as its tag raises-exception allows)") == 2 and "skipped" in output, output
    executed = nbformat.read(folder / "out/v1.0.ipynb", as_version=4)
    assert executed.cells[-1].outputs[0].text == "3 1 5\n", executed.cells[-1]
    assert "on purpose" in str(executed.cells[2].outputs) and executed.cells[3].outputs == []
    assert "<html" in (folder / "out/v1.0.html").read_text()
    slider, figure = executed.cells[4].outputs
    saved = executed.metadata["widgets"]["application/vnd.jupyter.widget-state+json"]["state"]
    assert slider["data"]["application/vnd.jupyter.widget-view+json"]["model_id"] in saved, list(saved)
    assert figure["data"] == {"text/plain": "x is 0.5"}, figure
    # Its own outputs are replaced; a failing notebook that runs at the same time has its own.
    code, output, errors = run(path, other, "--jobs", "2", "--out", folder / "out")
    assert code == 1 and "1 of 2 notebooks failed" in errors and "alone" in errors, (output, errors)
    names = sorted(file.name for file in (folder / "out").iterdir())
    assert names == ["v1.0.html", "v1.0.ipynb", "v1.html", "v1.ipynb"], names
    assert "1 1 2" in (folder / "out/v1.0.ipynb").read_text()
    print("tags, knobs, two notebooks at the same time")
    return path


def check_full_disk(folder, path):
    disk = folder / "disk"
    disk.mkdir()
    if os.geteuid() or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", disk]).returncode:
        print("a full disk: not checked, because it needs root")
        return
    try:
        assert run(path, "--out", disk)[0] == 0
        before = {file.name: file.read_bytes() for file in disk.iterdir()}
        with open(disk / "filler", "wb", buffering=0) as filler:
            try:
                while True:
                    filler.write(bytes(4096))
            except OSError:
                pass
        code, output, errors = run(path, "-p", "size=9", "--out", disk)
        (disk / "filler").unlink()
        assert code == 1 and "v1.0.ipynb: cannot write it (No space left" in errors, errors
        assert "Traceback" not in errors, errors
        assert {file.name: file.read_bytes() for file in disk.iterdir()} == before
        print("a full disk: a message, and the earlier outputs are kept")
    finally:
        subprocess.run(["umount", disk], check=True)


def check_kills(folder):
    started = folder / "started"
    code = f'std::fs::write({json.dumps(str(started))}, "")?;\nloop {{ std::hint::spin_loop() }}'
    endless = notebook(folder / "endless.ipynb", (code,))
    waits = {"at its start": lambda: time.sleep(0.3), "while the kernel starts": lambda: time.sleep(3)}
    waits["in a cell"] = lambda: awaited(started.exists, lambda: "the cell has not started")
    for number in (signal.SIGKILL, signal.SIGTERM, signal.SIGINT):
        for when, wait in waits.items():
            if number != signal.SIGKILL and when != "in a cell":
                continue
            started.unlink(missing_ok=True)
            process = start(endless, "--out", folder / "killed")
            wait()
            process.send_signal(number)
            process.wait()
            awaited(lambda: not running(), lambda: f"left after {number.name} {when}: {running()}", 60)
            assert not (folder / "killed").exists() or not list((folder / "killed").iterdir())
    print("killed, terminated, interrupted: no process and no incomplete file is left")


with tempfile.TemporaryDirectory() as name:
    folder = Path(name)
    path = check_tags_and_knobs(folder)
    check_full_disk(folder, path)
    check_kills(folder)
