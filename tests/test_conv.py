"""Conv2d: windows, stride, padding, dilation, groups; weight sharing as a Linear with tied weights."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastnn import conv_tables
from tests.cases import CONVS, IMAGE_NETS, WINOGRAD
from tests.check import check_against_reference, check_gradient, close, normal, python, same
from tests.pairwise import chequered, every


@pytest.mark.parametrize("case", [          # blocks are the engine's; in the reference these are nets like others
    pytest.param(case, id=case.name, marks=[pytest.mark.slow] * case.name.endswith("in blocks"))
    for case in CONVS + WINOGRAD + IMAGE_NETS])
def test_gradient(ref, case):
    check_gradient(ref.Sequential(case.make(ref), seed=1, dtype="float64"), normal(case.shape))


@chequered
@pytest.mark.parametrize("case", CONVS + WINOGRAD + IMAGE_NETS, ids=lambda case: case.name)
def test_engine_agrees(ref, fast, isa, dtype, case):
    check_against_reference(ref, fast, case, dtype)


def by_hand(x, w, b, stride, padding, dilation, groups):
    """The sum in the definition, in Python's loops."""
    (sh, sw), ((ph, below), (pw, right)), (dh, dw) = stride, padding, dilation
    n, _, height, width = x.shape
    filters, inside, kh, kw = w.shape
    rows = (height + ph + below - dh * (kh - 1) - 1) // sh + 1
    cols = (width + pw + right - dw * (kw - 1) - 1) // sw + 1
    y = np.zeros((n, filters, rows, cols))
    for m, o, i, j in itertools.product(range(n), range(filters), range(rows), range(cols)):
        first = o // (filters // groups) * inside
        total = b[o]
        for c, r, s in itertools.product(range(inside), range(kh), range(kw)):
            at = i * sh + r * dh - ph, j * sw + s * dw - pw
            if 0 <= at[0] < height and 0 <= at[1] < width:
                total += w[o, c, r, s] * x[m, first + c, at[0], at[1]]
        y[m, o, i, j] = total
    return y


SMALL = st.integers(1, 3)


@given(
    n=st.sampled_from([1, 2, 9, 17]), inside=SMALL, outside=SMALL, groups=st.integers(1, 2),
    image=st.tuples(*[st.integers(1, 7)] * 2),
    kernel=st.tuples(SMALL, SMALL), stride=st.tuples(SMALL, SMALL),
    padding=st.tuples(*[st.tuples(*[st.integers(0, 3)] * 2)] * 2), dilation=st.tuples(SMALL, SMALL),
)  # fmt: skip
def test_formula(nn, n, inside, outside, groups, image, kernel, stride, padding, dilation):
    room = [side + sum(p) - d * (k - 1) for side, p, d, k in zip(image, padding, dilation, kernel, strict=True)]
    arguments = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    layer = nn.Conv2d(groups * inside, groups * outside, kernel, **arguments)
    model = nn.Sequential(layer, seed=1, dtype="float64")
    x = normal((n, groups * inside, *image))
    layer.bias = normal((groups * outside,), seed=3)
    if min(room) < 1:
        with pytest.raises(ValueError, match="expected a padded image of at least"):
            model(x)
        return
    want = by_hand(x, layer.weight, layer.bias, **arguments)
    close("product", model(x), want, layer.weight[0].size * (np.abs(want) + 10))
    y = model.forward(x, training=True)
    dy = normal(y.shape, seed=2)
    dx = model.backward(dy)
    # The map is linear: ⟨y − b, dy⟩ = ⟨x, dx⟩ = ⟨W, dW⟩.
    inner = float(((y - layer.bias[:, None, None]) * dy).sum())
    for a, b in ((x, dx), (layer.weight, layer.grads["weight"])):
        assert abs(float((a * b).sum()) - inner) < 1e-11 * (1 + np.abs(a * b).sum() + np.abs(y * dy).sum())
    close("product", layer.grads["bias"], dy.sum(axis=(0, 2, 3)), y.size * np.abs(dy).max())


@every(kernel=[1, 2, (3, 4), (5, 2)], dilation=[1, (2, 1), 3])
def test_same_keeps_the_size(nn, kernel, dilation):
    """PyTorch's rule: half of the padding before, the rest behind."""
    layer = nn.Conv2d(1, 1, kernel, padding="same", dilation=dilation)
    assert layer.output_shape((1, 4, 5)) == (1, 4, 5)
    sides = [side if isinstance(side, tuple) else (side, side) for side in layer.padding]
    for (before, after), k, d in zip(sides, layer.kernel_size, layer.dilation, strict=True):
        assert (before, before + after) == (d * (k - 1) // 2, d * (k - 1))


def test_padding_in_other_words(nn):
    def padding(value):
        return nn.Conv2d(1, 1, 3, padding=value).padding

    assert padding("same") == padding(1) == padding(((1, 1), (1, 1))) == (1, 1)
    assert padding("valid") == padding(0) == (0, 0)
    assert padding(((1, 0), (2, 2))) == ((1, 0), (2, 2))
    assert nn.AvgPool2d(3, padding=((1, 1), (2, 2))).padding == (1, 2)


@pytest.mark.parametrize(
    ("image", "kernel", "arguments"),
    [((4, 5), 3, {"padding": 1}), ((6, 5), (2, 3), {"stride": 2, "padding": 1}), ((7, 7), 2, {"dilation": 3})],
)
def test_a_linear_with_tied_weights(nn, image, kernel, arguments):
    """The same map as a Linear whose Toeplitz matrix repeats the kernel; its gradient is the sum over tied entries."""
    conv = nn.Conv2d(2, 3, kernel, bias=False, **arguments)
    shared = nn.Sequential(conv, nn.Flatten(), seed=1, dtype="float64")
    inside = 2 * image[0] * image[1]
    # Column by column: what the convolution makes of a unit image. And which weight stands where, by its number.
    units = np.eye(inside).reshape(inside, 2, *image)
    toeplitz = shared(units)
    weight = conv.weight.copy()
    conv.weight = np.arange(1.0, weight.size + 1).reshape(weight.shape)
    number = shared(units).round().astype(int)                          # 0: no weight connects the two
    conv.weight = weight
    linear = nn.Linear(inside, toeplitz.shape[1], bias=False)
    dense = nn.Sequential(linear, dtype="float64")
    linear.weight = toeplitz
    x, dy = normal((4, 2, *image)), normal((4, toeplitz.shape[1]), seed=1)
    close("product", shared.forward(x, training=True), dense.forward(x.reshape(4, -1), training=True), inside * 10.0)
    close("product", shared.backward(dy).reshape(4, -1), dense.backward(dy), inside * 10.0)
    tied = np.bincount(number.ravel(), weights=linear.grads["weight"].ravel())[1:].reshape(weight.shape)
    close("product", conv.grads["weight"], tied, inside * 10.0)
    assert weight.size < linear.weight.size / 4


def test_one_by_one_is_a_linear_at_every_pixel(nn, dtype):
    conv = nn.Conv2d(5, 7, 1, activation="relu")
    model = nn.Sequential(conv, seed=1, dtype=dtype)
    linear = nn.Linear(5, 7, activation="relu")
    dense = nn.Sequential(linear, dtype=dtype)
    linear.weight = conv.weight[:, :, 0, 0].T
    x = normal((3, 5, 4, 6), dtype)
    want = dense(x.transpose(0, 2, 3, 1).reshape(-1, 5)).reshape(3, 4, 6, 7).transpose(0, 3, 1, 2)
    close("layer", model(x), want, 6 * np.abs(want).max())


def test_other_image_sizes_and_batches(nn, dtype):
    """A net that takes any size: each shape plans anew and gives what a fresh model gives."""
    def net():
        return nn.Sequential(nn.Conv2d(2, 3, 3, padding=1, activation="tanh"), nn.MaxPool2d(2), nn.GlobalAvgPool2d(),
                             nn.Linear(3, 2), seed=5, dtype=dtype)

    model = net()
    for shape in [(2, 2, 6, 5), (5, 2, 3, 9), (1, 2, 12, 12), *((n, 2, 6, 5) for n in (37, 20, 3, 37))]:
        x = normal(shape, dtype)
        same(model.forward(x, training=True), net().forward(x, training=True))
        assert model.backward(normal((len(x), 2), dtype)).shape == shape


@pytest.mark.parametrize("algorithm", ["direct", "winograd"])
def test_a_prediction_does_not_depend_on_its_batch(nn, dtype, algorithm):
    """Nor on its place there: side by side with others, left over, or alone."""
    model = nn.Sequential(
        nn.Conv2d(2, 5, 3, padding=1, activation="relu", algorithm=algorithm), nn.MaxPool2d(2),
        nn.Conv2d(5, 4, 3, stride=2, padding=1),
        nn.BatchNorm2d(4), nn.Tanh(), nn.AvgPool2d(2), seed=3, dtype=dtype,
    )  # fmt: skip
    x = normal((43, 2, 9, 8), dtype)
    y = model(x)
    for n in (1, 7, 16, 19, 40):
        same(model(x[:n]), y[:n])
        same(model(x[43 - n:]), y[43 - n:])


@chequered
@pytest.mark.parametrize("algorithm", ["direct", "winograd"])
@pytest.mark.parametrize(
    ("channels", "filters", "groups"), [(2, 5, 1), (2, 14, 2), (19, 75, 1), (22, 14, 2), (130, 3, 1)])
def test_many_windows(fast, isa, dtype, channels, filters, groups, algorithm):
    """Sums in several blocks of taps, which differ between a block of images and one image: the same bits."""
    layer = fast.Conv2d(channels, filters, 3, padding=1, groups=groups, activation="tanh", algorithm=algorithm)
    model = fast.Sequential(layer, dtype=dtype)
    layer.weight, layer.bias = normal(layer.weight.shape, dtype, seed=2), normal((filters,), dtype, seed=3)
    x = normal((35, channels, 9, 9), dtype)
    same(model(x), np.concatenate([model(x[n : n + 1]) for n in range(len(x))]))


@pytest.mark.parametrize("case", [case for case in CONVS if case.shape[0] > 5], ids=lambda case: case.name)
def test_what_meets_only_zeros_may_be_left_out(fast, dtype, case, monkeypatch):
    """Padding and the gaps of a stride: where the lists of taps would be too long, they are multiplied, too."""
    found = []
    for most in (conv_tables.MAX_LISTED_TAPS, 0):
        monkeypatch.setattr(conv_tables, "MAX_LISTED_TAPS", most)
        model = fast.Sequential(case.make(fast), seed=5, dtype=dtype)
        y = model.forward(normal(case.shape, dtype), training=True)
        found.append([y, model.backward(normal(y.shape, dtype, seed=1)), *model.grads.values()])
    for a, b in zip(*found, strict=True):
        assert np.array_equal(a, b)


def test_layers_called_one_by_one(fast, dtype):
    """Alone a layer gives images as its user knows them; then the model works as before."""
    layers = fast.Conv2d(2, 5, 3), fast.ReLU(), fast.MaxPool2d(2), fast.Conv2d(5, 4, 1)
    model = fast.Sequential(*layers, seed=3, dtype=dtype)
    x = normal((19, 2, 8, 7), dtype)
    y = model.forward(x, training=True)
    dx = model.backward(normal(y.shape, dtype))
    inputs = [x]
    for layer in model.layers:
        inputs.append(layer.forward(inputs[-1], training=True))
    same(inputs.pop(), y)
    back = normal(y.shape, dtype)
    for layer in reversed(model.layers):            # backward belongs to the last forward in the model
        layer.forward(inputs.pop(), training=True)
        back = layer.backward(back)
    same(back, dx)
    same(model.forward(x, training=True), y)
    same(model.backward(normal(y.shape, dtype)), dx)


def test_nan_stays_where_it_is_seen(nn, dtype):
    x = np.array(normal((2, 1, 9, 9), dtype))
    x[0, 0, 4, 4] = np.nan
    y = nn.Sequential(nn.Conv2d(1, 2, 3), dtype=dtype)(x)
    assert np.isnan(y[0, :, 2:5, 2:5]).all()
    y[0, :, 2:5, 2:5] = 0
    assert np.isfinite(y).all()


def test_a_nan_batch_leaves_nothing_behind(nn, dtype):
    model = nn.Sequential(nn.Conv2d(2, 3, 3, padding=1, stride=2), seed=1, dtype=dtype)
    model.forward(np.full((4, 2, 5, 7), np.nan), training=True)
    model.backward(np.ones((4, 3, 3, 4)))
    x = normal((2, 2, 5, 7), dtype)
    y = model.forward(x, training=True)
    dx = model.backward(normal(y.shape, dtype))
    assert all(np.isfinite(values).all() for values in (y, dx, *model.grads.values()))


@pytest.mark.parametrize(("shape", "algorithm"), [
    ((13, 3, 16, 15), "direct"), ((3, 32, 14, 14), "direct"), ((37, 3, 13, 12), "direct"),
    ((3, 32, 14, 14), "winograd"), ((37, 33, 13, 12), "winograd"),
    ((1, 20, 20, 17), "direct"), ((16, 9, 13, 12), "direct"),
])  # fmt: skip
def test_threads_and_instruction_sets(fast, dtype, isa, threads, shape, algorithm):
    results = []
    for count in (1, 2, 3):
        threads(count)
        model = fast.Sequential(
            fast.Conv2d(shape[1], 33, 3, padding=1, activation="gelu", algorithm=algorithm), fast.MaxPool2d(2),
            fast.Conv2d(33, 8, 3, stride=2),
            fast.AvgPool2d(2, 1), fast.GlobalAvgPool2d(), dtype=dtype,
        )  # fmt: skip
        y = model.forward(normal(shape, dtype), training=True)
        results.append([y, model.backward(normal(y.shape, dtype, seed=1)), *model.grads.values()])
    for other in results[1:]:
        for a, b in zip(other, results[0], strict=True):
            same(a, b)


@pytest.mark.parametrize(("channels", "filters", "image", "arguments"), [
    (70, 70, (12, 11), {}), (300, 130, (8, 8), {}), (700, 20, (8, 9), {}), (66, 33, (16, 16), {"stride": 2}),
    (20, 20, (8, 8), {"groups": 2}), (5, 9, (8, 8), {"padding": 1}), (9, 2, (9, 13), {}), (6, 70, (9, 13), {}),
    # depthwise: 3 × 3 around every pixel, or every second one; others
    (40, 40, (9, 8), {"kernel_size": 3, "padding": 1, "groups": 40}),
    (3, 3, (1, 16), {"kernel_size": 3, "padding": 1, "groups": 3}),
    (5, 5, (6, 37), {"kernel_size": 3, "padding": 1, "groups": 5}),
    (5, 5, (17, 33), {"kernel_size": 3, "padding": 1, "groups": 5, "stride": 2}),
    (5, 5, (6, 70), {"kernel_size": 3, "padding": 1, "groups": 5, "stride": 2}),
    (5, 5, (9, 7), {"kernel_size": 3, "padding": 1, "groups": 5}),
    (4, 4, (3, 4), {"kernel_size": 3, "padding": 1, "groups": 4}),
    (5, 5, (10, 15), {"kernel_size": 3, "padding": 1, "groups": 5, "stride": 2}),
    (4, 4, (7, 8), {"kernel_size": 3, "padding": 1, "groups": 4, "stride": 2}),
    (5, 5, (11, 18), {"kernel_size": 3, "groups": 5}),
    (5, 5, (11, 17), {"kernel_size": 5, "padding": 2, "groups": 5}),
    (4, 4, (12, 16), {"kernel_size": 3, "padding": 2, "dilation": 2, "groups": 4}),
    (12, 24, (33, 9), {"kernel_size": (3, 2), "stride": (2, 1), "padding": 1, "groups": 12}),
    # windows by filters: rows and columns at an edge see less
    (60, 20, (8, 8), {"kernel_size": 3, "padding": 1}), (40, 33, (7, 9), {"kernel_size": 3, "padding": 1}),
    (3, 17, (14, 14), {"kernel_size": 5, "padding": 2}), (17, 18, (8, 9), {"kernel_size": 3, "stride": 2}),
])  # fmt: skip
def test_predictions_without_a_copy(ref, fast, dtype, isa, ways, threads, channels, filters, image, arguments):
    """Predictions read many images where they stand, interleaved or one by one: to the bits of training's forward,
    which copies them, and of one image alone; and nothing beyond the array."""
    layers = [lambda nn: nn.Conv2d(1, channels, 1, init="he_uniform"), lambda nn: nn.ReLU(),
              lambda nn: nn.Conv2d(channels, filters, **{"kernel_size": 1} | arguments),
              lambda nn: nn.BatchNorm2d(filters), lambda nn: nn.Conv2d(filters, 3, 1), lambda nn: nn.Tanh()]
    x = normal((35, 1, *image), dtype)
    for count in (1, 3):
        threads(count)
        model = fast.Sequential(*(make(fast) for make in layers), seed=2, dtype=dtype)
        y = model.predict(x)
        same(model[:3].forward(x, training=True), model[:3].predict(x))
        same(y[:5], np.concatenate([model.predict(x[k:k + 1]) for k in range(5)]))
        same(model.predictor()(x), y)
        inner = fast.Sequential(fast.Conv2d(channels, filters, **{"kernel_size": 1} | arguments), seed=2, dtype=dtype)
        values = among_nans(normal((3, channels, *image), dtype))
        same(inner.predict(values), inner.forward(values, training=True))
    want = ref.Sequential(*(make(ref) for make in layers), seed=2, dtype="float64").predict(x.astype(np.float64))
    assert np.abs(y - want).max() <= 100 * np.finfo(dtype).eps * np.abs(want).max()


@pytest.mark.parametrize(("image", "arguments"), [
    ((9, 8), {"padding": 1}), ((5, 19), {"padding": 1}), ((7, 11), {"padding": 1, "stride": 2}),
    ((1, 1), {"padding": 1}), ((6, 3), {"padding": 2}), ((4, 16), {"stride": 2}),
    ((8, 13), {"padding": ((0, 2), (2, 1))}),
    ((9, 14), {"kernel_size": 5, "padding": 2}), ((12, 17), {"kernel_size": 5, "padding": 2, "stride": 2}),
    ((2, 2), {"kernel_size": 5, "padding": 4}), ((6, 9), {"kernel_size": 5, "padding": ((3, 1), (0, 4))}),
    ((7, 14), {"stride": 2, "padding": ((2, 0), (0, 1))}), ((3, 23), {"stride": 2, "padding": ((0, 1), (2, 2))}),
    ((9, 20), {"kernel_size": 5, "stride": 2, "padding": ((4, 1), (3, 0))}), ((31, 9), {"padding": 1}),
    ((9, 8), {"padding": 1, "algorithm": "winograd"}), ((7, 13), {"kernel_size": 5, "algorithm": "winograd"}),
    ((8, 11), {"cls": "ConvTranspose2d", "padding": 1}), ((6, 5), {"cls": "ConvTranspose2d", "stride": 2}),
    ((9, 4), {"cls": "ConvTranspose2d", "stride": 2, "padding": 1, "kernel_size": 5, "output_padding": 1}),
])  # fmt: skip
def test_depthwise_in_blocks(ref, fast, dtype, isa, threads, image, arguments):
    """Between two layers that interleave images all of a depthwise convolution goes by strips: y and all gradients, for
    any number of threads."""
    cls, arguments = arguments.get("cls", "Conv2d"), {name: arguments[name] for name in arguments if name != "cls"}

    def passes(nn, dtype):
        make = getattr(nn, cls)
        model = nn.Sequential(
            nn.Conv2d(2, 5, 1), make(5, 5, **{"kernel_size": 3} | arguments, groups=5, activation="relu"),
            nn.Conv2d(5, 3, 1), seed=1, dtype=dtype,
        )  # fmt: skip
        y = model.forward(normal((35, 2, *image), dtype), training=True)
        return [y, model.backward(normal(y.shape, dtype, seed=1)), *model.grads.values()]

    results = []
    for count in (1, 2, 3):
        threads(count)
        results.append(passes(fast, dtype))
        for a, b in zip(results[-1], results[0], strict=True):
            same(a, b)
    for a, b in zip(results[0], passes(ref, "float64"), strict=True):
        assert np.abs(a - b).max() <= 100 * np.finfo(dtype).eps * max(1, np.abs(b).max())


def among_nans(values):
    """A copy before which and behind which there are NaN."""
    around = np.full(values.size + 256, np.nan, values.dtype)
    around[128:-128] = values.ravel()
    return around[128:-128].reshape(values.shape)


@pytest.mark.parametrize(("shape", "filters", "arguments"), [
    ((37, 40, 19, 21), 7, {}), ((9, 2, 70, 40), 3, {}), ((600, 3, 5, 4), 5, {}),
    ((37, 12, 19, 21), 75, {}), ((9, 70, 17, 40), 48, {"kernel_size": 1, "padding": 0}), ((600, 4, 5, 4), 32, {}),
    ((39, 16, 13, 11), 150, {"groups": 2, "stride": 2}), ((33, 36, 12, 7), 64, {"kernel_size": 1, "padding": 1}),
])  # fmt: skip
def test_dw_of_many_chunks(ref, fast, dtype, isa, threads, shape, filters, arguments):
    """Of more lines than a chunk has, of many blocks and of many images behind them, of more channels than are summed
    at once, and of several panels of filters."""

    def passes(nn, dtype):
        layer = nn.Conv2d(shape[1], filters, **{"kernel_size": 3, "padding": 1, **arguments})
        model = nn.Sequential(layer, seed=1, dtype=dtype)
        y = model.forward(normal(shape, dtype), training=True)
        model.backward(normal(y.shape, dtype, seed=1))
        return model.grads["0.weight"]

    grads = []
    for count in (1, 2, 3):
        threads(count)
        grads.append(passes(fast, dtype))
    same(grads[1], grads[0])
    same(grads[2], grads[0])
    want = passes(ref, "float64")
    assert np.abs(grads[0] - want).max() <= 30 * np.finfo(dtype).eps * np.abs(want).max()


@pytest.mark.parametrize("rows", [5, 21, 32])
@pytest.mark.parametrize("before", [
    lambda nn: [nn.BatchNorm2d(36), nn.ReLU()], lambda nn: [nn.MaxPool2d(2), nn.Dropout(0.3)],
    lambda nn: [nn.Tanh(), nn.GaussianNoise(0.1)], lambda nn: [nn.PReLU(36)],
    lambda nn: [nn.Residual(nn.Sequential(nn.Conv2d(36, 36, 1, groups=1, activation="relu"), nn.BatchNorm2d(36)))],
    lambda nn: [nn.Parallel(nn.Conv2d(36, 16, 3, padding=1), nn.Conv2d(36, 20, 1)), nn.GroupNorm(4, 36)],
])  # fmt: skip
def test_pixels_are_read_again_where_they_stood(ref, fast, isa, threads, rows, before):
    """dW of 1 × 1 kernels reads the output of the layer before, whatever that is and whatever stands behind."""
    def passes(nn):
        model = nn.Sequential(
            nn.Conv2d(2, 36, 3, padding=1), *before(nn), nn.Conv2d(36, 64, 1, activation="relu"), nn.Dropout(0.2),
            nn.Conv2d(64, 48, 1, groups=2), nn.AvgPool2d(2), nn.Conv2d(48, 33, 1), nn.GlobalAvgPool2d(),
            seed=1, dtype="float64")
        y = model.forward(normal((rows, 2, 7, 6), "float64"), training=True)
        return [y, model.backward(normal(y.shape, "float64", seed=1)), *(each.copy() for each in model.grads.values())]

    want = passes(ref)
    for count in (1, 2):
        threads(count)
        for got, each in zip(passes(fast), want, strict=True):
            assert np.abs(got - each).max() <= 1e-12 * max(1, np.abs(each).max())


@pytest.mark.parametrize(("cls", "shape", "filters", "arguments"), [
    ("Conv2d", (3, 8, 5, 5), 32, {"padding": 1, "activation": "relu"}), ("Conv2d", (37, 32, 7, 7), 64, {"groups": 2}),
    ("Conv2d", (31, 8, 9, 4), 20, {"kernel_size": 5, "padding": 2}), ("Conv2d", (15, 16, 8, 8), 16, {"stride": 2}),
    ("Conv2d", (18, 20, 3, 2), 17, {"kernel_size": (3, 2), "padding": 1, "activation": "gelu"}),
    ("Conv2d", (6, 64, 1, 1), 33, {"padding": 1}), ("Conv2d", (11, 48, 4, 4), 48, {"kernel_size": 1}),
    ("ConvTranspose2d", (13, 24, 4, 4), 17, {}), ("ConvTranspose2d", (21, 32, 2, 3), 32, {"stride": 2, "groups": 2}),
])  # fmt: skip
def test_narrow_images_of_many_channels(ref, fast, dtype, isa, threads, cls, shape, filters, arguments):
    """Single images go by filters and their dW is a product: y, dx and gradients, for any number of threads."""
    def passes(nn, dtype):
        layer = getattr(nn, cls)(shape[1], filters, **{"kernel_size": 3, **arguments})
        model = nn.Sequential(layer, seed=1, dtype=dtype)
        y = model.forward(normal(shape, dtype), training=True)
        dx = model.backward(normal(y.shape, dtype, seed=1))
        return [y, dx, *(model.grads[name].copy() for name in ("0.weight", "0.bias"))]

    found = []
    for count in (1, 2, 3):
        threads(count)
        found.append(passes(fast, dtype))
    for other in found[1:]:
        for one, two in zip(other, found[0], strict=True):
            same(one, two)
    for got, want in zip(found[0], passes(ref, "float64"), strict=True):
        assert np.abs(got - want).max() <= 30 * np.finfo(dtype).eps * np.abs(want).max()


def test_avx2_and_avx512(fast, dtype):
    if not {"x86_v3", "x86_v4"} <= set(fast._kernels.available()):
        pytest.skip("this machine does not run both x86_v3 and x86_v4")
    before, results = fast._kernels.use_isa("x86_v3"), []
    try:
        for name in ("x86_v3", "x86_v4"):
            fast._kernels.use_isa(name)
            model = fast.Sequential(
                fast.Conv2d(3, 9, 3, padding=1), fast.BatchNorm2d(9), fast.ReLU(), fast.MaxPool2d(2), fast.Dropout(0.3),
                fast.Conv2d(9, 9, 3, padding=1, algorithm="winograd"),
                fast.Conv2d(9, 9, 5, padding=2, algorithm="winograd"),
                fast.StochasticDepth(fast.Conv2d(9, 9, 3, padding=1), 0.2, mode="row"), fast.Flatten(),
                fast.LayerNorm(9 * 49), fast.DropConnect(9 * 49, 7, 0.3, activation="tanh"), fast.Linear(7, 3),
                dtype=dtype,
            )  # fmt: skip
            x, t = normal((37, 3, 14, 15), dtype), np.arange(37) % 3
            optimizer = fast.Adam()
            losses = [model.step(x, t, fast.CrossEntropyLoss(), optimizer) for _ in range(3)]
            results.append([np.array(losses), *model.state_dict().values(), model(x)])
    finally:
        fast._kernels.use_isa(before)
    for one, other in zip(*results, strict=True):
        same(one, other)


@pytest.mark.parametrize("kernel", [3, 5])
def test_winograd_is_the_convolution(nn, kernel):
    """The formulas in float64, by the way of unit images: each weight once, at its place."""
    w = np.arange(1.0, 2 * kernel**2 + 1).reshape(1, 2, kernel, kernel)
    layer = nn.Conv2d(2, 1, kernel, bias=False, algorithm="winograd")
    model = nn.Sequential(layer, dtype="float64")
    layer.weight = w
    pixels = 2 * (kernel + 2) ** 2
    y = model(np.eye(pixels).reshape(pixels, 2, kernel + 2, kernel + 2))
    want = by_hand(np.eye(pixels).reshape(pixels, 2, kernel + 2, kernel + 2), w, np.zeros(1), (1, 1), ((0, 0), (0, 0)),
                   (1, 1), 1)
    close("product", y, want, w.size * w.max())


def winograd_rounding(kernel, channels):
    """How far, in float32 and relative to y, both as root mean squares, the formulas stray for normal numbers.

    A relative error of 1 in each product U ∘ V, all independent, is one of ``growth`` in y: the products are that much
    larger than what is left of them. A rounding is such an error of 2⁻²⁴·√(1/(8 ln 2)): evenly spread over a unit in
    the last place, mantissas over an octave. Each of the two passes of a transform rounds once for each of its terms,
    the sum over the channels, one after the other, as (channels + 1) / 2 roundings of the whole sum. Other orders and
    fused multiplications lose less.
    """
    points, tile = np.array([0, 3 / 4, -3 / 4, 3 / 2, -3 / 2]), 7 - kernel
    b = np.array([*(np.append(0, np.poly(np.delete(points, i))) for i in range(5)), np.poly(points)])
    divisors = [*(np.polyval(b[i], points[i]) for i in range(5)), 1]
    a, g = (np.vstack([np.vander(points, n, increasing=True), np.eye(n)[-1]]) for n in (tile, kernel))
    g /= np.array(divisors)[:, None]
    growth = (a.T**2 @ ((b**2).sum(axis=1) * (g**2).sum(axis=1))).mean() / kernel
    terms = np.count_nonzero(b) / 6 + np.count_nonzero(g) / 6 + np.count_nonzero(a) / tile
    return growth * np.sqrt((2 * terms + (channels + 1) / 2) / (8 * np.log(2))) * 2**-24


@pytest.mark.parametrize("kernel", [3, 5])
def test_winograd_in_float32(nn, kernel):
    """More is lost than by the direct sum, but no more than there must; with the points 0, ±1, ±2 and ∞ it is twice."""
    x, found = normal((20, 64, 12, 12), "float32"), {}
    for dtype, algorithm in (("float64", "direct"), ("float32", "direct"), ("float32", "winograd")):
        layer = nn.Conv2d(64, 8, kernel, bias=False, algorithm=algorithm)
        model = nn.Sequential(layer, seed=3, dtype=dtype)
        layer.weight = normal((8, 64, kernel, kernel), "float32", seed=1)
        found[dtype, algorithm] = model(x).astype(np.float64)
    want = found.pop(("float64", "direct"))
    direct, winograd = (np.sqrt(((y - want) ** 2).mean() / (want**2).mean()) for y in found.values())
    assert direct < winograd < winograd_rounding(kernel, 64)        # seen: 0.62 to 0.86 of it


def test_the_algorithm_is_kept(nn):
    model = nn.Sequential(nn.Conv2d(1, 2, 5, algorithm="winograd"), nn.Conv2d(2, 1, 3), seed=1)
    again = nn.from_config(model.config())
    assert [layer.algorithm for layer in again.layers] == ["winograd", "direct"]
    assert "algorithm='winograd'" in repr(again) and "direct" not in repr(again)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_winograd_spoils_whole_tiles_alone(nn, dtype, value):
    """Pixel (1, 1) is seen by the first tile; what the docstring says of such a pixel."""
    x = np.array(normal((17, 1, 10, 10), dtype))
    x[3, 0, 1, 1] = x[16, 0, 1, 1] = value
    model = nn.Sequential(nn.Conv2d(1, 2, 3, algorithm="winograd"), dtype=dtype)
    with np.errstate(invalid="ignore"):
        y = model(x)
    spoilt = np.zeros(y.shape, bool)
    spoilt[3, :, :4, :4] = spoilt[16, :, :4, :4] = True
    assert np.array_equal(~np.isfinite(y), spoilt)


@pytest.mark.slow
def test_nothing_behind_the_last_page_is_read(isa):
    python(
        """
        import numpy as np, fastnn as nn
        from tests.check import before_the_wall, normal
        for dtype in ("float64", "float32"):
            for arguments in ({}, {"padding": 1}, {"stride": 2, "padding": 2}, {"dilation": 2},
                              {"padding": 1, "algorithm": "winograd"}):
                geometry = {name: value for name, value in arguments.items() if name != "algorithm"}
                for layer in (nn.Conv2d(3, 5, 3, **arguments), nn.ConvTranspose2d(3, 5, 3, **geometry),
                              nn.Conv2d(3, 3, 3, groups=3, **geometry), nn.Conv2d(3, 5, 1),
                              nn.Conv2d(3, 3, 3, stride=2, padding=1, groups=3),
                              nn.MaxPool2d(2), nn.MaxPool2d(3, 2, 1, ceil_mode=True), nn.AvgPool2d(3, 2, 1),
                              nn.AdaptiveMaxPool2d(4), nn.Upsample(5), nn.Upsample((20, 17), mode="bilinear"),
                              nn.GlobalAvgPool2d(), nn.BatchNorm2d(3), nn.LayerNorm(7), nn.Dropout(0.5)):
                    model = nn.Sequential(layer, dtype=dtype)
                    for n in (2, 16, 19):
                        x = before_the_wall(normal((n, 3, 9, 7), dtype))
                        y = model.forward(x, training=True)
                        assert np.isfinite(model.backward(before_the_wall(normal(y.shape, dtype)))).all()
                        model(x)
                        assert np.isfinite(model.predictor()(x)).all()
        """,
        FASTNN_ISA=isa,
    )
