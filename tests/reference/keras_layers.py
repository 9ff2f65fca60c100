"""Writes keras_layers.json: outputs, gradients and running statistics of layers that Keras has too, in double precision; of some it is the only one
whose conventions are these, of the others PyTorch's values are beside it.

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

def same(arrays):
    return arrays

class Weights:
    """The weights of a layer here, by their shapes, as Keras has them, and Keras' gradients as those of these weights."""
    def __init__(self, shapes, to_keras=same, gradients=same):
        self.shapes, self.to_keras, self.gradients = shapes, to_keras, gradients

def activation(name, layer, **settings):
    return {"layer": "activation", "function": name, **settings}, layer, Weights([])

def prelu(shape):
    axes = list(range(1, len(shape)))
    return {"layer": "prelu"}, keras.layers.PReLU(shared_axes=axes or None, dtype="float64"), Weights(
        [(shape[0],)], lambda p: [p[0].reshape([1] * (len(shape) - 1) + [-1])], lambda g: [g[0].reshape(-1)])

def norm(layer, shape, **settings):
    return {"layer": "norm", "epsilon": 1e-3, **settings}, layer, Weights([shape] * 2)

def embedding():
    return {"layer": "embedding", "vocabulary": 6, "dim": 4}, keras.layers.Embedding(6, 4, dtype="float64"), Weights([(6, 4)])

def lstm(sequences, features, units):
    layer = keras.layers.LSTM(units, return_sequences=sequences, dtype="float64")
    # One bias, where here are two.
    weights = Weights([(features, 4 * units), (units, 4 * units), (4 * units,), (4 * units,)],
                     lambda p: [p[0], p[1], p[2] + p[3]], lambda g: [g[0], g[1], g[2], g[2]])
    return {"layer": "recurrent", "cell": "lstm", "units": units, "sequences": sequences}, layer, weights

def gru(sequences, features, units):
    layer = keras.layers.GRU(units, return_sequences=sequences, reset_after=True, dtype="float64")
    # The update gate before the reset gate, where here it is behind it.
    def swapped(a):
        r, z, n = numpy.split(a, 3, axis=-1)
        return numpy.concatenate([z, r, n], axis=-1)
    weights = Weights([(features, 3 * units), (units, 3 * units), (3 * units,), (3 * units,)],
                     lambda p: [swapped(p[0]), swapped(p[1]), swapped(numpy.stack([p[2], p[3]]))],
                     lambda g: [swapped(g[0]), swapped(g[1]), *swapped(g[2])])
    return {"layer": "recurrent", "cell": "gru", "units": units, "sequences": sequences}, layer, weights

def dilated():
    description = {"layer": "conv2d", "filters": 4, "kernel": (3, 2), "stride": (1, 1), "padding": "same", "dilation": (2, 2)}
    return description, keras.layers.Conv2D(4, (3, 2), padding="same", dilation_rate=2, dtype="float64"), Weights([(3, 2, 3, 4), (4,)])

def depthwise():
    description = {"layer": "conv2d", "filters": 3, "kernel": (3, 3), "stride": (1, 1), "padding": "same", "groups": 3}
    layer = keras.layers.DepthwiseConv2D(3, padding="same", dtype="float64")
    turned = lambda p: [p[0].transpose(0, 1, 3, 2), p[1]]
    return description, layer, Weights([(3, 3, 1, 3), (3,)], turned, turned)

def bilinear():
    description = {"layer": "up_sample2d", "factor": (2, 3), "interpolation": "bilinear"}
    return description, keras.layers.UpSampling2D((2, 3), interpolation="bilinear", dtype="float64"), Weights([])

def no_bias():
    description = {"layer": "conv2d", "filters": 4, "kernel": (3, 3), "stride": (1, 1), "padding": "same", "bias": False}
    return description, keras.layers.Conv2D(4, 3, padding="same", use_bias=False, dtype="float64"), Weights([(3, 3, 2, 4)])

LAST, ALL = keras.layers.LayerNormalization(dtype="float64"), keras.layers.LayerNormalization(axis=[1, 2, 3], dtype="float64")
LAYERS |= {
    "elu": (activation("elu", keras.layers.ELU(1.5, dtype="float64"), alpha=1.5), (9,)),
    "gelu": (activation("gelu", keras.layers.Activation("gelu", dtype="float64")), (9,)),
    "silu": (activation("silu", keras.layers.Activation("silu", dtype="float64")), (9,)),
    "prelu": (prelu((5,)), (5,)),
    "prelu of pictures": (prelu((3, 4, 2)), (3, 4, 2)),
    "layer_norm": (norm(LAST, (7,), kind="layer"), (7,)),
    "layer_norm of pictures": (norm(ALL, (4, 2, 3), kind="layer"), (3, 4, 2)),
    "group_norm": (norm(keras.layers.GroupNormalization(2, dtype="float64"), (6,), kind="group", groups=2), (6, 3, 4)),
    "embedding": (embedding(), (5,)),
    "lstm": (lstm(False, 3, 2), (4, 3)),
    "lstm, sequences": (lstm(True, 2, 3), (4, 2)),
    "gru": (gru(False, 3, 2), (4, 3)),
    "gru, sequences": (gru(True, 2, 3), (4, 2)),
    "up_sample2d, 2×3 bilinear": (bilinear(), (2, 3, 2)),
    "conv2d, dilated": (dilated(), (3, 6, 5)),
    "conv2d, depthwise": (depthwise(), (3, 5, 4)),
    "conv2d without a bias": (no_bias(), (2, 5, 4)),
}

def case(name):
    (description, layer, *mapping), shape = LAYERS[name]
    training = not name.endswith("predicting")
    indices = name == "embedding"
    inside = (*shape[1:], shape[0]) if len(shape) == 3 else shape
    x = random.integers(6, size=(ROWS, *inside)).astype(float) if indices else values(ROWS, *inside)
    x = numpy.round(x * 2) / 2 if name.endswith("ties") else x
    layer.build(x.shape)
    weights = mapping[0] if mapping else Weights([weight.shape for weight in layer.weights])
    parameters = [values(*shape) for shape in weights.shapes]
    if description["layer"] == "batch_norm":
        parameters[3] = numpy.abs(parameters[3]) + 0.5  # a variance
    layer.set_weights(weights.to_keras(parameters))
    x = tensorflow.constant(x)
    with tensorflow.GradientTape() as tape:
        tape.watch(x)
        y = layer(x, training=training)
        target = values(*y.shape)
        loss = tensorflow.reduce_mean((y - target) ** 2)
    x_gradient, *gradients = tape.gradient(loss, [x, *layer.trainable_variables])
    x_gradient = tensorflow.zeros_like(x) if indices else x_gradient
    gradients = weights.gradients([tensorflow.convert_to_tensor(gradient).numpy() for gradient in gradients])
    # Keras counts the state of a random generator too.
    observes = training and description["layer"] == "batch_norm"
    statistics = layer.non_trainable_variables if observes else []
    return dict(name=name, layer=description, input=shape, training=training, x=rounded(x), parameters=[rounded(p) for p in parameters],
                y=rounded(y), target=rounded(target), x_gradient=rounded(x_gradient), parameter_gradients=[rounded(g) for g in gradients],
                statistics=[rounded(s) for s in statistics])

cases = dict(keras=keras.__version__, rows=ROWS, layers=[case(name) for name in LAYERS])
(pathlib.Path(__file__).parent / "keras_layers.json").write_text(json.dumps(cases) + "\n")
