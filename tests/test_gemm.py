"""The matrix product of the kernels: every size that a tile dislikes, all transposes, the epilogue."""

import itertools

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.cases import ELEMENTWISE
from tests.check import close, guarded, normal, python, randomise_biases, randomise_statistics, same
from tests.pairwise import pairwise

TILES = (6, 8, 16, 24, 32, 48, 72, 96)
SIZES = sorted({1, 2, 3, 5, *(t + d for t in TILES for d in (-1, 0, 1)), 97, 131})
DEPTHS = itertools.cycle([1, 2, 3, 5, 8, 17, 31, 64, 129])
LONG = [
    (1, 10_000, 3),
    (10_000, 1, 3),
    (3, 5, 10_000),
    (10_000, 17, 5),
    (15, 10_000, 49),
    (1, 1, 10_000),
    (257, 263, 521),
]
EMPTY = [(0, 5, 3), (5, 0, 3), (5, 3, 0), (0, 0, 0), (1, 1, 0), (0, 5, 0)]
ORDERS = [(False, False), (True, False), (False, True), (True, True)]


def operands(m, n, k, dtype, order, whole=True):
    """a (m, k) and b (k, n), each plain or the transpose of an array; in whole numbers no product rounds."""
    a, b = normal((m, k), dtype, seed=1), normal((k, n), dtype, seed=2)
    if whole:
        a, b = np.rint(3 * a), np.rint(3 * b)
    return (np.ascontiguousarray(v.T).T if t else v for v, t in zip((a, b), order, strict=True))


def exact(a, b, bias=0.0):
    return a.astype(np.float64) @ b.astype(np.float64) + np.asarray(bias, np.float64)


def test_every_size(fast, isa, dtype):
    """Whole numbers, so nothing rounds and any wrong element shows. Each width, and each height, in each order."""
    assert len(SIZES) % 2  # so no width, and no height, keeps to one order
    for (m, n), k, order in zip(itertools.product(SIZES, SIZES), DEPTHS, itertools.cycle(ORDERS), strict=False):
        a, b = operands(m, n, k, dtype, order)
        got = fast._kernels.gemm(a, b)
        assert got.dtype == dtype
        assert np.array_equal(got, exact(a, b)), (m, n, k)


@pairwise("isa*dtype", order=ORDERS, size=LONG)
def test_long_edges(fast, isa, dtype, order, size):
    a, b = operands(*size, dtype, order)
    assert np.array_equal(fast._kernels.gemm(a, b), exact(a, b))


@pairwise("isa*dtype", order=ORDERS, size=EMPTY)
def test_empty_edges(fast, isa, dtype, order, size):
    m, n, k = size
    a, b = np.zeros((k, m) if order[0] else (m, k), dtype), np.zeros((n, k) if order[1] else (k, n), dtype)
    a, b = a.T if order[0] else a, b.T if order[1] else b
    bias = np.arange(n, dtype=dtype) - 1
    same(fast._kernels.gemm(a, b), np.zeros((m, n), dtype))
    same(fast._kernels.gemm(a, b, bias, "relu"), np.tile(np.maximum(bias, 0), (m, 1)).astype(dtype))


@pytest.mark.slow
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])     # all examples on one instruction set
@given(
    m=st.integers(1, 150), n=st.integers(1, 150), k=st.integers(1, 300), bias=st.booleans(),
    order=st.sampled_from(ORDERS),
)  # fmt: skip
def test_rounding(fast, isa, dtype, order, m, n, k, bias):
    """|error| <= (K+1) · eps · (|A|@|B| + |bias|)."""
    a, b = operands(m, n, k, dtype, order, whole=False)
    shift = normal((n,), dtype, seed=3) if bias else np.zeros(n, dtype)
    got = fast._kernels.gemm(a, b, shift if bias else None)
    close("product", got, exact(a, b, shift), (k + 1) * exact(np.abs(a), np.abs(b), np.abs(shift)))


@pairwise("isa*dtype", name=[a.name for a in ELEMENTWISE], order=ORDERS, bias=[False, True])
def test_epilogue(fast, isa, dtype, order, name, bias):
    """The activation in the epilogue gives the bits of the activation afterwards."""
    for m, n, k in [(1, 1, 1), (1, 17, 5), (9, 49, 7), (15, 33, 64), (65, 47, 131), (9, 33, 2053), (13, 131, 0)]:
        a, b = operands(m, n, k, dtype, order, whole=False)
        shift = normal((n,), dtype, seed=3) if bias else None
        want = fast._kernels.activation(name, fast._kernels.gemm(a, b, shift))
        same(fast._kernels.gemm(a, b, shift, name), want, (m, n, k))


@pairwise("isa*dtype", order=ORDERS, gap=[0, 1, 13])
def test_nothing_outside_is_touched(fast, isa, dtype, order, gap):
    """Operands lie between NaNs, and so does the result, row by row."""
    for m, n, k in [
        (1, 1, 1),
        (7, 15, 3),
        (8, 16, 8),
        (9, 49, 17),
        (15, 33, 64),
        (49, 65, 31),
        (97, 131, 63),
    ]:
        a, b = operands(m, n, k, dtype, order)
        a, b = (guarded(v.T, gap)[0].T if t else guarded(v, gap)[0] for v, t in zip((a, b), order, strict=True))
        bias = guarded(np.arange(n, dtype=dtype)[None])[0][0]
        c, intact = guarded(np.full((m, n), 7, dtype), gap)
        got = fast._kernels.gemm(a, b, bias, c=c)
        assert np.shares_memory(got, c)
        assert np.array_equal(c, exact(a, b, bias)), (m, n, k)
        assert intact(), (m, n, k)
        fast._kernels.gemm(a, b, bias, "relu", c=c)
        assert np.array_equal(c, np.maximum(exact(a, b, bias), 0)), (m, n, k)
        assert intact(), (m, n, k)


@pairwise("isa*dtype", columns=[False, True], gap=[0, 1, 13])
def test_narrow(fast, isa, dtype, columns, gap):
    """Few columns and a transposed first operand, as in dW of an output layer; more rows than go at a time."""
    for m, n, k in [(33, 1, 16), (131, 2, 31), (300, 3, 17), (257, 7, 64), (128, 10, 300), (131, 17, 33)]:
        a, b = operands(m, n, k, dtype, (True, columns))
        c, intact = guarded(np.full((m, n), 7, dtype), gap)
        fast._kernels.gemm(a, b, c=c)
        assert np.array_equal(c, exact(a, b)), (m, n, k)
        assert intact(), (m, n, k)
        rows = [fast._kernels.gemm(np.ascontiguousarray(a)[i:i + 1], b)[0] for i in (0, m // 2, m - 1)]
        same(c[[0, m // 2, m - 1]], np.array(rows))


@pairwise("isa*dtype", columns=[False, True], gap=[0, 1, 13])
def test_few_rows(fast, isa, dtype, columns, gap):
    """Wide products of few rows, which read b row by row; wider than a row of c that goes at a time."""
    for m, n, k in [(1, 127, 9), (1, 128, 4), (1, 133, 1), (2, 255, 5), (2, 256, 0), (3, 263, 3), (4, 300, 8),
                    (4, 2051, 7), (1, 2300, 6), (5, 259, 9), (5, 1024, 6), (6, 512, 5), (6, 2048, 4)]:
        a, b = operands(m, n, k, dtype, (columns, False))
        b, bias = guarded(b, gap)[0], guarded(np.arange(n, dtype=dtype)[None])[0][0]
        c, intact = guarded(np.full((m, n), 7, dtype), gap)
        fast._kernels.gemm(a, b, bias, "relu", c=c)
        assert np.array_equal(c, np.maximum(exact(a, b, bias), 0)), (m, n, k)
        fast._kernels.gemm(a, b, c=c)
        assert np.array_equal(c, exact(a, b)), (m, n, k)
        assert intact(), (m, n, k)


def test_few_rows_have_the_bits_of_many(fast, isa, dtype, threads):
    """With a bias, with a BatchNorm and an activation behind the product, and where its input is kept for backward."""
    layers = (fast.Linear(70, 2300, activation="gelu"), fast.Linear(2300, 1100, bias=False), fast.BatchNorm1d(1100),
              fast.SiLU(), fast.Linear(1100, 300, activation="tanh"), fast.Linear(300, 3), fast.Softmax())
    model, x = fast.Sequential(*layers, seed=1, dtype=dtype), normal((9, 70), dtype)
    model.state_dict()
    randomise_biases(model)
    randomise_statistics(model)
    want = model(x)
    for count in (1, 2):
        threads(count)
        for rows in (1, 2, 3, 4, 5):
            same(model(x[:rows]), want[:rows])
    gelu = fast.Sequential(fast.Linear(70, 300, activation="gelu"), seed=1, dtype=dtype)
    whole, dx = gelu.forward(x, training=True), gelu.backward(np.ones((9, 300), dtype))
    for rows in (1, 4):
        same(gelu.forward(x[:rows], training=True), whole[:rows])
        same(gelu.backward(np.ones((rows, 300), dtype)), dx[:rows])


def test_any_stride(fast, isa, dtype):
    for m, n, k in [(9, 17, 7), (101, 113, 67)]:
        a, b = operands(m, n, k, dtype, (False, False))
        big_a, big_b = np.zeros((2 * m, 3 * k), dtype), np.zeros((2 * k, 2 * n), dtype)
        big_a[::2, ::3], big_b[::2, ::2] = a, b
        same_row, same_column = np.broadcast_to(a[:1], (m, k)), np.broadcast_to(a[:, :1], (m, k))
        for left, right in [
            (big_a[::2, ::3], big_b[::2, ::2]),
            (a[::-1, ::-1], b[::-1, ::-1]),
            (same_row, b),
            (same_column, b),
        ]:
            assert np.array_equal(fast._kernels.gemm(left, right), exact(left, right))


def test_a_result_is_overwritten(fast, isa, dtype):
    """Old contents of c, NaN among them, do not count."""
    for m, n, k in [(3, 5, 2), (9, 49, 700), (3, 5, 0)]:
        a, b = operands(m, n, k, dtype, (False, False))
        c = np.full((m, n), np.nan, dtype)
        fast._kernels.gemm(a, b, c=c)
        assert np.array_equal(c, exact(a, b))


@pytest.mark.parametrize("order", ORDERS)
def test_nan_and_infinity_stay_in_their_row_and_column(fast, isa, dtype, order):
    a, b = operands(67, 53, 9, dtype, order)
    a, b = np.copy(a, order="K"), np.copy(b, order="K")
    a[3, 5], b[2, 20] = np.nan, np.inf
    a[:, 2] = np.abs(a[:, 2]) + 1
    got = fast._kernels.gemm(a, b)
    assert np.isnan(got[3]).all()
    assert np.isposinf(np.delete(got[:, 20], 3)).all()
    assert np.isfinite(np.delete(np.delete(got, 3, axis=0), 20, axis=1)).all()


@pytest.mark.parametrize("k", [521, 16700])
@pytest.mark.parametrize("order", ORDERS)
def test_an_element_does_not_depend_on_its_place(fast, isa, dtype, order, k):
    """One chain of multiply-adds in k order, or a sum of such chains: tiling and packing never show in the bits."""
    a, b = operands(97, 131, k, dtype, order, whole=False)
    whole = fast._kernels.gemm(a, b)
    for i, j in [(0, 0), (13, 47), (48, 64), (95, 129), (96, 130)]:
        same(fast._kernels.gemm(a[i : i + 1], b), whole[i : i + 1])
        same(fast._kernels.gemm(a, b[:, j : j + 1]), whole[:, j : j + 1])
        same(fast._kernels.gemm(a[i : i + 1], b[:, j : j + 1]), whole[i : i + 1, j : j + 1])


def test_transposes_do_not_show(fast, isa, dtype):
    for m, n, k in [(5, 7, 3), (33, 65, 17), (97, 131, 521)]:
        results = [fast._kernels.gemm(*operands(m, n, k, dtype, order, whole=False)) for order in ORDERS]
        for other in results[1:]:
            same(other, results[0])


@pytest.mark.slow
def test_nothing_behind_the_last_page_is_read(isa):
    python(
        """
        import numpy as np, fastnn
        from tests.check import before_the_wall, normal
        for dtype in ("float64", "float32"):
            for m, n, k in [(1, 1, 1), (1, 17, 5), (7, 15, 3), (9, 49, 17), (65, 47, 31), (131, 97, 263)]:
                a, b = normal((m, k), dtype), normal((k, n), dtype)
                bias = before_the_wall(np.zeros(n, dtype))
                for left in (before_the_wall(a), before_the_wall(a.T).T):
                    for right in (before_the_wall(b), before_the_wall(b.T).T):
                        c = before_the_wall(np.zeros((m, n), dtype))
                        fastnn._kernels.gemm(left, right, bias, "gelu", c=c)
        """,
        FASTNN_ISA=isa,
    )
