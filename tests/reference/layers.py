"""Writes layers.json: outputs, losses and gradients of every layer and loss, computed by PyTorch in double precision.

    python3 -m venv venv && venv/bin/pip install torch==2.15.0 numpy && venv/bin/python layers.py

Weights are in this crate's layout: a dense weight is (inputs, units), the transposed of torch.nn.Linear's.
"""
import json, pathlib, torch
import torch.nn.functional as F

torch.manual_seed(0)
torch.set_default_dtype(torch.float64)
ROWS = 3

def rounded(tensor):
    return [float(f"{v:.9g}") for v in tensor.detach().flatten().tolist()]

def values(*shape):
    # Numbers that f32 holds exactly, so that both sides start from the same input.
    return (torch.randn(*shape) * 64).round() / 64

def dense(x, parameters):
    weight, bias = parameters
    return x @ weight + bias

LAYERS = {
    "dense": ({"layer": "dense", "units": 4}, [(5, 4), (4,)], dense),
    "relu": ({"layer": "activation", "function": "relu"}, [], lambda x, _: F.relu(x)),
    "leaky_relu": ({"layer": "activation", "function": "leaky_relu", "slope": 0.2}, [], lambda x, _: F.leaky_relu(x, 0.2)),
    "selu": ({"layer": "activation", "function": "selu"}, [], lambda x, _: F.selu(x)),
    "tanh": ({"layer": "activation", "function": "tanh"}, [], lambda x, _: torch.tanh(x)),
    "sigmoid": ({"layer": "activation", "function": "sigmoid"}, [], lambda x, _: torch.sigmoid(x)),
    "softmax": ({"layer": "softmax"}, [], lambda x, _: F.softmax(x, 1)),
    "flatten": ({"layer": "flatten"}, [], lambda x, _: x),
    "reshape": ({"layer": "reshape", "shape": [5, 1]}, [], lambda x, _: x),
}
LOSSES = {
    "mean_squared_error": lambda y, t: F.mse_loss(y, t),
    "binary_cross_entropy": lambda y, t: F.binary_cross_entropy(y, t),
    "binary_cross_entropy_with_logits": lambda y, t: F.binary_cross_entropy_with_logits(y, t),
}

def layer_case(name):
    description, shapes, forward = LAYERS[name]
    x = values(ROWS, 5).requires_grad_()
    parameters = [values(*shape).requires_grad_() for shape in shapes]
    y = forward(x, parameters)
    target = values(*y.shape)
    F.mse_loss(y, target).backward()
    return dict(name=name, layer=description, x=rounded(x), parameters=[rounded(p) for p in parameters], y=rounded(y),
                target=rounded(target), x_gradient=rounded(x.grad), parameter_gradients=[rounded(p.grad) for p in parameters])

def loss_case(name):
    probabilities = name == "binary_cross_entropy"
    y = values(ROWS, 5) * 4
    y = ((torch.sigmoid(y) * 128).round() / 128).clamp(1 / 128, 127 / 128) if probabilities else y
    y.requires_grad_()
    target = (torch.rand(ROWS, 5) * 16).round() / 16
    loss = LOSSES[name](y, target)
    loss.backward()
    return dict(name=name, y=rounded(y), target=rounded(target), loss=loss.item(), gradient=rounded(y.grad))

def adam_case():
    """Ten steps of Adam with a learning rate of 0.1 down 0.5·Σ c·w², whose gradient is c·w."""
    w, c = values(4).requires_grad_(), torch.tensor([0.5, 1.0, 2.0, 4.0])
    start, optimizer = rounded(w), torch.optim.Adam([w], lr=0.1)
    for _ in range(10):
        optimizer.zero_grad()
        (0.5 * c * w * w).sum().backward()
        optimizer.step()
    return dict(start=start, curvature=rounded(c), learning_rate=0.1, steps=10, end=rounded(w))

cases = dict(torch=torch.__version__, rows=ROWS, layers=[layer_case(n) for n in LAYERS], losses=[loss_case(n) for n in LOSSES],
             adam=adam_case())
(pathlib.Path(__file__).parent / "layers.json").write_text(json.dumps(cases) + "\n")
