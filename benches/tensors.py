"""The operations of `cargo bench --bench layers -- tensors` in PyTorch: prints the median microseconds of each, forward and with
the gradients of its sum. `python benches/tensors.py [PART OF A NAME]`."""

import statistics
import sys
import time

import torch
from torch.nn import functional as F

SECONDS = 0.3
SIZES = [(128, 32), (128, 784), (1024, 1024), (128, 12, 28, 28)]


def same(*size):
    return size


def row(*size):
    return size[-1:]


def column(*size):
    return (*size[:-1], 1)


def turned(*size):
    return (*size[:-2], size[-1], size[-2])


OPERATIONS = [
    ("add", same, lambda x, y: x + y),
    ("add a row", row, lambda x, y: x + y),
    ("multiply", same, lambda x, y: x * y),
    ("multiply by a row", row, lambda x, y: x * y),
    ("multiply by a column", column, lambda x, y: x * y),
    ("divide", same, lambda x, y: x / y),
    ("exp", same, lambda x, _: x.exp()),
    ("ln", same, lambda x, _: x.log()),
    ("tanh", same, lambda x, _: x.tanh()),
    ("sigmoid", same, lambda x, _: x.sigmoid()),
    ("softplus", same, lambda x, _: F.softplus(x)),
    ("sum", same, lambda x, _: x.sum()),
    ("mean", same, lambda x, _: x.mean()),
    ("max", same, lambda x, _: x.max()),
    ("sum_axis first", same, lambda x, _: x.sum(0)),
    ("sum_axis last", same, lambda x, _: x.sum(-1)),
    ("max_axis first", same, lambda x, _: x.max(0).values),
    ("max_axis last", same, lambda x, _: x.max(-1).values),
    ("softmax", same, lambda x, _: x.softmax(-1)),
    ("log_softmax", same, lambda x, _: x.log_softmax(-1)),
    ("log_sum_exp", same, lambda x, _: x.logsumexp(-1)),
    ("matmul", turned, lambda x, y: x @ y),
    ("matmul transposed", same, lambda x, y: x @ y.mT),
    ("where", same, lambda x, y: torch.where(x > y, x, y)),
    ("slice", same, lambda x, _: x[..., : x.shape[-1] // 2].contiguous()),
    ("concat", same, lambda x, y: torch.cat([x, y], -1)),
    ("transpose", same, lambda x, _: x.mT.contiguous()),
    ("reshape", same, lambda x, _: x.reshape(-1)),
    ("index_select", same, lambda x, _: x.index_select(0, torch.arange(len(x)).flip(0))),
    ("normal", same, lambda x, _: torch.randn_like(x) * x),
]


def median(work):
    work()
    seconds = []
    end = time.perf_counter() + SECONDS
    while time.perf_counter() < end:
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return 1e6 * statistics.median(seconds)


def forward(operation, x, y):
    with torch.no_grad():
        operation(x, y)


def step(operation, x, y):
    x.grad = y.grad = None
    operation(x, y).sum().backward()


for name, other, operation in OPERATIONS:
    for size in SIZES:
        label = f"tensors/{name} {'x'.join(map(str, size))}"
        if (len(sys.argv) > 1 and sys.argv[1] not in label) or ("matmul" in name and len(size) > 2):
            continue
        x, y = ((torch.rand(shape) + 0.01).requires_grad_() for shape in [size, other(*size)])
        times = [median(lambda: way(operation, x, y)) for way in (forward, step)]
        print(f"{label}: forward {times[0]:.1f}, step {times[1]:.1f}", flush=True)
