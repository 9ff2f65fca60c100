"""Keras' files of weights, for tests/keras.rs.

    python keras_weights.py write     writes keras/, which the test reads
    python keras_weights.py           writes files with other weights, and has the test compare the outputs

Needs keras 3.15.1, tensorflow-cpu 2.21.0 and h5py; the second also cargo, and takes a minute where the tests are compiled.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import h5py
import keras
import numpy
from keras import layers

HERE = Path(__file__).parent


class Model(keras.Model):
    """Networks as attributes, one after the other."""

    def __init__(self, **networks):
        super().__init__()
        self.names = list(networks)
        for name, network in networks.items():
            setattr(self, name, network)

    def call(self, x):
        for name in self.names:
            x = getattr(self, name)(x)
        return x


def sequential(shape, *all_layers):
    return keras.Sequential([layers.Input(shape), *all_layers])


def pictures():
    return sequential((6, 5, 2), layers.Conv2D(3, 3), layers.BatchNormalization(), layers.ReLU(), layers.Flatten(), layers.Dense(4))


def residual():
    x = inputs = layers.Input((4, 4, 2))
    y = layers.Conv2D(2, 3, padding="same", activation="relu")(x)
    x = layers.Add()([x, layers.Conv2D(2, 3, padding="same")(y)])
    x = layers.Concatenate()([x, layers.Conv2D(3, 1)(x)])
    return keras.Model(inputs, layers.Dense(3)(layers.GlobalAveragePooling2D()(x)))


def models():
    """By name: the suffix of its file, and the model. Those of tests/keras.rs have the same layers."""
    flat = lambda: (layers.BatchNormalization(), layers.PReLU(), layers.LayerNormalization(epsilon=1e-5))
    encoder = lambda: sequential((4, 3, 2), layers.Conv2D(2, 2), layers.Flatten(), layers.Dense(3, name="code"))
    decoder = lambda: sequential(
        (3,), layers.Dense(12, activation="relu"), layers.Reshape((2, 3, 2)),
        layers.Conv2DTranspose(2, (3, 1), padding="valid", activation="sigmoid"),
    )
    whole = keras.Model(inputs := layers.Input((4, 3, 2)), decoder()(encoder()(inputs)))
    return {
        "pictures": (".weights.h5", pictures()),
        # Flattened feature maps through layers with a weight for each value, and the way back.
        "order": (
            ".weights.h5",
            sequential(
                (4, 3, 2), layers.Conv2D(4, (2, 1), groups=2), layers.PReLU(shared_axes=[1, 2]), layers.Dropout(0.5),
                layers.GroupNormalization(2, epsilon=1e-5), layers.Flatten(), *flat(), layers.Dense(5, use_bias=False),
                layers.LeakyReLU(negative_slope=0.2), layers.Dense(24), *flat(), layers.Reshape((2, 3, 4)),
                layers.Conv2DTranspose(3, 3, strides=2, padding="same"), layers.LayerNormalization(axis=[1, 2, 3], epsilon=1e-5),
            ),
        ),
        "sequences": (
            ".weights.h5",
            sequential(
                (5,), layers.Embedding(7, 3), layers.LSTM(4, return_sequences=True), layers.PReLU(shared_axes=[1]),
                layers.GRU(3, return_sequences=True), layers.LayerNormalization(epsilon=1e-5), layers.Dense(4), layers.GRU(2),
            ),
        ),
        "residual": (".weights.h5", residual()),
        "autoencoder": (".weights.h5", Model(encoder=encoder(), decoder=decoder())),
        # Networks inside a network, after a step of training, with the optimizer's state.
        "whole": (".keras", whole),
    }


def filled(name, model, seed):
    """Every weight a random number; of a variance, above 0."""
    random = numpy.random.default_rng([seed, *name.encode()])
    x = inputs(name, model, 2, seed)
    y = model(x)
    if name == "whole":
        model.compile("adam", "mse")
        model.fit(x, y, verbose=0)
    for variable in model.variables:
        if "seed" not in variable.path:
            values = random.normal(0, 0.5, variable.shape)
            variable.assign(0.5 + values**2 if "variance" in variable.path else values)


def inputs(name, model, count, seed):
    random = numpy.random.default_rng([count, seed])
    if name == "sequences":
        return random.integers(0, 7, (count, 5)).astype("float32")
    shape = (4, 3, 2) if name == "autoencoder" else model.input_shape[1:]
    return random.normal(0, 1, (count, *shape)).astype("float32")


def channels_first(array):
    return numpy.moveaxis(array, -1, 1) if array.ndim == 4 else array


def write(folder, seed, count):
    folder.mkdir(exist_ok=True)
    cases = {}
    listed = lambda array: [list(array.shape), [float(f"{value:.9g}") for value in array.flatten().tolist()]]
    for name, (suffix, model) in models().items():
        filled(name, model, seed)
        x = inputs(name, model, count, seed)
        y = numpy.asarray(model(x, training=False))
        assert numpy.std(y) > 1e-3, name
        cases[name] = {"file": name + suffix, "x": listed(channels_first(x)), "y": listed(channels_first(y))}
        path = folder / (name + suffix)
        model.save(path) if suffix == ".keras" else model.save_weights(path)
        if name == "pictures":
            packed = {"chunks": True, "compression": "gzip", "shuffle": True, "fletcher32": True}
            written_again(path, folder / f"{name}.packed.weights.h5", "earliest", ">f8", packed)
            written_again(path, folder / f"{name}.latest.weights.h5", "latest", "<f4", packed)
            written_again(path, folder / f"{name}.halves.weights.h5", "latest", "<f2", {})
    (folder / "cases.json").write_text(json.dumps(cases) + "\n")


def written_again(path, to, libver, dtype, settings):
    with h5py.File(path) as file, h5py.File(to, "w", libver=libver) as new:

        def copy(name, item):
            if isinstance(item, h5py.Dataset):
                new.create_dataset(name, data=item[()].astype(dtype), **settings)
            else:
                new.create_group(name).attrs.update(item.attrs)

        file.visititems(copy)


if __name__ == "__main__":
    if sys.argv[1:] == ["write"]:
        write(HERE / "keras", 0, 2)
    else:
        with tempfile.TemporaryDirectory() as temporary:
            for seed in range(1, 6):
                write(Path(temporary) / str(seed), seed, 64)
            command = ["cargo", "test", "--all-features", "--test", "keras", "outputs_are_those_of_keras", "--", "--nocapture"]
            environment = {**os.environ, "LATENTLAB_KERAS": temporary}
            subprocess.run(command, cwd=HERE.parent.parent, env=environment, check=True)
