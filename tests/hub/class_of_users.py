"""A class in JupyterHub: users of the system, each with his own server, run lesson 1 at the same time.

    python3 tests/hub/class_of_users.py USERS [--prefix DIR] [--figures FILE]

Makes an installation that all share (`latentlab setup --prefix`; or takes the one in DIR), users, and a hub with
examples/hub/jupyterhub_config.py, in a new folder of the system's temporary one; fetches JupyterHub and its proxy into
`target/hub`. Asserts that none can read or signal another's kernel, and that stop, restart and cull leave no process and
no slot behind; prints what a user takes. Needs root, `useradd`, Node, a set-up project (`cargo lab`).
"""

import argparse
import asyncio
import contextlib
import fcntl
import json
import os
import pwd
import re
import secrets
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
TOOLS = ROOT / "target/hub"
HUB, PROXY = "jupyterhub==6.1.1", "configurable-http-proxy@5.3.0"
LESSON = "latentlab/01_tiny_autoencoder.ipynb"
# How long anything may take here, where a machine may be loaded.
PATIENCE = 600


def run(*command, **options):
    subprocess.run([str(part) for part in command], check=True, **options)


# ---------------------------------------------------------------------------------------------- what is installed


def hub_python():
    """JupyterHub in an environment of its own."""
    python = TOOLS / "python/bin/python"
    if not python.exists():
        base = Path("/usr/bin/python3") if Path("/usr/bin/python3").exists() else sys.executable
        run(base, "-m", "venv", TOOLS / "python")
        run(python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", HUB)
    return python


def hub_proxy():
    program = TOOLS / "node/node_modules/configurable-http-proxy/bin/configurable-http-proxy"
    if not program.exists():
        run("npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix", TOOLS / "node", PROXY)
    return program


def is_closed(path):
    """Whether other users cannot enter it."""
    path = Path(path).resolve()
    return any(not folder.stat().st_mode & stat.S_IXOTH for folder in [path, *path.parents])


def rust_for_all(folder):
    """Environment variables of a Rust that all users can read: this one, or a copy of it."""
    environment = dict(os.environ)
    sysroot = subprocess.run(["rustc", "--print", "sysroot"], check=True, capture_output=True, text=True).stdout.strip()
    cargo = Path(os.environ.get("CARGO_HOME") or Path.home() / ".cargo")
    if is_closed(sysroot):
        shutil.copytree(sysroot, folder / "rust", symlinks=True, ignore=shutil.ignore_patterns("doc", "man"))
        environment["PATH"] = f"{folder}/rust/bin:{environment['PATH']}"
        environment.pop("RUSTUP_TOOLCHAIN", None)
    if is_closed(cargo):
        shutil.copytree(cargo / "registry", folder / "cargo/registry", symlinks=True, copy_function=copy_or_link)
        environment["CARGO_HOME"] = str(folder / "cargo")
    return environment


def copy_or_link(source, target):
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def install(folder):
    """An installation as an administrator makes one, and its seconds."""
    prefix = folder / "latentlab"
    environment = rust_for_all(folder)
    # Jupyter's Python, too, must be one that all can read.
    if is_closed(shutil.which("python3")):
        environment["PATH"] = "{}:/usr/bin:{}".format(*environment["PATH"].split(":", 1))
    run("cargo", "latentlab", "--version", cwd=ROOT)
    start = time.monotonic()
    run(ROOT / "target/tool/latentlab", "setup", "--prefix", prefix, cwd=ROOT, env=environment)
    seconds = time.monotonic() - start
    add_hub_to(prefix)
    return prefix, seconds


def add_hub_to(prefix):
    python = prefix / "python/bin/python"
    if subprocess.run([python, "-c", "import jupyterhub"], stderr=subprocess.DEVNULL).returncode:
        run(python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", HUB)


# ---------------------------------------------------------------------------------------------- users of the system


class User:
    def __init__(self, number, homes):
        self.name = f"latentlab-class-{number}"
        # Of a run that was killed.
        subprocess.run(["userdel", "--force", self.name], stderr=subprocess.DEVNULL)
        run("useradd", "--create-home", "--base-dir", homes, "--shell", "/bin/sh", self.name)
        found = pwd.getpwnam(self.name)
        self.uid, self.gid, self.home = found.pw_uid, found.pw_gid, Path(found.pw_dir)
        self.home.chmod(0o755)  # The worst that is usual: what is private must be so by itself.
        self.since = time.time()  # An earlier user may have had the same number.
        self.figures = {}

    def remove(self):
        for process in self.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        until(lambda: not self.processes(), 10, f"{self.name}'s processes end")
        run("userdel", self.name)
        shutil.rmtree(self.runtime, ignore_errors=True)

    def processes(self):
        """The numbers of this user's processes, also of zombies, but for those that wait for the system's init."""
        found = []
        for entry in Path("/proc").iterdir():
            with contextlib.suppress(OSError):
                if entry.name.isdigit() and entry.stat().st_uid == self.uid:
                    state, parent = (entry / "stat").read_text().rsplit(")", 1)[1].split()[:2]
                    if (state, parent) != ("Z", "1"):
                        found.append(int(entry.name))
        return found

    def kernels(self):
        """Those of the kernel: all but the server, which is the oldest."""
        return sorted(self.processes(), key=started)[1:]

    @property
    def runtime(self):
        return Path("/run/latentlab") / str(self.uid)

    @property
    def state(self):
        return self.home / ".cache/latentlab"

    def free_slots(self):
        """The slots that no kernel holds, and all."""
        free, all_slots = 0, 0
        for path in self.state.glob("slot*.lock"):
            all_slots += 1
            with path.open() as lock:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    free += 1
                except BlockingIOError:
                    pass
        return free, all_slots


def started(process):
    with contextlib.suppress(OSError):
        return int(Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[19])
    return 0


def until(condition, seconds, what):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"after {seconds} s not yet: {what}"
        time.sleep(0.2)


async def soon(condition, seconds, what):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"after {seconds} s not yet: {what}"
        await asyncio.sleep(0.2)


def seconds_of_processor(processes):
    """What these processes have used, with their children that have ended."""
    ticks = 0
    for process in processes:
        with contextlib.suppress(OSError):
            fields = Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()
            ticks += sum(map(int, fields[11:15]))
    return ticks / os.sysconf("SC_CLK_TCK")


def proportional_memory(processes):
    """PSS in MB: a page that n processes share counts as an nth for each."""
    total = 0
    for process in processes:
        with contextlib.suppress(OSError):
            total += int(re.search(r"^Pss: +(\d+) kB", Path(f"/proc/{process}/smaps_rollup").read_text(), re.M)[1])
    return total / 1000


def disk(folder):
    """MB below a folder, a file with several names once; not what links lead to."""
    output = subprocess.run(["du", "--summarize", "--block-size=1000", folder], check=True, capture_output=True, text=True)
    return int(output.stdout.split()[0]) / 1000


# ---------------------------------------------------------------------------------------------- the hub


CONFIG = """\
load_subconfig({example!r})
c = get_config()
# By tokens instead of passwords; what a user may do is the same.
c.JupyterHub.authenticator_class = "jupyterhub.auth.DummyAuthenticator"
c.Authenticator.allow_all = True
c.Authenticator.admin_users = set()
c.JupyterHub.bind_url = "http://127.0.0.1:{port}"
c.JupyterHub.hub_bind_url = "http://127.0.0.1:{hub_port}"
c.ConfigurableHTTPProxy.api_url = "http://127.0.0.1:{proxy_port}"
c.ConfigurableHTTPProxy.command = {proxy!r}
c.JupyterHub.db_url = "sqlite:///{folder}/hub.sqlite"
c.JupyterHub.cookie_secret_file = "{folder}/cookie_secret"
c.JupyterHub.services = [dict(name="class", api_token={token!r})]
c.JupyterHub.load_roles = [dict(name="class", services=["class"], scopes=[
    "admin:users", "admin:servers", "tokens", "access:servers"])]
c.Spawner.environment["LATENTLAB_DATA"] = "built-in"
c.Spawner.args = [argument for argument in c.Spawner.args if ".cull_" not in argument]
c.Spawner.args += ["--MappingKernelManager.cull_idle_timeout={cull}", "--MappingKernelManager.cull_interval=1"]
"""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Hub:
    def __init__(self, folder, prefix, users):
        # After these seconds a kernel without a browser ends, also one that is still starting.
        self.cull = 60 + 30 * users
        self.token = secrets.token_hex(16)
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        private = folder / "hub"
        private.mkdir(mode=0o700)
        config = private / "config.py"
        config.write_text(CONFIG.format(
            example=str(ROOT / "examples/hub/jupyterhub_config.py"), port=port, hub_port=free_port(),
            proxy_port=free_port(), proxy=[shutil.which("node"), str(hub_proxy())], folder=private, token=self.token,
            cull=self.cull,
        ))
        self.log = folder / "hub.log"
        environment = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LATENTLAB_PREFIX": str(prefix), "LANG": "C.UTF-8"}
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [hub_python(), "-m", "jupyterhub", "--config", config], cwd=private, env=environment, stdout=log,
                stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, start_new_session=True)

    def end(self):
        self.process.terminate()
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
        # A hub that was still starting leaves its proxy.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)

    async def request(self, method, path, token=None, body=None, allowed=(200, 201, 202, 204)):
        from tornado.httpclient import AsyncHTTPClient, HTTPRequest

        request = HTTPRequest(
            self.url + path, method=method, headers={"Authorization": f"token {token or self.token}"},
            body=None if body is None else json.dumps(body), allow_nonstandard_methods=True, request_timeout=PATIENCE,
            connect_timeout=PATIENCE, follow_redirects=False)
        response = await AsyncHTTPClient().fetch(request, raise_error=False)
        assert response.code in allowed, f"{method} {path}: {response.code} {response.body[:300]}"
        return json.loads(response.body) if response.body[:1] in (b"{", b"[") else None

    async def answers(self):
        end = time.monotonic() + PATIENCE
        while True:
            with contextlib.suppress(OSError):
                # Until the hub has started, its proxy says so.
                if (await self.request("GET", "/hub/api/", allowed=(200, 404, 502, 503)) or {}).get("version"):
                    return
            assert self.process.poll() is None and time.monotonic() < end, self.log.read_text()[-3000:]
            await asyncio.sleep(0.3)

    async def start(self, user):
        """Starts the user's server; returns when it answers."""
        path = f"/hub/api/users/{user.name}"
        await self.request("POST", path, body={}, allowed=(201, 409))
        granted = await self.request("POST", f"{path}/tokens", body={"note": "a test"})
        user.token = granted["token"]
        await self.request("POST", f"{path}/server", body={})
        await self.server(user, lambda server: server.get("ready"), "does not start")

    async def stop(self, user):
        await self.request("DELETE", f"/hub/api/users/{user.name}/server")
        await self.server(user, lambda server: not server, "does not stop")

    async def server(self, user, is_so, otherwise):
        end = time.monotonic() + PATIENCE
        while not is_so((await self.request("GET", f"/hub/api/users/{user.name}"))["servers"].get("", {})):
            assert time.monotonic() < end, f"{user.name}'s server {otherwise}"
            await asyncio.sleep(0.2)


class Notebook:
    """A kernel of a user's server, by its WebSocket."""

    def __init__(self, hub, user):
        self.hub, self.user, self.base, self.id = hub, user, f"/user/{user.name}/api", None

    async def start(self):
        body = {"path": LESSON, "name": "", "type": "notebook", "kernel": {"name": "rust"}}
        before, end = self.id, time.monotonic() + PATIENCE
        # The processes of a kernel may have ended when the server, which is ending it, still has it for the session.
        while self.id == before:
            assert time.monotonic() < end, f"{self.user.name}'s session keeps its old kernel"
            session = await self.hub.request("POST", f"{self.base}/sessions", self.user.token, body)
            self.id = session["kernel"]["id"]
            await asyncio.sleep(0.1)
        await self.connect()

    async def connect(self):
        from tornado.httpclient import HTTPRequest
        from tornado.websocket import websocket_connect

        url = f"{self.hub.url}{self.base}/kernels/{self.id}/channels".replace("http", "ws", 1)
        request = HTTPRequest(url, headers={"Authorization": f"token {self.user.token}"}, connect_timeout=PATIENCE,
                              request_timeout=PATIENCE)
        self.socket = await websocket_connect(request, max_message_size=1 << 28)

    async def execute(self, code):
        """A cell; returns its reply's status and what it showed."""
        identifier = uuid.uuid4().hex
        await self.send("execute_request", identifier, {
            "code": code, "silent": False, "store_history": True, "user_expressions": {}, "allow_stdin": False,
            "stop_on_error": True})
        status, idle, shown = None, False, []
        while status is None or not idle:
            message = json.loads(await asyncio.wait_for(self.socket.read_message(), PATIENCE) or "{}")
            assert message, "the connection ended"
            if message["parent_header"].get("msg_id") != identifier:
                continue
            kind, content = message["header"]["msg_type"], message["content"]
            if kind == "execute_reply":
                status = content["status"]
            elif kind == "status" and content["execution_state"] == "idle":
                idle = True
            elif kind in ("error", "stream", "execute_result", "display_data"):
                shown.append((kind, content))
        return status, shown

    async def send(self, kind, identifier, content):
        header = {"msg_id": identifier, "msg_type": kind, "username": self.user.name, "session": "test", "date": "",
                  "version": "5.3"}
        await self.socket.write_message(json.dumps({
            "header": header, "parent_header": {}, "metadata": {}, "content": content, "channel": "shell", "buffers": []}))

    async def value(self, code):
        status, shown = await self.execute(code)
        texts = [content["data"]["text/plain"] for kind, content in shown if kind == "execute_result"]
        assert status == "ok" and len(texts) == 1, (status, shown)
        return texts[0]

    async def restart(self):
        await self.hub.request("POST", f"{self.base}/kernels/{self.id}/restart", self.user.token, {})
        self.socket.close()
        await self.connect()

    async def shut_down(self):
        await self.hub.request("DELETE", f"{self.base}/kernels/{self.id}", self.user.token)
        self.socket.close()


def with_smoke(cell):
    """The source of a cell with its values for a quick test, as `latentlab run --smoke` sets them."""
    source = cell["source"] if isinstance(cell["source"], str) else "".join(cell["source"])
    for name, value in cell["metadata"].get("latentlab", {}).get("smoke", {}).items():
        pattern = rf"^(let (?:mut )?{re.escape(name)}(?:: [^=]*)? = ).*?;"
        source, count = re.subn(pattern, lambda found: f"{found[1]}{value};", source, flags=re.M)
        assert count == 1, (name, source)
    return source


async def lesson(hub, user):
    """Lesson 1 from the server's start to its last cell."""
    start = time.monotonic()
    await hub.start(user)
    user.figures["server s"] = time.monotonic() - start
    content = await hub.request("GET", f"/user/{user.name}/api/contents/{LESSON}", user.token)
    cells = [cell for cell in content["content"]["cells"] if cell["cell_type"] == "code"]
    notebook, start = Notebook(hub, user), time.monotonic()
    await notebook.start()
    assert await notebook.value("1 + 1") == "2"
    user.figures["kernel s"] = time.monotonic() - start
    figures = 0
    for cell in filter(lambda cell: with_smoke(cell).strip(), cells):
        status, shown = await notebook.execute(with_smoke(cell))
        assert status == "ok" and all(kind != "error" for kind, _ in shown), (user.name, cell["source"], shown)
        figures += sum("image/png" in content.get("data", {}) or "text/html" in content.get("data", {}) for _, content in shown)
    assert len(cells) > 10 and figures > 3, (len(cells), figures)
    user.figures["lesson s"] = time.monotonic() - start
    return notebook


# ---------------------------------------------------------------------------------------------- what must hold


# Run as one user, with what root knows of another: prints what it could do.
ATTACK = r"""
import contextlib, glob, json, os, socket, sys
task = json.load(sys.stdin)
done = []
def attempt(what, action):
    try:
        action()
    except (PermissionError, ConnectionRefusedError):
        pass
    except OSError as error:
        # A process that has ended in the meantime.
        if not isinstance(error, (FileNotFoundError, ProcessLookupError)):
            done.append(f"{what}: {error!r}")
    else:
        done.append(what)
def connect(path):
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as client:
        client.connect(path)
for folder in task["folders"]:
    attempt(f"list {folder}", lambda: os.listdir(folder))
for file in task["files"]:
    attempt(f"read {file}", lambda: open(file, "rb").read(1))
    attempt(f"write {file}", lambda: open(file, "ab").close())
for path in task["sockets"]:
    attempt(f"connect to {path}", lambda: connect(path))
for process in task["processes"]:
    for name in ("environ", "maps", "mem", "io", "syscall"):
        attempt(f"/proc/{process}/{name}", lambda: open(f"/proc/{process}/{name}", "rb").read(1))
    for name in ("fd", "map_files"):
        attempt(f"/proc/{process}/{name}", lambda: os.listdir(f"/proc/{process}/{name}"))
    for name in ("cwd", "exe", "root"):
        attempt(f"/proc/{process}/{name}", lambda: os.readlink(f"/proc/{process}/{name}"))
    for signal in (0, 2, 9):
        attempt(f"signal {signal} to {process}", lambda: os.kill(process, signal))
for folder in task["read_only"]:
    attempt(f"write into {folder}", lambda: open(os.path.join(folder, ".mine"), "w").close())
print(json.dumps(done))
"""


def sockets_of(user):
    """The paths of the sockets that the user's processes listen at, and the TCP ports."""
    inodes = set()
    for process in user.processes():
        with contextlib.suppress(OSError):
            for descriptor in Path(f"/proc/{process}/fd").iterdir():
                with contextlib.suppress(OSError):
                    inodes |= set(re.findall(r"socket:\[(\d+)\]", os.readlink(descriptor)))
    paths, ports = set(), set()
    for line in Path("/proc/net/unix").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[6] in inodes and len(fields) > 7:
            paths.add(fields[7])
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[9] in inodes and fields[3] == "0A":
                ports.add(int(fields[1].rsplit(":", 1)[1], 16))
    return paths, ports


def attack(attacker, victim, prefix):
    paths, ports = sockets_of(victim)
    assert len(paths) >= 5, f"at least the five sockets at which the kernel serves Jupyter: {paths}"
    assert not any(path.startswith("@") for path in paths), f"an abstract socket is open to all: {paths}"
    assert len(ports) == 1, f"only the server itself listens at a port: {ports}"
    runtime = victim.runtime
    # A socket that has been moved after it was bound is known to the system by its first name.
    paths |= {str(path) for folder in (runtime, victim.state) for path in folder.rglob("*") if path.is_socket()}
    files = [path for path in runtime.rglob("*") if path.is_file()]
    slot = [path for path in (victim.state / "slot0").rglob("*") if path.is_file() and not path.is_symlink()][:200]
    assert files and len(slot) > 50, (files, slot)
    task = {
        "folders": [str(runtime), str(victim.state), str(victim.state / "slot0")],
        "files": [str(path) for path in files + slot],
        "sockets": sorted(paths),
        "processes": victim.processes(),
        "read_only": [str(folder) for folder in [prefix, prefix / "bin", prefix / "build/warm", prefix / "notebooks"]],
    }
    process = subprocess.run(
        ["/usr/bin/python3", "-c", ATTACK], input=json.dumps(task), capture_output=True, text=True, check=True, cwd="/",
        user=attacker.uid, group=attacker.gid, extra_groups=[])
    done = json.loads(process.stdout)
    assert not done, f"{attacker.name} could: {done}"
    # What they have left where all may write.
    for folder in ("/tmp", "/var/tmp", "/dev/shm"):
        for path in Path(folder).iterdir():
            with contextlib.suppress(FileNotFoundError):
                found = path.lstat()
                ours = found.st_uid == victim.uid and found.st_ctime > victim.since
                assert not (ours and found.st_mode & 0o077), f"{path} is open"
    # Against an empty test: the owner may do all of this.
    own = subprocess.run(
        ["/usr/bin/python3", "-c", ATTACK], capture_output=True, text=True, check=True, cwd="/",
        input=json.dumps(task | {"processes": [], "files": [], "read_only": []}), user=victim.uid, group=victim.gid,
        extra_groups=[])
    assert len(json.loads(own.stdout)) >= len(task["folders"]) + 5, own.stdout


async def attack_by_the_hub(hub, attacker, victim):
    for path in ("kernels", "contents", "sessions"):
        await hub.request("GET", f"/user/{victim.name}/api/{path}", attacker.token, allowed=(403, 404))
    await hub.request("DELETE", f"/hub/api/users/{victim.name}/server", attacker.token, allowed=(403, 404))


async def ends(hub, user, notebook):
    """Restart, shutdown, cull, stop, and the server's death: what is left of a kernel after each."""

    def is_free():
        free, all_slots = user.free_slots()
        assert all_slots == 1, f"{user.name} has {all_slots} slots for one kernel"
        return free == 1

    before = set(user.kernels())
    assert len(before) >= 3 and not is_free(), "the tool, evcxr and the process of the cells"
    await notebook.restart()
    assert await notebook.value("2 + 2") == "4"
    left = before & set(user.processes())
    assert not left, f"restart has left {left}"

    await notebook.shut_down()
    await soon(lambda: not user.kernels() and is_free(), 30, f"{user.name}'s kernel has ended: {user.kernels()}")

    await notebook.start()
    assert await notebook.value("3 + 3") == "6"
    notebook.socket.close()
    await soon(lambda: not user.kernels() and is_free(), hub.cull + 60, f"{user.name}'s idle kernel is culled")

    await notebook.start()
    assert await notebook.value("4 + 4") == "8"
    await notebook.send("execute_request", uuid.uuid4().hex, {"code": "loop {}", "silent": False})
    await asyncio.sleep(1)
    await hub.stop(user)
    await soon(lambda: not user.processes() and is_free(), 60, f"{user.name}'s server has stopped: {user.processes()}")

    await hub.start(user)
    await notebook.start()
    assert await notebook.value("5 + 5") == "10"
    server = min(user.processes(), key=started)
    os.kill(server, signal.SIGKILL)
    await soon(lambda: not user.processes() and is_free(), 60, f"nothing is left of a killed server: {user.processes()}")


async def main(arguments, folder):
    from tornado.httpclient import AsyncHTTPClient

    AsyncHTTPClient.configure(None, max_clients=10 * arguments.users)
    if arguments.prefix:
        prefix, seconds = arguments.prefix.resolve(), None
        add_hub_to(prefix)
    else:
        prefix, seconds = install(folder)
    homes = folder / "home"
    homes.mkdir()
    users = []
    hub = Hub(folder, prefix, arguments.users)
    try:
        users += [User(number, homes) for number in range(1, arguments.users + 1)]
        await hub.answers()
        before = available()
        start = time.monotonic()
        notebooks = await asyncio.gather(*(lesson(hub, user) for user in users))
        wall = time.monotonic() - start
        print(f"{len(users)} users have run lesson 1, in {wall:.0f} s")
        for user in users:
            processes, kernels = user.processes(), user.kernels()
            user.figures |= {
                "processes": len(processes), "kernel MB": proportional_memory(kernels),
                "server MB": proportional_memory(set(processes) - set(kernels)),
                "processor s": seconds_of_processor(processes), "disk MB": disk(user.state),
            }
        taken = before - available()
        for attacker, victim in zip(users, users[1:] + users[:1]):
            attack(attacker, victim, prefix)
            await attack_by_the_hub(hub, attacker, victim)
        print("none could read, connect to or signal another's kernel")
        await asyncio.gather(*(ends(hub, user, notebook) for user, notebook in zip(users, notebooks)))
        print("restart, shutdown, cull, stop and a killed server have left no process and no slot")
        report(users, wall, taken, prefix, seconds, arguments)
    except BaseException:
        print(hub.log.read_text()[-6000:], file=sys.stderr)
        raise
    finally:
        hub.end()
        for user in users:
            user.remove()


def available():
    return int(re.search(r"MemAvailable: +(\d+)", Path("/proc/meminfo").read_text())[1]) / 1000


def report(users, wall, taken, prefix, seconds, arguments):
    names = list(users[0].figures)
    rows = {name: sorted(user.figures[name] for user in users) for name in names}
    print(f"{'of a user':>14}  {'median':>8}  {'least':>8}  {'most':>8}")
    for name, values in rows.items():
        print(f"{name:>14}  {values[len(values) // 2]:8.1f}  {values[0]:8.1f}  {values[-1]:8.1f}")
    whole = {"users": len(users), "wall s": wall, "memory MB of all": taken, "installation MB": disk(prefix),
             "setup s": seconds, "cores": os.cpu_count()}
    print(json.dumps(whole))
    if arguments.figures:
        arguments.figures.write_text(json.dumps({"of all": whole, "of a user": rows}, indent=1) + "\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("users", type=int)
    parser.add_argument("--prefix", type=Path, help="an installation that is there")
    parser.add_argument("--figures", type=Path, help="where to write the figures, as JSON")
    arguments = parser.parse_args()
    if os.getuid() != 0:
        print("not root: users of the system cannot be made, so that a class in JupyterHub is left out")
        sys.exit()
    if Path(sys.prefix) != TOOLS / "python":
        # For tornado, which JupyterHub brings.
        os.execv(hub_python(), [str(hub_python()), *sys.argv])
    work = Path(tempfile.mkdtemp(prefix="latentlab-hub-"))
    work.chmod(0o755)
    try:
        asyncio.run(main(arguments, work))
    finally:
        shutil.rmtree(work, ignore_errors=True)
