"""Our workers and Optuna's at Optuna's gRPC server with PostgreSQL behind it: workers and the server are killed.

    python optuna_grpc.py target/debug/latentlab                        16 workers, 200 trials
    python optuna_grpc.py target/debug/latentlab --workers 6 --trials 40
    python optuna_grpc.py target/debug/latentlab --sqlite               SQLite instead of PostgreSQL
    python optuna_grpc.py target/debug/latentlab --speed                no kills: calls and trials a second

The tool must have the feature `grpc`: `cargo build --features tool,grpc`. Needs optuna 5.0.0, grpcio, protobuf and
psycopg[binary], and PostgreSQL's programs as Debian installs them (apt-get install postgresql). PostgreSQL runs in a temporary
folder; as root, under the user `postgres`, since it refuses to run as root.
"""

import argparse
import math
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from collections import Counter
from pathlib import Path

import grpc
import optuna
from optuna.storages import GrpcStorageProxy
from optuna.trial import TrialState

optuna.logging.set_verbosity(optuna.logging.ERROR)
warnings.simplefilter("ignore")
NAME = "digits"
OWNER = "latentlab:owner"
# Waits for another process, so that two cores carry sixteen workers; says which trial it has begun, and for which worker.
SCRIPT = "echo $0 $PPID >> begun; sleep 0.3; echo $0 $PPID >> ended; echo latentlab report 1 $1; echo latentlab result $1"


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def until(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it takes too long"
        time.sleep(0.02)


def serve(url, port, counts):
    """Optuna's server; twice a second it writes how many calls it has got."""
    calls = Counter()

    class Count(grpc.ServerInterceptor):
        def intercept_service(self, continuation, details):
            calls[details.method.rsplit("/", 1)[-1]] += 1
            return continuation(details)

    def write():
        while True:
            with open(counts, "a") as file:
                print(time.time(), sum(calls.values()), file=file)
            time.sleep(0.5)

    make = grpc.server
    grpc.server = lambda pool: make(pool, interceptors=[Count()])
    threading.Thread(target=write, daemon=True).start()
    optuna.storages.run_grpc_proxy_server(optuna.storages.get_storage(url), host="127.0.0.1", port=int(port))


class Server:
    def __init__(self, folder, url):
        self.url, self.port, self.counts = url, free_port(), folder / "calls"
        self.start()

    def start(self):
        command = [sys.executable, __file__, "serve", self.url, str(self.port), str(self.counts)]
        self.process = subprocess.Popen(command)
        GrpcStorageProxy(host="127.0.0.1", port=self.port).wait_server_ready(timeout=60)

    def kill(self):
        self.process.kill()
        self.process.wait()

    def calls_a_second(self, seconds=5):
        """In its busiest seconds."""
        lines = [[float(word) for word in line.split()] for line in self.counts.read_text().splitlines()]
        pairs = zip(lines, lines[2 * seconds :])
        return max(((b[1] - a[1]) / (b[0] - a[0]) for a, b in pairs), default=0)


class PostgreSQL:
    """A server of its own in a folder."""

    def __init__(self, folder):
        self.data, self.port = folder / "postgresql", free_port()
        bins = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
        assert bins, "PostgreSQL is missing: apt-get install postgresql"
        self.bin, self.user = bins[-1], []
        self.data.mkdir(mode=0o700)
        if os.geteuid() == 0:
            folder.chmod(0o755)
            shutil.chown(self.data, "postgres")
            self.user = ["runuser", "-u", "postgres", "--"]
        self.run("initdb", "-D", self.data, "-A", "trust", "-U", "optuna", "-E", "UTF8", "--locale=C", "--no-sync")
        self.start()
        self.url = f"postgresql+psycopg://optuna@127.0.0.1:{self.port}/postgres"

    def run(self, program, *arguments):
        command = [*self.user, self.bin / program, *map(str, arguments)]
        done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, cwd="/")
        assert done.returncode == 0, done.stderr

    def start(self):
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories=''"
        self.run("pg_ctl", "-D", self.data, "-l", self.data / "log", "-w", "-o", options, "start")

    def stop(self):
        """As in a power failure: it recovers by its log."""
        self.run("pg_ctl", "-D", self.data, "-m", "immediate", "stop")


class Site:
    def __init__(self, tool, folder, server):
        self.tool, self.folder, self.server = tool, folder, server
        self.log = open(folder / "workers.log", "a")

    def start(self, trials, script=SCRIPT, options=(), parameters=("x=0.0..1.0", "n=1..100:log", "c=a,b")):
        command = [self.tool, "worker", "--study", f"grpc://127.0.0.1:{self.server.port}", "--name", NAME]
        command += ["--trials", str(trials), *(part for text in parameters for part in ("-p", text))]
        return self.run([*command, *options, "--", "sh", "-c", script, "{trial}", "{x}"])

    def start_python(self, trials, most):
        return self.run([sys.executable, os.path.abspath(__file__), "work", str(self.server.port), str(trials), str(most)])

    def run(self, command):
        worker = subprocess.Popen(command, cwd=self.folder, stdout=self.log, stderr=self.log)
        return worker

    def ends(self, worker, code=0):
        """Waits for it. Why it ended otherwise is in the log."""
        got = worker.wait()
        assert got == code, f"exit code {got} instead of {code}:\n{(self.folder / 'workers.log').read_text()[-3000:]}"

    def lines(self, name):
        path = self.folder / name
        return [tuple(map(int, line.split())) for line in path.read_text().splitlines()] if path.exists() else []

    def begun(self):
        return Counter(number for number, *_ in self.lines("begun"))

    def at_work(self, worker):
        """Whether a worker of ours has a trial whose program runs."""
        mine = lambda name: sum(worker.pid == pid for _, pid in self.lines(name))
        return mine("begun") > mine("ended")

    def study(self):
        return optuna.load_study(study_name=NAME, storage=GrpcStorageProxy(host="127.0.0.1", port=self.server.port))

    def trials(self):
        return self.study().trials

    def delete(self):
        storage = self.study()._storage
        for name in optuna.get_all_study_names(storage):
            optuna.delete_study(study_name=name, storage=storage)
        for name in ["begun", "ended"]:
            (self.folder / name).unlink(missing_ok=True)


def suggest(trial):
    trial.suggest_int("n", 1, 100, log=True)
    trial.suggest_categorical("c", ["a", "b"])
    return trial.suggest_float("x", 0, 1)


def work(port, trials, most):
    """A worker of Optuna: so many trials, or until the study has most of its own."""
    study = optuna.load_study(study_name=NAME, storage=GrpcStorageProxy(host="127.0.0.1", port=int(port)))
    for _ in range(int(trials)):
        if len(study.trials) >= int(most):
            break
        trial = study.ask()
        trial.set_user_attr("python", os.getpid())
        x = suggest(trial)
        time.sleep(0.3)
        trial.report(x, 1)
        study.tell(trial, x)


def check_complete(trials, count):
    """Each trial once: one that was created twice would have another's settings."""
    assert [trial.number for trial in trials] == list(range(count)), len(trials)
    for trial in trials:
        x = trial.params["x"]
        assert trial.state in (TrialState.COMPLETE, TrialState.PRUNED) and trial.values == [x], trial
        assert trial.datetime_complete >= trial.datetime_start and trial.intermediate_values == {1: x}, trial
        assert (trial.datetime_complete - trial.datetime_start).total_seconds() < 300, trial
        assert 1 <= trial.params["n"] <= 100 and trial.params["c"] in "ab", trial
    assert len({trial.params["x"] for trial in trials}) == count


def in_turns(site):
    """Both languages: what each leaves for the other."""
    site.ends(site.start(5))
    check_complete(site.trials(), 5)
    study = site.study()
    study.optimize(suggest, n_trials=3)
    study.enqueue_trial({"x": 0.25, "n": 7})
    site.ends(site.start(10))
    trials = site.trials()
    assert len(trials) == 10 and trials[8].params["x"] == trials[8].value == 0.25 and trials[8].params["n"] == 7

    # Handed back, and completed by Optuna.
    worker = site.start(11, "echo $0 $PPID >> begun; exec sleep 600")
    until(lambda: site.begun()[11])
    worker.send_signal(signal.SIGTERM)
    site.ends(worker, 143)
    assert site.trials()[10].state == TrialState.WAITING
    study.optimize(suggest, n_trials=1)
    trial = site.trials()[10]
    assert trial.state == TrialState.COMPLETE and set(trial.params) == {"x", "n", "c"}, trial

    # Handed back, begun by Optuna, and left to it, though there is no sign of life.
    worker = site.start(12, "echo $0 $PPID >> begun; exec sleep 600")
    until(lambda: site.begun()[12])
    worker.send_signal(signal.SIGTERM)
    site.ends(worker, 143)
    taken = study.ask()
    assert taken.number == 11

    # Killed: it has failed when there is no sign of life for so long (see the end).
    worker = site.start(13, "echo $0 $PPID >> begun; exec sleep 600")
    until(lambda: site.begun()[13])
    worker.kill()
    worker.wait()
    assert site.trials()[12].state == TrialState.RUNNING
    begun, strict = time.monotonic(), ["--retries", "0"]

    # Failed with a reason, without a number, and with NaN.
    scripts = ["echo boom >&2; exit 3", "echo latentlab report 1 nan; sleep 600", "echo latentlab result nan"]
    for number, script in enumerate(scripts, 14):
        site.ends(site.start(number, script, [*strict, "--no-wait"]))
    trials = site.trials()
    assert [trial.state for trial in trials[13:]] == [TrialState.FAIL] * 3, trials[13:]
    assert trials[13].user_attrs["fail_reason"] == "exit status: 3: boom", trials[13]
    assert math.isnan(trials[14].intermediate_values[1]) and trials[14].user_attrs["fail_reason"] == "it reported NaN"

    # NaN and what else is no JSON, of Optuna; and infinity.
    trial = study.ask()
    suggest(trial)
    trial.report(math.nan, 1)
    trial.report(-math.inf, 2)
    trial.set_user_attr("notes", [1, {"NaN": math.nan}])
    study.tell(trial, 0.5)
    study.tell(study.ask(), state=TrialState.FAIL)

    # Pruned: the worst of all.
    site.ends(site.start(19, "echo latentlab report 1 9; exec sleep 600", [*strict, "--no-wait"]))
    pruned = site.trials()[18]
    assert pruned.state == TrialState.PRUNED and pruned.values == [9] and pruned.intermediate_values == {1: 9}, pruned

    # Outside the space: left to Optuna, for the server keeps what it has of a trial.
    wide = {"x": optuna.distributions.FloatDistribution(0, 10)}
    study.add_trial(optuna.trial.create_trial(state=TrialState.WAITING, params={"x": 5.0}, distributions=wide))
    site.ends(site.start(21, options=[*strict, "--no-wait"]))
    outside, inside = site.trials()[19:]
    assert outside.state == TrialState.WAITING and inside.state in (TrialState.COMPLETE, TrialState.PRUNED)

    # The one that was killed, and the one that Optuna has begun.
    site.ends(site.start(21, options=strict))
    lost = site.trials()[12]
    assert lost.state == TrialState.FAIL, lost
    assert lost.user_attrs["fail_reason"] == "its worker ended 1 times without a result", lost
    until(lambda: time.monotonic() > begun + 31)
    site.ends(site.start(22))
    assert site.trials()[11].state == TrialState.RUNNING
    study.tell(taken, suggest(taken))
    print("in turns: enqueued, handed back, failed, NaN, pruned, killed, outside the space: as in a journal")
    site.delete()


def killed(site, count, workers, database):
    """Half of the workers are Optuna's. These do not survive the server, and what they leave is put back by hand."""
    generator = random.Random(0)
    start = time.monotonic()
    ours = [site.start(count, options=["--retries", "100"]) for _ in range(workers - workers // 2)]
    until(lambda: site.begun())
    most, share = count - 2 * workers, max(2, count // (3 * workers))
    python = [site.start_python(share, most) for _ in range(workers // 2)]
    wanted = {"ours": workers * 3 // 4, "python": max(1, workers // 5), "server": 2, "database": 1 if workers > 8 else 0}
    kills = Counter()

    def kill(all, find, restart, patience):
        found, end = [], time.monotonic() + patience
        while not found and time.monotonic() < end:
            found = [worker for worker in all if worker.poll() is None and find(worker)]
            time.sleep(0.01)
        if not found:
            return 0
        worker = generator.choice(found)
        worker.kill()
        worker.wait()
        all[all.index(worker)] = restart()
        return 1

    order = [name for name, times in wanted.items() for _ in range(times)]
    generator.shuffle(order)
    for name in order:
        time.sleep(generator.uniform(0.2, 0.8))
        if len(site.trials()) >= count:
            break
        if name == "ours":
            kills[name] += kill(ours, site.at_work, lambda: site.start(count, options=["--retries", "100"]), 20)
        elif name == "python":
            # It has a trial, or has just told one.
            has_told = lambda worker: any(trial.user_attrs.get("python") == worker.pid for trial in site.trials())
            kills[name] += kill(python, has_told, lambda: site.start_python(share, most), 3)
        elif name == "server":
            site.server.kill()
            time.sleep(generator.uniform(0, 2))
            site.server.start()
            kills[name] += 1
        elif database:
            database.stop()
            database.start()
            kills[name] += 1
        # Those that the server's end has ended.
        python = [worker if worker.poll() in (None, 0) else site.start_python(share, most) for worker in python]
    for worker in python:
        worker.wait()
    storage, left = site.study()._storage, 0
    for trial in site.trials():
        # Of a worker of Optuna that was killed: no other knows that.
        if trial.state == TrialState.RUNNING and OWNER not in trial.system_attrs:
            storage.set_trial_state_values(trial._trial_id, TrialState.WAITING)
            left += 1
    for worker in ours:
        site.ends(worker)
    seconds = time.monotonic() - start
    trials = site.trials()
    check_complete(trials, count)
    begun = site.begun()
    by_python = {trial.number + 1 for trial in trials if OWNER not in trial.system_attrs}
    assert set(begun) | by_python == set(range(1, count + 1)) and not set(begun) & by_python
    again = sum(begun.values()) - len(begun)
    # Its program may have ended just before its worker was killed.
    assert kills["ours"] // 2 <= again <= kills["ours"], (again, kills)
    names = sorted(optuna.get_all_study_names(storage))
    assert names == [NAME, f"latentlab:lock:{NAME}"], names
    print(
        f"killed: {count} trials in {seconds:.0f} s, {len(by_python)} by {workers // 2} workers of Optuna, {len(begun)} by "
        f"{len(ours)} of ours; killed {kills['ours']} of ours, {kills['python']} of Optuna's ({left} trials put back), "
        f"{kills['server']} times the server, {kills['database']} times the database; all complete, none lost, none twice, "
        f"{again} begun again; up to {site.server.calls_a_second():.0f} calls a second",
        flush=True,
    )
    site.delete()


def speed(site, count=200):
    """As throughput.py has it for a journal."""
    print("workers  trials a second, at once  after 0.2 s  calls a second, at most")
    for workers in [1, 2, 4, 8, 16]:
        rates = []
        for script in ["echo latentlab result $1", "sleep 0.2; echo latentlab result $1"]:
            trials = count if workers > 2 else count // 4
            site.server.counts.write_text("")
            start = time.monotonic()
            running = [site.start(trials, script) for _ in range(workers)]
            for worker in running:
                site.ends(worker)
            rates += [trials / (time.monotonic() - start), site.server.calls_a_second(2)]
            assert len(site.trials()) == trials
            site.delete()
        print(f"{workers:7}  {rates[0]:24.1f}  {rates[2]:11.1f}  {max(rates[1], rates[3]):23.0f}", flush=True)


def main():
    if sys.argv[1] == "serve":
        return serve(*sys.argv[2:])
    if sys.argv[1] == "work":
        return work(*sys.argv[2:])
    parser = argparse.ArgumentParser()
    parser.add_argument("tool")
    parser.add_argument("--workers", type=int, default=16)
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--sqlite", action="store_true")
    parser.add_argument("--speed", action="store_true")
    parser.add_argument("--only-kills", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        database = None if arguments.sqlite else PostgreSQL(folder)
        server = Server(folder, database.url if database else f"sqlite:///{folder}/study.db")
        try:
            site = Site(str(Path(arguments.tool).resolve()), folder, server)
            if arguments.speed:
                return speed(site)
            if not arguments.only_kills:
                in_turns(site)
            killed(site, arguments.trials, arguments.workers, database)
        finally:
            server.kill()
            if database:
                database.stop()


if __name__ == "__main__":
    main()
