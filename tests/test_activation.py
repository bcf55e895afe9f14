"""Activations: against mpmath, at the ends of the number line, what a derivative must not do."""

import functools

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests import oracle
from tests.cases import ACTIVATIONS, ALONE, ELEMENTWISE, OTHER_SHAPES_OF_ACTIVATION
from tests.check import TINY, check_against_reference, check_gradient, close, normal, readonly, same
from tests.pairwise import chequered, every, pairwise

LADDER = [
    0.0,
    1e-30,
    1e-10,
    1e-4,
    0.01,
    0.1,
    0.3,
    0.7,
    1.0,
    1.5,
    2.0,
    3.0,
    4.5,
    6.0,
    9.0,
    13.0,
    20.0,
    40.0,
    87.0,
    100.0,
]
FORMULAS = {case.name: case for case in ELEMENTWISE + OTHER_SHAPES_OF_ACTIVATION}
U = np.array(sorted({sign * u for u in LADDER for sign in (-1, 1)}), np.float32)


def name_of(case):
    return case.name


@functools.cache
def value_and_derivative(name):
    """f(U) and f'(U) as float64; 320 digits, since gelu's estimate has 1 + tanh(b), which is 2·exp(2b) far below 0."""
    case, u = FORMULAS[name], U
    f = oracle.ACTIVATIONS[name.split()[0]]
    exact = {k: mpmath.mpf(float(v)) for k, v in case.arguments.items() if k != "approximate"}
    with oracle.digits(320):
        points = [mpmath.mpf(float(v)) for v in u]
        values = [f(p, **exact) for p in points]
        slopes = [mpmath.diff(lambda v: f(v, **exact), p, direction=1 if p > 0 else -1) for p in points]
    return np.array(values, float), np.array(slopes, float)


def scale_of(dtype, u, y, slope):
    """The size of y and of what rounding u does to it."""
    return np.abs(y) + np.abs(u * slope) + TINY[dtype] / np.finfo(dtype).eps


def apply(nn, case, u, dtype, dy=None):
    model = nn.Sequential(case.make(nn), dtype=dtype)
    y = model.forward(np.atleast_2d(u), training=True)[0]
    return y, model.backward(np.atleast_2d(np.ones_like(y) if dy is None else dy))[0]


@chequered
@pytest.mark.parametrize("case", FORMULAS.values(), ids=name_of)
def test_formula(nn, dtype, case):
    u = U.astype(dtype)
    want, slope = value_and_derivative(case.name)
    y, dx = apply(nn, case, u, dtype)
    close("elementwise", y, want, scale_of(dtype, u, want, slope), "y")
    at = u != 0
    close("elementwise", dx[at], slope[at], 1 + np.abs(slope[at]), "dx")


@chequered
@pytest.mark.parametrize("case", ELEMENTWISE, ids=name_of)
def test_formula_on_every_instruction_set(fast, isa, dtype, case):
    u = U.astype(dtype)
    want, slope = value_and_derivative(case.name)
    y = fast._kernels.activation(case.name, u)
    close("elementwise", y, want, scale_of(dtype, u, want, slope), "y")
    at = u != 0
    dx = fast._kernels.activation(case.name, u[at], np.ones_like(u[at]))
    close("elementwise", dx, slope[at], 1 + np.abs(slope[at]), "dx")


@pairwise(
    "nn", "dtype", name=["Softmax", "LogSoftmax"],
    row=[[0.3], [1, 2], [0, 0, 0], [-1000, 0, 3], [1000, 999, 998.5], [-1e4, -1e4], list(range(17))],
)  # fmt: skip
def test_softmax_formula(nn, dtype, name, row):
    with oracle.digits(40):
        exact = (oracle.softmax if name == "Softmax" else oracle.log_softmax)([mpmath.mpf(v) for v in row])
    y = nn.Sequential(getattr(nn, name)(), dtype=dtype)(np.array([row], dtype))[0]
    want = np.array(exact, float)
    conditioned = np.abs(want) + np.abs(row).max() * (np.abs(want) if name == "Softmax" else 1)
    close("elementwise", y, want, len(row) * (conditioned + TINY[dtype] / np.finfo(dtype).eps))


@pytest.mark.parametrize("case", ALONE, ids=name_of)
def test_gradient(ref, case):
    model = ref.Sequential(case.make(ref), dtype="float64")
    check_gradient(model, normal(case.shape, seed=3))


@every(case=ALONE)
def test_engine_agrees(ref, fast, isa, dtype, case):
    check_against_reference(ref, fast, case, dtype)


@every(case=ACTIVATIONS)
def test_nan_stays_nan(nn, dtype, case):
    y, _ = apply(nn, case, np.array([1.0, np.nan, 2.0]), dtype)
    assert np.isnan(y[1])
    assert "softmax" in case.name or np.isfinite(y[[0, 2]]).all()


INFINITE = {  # f(-inf), f(inf)
    "identity": (-np.inf, np.inf),
    "relu": (0, np.inf),
    "leaky_relu": (-np.inf, np.inf),
    "elu": (-1, np.inf),
    "hardswish": (0, np.inf),
    "relu6": (0, 6),
    "celu": (-1, np.inf),
    "hardsigmoid": (0, 1),
    "log_sigmoid": (-np.inf, 0),
    "softshrink": (-np.inf, np.inf),
    "hardshrink": (-np.inf, np.inf),
    "softplus": (0, np.inf),
    "tanh": (-1, 1),
    "sigmoid": (0, 1),
}


@every(case=[a for a in ACTIVATIONS if a.name in INFINITE])
def test_infinity(nn, dtype, case):
    y, _ = apply(nn, case, np.array([-np.inf, np.inf]), dtype)
    assert tuple(y) == INFINITE[case.name]


CLOSED = {"relu": (0, 0, 1), "relu6": (0, 0, 1), "hardsigmoid": (0, 1, 1), "softshrink": (1, 0, 1),
          "hardshrink": (1, 0, 1)}


@every(name=[*CLOSED, "tanh", "sigmoid", "elu", "celu", "selu", "softplus", "softsign"])
def test_a_closed_gate_selects(nn, dtype, name):
    """Where the derivative is 0 an infinite gradient is dropped: inf · 0 would make it NaN."""
    case = next(a for a in ACTIVATIONS if a.name == name)
    _, dx = apply(nn, case, np.array([-3.0, 0.0, 2.9]), dtype, dy=np.array([np.inf, np.inf, np.inf], dtype))
    assert tuple(dx) == tuple(np.inf if each else 0 for each in CLOSED.get(name, (1, 1, 1)))


def test_relu_at_zero(nn, dtype):
    y, dx = apply(nn, ACTIVATIONS[1], np.array([-0.0, 0.0, np.finfo(dtype).tiny]), dtype)
    assert tuple(y) == (0, 0, np.finfo(dtype).tiny)
    assert tuple(dx) == (0, 0, 1)


@given(row=st.lists(st.floats(-50, 50, width=32), min_size=1, max_size=70), rows=st.integers(1, 5))
def test_softmax_is_a_distribution_and_shifts(nn, row, rows):
    x = np.array([row] * rows)
    p = nn.Sequential(nn.Softmax(), dtype="float64")(x)
    log_p = nn.Sequential(nn.LogSoftmax(), dtype="float64")(x)
    close("elementwise", p.sum(axis=-1), np.ones(rows), np.full(rows, float(len(row))))
    close("elementwise", np.exp(log_p), p, 100 * len(row) * (p + 1e-300))
    close("elementwise", nn.Sequential(nn.Softmax(), dtype="float64")(x + 8), p, 100 * len(row) * (p + 1e-300))


@pairwise("isa*dtype", name=["Softmax", "LogSoftmax"], cols=[1, 10, 63, 64, 65, 300])
def test_softmax_of_many_rows(ref, fast, isa, dtype, name, cols):
    """Short rows run side by side, long ones one by one; either way a row does not know where it stands."""
    x = 3 * normal((37, cols), dtype)
    x[5, cols // 2] = np.nan
    model = fast.Sequential(getattr(fast, name)(), dtype=dtype)
    y, want = model(x), ref.Sequential(getattr(ref, name)())(x.astype(float))
    same(np.isnan(y).all(axis=1), np.arange(37) == 5)
    scale = cols * (np.abs(want) + np.nanmax(np.abs(x)) * (np.abs(want) if name == "Softmax" else 1))
    close("elementwise", np.delete(y, 5, axis=0), np.delete(want, 5, axis=0), np.delete(scale, 5, axis=0))
    for i in (0, 15, 16, 36):
        same(model(x[i : i + 1]), y[i : i + 1])
    x = np.zeros((1, cols), dtype)
    x[0, -1] = 1000                     # exp(1000) overflows, and exp(-1000) is 0
    same(model(x), x - 1000 if name == "LogSoftmax" else x / 1000)


@chequered
@pytest.mark.parametrize("case", ELEMENTWISE, ids=name_of)
def test_a_value_does_not_depend_on_its_place(fast, isa, dtype, case):
    """Vector bodies and their tails give the same bits."""
    for n in (1, 3, 7, 8, 9, 15, 16, 17, 31, 33, 1001):
        u = normal((n,), dtype, seed=2) * 3
        whole = fast._kernels.activation(case.name, u)
        slope = fast._kernels.activation(case.name, u, np.ones_like(u))
        for i in {0, n // 2, n - 1}:
            one = readonly(u[i : i + 1])
            same(fast._kernels.activation(case.name, one), whole[i : i + 1], (n, i))
            same(fast._kernels.activation(case.name, one, np.ones_like(one)), slope[i : i + 1], (n, i))
