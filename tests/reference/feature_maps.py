"""Writes feature_maps.json: outputs and gradients of layers of feature maps beyond those of layers.py (dilated and grouped convolutions, bilinear
up-sampling, pixel shuffle), computed by PyTorch in double precision.

    python3 -m venv venv && venv/bin/pip install torch==2.15.0 numpy && venv/bin/python feature_maps.py

Layouts are those of layers.py: pictures (n, height, width, channels), a weight of conv2d (kernel height, kernel width, channels / groups, filters),
of conv_transpose2d (kernel height, kernel width, filters / groups, channels).
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

def on_channels_first(function):
    return lambda x, p: function(x.permute(0, 3, 1, 2), p).permute(0, 2, 3, 1)

def convolution(name, function, filters, kernel, channels, size, stride=(1, 1), padding=(0, 0), dilation=(1, 1), groups=1, **more):
    """A layer with its settings, which both sides are given."""
    ours = padding if isinstance(padding, str) else {"explicit": padding}
    layer = {"layer": name, "filters": filters, "kernel": kernel, "stride": stride, "padding": ours, "dilation": dilation, "groups": groups, **more}
    outer, inner = (channels // groups, filters) if name == "conv2d" else (filters // groups, channels)
    forward = lambda x, p: function(x, p[0].permute(3, 2, 0, 1), p[1], stride=stride, padding=padding, dilation=dilation, groups=groups, **more)
    return layer, (channels, *size), [(*kernel, outer, inner), (filters,)], on_channels_first(forward)

def conv2d(*arguments, **settings):
    return convolution("conv2d", F.conv2d, *arguments, **settings)

def conv_transpose2d(*arguments, output_padding=(0, 0), **settings):
    return convolution("conv_transpose2d", F.conv_transpose2d, *arguments, output_padding=output_padding, **settings)

def bilinear(factor, channels, size):
    layer = {"layer": "up_sample2d", "factor": factor, "interpolation": "bilinear"}
    forward = lambda x, _: F.interpolate(x, scale_factor=[float(f) for f in factor], mode="bilinear", align_corners=False)
    return layer, (channels, *size), [], on_channels_first(forward)

def pixel_shuffle(factor, channels, size):
    return {"layer": "pixel_shuffle", "factor": factor}, (channels, *size), [], on_channels_first(lambda x, _: F.pixel_shuffle(x, factor))

# name: (layer, input (channels, height, width), shapes of the parameters, function of x and the parameters)
CASES = {
    "conv2d, dilation 2": conv2d(4, (3, 3), 2, (7, 6), dilation=(2, 2)),
    "conv2d, dilation 2 same": conv2d(3, (3, 2), 2, (5, 6), padding="same", dilation=(2, 3)),
    "conv2d, dilation 2×3 s2×3 p2×1": conv2d(3, (3, 2), 2, (8, 7), stride=(2, 3), padding=(2, 1), dilation=(2, 3)),
    "conv2d, 2 groups": conv2d(6, (3, 3), 4, (5, 4), padding=(1, 1), groups=2),
    "conv2d, 3 groups s2 dilation 2": conv2d(3, (2, 3), 6, (6, 7), stride=(2, 2), dilation=(2, 2), groups=3),
    "conv2d, depthwise": conv2d(5, (3, 3), 5, (5, 6), padding="same", groups=5),
    "conv2d, depthwise s2 p1": conv2d(20, (3, 3), 20, (4, 5), stride=(2, 2), padding=(1, 1), groups=20),
    "conv2d, depthwise, 2 filters a channel": conv2d(6, (3, 3), 3, (4, 5), groups=3),
    "conv_transpose2d, dilation 2 s2 p1 op1": conv_transpose2d(3, (3, 3), 2, (3, 4), stride=(2, 2), padding=(1, 1), dilation=(2, 2), output_padding=(1, 1)),
    "conv_transpose2d, 2 groups s2 p1 op1": conv_transpose2d(6, (3, 3), 4, (3, 3), stride=(2, 2), padding=(1, 1), groups=2, output_padding=(1, 1)),
    "conv_transpose2d, depthwise s2×3 dilation 3×1": conv_transpose2d(5, (2, 2), 5, (3, 2), stride=(2, 3), dilation=(3, 1), groups=5),
    "up_sample2d, 2 bilinear": bilinear((2, 2), 3, (3, 4)),
    "up_sample2d, 3×4 bilinear": bilinear((3, 4), 2, (4, 1)),
    "pixel_shuffle, 2": pixel_shuffle(2, 12, (2, 3)),
    "pixel_shuffle, 3": pixel_shuffle(3, 9, (2, 2)),
}

def case(name):
    layer, shape, shapes, forward = CASES[name]
    x = values(ROWS, *shape[1:], shape[0]).requires_grad_()
    parameters = [values(*shape).requires_grad_() for shape in shapes]
    y = forward(x, parameters)
    target = values(*y.shape)
    F.mse_loss(y, target).backward()
    return dict(name=name, layer=layer, input=shape, training=True, x=rounded(x), parameters=[rounded(p) for p in parameters], y=rounded(y),
                target=rounded(target), x_gradient=rounded(x.grad), parameter_gradients=[rounded(p.grad) for p in parameters], statistics=[])

cases = dict(torch=torch.__version__, rows=ROWS, layers=[case(name) for name in CASES])
(pathlib.Path(__file__).parent / "feature_maps.json").write_text(json.dumps(cases) + "\n")
