"""Optuna's workers and ours on one journal.

    python optuna_journal.py write          writes optuna_journal.log, which tests/optuna.rs reads
    python optuna_journal.py <the example>  runs both at once: target/debug/examples/optuna, say
    python optuna_journal.py <it> <the tool>    and `latentlab worker`, of target/debug/latentlab, say

Needs optuna 5.0.0 and optuna-dashboard 0.21.0.
"""

import json
import math
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
import warnings
from pathlib import Path

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock, JournalFileSymlinkLock
from optuna.trial import TrialState

optuna.logging.set_verbosity(optuna.logging.ERROR)
warnings.simplefilter("ignore")
NAME = "autoencoder"


def storage(path, lock=None):
    return JournalStorage(JournalFileBackend(str(path), lock))


def write():
    """All that Optuna's workers write: enqueued, pruned, failed and added trials, NaN, what others ignore."""
    path = Path(__file__).with_suffix(".log")
    path.unlink(missing_ok=True)
    journal = storage(path)
    other = optuna.create_study(study_name="other", storage=journal, directions=["minimize", "maximize"])
    sampler = optuna.samplers.RandomSampler(seed=0)
    study = optuna.create_study(study_name="digits", storage=journal, sampler=sampler)
    study.enqueue_trial({"x": 5.0, "c": "b"})  # outside the range, but that is allowed

    def objective(trial):
        x = trial.suggest_float("x", 0, 1)
        n = trial.suggest_int("n", 2, 8)
        trial.suggest_categorical("c", ["a", "b", 2])
        if trial.number == 5:
            trial.suggest_categorical("more", [None, True, 1.5])
            trial.suggest_int("negative", -5, -3)
        for step in range(3):
            trial.report([x + n, math.inf, math.nan][step] if trial.number == 0 else x + step, step)
        trial.set_user_attr("notes", [1, {"NaN": math.nan}])
        if trial.number == 1:
            raise optuna.TrialPruned()
        return {2: math.inf, 3: math.nan}.get(trial.number, x + n)

    study.optimize(objective, 3)
    other.ask({"x": optuna.distributions.CategoricalDistribution([1, 2])})
    study.optimize(objective, 3)
    float_ = optuna.distributions.FloatDistribution(0, 1)
    study.add_trial(
        optuna.trial.create_trial(
            params={"x": 0.5}, distributions={"x": float_}, value=1.0, intermediate_values={1: 2.0, 0: 3.0}
        )
    )
    running = study.ask()
    running.suggest_float("x", 0, 1)
    # Written all the same: what its worker is refused, and others ignore.
    for wrong in [
        lambda: running.suggest_int("x", 0, 1),
        lambda: journal.set_trial_state_values(1, TrialState.FAIL),
        lambda: journal.set_trial_system_attr(1, "late", 1),
        lambda: journal.create_new_study([optuna.study.StudyDirection.MAXIMIZE], "digits"),
        lambda: running._cached_frozen_trial.distributions.clear() or running.suggest_int("x", 0, 1),
    ]:
        try:
            wrong()
        except Exception:
            pass
    optuna.delete_study(study_name="other", storage=journal)
    study.enqueue_trial({"x": 1, "n": 3, "unknown": 4})
    study.add_trial(
        optuna.trial.create_trial(
            state=TrialState.WAITING,
            params={"x": 0.25},
            distributions={"x": float_},
            system_attrs={"failed_trial": 3, "fixed_params": {"c": 2.0}},
        )
    )


PYTHON = sys.executable


def objective(trial):
    hidden = trial.suggest_int("hidden", 8, 64)
    rate = trial.suggest_float("learning_rate", 1e-4, 1e-1, log=True)
    optimizer = trial.suggest_categorical("optimizer", ["adam", "sgd"])
    value = 0.05 + abs(math.log10(rate) + 2) / 50 + hidden / 10000 + (optimizer == "sgd") / 100
    for step in range(1, 5):
        trial.report(value + 1 / step, step)
        time.sleep(0.005)
    trial.set_user_attr("python", os.getpid())
    return value


def work(path, trials, only_enqueued):
    """A worker of Optuna: this many trials, or as long as trials are enqueued. It begins when ours can begin too."""
    lock = [JournalFileSymlinkLock, JournalFileOpenLock][os.getpid() % 2]
    study = optuna.load_study(study_name=NAME, storage=storage(path, lock(path, grace_period=3)))
    study.set_user_attr("worker", os.getpid())
    while not Path(f"{path}.go").exists():
        time.sleep(0.001)
    for _ in range(trials):
        trial = study.ask()
        if only_enqueued and "fixed_params" not in study.trials[trial.number].system_attrs:
            study.tell(trial, state=TrialState.FAIL)
            break
        study.tell(trial, objective(trial))


def start_python(path, trials, only_enqueued=False):
    return subprocess.Popen([PYTHON, __file__, "work", str(path), str(trials), "enqueued" if only_enqueued else "all"])


def start_both(path, trials, only_enqueued):
    """Four of each, at the same time: Optuna's take longer to be ready."""
    workers = [start_python(path, trials, only_enqueued) for _ in range(4)]
    while path.read_text().count('"user_attr":{"worker"') < 4:
        time.sleep(0.01)
    workers += [start_ours(path, 80) for _ in range(4)]
    Path(f"{path}.go").touch()
    assert [worker.wait() for worker in workers] == [0] * 8


def start_ours(path, trials):
    return subprocess.Popen([EXAMPLE, str(path), NAME, str(trials)], stdout=subprocess.DEVNULL)


def run_ours(path, trials):
    """The table's first row: number and value of the best trial."""
    command = [EXAMPLE, str(path), NAME, str(trials)]
    lines = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.splitlines()
    head = next(index for index, line in enumerate(lines) if line.split()[:2] == ["trial", "value"])
    row = dict(zip(lines[head].split(), lines[head + 1].split()))
    return int(row["trial"]), float(row["value"])


def load(path):
    return optuna.load_study(study_name=NAME, storage=storage(path))


def check_file(path):
    """Each trial ended at most once, and each line is whole."""
    ended, created = {}, 0
    for line in path.read_text().splitlines():
        line = json.loads(line)
        created += line["op_code"] == 4
        if line["op_code"] == 6 and line["state"] in (1, 2, 3):
            ended[line["trial_id"]] = ended.get(line["trial_id"], 0) + 1
    assert all(count == 1 for count in ended.values()), ended
    return created, len(ended)


def agree(path, best):
    """Whether our best trial is Optuna's."""
    theirs = load(path).best_trial
    assert best[0] == theirs.number + 1 and abs(best[1] / theirs.value - 1) < 1e-3, (best, theirs)


def one_after_the_other(folder):
    path = folder / "turns.log"
    best = run_ours(path, 10)
    agree(path, best)
    study = load(path)
    assert [trial.number for trial in study.trials] == list(range(10))
    for trial in study.trials:
        assert 8 <= trial.params["hidden"] <= 64 and trial.params["optimizer"] in ("adam", "sgd"), trial
        assert trial.state != TrialState.RUNNING and trial.datetime_complete >= trial.datetime_start, trial
        assert list(trial.intermediate_values) == list(range(1, len(trial.intermediate_values) + 1)), trial
    study.optimize(objective, 15)
    agree(path, run_ours(path, 40))
    assert len(load(path).trials) == 40
    # Begun by Optuna.
    path = folder / "begun.log"
    study = optuna.create_study(study_name=NAME, storage=storage(path))
    study.optimize(objective, 12)
    study.enqueue_trial({"hidden": 33, "optimizer": "sgd"})
    agree(path, run_ours(path, 20))
    trials = load(path).trials
    enqueued = trials[12]
    assert (enqueued.params["hidden"], enqueued.params["optimizer"]) == (33, "sgd") and len(trials) == 20
    assert "learning_rate" in enqueued.params and enqueued.state.is_finished()
    assert optuna.importance.get_param_importances(load(path), evaluator=optuna.importance.PedAnovaImportanceEvaluator())
    print("one after the other: 40 and 20 trials, the best is the same")


def at_once(folder):
    path = folder / "at_once.log"
    optuna.create_study(study_name=NAME, storage=storage(path))
    start = time.monotonic()
    start_both(path, 10, False)
    seconds = time.monotonic() - start
    trials = load(path).trials
    python = sum("python" in trial.user_attrs for trial in trials)
    ours = sum("latentlab:worker" in trial.system_attrs for trial in trials)
    assert all(trial.state.is_finished() for trial in trials) and python == 40 and python + ours == len(trials) >= 80
    assert check_file(path) == (len(trials), len(trials))
    agree(path, run_ours(path, 80))
    print(f"at once: {len(trials)} trials, {python} by 4 workers of Optuna, {ours} by 4 of ours, {seconds:.1f} s")

    path = folder / "enqueued.log"
    study = optuna.create_study(study_name=NAME, storage=storage(path))
    for hidden in range(80):
        study.enqueue_trial({"hidden": 8 + hidden % 57})
    start_both(path, 80, True)
    trials = load(path).trials
    for number, trial in enumerate(trials[:80]):
        both = ("python" in trial.user_attrs) + ("latentlab:worker" in trial.system_attrs)
        assert both == 1 and trial.state.is_finished() and trial.params["hidden"] == 8 + number % 57, trial
    ours = sum("latentlab:worker" in trial.system_attrs for trial in trials)
    check_file(path)
    print(f"enqueued: 80 trials, {80 - ours} by 4 workers of Optuna, {ours} by 4 of ours, none twice")


def killed(folder):
    path = folder / "killed.log"
    optuna.create_study(study_name=NAME, storage=storage(path))
    Path(f"{path}.go").touch()
    generator = random.Random(0)
    start = {"python": lambda: start_python(path, 1000), "ours": lambda: start_ours(path, 100000)}
    kinds = ["python", "python", "ours", "ours"]
    workers = [start[kind]() for kind in kinds]
    kills = 0
    end = time.monotonic() + 15
    while time.monotonic() < end:
        time.sleep(generator.uniform(0.1, 0.6))
        index = generator.randrange(4)
        assert workers[index].poll() is None, "it ended by itself"
        if kinds[index] == "python" and f'{{"worker":{workers[index].pid}}}' not in path.read_text():
            continue  # It has not even begun.
        workers[index].send_signal(signal.SIGKILL)
        workers[index].wait()
        workers[index] = start[kinds[index]]()
        kills += 1
    for worker in workers:
        worker.send_signal(signal.SIGKILL)
        worker.wait()
    # Takes the lock away that a killed worker of Optuna may hold; ours would wait for 30 seconds.
    assert start_python(path, 0).wait() == 0
    # What a worker leaves that is killed while it writes.
    with open(path, "a") as file:
        file.write('{"op_code":6,"worker_id":"a-1","trial_id":0,"sta')
    count = len(load(path).trials)
    best = run_ours(path, count)
    agree(path, best)
    trials = load(path).trials
    running = [trial for trial in trials if trial.state == TrialState.RUNNING]
    assert not any("latentlab:worker" in trial.system_attrs for trial in running), running
    created, ended = check_file(path)
    assert created == len(trials) == ended + len(running) == count
    left = sorted(file.name for file in folder.iterdir() if file.name.startswith((".killed", "killed")))
    assert left == ["killed.log", "killed.log.go"], left
    print(f"killed: {kills + 4} kills, {count} trials, {len(running)} of Optuna's killed workers still run, none of ours")


def tool(folder):
    """What `latentlab worker` leaves: a failure's reason, a trial that it hands back, one that it lost."""
    path, begun = folder / "tool.log", folder / "tool.begun"

    def start(trials, script):
        command = [TOOL, "worker", "--study", path, "--name", NAME, "--trials", str(trials), "-p", "x=0.0..1.0"]
        script = ["sh", "-c", f"echo >> {begun}; {script}", "{x}"]
        return subprocess.Popen([*command, "--", *script], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def ended(worker, send):
        while not begun.exists():
            time.sleep(0.01)
        worker.send_signal(send)
        begun.unlink()
        return worker.wait()

    assert start(1, "echo boom >&2; exit 3").wait() == 0
    failed = load(path).trials[0]
    assert failed.state == TrialState.FAIL and failed.user_attrs["fail_reason"] == "exit status: 3: boom", failed
    begun.unlink()
    assert ended(start(2, "exec sleep 600"), signal.SIGTERM) == 143
    waiting = load(path).trials[1]
    assert waiting.state == TrialState.WAITING and list(waiting.params) == ["x"], waiting
    load(path).optimize(lambda trial: trial.suggest_float("x", 0, 1), 1)
    taken = load(path).trials[1]
    assert taken.state == TrialState.COMPLETE and taken.value == taken.params["x"] == waiting.params["x"], taken
    ended(start(3, "exec sleep 600"), signal.SIGKILL)
    assert load(path).trials[2].state == TrialState.RUNNING
    assert start(3, "echo latentlab result $0").wait() == 0
    lost = load(path).trials[2]
    assert lost.state == TrialState.COMPLETE and lost.value == lost.params["x"], lost
    assert check_file(path) == (3, 3)
    print("the tool: a failure with its reason, one handed back that Optuna completed, one lost that came again")


def earlier_journal(folder):
    """A journal of our earlier format, with a report of NaN, for Optuna."""
    path = folder / "earlier.jsonl"
    parameters = [
        {"name": "hidden", "range": {"integer": [8, 64]}, "log": False},
        {"name": "learning_rate", "range": {"float": [1e-4, 1e-1]}, "log": True},
        {"name": "optimizer", "range": {"choice": ["adam", "sgd"]}, "log": False},
    ]
    settings = {"hidden": 8, "learning_rate": 0.01, "optimizer": "sgd"}
    lines = [
        {"study": {"maximize": False, "space": {"parameters": parameters, "grid": False}}},
        {"ask": {"trial": 1, "worker": 0, "settings": settings}},
        {"report": {"trial": 1, "epoch": 1, "value": None}},
        {"tell": {"trial": 1, "value": None, "pruned": True, "seconds": 1.5}},
        {"ask": {"trial": 2, "worker": 0, "settings": settings}},
        {"tell": {"trial": 2, "value": 0.001, "pruned": False, "seconds": 1.5}},
    ]
    path.write_text("".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines))
    global NAME
    name, NAME = NAME, "latentlab"
    assert run_ours(path, 4) == (2, 0.001)
    trials = load(path).trials
    NAME = name
    assert [trial.state for trial in trials[:2]] == [TrialState.FAIL, TrialState.COMPLETE] and len(trials) == 4
    assert math.isnan(trials[0].intermediate_values[1]) and trials[1].params == settings
    print("earlier journal: 2 trials, NaN among their reports, and 2 more")


def dashboard(folder):
    from wsgiref.simple_server import WSGIRequestHandler, make_server

    import optuna_dashboard

    class Silent(WSGIRequestHandler):
        def log_message(self, *arguments):
            pass

    server = make_server("127.0.0.1", 0, optuna_dashboard.wsgi(storage(folder / "at_once.log")), handler_class=Silent)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    get = lambda place: json.load(urllib.request.urlopen(f"http://127.0.0.1:{server.server_port}/api/{place}"))
    (study,) = get("studies")["study_summaries"]
    assert study["study_name"] == NAME, study
    detail = get(f"studies/{study['study_id']}?after=0")
    expected = load(folder / "at_once.log").trials
    assert len(detail["trials"]) == len(expected)
    names = {parameter["name"] for parameter in detail["trials"][0]["params"]}
    assert names == {"hidden", "learning_rate", "optimizer"}, names
    best = load(folder / "at_once.log").best_trial.number
    assert [trial["number"] for trial in detail["best_trials"]] == [best], detail["best_trials"]
    server.shutdown()
    print(f"dashboard: {len(expected)} trials, best {best}")


if __name__ == "__main__":
    if sys.argv[1] == "write":
        write()
    elif sys.argv[1] == "work":
        work(sys.argv[2], int(sys.argv[3]), sys.argv[4] == "enqueued")
    else:
        EXAMPLE = sys.argv[1]
        checks = [one_after_the_other, at_once, dashboard, killed, earlier_journal]
        if sys.argv[2:]:
            TOOL = sys.argv[2]
            checks.append(tool)
        with tempfile.TemporaryDirectory() as temporary:
            for check in checks:
                check(Path(temporary))
