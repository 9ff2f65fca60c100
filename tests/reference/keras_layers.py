"""Writes keras_layers.json: outputs, gradients and running statistics of the layers in which Keras differs from PyTorch, in double precision.

    python3 -m venv venv && venv/bin/pip install tensorflow-cpu==2.21 keras==3.15 numpy && venv/bin/python keras_layers.py

Keras' layouts are this crate's: pictures (n, height, width, channels), the weights of a transposed convolution (…, filters, channels).
"""
import json, pathlib, keras, numpy, tensorflow

random = numpy.random.default_rng(0)
ROWS = 3

def rounded(array):
    return [float(f"{v:.9g}") for v in numpy.asarray(array).flatten()]

def values(*shape):
    # Numbers that f32 holds exactly, so that both sides start from the same input.
    return numpy.round(random.normal(size=shape) * 64) / 64

def conv2d(kernel, stride, padding):
    description = {"layer": "conv2d", "filters": 4, "kernel": kernel, "stride": stride, "padding": padding}
    return description, keras.layers.Conv2D(4, kernel, stride, padding, dtype="float64")

def conv_transpose2d(kernel, stride, padding):
    # Keras' `valid` gives at least size · stride, also where the kernel is smaller than the stride; here one says so.
    more = [max(s - k, 0) if padding == "valid" else 0 for k, s in zip(kernel, stride)]
    description = {"layer": "conv_transpose2d", "filters": 4, "kernel": kernel, "stride": stride, "padding": padding, "output_padding": more}
    return description, keras.layers.Conv2DTranspose(4, kernel, stride, padding, dtype="float64")

def batch_norm():
    return {"layer": "batch_norm", "momentum": 0.99, "epsilon": 1e-3}, keras.layers.BatchNormalization(dtype="float64")

def max_pool2d():
    return {"layer": "max_pool2d", "size": (2, 2), "stride": (2, 2)}, keras.layers.MaxPooling2D(2, dtype="float64")

def up_sample2d(factor):
    return {"layer": "up_sample2d", "factor": factor}, keras.layers.UpSampling2D(factor, dtype="float64")

# name: (layer here and in Keras, input (channels, height, width))
LAYERS = {
    "conv2d, k3 same": (conv2d((3, 3), (1, 1), "same"), (3, 5, 6)),
    "conv2d, k3 s2 same": (conv2d((3, 3), (2, 2), "same"), (3, 6, 7)),
    "conv2d, k4×2 same": (conv2d((4, 2), (1, 1), "same"), (2, 5, 6)),
    "conv2d, k5×2 s3 same": (conv2d((5, 2), (3, 3), "same"), (2, 7, 8)),
    "conv2d, k1 s2 same": (conv2d((1, 1), (2, 2), "same"), (3, 5, 4)),
    "conv2d, k3 s2": (conv2d((3, 3), (2, 2), "valid"), (2, 6, 7)),
    "conv_transpose2d, k3 s2 same": (conv_transpose2d((3, 3), (2, 2), "same"), (3, 3, 4)),
    "conv_transpose2d, k3 same": (conv_transpose2d((3, 3), (1, 1), "same"), (2, 4, 3)),
    "conv_transpose2d, k4×5 s2 same": (conv_transpose2d((4, 5), (2, 2), "same"), (2, 3, 4)),
    "conv_transpose2d, k2×1 s3×2 same": (conv_transpose2d((2, 1), (3, 2), "same"), (3, 3, 2)),
    "conv_transpose2d, k3 s2": (conv_transpose2d((3, 3), (2, 2), "valid"), (3, 3, 4)),
    "conv_transpose2d, k2×1 s3×2": (conv_transpose2d((2, 1), (3, 2), "valid"), (3, 3, 2)),
    "max_pool2d, 2": (max_pool2d(), (3, 5, 7)),
    "max_pool2d, ties": (max_pool2d(), (3, 5, 4)),
    "up_sample2d, 3×2": (up_sample2d((3, 2)), (2, 3, 2)),
    "batch_norm of pictures": (batch_norm(), (4, 3, 2)),
    "batch_norm of vectors": (batch_norm(), (5,)),
    "batch_norm of pictures, predicting": (batch_norm(), (4, 3, 2)),
    "batch_norm of vectors, predicting": (batch_norm(), (5,)),
}

def case(name):
    (description, layer), shape = LAYERS[name]
    training = not name.endswith("predicting")
    x = values(ROWS, *shape[1:], shape[0])
    x = numpy.round(x * 2) / 2 if name.endswith("ties") else x
    layer.build(x.shape)
    parameters = [values(*weight.shape) for weight in layer.weights]
    if description["layer"] == "batch_norm":
        parameters[3] = numpy.abs(parameters[3]) + 0.5  # a variance
    layer.set_weights(parameters)
    x = tensorflow.constant(x)
    with tensorflow.GradientTape() as tape:
        tape.watch(x)
        y = layer(x, training=training)
        target = values(*y.shape)
        loss = tensorflow.reduce_mean((y - target) ** 2)
    x_gradient, *gradients = tape.gradient(loss, [x, *layer.trainable_variables])
    statistics = layer.non_trainable_variables if training else []
    return dict(name=name, layer=description, input=shape, training=training, x=rounded(x), parameters=[rounded(p) for p in parameters],
                y=rounded(y), target=rounded(target), x_gradient=rounded(x_gradient), parameter_gradients=[rounded(g) for g in gradients],
                statistics=[rounded(s) for s in statistics])

cases = dict(keras=keras.__version__, rows=ROWS, layers=[case(name) for name in LAYERS])
(pathlib.Path(__file__).parent / "keras_layers.json").write_text(json.dumps(cases) + "\n")
