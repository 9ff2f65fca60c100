"""Writes layers.json: outputs, losses and gradients of every layer and loss, computed by PyTorch in double precision.

    python3 -m venv venv && venv/bin/pip install torch==2.15.0 numpy && venv/bin/python layers.py

All numbers are in this crate's layouts: pictures (n, height, width, channels), a weight of dense (inputs, units), of conv2d (kernel height, kernel
width, channels, filters), of conv_transpose2d (kernel height, kernel width, filters, channels). In PyTorch's they are (n, channels, height, width),
(units, inputs), (filters, channels, kernel height, kernel width) and (channels, filters, kernel height, kernel width).
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

def channels_last(x):
    return x.permute(0, 2, 3, 1)

def channels_first(x):
    return x.permute(0, 3, 1, 2)

def conv2d(**settings):
    return lambda x, p: channels_last(F.conv2d(channels_first(x), p[0].permute(3, 2, 0, 1), p[1], **settings))

def conv_transpose2d(**settings):
    return lambda x, p: channels_last(F.conv_transpose2d(channels_first(x), p[0].permute(3, 2, 0, 1), p[1], **settings))

def max_pool2d(size, stride=None):
    return lambda x, _: channels_last(F.max_pool2d(channels_first(x), size, stride))

def up_sample2d(factor):
    return lambda x, _: channels_last(F.interpolate(channels_first(x), scale_factor=factor, mode="nearest"))

def batch_norm(training):
    """PyTorch's settings: ε 1e-5 and a momentum of 0.1, its share of the new."""
    def forward(x, p):
        gamma, beta, running_mean, running_variance = p
        order = channels_first if x.dim() == 4 else lambda x: x
        back = pictures if x.dim() == 4 else lambda x: x
        new_mean, new_variance = running_mean.detach().clone(), running_variance.detach().clone()
        y = F.batch_norm(order(x), new_mean, new_variance, gamma, beta, training, momentum=0.1, eps=1e-5)
        if training:
            # PyTorch divides the batch's variance by N − 1 before it goes into the running one; this crate, as Keras, by N.
            count = x.numel() / x.shape[-1]
            kept = 0.9 * running_variance.detach()
            forward.statistics = [new_mean, kept + (new_variance - kept) * (count - 1) / count]
        return back(y)
    return forward

def conv(layer, filters, kernel, stride=(1, 1), padding="valid", **more):
    padding = padding if isinstance(padding, str) else {"explicit": padding}
    return {"layer": layer, "filters": filters, "kernel": kernel, "stride": stride, "padding": padding, **more}

def transposed(filters, kernel, stride, padding, output_padding):
    return conv("conv_transpose2d", filters, kernel, stride, padding, output_padding=output_padding)

NORM = {"layer": "batch_norm", "momentum": 0.9, "epsilon": 1e-5}
# name: (layer, input (channels, height, width), shapes of the parameters, function of x and the parameters)
PICTURE_LAYERS = {
    "conv2d, k3": (conv("conv2d", 4, (3, 3)), (3, 6, 5), [(3, 3, 3, 4), (4,)], conv2d()),
    "conv2d, k3 same": (conv("conv2d", 4, (3, 3), padding="same"), (3, 6, 5), [(3, 3, 3, 4), (4,)], conv2d(padding="same")),
    "conv2d, k3 s2 p1": (conv("conv2d", 5, (3, 3), (2, 2), (1, 1)), (2, 7, 6), [(3, 3, 2, 5), (5,)], conv2d(stride=2, padding=1)),
    "conv2d, k2×3 s3×2 p1×0": (conv("conv2d", 2, (2, 3), (3, 2), (1, 0)), (3, 7, 8), [(2, 3, 3, 2), (2,)],
                               conv2d(stride=(3, 2), padding=(1, 0))),
    "conv_transpose2d, k3 s2 p1 op1": (transposed(4, (3, 3), (2, 2), (1, 1), (1, 1)), (3, 4, 3), [(3, 3, 4, 3), (4,)],
                                       conv_transpose2d(stride=2, padding=1, output_padding=1)),
    "conv_transpose2d, k3 s2": (transposed(4, (3, 3), (2, 2), "valid", (0, 0)), (3, 3, 4), [(3, 3, 4, 3), (4,)], conv_transpose2d(stride=2)),
    "conv_transpose2d, k2×4 s3×2 p0×1 op2×0": (transposed(2, (2, 4), (3, 2), (0, 1), (2, 0)), (3, 3, 3), [(2, 4, 2, 3), (2,)],
                                               conv_transpose2d(stride=(3, 2), padding=(0, 1), output_padding=(2, 0))),
    "max_pool2d, 2": ({"layer": "max_pool2d", "size": (2, 2), "stride": (2, 2)}, (3, 5, 7), [], max_pool2d(2)),
    "max_pool2d, 3×2 s1×2": ({"layer": "max_pool2d", "size": (3, 2), "stride": (1, 2)}, (2, 5, 5), [], max_pool2d((3, 2), (1, 2))),
    "max_pool2d, ties": ({"layer": "max_pool2d", "size": (2, 2), "stride": (2, 2)}, (3, 5, 4), [], max_pool2d(2)),
    "up_sample2d, 3": ({"layer": "up_sample2d", "factor": (3, 3)}, (2, 2, 3), [], up_sample2d(3)),
    "up_sample2d, 2×3": ({"layer": "up_sample2d", "factor": (2, 3)}, (3, 3, 2), [], up_sample2d((2, 3))),
    "batch_norm of pictures": (NORM, (4, 3, 2), [(4,)] * 4, batch_norm(True)),
    "batch_norm of vectors": (NORM, (5,), [(5,)] * 4, batch_norm(True)),
    "batch_norm of pictures, predicting": (NORM, (4, 3, 2), [(4,)] * 4, batch_norm(False)),
    "batch_norm of vectors, predicting": (NORM, (5,), [(5,)] * 4, batch_norm(False)),
}

def layer_case(name):
    if name in LAYERS:
        description, shapes, forward = LAYERS[name]
        shape = (5,)
    else:
        description, shape, shapes, forward = PICTURE_LAYERS[name]
    x = values(ROWS, *shape[1:], shape[0])
    if name.endswith("ties"):
        x = (x * 2).round() / 2
    x.requires_grad_()
    parameters = [values(*shape).requires_grad_() for shape in shapes]
    if description["layer"] == "batch_norm":
        parameters[3] = parameters[3].detach().abs() + 0.5  # a variance
    y = forward(x, parameters)
    target = values(*y.shape)
    F.mse_loss(y, target).backward()
    learned = [p for p in parameters if p.grad is not None]
    return dict(name=name, layer=description, input=shape, training=not name.endswith("predicting"), x=rounded(x),
                parameters=[rounded(p) for p in parameters], y=rounded(y), target=rounded(target), x_gradient=rounded(x.grad),
                parameter_gradients=[rounded(p.grad) for p in learned],
                statistics=[rounded(s) for s in getattr(forward, "statistics", [])])

def loss_case(name):
    probabilities = name == "binary_cross_entropy"
    y = values(ROWS, 5) * 4
    y = ((torch.sigmoid(y) * 128).round() / 128).clamp(1 / 128, 127 / 128) if probabilities else y
    y.requires_grad_()
    target = (torch.rand(ROWS, 5) * 16).round() / 16
    loss = LOSSES[name](y, target)
    loss.backward()
    return dict(name=name, y=rounded(y), target=rounded(target), loss=loss.item(), gradient=rounded(y.grad))

cases = dict(torch=torch.__version__, rows=ROWS, layers=[layer_case(n) for n in [*LAYERS, *PICTURE_LAYERS]], losses=[loss_case(n) for n in LOSSES])
(pathlib.Path(__file__).parent / "layers.json").write_text(json.dumps(cases) + "\n")
