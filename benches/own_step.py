"""The step of `cargo bench --bench layers -- "own step"` in PyTorch: prints the median images a second of each memory layout."""

import statistics
import time

import torch
from torch import nn
from torch.nn import functional as F

ROWS = 128
SECONDS = 3


def rate(layout):
    torch.manual_seed(0)
    relu = nn.ReLU
    encoder = nn.Sequential(
        nn.Conv2d(1, 12, 3, 2, 1), relu(), nn.Conv2d(12, 24, 3, 2, 1), relu(), nn.Conv2d(24, 48, 3, 2), relu(),
        nn.Flatten(), nn.Linear(432, 128), relu(),
    ).to(memory_format=layout)
    heads = nn.Linear(138, 4)
    decoder = nn.Sequential(
        nn.Linear(12, 128), relu(), nn.Linear(128, 432), relu(), nn.Unflatten(1, (48, 3, 3)),
        nn.ConvTranspose2d(48, 24, 3, 2), relu(), nn.ConvTranspose2d(24, 12, 3, 2, 1, 1), relu(),
        nn.ConvTranspose2d(12, 1, 3, 2, 1, 1),
    ).to(memory_format=layout)
    adam = torch.optim.Adam([*encoder.parameters(), *heads.parameters(), *decoder.parameters()], lr=0.001)
    x = torch.rand(ROWS, 1, 28, 28).to(memory_format=layout)
    y = F.one_hot(torch.arange(ROWS) % 10, 10).float()

    def step():
        mu, log_variance = heads(torch.cat([encoder(x), y], 1)).chunk(2, 1)
        z = mu + (0.5 * log_variance).exp() * torch.randn_like(mu)
        logits = decoder(torch.cat([z, y], 1))
        entropy = F.binary_cross_entropy_with_logits(logits, x) * 784
        divergence = (-0.5 * (1 + log_variance - mu**2 - log_variance.exp()).sum(1)).mean()
        adam.zero_grad()
        (entropy + divergence).backward()
        adam.step()
        return entropy.item(), divergence.item()

    for _ in range(5):
        step()
    seconds = []
    end = time.perf_counter() + SECONDS
    while time.perf_counter() < end:
        start = time.perf_counter()
        step()
        seconds.append(time.perf_counter() - start)
    return ROWS / statistics.median(seconds)


for name, layout in [("contiguous", torch.contiguous_format), ("channels last", torch.channels_last)]:
    print(f"{name}: {rate(layout):.0f} images a second", flush=True)
