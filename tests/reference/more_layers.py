"""Writes more_layers.json: outputs and gradients of the layers that layers.py has not, computed by PyTorch in double precision.

    python3 -m venv venv && venv/bin/pip install torch==2.15.0 numpy && venv/bin/python more_layers.py

All numbers are in this crate's layouts: pictures (n, height, width, channels), sequences (n, time, features), the weights of a recurrent layer (inputs,
gates · units), which PyTorch holds transposed, γ and β of a layer normalisation of pictures (height, width, channels).
"""
import json, pathlib, torch
import torch.nn.functional as F
from torch.func import functional_call

torch.manual_seed(1)
torch.set_default_dtype(torch.float64)
ROWS = 3

def rounded(tensor):
    return [float(f"{v:.9g}") for v in tensor.detach().flatten().tolist()]

def values(*shape):
    # Numbers that f32 holds exactly, so that both sides start from the same input; none at the bend of a function.
    return ((torch.randn(*shape) * 64).round() + 0.5) / 64

def channels_last(x):
    return x.permute(0, 2, 3, 1)

def channels_first(x):
    return x.permute(0, 3, 1, 2)

def of_pictures(function):
    return lambda x, p: channels_last(function(channels_first(x), *p))

def activation(function, **settings):
    return {"layer": "activation", "function": function, **settings}

def layer_norm_of_pictures(x, gamma, beta):
    first = lambda p: p.permute(2, 0, 1)
    return F.layer_norm(x, x.shape[1:], first(gamma), first(beta))

def recurrent(module, sequences, gates, features, units):
    """`module` is a class of PyTorch's."""
    layer = module(features, units, batch_first=True)
    def forward(x, p):
        named = dict(weight_ih_l0=p[0].T, weight_hh_l0=p[1].T, bias_ih_l0=p[2], bias_hh_l0=p[3])
        y = functional_call(layer, named, (x,))[0]
        return y if sequences else y[:, -1]
    description = {"layer": "recurrent", "cell": module.__name__.lower(), "units": units, "sequences": sequences}
    return description, (4, features), [(features, gates * units), (units, gates * units), (gates * units,), (gates * units,)], forward

LAYER_NORM, GROUP_NORM = {"layer": "norm", "kind": "layer", "epsilon": 1e-5}, {"layer": "norm", "kind": "group", "epsilon": 1e-5}
PAD = {"layer": "pad2d", "kind": "zero", "sides": ((1, 2), (0, 3))}
CROP = {"layer": "pad2d", "kind": "crop", "sides": ((1, 2), (0, 3))}
# name: (layer, input without the batch, channels first, shapes of the parameters, function of x and the parameters)
LAYERS = {
    "elu": (activation("elu", alpha=1.5), (9,), [], lambda x, _: F.elu(x, 1.5)),
    "softplus": (activation("softplus"), (9,), [], lambda x, _: F.softplus(x)),
    "hard_sigmoid": (activation("hard_sigmoid"), (9,), [], lambda x, _: F.hardsigmoid(x)),
    "gelu": (activation("gelu"), (9,), [], lambda x, _: F.gelu(x)),
    "silu": (activation("silu"), (9,), [], lambda x, _: F.silu(x)),
    "prelu": ({"layer": "prelu"}, (5,), [(5,)], lambda x, p: F.prelu(x, p[0])),
    "prelu of pictures": ({"layer": "prelu"}, (3, 4, 2), [(3,)], of_pictures(F.prelu)),
    "global_avg_pool2d": ({"layer": "global_pool2d", "kind": "avg"}, (3, 4, 5), [], lambda x, _: F.adaptive_avg_pool2d(channels_first(x), 1).flatten(1)),
    "global_max_pool2d": ({"layer": "global_pool2d", "kind": "max"}, (3, 4, 5), [], lambda x, _: F.adaptive_max_pool2d(channels_first(x), 1).flatten(1)),
    "zero_pad2d": (PAD, (2, 3, 4), [], of_pictures(torch.nn.ZeroPad2d((0, 3, 1, 2)))),
    "crop2d": (CROP, (2, 5, 6), [], of_pictures(torch.nn.ZeroPad2d((0, -3, -1, -2)))),
    "layer_norm": (LAYER_NORM, (7,), [(7,)] * 2, lambda x, p: F.layer_norm(x, (7,), *p)),
    "layer_norm of pictures": (LAYER_NORM, (3, 4, 2), [(4, 2, 3)] * 2, of_pictures(layer_norm_of_pictures)),
    "layer_norm of sequences": (LAYER_NORM, (4, 5), [(5,)] * 2, lambda x, p: F.layer_norm(x, (5,), *p)),
    "group_norm": ({**GROUP_NORM, "groups": 2}, (6, 3, 4), [(6,)] * 2, of_pictures(lambda x, *p: F.group_norm(x, 2, *p))),
    "group_norm of vectors": ({**GROUP_NORM, "groups": 3}, (12,), [(12,)] * 2, lambda x, p: F.group_norm(x, 3, *p)),
    "embedding": ({"layer": "embedding", "vocabulary": 6, "dim": 4}, (5,), [(6, 4)], lambda x, p: F.embedding(x.long(), p[0])),
    "repeat_vector": ({"layer": "repeat_vector", "times": 4}, (3,), [], lambda x, _: x.unsqueeze(1).repeat(1, 4, 1)),
    "dense of sequences": ({"layer": "dense", "units": 3}, (4, 5), [(5, 3), (3,)], lambda x, p: x @ p[0] + p[1]),
    "lstm": recurrent(torch.nn.LSTM, False, 4, 3, 2),
    "lstm, sequences": recurrent(torch.nn.LSTM, True, 4, 2, 3),
    "gru": recurrent(torch.nn.GRU, False, 3, 3, 2),
    "gru, sequences": recurrent(torch.nn.GRU, True, 3, 2, 3),
}

def case(name):
    description, shape, shapes, forward = LAYERS[name]
    indices = name == "embedding"
    # The channels last.
    inside = (*shape[1:], shape[0]) if len(shape) == 3 else shape
    x = torch.randint(6, (ROWS, *inside)).double() if indices else values(ROWS, *inside)
    x.requires_grad_()
    parameters = [values(*shape).requires_grad_() for shape in shapes]
    y = forward(x, parameters)
    target = values(*y.shape)
    F.mse_loss(y, target).backward()
    x_gradient = torch.zeros_like(x) if indices else x.grad
    return dict(name=name, layer=description, input=shape, training=True, x=rounded(x), parameters=[rounded(p) for p in parameters],
                y=rounded(y), target=rounded(target), x_gradient=rounded(x_gradient), parameter_gradients=[rounded(p.grad) for p in parameters],
                statistics=[])

cases = dict(torch=torch.__version__, rows=ROWS, layers=[case(name) for name in LAYERS])
(pathlib.Path(__file__).parent / "more_layers.json").write_text(json.dumps(cases) + "\n")
