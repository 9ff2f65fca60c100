"""What latentlab writes of its results, read by the programs that it is for.

    python results.py

Needs numpy, pandas, pyarrow, polars and tensorboard, and cargo: a test of tests/exchange.rs writes the files.
"""

import os
import subprocess
import tempfile
from pathlib import Path

import numpy
import pandas
import polars
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.backend.event_processing.event_file_loader import RawEventFileLoader
from tensorboard.backend.event_processing.event_multiplexer import EventMultiplexer
from tensorboard.plugins.projector import projector_plugin


def scalars(accumulator, tag):
    return [(event.step, event.value) for event in accumulator.Scalars(tag)]


def curves(folder):
    table, arrays = pandas.read_csv(folder / "history.csv"), numpy.load(folder / "history.npz")
    assert list(table.columns) == ["epoch", *arrays.files] and list(table.epoch) == [1, 2, 3], table
    for name in arrays.files:
        assert arrays[name].dtype == numpy.float64 and (arrays[name] == table[name].to_numpy()).all(), name
    # All records with right checksums, and nothing behind the last one.
    for path in folder.glob("runs/*/events*"):
        assert len(list(RawEventFileLoader(str(path)).Load())) == 1 + 3, path
    multiplexer = EventMultiplexer().AddRunsFromDirectory(str(folder / "runs"))
    multiplexer.Reload()
    seen = 0
    for run in ["train", "validation"]:
        accumulator = EventAccumulator(str(folder / "runs" / run))
        accumulator.Reload()
        for tag in accumulator.Tags()["scalars"] or [event for event in accumulator.Tags()["tensors"]]:
            name = tag.removeprefix("epoch_")
            name = f"validation_{name}" if run == "validation" else name
            values = [(step, value) for step, value in scalars(accumulator, tag)]
            expected = [(index + 1, float(numpy.float32(value))) for index, value in enumerate(arrays[name])]
            assert values == expected, (tag, values, expected)
            assert tag in multiplexer.GetAccumulator(run).Tags()["scalars"]
            seen += 1
    assert seen == len(arrays.files) >= 6
    print(f"history: {seen} curves are the same in pandas, NumPy and TensorBoard's runs {sorted(multiplexer.Runs())}")


def codes(folder):
    table, arrays = pandas.read_csv(folder / "codes.csv", dtype={"class": str}), numpy.load(folder / "codes.npz")
    points, labels = arrays["points"], arrays["labels"]
    assert (points.dtype, points.shape, labels.dtype) == (numpy.float32, (40, 3), numpy.int64)
    columns = table[["latent_1", "latent_2", "latent_3"]].to_numpy().astype("float32")
    assert (columns == points).all() and (table.label == labels).all()
    assert list(pandas.read_csv(folder / "plane.csv").columns) == ["t-SNE_1", "t-SNE_2", "label", "class"]
    projector = folder / "projector"
    metadata = pandas.read_csv(projector / "metadata.tsv", sep="\t", dtype={"class": str})
    assert (metadata["class"] == table["class"]).all() and (metadata.label == labels).all()
    vectors = projector_plugin._read_tensor_tsv_file(str(projector / "vectors.tsv"))
    assert (vectors.astype("float32") == points).all()
    config = projector_plugin.text_format.Parse((projector / "projector_config.pbtxt").read_text(), projector_plugin.ProjectorConfig())
    (embedding,) = config.embeddings
    assert all((projector / path).is_file() for path in (embedding.tensor_path, embedding.metadata_path))
    print("codes: 40 of 3 values are the same in pandas, NumPy and the projector of TensorBoard")


def study(folder):
    table = pandas.read_csv(folder / "study.csv")
    assert list(table.columns) == ["number", "value", "state", "seconds", "params_rate", 'params_units, of "all"'], table
    assert list(table.state) == ["complete", "complete", "failed", "complete"] and table.value.isna().sum() == 1
    assert ((table.params_rate > 1e-5) & (table.params_rate < 0.1)).all()
    print("study: 4 trials in pandas")


def parquet(folder):
    for name in ["history", "codes", "study"]:
        table = pandas.read_csv(folder / f"{name}.csv", dtype={"class": str})
        for read in [pandas.read_parquet, lambda path: polars.read_parquet(path).to_pandas()]:
            got = read(folder / f"{name}.parquet")
            single = got.dtypes[got.dtypes == "float32"].index
            pandas.testing.assert_frame_equal(got, table.astype({column: "float32" for column in single}), check_exact=True, check_dtype=False)
    print("Parquet: the tables of history, codes and study are the same in pandas (pyarrow) and polars")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        environment = {**os.environ, "LATENTLAB_RESULTS": temporary}
        command = ["cargo", "test", "--all-features", "--test", "exchange", "results_in_the_folder"]
        subprocess.run(command, cwd=Path(__file__).parents[2], env=environment, check=True, stdout=subprocess.DEVNULL)
        for check in [curves, codes, study, parquet]:
            check(Path(temporary))
