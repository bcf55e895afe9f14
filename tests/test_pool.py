"""Pooling and Flatten: which pixels a window sees, who gets the gradient, ties, padding, NaN."""

import numpy as np
import pytest

from tests.cases import POOLS
from tests.check import check_against_reference, check_gradient, close, normal, same
from tests.pairwise import chequered, pairwise


@pytest.mark.parametrize("case", POOLS, ids=lambda case: case.name)
def test_gradient(ref, case):
    check_gradient(ref.Sequential(case.make(ref), seed=1, dtype="float64"), normal(case.shape))


@chequered
@pytest.mark.parametrize("case", POOLS, ids=lambda case: case.name)
def test_engine_agrees(ref, fast, isa, dtype, case):
    check_against_reference(ref, fast, case, dtype)


@pairwise(
    "nn", "dtype", cls=["MaxPool2d", "AvgPool2d"],
    window=[(2, 2, 0), (3, 2, 1), (3, 1, 1), ((1, 4), (2, 3), (0, 2))],
)  # fmt: skip
def test_formula(nn, dtype, cls, window):
    kernel, stride, padding = window
    x = normal((2, 3, 7, 9), dtype)
    y = nn.Sequential(getattr(nn, cls)(kernel, stride, padding), dtype=dtype)(x)
    (kh, kw), (sh, sw), (ph, pw) = (v if isinstance(v, tuple) else (v, v) for v in (kernel, stride, padding))
    assert y.shape == (2, 3, (7 + 2 * ph - kh) // sh + 1, (9 + 2 * pw - kw) // sw + 1)
    for i, j in np.ndindex(y.shape[2:]):
        top, left = i * sh - ph, j * sw - pw
        window = x[:, :, max(top, 0):top + kh, max(left, 0):left + kw].astype(np.float64)
        want = window.max(axis=(2, 3)) if cls == "MaxPool2d" else window.sum(axis=(2, 3)) / (kh * kw)
        assert np.abs(y[:, :, i, j] - want).max() < 1e-6


def window_by_hand(i, side, kernel, stride, padding, dilation):
    """The pixels of window i of one axis, and where the padded image ends that it counts."""
    start = i * stride - padding[0]
    taps = [start + k * dilation for k in range(kernel)]
    counted = [tap for tap in taps if -padding[0] <= tap < side + padding[1]]
    return [tap for tap in taps if 0 <= tap < side], len(counted)


@chequered
@pytest.mark.parametrize("ceil_mode", [False, True])
@pytest.mark.parametrize("padding", [(0, 0), (1, 1), (0, 2), (2, 1)])
@pytest.mark.parametrize(("kernel", "stride"), [(3, 1), (3, 2), (4, 3)])
def test_padding_ceil_mode_and_dilation(nn, kernel, stride, padding, ceil_mode):
    """The definition, pixel by pixel, across; down there is one window of one row."""
    for side, dilation in ((5, 1), (6, 1), (7, 1), (8, 2), (11, 2)):
        x = normal((2, 2, 1, side), "float64")
        last = side + sum(padding) - dilation * (kernel - 1) - 1                # where the last whole window may begin
        count = last // stride + 1
        if ceil_mode and last % stride and count * stride < side + padding[0]:
            count += 1
        arguments = {"stride": (1, stride), "padding": ((0, 0), padding), "ceil_mode": ceil_mode}
        windows = [window_by_hand(j, side, kernel, stride, padding, dilation) for j in range(count)]
        got = nn.Sequential(nn.MaxPool2d((1, kernel), dilation=(1, dilation), **arguments), dtype="float64")(x)
        same(got[:, :, 0], np.stack([x[:, :, 0, pixels].max(axis=-1) for pixels, _ in windows], axis=-1))
        if dilation > 1:
            continue
        for include in (True, False):
            pool = nn.AvgPool2d((1, kernel), count_include_pad=include, **arguments)
            want = [x[:, :, 0, pixels].sum(axis=-1) / (counted if include else len(pixels))
                    for pixels, counted in windows]
            got = nn.Sequential(pool, dtype="float64")(x)
            assert got.shape == (2, 2, 1, count)
            assert np.abs(got[:, :, 0] - np.stack(want, axis=-1)).max() < 1e-12


@pytest.mark.parametrize("size", [1, 2, 3, 5, 8])
def test_bins(nn, size):
    """Bin i is every pixel that the i-th of so many equal parts of the image touches."""
    side = 5
    x = normal((1, 1, side, 1), "float64")[:, :, :, 0].reshape(side)
    parts = [[r for r in range(side) if r * size < (i + 1) * side and (r + 1) * size > i * side] for i in range(size)]
    for cls, of in (("AdaptiveAvgPool2d", np.mean), ("AdaptiveMaxPool2d", np.max)):
        pool = nn.Sequential(getattr(nn, cls)((size, None)), dtype="float64")
        got = pool(x.reshape(1, 1, side, 1))
        assert np.abs(got.ravel() - [of(x[part]) for part in parts]).max() < 1e-15


def test_one_bin_is_the_global_average(nn, dtype):
    x = normal((19, 3, 5, 4), dtype)
    adaptive, whole = (nn.Sequential(layer, dtype=dtype) for layer in (nn.AdaptiveAvgPool2d(1), nn.GlobalAvgPool2d()))
    got, want = adaptive.forward(x, training=True), whole.forward(x, training=True)
    assert got.shape == (19, 3, 1, 1)
    assert np.abs(got[:, :, 0, 0] - want).max() < 1e-6
    same(adaptive.backward(got), np.array(whole.backward(got[:, :, 0, 0])))


@pytest.mark.parametrize("make", [
    lambda nn: nn.AvgPool2d(256), lambda nn: nn.AdaptiveAvgPool2d(1), lambda nn: nn.AvgPool2d((256, 3), stride=100),
    lambda nn: nn.AvgPool2d((3, 256), stride=100), lambda nn: nn.GlobalAvgPool2d(),
])
def test_means_of_large_windows(nn, make):
    """65,536 pixels far from 0, added one after the other, were off by 4e-4 of the mean. Single images and blocks."""
    x = (np.random.default_rng(0).random((17, 1, 256, 256)) + 1000).astype(np.float32)
    pool = nn.Sequential(make(nn), dtype="float32")
    y, exact = pool(x), nn.Sequential(make(nn), dtype="float64")(x.astype(np.float64))
    assert np.abs(y / exact - 1).max() < 2e-7
    same(pool(x[:1]), y[:1], "alone")


def test_dilation_leaves_no_window_empty(nn):
    """Rows −2 and 1 of an image of one row."""
    with pytest.raises(ValueError, match="expected windows that all meet the image, got none of its 1 rows"):
        nn.MaxPool2d(2, 1, 2, dilation=3)(np.zeros((1, 1, 1, 9)))


def test_the_first_of_equals_gets_the_gradient(nn, dtype):
    """All of it, once: a gradient shared or counted twice would not be one of the maximum's."""
    model = nn.Sequential(nn.MaxPool2d(2), dtype=dtype)
    model.forward(np.ones((1, 1, 4, 4)), training=True)
    dx = model.backward(np.arange(1.0, 5.0).reshape(1, 1, 2, 2))
    same(dx[0, 0], np.array([[1, 0, 2, 0], [0, 0, 0, 0], [3, 0, 4, 0], [0, 0, 0, 0]], dtype))


def test_padding_never_wins(nn, dtype):
    x = -5 - np.abs(normal((1, 2, 3, 3), dtype))
    y = nn.Sequential(nn.MaxPool2d(3, 1, 1), dtype=dtype)(x)
    assert (y < -4).all()
    low = np.full((1, 1, 3, 3), -np.inf, dtype)
    same(nn.Sequential(nn.MaxPool2d(3, 1, 1), dtype=dtype)(low), low)


def test_nan_and_infinity(nn, dtype):
    x = np.array(normal((1, 1, 4, 6), dtype))
    x[0, 0, 1, 1], x[0, 0, 0, 0] = np.nan, np.inf
    x[0, 0, 2, 3] = -np.inf
    model = nn.Sequential(nn.MaxPool2d(2), dtype=dtype)
    y = model.forward(x, training=True)
    assert np.isnan(y[0, 0, 0, 0])
    assert np.isfinite(y[0, 0].ravel()[1:]).all()
    dx = model.backward(np.ones((1, 1, 2, 3)))
    assert dx[0, 0, 1, 1] == 1
    assert dx.sum() == 6


def test_overlapping_windows_add_up(nn, dtype):
    x = np.zeros((1, 1, 3, 3), dtype)
    x[0, 0, 1, 1] = 1
    model = nn.Sequential(nn.MaxPool2d(2, stride=1), dtype=dtype)
    model.forward(x, training=True)
    same(model.backward(np.ones((1, 1, 2, 2))), 4 * x)


@pytest.mark.parametrize("cols", [1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 40])
@chequered
def test_windows_of_two(fast, isa, dtype, cols):
    """Images of every width, one by one: wherever a row ends in a vector."""
    x = np.array(normal((3, 2, 6, 2 * cols), dtype))
    x.ravel()[::7], x.ravel()[::11], x.ravel()[::13] = np.nan, np.inf, -np.inf
    y = fast.Sequential(fast.MaxPool2d(2), dtype=dtype)(x)
    same(y, x.reshape(3, 2, 3, 2, cols, 2).max(axis=(3, 5)))


@pytest.mark.parametrize("pool", [
    lambda nn: nn.MaxPool2d(2), lambda nn: nn.MaxPool2d(3, 1, 1), lambda nn: nn.AdaptiveMaxPool2d(3)],
    ids=["tiles", "overlap", "bins"])
@pytest.mark.parametrize("images", [2, 19])
def test_relu_before_a_max_pool(nn, dtype, pool, images):
    """Whichever of the two does it: where relu gave 0, nothing comes back."""
    x = normal((images, 2, 8, 6), dtype) - 0.5
    relu, alone = (nn.Sequential(*layers, dtype=dtype) for layers in ((nn.ReLU(), pool(nn)), (pool(nn),)))
    conv = nn.Sequential(nn.Conv2d(2, 2, 1, groups=2, activation="relu", bias=False), pool(nn), dtype=dtype)
    conv.layers[0].weight = np.ones((2, 1, 1, 1), dtype)
    y = alone.forward(np.maximum(x, 0), training=True)
    assert (y == 0).any()
    dy = normal(y.shape, dtype, seed=1)
    want = np.where(x > 0, alone.backward(dy), 0)
    for model in (relu, conv):
        same(model.forward(x, training=True), y)
        same(model.backward(dy), want)
        assert (want != 0).any()
    close("sum", conv.grads["0.weight"].ravel(), (x * want).astype(np.float64).sum((0, 2, 3)), np.abs(x * want).sum())


def test_flatten_and_back(nn, dtype):
    x = normal((3, 2, 4, 5), dtype)
    model = nn.Sequential(nn.Flatten(), dtype=dtype)
    same(model.forward(x, training=True), x.reshape(3, 40))
    same(model.backward(x.reshape(3, 40)), x)
    assert nn.Sequential(nn.Flatten())(normal((3, 4))).shape == (3, 4)
    assert nn.Sequential(nn.Flatten())(normal((3,))).shape == (3, 1)


def test_one_window_of_many_channels(ref, fast, dtype, isa, threads):
    """Of single images some channels are summed side by side, the others one by one: to the bits of a large batch."""
    x = normal((20, 19, 9, 11), dtype)
    pools = [fast.Sequential(pool, dtype=dtype) for pool in (fast.AdaptiveAvgPool2d(1), fast.AvgPool2d((9, 11)))]
    want = ref.Sequential(ref.AdaptiveAvgPool2d(1), dtype="float64").forward(x)
    for pool in pools:
        for count in (1, 2, 3):
            threads(count)
            y = pool.forward(x, training=True)
            assert np.abs(y - want).max() <= 4 * np.finfo(dtype).eps
            for n in (1, 3, 7):
                same(pool.forward(x[:n], training=True), y[:n])
