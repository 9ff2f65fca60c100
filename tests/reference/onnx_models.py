"""What save_onnx writes, checked by ONNX and run by onnxruntime.

    python onnx_models.py

Needs onnx and onnxruntime, and cargo: a test of tests/onnx.rs writes every layer and model, inputs and its own outputs.
"""

import json
import os
import subprocess
import tempfile
from pathlib import Path

import numpy
import onnx
import onnxruntime

# Of the largest value of an output.
MOST = 1e-5
ROWS = [1, 7]


def sizes(value):
    return [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim]


def check(path):
    """The file's structure, and its shapes as ONNX infers them from the input's alone."""
    onnx.checker.check_model(path, full_check=True)
    model = onnx.load(path)
    told = {value.name: sizes(value) for value in [*model.graph.output, *model.graph.value_info]}
    del model.graph.value_info[:]
    for output in model.graph.output:
        output.type.tensor_type.ClearField("shape")
    inferred = onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True, data_prop=True)
    found = {value.name: sizes(value) for value in [*inferred.graph.output, *inferred.graph.value_info]}
    for name, shape in told.items():
        # The inference gives names of its own to sizes that it does not follow: the batch behind a Resize.
        same = [size == ours or str(size).startswith("unk__") for ours, size in zip(shape, found[name])]
        assert shape[0] == "batch" and len(same) == len(found[name]) and all(same), (name, shape, found[name])
    return [node.op_type for node in model.graph.node]


def run(folder):
    """The largest difference to our outputs, in parts of their largest value."""
    session = onnxruntime.InferenceSession(folder / "model.onnx", providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    (taken,) = session.get_inputs()
    worst = 0.0
    for rows in ROWS:
        files = {path.name.split(".")[1]: numpy.load(path) for path in folder.glob(f"{rows}.*.npy")}
        assert sorted(files) == sorted([*names, taken.name]), files.keys()
        for name, got in zip(names, session.run(names, {taken.name: files[taken.name]})):
            expected = files[name]
            scale = numpy.abs(expected).max()
            assert got.shape == expected.shape and got.dtype == expected.dtype == numpy.float32, (folder, name)
            assert numpy.isfinite(got).all() and scale > 1e-3, (folder, name, scale)
            # Equal values would tell nothing; a softmax or a sigmoid of a few rows may be nearly that.
            assert rows == 1 or numpy.ptp(expected) > 1e-3 * scale, (folder, name)
            worst = max(worst, float(numpy.abs(got - expected).max() / scale))
    return worst


def main():
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        command = ["cargo", "test", "--locked", "--all-features", "--test", "onnx", "files_for_onnxruntime"]
        environment = {**os.environ, "LATENTLAB_ONNX": temporary}
        subprocess.run(command, cwd=Path(__file__).parents[2], env=environment, check=True, stdout=subprocess.DEVNULL)
        rows = {}
        for number, row, case in json.loads((folder / "cases.json").read_text()):
            try:
                operators = check(folder / number / "model.onnx")
                difference = run(folder / number)
            except Exception as error:
                raise AssertionError(f"{row}, {case}") from error
            assert difference < MOST, (row, case, difference)
            files, worst, all_operators = rows.get(row, (0, 0.0, []))
            rows[row] = (files + 1, max(worst, difference), list(dict.fromkeys([*all_operators, *operators])))
    print(f"onnx {onnx.__version__}, onnxruntime {onnxruntime.__version__}; differences in parts of the largest value\n")
    print(f"{'':18} {'files':>5} {'difference':>10}  operators")
    for row, (files, worst, operators) in rows.items():
        print(f"{row:18} {files:5} {worst:10.1e}  {', '.join(operators)}")
    files = sum(files for files, _, _ in rows.values())
    print(f"\n{files} files, batches of 1 and 7: largest difference {max(worst for _, worst, _ in rows.values()):.1e}")


if __name__ == "__main__":
    main()
