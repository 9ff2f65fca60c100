"""Our sampler and pruner against Optuna's, on the functions of examples/regret/functions.rs.

    python regret.py optuna                 Optuna's regrets, into regret_optuna.csv beside this file
    python regret.py compare <ours.csv>     compares them with what `cargo run --example regret` writes
    python regret.py scales                 how well the table of trainings predicts one left out
    python regret.py pruner                 decisions of MedianPruner, into median_pruner.json beside this file

Needs optuna 5.0.0 and scipy 1.17.
"""

import csv
import json
import math
import sys
import warnings
from collections import defaultdict
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import optuna
from scipy.stats import mannwhitneyu

optuna.logging.set_verbosity(optuna.logging.ERROR)
warnings.simplefilter("ignore")
HERE = Path(__file__).parent
SEEDS, TRIALS = 20, 100


def floats(trial, *ranges):
    return np.array([trial.suggest_float(f"x{i}", *range) for i, range in enumerate(ranges, 1)])


def branin(trial):
    x, y = floats(trial, (-5, 10), (0, 15))
    parabola = y - 5.1 / (4 * math.pi**2) * x * x + 5 / math.pi * x - 6
    return parabola**2 + 10 * (1 - 1 / (8 * math.pi)) * math.cos(x) + 10


DEPTHS = np.array([1.0, 1.2, 3.0, 3.2])
WIDTHS = np.array(
    [[10, 3, 17, 3.5, 1.7, 8], [0.05, 10, 17, 0.1, 8, 14], [3, 3.5, 1.7, 10, 17, 8], [17, 8, 0.05, 10, 0.1, 14]]
)
PLACES = np.array(
    [
        [0.1312, 0.1696, 0.5569, 0.0124, 0.8283, 0.5886],
        [0.2329, 0.4135, 0.8307, 0.3736, 0.1004, 0.9991],
        [0.2348, 0.1451, 0.3522, 0.2883, 0.3047, 0.6650],
        [0.4047, 0.8828, 0.8732, 0.5743, 0.1091, 0.0381],
    ]
)


def hartmann6(trial):
    x = floats(trial, *[(0, 1)] * 6)
    return -float(DEPTHS @ np.exp(-(WIDTHS * (x - PLACES) ** 2).sum(1)))


def rosenbrock4(trial):
    x = floats(trial, *[(-5, 10)] * 4)
    return float((100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum())


def ackley5(trial):
    x = floats(trial, *[(-32.768, 32.768)] * 5)
    funnel = -20 * math.exp(-0.2 * math.sqrt((x * x).mean()))
    return funnel - math.exp(np.cos(2 * math.pi * x).mean()) + 20 + math.e


def mixed(trial):
    rate = math.log10(trial.suggest_float("rate", 1e-5, 1, log=True))
    layers = trial.suggest_int("layers", 1, 6)
    units = trial.suggest_int("units", 8, 1024, log=True)
    dropout = trial.suggest_float("dropout", 0, 0.8)
    best, optimizer = {"adam": (-3, 0), "sgd": (-1, 0.1), "rmsprop": (-3.5, 0.2)}[
        trial.suggest_categorical("optimizer", ["adam", "sgd", "rmsprop"])
    ]
    activation = {"relu": 0.1, "tanh": 0.3, "gelu": 0, "elu": 0.15}[
        trial.suggest_categorical("activation", ["relu", "tanh", "gelu", "elu"])
    ]
    size = math.log(layers * units / 384) ** 2 / 5 + abs(layers - 3) / 10
    return (rate - best) ** 2 / 2 + size + 3 * (dropout - 0.2) ** 2 + optimizer + activation


def conditional(trial):
    kind = trial.suggest_categorical("kind", ["linear", "tree", "network"])
    if kind == "linear":
        return 0.5 + (math.log10(trial.suggest_float("penalty", 1e-6, 1, log=True)) + 2) ** 2 / 20
    if kind == "tree":
        depth, leaf = trial.suggest_int("depth", 1, 16), trial.suggest_int("leaf", 1, 64, log=True)
        return 0.25 + (depth - 9) ** 2 / 100 + math.log(leaf / 4) ** 2 / 20
    rate = math.log10(trial.suggest_float("rate", 1e-5, 1e-1, log=True)) + 3
    layers, units = trial.suggest_int("layers", 1, 5), trial.suggest_int("units", 8, 256, log=True)
    dropout = trial.suggest_float("dropout", 0, 0.8)
    return rate**2 / 4 + abs(layers - 2) / 5 + math.log(units / 64) ** 2 / 10 + (dropout - 0.2) ** 2


S2_SCALES = np.array([0.25, 3, 2, 0.5, 24, 3])


def s2_table():
    table = np.loadtxt(HERE / "s2_trainings.csv", delimiter=",", skiprows=1)
    return table[:, :6], table[:, 6:]


def s2(trial, pruned=False, table=[]):
    table = table or table.extend(s2_table()) or table
    place = [
        (trial.suggest_int("filters1", 8, 16) - 8) / 8,
        (trial.suggest_int("filters2", 16, 32) - 16) / 16,
        (trial.suggest_int("filters3", 32, 64) - 32) / 32,
        (trial.suggest_int("hidden", 64, 128) - 64) / 64,
        math.log(trial.suggest_float("learning_rate", 1e-4, 8e-3, log=True) / 1e-4) / math.log(80),
        trial.suggest_categorical("optimizer", ["adam", "radam"]) == "radam",
    ]
    weights = np.exp(-((S2_SCALES * (place - table[0])) ** 2).sum(1))
    losses = weights @ table[1] / weights.sum()
    for epoch, loss in enumerate(losses, 1):
        trial.report(loss, epoch)
        if pruned and trial.should_prune():
            raise optuna.TrialPruned()
    return float(losses[-1])


def s2_pruned(trial):
    return s2(trial, True)


FUNCTIONS = [branin, hartmann6, rosenbrock4, ackley5, mixed, conditional, s2, s2_pruned]


def run(function, seed, parallel, **settings):
    """The value of each trial in order, and the epochs that all took; `parallel` trials run at the same time."""
    sampler = optuna.samplers.TPESampler(seed=seed, **settings)
    study = optuna.create_study(sampler=sampler, pruner=optuna.pruners.MedianPruner())
    if parallel == 1:
        study.optimize(function, TRIALS)
    else:
        for start in range(0, TRIALS, parallel):
            trials, results = [study.ask() for _ in range(min(parallel, TRIALS - start))], []
            # All have their settings before any has a result.
            for trial in trials:
                try:
                    results.append((trial, function(trial), None))
                except optuna.TrialPruned:
                    results.append((trial, None, optuna.trial.TrialState.PRUNED))
            for trial, value, state in results:
                study.tell(trial, value, state)
    complete = optuna.trial.TrialState.COMPLETE
    values = [trial.value if trial.state == complete else math.inf for trial in study.trials]
    return values, sum(len(trial.intermediate_values) for trial in study.trials)


def work(job):
    function, parallel, seed = job
    values, epochs = run(function, seed, parallel)
    return [function.__name__, parallel, seed, epochs, *np.minimum.accumulate(values)[[24, 49, 99]].tolist()]


def optuna_regrets():
    jobs = [(f, parallel, seed) for f in FUNCTIONS for parallel in [1, 8] for seed in range(SEEDS)]
    with ProcessPoolExecutor(2) as pool, open(HERE / "regret_optuna.csv", "w") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["function", "parallel", "seed", "epochs", "best25", "best50", "best100"])
        for row in pool.map(work, jobs):
            table.writerow(row)
            file.flush()


def scales():
    """The scales with which each training is best predicted by the others, found one after the other; how well."""
    places, losses = s2_table()
    last = losses[:, -1]

    def error(scales):
        weights = np.exp(-(((places[:, None] - places[None]) * scales) ** 2).sum(2))
        np.fill_diagonal(weights, 0)
        return float(np.sqrt((((weights @ last) / weights.sum(1) - last) ** 2).mean()))

    best = np.ones(6)
    for _ in range(3):
        for i in range(6):
            tried = [np.where(np.arange(6) == i, scale, best) for scale in [0.25, 0.5, 1, 1.5, 2, 3, 4, 6, 8, 12, 16, 24]]
            best = min(tried, key=error)
    print(best.tolist(), f"error {error(best):.5f}, deviation of the losses {last.std():.5f}, lowest {last.min():.5f}")


def read(path):
    runs = defaultdict(list)
    for row in csv.DictReader(open(path)):
        runs[row["function"], int(row["parallel"])].append(row)
    return runs


MINIMA = {"branin": 0.397887357729738, "hartmann6": -3.322368011415514, "s2": 0.03346, "s2_pruned": 0.03346}


def compare(path):
    """A row of docs/tuning.md for each function: median regrets, and how likely ours would be so much higher or lower
    by chance; the epochs of all trials of a study."""
    ours, theirs = read(path), read(HERE / "regret_optuna.csv")
    for name in dict(theirs):
        runs = [table[name] for table in (ours, theirs)]
        a, b = [np.array([float(row["best100"]) for row in run]) - MINIMA.get(name[0], 0) for run in runs]
        epochs = [np.mean([int(row["epochs"]) for row in run]) for run in runs]
        higher, lower = [mannwhitneyu(a, b, alternative=side).pvalue for side in ("greater", "less")]
        medians = f"{np.median(a):.5f} | {np.median(b):.5f} | {a.mean():.5f} | {b.mean():.5f}"
        print(f"| {name[0]} | {name[1]} | {medians} | {higher:.3f} | {lower:.4f} | {epochs[0]:.0f} | {epochs[1]:.0f} |")


def decisions():
    """What MedianPruner decides in random histories, with NaN, ties, epochs left out and all its settings."""
    random, cases = np.random.default_rng(0), []
    for case in range(120):
        settings = [5, 0, 1, 1] if case < 30 else [int(random.integers(*r)) for r in [(0, 7), (0, 7), (1, 5), (1, 6)]]
        pruner = optuna.pruners.MedianPruner(*settings[:3], n_min_trials=settings[3])
        maximize = case % 2 == 1
        study = optuna.create_study(direction="maximize" if maximize else "minimize", pruner=pruner)

        def reports():
            level, epochs = int(random.integers(0, 20)), [epoch for epoch in range(1, 11) if random.random() < 0.8]
            values = [None if random.random() < 0.05 else level + int(random.integers(0, 10)) / 2 for _ in epochs]
            return list(zip(epochs, values))

        def report(trial, epoch, value):
            trial.report(math.nan if value is None else value, epoch)

        complete = [reports() for _ in range(random.integers(0, 12))]
        for history in complete:
            trial = study.ask()
            if history and history[-1][1] is None:
                history[-1] = (history[-1][0], 3.0)  # ours would have ended it
            for pair in history:
                report(trial, *pair)
            study.tell(trial, 1.0)
        trial, decided = study.ask(), []
        for epoch, value in reports():
            report(trial, epoch, value)
            decided.append([epoch, value, bool(trial.should_prune())])
        cases.append({"settings": settings, "maximize": maximize, "complete": complete, "decided": decided})
    lines = ",\n".join(json.dumps(case, separators=(",", ":")) for case in cases)
    (HERE / "median_pruner.json").write_text(f"[\n{lines}\n]\n")
    print(len(cases), sum(len(c["decided"]) for c in cases), sum(d[2] for c in cases for d in c["decided"]))


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["optuna"]:
            optuna_regrets()
        case ["compare", path]:
            compare(path)
        case ["scales"]:
            scales()
        case ["pruner"]:
            decisions()
