"""Writes tensors.json: what PyTorch makes, in double precision, of the operations of tensors (their values, and the gradients of the sum of the values
times given weights), and of three steps of a conditional variational autoencoder.

    python3 -m venv venv && venv/bin/pip install torch==2.15.0 numpy && venv/bin/python tensors.py

A weight of dense is (inputs, units), as in this crate.
"""
import json, pathlib, torch
import torch.nn.functional as F

torch.manual_seed(0)
torch.set_default_dtype(torch.float64)

def rounded(tensor):
    return [float(f"{v:.9g}") for v in tensor.detach().flatten().tolist()]

def values(*shape):
    # Numbers that f32 holds exactly, so that both sides start from the same input.
    return (torch.randn(shape) * 64).round() / 64

def array(tensor):
    return dict(shape=list(tensor.shape), values=rounded(tensor))

SHAPES = dict(x=(2, 3, 4), b=(3, 1), m=(4, 5), n=(2, 4, 2))
OPERATIONS = {
    "exp": lambda x: x.exp(), "ln": lambda x: (x.abs() + 0.25).log(), "log1p": lambda x: x.abs().log1p(), "sqrt": lambda x: (x.abs() + 0.25).sqrt(),
    "square": lambda x: x.square(), "abs": lambda x: x.abs(), "sign": lambda x: x * x.sign(), "sin": lambda x: x.sin(), "cos": lambda x: x.cos(),
    "powf": lambda x: (x.abs() + 0.25).pow(1.5), "clamp": lambda x: x.clamp(-0.5, 0.5), "relu": lambda x: F.relu(x),
    "leaky_relu": lambda x: F.leaky_relu(x, 0.2), "elu": lambda x: F.elu(x), "selu": lambda x: F.selu(x), "tanh": lambda x: x.tanh(),
    "sigmoid": lambda x: x.sigmoid(), "silu": lambda x: F.silu(x), "softplus": lambda x: F.softplus(x), "gelu": lambda x: F.gelu(x),
    "add": lambda x, b: x + b, "sub": lambda x, b: x - b, "mul": lambda x, b: x * b, "div": lambda x, b: x / (b.square() + 1),
    "minimum": lambda x, b: torch.minimum(x, b), "maximum": lambda x, b: torch.maximum(x, b), "where_cond": lambda x, b: torch.where(x > b, x * 2, b),
    "equal values": lambda x, b: torch.maximum(x.round(), b.round()) * b + torch.minimum(x * 0, b * 0) * x,
    "sum": lambda x: x.sum(), "mean": lambda x: x.mean(), "max": lambda x: x.max(), "min": lambda x: x.min(), "sum_axis": lambda x: x.sum(1),
    "mean_axis": lambda x: x.mean(-1), "max_axis": lambda x: x.max(1).values, "min_axis": lambda x: x.min(-2).values,
    "variance_axis": lambda x: x.var(1, correction=0), "softmax": lambda x: F.softmax(x * 4, 1), "log_softmax": lambda x: F.log_softmax(x * 4, -1),
    "log_sum_exp": lambda x: (x * 4).logsumexp(0), "matmul": lambda x, m: x @ m, "batched matmul": lambda x, n: x @ n,
    "transpose": lambda x: x.transpose(-1, -2), "permute": lambda x: x.permute(2, 0, 1), "reshape": lambda x: x.reshape(4, 6),
    "slice": lambda x: x[:, :, 1:3], "concat": lambda x, n: torch.cat([x.transpose(1, 2), n], -1), "stack": lambda x: torch.stack([x, x * x], 1),
    "index_select": lambda x: x.index_select(1, torch.tensor([2, 0, 2])), "detach": lambda x: x * x.exp().detach(),
    "mean_squared_error": lambda x, b: F.mse_loss(x, b.expand_as(x)), "binary_cross_entropy": lambda x: F.binary_cross_entropy(x.sigmoid(), TARGET),
    "binary_cross_entropy_with_logits": lambda x: F.binary_cross_entropy_with_logits(x, TARGET),
    "cross_entropy": lambda m: F.cross_entropy(m, torch.tensor([0, 4, 2, 2])), "kl_divergence": lambda m: kl(m, m * 0.5),
}
TARGET = torch.rand(2, 3, 4).mul(64).round() / 64

def kl(mu, log_variance):
    posterior = torch.distributions.Normal(mu, (log_variance / 2).exp())
    return torch.distributions.kl_divergence(posterior, torch.distributions.Normal(0.0, 1.0)).sum(-1).mean()

def operation(name, function):
    names = function.__code__.co_varnames[:function.__code__.co_argcount]
    inputs = [INPUTS[of].clone().requires_grad_() for of in names]
    y = function(*inputs)
    weights = values(*y.shape)
    (y * weights).sum().backward()
    gradients = [array(x.grad if x.grad is not None else torch.zeros_like(x)) for x in inputs]
    return dict(name=name, inputs=list(names), y=array(y), weights=array(weights), gradients=gradients)

def conditional_vae(rows=6, pixels=8, classes=3, hidden=5, latent=2, rate=0.01):
    x, labels = torch.rand(rows, pixels).mul(64).round() / 64, torch.tensor([0, 1, 2, 2, 1, 0])
    y, noise = F.one_hot(labels, classes).double(), [values(rows, latent) for _ in range(3)]
    sizes = [(pixels + classes, hidden), (hidden, 2 * latent), (latent + classes, hidden), (hidden, pixels)]
    weights = [w for inputs, units in sizes for w in (values(inputs, units) / 2, values(units) / 2)]
    before = [array(w) for w in weights]
    for w in weights: w.requires_grad_()
    adam, losses = torch.optim.Adam(weights, lr=rate), []
    for epsilon in noise:
        h = torch.cat([x, y], 1)
        mu, log_variance = (F.relu(h @ weights[0] + weights[1]) @ weights[2] + weights[3]).chunk(2, -1)
        z = mu + (log_variance * 0.5).exp() * epsilon
        h = torch.cat([z, y], 1)
        output = torch.sigmoid(torch.tanh(h @ weights[4] + weights[5]) @ weights[6] + weights[7])
        entropy, divergence = F.binary_cross_entropy(output, x) * pixels, kl(mu, log_variance)
        adam.zero_grad()
        (entropy + divergence).backward()
        adam.step()
        losses.append([entropy.item(), divergence.item()])
    return dict(x=array(x), labels=labels.tolist(), noise=[array(n) for n in noise], learning_rate=rate, weights=before, losses=losses,
                after=[array(w) for w in weights])

INPUTS = {name: values(*shape) for name, shape in SHAPES.items()}
cases = dict(torch=torch.__version__, inputs={name: array(x) for name, x in INPUTS.items()}, target=array(TARGET),
             operations=[operation(name, function) for name, function in OPERATIONS.items()], conditional_vae=conditional_vae())
(pathlib.Path(__file__).parent / "tensors.json").write_text(json.dumps(cases) + "\n")
