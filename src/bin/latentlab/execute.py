"""Executes one notebook through Jupyter for `latentlab run`, cell by cell.

Argument: the kernel's working directory.
Standard input: a line of JSON with the task, then a line in answer to each `result`: "go on", or anything else to stop.
Standard output: a line of JSON for each event, the last with the executed notebook. The other side of the pipe
interprets the cells' outputs and writes the files.
"""

import signal

# Until the kernel starts, a signal may end this process at once. (A shell starts background jobs with SIGINT ignored.)
SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
for number in SIGNALS:
    signal.signal(number, signal.SIG_DFL)

import contextlib
import json
import os
import subprocess
import sys
import threading
import time
import warnings
from pathlib import Path
from queue import Empty, Queue

import nbformat
from jupyter_client.manager import AsyncKernelManager
from jupyter_core.utils import run_sync
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbconvert import HTMLExporter
from nbformat.reader import reads
from nbformat.validator import normalize

# Seconds that the kernel may take to shut down.
PATIENCE = 15


class Refused(Exception):
    """Why the notebook cannot be executed."""


class Connection:
    """The other side of the pipe."""

    def __init__(self):
        # A separate file descriptor, because what Jupyter's packages print must go to the standard error.
        self.events = os.fdopen(os.dup(1), "wb")
        os.dup2(2, 1)
        self.answers = Queue()

    def say(self, **event):
        # Text from a kernel may contain half a surrogate pair, which cannot be encoded.
        self.events.write(json.dumps(event, ensure_ascii=False).encode("utf-8", "replace") + b"\n")
        self.events.flush()

    def may_go_on(self):
        return self.answers.get() == "go on\n"

    def listen(self):
        """Reads the answers. When the other side closes the pipe, this process ends as on Ctrl-C."""
        for line in sys.stdin:
            self.answers.put(line)
        if hasattr(signal, "pthread_kill"):
            signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
        else:
            signal.raise_signal(signal.SIGINT)


def end_on_signals(manager):
    """The first signal ends the work as Ctrl-C does; further signals must not disturb the kernel's shutdown."""

    ends = []

    def end(*_):
        if not ends:
            ends.append(True)
            threading.Timer(PATIENCE, give_up, [manager]).start()
            raise KeyboardInterrupt

    for number in SIGNALS:
        signal.signal(number, end)


def give_up(manager):
    """Kills the kernel, and ends this process."""
    kill_group(group_of(manager))
    os._exit(130)


def group_of(manager):
    """The process group of the kernel."""
    return manager.provisioner.pgid if manager.provisioner else None


def kill_group(group):
    if group and hasattr(os, "killpg") and group != os.getpgrp():
        with contextlib.suppress(OSError):
            os.killpg(group, signal.SIGKILL)


def end_kernel(client, manager):
    """Shuts the kernel down, and kills processes that it may have left."""
    group = group_of(manager)
    try:
        if manager.has_kernel:
            run_sync(manager.shutdown_kernel)()
        if client.kc:
            client.kc.stop_channels()
    finally:
        kill_group(group)


def notebook_of(text):
    """A notebook, upgraded to the current format and validated."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            _, notebook = normalize(reads(text))
            # Additional properties are allowed: other programs store their own metadata.
            nbformat.validate(notebook, relax_add_props=True)
    except RecursionError:
        raise Refused("not a notebook: something in it is nested too deeply") from None
    except nbformat.ValidationError as error:
        place = "/".join(str(part) for part in error.absolute_path)
        raise Refused(f"not a notebook: {shortened(error.message)} (at {place or 'the top'})") from None
    except Exception as error:
        raise Refused(f"not a notebook: {shortened(error)}") from None
    return notebook


def shortened(error):
    """The first line of a message, of at most 200 characters."""
    line = (str(error).splitlines() or [type(error).__name__])[0]
    return line if len(line) <= 200 else line[:200] + " …"


def late_output(client, cell, index):
    """Collects standard error that the kernel sends after the end of the cell."""
    while True:
        try:
            message = run_sync(client.kc.get_iopub_msg)(timeout=0.02)
        except Empty:
            return
        if message["msg_type"] == "stream":
            client.process_message(message, cell, index)


def count(manager):
    """The numbers of the kernel's processes and of their threads; 0 on a system without `ps`."""
    ps = lambda *options: subprocess.run(["ps", *options], capture_output=True, text=True).stdout.splitlines()
    try:
        parents = [[int(number) for number in line.split()] for line in ps("-A", "-o", "pid=,ppid=")]
    except OSError:
        return 0, 0
    family = {manager.provisioner.pid}
    while more := {process for process, parent in parents if parent in family} - family:
        family |= more
    if Path("/proc/self/task").is_dir():
        threads = sum(len(list(Path(f"/proc/{process}/task").glob("*"))) for process in family)
    else:
        threads = sum(len(ps("-M", "-p", str(process))) - 1 for process in family)
    return len(family), threads


def status_of(outputs):
    """The outputs that tell whether a cell has failed, without the data of figures."""
    kinds = ("text/plain", "application/vnd.latentlab.error+json")
    return [
        output | {"data": {kind: value for kind, value in output["data"].items() if kind in kinds}, "metadata": {}}
        if "data" in output
        else output
        for output in outputs
    ]


def execute(client, manager, notebook, connection, started_kernel, counts):
    number = 0
    for index, cell in enumerate(notebook.cells):
        if cell.cell_type != "code" or not cell.source.strip():
            continue
        number += 1
        tags = cell.metadata.get("tags", [])
        skipped = "skip-execution" in tags
        connection.say(event="cell", number=number, source=cell.source, skipped=skipped)
        if skipped:
            continue
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
        processes, threads = count(manager) if counts else (0, 0)
        connection.say(
            event="result",
            seconds=now - started,
            since_start=now - started_kernel,
            reply=reply,
            may_fail="raises-exception" in tags,
            outputs=status_of(cell.outputs),
            processes=processes,
            threads=threads,
        )
        if not connection.may_go_on():
            return


def executed(notebook, name, mark):
    """The executed notebook as .ipynb and .html text; if that fails, the reason."""
    # For nbconvert's syntax highlighting, which does not know the language name that evcxr gives.
    notebook.metadata.language_info = {"name": "rust", "file_extension": ".rs", "pygments_lexer": "rust"}
    ours = notebook.metadata.get("latentlab")
    notebook.metadata.latentlab = {**(ours if isinstance(ours, dict) else {}), **mark}
    result = {}
    try:
        result["ipynb"] = nbformat.writes(notebook) + "\n"
        result["html"], _ = HTMLExporter().from_notebook_node(notebook, {"metadata": {"name": name}})
    except Exception as error:
        result["reason"] = f"what its cells show cannot be saved ({type(error).__name__}: {shortened(error)})"
    return result


def work(connection, manager, folder):
    line = sys.stdin.readline()
    if not line:
        return
    task = json.loads(line)
    threading.Thread(target=connection.listen, daemon=True).start()
    notebook = notebook_of(task["notebook"])
    client = NotebookClient(
        notebook,
        km=manager,
        timeout=task["timeout"],
        startup_timeout=3600,
        extra_arguments=task["kernel_arguments"],
        resources={"metadata": {"path": folder}},
    )
    started_kernel = time.monotonic()
    try:
        with client.setup_kernel():
            execute(client, manager, notebook, connection, started_kernel, task["counts"])
    finally:
        end_kernel(client, manager)
    # Sliders stay in the saved notebook, at rest.
    client.set_widgets_metadata()
    if task["mark"]:
        connection.say(event="executed", **executed(notebook, task["name"], task["mark"]))


def main():
    connection = Connection()
    manager = AsyncKernelManager(kernel_name="rust")
    end_on_signals(manager)
    code = 0
    try:
        work(connection, manager, *sys.argv[1:])
    except KeyboardInterrupt:
        code = 130
    except Exception as error:
        refused = isinstance(error, Refused)
        reason = str(error) if refused else f"Jupyter could not execute it ({type(error).__name__}: {shortened(error)})"
        with contextlib.suppress(OSError):
            connection.say(event="refused", reason=reason)
    finally:
        # The kernel has been shut down, and other threads need not be waited for.
        os._exit(code)


if __name__ == "__main__":
    main()
