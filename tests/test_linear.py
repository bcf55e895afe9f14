"""Linear: y = act(x @ W + b) and its three gradients, fused or apart, from any array."""

import copy

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.cases import ACTIVATIONS, FUSED, LINEAR, OTHER_SHAPES_OF_ACTIVATION
from tests.check import check_against_reference, check_gradient, close, guarded, normal, python, readonly, same
from tests.pairwise import chequered, every, pairwise

SIZES = st.sampled_from([1, 2, 3, 5, 7, 8, 9, 13, 15, 16, 17, 31, 33, 47, 49, 63, 65])


def name_of(case):
    return case.name


def products(model, x, dy):
    """Assert y, dx, dW and db of a lone Linear against float64, each to the limit of its own product."""
    layer = model.layers[0]
    y = model.forward(x, training=True)
    dx = model.backward(dy)
    a, g, w = (np.asarray(v, np.float64) for v in (x, dy, layer.weight))
    b = np.asarray(layer.params.get("bias", np.zeros(w.shape[1])), np.float64)
    (n, k), m = x.shape, w.shape[1]
    close("product", y, a @ w + b, (k + 1) * (np.abs(a) @ np.abs(w) + np.abs(b)), "y")
    close("product", dx, g @ w.T, m * (np.abs(g) @ np.abs(w.T)), "dx")
    close("product", layer.grads["weight"], a.T @ g, n * (np.abs(a.T) @ np.abs(g)), "dW")
    if "bias" in layer.grads:
        close("product", layer.grads["bias"], g.sum(axis=0), n * np.abs(g).sum(axis=0), "db")


@given(n=SIZES, k=SIZES, m=SIZES, bias=st.booleans(), name=st.sampled_from(["float32", "float64"]))
def test_formula(nn, n, k, m, bias, name):
    layer = nn.Linear(k, m, bias=bias)
    model = nn.Sequential(layer, dtype=name)
    if bias:
        layer.bias = normal((m,), name, seed=2)
    products(model, normal((n, k), name), normal((n, m), name, seed=1))


@pairwise(
    "isa*dtype", "nn", shape=[(1, 784, 129), (257, 61, 10), (10_000, 3, 2), (2, 10_000, 3), (3, 2, 10_000)])
def test_long_edges(nn, isa, dtype, shape):
    n, k, m = shape
    products(nn.Sequential(nn.Linear(k, m), dtype=dtype), normal((n, k), dtype), normal((n, m), dtype, seed=1))


@pytest.mark.parametrize("case", LINEAR + FUSED, ids=name_of)
def test_gradient(ref, case):
    check_gradient(ref.Sequential(case.make(ref), seed=1, dtype="float64"), normal(case.shape))


@chequered
@pytest.mark.parametrize("case", LINEAR + FUSED, ids=name_of)
def test_engine_agrees(ref, fast, isa, dtype, case):
    check_against_reference(ref, fast, case, dtype)


@pairwise("nn*dtype", case=ACTIVATIONS + OTHER_SHAPES_OF_ACTIVATION,
          shape=[(1, 5, 3), (6, 5, 17), (33, 65, 49), (33, 5, 48)])
def test_fused_equals_apart(nn, dtype, case, shape):
    n, k, m = shape
    fused = nn.Sequential(nn.Linear(k, m, activation=case.make(nn), init="he_uniform"), dtype=dtype)
    apart = nn.Sequential(nn.Linear(k, m, init="he_uniform"), case.make(nn), dtype=dtype)
    x, dy = normal((n, k), dtype), normal((n, m), dtype, seed=1)
    same(fused.forward(x, training=True), apart.forward(x, training=True), "y")
    same(fused.backward(dy), apart.backward(dy), "dx")
    for name in ("weight", "bias"):
        same(fused.layers[0].grads[name], apart.layers[0].grads[name], name)


@every(case=ACTIVATIONS)
def test_activation_by_name(nn, case):
    x = normal((3, 5))
    by_name = nn.Sequential(nn.Linear(5, 7, activation=case.name), dtype="float64")
    by_layer = nn.Sequential(nn.Linear(5, 7, activation=case.make(nn)), dtype="float64")
    same(by_name(x), by_layer(x))


def test_training_does_not_change_what_comes_out(nn, dtype):
    model = nn.Sequential(nn.Linear(7, 5, activation="gelu"), nn.Linear(5, 3), dtype=dtype)
    x = normal((4, 7), dtype)
    same(model.forward(x, training=True), model(x))


def test_backward_sets_and_never_adds(nn):
    model = nn.Sequential(nn.Linear(7, 5, activation="relu"), dtype="float64")
    model.forward(normal((3, 7)), training=True)
    dy = normal((3, 5), seed=1)
    dx = model.backward(dy)
    first = copy.deepcopy(model.layers[0].grads)
    same(model.backward(dy), dx)
    for name in ("weight", "bias"):
        same(model.layers[0].grads[name], first[name])


def test_results_belong_to_the_caller(nn):
    """What forward and backward hand out is not written again by the next call."""
    model = nn.Sequential(nn.Linear(7, 5, activation="relu"), nn.Linear(5, 3), dtype="float64")
    y = model.forward(normal((3, 7)), training=True)
    dx = model.backward(normal((3, 3), seed=1))
    kept = y.copy(), dx.copy()
    model.forward(normal((3, 7), seed=2), training=True)
    model.backward(normal((3, 3), seed=3))
    same(y, kept[0])
    same(dx, kept[1])


def test_weight_is_a_window(nn):
    """layer.weight and layer.params show the values the layer computes with, and writing there counts."""
    layer = nn.Linear(3, 2)
    model = nn.Sequential(layer, dtype="float64")
    layer.params["weight"][...] = [[1, 2], [3, 4], [5, 6]]
    layer.bias[...] = [10, 20]
    same(model(np.array([[1.0, 1, 1]])), np.array([[19.0, 32]]))
    layer.weight = np.zeros((3, 2))
    layer.bias = [1, 2]
    same(model(np.array([[1.0, 1, 1]])), np.array([[1.0, 2]]))
    same(layer.params["weight"], np.zeros((3, 2)))


def test_lone_layer(nn):
    """A layer without a model gets its values at first use: those of a model of one layer with seed 0."""
    layer = nn.Linear(5, 3, activation="relu")
    x = normal((4, 5))
    y = layer.forward(x, training=True)
    dx = layer.backward(np.ones_like(y))
    model = nn.Sequential(nn.Linear(5, 3, activation="relu"))
    same(y, model.forward(x, training=True))
    same(dx, model.backward(np.ones_like(y)))
    assert y.dtype == model.dtype == {"fastnn": np.float32, "fastnn_ref": np.float64}[nn.__name__]


# ---- arrays of every kind ----


def layouts(x):
    wide = np.zeros((2 * x.shape[0], 3 * x.shape[1]), x.dtype)
    wide[::2, ::3] = x
    backwards = readonly(x[::-1, ::-1])[::-1, ::-1]
    unaligned = np.frombuffer(bytearray(b"\0" + x.tobytes()), np.uint8)[1:].view(x.dtype).reshape(x.shape)
    swapped = x.astype(x.dtype.newbyteorder())
    return {
        "fortran": np.asfortranarray(x), "strided": wide[::2, ::3], "backwards": backwards,
        "unaligned": unaligned,
        "swapped": swapped, "list": x.tolist(), "columns": guarded(x, gap=5)[0], "read-only": readonly(x),
    }  # fmt: skip


@pairwise("nn", "dtype", layout=list(layouts(np.ones((1, 1)))))
def test_any_layout(nn, dtype, layout):
    model = nn.Sequential(nn.Linear(7, 5, activation="relu"), nn.Linear(5, 3), dtype=dtype)
    x, dy = normal((4, 7), dtype), normal((4, 3), dtype, seed=1)
    want_y = model.forward(x, training=True)
    want_dx = model.backward(dy)
    same(model.forward(layouts(x)[layout], training=True), want_y)
    same(model.backward(layouts(dy)[layout]), want_dx)


@pairwise("nn", "dtype", kind=["bool", "int8", "uint16", "int64", "float16", "float32", "float64"])
def test_any_kind_of_number(nn, dtype, kind):
    model = nn.Sequential(nn.Linear(7, 5), dtype=dtype)
    x = np.arange(28).reshape(4, 7) % 2
    got = model(x.astype(kind))
    assert got.dtype == dtype
    same(got, model(x.astype(dtype)))


class Exported:
    """An array that only DLPack can see."""

    def __init__(self, array):
        self.array = array

    def __dlpack__(self, **arguments):
        return self.array.__dlpack__(**arguments)

    def __dlpack_device__(self):
        return self.array.__dlpack_device__()


def test_dlpack(nn, dtype):
    model = nn.Sequential(nn.Linear(7, 5), dtype=dtype)
    x = np.array(normal((4, 7), dtype))
    same(model(Exported(x)), model(x))


def test_inputs_stay_as_they_are(nn, dtype):
    x, dy = np.array(normal((4, 7), dtype)), np.array(normal((4, 5), dtype, seed=1))
    kept = x.copy(), dy.copy()
    model = nn.Sequential(nn.Linear(7, 5, activation="relu"), dtype=dtype)
    y = model.forward(x, training=True)
    y[...] = -1  # and what comes out is not what backward reads
    first = model.backward(dy)
    same(x, kept[0])
    same(dy, kept[1])
    model.forward(x, training=True)
    same(model.backward(dy), first)


@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 7, 5), (9, 17, 33)])
def test_nothing_outside_is_read(fast, isa, dtype, shape):
    n, k, m = shape
    model = fast.Sequential(fast.Linear(k, m, activation="relu"), dtype=dtype)
    x, x_intact = guarded(normal((n, k), dtype))
    dy, dy_intact = guarded(normal((n, m), dtype, seed=1))
    results = model.forward(x, training=True), model.backward(dy), *model.layers[0].grads.values()
    assert all(np.isfinite(r).all() for r in results)
    assert x_intact()
    assert dy_intact()


@pytest.mark.slow
def test_nothing_behind_the_last_page_is_read(isa):
    """Inputs are read in place: here the byte behind them belongs to nobody."""
    python(
        """
        import numpy as np, fastnn as nn
        from tests.check import before_the_wall, normal
        for dtype in ("float64", "float32"):
            for n, k, m in [(1, 1, 1), (3, 7, 5), (9, 17, 33), (65, 47, 15)]:
                for name in ("relu", "gelu", "softmax"):
                    model = nn.Sequential(nn.Linear(k, m, activation=name), dtype=dtype)
                    x = before_the_wall(normal((n, k), dtype))
                    dy = before_the_wall(normal((n, m), dtype, seed=1))
                    t = before_the_wall(np.zeros((n, m), dtype))
                    model.forward(x, training=True)
                    model.backward(dy)
                    model.step(x, t, nn.MSELoss(), nn.Adam())
                    model.run_epoch(x, t, nn.BCEWithLogitsLoss(), nn.SGD(), batch_size=2)
        """,
        FASTNN_ISA=isa,
    )
