"""fastnn.onnx: every case beside onnxruntime, there and back, formulas of other programs, files that are foreign."""

import copy
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.cases import CASES, CONNECTIONS, LINEAR
from tests.check import close, inner_lengths, inputs, normal, randomise_biases, same, same_parameters

onnx = pytest.importorskip("onnx", reason="onnx is missing: the tests of ONNX files do NOT run")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402
from onnx.reference import ReferenceEvaluator  # noqa: E402

from fastnn.onnx import export, load  # noqa: E402
from fastnn_ref.shared.config import signature  # noqa: E402

pytestmark = pytest.mark.slow
EXPECTATIONS = [case for case in CONNECTIONS if "mean" not in case.name and not case.name.startswith("dropconnect 0 ")
                and any(name in case.name for name in ("relu", "gelu", "tanh", "softmax"))]


@pytest.fixture(scope="module")
def runtime():
    found = pytest.importorskip("onnxruntime", reason="onnxruntime is missing: exports are NOT compared with it")
    found.set_default_logger_severity(3)
    return found


def made(nn, case, dtype="float32"):
    model = nn.Sequential(case.make(nn), seed=2, dtype=dtype)
    randomise_biases(model)
    return model


def agree(model, shape, got, want):
    close("layer", got, want, inner_lengths(model, shape) * (np.abs(want).max() + 1e-3) * np.ones(want.shape) * 2)


def test_input_scaling(runtime, fast, tmp_path):
    """The graph standardises, there and back; as a frozen batch normalization it trains on."""
    path, rng = tmp_path / "model.onnx", np.random.default_rng(0)
    mean, deviation = np.array([2000.0, -3.0, 0.0]), np.array([10.0, 1e-3, 1.0])
    dense = fast.Sequential(fast.Linear(3, 4, activation="tanh"), fast.Linear(4, 2), seed=1)
    image = fast.Sequential(fast.Conv2d(2, 3, 3), fast.Flatten(), fast.Linear(12, 2), seed=1)
    for model, raw, scaling in (
        (dense, mean + deviation * rng.normal(size=(7, 3)), (mean, deviation)),
        (dense, rng.normal(size=(7, 3)), (0, 255.0)), (image, rng.uniform(0, 255, (5, 2, 4, 4)), (0.5, 255)),
    ):
        raw = raw.astype(np.float32)
        want = model((raw - np.array(scaling[0])) / np.array(scaling[1]))
        export(model, path, input_shape=raw.shape[1:], input_scaling=scaling, metadata={"classes": "да"})
        session = runtime.InferenceSession(path)
        assert session.get_modelmeta().custom_metadata_map == {"classes": "да"}
        again = load(path)
        for got in (session.run(None, {"x": raw})[0], again(raw)):
            np.testing.assert_allclose(got, want, atol=1e-3)
        before = again.state_dict()
        again.step(raw, np.arange(len(raw)) % 2, fast.CrossEntropyLoss(), fast.SGD(lr=0.1))
        after = again.state_dict()
        same(after["0.running_mean"], before["0.running_mean"])
        assert (after["1.weight"] != before["1.weight"]).any()
    export(image, path, input_shape=(2, 4, 4), input_scaling=(np.ones((2, 4, 4)), 1))
    with pytest.raises(ValueError, match="expected features, or one mean and deviation of all pixels, got an x of"):
        load(path)
    for value, error, message in (
        (3, TypeError, r"input_scaling: expected a tuple \(mean, deviation\), got int"),
        ((0, 0), ValueError, r"input_scaling\[1\]: expected finite numbers > 0"),
        ((0, 1e-50), ValueError, r"input_scaling\[1\]: expected finite numbers > 0 in float32"),
        ((1e300, 1), ValueError, r"input_scaling\[0\]: expected finite numbers in float32"),
        ((np.nan, 1), ValueError, r"input_scaling\[0\]: expected finite numbers"),
        ((np.ones(2), 1), ValueError, r"input_scaling\[0\]: expected a number, or \(3,\), got \(2,\)"),
    ):
        with pytest.raises(error, match=message):
            export(dense, path, input_shape=(3,), input_scaling=value)


# Cases that cannot be written, and the option.
UNSAID = {
    "transposed 1x3x5x4 3 of 2 output_padding=1 dilation=(3, 2) groups=3": "ConvTranspose2d.output_padding",
    "AvgPool2d 2x1x5x5 2 divisor_override=3": "AvgPool2d.divisor_override",
    "AvgPool2d 17x1x3x4 2 ceil_mode=True divisor_override=7": "AvgPool2d.divisor_override",
    **{f"{kind} {sizes}": f"{kind}.output_size" for kind in ("AdaptiveMaxPool2d", "AdaptiveAvgPool2d")
       for sizes in ("2x3x5x7 to (2, 3)", "2x1x3x2 to 5", "19x2x5x3 to (3, 2)")},
}


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_in_onnxruntime_and_back(runtime, fast, tmp_path, case):
    """Of a batch of another size than any that the exporter saw."""
    model = made(fast, case)
    if case.name in UNSAID:
        with pytest.raises(ValueError, match=rf"^0: {UNSAID[case.name]}: expected"):
            export(model, tmp_path / "model.onnx", input_shape=case.shape[1:])
        return
    export(model, path := tmp_path / "model.onnx", input_shape=case.shape[1:])
    x = inputs(case, "float32")
    want = model(x)
    got = runtime.InferenceSession(path).run(None, {"x": np.array(x)})[0]
    agree(model, case.shape, got, want)
    if case in EXPECTATIONS:
        with pytest.raises(ValueError, match=r"node '(gemm_0|mul_1)' .*: expected (a chain of|an operator)"):
            load(path)
        return
    again = load(path)
    agree(model, case.shape, again(x), want)
    if not any(len(each.children()) for each in model.layers):
        found = again.state_dict()                      # of a norm without a scale, ONNX has ones
        extra = {name: value for name, value in found.items() if name not in model.state_dict()}
        assert all((value == name.endswith("weight")).all() for name, value in extra.items())
        for name, value in model.state_dict().items():
            np.testing.assert_array_equal(found[name], value)


@pytest.mark.parametrize("arguments", [
    {"padding": 2, "dilation": 3}, {"padding": ((0, 3), (1, 2)), "dilation": (4, 3), "stride": (2, 1)},
    {"padding": 1, "dilation": 2, "stride": 2, "ceil_mode": True},
])
def test_max_pools_padded_by_more_than_their_kernel(runtime, fast, tmp_path, arguments):
    """As dilated ones may be; onnxruntime refuses such pads of a MaxPool."""
    model = fast.Sequential(fast.MaxPool2d(2, **arguments))
    export(model, path := tmp_path / "model.onnx", input_shape=(2, 8, 7))
    x = np.array(normal((3, 2, 8, 7), "float32"))
    for got in (runtime.InferenceSession(path).run(None, {"x": x})[0], load(path)(x)):
        np.testing.assert_array_equal(got, model(x))


@pytest.mark.parametrize("mode", ["nearest", "bilinear"])
def test_an_upsample_whose_size_stays(runtime, fast, tmp_path, mode):
    """onnxruntime copies the image, whatever the scale is; with another size in one axis it does not."""
    for scale, side in ((1.1, 1), ((1.0, 1.0), 3), ((1.3, 2.0), 3), (1.5, 8)):
        x = normal((2, 1, side, side), "float32")
        model = fast.Sequential(fast.Upsample(scale_factor=scale, mode=mode), input_shape=x.shape[1:])
        export(model, tmp_path / "model.onnx")
        got = runtime.InferenceSession(tmp_path / "model.onnx").run(None, {"x": np.array(x)})[0]
        np.testing.assert_allclose(got, model(x), atol=1e-5)
    model = fast.Sequential(fast.Upsample(scale_factor=(1.1, 1.0), mode=mode), input_shape=(1, 3, 3))
    with pytest.raises(ValueError, match=r"^0: Upsample.scale_factor: expected 1, or one that changes the size: onnxr"):
        export(model, tmp_path / "model.onnx")


@pytest.mark.parametrize("merge", ["concat", "add"])
@pytest.mark.parametrize("count", [2, 3])
def test_branches_that_do_nothing(fast, tmp_path, merge, count):
    """One node takes the same value several times."""
    branches = fast.Dropout(0), fast.GaussianNoise(0.5), fast.Sequential(fast.Augment(flip=0.5))
    for model in (fast.Sequential(fast.Parallel(*branches[:count], merge=merge)),
                  fast.Sequential(fast.ReLU(), fast.Parallel(*map(copy.deepcopy, branches[:count]), merge=merge))):
        export(model, path := tmp_path / "model.onnx", input_shape=(2, 4, 3))
        x = np.array(normal((3, 2, 4, 3), "float32"))
        np.testing.assert_allclose(load(path)(x), model(x), rtol=1e-6)


@pytest.mark.parametrize("case", LINEAR, ids=lambda c: c.name)
def test_of_the_reference_in_float64(ref, tmp_path, case):
    model = made(ref, case, "float64")
    export(model, path := tmp_path / "model.onnx", input_shape=case.shape[1:], dtype="float64")
    x, again = normal(case.shape), load(path, package=ref)
    assert again.dtype == np.float64
    np.testing.assert_array_equal(again(x), model(x))


def test_versions_of_two_years_ago(fast, tmp_path):
    export(fast.Sequential(fast.Linear(2, 3)), path := tmp_path / "model.onnx")
    found = onnx.load(path)
    assert (found.ir_version, [(each.domain, each.version) for each in found.opset_import]) == (8, [("", 17)])
    assert found.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "batch"


def test_training_goes_on(fast, tmp_path):
    """The loaded model trains to the same losses, dropout's masks and running statistics included."""
    model = fast.Sequential(fast.Conv2d(1, 3, 3), fast.BatchNorm2d(3, momentum=0.2), fast.ReLU(),
                            fast.Residual(fast.Conv2d(3, 3, 1)), fast.Dropout(0.25), fast.Flatten(), fast.Linear(27, 3),
                            input_shape=(1, 5, 5), seed=3)
    loss, x, t = fast.CrossEntropyLoss(), normal((8, 1, 5, 5)), np.arange(8) % 3
    for _ in range(5):
        model.step(x, t, loss, fast.SGD(lr=0.1))
    export(model, path := tmp_path / "model.onnx")
    again = load(path, seed=3)
    assert again[1].momentum == 0.2                         # 1 − 0.8 of float32 is 0.19999999
    again.steps = model.steps
    optimizers = fast.Adam(lr=0.01), fast.Adam(lr=0.01)
    worst = max(abs(model.step(x, t, loss, optimizers[0]) - again.step(x, t, loss, optimizers[1])) for _ in range(10))
    print(f"losses of ten further steps differ by {worst:.1e}")
    assert worst <= 1e-6
    assert len(again.layers) == len(model.layers)


def test_a_branch_whose_linear_gets_several_axes(fast, tmp_path):
    block = fast.Sequential(fast.Linear(2, 3), fast.GroupNorm(2, 2), fast.Linear(3, 2), input_shape=(2, 2))
    model = fast.Sequential(fast.Unflatten(1, (2, 2)), fast.Residual(block), fast.Flatten(), input_shape=(4,))
    export(model, path := tmp_path / "model.onnx")
    x = normal((3, 4), "float32")
    np.testing.assert_allclose(load(path)(x), model(x), atol=1e-6)


class Mine:
    """A graph by hand: nodes as (operator, inputs, output, attributes)."""

    def __init__(self, path, shape, nodes, constants, output, opset=17, **more):
        made = [helper.make_node(operator, inputs, [y], name=y, **attributes)
                for operator, inputs, y, attributes in nodes]
        graph = helper.make_graph(
            made, "mine", [helper.make_tensor_value_info("x", more.get("kind", TensorProto.FLOAT), shape)],
            [helper.make_tensor_value_info(output, TensorProto.FLOAT, ["n", "m"])],
            [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()])
        self.path, self.model = path / "mine.onnx", helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
        onnx.save(self.model, self.path)

    def check(self, x, layers):
        model = load(self.path)
        assert str([type(layer).__name__ for layer in model.layers]) == str(layers)
        want = ReferenceEvaluator(self.model).run(None, {"x": x})[0]
        np.testing.assert_allclose(model(x), want, atol=2e-6)
        return model


W = np.arange(6, dtype=np.float32).reshape(3, 2) / 5
ONE, HALF, F = np.float32(1), np.float32(0.5), np.float32
SHRUNK = [("Abs", ["x"], "a", {}), ("Sign", ["x"], "s", {}), ("Mul", ["s", "k"], "m", {}), ("Sub", ["x", "m"], "d", {}),
          ("Mul", ["x", "zero"], "z", {})]


@pytest.mark.parametrize(("nodes", "constants", "layers"), [
    ([("MatMul", ["x", "w"], "u", {}), ("Add", ["b", "u"], "v", {}), ("Sigmoid", ["v"], "s", {}),
      ("Mul", ["s", "v"], "y", {})], {"w": W, "b": np.ones(2, F)}, ["Linear", "SiLU"]),
    ([("Div", ["x", "r"], "d", {}), ("Erf", ["d"], "e", {}), ("Add", ["e", "one"], "a", {}),
      ("Mul", ["x", "a"], "m", {}), ("Mul", ["m", "half"], "y", {})],
     {"r": F(2**0.5), "one": ONE, "half": HALF}, ["GELU"]),
    ([("Pow", ["x", "two"], "p", {}), ("ReduceMean", ["p"], "m", {"axes": [-1]}), ("Add", ["m", "e"], "a", {}),
      ("Sqrt", ["a"], "s", {}), ("Reciprocal", ["s"], "r", {}), ("Mul", ["x", "r"], "n", {}),
      ("Mul", ["w", "n"], "y", {})], {"two": F(2), "e": F(1e-3), "w": np.array([1, 2, 3], F)}, ["RMSNorm"]),
    ([("Relu", ["x"], "a", {}), ("Sigmoid", ["a"], "s", {}), ("Mul", ["a", "s"], "b", {}), ("Add", ["b", "a"], "c", {}),
      ("Tanh", ["c"], "t", {}), ("Add", ["x", "t"], "y", {})], {}, ["Residual"]),
    ([("Add", ["x", "x"], "y", {})], {}, ["Residual"]),
    ([("Gemm", ["x", "w"], "y", {"transB": 1})], {"w": np.ascontiguousarray(W.T)}, ["Linear"]),
    ([("Transpose", ["w"], "v", {}), ("MatMul", ["x", "v"], "y", {})], {"w": np.ascontiguousarray(W.T)}, ["Linear"]),
    ([("Relu", ["x"], "a", {}), ("Gemm", ["a", "w"], "b", {}), ("Tanh", ["a"], "c", {}),
      ("Concat", ["c", "b", "a"], "y", {"axis": -1})], {"w": W}, ["ReLU", "Parallel"]),
    ([("Sigmoid", ["x"], "a", {}), ("Mul", ["a", "x"], "b", {}), ("Relu", ["x"], "c", {}), ("Add", ["c", "x"], "d", {}),
      ("Add", ["b", "d"], "e", {}), ("Add", ["e", "x"], "y", {})], {}, ["Residual"]),
    ([("Tanh", ["x"], "a", {}), ("Relu", ["x"], "b", {}), ("Add", ["b", "a"], "y", {})], {}, ["Parallel"]),
    ([("Slice", ["x", "s", "e", "one", "one"], "y", {})],
     {"s": np.array([-2]), "e": np.array([2**62]), "one": np.array([1])}, ["Select"]),
    ([("HardSigmoid", ["x"], "h", {"alpha": 1 / 6}), ("Mul", ["x", "h"], "y", {})], {}, ["Hardswish"]),
    ([("Softmax", ["x"], "y", {"axis": 1})], {}, ["Softmax"]),
    ([("Clip", ["x", "zero"], "y", {})], {"zero": F(0)}, ["ReLU"]),
    ([("Clip", ["x", "zero", "six"], "y", {})], {"zero": F(0), "six": F(6)}, ["ReLU6"]),
    ([("Selu", ["x"], "s", {}), ("HardSigmoid", ["s"], "h", {"alpha": 1 / 6}), ("Shrink", ["h"], "y", {"lambd": 0.25})],
     {}, ["SELU", "Hardsigmoid", "Hardshrink"]),
    ([("LayerNormalization", ["x", "w"], "y", {})], {"w": np.array([1, 2, 3], F)}, ["LayerNorm"]),
    ([("Unsqueeze", ["x", "two"], "u", {}), ("InstanceNormalization", ["u", "w", "b"], "i", {}),
      ("Squeeze", ["i", "last"], "y", {})],
     {"two": np.array([2]), "last": np.array([-1]), "w": np.array([1, 2, 3], F), "b": np.array([0.5, 0, 1], F)},
     ["Unflatten", "GroupNorm", "Flatten"]),
    ([("Sigmoid", ["x"], "s", {}), ("Log", ["s"], "y", {})], {}, ["LogSigmoid"]),
    ([("Abs", ["x"], "a", {}), ("Add", ["a", "one"], "d", {}), ("Div", ["x", "d"], "y", {})], {"one": ONE},
     ["Softsign"]),
    ([("Mul", ["x", "k"], "u", {}), ("Softplus", ["u"], "s", {}), ("Greater", ["u", "k"], "g", {}),
      ("Where", ["g", "u", "s"], "y", {})], {"k": np.full(3, 20, F)}, None),
    ([("Softplus", ["x"], "s", {}), ("Greater", ["x", "k"], "g", {}), ("Where", ["g", "x", "s"], "y", {})],
     {"k": F(20)}, ["Softplus"]),
    ([*SHRUNK, ("Greater", ["a", "l"], "g", {}), ("Where", ["g", "d", "z"], "y", {})],
     {"l": F(0.3), "k": F(0.3), "zero": F(0)}, ["Softshrink"]),
    ([*SHRUNK, ("Greater", ["a", "l"], "g", {}), ("Where", ["g", "d", "z"], "y", {})],
     {"l": F(0.3), "k": F(0.2), "zero": F(0)}, None),
    ([("Abs", ["x"], "a", {}), ("LessOrEqual", ["a", "l"], "g", {}), ("Where", ["g", "zero", "x"], "y", {})],
     {"l": F(0.3), "zero": F(0)}, ["Hardshrink"]),
])  # fmt: skip
def test_as_others_write_it(tmp_path, nodes, constants, layers):
    """None: another function, though nearly one of ours."""
    graph, x = Mine(tmp_path, ["n", 3], nodes, constants, "y"), np.array(normal((4, 3), "float32"))
    if layers is None:
        with pytest.raises(ValueError, match=r"node '.' \(.*\): expected"):
            load(graph.path)
        return
    graph.check(np.concatenate([x, 30 * x]), layers)


def test_softmax_of_channels(tmp_path):
    """Along an axis between; before operator set 13 it went over all axes from that one on."""
    x = np.array(normal((4, 3, 2, 5), "float32"))
    for axis in (1, 2, -2, 3):
        nodes = [("LogSoftmax", ["x"], "y", {"axis": axis})]
        model = Mine(tmp_path, ["n", 3, 2, 5], nodes, {}, "y").check(x, ["LogSoftmax"])
    assert model[0].dim == -1


def test_rows_by_integers(tmp_path):
    """As programs without our floats have them."""
    nodes = [("Gather", ["t", "x"], "g", {}), ("Flatten", ["g"], "f", {}), ("Gemm", ["f", "w"], "y", {})]
    constants = {"t": np.arange(4, dtype=F).reshape(4, 1), "w": W}
    x = np.array([[3, 1, 0], [2, 2, 1]])
    Mine(tmp_path, ["n", 3], nodes, constants, "y", kind=TensorProto.INT64).check(x, ["Embedding", "Flatten", "Linear"])
    nodes = [("Cast", ["x"], "i", {"to": TensorProto.INT32}), ("Gather", ["t", "i"], "g", {}), *nodes[1:]]
    Mine(tmp_path, ["n", 3], nodes, constants, "y").check(x.astype(F), ["Embedding", "Flatten", "Linear"])


def test_a_number_for_each_example(nn, tmp_path):
    """The shape of an example is (), which is known: norms and axes behind the rows that it becomes."""
    model = nn.Sequential(
        nn.Embedding(4, 6), nn.BatchNorm1d(6), nn.GroupNorm(2, 6), nn.Unflatten(1, (2, 3)), nn.Linear(3, 2))
    x = np.array([3, 0, 1])
    y = model(x)
    export(model, path := tmp_path / "model.onnx", input_shape=())
    again = load(path, package=nn)
    assert [type(layer).__name__ for layer in again.layers] == [type(layer).__name__ for layer in model.layers]
    np.testing.assert_allclose(again(x), y, atol=1e-5)


def test_flattening_by_reshape(tmp_path):
    nodes = [("GlobalAveragePool", ["x"], "g", {}), ("Reshape", ["g", "s"], "y", {})]
    Mine(tmp_path, ["n", 3, 2, 2], nodes, {"s": np.array([-1, 3])}, "y").check(
        np.array(normal((4, 3, 2, 2), "float32")), ["GlobalAvgPool2d"])


@pytest.mark.parametrize(("make", "kinds"), [
    (lambda nn: [nn.Flatten(2, 3)], ["AdaptiveAvgPool2d", "Flatten"]),
    (lambda nn: [nn.Flatten(1, 2), nn.Linear(1, 3)], ["AdaptiveAvgPool2d", "Flatten", "Linear"]),
    (lambda nn: [nn.Unflatten(1, (2, 2))], ["AdaptiveAvgPool2d", "Unflatten"]),
    (lambda nn: [nn.GroupNorm(2, 4)], ["AdaptiveAvgPool2d", "GroupNorm"]),
    (lambda nn: [nn.GroupNorm(4, 4), nn.Flatten()], ["AdaptiveAvgPool2d", "GroupNorm", "Flatten"]),
    (lambda nn: [nn.Flatten(), nn.Unflatten(1, (2, 2))], ["GlobalAvgPool2d", "Unflatten"]),
], ids=range(6))  # fmt: skip
def test_other_axes_than_rows_behind_means_of_images(fast, tmp_path, make, kinds):
    model = fast.Sequential(fast.AdaptiveAvgPool2d(1), *make(fast), input_shape=(4, 3, 5))
    export(model, path := tmp_path / "model.onnx")
    again, x = load(path), normal((3, 4, 3, 5), "float32")
    assert [type(layer).__name__ for layer in again.layers] == kinds
    assert again.output_shape((4, 3, 5)) == model.output_shape((4, 3, 5))
    np.testing.assert_allclose(again(x), model(x), atol=1e-6)


@pytest.mark.parametrize(("axes", "kinds"), [
    ([2], ["AdaptiveAvgPool2d", "Flatten"]), ([-1], ["AdaptiveAvgPool2d", "Flatten"]), ([2, 3], ["GlobalAvgPool2d"]),
    ([-2, -1], ["GlobalAvgPool2d"]),
])  # fmt: skip
def test_squeezed_means_of_images(tmp_path, axes, kinds):
    nodes = [("GlobalAveragePool", ["x"], "g", {}), ("Squeeze", ["g", "axes"], "y", {})]
    Mine(tmp_path, ["n", 3, 2, 2], nodes, {"axes": np.array(axes)}, "y").check(
        np.array(normal((4, 3, 2, 2), "float32")), kinds)


@pytest.mark.parametrize(("shape", "wanted", "layers"), [
    ((2, 3, 4), [0, 6, 4], ["Flatten"]),
    ((2, 3, 4), [0, 0, -1], ["Flatten"]),
    ((2, 3, 4), [0, 2, 0, -1], ["Identity"]),
    ((2, 3, 4), [-1, 2, 12], ["Flatten"]),
    ((2, 3, 4), [0, 2, 3, 2, 2], ["Unflatten"]),
    ((24,), [-1, 2, 3, 4], ["Unflatten"]),
    ((2, 3, 4), [0, 4, 3, 2], ["Flatten", "Unflatten"]),
    ((3,), [0, 3, 1], ["Unflatten"]),
    ((3, 1), [0, 3], ["Flatten"]),
])  # fmt: skip
def test_axes_by_reshape(tmp_path, shape, wanted, layers):
    x = np.array(normal((5, *shape), "float32"))
    model = Mine(tmp_path, ["n", *shape], [("Reshape", ["x", "s"], "y", {})], {"s": np.array(wanted)}, "y").check(
        x, layers)
    np.testing.assert_array_equal(model(x), x.reshape([5 if wanted[0] == 0 else -1, *model.output_shape(shape)]))


def test_groups_with_a_scale_for_each_channel(fast, tmp_path):
    """As operator set 21 has them; those of 18 have one for each group, and onnx refuses them as deprecated."""
    x, w, b = np.array(normal((3, 4, 2, 5), "float32")), np.arange(1, 5, dtype=F), np.arange(4, dtype=F) - 1
    nodes = [("GroupNormalization", ["x", "w", "b"], "y", {"num_groups": 2, "epsilon": 1e-3})]
    layer = load(Mine(tmp_path, ["n", 4, 2, 5], nodes, {"w": w, "b": b}, "y", opset=21).path)[0]
    assert (layer.num_groups, layer.eps) == (2, 1e-3)
    groups = x.reshape(3, 2, -1).astype(float)
    want = (groups - groups.mean(2, keepdims=True)) / np.sqrt(groups.var(2, keepdims=True) + 1e-3)
    want = want.reshape(x.shape) * w[:, None, None] + b[:, None, None]
    np.testing.assert_allclose(fast.Sequential(layer)(x), want, atol=1e-5)
    with pytest.raises(ValueError, match=r"one that onnx refuses: .*GroupNormalization is deprecated"):
        load(Mine(tmp_path, ["n", 4, 2, 5], nodes, {"w": w[:2], "b": b[:2]}, "y", opset=18).path)


PADS = np.array([0, 0, 0, 2, 0, 0, 1, 0])


@pytest.mark.parametrize(("nodes", "constants", "layer"), [
    ([("Conv", ["x", "k"], "y", {"pads": [0, 2, 1, 0]})], {"k": np.ones((2, 1, 3, 2), F)}, "Conv2d"),
    ([("Conv", ["x", "k"], "y", {"auto_pad": "SAME_UPPER", "strides": [2, 3]})], {"k": np.ones((2, 1, 3, 2), F)},
     "Conv2d"),
    ([("Conv", ["x", "k"], "y", {"auto_pad": "SAME_LOWER", "dilations": [1, 3]})], {"k": np.ones((2, 1, 3, 2), F)},
     "Conv2d"),
    ([("Pad", ["x", "p"], "u", {}), ("Conv", ["u", "k"], "y", {"pads": [1, 0, 0, 0]})],
     {"p": PADS, "k": np.ones((2, 1, 3, 3), F)}, "Conv2d"),
    ([("Pad", ["x", "p", "", "a"], "u", {}), ("AveragePool", ["u"], "y", {"kernel_shape": [3, 3]})],
     {"p": np.array([0, 2, 1, 0]), "a": np.array([-2, 3])}, "AvgPool2d"),
    ([("Pad", ["x", "p", "v"], "u", {}), ("MaxPool", ["u"], "y", {"kernel_shape": [3, 3]})],
     {"p": PADS, "v": F(-np.inf)}, "MaxPool2d"),
    ([("MaxPool", ["x"], "y", {"kernel_shape": [2, 3], "strides": [3, 2], "dilations": [1, 2], "ceil_mode": 1})], {},
     "MaxPool2d"),
    ([("AveragePool", ["x"], "y", {"kernel_shape": [3, 3], "pads": [1, 0, 2, 1], "strides": [2, 2]})], {}, "AvgPool2d"),
    ([("AveragePool", ["x"], "y", {"kernel_shape": [2, 2], "auto_pad": "SAME_LOWER"})], {}, "AvgPool2d"),
    ([("GlobalAveragePool", ["x"], "y", {})], {}, "AdaptiveAvgPool2d"),
    ([("GlobalMaxPool", ["x"], "y", {})], {}, "AdaptiveMaxPool2d"),
    ([("ConvTranspose", ["x", "k"], "y", {"strides": [2, 1], "pads": [0, 1, 1, 0], "output_padding": [1, 0]})],
     {"k": np.ones((1, 2, 3, 2), F)}, "ConvTranspose2d"),
    ([("ConvTranspose", ["x", "k"], "y", {"strides": [2, 2], "auto_pad": "SAME_UPPER"})],
     {"k": np.ones((1, 2, 3, 3), F)}, "ConvTranspose2d"),
    ([("ConvTranspose", ["x", "k"], "y", {"strides": [3, 2], "output_shape": [18, 15]})],
     {"k": np.ones((1, 2, 3, 3), F)}, "ConvTranspose2d"),
    ([("Resize", ["x", "", "s"], "y", {})], {"s": np.array([1, 1, 2, 3], F)}, "Upsample"),
    ([("Resize", ["x", "", "", "s"], "y", {"mode": "linear"})], {"s": np.array([4, 1, 9, 4])}, "Upsample"),
    ([("Resize", ["x", "", "s"], "y", {"mode": "linear", "coordinate_transformation_mode": "align_corners"})],
     {"s": np.array([1, 1, 1.5, 4 / 7], F)}, "Upsample"),
    ([("Resize", ["x", "", "s"], "y", {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"})],
     {"s": np.array([1, 1, 1.5, 0.5], F)}, "Upsample"),
])  # fmt: skip
def test_images_as_others_write_them(tmp_path, nodes, constants, layer):
    mine = Mine(tmp_path, ["n", 1, 6, 7], nodes, constants, "y", opset=18)
    mine.check(np.array(normal((4, 1, 6, 7), "float32")), [layer])


IMAGE, K = ["n", 1, 6, 6], np.ones((1, 1, 3, 3), F)
BAD = [
    (["n", 3], [("Clip", ["x", "a", "b"], "y", {})], {"a": F(-1), "b": F(1)},
     r"\(Clip\): expected min = 0, and max = 6 or none, got -1.0 and 1.0"),
    (["n", 3], [("Selu", ["x"], "y", {"alpha": 2.0})], {}, r"\(Selu\): expected alpha = 1.6733, gamma = 1.0507, got"),
    (["n", 3], [("HardSigmoid", ["x"], "y", {})], {}, r"\(HardSigmoid\): expected alpha = 1/6, beta = 0.5, got 0"),
    (["n", 3], [("Shrink", ["x"], "y", {"bias": 2.0})], {}, r"\(Shrink\): expected bias = 0 or lambd, got 2.0 and 0.5"),
    (["n", 3], [("Neg", ["x"], "y", {})], {}, r"\(Neg\): expected Softplus behind it, for log σ, got none"),
    ([4, 3], [("Reshape", ["x", "s"], "y", {})], {"s": np.array([2, -1])}, r"\(Reshape\): expected a row for each"),
    (["n", 3], [("Reshape", ["x", "s"], "y", {})], {"s": np.array([0, 2])}, r"\(Reshape\): expected a row for each"),
    (["n", 3], [("Unsqueeze", ["x", "s"], "y", {})], {"s": np.array([0])}, r"\(Unsqueeze\): expected axes of the exa"),
    (["n", 4, 3], [("Reshape", ["x", "s"], "r", {}), ("InstanceNormalization", ["r", "w", "w"], "y", {})],
     {"s": np.array([0, 2, 6]), "w": np.ones(2, F)}, r"\(InstanceNormalization\): expected groups of channels without"),
    (["n", 3], [("Einsum", ["x"], "y", {"equation": "ij->ij"})], {}, r"'y' \(Einsum\): expected an operator"),
    (["n", 3], [("Mul", ["x", "c"], "y", {})], {"c": F(2)}, r"'y' \(Mul\): expected an operator"),
    (["n", 2, 3], [("MatMul", ["x", "w"], "u", {}), ("Add", ["u", "b"], "y", {})], {"w": W, "b": np.ones((2, 1), F)},
     r"'y' \(Add\): expected an operator"),        # one number for each row, not for each feature
    (["n", 3], [("MatMul", ["x", "w"], "u", {}), ("Add", ["u", "b"], "y", {})], {"w": W, "b": np.ones((1, 1, 2), F)},
     r"'y' \(Add\): expected an operator"),        # another axis before the batch
    ([2, 3], [("Gemm", ["x", "w", "b"], "y", {})], {"w": W, "b": np.ones((2, 1), F)},
     r"\(Gemm\): expected a bias of 2 numbers, one for each output, got \(2, 1\)"),
    ([3, 3], [("Sub", ["x", "m"], "u", {}), ("Div", ["u", "d"], "y", {})], {"m": np.ones((3, 1), F), "d": F(2)},
     r"\(Sub\): expected a mean that is one number, or one for each feature, got \(3, 1\)"),
    *[(["n", 3], [("Sub", ["x", "d"], "u", {}), ("Div", ["u", "d"], "y", {})], {"d": np.array(d, F)},
       r"\(Div\): expected deviations > 0 whose squares are numbers of their dtype, got")
      for d in ([1, 2, -3], [1, 0, 1], 1e-16, 1e20)],
    (["n", 3], [("Gemm", ["x", "w"], "y", {"alpha": 2.0})], {"w": W}, r"'y' \(Gemm\): expected alpha = 1.0, got 2.0"),
    (["n", 3], [("MatMul", ["x", "w"], "u", {}), ("Add", ["u", "w"], "y", {})], {"w": F(2)}, "a weight of two axes"),
    (["n", "t", 3], [("MatMul", ["x", "w"], "u", {}), ("Softmax", ["u"], "y", {"axis": 2})], {"w": W},
     "got .n, 2.; where examples have more axes, a file with all sizes of its input says so$"),
    (["n", 4], [("MatMul", ["x", "w"], "y", {})], {"w": W}, r"'y' \(MatMul\): expected a layer that fits"),
    (["n", 3], [("MatMul", ["w", "x"], "y", {})], {"w": W}, r"'y' \(MatMul\): expected 'x' as its first input"),
    (IMAGE, [("Softmax", ["x"], "y", {"axis": 0})], {}, r"\(Softmax\): expected an axis of an example, got axis = 0"),
    (IMAGE, [("AveragePool", ["x"], "y", {"kernel_shape": [3, 3], "auto_pad": "SAME"})], {},
     r"expected auto_pad = 'NOTSET', 'VALID'"),
    (["n", 1, "h", "w"], [("Conv", ["x", "k"], "y", {"auto_pad": "SAME_UPPER", "strides": [2, 2]})], {"k": K},
     r"\(Conv\): expected an input whose shape the file tells, with auto_pad = 'SAME_UPPER'"),
    (IMAGE, [("MaxPool", ["x"], "y", {"kernel_shape": [2, 2], "pads": [2, 0, 0, 0]})], {}, r"padding: expected less"),
    (IMAGE, [("Pad", ["x", "p"], "u", {}), ("Relu", ["u"], "y", {})], {"p": np.array([0, 0, 1, 1, 0, 0, 1, 1])},
     r"\(Pad\): expected Conv, AveragePool or MaxPool behind it, got Relu"),
    (IMAGE, [("Pad", ["x", "p"], "u", {}), ("MaxPool", ["u"], "y", {"kernel_shape": [2, 2]})],
     {"p": np.array([0, 0, 1, 1, 0, 0, 1, 1])}, r"\(Pad\): expected padding with -inf before MaxPool, or 0, got 0.0"),
    *[(IMAGE, [("MaxPool", ["x"], "y", {"kernel_shape": [2, 2], key: [0, 1]})], {}, rf"{key} >= 1 of two axes, got")
      for key in ("strides", "dilations")],
    (IMAGE, [("ConvTranspose", ["x", "k"], "y", {"strides": [1]})], {"k": K}, r"strides >= 1 of two axes, got \[1\]"),
    (IMAGE, [("Resize", ["x", "", "s"], "y", {"nearest_mode": "up"})], {"s": np.array([1, 1, 2, 2], F)},
     r"\(Resize\): expected the pixels that Upsample looks at, got mode 'nearest', 'half_pixel', 'up'"),
    *[(IMAGE, [("Resize", ["x", "", "s"], "y", {})], {"s": np.array([1, 1, 2, scale], F)},
       r"\(Resize\): expected scales that give 1 to") for scale in (0, -1, 1e30, np.inf, np.nan)],
    (IMAGE, [("Resize", ["x", "", "", "s"], "y", {})], {"s": np.array([1, 1, 2**40, 3])},
     r"\(Resize\): expected sizes from 1 to"),
    (["n", 3, 3], [("Mul", ["x", "x"], "q", {}), ("ReduceMean", ["q"], "m", {"axes": [-1], "keepdims": 0}),
                   ("Add", ["m", "e"], "a", {}), ("Sqrt", ["a"], "r", {}), ("Div", ["x", "r"], "d", {}),
                   ("Mul", ["d", "w"], "y", {})], {"e": F(1e-5), "w": np.ones(3, F)},
     r"\(Mul\): expected a chain of layers, a known formula"),
    (["n", 3], [("Pad", ["x", "p"], "u", {}), ("Conv", ["u", "k"], "y", {})],
     {"p": np.array([0, 0, 1, 1, 0, 0, 1, 1]), "k": K}, r"\(Pad\): expected pads >= 0 of height .* of \(3,\)"),
    (["n"], [("Slice", ["x", "a", "e", "o"], "y", {})],
     {"a": np.array([0]), "e": np.array([3]), "o": np.array([1])}, r"expected a layer that fits, got Select"),
    (IMAGE, [("Resize", ["x", "", "s"], "y", {"mode": "cubic"})], {"s": np.array([1, 1, 2, 2], F)},
     r"\(Resize\): expected the pixels that Upsample looks at, got mode 'cubic'"),
    (IMAGE, [("Resize", ["x", "", "s"], "y", {"nearest_mode": "ceil"})], {"s": np.array([1, 1, 2, 2], F)},
     r"\(Resize\): expected the pixels that Upsample looks at, got mode 'nearest', 'half_pixel', 'ceil'"),
    (IMAGE, [("Resize", ["x", "", "s"], "y", {"mode": "linear", "coordinate_transformation_mode": "align_corners"})],
     {"s": np.array([1, 1, 1.6, 2], F)}, r"expected scales that give whole sizes, with 'align_corners'"),
    (IMAGE, [("Resize", ["x", "", "s"], "y", {})], {"s": np.array([1, 3, 2, 2], F)}, r"not another batch or channels"),
    (IMAGE, [("Flatten", ["x"], "y", {"axis": 2})], {}, r"\(Flatten\): expected axis = 1, got 2"),
    (["n", 3], [("Relu", ["x"], "y", {}), ("Tanh", ["y"], "z", {})], {}, r"\(Tanh\): expected a chain of layers"),
    (["n", 3], [("Slice", ["x", "a", "e", "o", "t"], "y", {})],
     {"a": np.array([0]), "e": np.array([3]), "o": np.array([1]), "t": np.array([2])}, r"\(Slice\): expected axis 1"),
    (["n", 3], [("Cast", ["x"], "i", {"to": 7}), ("Gather", ["w", "i"], "y", {"axis": 1})], {"w": W}, "axis = 0, got"),
    (["n", 3], [("Cast", ["x"], "i", {"to": 7}), ("Abs", ["i"], "y", {})], {}, r"\(Cast\): expected Gather behind"),
    (["n", 3], [("Relu", ["x"], "a", {}), ("Tanh", ["x"], "b", {}), ("Concat", ["a", "b"], "y", {"axis": 0})], {},
     r"\(Concat\): expected axis = 1, got 0"),
    (["n", 3], [("Relu", ["x"], "a", {}), ("Tanh", ["a"], "b", {}), ("Sigmoid", ["a"], "c", {}),
                ("Relu", ["b"], "d", {}), ("Sum", ["b", "c", "d"], "y", {})], {}, r"\(Tanh\): expected a chain of"),
    (["n", 3], [("Relu", ["x"], "a", {}), ("Tanh", ["x"], "b", {}), ("Mul", ["a", "b"], "y", {})], {},
     r"\(Relu\): expected a chain of layers, a known formula"),
]  # fmt: skip


@pytest.mark.parametrize(("shape", "nodes", "constants", "message"), BAD)
def test_what_it_cannot_say_is_named(tmp_path, shape, nodes, constants, message):
    mine = Mine(tmp_path, shape, nodes, constants, "y")
    with pytest.raises(ValueError, match=rf"mine.onnx: (node )?.*{message}"):
        load(mine.path)


def test_foreign_and_hostile_files(fast, tmp_path):
    export(fast.Sequential(fast.Linear(2, 3)), path := tmp_path / "model.onnx")
    content = path.read_bytes()
    for damaged in (b"", b"\x00" * 50, content[:-7], content[: len(content) // 2], b"PK\x03\x04" + content):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"model.onnx: "):
            load(path)
    fast.Sequential(fast.Linear(2, 3)).save(path)
    with pytest.raises(ValueError, match=r"model.onnx: expected an ONNX file"):
        load(path)
    with pytest.raises(OSError, match=r"no.onnx"):
        load(tmp_path / "no.onnx")


@pytest.mark.parametrize("place", ["../secret", "/etc/passwd", "", "gone.data"])
def test_values_in_another_place_are_not_read(tmp_path, place):
    (tmp_path / "secret").write_bytes(b"\x00" * 64)
    (tmp_path / "in").mkdir()
    mine = Mine(tmp_path / "in", ["n", 3], [("MatMul", ["x", "w"], "y", {})], {"w": W}, "y")
    tensor = mine.model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", place
    mine.path.write_bytes(mine.model.SerializeToString())
    with pytest.raises(ValueError, match=r"mine.onnx: expected an ONNX file.*'w' has its values in"):
        load(mine.path)


def test_values_beside_the_file(tmp_path):
    mine = Mine(tmp_path, ["n", 3], [("MatMul", ["x", "w"], "y", {})], {"w": W}, "y")
    onnx.save(mine.model, mine.path, save_as_external_data=True, location="mine.onnx.data", size_threshold=0)
    np.testing.assert_array_equal(load(mine.path).layers[0].weight, W)


def test_a_huge_shape_takes_no_memory(tmp_path):
    mine = Mine(tmp_path, ["n", 3], [("MatMul", ["x", "w"], "y", {})], {"w": W}, "y")
    mine.model.graph.initializer[0].dims[0] = 2**40
    mine.path.write_bytes(mine.model.SerializeToString())
    with pytest.raises(ValueError, match=r"mine.onnx: "):
        load(mine.path)


def test_other_kinds_of_input(tmp_path):
    relu = [("Relu", ["x"], "y", {})]
    for more, message in ({"kind": TensorProto.INT64}, "float32 or float64"), ({"opset": 8}, "set: expected 9 to"):
        mine = Mine(tmp_path, ["n", 3], relu, {}, "y", **more)
        with pytest.raises(ValueError, match=message):
            load(mine.path)


def test_errors_of_export(fast, tmp_path):
    class Half(fast.CustomLayer):
        def forward_pass(self, x, training):
            return x / 2

    path = tmp_path / "model.onnx"
    with pytest.raises(ValueError, match=r"^1\.0: expected a layer that ONNX can say, got Half"):
        export(fast.Sequential(fast.Linear(2, 2), fast.Sequential(Half())), path, input_shape=(2,))
    with pytest.raises(ValueError, match=r"^input_shape: expected the shape of one example"):
        export(fast.Sequential(fast.Conv2d(1, 2, 3)), path)
    with pytest.raises(ValueError, match=r"^input_shape: Linear: expected \(\.\.\., 2\) per example, got \(3,\)$"):
        export(fast.Sequential(fast.Linear(2, 2)), path, input_shape=(3,))
    with pytest.raises(TypeError, match=r"^model: expected a model or a layer, got int"):
        export(3, path)
    for metadata in {"epochs": 3}, {3: "epochs"}, ["epochs"]:
        with pytest.raises(TypeError, match=r"^metadata: expected a dict from key to text, got"):
            export(fast.Sequential(fast.Linear(2, 2)), path, metadata=metadata)
    assert not path.exists()


def test_every_argument_is_known(fast, monkeypatch, tmp_path):
    """A layer that gains an option is an error until the exporter says what it means."""
    module = sys.modules["fastnn.onnx.export"]           # the package has the function of that name
    public = [getattr(fast, name) for name in fast.__all__]
    kinds = [kind for kind in public if isinstance(kind, type) and issubclass(kind, fast.Layer)]
    for kind in kinds:
        assert {each.name for each in signature(kind)} == set(module.ARGUMENTS.get(kind.__name__, ())), kind
    monkeypatch.setitem(module.ARGUMENTS, "MaxPool2d", ["kernel_size", "stride"])
    model = fast.Sequential(fast.Residual(fast.Sequential(fast.ReLU(), fast.MaxPool2d(1))))
    with pytest.raises(ValueError, match=r"^0.block.1: MaxPool2d.padding: expected arguments that ONNX files can say"):
        export(model, tmp_path / "model.onnx", input_shape=(1, 2, 2))
    assert not (tmp_path / "model.onnx").exists()


def test_settings_and_initial_values_are_not_in_it(fast, tmp_path):
    def make(init):
        return fast.Sequential(fast.Linear(3, 3, init=init), fast.BatchNorm1d(3), dtype="float32")

    for init in (fast.Init("he_normal", gain=0.1), np.ones((3, 3)), lambda shape, seed: np.ones(shape)):
        model = make(init)
        model[0].lr_scale = 0.1
        model.trainable = False
        export(model, path := tmp_path / "model.onnx")
        np.testing.assert_array_equal(load(path)(W.T), model(W.T))


def test_a_file_of_pytorch(fast, tmp_path):
    """Exported by PyTorch's own exporter: predicts, and goes on training."""
    torch = pytest.importorskip("torch", reason="PyTorch is missing: its ONNX files are NOT read")
    pytest.importorskip("onnxscript", reason="onnxscript is missing: PyTorch's ONNX files are NOT read")
    import warnings

    nn = torch.nn
    module = nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4), nn.SiLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(4, 6), nn.GELU(), nn.LayerNorm(6), nn.Linear(6, 3), nn.LogSoftmax(dim=-1)).eval()
    x = torch.randn(5, 1, 6, 6)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(module, (x,), tmp_path / "net.onnx", dynamo=True, verbose=False,
                          dynamic_shapes=({0: torch.export.Dim("n")},))
    model = load(tmp_path / "net.onnx")
    np.testing.assert_allclose(model(x.numpy()), module(x).detach().numpy(), atol=2e-6)
    assert np.isfinite(model.step(x.numpy(), np.arange(5) % 3, fast.CrossEntropyLoss(), fast.SGD()))


@pytest.mark.parametrize("seed", [5, {"init": 1, "masks": 7}])
def test_a_layer_inside_a_model(nn, tmp_path, seed):
    """The draws of a sampled DropConnect are those of its place in the whole model, and of the seed of masks."""
    layer = nn.DropConnect(3, 2, 0.3, activation="tanh", samples=8)
    model = nn.Sequential(nn.Linear(2, 3), nn.Dropout(0.5), layer, seed=seed, dtype="float32")
    export(model, path := tmp_path / "model.onnx")
    x = np.array(normal((4, 2), "float32"))
    got = ReferenceEvaluator(str(path)).run(None, {"x": x})[0]
    np.testing.assert_allclose(got, model(x), atol=1e-6)


def test_a_part_of_a_model_of_a_users_class(nn, tmp_path):
    """It takes no number for its draws, as Sequential takes none."""
    class Chain(nn.Sequential):
        pass

    part = Chain(nn.Linear(2, 3), nn.DropConnect(3, 2, 0.3, activation="tanh", samples=8), dtype="float32")[:]
    export(part, path := tmp_path / "model.onnx")
    x = np.array(normal((4, 2), "float32"))
    np.testing.assert_allclose(ReferenceEvaluator(str(path)).run(None, {"x": x})[0], part(x), atol=1e-6)


def test_command_line(fast, tmp_path, capsys):
    from fastnn import cli

    model = fast.Sequential(fast.Conv2d(1, 2, 3), fast.Flatten(), fast.Linear(8, 3), dtype="float32")
    model.save(tmp_path / "model.safetensors")
    wanted = [str(tmp_path / "model.safetensors"), str(tmp_path / "out.onnx")]
    assert cli.main(["export", *wanted]) == 2
    assert "--input-shape: expected" in capsys.readouterr().err
    assert cli.main(["export", *wanted[:1], str(tmp_path / "out.pt")]) == 2
    assert cli.main(["export", *wanted, "--input-shape", "1,4,x"]) == 2
    assert cli.main(["export", *wanted, "--input-shape", "1,4,4"]) == 0
    assert "x (batch, 1, 4, 4) -> y (batch, 3)" in capsys.readouterr().out
    again = load(tmp_path / "out.onnx")
    same_parameters(again, model)


def test_the_way_of_a_new_user(runtime, tmp_path):
    """The commands and the program of docs/interchange.md print what stands there, and times."""
    pytest.importorskip("sklearn")
    page = (Path(__file__).parents[1] / "docs" / "interchange.md").read_text("utf-8")
    commands, program, printed = re.findall(r"^```(?:sh|python)?\n(.+?)^```", page, re.M | re.S)[:3]
    assert commands.startswith("pip install")
    (tmp_path / "run.py").write_text(program)
    lines = [*commands.replace("fastnn ", f"{sys.executable} -m fastnn ").splitlines()[1:], f"{sys.executable} run.py"]
    found = [subprocess.run(line, shell=True, cwd=tmp_path, capture_output=True, text=True, check=True,
                            env=os.environ | {"COLUMNS": "80"}).stdout for line in lines]
    for line in printed.splitlines():
        assert line in "".join(found)


def test_a_link_or_a_pipe_is_written_into(fast, tmp_path):
    """As by ``model.save``: to put a file in their place would be the end of /dev/null, for a user who may."""
    pytest.importorskip("onnx")
    model, expected = fast.Sequential(fast.Linear(3, 2)), tmp_path / "expected"
    export(model, expected)
    (tmp_path / "file").write_text("old")
    (tmp_path / "link").symlink_to("file")
    export(model, tmp_path / "link")
    assert (tmp_path / "link").is_symlink() and (tmp_path / "file").read_bytes() == expected.read_bytes()
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    export(model, tmp_path / "pipe")
    assert os.read(reader, 10_000) == expected.read_bytes() and (tmp_path / "pipe").is_fifo()
    os.close(reader)
