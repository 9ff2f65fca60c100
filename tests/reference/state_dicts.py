"""Modules of PyTorch and their state_dicts, for tests/exchange.rs.

    python state_dicts.py write     writes state_dicts/, which the test reads
    python state_dicts.py           both ways: new modules with other weights are loaded and run here and there

Needs torch 2.15.0, safetensors and numpy; the second also cargo, and takes a minute where the tests are compiled.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy
import torch
from safetensors.torch import load_file, save_file
from torch import nn

HERE = Path(__file__).parent


def steps(layer, features, units, sequences):
    """A recurrent layer with one output: all its states, or the last one."""

    class Of(layer):
        def forward(self, x):
            y = super().forward(x)[0]
            return y if sequences else y[:, -1]

    return Of(features, units, batch_first=True)


class Residual(nn.Sequential):
    def forward(self, x):
        return x + super().forward(x)


class Concat(nn.Sequential):
    def forward(self, x):
        return torch.cat([x, super().forward(x)], 1)


class Whole(nn.Embedding):
    def forward(self, x):
        return super().forward(x.long())


class Autoencoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = nn.Sequential(nn.Flatten(), nn.Linear(16, 6), nn.ReLU(), nn.Linear(6, 2))
        self.decoder = nn.Sequential(nn.Linear(2, 6), nn.ReLU(), nn.Linear(6, 16), nn.Sigmoid(), nn.Unflatten(1, (1, 4, 4)))

    def forward(self, x):
        return self.decoder(self.encoder(x))


class Named(nn.Module):
    """With attributes in place of numbers, and one within another."""

    def __init__(self):
        super().__init__()
        self.features = nn.ModuleDict({"conv1": nn.Conv2d(1, 3, 3), "bn1": nn.BatchNorm2d(3)})
        self.fc = nn.Linear(12, 4)

    def forward(self, x):
        return self.fc(torch.relu(self.features["bn1"](self.features["conv1"](x))).flatten(1))


def modules():
    """By name: the module, and the shape of its input. The networks of tests/exchange.rs have the same layers."""
    return {
        "dense": (
            nn.Sequential(
                nn.Flatten(), nn.Linear(16, 9), nn.BatchNorm1d(9, eps=1e-3), nn.LeakyReLU(0.2), nn.Linear(9, 5, bias=False), nn.PReLU(5),
                nn.Dropout(0.5), nn.Linear(5, 6), nn.GroupNorm(3, 6), nn.Softmax(1),
            ),
            (1, 4, 4),
        ),
        "pictures": (
            nn.Sequential(
                nn.Conv2d(2, 6, (3, 2), stride=(2, 1), padding=1), nn.BatchNorm2d(6), nn.ReLU(),
                nn.Conv2d(6, 6, 3, padding=1, groups=3, bias=False), nn.MaxPool2d(2),
                nn.ConvTranspose2d(6, 4, 3, stride=2, padding=1, output_padding=1), nn.PReLU(4),
                nn.ConvTranspose2d(4, 6, (2, 3), groups=2), nn.Conv2d(6, 3, 2, dilation=2),
                nn.LayerNorm((3, 3, 8)), nn.GroupNorm(3, 3), nn.Flatten(), nn.Linear(72, 3),
            ),
            (2, 9, 8),
        ),
        "lstm": (nn.Sequential(steps(nn.LSTM, 3, 4, True), steps(nn.LSTM, 4, 3, False), nn.Linear(3, 2)), (5, 3)),
        "gru": (nn.Sequential(steps(nn.GRU, 3, 4, True), nn.Linear(4, 4), steps(nn.GRU, 4, 3, False)), (5, 3)),
        "words": (nn.Sequential(Whole(7, 3), nn.LayerNorm(3), nn.Linear(3, 4), nn.Flatten(), nn.Linear(24, 2)), (6,)),
        "skips": (
            nn.Sequential(
                Residual(nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), Residual(nn.Conv2d(4, 4, 1))),
                nn.ReLU(), Concat(nn.Conv2d(4, 2, 3, padding=1)), nn.Conv2d(6, 1, 1),
            ),
            (4, 5, 5),
        ),
        "autoencoder": (Autoencoder(), (1, 4, 4)),
        "named": (Named(), (1, 4, 4)),
    }


def inputs(name, rows, shape):
    return torch.randint(7, (rows, *shape)).float() if name == "words" else torch.randn(rows, *shape)


def trained(name, module, shape):
    """With statistics, slopes and scales as a training leaves them."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
        for _ in range(3):
            module.train()(inputs(name, 8, shape))
    return module.eval()


def write():
    torch.manual_seed(0)
    folder = HERE / "state_dicts"
    folder.mkdir(exist_ok=True)
    cases = {}
    listed = lambda tensor: [float(f"{value:.9g}") for value in tensor.flatten().tolist()]
    for name, (module, shape) in modules().items():
        trained(name, module, shape)
        x = inputs(name, 2, shape)
        y = module(x).detach()
        cases[name] = {"x": [list(x.shape), listed(x)], "y": [list(y.shape), listed(y)]}
        save_file(module.state_dict(), folder / f"{name}.safetensors")
    (folder / "cases.json").write_text(json.dumps(cases) + "\n")


def both_ways():
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        theirs = {}
        for seed in range(5):
            torch.manual_seed(seed + 1)
            for name, (module, shape) in modules().items():
                place = folder / f"{name}.{seed}"
                trained(name, module, shape)
                x = inputs(name, 64, shape)
                numpy.save(f"{place}.x.npy", x.numpy())
                save_file(module.state_dict(), f"{place}.theirs.safetensors")
                theirs[place] = (name, x, module(x).detach().numpy())
        # Reads all of theirs, writes what it makes of x, and weights of its own with what these make of x.
        environment = {**os.environ, "LATENTLAB_STATE_DICTS": str(folder)}
        command = ["cargo", "test", "--test", "exchange", "state_dicts_of_the_folder"]
        subprocess.run(command, cwd=HERE.parent.parent, env=environment, check=True, stdout=subprocess.DEVNULL)
        worst = {}
        for place, (name, x, y) in theirs.items():
            module = modules()[name][0]
            state = load_file(f"{place}.ours.safetensors")
            assert str(module.load_state_dict(state)) == "<All keys matched successfully>"
            there = module.eval()(x).detach().numpy()
            pairs = {
                "PyTorch's weights here": (numpy.load(f"{place}.theirs.npy"), y),
                "our weights in PyTorch": (there, numpy.load(f"{place}.ours.npy")),
            }
            for what, (got, expected) in pairs.items():
                assert got.shape == expected.shape and numpy.isfinite(got).all() and numpy.std(expected) > 1e-3, (place, what)
                difference = float(numpy.abs(got - expected).max())
                assert difference < 1e-5, (place, what, difference)
                worst[name, what] = max(worst.get((name, what), 0), difference)
        for (name, what), difference in worst.items():
            print(f"{name:12} {what:23} largest difference {difference:.1e} (5 modules, 64 inputs each)")


if __name__ == "__main__":
    write() if sys.argv[1:] == ["write"] else both_ways()
