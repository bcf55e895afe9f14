"""ConvTranspose2d: a convolution's transpose, as a map; its sizes; what its options mean."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.cases import TRANSPOSED
from tests.check import check_against_reference, check_gradient, close, normal, same
from tests.pairwise import chequered


@pytest.mark.parametrize("case", TRANSPOSED, ids=lambda case: case.name)
def test_gradient(ref, case):
    check_gradient(ref.Sequential(case.make(ref), seed=1, dtype="float64"), normal(case.shape))


@chequered
@pytest.mark.parametrize("case", TRANSPOSED, ids=lambda case: case.name)
def test_engine_agrees(ref, fast, isa, dtype, case):
    check_against_reference(ref, fast, case, dtype)


def by_hand(x, w, b, shape, stride, padding, dilation, groups):
    """Each pixel of x, times the weights, added to its window of y, in Python's loops."""
    (sh, sw), ((top, _), (left, _)), (dh, dw) = stride, padding, dilation
    n, channels, height, width = x.shape
    _, inside, kh, kw = w.shape
    y = np.zeros((n, *shape)) + b[:, None, None]
    for m, c, i, j in itertools.product(range(n), range(channels), range(height), range(width)):
        first = c // (channels // groups) * inside
        for o, r, s in itertools.product(range(inside), range(kh), range(kw)):
            row, col = i * sh + r * dh - top, j * sw + s * dw - left
            if 0 <= row < shape[1] and 0 <= col < shape[2]:
                y[m, first + o, row, col] += x[m, c, i, j] * w[c, o, r, s]
    return y


SMALL = st.integers(1, 3)
PAIR = st.tuples(SMALL, SMALL)
ANY = st.tuples(*[st.integers(0, 2)] * 2)


@given(
    n=st.sampled_from([1, 2, 9, 17]), inside=SMALL, outside=SMALL, groups=st.integers(1, 2), image=PAIR, kernel=PAIR,
    stride=PAIR, padding=st.tuples(ANY, ANY), more=ANY, dilation=PAIR,
)  # fmt: skip
def test_formula(nn, n, inside, outside, groups, image, kernel, stride, padding, more, dilation):
    more = tuple(min(each, max(s, d) - 1) for each, s, d in zip(more, stride, dilation, strict=True))
    layer = nn.ConvTranspose2d(groups * inside, groups * outside, kernel, stride=stride, padding=padding,
                               output_padding=more, groups=groups, dilation=dilation)
    x = normal((n, groups * inside, *image))
    size = [(side - 1) * s - sum(p) + d * (k - 1) + extra + 1
            for side, s, p, d, k, extra in zip(image, stride, padding, dilation, kernel, more, strict=True)]
    if min(size) < 1:
        with pytest.raises(ValueError, match=r"expected an image that gives at least \(1, 1\)"):
            layer.output_shape(x.shape[1:])
        return
    model = nn.Sequential(layer, seed=1, dtype="float64")
    layer.bias = normal((groups * outside,), seed=3)
    want = by_hand(x, layer.weight, layer.bias, (groups * outside, *size), stride, padding, dilation, groups)
    y = model.forward(x, training=True)
    close("product", y, want, inside * 9 * (np.abs(want) + 10))
    dy = normal(y.shape, seed=2)
    dx = model.backward(dy)
    # The map is linear: ⟨y − b, dy⟩ = ⟨x, dx⟩ = ⟨W, dW⟩.
    inner = float(((y - layer.bias[:, None, None]) * dy).sum())
    for a, b in ((x, dx), (layer.weight, layer.grads["weight"])):
        assert abs(float((a * b).sum()) - inner) < 1e-11 * (1 + np.abs(a * b).sum() + np.abs(y * dy).sum())
    close("product", layer.grads["bias"], dy.sum(axis=(0, 2, 3)), y.size * np.abs(dy).max())


@pytest.mark.parametrize("n", [3, 19])
def test_it_is_a_convolution_the_other_way_round(nn, dtype, n):
    """Of the same weight: what one makes of x, the other makes of dy."""
    there, back = nn.Conv2d(3, 4, (3, 2), 2, 1, bias=False), nn.ConvTranspose2d(4, 3, (3, 2), 2, 1, bias=False)
    conv, transposed = nn.Sequential(there, seed=1, dtype=dtype), nn.Sequential(back, dtype=dtype)
    back.weight = there.weight
    x, z = normal((n, 3, 5, 6), dtype), normal((n, 4, 3, 4), dtype, seed=1)
    conv.forward(x, training=True)
    same(transposed.forward(z, training=True), conv.backward(z))
    dz = transposed.backward(x)
    same(dz, conv(x))
    close("layer", back.grads["weight"], there.grads["weight"], n * 100)


def test_threads(fast, dtype, threads):
    """One seed gives the same bits."""
    results = []
    for count in (1, 2, 3):
        threads(count)
        model = fast.Sequential(
            fast.Conv2d(3, 16, 1), fast.ConvTranspose2d(16, 33, 3, 2, 1, 1, activation="gelu"),
            fast.Upsample(scale_factor=1.5, mode="bilinear"), fast.AdaptiveMaxPool2d(11), fast.Conv2d(33, 2, 1),
            dtype=dtype,
        )  # fmt: skip
        y = model.forward(normal((37, 3, 7, 8), dtype), training=True)
        results.append([y, model.backward(normal(y.shape, dtype, seed=1)), *model.grads.values()])
    for other in results[1:]:
        for a, b in zip(other, results[0], strict=True):
            same(a, b)


def test_a_prediction_does_not_depend_on_its_batch(nn, dtype):
    model = nn.Sequential(
        nn.ConvTranspose2d(2, 5, 2, 2, activation="relu"), nn.Upsample((7, 9), mode="bilinear"),
        nn.AdaptiveAvgPool2d(4), nn.Upsample(6), nn.AdaptiveMaxPool2d((5, 3)), nn.ConvTranspose2d(5, 2, 3),
        seed=3, dtype=dtype,
    )  # fmt: skip
    x = normal((35, 2, 3, 4), dtype)
    y = model(x)
    for n in (1, 7, 16, 19):
        same(model(x[:n]), y[:n])
        same(model(x[35 - n:]), y[35 - n:])


def test_frozen(nn, dtype):
    """dx alone: it is the same, and the gradients are 0."""
    def passes(trainable):
        model = nn.Sequential(nn.ConvTranspose2d(2, 3, 3, 2), seed=2, dtype=dtype)
        model.trainable = trainable
        y = model.forward(normal((19, 2, 3, 3), dtype), training=True)
        return model.backward(normal(y.shape, dtype, seed=1)), model.grads

    (dx, grads), (want, _) = passes(False), passes(True)
    same(dx, want)
    assert not any(values.any() for values in grads.values())
