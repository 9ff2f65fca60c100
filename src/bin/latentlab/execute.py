"""Executes one notebook through Jupyter for `latentlab run`, cell by cell.

Standard input: a line of JSON that says what to do, then a line after each cell: "go on", or anything else to stop.
Standard output: a line of JSON before and after each cell. What a cell's outputs mean is decided on the other side of the pipe.
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from queue import Empty, Queue

import nbformat
from jupyter_core.utils import run_sync
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbconvert import HTMLExporter


def say(**event):
    print(json.dumps(event), flush=True)


def late_output(client, cell, index):
    """The kernel sends what was written to the standard error after the cell's end, too: collects it."""
    while True:
        try:
            message = run_sync(client.kc.get_iopub_msg)(timeout=0.02)
        except Empty:
            return
        if message["msg_type"] == "stream":
            client.process_message(message, cell, index)


def count(client):
    """The kernel's processes, and their threads; none where the system has no `ps`."""
    ps = lambda *options: subprocess.run(["ps", *options], capture_output=True, text=True).stdout.splitlines()
    try:
        parents = [[int(number) for number in line.split()] for line in ps("-A", "-o", "pid=,ppid=")]
    except OSError:
        return 0, 0
    family = {client.km.provisioner.pid}
    while more := {process for process, parent in parents if parent in family} - family:
        family |= more
    if Path("/proc/self/task").is_dir():
        threads = sum(len(list(Path(f"/proc/{process}/task").glob("*"))) for process in family)
    else:
        threads = sum(len(ps("-M", "-p", str(process))) - 1 for process in family)
    return len(family), threads


def listen(answers):
    """The other side is gone when its end of the pipe is: then this one ends as on Ctrl-C, and the kernel with it."""
    for line in sys.stdin:
        answers.put(line)
    if hasattr(signal, "pthread_kill"):
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
    else:
        signal.raise_signal(signal.SIGINT)


def execute(client, notebook, answers, started_kernel, counts):
    number = 0
    for index, cell in enumerate(notebook.cells):
        if cell.cell_type != "code" or not cell.source.strip():
            continue
        number += 1
        say(event="cell", number=number, source=cell.source)
        started, reply = time.monotonic(), "ok"
        try:
            client.execute_cell(cell, index)
            late_output(client, cell, index)
        except CellExecutionError:
            reply = "error"
        except CellTimeoutError:
            reply = f"no result after {client.timeout} seconds"
        except DeadKernelError:
            reply = "the kernel died"
        now = time.monotonic()
        processes, threads = count(client) if counts else (0, 0)
        say(
            event="result",
            seconds=now - started,
            since_start=now - started_kernel,
            reply=reply,
            outputs=cell.outputs,
            processes=processes,
            threads=threads,
        )
        if answers.get() != "go on\n":
            return


def main():
    task = json.loads(sys.stdin.readline())
    try:
        notebook = nbformat.read(task["notebook"], as_version=4)
    except Exception as error:
        sys.exit(f"{task['notebook']}: not a notebook ({error})")
    for index, source in task["changed_cells"]:
        notebook.cells[index].source = source
    client = NotebookClient(
        notebook,
        kernel_name="rust",
        timeout=task["timeout"],
        startup_timeout=3600,
        extra_arguments=task["kernel_arguments"],
        resources={"metadata": {"path": task["folder"]}},
    )
    answers = Queue()
    threading.Thread(target=listen, args=[answers], daemon=True).start()
    started_kernel = time.monotonic()
    try:
        with client.setup_kernel():
            execute(client, notebook, answers, started_kernel, task["counts"])
    except RuntimeError as error:
        sys.exit(str(error))
    finally:
        # Interrupted while the kernel started, nobody has ended it yet.
        if client.km and client.km.has_kernel:
            run_sync(client.km.shutdown_kernel)(now=True)
    if task["ipynb"]:
        # What the kernel calls its language is nothing that nbconvert can colour.
        notebook.metadata.language_info = {"name": "rust", "file_extension": ".rs", "pygments_lexer": "rust"}
        nbformat.write(notebook, task["ipynb"])
        exporter = HTMLExporter()
        html, _ = exporter.from_notebook_node(notebook, {"metadata": {"name": Path(task["notebook"]).stem}})
        Path(task["html"]).write_text(html, encoding="utf-8")


# A shell starts a background job with this signal ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)
try:
    main()
except KeyboardInterrupt:
    # The kernel has been shut down on the way here.
    os._exit(130)
