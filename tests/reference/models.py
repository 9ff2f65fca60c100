"""Writes models.json: loss and gradients of whole autoencoders on one batch, computed by PyTorch in double precision.

    python3 -m venv venv && venv/bin/pip install torch==2.15.0 numpy && venv/bin/python models.py

The weights and the batch are too large to be written down: both sides compute them from the same hash, in numbers that f32 holds exactly. Of a
gradient stand here its norm, some of its entries, and its dot product with hashed numbers, in which every entry counts.

All arrays are in this crate's layouts (see layers.py). Dropout is left out (a rate of 0 on both sides): each side draws masks of its own.

A rectified linear unit whose input is within a rounding error of 0, or a maximum with a rival as near, may go another way in f32 than here, and then
the gradients differ by more than rounding. So the numbers are drawn from many seeds, and those are taken that stay farthest from such ties and for
which PyTorch's own single precision gives the gradients of its double precision to 1e-5, with no layer cut off by units that are all off. The wide model has so many units that some is always at
a tie in a batch of 18; it gets 4 pictures.
"""
import json, pathlib, numpy, torch
from torch import nn

SAMPLES = 24
BATCH, PROJECTION = 900, 500  # streams of numbers; those of the parameters are 0, 1, 2 …

def hashed(seed, stream, count):
    """`count` integers of 32 bits (the mixing function "lowbias32")."""
    x = numpy.arange(count, dtype=numpy.uint32) + numpy.uint32((seed * 1000 + stream) * 0x9E3779B9 % 2**32)
    x ^= x >> 16; x *= numpy.uint32(0x7FEB352D); x ^= x >> 15; x *= numpy.uint32(0x846CA68B); x ^= x >> 16
    return x

def numbers(seed, stream, count):
    """In [−1, 1), multiples of 2⁻¹⁵."""
    return ((hashed(seed, stream, count) >> 16).astype(numpy.float64) - 32768) / 32768

def size(name):
    """How many pictures a model gets, and how many seeds are tried."""
    return (4, 500) if name.startswith("s3") else (18, 120)

def batch(seed, rows):
    """Pictures of 7×7 patches, each of 4×4 grainy pixels: pictures that differ as a whole, as digits do."""
    patches = (hashed(seed, BATCH, rows * 49) >> 24).reshape(rows, 7, 7).repeat(4, 1).repeat(4, 2)
    grain = (hashed(seed, BATCH + 1, rows * 784) >> 24).reshape(rows, 28, 28)
    return torch.from_numpy((3 * patches.astype(numpy.float64) + grain) / 1024).reshape(rows, 1, 28, 28)

def leaky(): return nn.LeakyReLU(0.2)

class SameTranspose(nn.ConvTranspose2d):
    """Keras' `same` of a 3×3 kernel with stride 2: the last row and column are cropped."""
    def __init__(self, channels, filters): super().__init__(channels, filters, 3, 2)
    def forward(self, x): return super().forward(x)[:, :, :-1, :-1]

def deep_dense():
    layers, width = [nn.Flatten()], 784
    for units in (512, 256, 128, 64, 32, 64, 128, 256, 512):
        layers += [nn.Linear(width, units), leaky()]
        width = units
    return nn.Sequential(*layers, nn.Linear(512, 784), nn.Sigmoid(), nn.Unflatten(1, (1, 28, 28)))

def convolutional(epsilon, transposed):
    def norm(channels): return nn.BatchNorm2d(channels, eps=epsilon)
    return nn.Sequential(
        nn.Conv2d(1, 32, 3, padding=1), norm(32), leaky(), nn.MaxPool2d(2), nn.Conv2d(32, 64, 3, padding=1), norm(64), leaky(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(3136, 32), leaky(), nn.Linear(32, 3136), leaky(), nn.Unflatten(1, (64, 7, 7)),
        transposed(64, 64), norm(64), leaky(), transposed(64, 1), norm(1), nn.Sigmoid())

def strided(a, b, c, hidden, latent):
    r = nn.ReLU
    return nn.Sequential(
        nn.Conv2d(1, a, 3, 2, 1), r(), nn.Conv2d(a, b, 3, 2, 1), r(), nn.Conv2d(b, c, 3, 2), r(), nn.Flatten(),
        nn.Linear(9 * c, hidden), r(), nn.Linear(hidden, latent), nn.Linear(latent, hidden), r(), nn.Linear(hidden, 9 * c), r(),
        nn.Unflatten(1, (c, 3, 3)), nn.ConvTranspose2d(c, b, 3, 2), r(), nn.ConvTranspose2d(b, a, 3, 2, 1, 1), r(),
        nn.ConvTranspose2d(a, 1, 3, 2, 1, 1), nn.Sigmoid())

def wide(epsilon):
    r = nn.ReLU
    def norm(channels): return nn.BatchNorm2d(channels, eps=epsilon)
    def flat_norm(channels): return nn.BatchNorm1d(channels, eps=epsilon)
    return nn.Sequential(
        nn.Conv2d(1, 112, 3), r(), norm(112), nn.MaxPool2d(2), nn.Conv2d(112, 112, 3), r(), norm(112), nn.MaxPool2d(2), nn.Flatten(),
        nn.Linear(2800, 2), r(), flat_norm(2), nn.Linear(2, 1024), r(), flat_norm(1024), nn.Unflatten(1, (64, 4, 4)), norm(64),
        nn.Upsample(scale_factor=3), nn.Conv2d(64, 112, 3), r(), norm(112), nn.Upsample(scale_factor=3), nn.Conv2d(112, 112, 3), r(), norm(112),
        nn.Conv2d(112, 1, 1), nn.Sigmoid())

def tiny():
    r = nn.ReLU
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 50), r(), nn.Linear(50, 4), r(), nn.Linear(4, 784), r(), nn.Unflatten(1, (1, 28, 28)))

def pytorch_transposed(channels, filters): return nn.ConvTranspose2d(channels, filters, 3, 2, 1, 1)

# The six models of the benchmark as PyTorch has them, and the two that have other settings in Keras.
MODELS = {
    "s0-ae32": deep_dense, "s0-cae32": lambda: convolutional(1e-5, pytorch_transposed), "s1-cae10": lambda: strided(24, 48, 96, 128, 10),
    "s2-cae2": lambda: strided(12, 24, 48, 128, 2), "s3-cae112": lambda: wide(1e-5), "s4-ae4": tiny,
    "s0-cae32, Keras": lambda: convolutional(1e-3, SameTranspose), "s3-cae112, Keras": lambda: wide(1e-3),
}

def ours(tensor):
    """A parameter or its gradient in this crate's layout."""
    if tensor.dim() == 4: return tensor.permute(2, 3, 1, 0)  # of conv2d and of conv_transpose2d alike
    return tensor.T if tensor.dim() == 2 else tensor

def parameters(model):
    """The parameters under their names here, in this crate's order."""
    for module in model.modules():
        norm = isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d))
        for name, parameter in module.named_parameters(recurse=False):
            yield {"weight": "gamma", "bias": "beta"}[name] if norm else name, parameter

def start(name, parameter):
    """Offset and scale of a parameter's numbers: a power of 2 near 1.2/√inputs for weights."""
    if name == "weight":
        return 0.0, 2.0 ** (1 - int(numpy.log2(parameter.numel() / ours(parameter).shape[-1]) / 2))
    return (1.0 if name == "gamma" else 0.0), 0.25

def prepare(name, seed):
    model = MODELS[name]().double().train()
    for index, (kind, parameter) in enumerate(parameters(model)):
        offset, scale = start(kind, parameter)
        view = ours(parameter.data)
        view.copy_(torch.from_numpy(offset + scale * numbers(seed, index, parameter.numel())).reshape(view.shape))
    return model

def margin(model, x):
    """How near the nearest tie is, relative to the values of its layer."""
    nearest = []
    def unit(_, inputs, __):
        v = inputs[0].detach()
        nearest.append((v.abs().min() / v.std()).item())
    def maximum(_, inputs, __):
        v = inputs[0].detach()
        windows = v.unfold(2, 2, 2).unfold(3, 2, 2).flatten(4).sort(-1).values
        gaps = windows[..., -1] - windows[..., -2]
        nearest.append((gaps[gaps > 0].min() / v.std()).item())  # equal ones are equal in f32 too: units that are off
    hooks = [m.register_forward_hook(maximum if isinstance(m, nn.MaxPool2d) else unit) for m in model.modules()
             if isinstance(m, (nn.MaxPool2d, nn.ReLU, nn.LeakyReLU))]
    with torch.no_grad(): model(x)
    for hook in hooks: hook.remove()
    return min(nearest)

def significant(v): return float(f"{v:.9g}")

def gradients(name, seed, precision):
    """The loss and the gradients in this crate's layout."""
    model, x = prepare(name, seed).to(precision), batch(seed, size(name)[0]).to(precision)
    loss = nn.functional.mse_loss(model(x), x)
    loss.backward()
    return loss.item(), [(kind, ours(parameter.grad).double()) for kind, parameter in parameters(model)]

def single_precision_error(name, seed):
    """The largest error of a gradient, relative to its norm; biases whose gradients vanish (before a batch normalisation) aside."""
    pairs = zip(gradients(name, seed, torch.float64)[1], gradients(name, seed, torch.float32)[1])
    return max(((a - b).norm() / a.norm()).item() if a.norm() > 1e-6 else numpy.inf
               for (kind, a), (_, b) in pairs if kind != "bias" or a.norm() > 1e-12)

def case(name):
    rows, seeds = size(name)
    margins = [margin(prepare(name, seed), batch(seed, rows)) for seed in range(seeds)]
    seed = next(seed for seed in numpy.argsort(margins)[::-1].tolist() if single_precision_error(name, seed) < 1e-5)
    loss, all_gradients = gradients(name, seed, torch.float64)
    described = []
    for index, ((kind, gradient), parameter) in enumerate(zip(all_gradients, MODELS[name]().parameters())):
        shape, gradient = list(gradient.shape), gradient.flatten().numpy()
        samples = gradient[[k * gradient.size // SAMPLES for k in range(SAMPLES)]]
        (offset, scale), projection = start(kind, parameter), numbers(seed, PROJECTION + index, gradient.size)
        described.append(dict(name=kind, shape=shape, offset=offset, scale=scale, norm=significant(numpy.linalg.norm(gradient)),
                              projection=significant(gradient @ projection), samples=[significant(v) for v in samples]))
    print(name, "seed", seed, "margin", margins[seed], "loss", loss, [f"{d['norm']:.2g}" for d in described], flush=True)
    return dict(name=name, seed=seed, rows=rows, loss=loss, parameters=described)

if __name__ == "__main__":
    cases = dict(torch=torch.__version__, models=[case(name) for name in MODELS])
    (pathlib.Path(__file__).parent / "models.json").write_text(json.dumps(cases) + "\n")
