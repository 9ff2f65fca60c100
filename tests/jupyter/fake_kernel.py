"""A kernel for tests of `execute.py`: it starts at once, and understands a few words instead of a language.

It appends its process id to the file `$FAKE_KERNEL`, and those of its children. A cell's first word is the command.
"""

import json
import os
import re
import subprocess
import sys
import time

import zmq
from jupyter_client.session import Session


def note(pid):
    with open(os.environ["FAKE_KERNEL"], "a") as file:
        file.write(f"{pid}\n")


def main():
    connection = json.load(open(sys.argv[1]))
    session = Session(key=connection["key"].encode())

    def pack(content):
        """Can also send invalid Unicode, and lists nested to any depth."""
        text = json.dumps(content, default=str)
        return re.sub(r'"deep (\d+)"', lambda deep: "[" * int(deep[1]) + "]" * int(deep[1]), text).encode()

    session.pack = pack
    context = zmq.Context()

    def bound(kind, name):
        socket = context.socket(kind)
        socket.bind(f"tcp://{connection['ip']}:{connection[name + '_port']}")
        return socket

    shell, control, iopub = bound(zmq.ROUTER, "shell"), bound(zmq.ROUTER, "control"), bound(zmq.PUB, "iopub")
    heartbeat = bound(zmq.REP, "hb")
    bound(zmq.ROUTER, "stdin")
    note(os.getpid())

    def execute(code, parent):
        word, _, rest = code.partition(" ")
        shown = lambda kind, **content: session.send(iopub, kind, content, parent=parent)
        if word == "print":
            shown("stream", name="stdout", text=rest)
        elif word == "surrogate":
            shown("stream", name="stdout", text="a \ud800 b")
        elif word == "deep":
            shown("display_data", data={"application/json": code, "text/plain": "deep"}, metadata={})
        elif word == "sleep":
            time.sleep(float(rest))
        elif word == "touch":
            open(rest, "w").close()
        elif word == "child":
            note(subprocess.Popen(["sleep", "1000"]).pid)
        elif word == "die":
            os._exit(1)
        elif word == "fail":
            error = dict(ename="Error", evalue=rest, traceback=[f"Error: {rest}"])
            shown("error", **error)
            return dict(status="error", **error)
        return dict(status="ok", user_expressions={}, payload=[])

    while True:
        ready = zmq.select([shell, control, heartbeat], [], [])[0]
        if heartbeat in ready:
            heartbeat.send(heartbeat.recv())
        for socket in (control, shell):
            if socket not in ready:
                continue
            identities, message = session.recv(socket, mode=0)
            kind = message["msg_type"]
            session.send(iopub, "status", dict(execution_state="busy"), parent=message)
            reply = dict(status="ok")
            if kind == "kernel_info_request":
                language = dict(name="rust", version="1", mimetype="text/plain", file_extension=".rs")
                reply |= dict(protocol_version="5.3", implementation="fake", implementation_version="1", banner="")
                reply |= dict(language_info=language)
            elif kind == "execute_request":
                reply = execute(message["content"]["code"], message) | dict(execution_count=1)
            session.send(socket, kind.replace("request", "reply"), reply, parent=message, ident=identities)
            session.send(iopub, "status", dict(execution_state="idle"), parent=message)
            if kind == "shutdown_request":
                time.sleep(0.1)
                return


main()
