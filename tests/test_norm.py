"""Norms: mean 0 and variance 1, also where the mean is large; which statistics are used when; scale and shift."""

import copy

import numpy as np
import pytest

import fastnn
import fastnn_ref as shared
from tests.cases import NORMS, Case
from tests.check import check_against_reference, check_gradient, close, normal, readonly, same, same_parameters
from tests.pairwise import chequered, pairwise

BATCH = [
    Case("1d", lambda nn, **a: nn.BatchNorm1d(5, **a), (7, 5)),
    Case("2d", lambda nn, **a: nn.BatchNorm2d(3, **a), (4, 3, 2, 5)),
]
LARGE = [                   # strips of channels and what is left over; a channel in several blocks
    Case("batchnorm1d 19x203", lambda nn: nn.BatchNorm1d(203), (19, 203)),
    Case("batchnorm2d 19x3x17x23", lambda nn: nn.BatchNorm2d(3), (19, 3, 17, 23)),
    Case("batchnorm2d 3x2x47x53", lambda nn: nn.BatchNorm2d(2), (3, 2, 47, 53)),
    Case("layernorm 3x4099", lambda nn: nn.LayerNorm(4099), (3, 4099)),
    Case("groupnorm 3x(2 of 3)x47x53", lambda nn: nn.GroupNorm(2, 6), (3, 6, 47, 53)),
    Case("groupnorm 5x(3 of 2)x4x8", lambda nn: nn.GroupNorm(3, 6), (5, 6, 4, 8)),
    Case("groupnorm without scale 3x(2 of 5)x16", lambda nn: nn.GroupNorm(2, 10, affine=False), (3, 10, 16)),
    Case("groupnorm 19x(7 of 29)", lambda nn: nn.GroupNorm(7, 203, eps=1e-2), (19, 203)),
]


def name_of(case):
    return case.name


def channels_last(x):
    """(N, channels) of every value's channel."""
    return np.moveaxis(x, 1, -1).reshape(-1, x.shape[1])


@pytest.mark.parametrize("case", NORMS, ids=name_of)
def test_gradient(ref, case):
    check_gradient(ref.Sequential(case.make(ref), seed=1, dtype="float64"), normal(case.shape))


@chequered
@pytest.mark.parametrize("case", NORMS + LARGE, ids=name_of)
def test_engine_agrees(ref, fast, isa, dtype, case):
    check_against_reference(ref, fast, case, dtype)


@pytest.mark.parametrize("case", BATCH, ids=name_of)
def test_formula(nn, case):
    """By NumPy's own mean and variance, one channel at a time."""
    eps, momentum = 1e-3, 0.3
    layer = case.make(nn, eps=eps, momentum=momentum)
    model = nn.Sequential(layer, dtype="float64")
    k = case.shape[1]
    layer.weight, layer.bias = normal((k,), seed=3), normal((k,), seed=4)
    layer.running_mean, layer.running_var = normal((k,), seed=5), 1 + normal((k,), seed=6) ** 2
    before = layer.running_mean.copy(), layer.running_var.copy()
    x = 3 * normal(case.shape) + 2
    values = channels_last(x)
    y = channels_last(model.forward(x, training=True))
    mean, biased, unbiased = values.mean(0), values.var(0), values.var(0, ddof=1)
    close("layer", y, (values - mean) / np.sqrt(biased + eps) * layer.weight + layer.bias, 50.0)
    close("layer", layer.running_mean, 0.7 * before[0] + 0.3 * mean, 50.0)
    close("layer", layer.running_var, 0.7 * before[1] + 0.3 * unbiased, 50.0)
    after = layer.running_mean.copy(), layer.running_var.copy()
    z = channels_last(model(x))
    want = (values - after[0]) / np.sqrt(after[1] + eps) * layer.weight + layer.bias
    close("layer", z, want, 50.0)
    same(layer.running_mean, after[0], "prediction changes nothing")
    same(layer.running_var, after[1])


@pytest.mark.parametrize(("shape", "normalized"), [((5, 3), 3), ((4, 5, 7), (5, 7)), ((4, 5, 7), 7)])
def test_formula_of_layernorm(nn, shape, normalized):
    """By NumPy's own mean and variance, the biased one, one example at a time; the same in training and prediction."""
    layer = nn.LayerNorm(normalized, eps=1e-3)
    model = nn.Sequential(layer, dtype="float64")
    layer.weight, layer.bias = normal(layer.weight.shape, seed=3), normal(layer.weight.shape, seed=4)
    x = 3 * normal(shape) + 2
    axes = tuple(range(-layer.weight.ndim, 0))
    want = (x - x.mean(axes, keepdims=True)) / np.sqrt(x.var(axes, keepdims=True) + 1e-3) * layer.weight + layer.bias
    close("layer", model.forward(x, training=True), want, 50.0)
    same(model(x), model.forward(x, training=True))


@pytest.mark.parametrize(("shape", "groups"), [((5, 6), 2), ((4, 6, 7), 3), ((2, 8, 3, 5), 4), ((3, 4, 2, 2), 1)])
def test_formula_of_groupnorm(nn, shape, groups):
    """By NumPy's own mean and variance, of one group of one example at a time; the same in training and prediction."""
    layer = nn.GroupNorm(groups, shape[1], eps=1e-3)
    model = nn.Sequential(layer, dtype="float64")
    layer.weight, layer.bias = normal((shape[1],), seed=3), normal((shape[1],), seed=4)
    x, want = 3 * normal(shape) + 2, np.zeros(shape)
    for example in range(shape[0]):
        for channels in np.split(np.arange(shape[1]), groups):
            values = x[example, channels]
            want[example, channels] = (values - values.mean()) / np.sqrt(values.var() + 1e-3)
    column = (-1, *[1] * (len(shape) - 2))
    want = want * layer.weight.reshape(column) + layer.bias.reshape(column)
    close("layer", model.forward(x, training=True), want, 50.0)
    same(model(x), model.forward(x, training=True))


WITHOUT = [                 # the argument, and which parameters are left
    ("BatchNorm1d", (7,), {"affine": False}, []),
    ("BatchNorm1d", (7,), {"bias": False}, ["weight"]),
    ("BatchNorm2d", (7,), {"affine": False}, []),
    ("BatchNorm2d", (7,), {"affine": False, "bias": True}, []),
    ("LayerNorm", ((7, 3, 5),), {"elementwise_affine": False}, []),
    ("LayerNorm", ((7, 3, 5),), {"bias": False}, ["weight"]),
    ("GroupNorm", (1, 7), {"affine": False}, []),
    ("GroupNorm", (7, 7), {"bias": False}, ["weight"]),
    ("RMSNorm", (5,), {"elementwise_affine": False}, []),
]


@chequered
@pytest.mark.parametrize(("cls", "arguments", "options", "left"), WITHOUT)
def test_without_scale_or_shift(nn, dtype, cls, arguments, options, left):
    """The same bits as with ones and zeros, forward and backward, and nothing to train, keep or copy."""
    shape = (4, 7) if cls == "BatchNorm1d" else (4, 7, 3, 5)
    one, other = (nn.Sequential(getattr(nn, cls)(*arguments, **each), dtype=dtype) for each in (options, {}))
    for model in (one, other):
        if "weight" in left:
            model[0].weight = normal(model[0].weight.shape, dtype, seed=3)
    x, dy = 1 + normal(shape, dtype), normal(shape, dtype, seed=1)
    same(one.forward(x, training=True), other.forward(x, training=True))
    same(one.backward(dy), other.backward(dy))
    assert list(one[0].params) == left
    assert (one[0].weight is None, getattr(one[0], "bias", None)) == ("weight" not in left, None)
    for name, gradient in one[0].grads.items():
        same(gradient, other[0].grads[name])
    same(one(x), other(x))
    same(copy.deepcopy(one)(x), one(x))
    one[0].trainable = other[0].trainable = False
    same(one.forward(x, training=True), other.forward(x, training=True))
    same(one.backward(dy), other.backward(dy))
    assert nn.from_config(one.config())[0].config() == one[0].config()


@pytest.mark.parametrize("eps", [1e-3, None])
@pytest.mark.parametrize(("shape", "normalized"), [((5, 3), 3), ((4, 5, 7), (5, 7)), ((4, 5, 7), 7)])
def test_formula_of_rmsnorm(nn, dtype, shape, normalized, eps):
    """The root of the mean square, one example at a time; small values, where the dtype's own ε shows."""
    layer = nn.RMSNorm(normalized, eps=eps)
    model = nn.Sequential(layer, dtype=dtype)
    layer.weight = normal(layer.weight.shape, dtype, seed=3)
    x = np.sqrt(np.finfo(dtype).eps) * normal(shape, dtype)
    axes = tuple(range(-layer.weight.ndim, 0))
    wide = x.astype(np.float64)
    mean_square = (wide**2).mean(axes, keepdims=True)
    want = wide / np.sqrt(mean_square + (eps or np.finfo(dtype).eps)) * layer.weight
    close("layer", model.forward(x, training=True), want, 50.0 * np.abs(want).max() * np.ones(shape))
    same(model(x), model.forward(x, training=True))


@pytest.mark.parametrize("case", BATCH, ids=name_of)
def test_prediction_does_not_depend_on_the_batch(nn, dtype, case):
    model = nn.Sequential(case.make(nn), dtype=dtype)
    for seed in range(5):
        model.forward(2 * normal(case.shape, dtype, seed=seed) - 1, training=True)
    x = normal(case.shape, dtype, seed=9)
    same(model(x)[:1], model(x[:1]))
    assert np.abs(model(x) - model.forward(x, training=True)).max() > 0.01


@pairwise(
    "isa*dtype", "nn", case=[*BATCH, *LARGE, Case("layer", lambda nn: nn.LayerNorm(40), (30, 40))],
    offset=[12e3, -12e3],
)  # fmt: skip
def test_a_mean_of_ten_thousand_deviations(nn, dtype, isa, case, offset):
    """E[x²] − E[x]² would leave no digit of a float32 variance. Multiples of 2⁻¹⁰: the shift is exact.

    The deviation of uniform numbers in ±2 is 1.15.
    """
    rng = np.random.default_rng(1)
    x = (rng.integers(-2048, 2048, size=case.shape) / 1024).astype(dtype)
    shifted = (x + np.asarray(offset, dtype)).astype(dtype)
    same(shifted - np.asarray(offset, dtype), x, "the shift lost nothing")
    one, other = (nn.Sequential(case.make(nn), dtype=dtype) for _ in range(2))
    close("layer", one.forward(shifted, training=True), other.forward(x, training=True), 30.0)
    dy = normal(case.shape, dtype, seed=1)
    close("layer", one.backward(dy), other.backward(dy), 30.0)
    for name, gradient in one.grads.items():
        close("layer", gradient, other.grads[name], 30.0 * np.abs(gradient).max(), name)
    if "0.running_var" in other.state_dict():
        close("layer", one.layers[0].running_var, other.layers[0].running_var, 30.0)
        close("layer", one.layers[0].running_mean, other.layers[0].running_mean + offset / 10, abs(offset))


def test_many_rows_far_from_zero(nn):
    """A sum in float32, one row after the other, loses the mean: the output was off by 0.8."""
    x = (np.random.default_rng(0).normal(size=(1_000_000, 3)) + 1e4).astype(np.float32)
    y = nn.Sequential(nn.BatchNorm1d(3), dtype="float32").forward(x, training=True)
    exact = x.astype(np.float64)
    assert np.abs(y - (exact - exact.mean(axis=0)) / exact.std(axis=0)).max() < 0.01


def test_a_million_rows_behind_one_far_from_them(nn):
    """Differences from the first row, one large number a million times, summed one after the other, gave a variance of
    3.6 times the true one, or one below 0, whose root is NaN."""
    x = np.random.default_rng(0).normal(size=(1_000_000, 2)).astype(np.float32)
    x[0] = 1e4
    layer = nn.BatchNorm1d(2, momentum=1.0)
    y = nn.Sequential(layer, dtype="float32").forward(x, training=True)[1:]
    exact = x.astype(np.float64)
    assert np.abs(y - ((exact - exact.mean(axis=0)) / exact.std(axis=0))[1:]).max() < 1e-4
    assert np.abs(layer.running_var / exact.var(axis=0, ddof=1) - 1).max() < 1e-4


@pytest.mark.parametrize("case", [
    Case("layer", lambda nn: nn.LayerNorm(2**20), (1, 2**20)),
    Case("group", lambda nn: nn.GroupNorm(1, 4), (1, 4, 512, 512)),
    Case("2d", lambda nn: nn.BatchNorm2d(1), (1, 1, 1024, 1024)),
], ids=name_of)
def test_a_million_values_of_one_group(nn, case):
    x = np.random.default_rng(0).normal(size=case.shape).astype(np.float32)
    y = nn.Sequential(case.make(nn), dtype="float32").forward(x, training=True)
    exact = x.astype(np.float64)
    assert np.abs(y - (exact - exact.mean()) / np.sqrt(exact.var() + 1e-5)).max() < 4e-6


@pytest.mark.parametrize("case", [*BATCH, Case("layer", lambda nn: nn.LayerNorm(4), (3, 4)),
                                  Case("group", lambda nn: nn.GroupNorm(2, 4), (3, 4, 2, 2))], ids=name_of)
def test_values_that_are_all_equal(nn, dtype, case):
    """No variance: ε keeps the root away from 0, and what comes out is the bias."""
    model = nn.Sequential(case.make(nn), dtype=dtype)
    y = model.forward(np.full(case.shape, 0.1, dtype), training=True)
    same(y, np.zeros_like(y))
    assert np.isfinite(model.backward(normal(case.shape, dtype))).all()


def test_one_value_a_channel(nn):
    flat, image = nn.Sequential(nn.BatchNorm1d(4)), nn.Sequential(nn.BatchNorm2d(4))
    for model, x in ((flat, np.ones((1, 4))), (image, np.ones((1, 4, 1, 1)))):
        with pytest.raises(ValueError, match="x: expected at least 2 rows in a training batch"):
            model.forward(x, training=True)
        assert model(x).shape == x.shape
    assert image.forward(np.ones((1, 4, 1, 2)), training=True).shape == (1, 4, 1, 2)


def test_a_last_batch_of_one(nn):
    """Told before the first step, not after an epoch's work."""
    model = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), seed=0)
    before = model.state_dict()
    x, t = normal((9, 4)), np.zeros(9, int)
    for call in (
        lambda: model.run_epoch(x, t, nn.CrossEntropyLoss(), nn.SGD(), batch_size=4),
        lambda: model.step(x[:1], t[:1], nn.CrossEntropyLoss(), nn.SGD()),
        lambda: model.fit(x, t, loss=nn.CrossEntropyLoss(), optimizer=nn.SGD(), batch_size=4),
    ):
        with pytest.raises(ValueError, match="at least 2 rows in a training batch"):
            call()
    for name, value in model.state_dict().items():
        same(value, before[name], name)


class Same(shared.CustomLayer):
    """A user's code, so that a prediction by call saves what backward needs at once."""

    def forward_pass(self, x, training):
        return x

    def backward_pass(self, dy):
        return dy


ALONG = {                       # a layer's shape of x, and the layers that may be done along with the first
    "conv": ((19, 3, 5, 6), lambda nn: (nn.Conv2d(3, 7, 3, padding=1), nn.BatchNorm2d(7), nn.ReLU())),
    "conv without bias": ((3, 2, 9, 4), lambda nn: (nn.Conv2d(2, 5, 2, groups=1, bias=False), nn.BatchNorm2d(5))),
    "conv groups": ((18, 4, 6, 6), lambda nn: (nn.Conv2d(4, 6, 3, 2, groups=2), nn.BatchNorm2d(6, eps=0.5), nn.SiLU())),
    "depthwise": ((17, 3, 6, 7), lambda nn: (
        nn.Conv2d(3, 3, 3, padding=1, groups=3, bias=False), nn.BatchNorm2d(3), nn.ReLU())),
    "conv many filters": ((17, 3, 4, 4), lambda nn: (nn.Conv2d(3, 71, 3), nn.BatchNorm2d(71), nn.ReLU(), nn.Flatten())),
    "conv activation": ((17, 3, 5, 6), lambda nn: (nn.Conv2d(3, 7, 3), nn.Tanh(), nn.BatchNorm2d(7))),
    "conv not along": ((17, 3, 5, 6), lambda nn: (nn.Conv2d(3, 7, 3, activation="relu"), nn.BatchNorm2d(7))),
    "winograd": ((18, 5, 7, 7), lambda nn: (
        nn.Conv2d(5, 6, 3, algorithm="winograd"), nn.BatchNorm2d(6), nn.LeakyReLU(0.1))),
    "transposed": ((17, 3, 4, 5), lambda nn: (nn.ConvTranspose2d(3, 4, 2, 2), nn.BatchNorm2d(4), nn.ReLU())),
    "linear": ((9, 5), lambda nn: (nn.Linear(5, 35), nn.BatchNorm1d(35), nn.GELU())),
    "linear activation": ((3, 4, 5), lambda nn: (nn.Linear(5, 9), nn.ELU(), nn.Linear(9, 2), nn.Identity())),
    "linear not along": ((3, 2, 4, 5), lambda nn: (nn.Linear(5, 7), nn.BatchNorm2d(2), nn.ReLU())),
    "dropconnect": ((9, 5), lambda nn: (nn.DropConnect(5, 3, 0.5), nn.BatchNorm1d(3), nn.ReLU())),
}  # fmt: skip


@chequered
@pytest.mark.parametrize("name", ALONG)
def test_along_with_the_layer_before(fast, isa, dtype, name):
    """What a product or a convolution does along in a prediction gives the bits, and the gradients, of the layers."""
    shape, make = ALONG[name]
    x = normal(shape, dtype)
    model = fast.Sequential(*make(fast), seed=3, dtype=dtype, input_shape=shape[1:])
    for layer in model:
        if hasattr(layer, "running_mean"):
            layer.weight, layer.bias = (normal(layer.weight.shape, dtype, seed=each) for each in (4, 5))
    for seed in (6, 7):
        model.forward(normal(shape, dtype, seed=seed), training=True)
    saves = fast.Sequential(*copy.deepcopy(model.layers), Same(), dtype=dtype, input_shape=shape[1:])
    y = x
    for layer in model:
        y = layer(y)
    dy = normal(y.shape, dtype, seed=8)
    for found in (saves(x), model.predict(x), model.predict(x, batch_size=2), model(x)):
        same(found, y)
    saves(x)
    for _ in range(2):
        same(model.backward(dy), saves.backward(dy))
        for a, b in zip(model.grads.values(), saves.grads.values(), strict=True):
            same(a, b)


@pytest.mark.parametrize("behind", ["conv", "pool", "nothing"])
@pytest.mark.parametrize("shape", [(3, 3, 5, 6), (35, 3, 4, 7), (16, 3, 1, 1)])
@pytest.mark.parametrize("trainable", [True, False])
def test_relu_along_with_a_batchnorm(fast, isa, dtype, shape, behind, trainable):
    """A batchnorm of images does the relu behind it along with its own passes: to the bits of layers by themselves."""
    def made(*between):
        more = {"conv": [fast.Conv2d(4, 2, 1)], "pool": [fast.MaxPool2d(1)], "nothing": []}[behind]
        layers = fast.Conv2d(3, 4, 1), fast.BatchNorm2d(4), *between, fast.ReLU(), *more
        model = fast.Sequential(*layers, seed=3, dtype=dtype)
        model[1].weight, model[1].bias = (normal((4,), dtype, seed=each) for each in (4, 5))
        model[1].trainable = trainable
        return model

    model, other = made(), made(fast.Identity())                # behind which relu stands by itself
    x = normal(shape, dtype)
    for _ in range(2):                                          # a part ends before relu; then the whole once more
        y = other.forward(x, training=True)
        dy = normal(y.shape, dtype, seed=8)
        same(model.forward(x, training=True), y)
        same(model.backward(dy), other.backward(dy))
        for a, b in zip(model.grads.values(), other.grads.values(), strict=True):
            same(a, b)
        part = model[:2].forward(x, training=True)
        same(part, other[:2].forward(x, training=True))
        assert (part < 0).any()
        same(model.predict(x), other.predict(x))


@pytest.mark.filterwarnings("ignore:Setting the")             # NumPy's advice against it
@pytest.mark.parametrize(("name", "value"), [("shape", (6400,)), ("shape", (2, 3200)), ("dtype", "float64")])
def test_x_may_be_seen_in_another_way_before_backward(fast, name, value):
    """backward repeats the prediction with the same values, and reads no memory beyond them."""
    x, dy = np.array(normal((400, 16), "float32")), normal((400, 3), "float32", seed=8)
    layers = fast.Linear(16, 32), fast.BatchNorm1d(32), fast.ReLU(), fast.Linear(32, 3)
    model = fast.Sequential(*layers, seed=3, dtype="float32")
    model(x.copy())
    want = model.backward(dy)
    model(x)
    setattr(x, name, value)
    same(model.backward(dy), want)


@pytest.mark.parametrize("case", BATCH, ids=name_of)
def test_nan_stays_in_its_channel(nn, dtype, case):
    model = nn.Sequential(case.make(nn), dtype=dtype)
    x = np.array(normal(case.shape, dtype))
    x[0, 1] = np.nan
    y = model.forward(x, training=True)
    assert np.isnan(y[:, 1]).all()
    assert np.isfinite(np.delete(y, 1, axis=1)).all()


@pytest.mark.parametrize("case", BATCH, ids=name_of)
def test_copies_take_the_running_statistics_along(nn, case):
    model = nn.Sequential(case.make(nn), dtype="float64")
    model.forward(3 + normal(case.shape), training=True)
    twin = copy.deepcopy(model)
    same_parameters(twin, model)
    other = nn.Sequential(case.make(nn), dtype="float64")
    other.load_state_dict(model.state_dict())
    x = normal(case.shape, seed=1)
    same(other(x), model(x))
    assert list(model.state_dict()) == ["0.weight", "0.bias", "0.running_mean", "0.running_var"]
    assert list(model.params) == ["0.weight", "0.bias"]


def test_no_optimizer_moves_the_running_statistics(nn):
    """They are not parameters: no gradient, no decay, not clipped; and weight and bias do not decay either."""
    model = nn.Sequential(nn.BatchNorm1d(3), dtype="float64")
    x = 5 + normal((8, 3))
    by_hand = nn.Sequential(nn.BatchNorm1d(3), dtype="float64")
    model.step(x, np.zeros((8, 3)), nn.MSELoss(), nn.SGD(lr=0.1, weight_decay=0.5))
    by_hand.step(x, np.zeros((8, 3)), nn.MSELoss(), nn.SGD(lr=0.1))
    same_parameters(model, by_hand)
    assert all(not decays for _, _, _, decays in model.parameters())


def test_other_image_sizes(nn, dtype):
    model = nn.Sequential(nn.BatchNorm2d(2), dtype=dtype)
    for shape in [(2, 2, 3, 5), (4, 2, 1, 1), (1, 2, 7, 7)]:
        assert model.forward(normal(shape, dtype), training=True).shape == shape
        assert model.backward(normal(shape, dtype)).shape == shape
        assert model(readonly(normal(shape, dtype))).shape == shape


@pytest.mark.parametrize("shape", [(301, 700), (40, 19, 13, 17), (3, 2, 301, 303)])
def test_threads_and_instruction_sets(fast, isa, dtype, threads, shape):
    def run(count):
        threads(count)
        norm = fast.BatchNorm1d(shape[1]) if len(shape) == 2 else fast.BatchNorm2d(shape[1])
        groups = fast.GroupNorm(2 if shape[1] % 2 == 0 else 19, shape[1])
        model = fast.Sequential(norm, groups, fast.LayerNorm(shape[1:]), fast.RMSNorm(shape[1:]), dtype=dtype)
        y = model.forward(1 + normal(shape, dtype), training=True)
        return [y, model.backward(normal(shape, dtype, seed=1)), *model.grads.values(), *model.state_dict().values()]

    want = run(1)
    for count in (2, 3, 5):
        for one, other in zip(run(count), want, strict=True):
            same(one, other)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("shape", [(9, 5, 16, 63), (3000, 4, 5, 3)], ids=["pieces", "blocks of rows"])
def test_gradients_of_groups_have_the_same_bits_for_any_number_of_threads(shape, dtype):
    def gradients(threads):
        before = fastnn._kernels.limit_threads(threads)
        try:
            model = fastnn.Sequential(fastnn.GroupNorm(1, shape[1]), dtype=dtype)
            y = model.forward(normal(shape, dtype), training=True)
            return [model.backward(normal(y.shape, dtype, seed=1)), *map(np.copy, model.grads.values())]
        finally:
            fastnn._kernels.limit_threads(before)

    for two, one in zip(gradients(2), gradients(1), strict=True):
        same(two, one)


@pytest.mark.filterwarnings("ignore:overflow")
@pytest.mark.parametrize("case", [*BATCH, *LARGE[:3], *LARGE[4:6],
                                  Case("rms", lambda nn: nn.RMSNorm(19), (7, 19))], ids=name_of)
def test_an_infinite_variance_leaves_zeros(ref, fast, isa, dtype, case):
    """As in PyTorch: 1/√∞ is 0, for y and for all gradients but that of the shift. It was NaN."""
    x = normal(case.shape, dtype) * dtype.type(1e30 if dtype == "float32" else 1e200)
    for nn in (ref, fast):
        model = nn.Sequential(case.make(nn), dtype=dtype)
        assert np.array_equal(model.forward(x, training=True), np.zeros_like(x))
        assert np.array_equal(model.backward(np.ones_like(x)), np.zeros_like(x))
        assert all(np.isfinite(gradient).all() for gradient in model.grads.values())
        assert np.array_equal(model(x), np.zeros_like(x))
