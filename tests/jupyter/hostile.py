"""Hostile clients: whoever can connect to a kernel's ports can send, with or without the key."""

import contextlib
import random
import resource
import socket
import struct
import subprocess
import threading
import time

import zmq
from jupyter_client import BlockingKernelClient

PORTS = {"shell": b"DEALER", "iopub": b"SUB", "stdin": b"DEALER", "control": b"DEALER", "hb": b"REQ"}
GREETING = b"\xff" + bytes(8) + b"\x7f\x03\x01NULL" + bytes(48)
MORE, LONG, COMMAND = 1, 2, 4
MB = 1 << 20


def header(length, flags=0):
    return struct.pack(">BQ", flags | LONG, length)


def raw(connection, port):
    """A connection on which nothing has been sent yet."""
    number = connection[f"{port}_port"]
    if connection["transport"] == "ipc":
        client = socket.socket(socket.AF_UNIX)
        client.settimeout(30)
        client.connect(f"{connection['ip']}-{number}")
        return client
    return socket.create_connection((connection["ip"], number), timeout=30)


def introduced(connection, port):
    """A connection after the ZeroMQ handshake."""
    client = raw(connection, port)
    kind = PORTS[port]
    ready = b"\x05READY\x0bSocket-Type" + struct.pack(">I", len(kind)) + kind
    client.sendall(GREETING + header(len(ready), COMMAND) + ready)
    greeting = b""
    while len(greeting) < 64:
        arrived = client.recv(64 - len(greeting))
        assert arrived, f"{port}: closed at the greeting"
        greeting += arrived
    return client


def closed(client, port):
    """Waits until the other side has closed."""
    with contextlib.suppress(ConnectionError):
        while client.recv(MB):
            pass
    client.close()


def reset(client):
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()


def resident(pid):
    """The memory of a process, in MB."""
    listing = subprocess.run(["ps", "-o", "rss=", "-p", str(pid)], capture_output=True, text=True, check=True).stdout
    return int(listing) / 1024


class Watch:
    """The most memory that a process has while something happens."""

    def __init__(self, pid):
        self.pid = pid
        self.before = self.most = resident(pid)
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self.watch)

    def watch(self):
        while not self.ended.wait(0.02):
            self.most = max(self.most, resident(self.pid))

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.thread.join()

    def grown(self):
        return self.most - self.before


def still_answers(connection):
    """The heartbeat responds, and the kernel replies to a new client."""
    context = zmq.Context()
    beat = context.socket(zmq.REQ)
    beat.linger = 0
    separator = "-" if connection["transport"] == "ipc" else ":"
    beat.connect(f"{connection['transport']}://{connection['ip']}{separator}{connection['hb_port']}")
    try:
        for number in range(3):
            beat.send(b"ping %d" % number)
            assert beat.poll(10_000), "no heartbeat"
            assert beat.recv() == b"ping %d" % number
    finally:
        context.destroy()
    client = BlockingKernelClient()
    client.load_connection_info(connection)
    client.start_channels()
    try:
        client.wait_for_ready(timeout=60)
        assert client.kernel_info(reply=True, timeout=60)["content"]["status"] == "ok"
    finally:
        client.stop_channels()


def hostile_clients_claim_huge_messages(connection, pid):
    with Watch(pid) as watch:
        for port in PORTS:
            claims = [1 << 45, (1 << 64) - 1, (1 << 63) - 1, 1 << 31, 65 * MB]
            for claim in claims:
                for flags in (0, MORE, COMMAND):
                    client = introduced(connection, port)
                    client.sendall(header(claim, flags))
                    closed(client, port)
            # Frames that are together above the limit, and frames without end.
            client = introduced(connection, port)
            with contextlib.suppress(ConnectionError):
                client.sendall(bytes([MORE, 0]) * 10_000)
                client.sendall(header(64 * MB) + bytes(1000))
            closed(client, port)
    assert watch.grown() < 50, f"{watch.grown():.0f} MB for claimed sizes"


def hostile_clients_send_two_gigabytes(connection, pid):
    """Unsigned: one message of 2 GB, 2 GB in messages below the limit, 30 clients with half a message each."""
    with Watch(pid) as watch:
        for port in PORTS:
            client = introduced(connection, port)
            sent = 0
            with contextlib.suppress(ConnectionError):
                client.sendall(header(2 << 30))
                while sent < 2 << 30:
                    client.sendall(bytes(MB))
                    sent += MB
            closed(client, port)
            assert sent < 100 * MB, f"{port}: {sent} bytes of one message"
        for port in ("shell", "control", "stdin"):
            client = introduced(connection, port)
            message = header(60 * MB) + bytes(60 * MB)
            for _ in range(12):
                client.sendall(message)
            halves = [introduced(connection, port) for _ in range(30)]
            for half in halves:
                half.settimeout(0.05)
                with contextlib.suppress(TimeoutError, ConnectionError):
                    half.sendall(message[: 32 * MB])
            still_answers(connection)
            for half in [*halves, client]:
                reset(half)
    assert watch.grown() < 700, f"{watch.grown():.0f} MB for unsigned messages"


def hostile_clients_greet_slowly(connection, pid):
    """Each sends a part of the handshake, and waits."""
    beginnings = [b"", b"\x01\x00", GREETING[:1], GREETING[:11], GREETING[:63], GREETING]
    beginnings.append(GREETING + header(100, COMMAND))
    waiting = []
    for port in PORTS:
        for beginning in beginnings:
            waiting.append((raw(connection, port), port))
            waiting[-1][0].sendall(beginning)
        # Another protocol, and a version that is too old
        for beginning in (b"GET / HTTP/1.1\r\n\r\n", GREETING[:10] + b"\x01\x00"):
            client = raw(connection, port)
            client.sendall(beginning)
            closed(client, port)
    still_answers(connection)
    for client, port in waiting:
        closed(client, port)


def hostile_clients_disconnect(connection, pid):
    """At every third byte of a handshake and a message, on every port, by a reset or by closing."""
    ready = b"\x05READY\x0bSocket-Type"
    for port, kind in PORTS.items():
        whole = ready + struct.pack(">I", len(kind)) + kind
        whole = GREETING + header(len(whole), COMMAND) + whole + b"\x01\x00" + header(300) + bytes(300)
        for length in [*range(0, len(whole), 3), len(whole)]:
            client = raw(connection, port)
            client.sendall(whole[:length])
            reset(client) if length % 2 else client.close()


def hostile_clients_send_malformed_messages(connection, pid):
    """6,000 malformed or unsigned messages, and random bytes."""
    rng = random.Random(13)
    context = zmq.Context()
    separator = "-" if connection["transport"] == "ipc" else ":"
    pieces = [
        b"<IDS|MSG>", b"", b"{}", b"[]", b"5", b"null", b"{", b"\xff\xfe", b"0" * 64, b"x" * 3000,
        b'{"msg_id": 5, "msg_type": []}', b'{"msg_id": "a", "msg_type": "execute_request"}',
        b"[" * 5000, b'"' + b"\\u0000" * 50 + b'"',
    ]
    for port in ("shell", "control", "stdin"):
        client = context.socket(zmq.DEALER)
        client.sndhwm = 0
        client.connect(f"{connection['transport']}://{connection['ip']}{separator}{connection[f'{port}_port']}")
        for _ in range(2000):
            parts = [rng.choice(pieces) for _ in range(rng.randrange(1, 12))]
            if rng.random() < 0.7:
                parts[rng.randrange(len(parts))] = b"<IDS|MSG>"
            client.send_multipart(parts)
    for port in PORTS:
        for _ in range(100):
            client = introduced(connection, port)
            with contextlib.suppress(ConnectionError):
                client.sendall(rng.randbytes(rng.randrange(1, 3000)))
            reset(client)
    context.destroy(linger=10_000)


def hostile_clients_open_many_connections(connection, pid):
    """On each port 60 silent connections that stay open, then 60 after the handshake."""
    clients = [raw(connection, port) for port in PORTS for _ in range(60)]
    still_answers(connection)
    for port in PORTS:
        for _ in range(60):
            # The youngest may be closed before it has received the greeting.
            with contextlib.suppress(ConnectionError, AssertionError):
                clients.append(introduced(connection, port))
    still_answers(connection)
    for client in clients:
        client.close()


def hostile_clients_do_not_read(connection, pid):
    """Subscribers that read nothing, and clients that send a million pings."""
    silent = []
    for _ in range(5):
        silent.append(introduced(connection, "iopub"))
        silent[-1].sendall(b"\x00\x01\x01")
    ping = b"\x04PING\0\0" + b"c" * 16
    with Watch(pid) as watch:
        for port in PORTS:
            client = introduced(connection, port)
            client.settimeout(1)
            with contextlib.suppress(TimeoutError, ConnectionError):
                for _ in range(100):
                    client.sendall((bytes([COMMAND, len(ping)]) + ping) * 10_000)
            silent.append(client)
        still_answers(connection)
    for client in silent:
        client.close()
    assert watch.grown() < 50, f"{watch.grown():.0f} MB for pings"


ALL = [
    hostile_clients_claim_huge_messages,
    hostile_clients_send_two_gigabytes,
    hostile_clients_greet_slowly,
    hostile_clients_disconnect,
    hostile_clients_send_malformed_messages,
    hostile_clients_open_many_connections,
    hostile_clients_do_not_read,
]


def attack_all(connection, pid):
    """All attacks in turn; `pid` is the relay's process. After each, the heartbeat and the kernel respond."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (2048 if most == resource.RLIM_INFINITY else min(2048, most), most))
    for attack in ALL:
        start = time.monotonic()
        before = resident(pid)
        attack(connection, pid)
        still_answers(connection)
        name = attack.__name__.replace("_", " ")
        print(f"{time.monotonic() - start:7.1f} s    {name} ({before:.0f} to {resident(pid):.0f} MB)", flush=True)
