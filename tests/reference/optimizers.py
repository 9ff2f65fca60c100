"""Writes optimizers.json: 50 steps of every optimizer, and the learning rates of every schedule, computed by PyTorch in double precision.

    python3 -m venv venv && venv/bin/pip install torch==2.15.0 numpy && venv/bin/python optimizers.py

The problem is 0.5·Σ c·(w − t)², whose gradient is c·(w − t): badly conditioned, its solution far from 0, one of its weights
without a gradient. The settings of each optimizer are read from PyTorch's own, so its defaults are on record too.
"""
import json, pathlib, torch

torch.set_default_dtype(torch.float64)
START = [1.5, -0.75, 0.25, -2.0, 0.5, 3.0, 1.0]
TARGET = [0.5, 1.25, -1.0, -2.5, 0.75, -3.0, 0.0]
CURVATURE = [0.125, 0.5, 1.0, 2.0, 4.0, 8.0, 0.0]
# The steps after which the weights are noted. RAdam begins to rectify at its sixth.
NOTED = [1, 2, 5, 6, 7, 20, 50]

class Lion(torch.optim.Optimizer):
    """Chen et al. 2023, algorithm 2, which PyTorch does not have."""
    def __init__(self, weights, lr, betas=(0.9, 0.99), weight_decay=0.0):
        super().__init__(weights, dict(lr=lr, betas=betas, weight_decay=weight_decay))

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            (beta1, beta2), lr, decay = group["betas"], group["lr"], group["weight_decay"]
            for w in group["params"]:
                m = self.state[w].setdefault("m", torch.zeros_like(w))
                update = (beta1 * m + (1 - beta1) * w.grad).sign()
                w -= lr * (update + decay * w)
                m.mul_(beta2).add_(w.grad, alpha=1 - beta2)

CASES = {
    "adam": (torch.optim.Adam, 0.05, {}),
    "adam, weight decay": (torch.optim.Adam, 0.05, dict(weight_decay=0.1)),
    "adam, betas, epsilon": (torch.optim.Adam, 0.05, dict(betas=(0.5, 0.9), eps=1e-3, weight_decay=1e-5)),
    "adamw": (torch.optim.AdamW, 0.05, {}),
    "adamw, weight decay": (torch.optim.AdamW, 0.05, dict(weight_decay=0.3, betas=(0.8, 0.95))),
    "adamax": (torch.optim.Adamax, 0.05, {}),
    "adamax, weight decay": (torch.optim.Adamax, 0.05, dict(weight_decay=0.1)),
    "adamax, betas, epsilon": (torch.optim.Adamax, 0.05, dict(betas=(0.5, 0.7), eps=1e-2)),
    "adagrad": (torch.optim.Adagrad, 0.25, {}),
    "adagrad, weight decay, epsilon": (torch.optim.Adagrad, 0.25, dict(weight_decay=0.1, eps=1e-2)),
    "radam": (torch.optim.RAdam, 0.05, {}),
    "radam, weight decay": (torch.optim.RAdam, 0.05, dict(weight_decay=0.1)),
    "radam, betas, epsilon": (torch.optim.RAdam, 0.05, dict(betas=(0.5, 0.9), eps=1e-2)),
    "nadam": (torch.optim.NAdam, 0.05, {}),
    "nadam, weight decay": (torch.optim.NAdam, 0.05, dict(weight_decay=0.1)),
    "nadam, betas, epsilon, momentum decay": (torch.optim.NAdam, 0.05, dict(betas=(0.5, 0.9), eps=1e-2, momentum_decay=1.0)),
    "rmsprop": (torch.optim.RMSprop, 0.05, {}),
    "rmsprop, weight decay": (torch.optim.RMSprop, 0.05, dict(weight_decay=0.1)),
    "rmsprop, alpha, epsilon, momentum": (torch.optim.RMSprop, 0.01, dict(alpha=0.9, eps=1e-2, momentum=0.9)),
    "rmsprop, centered": (torch.optim.RMSprop, 0.01, dict(centered=True, eps=1e-2)),
    "rmsprop, centered, momentum, weight decay": (torch.optim.RMSprop, 0.01, dict(centered=True, eps=1e-2, momentum=0.5, weight_decay=0.1)),
    "lion": (Lion, 0.03, {}),
    "lion, weight decay, betas": (Lion, 0.03, dict(weight_decay=0.3, betas=(0.8, 0.95))),
    "sgd": (torch.optim.SGD, 0.05, {}),
    "sgd, weight decay": (torch.optim.SGD, 0.05, dict(weight_decay=0.1)),
    "sgd, momentum": (torch.optim.SGD, 0.05, dict(momentum=0.9)),
    "sgd, momentum, weight decay": (torch.optim.SGD, 0.05, dict(momentum=0.5, weight_decay=0.1)),
    "sgd, nesterov": (torch.optim.SGD, 0.05, dict(momentum=0.9, nesterov=True, weight_decay=0.01)),
}

def settings(optimizer):
    """As this crate writes them."""
    values = optimizer.defaults
    names = dict(betas="betas", eps="epsilon", momentum="momentum", nesterov="nesterov", weight_decay="weight_decay", alpha="alpha",
                 centered="centered", momentum_decay="momentum_decay")
    return dict(algorithm=type(optimizer).__name__.lower(), **{ours: values[theirs] for theirs, ours in names.items() if theirs in values})

def optimizer_case(name):
    kind, learning_rate, words = CASES[name]
    w, target, curvature = torch.tensor(START).requires_grad_(), torch.tensor(TARGET), torch.tensor(CURVATURE)
    optimizer = kind([w], lr=learning_rate, **words)
    noted = []
    for step in range(1, max(NOTED) + 1):
        optimizer.zero_grad()
        (0.5 * curvature * (w - target) ** 2).sum().backward()
        optimizer.step()
        if step in NOTED:
            noted.append([float(f"{v:.9g}") for v in w.tolist()])
    return dict(name=name, optimizer=settings(optimizer), learning_rate=learning_rate, weights=noted)

# Falls, stays, rises, falls by too little, and ends on a long plateau.
LOSSES = [1.0, 0.7, 0.5, 0.5, 0.6, 0.49999, 0.4, 0.39, 0.389, 0.3885, 0.45, 0.4, 0.388, 0.37, 0.37, 0.36999] + [0.38] * 24

def schedule_case(name, description, schedule):
    """The rate of each epoch: before the first loss, after the first, after the second..."""
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=0.02)
    scheduler = schedule(optimizer)
    rates = []
    for loss in LOSSES:
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step(loss) if "plateau" in name else scheduler.step()
    return dict(name=name, schedule=description, rates=rates)

def plateau(name, factor, patience, threshold, minimum):
    description = dict(kind="reduce_on_plateau", factor=factor, patience=patience, threshold=threshold, minimum=minimum)
    return schedule_case(name, description, lambda o: torch.optim.lr_scheduler.ReduceLROnPlateau(
        o, factor=factor, patience=patience, threshold=threshold, min_lr=minimum))

def cosine(name, minimum):
    return schedule_case(name, dict(kind="cosine", minimum=minimum), lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(
        o, T_max=len(LOSSES), eta_min=minimum))

# By epochs: PyTorch's usual step by batches takes as many.
def rates(name, description, schedule):
    return schedule_case(name, description, lambda o: schedule(o, torch.optim.lr_scheduler))

def step_decay(name, every, factor):
    return rates(name, dict(kind="step_decay", every=every, factor=factor), lambda o, s: s.StepLR(o, every, factor))

def exponential(name, factor):
    return rates(name, dict(kind="exponential", factor=factor), lambda o, s: s.ExponentialLR(o, factor))

def one_cycle(name, pct_start, div_factor, final_div_factor):
    description = dict(kind="one_cycle", pct_start=pct_start, div_factor=div_factor, final_div_factor=final_div_factor)
    return rates(name, description, lambda o, s: s.OneCycleLR(
        o, 0.02, total_steps=len(LOSSES), **{key: value for key, value in description.items() if key != "kind"}))

def warmed_up(name, epochs, description, schedule):
    """The schedule after `epochs` that lead up to it in equal steps from 0."""
    return rates(name, dict(description, warm_up=epochs), lambda o, s: s.SequentialLR(
        o, [s.LinearLR(o, 1 / (epochs + 1), total_iters=epochs), schedule(o, s)], [epochs]))

schedules = [
    schedule_case("constant", dict(kind="constant"), lambda o: torch.optim.lr_scheduler.ConstantLR(o, factor=1.0)),
    cosine("cosine", 0.0), cosine("cosine to a minimum", 0.005),
    plateau("plateau", 0.1, 10, 1e-4, 0.0), plateau("plateau, impatient", 0.5, 1, 1e-2, 0.0),
    step_decay("step decay", 10, 0.1), step_decay("step decay, often", 3, 0.7), exponential("exponential", 0.9),
    one_cycle("one cycle", 0.3, 25.0, 1e4), one_cycle("one cycle, early", 0.1, 10.0, 100.0),
    warmed_up("warm-up", 5, dict(kind="constant"), lambda o, s: s.ConstantLR(o, factor=1.0)),
    warmed_up("warm-up, cosine", 4, dict(kind="cosine", minimum=0.0), lambda o, s: s.CosineAnnealingLR(o, len(LOSSES) - 4)),
    warmed_up("warm-up, step decay", 3, dict(kind="step_decay", every=10, factor=0.5), lambda o, s: s.StepLR(o, 10, 0.5)),
    plateau("plateau, at once", 0.7, 0, 0.0, 0.001), plateau("plateau to a minimum", 0.3, 2, 1e-3, 0.001),
]
cases = dict(torch=torch.__version__, start=START, target=TARGET, curvature=CURVATURE, noted=NOTED,
             optimizers=[optimizer_case(name) for name in CASES], learning_rate=0.02, losses=LOSSES, schedules=schedules)
(pathlib.Path(__file__).parent / "optimizers.json").write_text(json.dumps(cases) + "\n")
