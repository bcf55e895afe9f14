"""GaussianNoise and Augment: each change by its formula, draws of their own for each example, never at prediction."""

import math

import numpy as np
import pytest

from fastnn_ref import augment
from tests.cases import ALL_CHANGES, AUGMENTS, NOISES, Case
from tests.check import check_against_reference, check_gradient, normal, same, same_parameters
from tests.pairwise import chequered

WIDE = Case("augment 2x2x9x131", lambda nn: nn.Augment(**ALL_CHANGES), (2, 2, 9, 131))    # more than a strip of columns


@pytest.mark.parametrize("case", NOISES + AUGMENTS, ids=lambda case: case.name)
def test_gradient(ref, case):
    check_gradient(ref.Sequential(case.make(ref), seed=1, dtype="float64"), normal(case.shape))


@chequered
@pytest.mark.parametrize("case", [*NOISES, *AUGMENTS, WIDE], ids=lambda case: case.name)
def test_engine_agrees(ref, fast, isa, dtype, case):
    check_against_reference(ref, fast, case, dtype)


# ---- noise ----


def test_noise(nn, dtype):
    n = 200_000
    model = nn.Sequential(nn.GaussianNoise(0.5), seed=3, dtype=dtype)
    x = np.ones((2, n // 2), dtype)
    first, second = (model.forward(x, training=True).astype(float) - 1 for _ in range(2))
    assert abs(first.mean()) < 5 * 0.5 / math.sqrt(n)
    assert abs(first.std() - 0.5) < 5 * 0.5 / math.sqrt(2 * n)
    assert abs((np.abs(first) < 0.5).mean() - 0.6827) < 0.006
    assert abs((first * second).mean()) < 5 * 0.25 / math.sqrt(n)
    same(model(x), x)
    model.forward(x, training=True)
    same(model.backward(x), x)


def test_noise_by_words(ref, nn):
    """Box and Muller on words 2⌊i/2⌋ and 2⌊i/2⌋ + 1 of the layer's stream."""
    model = nn.Sequential(nn.GaussianNoise(0.5), seed=3, dtype="float64")
    y = model.forward(np.zeros((3, 5)), training=True).ravel()
    words = [(int(word) + 0.5) / 2**32 for word in ref.philox.uint32(16, 3, 0, 1 << 24)]
    for i in range(15):
        u, v = words[i // 2 * 2], words[i // 2 * 2 + 1]
        z = math.sqrt(-2 * math.log(u)) * (math.sin if i % 2 else math.cos)(2 * math.pi * v)
        assert y[i] == pytest.approx(0.5 * z, rel=1e-13)


# ---- warps ----


def turned(images, angle=0.0, zoom=1.0, shear=0.0, flip=False, shift=(0.0, 0.0)):
    n = len(images)
    matrix = augment.affine(math.radians(angle), zoom, math.radians(shear), flip)
    return augment.warp(images, np.tile(matrix, (n, 1, 1)), np.tile(shift, (n, 1)))


def test_quarter_turns():
    """Counter-clockwise, about the middle of the image: a corner would leave most of it outside."""
    x = normal((2, 3, 7, 7))
    for quarter in range(-3, 4):
        assert np.abs(turned(x, 90 * quarter) - np.rot90(x, quarter, axes=(2, 3))).max() < 1e-13


def test_shifts():
    x = normal((2, 1, 6, 8))
    want = np.zeros_like(x)
    want[:, :, 2:, :-3] = x[:, :, :-2, 3:]
    same(turned(x, shift=(2, -3)), want)
    half = turned(x, shift=(0, 0.5))
    assert np.abs(half[..., 1:] - (x[..., 1:] + x[..., :-1]) / 2).max() < 1e-15
    assert np.abs(half[..., 0] - x[..., 0] / 2).max() < 1e-15


def test_mirror_image():
    x = normal((2, 3, 5, 6))
    same(turned(x, flip=True), x[..., ::-1])
    same(turned(x), x)


def test_zoom():
    """Twice as large: the middle pixel stays, its neighbours come from half as far."""
    x = normal((1, 1, 5, 5))
    y = turned(x, zoom=2.0)
    assert y[0, 0, 2, 2] == x[0, 0, 2, 2]
    assert y[0, 0, 2, 4] == x[0, 0, 2, 3]
    assert y[0, 0, 0, 0] == x[0, 0, 1, 1]
    assert y[0, 0, 2, 3] == pytest.approx((x[0, 0, 2, 2] + x[0, 0, 2, 3]) / 2)


@pytest.mark.parametrize("seed", range(5))
def test_scipy_agrees(seed):
    ndimage = pytest.importorskip("scipy.ndimage")
    rng = np.random.default_rng(seed)
    image, shift = rng.normal(size=(9, 12)), rng.uniform(-2, 2, 2)
    matrix = augment.affine(rng.uniform(-3, 3), rng.uniform(0.5, 2), rng.uniform(-0.5, 0.5), seed % 2 == 1)
    centre = (np.array(image.shape) - 1) / 2
    want = ndimage.affine_transform(image, matrix, centre - matrix @ (centre + shift), order=1, mode="grid-constant")
    got = augment.warp(image[None, None], matrix[None], shift[None])[0, 0]
    assert np.abs(got - want).max() < 1e-12


# ---- the layer ----


def augmented(nn, x, **arguments):
    model = nn.Sequential(nn.Augment(**arguments), seed=5, dtype="float64")
    return model.forward(x, training=True)


def test_brightness(nn):
    x = np.repeat(normal((1, 2, 3, 4)), 2000, axis=0)
    added = augmented(nn, x, brightness=0.5) - x
    assert np.abs(added - added[:, :1, :1, :1]).max() < 1e-14
    draws = added[:, 0, 0, 0]
    assert np.abs(draws).max() <= 0.5
    assert abs(draws.mean()) < 0.035
    assert abs(draws.std() - 0.5 / math.sqrt(3)) < 0.02
    assert len(set(draws)) == 2000                          # each example has its own


def test_contrast(nn):
    x = np.repeat(normal((1, 2, 3, 4)), 500, axis=0)
    y = augmented(nn, x, contrast=0.4)
    mean = x.mean(axis=(1, 2, 3), keepdims=True)
    factors = ((y - mean) / (x - mean))
    assert np.abs(factors - factors[:, :1, :1, :1]).max() < 1e-10
    draws = factors[:, 0, 0, 0]
    assert 0.6 <= draws.min() < 0.61
    assert 1.39 < draws.max() <= 1.4
    assert np.abs(y.mean(axis=(1, 2, 3)) - x.mean(axis=(1, 2, 3))).max() < 1e-14


def test_rotation_is_in_degrees_about_the_middle(nn):
    """A dot 10 pixels above the middle: on average over many draws it stands within ± 30 degrees of there."""
    x = np.zeros((400, 1, 25, 25))
    x[:, 0, 2, 12] = 1
    y = augmented(nn, x, rotation=30)
    rows, columns = np.mgrid[:25, :25] - 12
    angles = [math.degrees(math.atan2(-(image * columns).sum(), -(image * rows).sum())) for image in y[:, 0]]
    assert 28 < max(angles) < 31
    assert -31 < min(angles) < -28
    assert abs(np.mean(angles)) < 5
    assert abs(np.std(angles) - 30 / math.sqrt(3)) < 2


def test_shift_is_in_pixels(nn):
    x = np.zeros((400, 1, 21, 21))
    x[:, 0, 10, 10] = 1
    rows, columns = np.mgrid[:21, :21] - 10
    y = augmented(nn, x, shift=(1.5, 6))[:, 0]
    down, across = (y * rows).sum(axis=(1, 2)), (y * columns).sum(axis=(1, 2))
    assert 1.4 < np.abs(down).max() <= 1.5 + 1e-9
    assert 5.8 < np.abs(across).max() <= 6 + 1e-9
    assert abs(np.corrcoef(down, across)[0, 1]) < 0.2


def test_flip(nn):
    x = np.repeat(normal((1, 1, 2, 3)), 1000, axis=0)
    y = augmented(nn, x, flip=0.3)
    mirrored = (y == x[..., ::-1]).all(axis=(1, 2, 3))
    assert (mirrored | (y == x).all(axis=(1, 2, 3))).all()
    assert abs(mirrored.mean() - 0.3) < 0.07


def test_erase(nn):
    x = np.ones((1000, 2, 10, 20))
    y = augmented(nn, x, erase=0.4)
    holes = (y == 0)
    same(holes[:, 0].astype(float), holes[:, 1].astype(float))
    share = holes[:, 0].mean(axis=(1, 2))
    assert abs((share > 0).mean() - 0.4) < 0.07
    assert 0.01 < share[share > 0].min() < 0.04
    assert 0.28 < share.max() < 0.37
    for hole in holes[:, 0]:                                # a rectangle
        rows, columns = hole.any(axis=1), hole.any(axis=0)
        assert hole.sum() == rows.sum() * columns.sum()
    covered = holes[:, 0].mean(axis=0)
    assert covered[0, 0] > 0
    assert covered[-1, -1] > 0


def test_prediction_is_the_image(nn, dtype):
    x = normal((3, 2, 5, 6), dtype)
    model = nn.Sequential(nn.Augment(**ALL_CHANGES), dtype=dtype)
    same(model(x), x)
    assert np.abs(model.forward(x, training=True) - x).max() > 0.1
    same(model(x), x)


def test_nothing_to_change(nn, dtype):
    x = normal((3, 2, 5, 6), dtype)
    model = nn.Sequential(nn.Augment(), dtype=dtype)
    same(model.forward(x, training=True), x)
    same(model.backward(x), x)


def test_flat_rows(nn, dtype):
    x = normal((4, 2, 5, 6), dtype)
    images, rows = (nn.Sequential(nn.Augment(**ALL_CHANGES, image_shape=shape), seed=2, dtype=dtype)
                    for shape in (None, (2, 5, 6)))
    same(rows.forward(x.reshape(4, 60), training=True), images.forward(x, training=True).reshape(4, 60))
    same(rows.backward(x.reshape(4, 60)), images.backward(x).reshape(4, 60))


def test_two_in_a_row_draw_apart(nn):
    x = np.ones((200, 1, 1, 1))
    model = nn.Sequential(nn.Augment(brightness=1.0), nn.Augment(brightness=1.0), seed=3, dtype="float64")
    both = model.forward(x, training=True) - 1
    assert np.abs(both).max() > 1.2
    assert abs(both.std() - math.sqrt(2 / 3)) < 0.15


def net(nn, dtype):
    return nn.Sequential(
        nn.Augment(**ALL_CHANGES), nn.Conv2d(1, 3, 3, padding=1, activation="relu"), nn.GaussianNoise(0.1),
        nn.Flatten(), nn.Linear(90, 3), seed=3, dtype=dtype,
    )  # fmt: skip


def test_step_and_a_loop_by_hand_draw_the_same(nn, dtype):
    x, t = normal((7, 1, 5, 6), dtype), np.arange(7) % 3
    one, other = net(nn, dtype), net(nn, dtype)
    loss, optimizer, another = nn.CrossEntropyLoss(), nn.Adam(), nn.Adam()
    for _ in range(4):
        value = one.step(x, t, loss, optimizer)
        assert loss.forward(other.forward(x, training=True), t) == value
        other.backward(loss.backward())
        another.step(other)
    same_parameters(one, other)


def test_a_whole_epoch(ref, fast):
    x, t = normal((50, 1, 5, 6)), np.arange(50) % 3
    models = [net(nn, "float64") for nn in (ref, fast)]
    for nn, model in zip((ref, fast), models, strict=True):
        optimizer = nn.SGD(lr=0.1)
        for _ in range(2):
            model.run_epoch(x, t, nn.CrossEntropyLoss(), optimizer, batch_size=8)
    for name, value in models[0].state_dict().items():
        assert np.abs(value - models[1].state_dict()[name]).max() < 1e-11


def test_nothing_comes_from_far_outside(fast, isa, dtype):
    """Shifted out of sight, by any number of pixels, an image is black: also a NaN does not shine through."""
    x = np.full((50, 2, 5, 6), np.nan, dtype)
    for shift in (1e3, 1e18, 1e300):
        model = fast.Sequential(fast.Augment(shift=shift), seed=1, dtype=dtype)
        same(model.forward(x, training=True), np.zeros_like(x))
        same(model.backward(np.ones_like(x)), np.zeros_like(x))


def test_threads_and_instruction_sets(fast, dtype, isa, threads):
    results = []
    for count in (1, 2, 3):
        threads(count)
        model = fast.Sequential(fast.Augment(**ALL_CHANGES), fast.GaussianNoise(0.3), seed=2, dtype=dtype)
        y = model.forward(normal((13, 3, 17, 19), dtype), training=True)
        results.append([y, model.backward(normal(y.shape, dtype, seed=1))])
    for other in results[1:]:
        for a, b in zip(other, results[0], strict=True):
            same(a, b)


# ---- what comes from outside, and whole pixels ----


def test_fill(nn, dtype):
    """Outside is ``fill``, and between the last pixel and it there is a mixture; brightness comes after it."""
    x = np.repeat(normal((1, 1, 5, 5), dtype), 300, axis=0)
    model = nn.Sequential(nn.Augment(shift=4.0, fill=-2.0), seed=5, dtype=dtype)
    y = model.forward(x, training=True)
    plus = nn.Sequential(nn.Augment(shift=4.0), seed=5, dtype=dtype).forward(x + dtype.type(2), training=True)
    assert np.abs(y - (plus - 2)).max() < 1e-5              # a warp is linear: filling is shifting the zero
    assert (np.abs(y + 2) < 1e-5).any(axis=(1, 2, 3)).sum() > 200
    erased = nn.Sequential(nn.Augment(erase=1.0, fill=0.5), seed=5, dtype=dtype).forward(x, training=True)
    assert (((erased == 0.5) | (erased == x)).all(axis=(1, 2, 3)) & (erased == 0.5).any(axis=(1, 2, 3))).all()


def test_whole_shifts(nn, dtype):
    """Each of 5 · 3 shifts as likely as the others; pixels are moved, to the bit, and back again."""
    n = 3000
    x = np.repeat(normal((1, 2, 6, 7), dtype), n, axis=0)
    model = nn.Sequential(nn.Augment(shift=(2, 1), whole_shift=True, fill=9.0), seed=5, dtype=dtype)
    y = model.forward(x, training=True)
    dx = model.backward(x)
    counts = {}
    for down in range(-2, 3):
        for across in range(-1, 2):
            moved = np.full((2, 10, 9), 9.0, dtype)
            moved[:, 2 + down:8 + down, 1 + across:8 + across] = x[0]
            here = (y == moved[:, 2:8, 1:8]).all(axis=(1, 2, 3))
            counts[down, across] = here.sum()
            back = np.zeros((2, 10, 9), dtype)              # what a pixel gave comes back, the rest is lost
            back[:, 2:8, 1:8] = x[0]
            same(dx[here], np.repeat(back[None, :, 2 + down:8 + down, 1 + across:8 + across], here.sum(), axis=0))
    assert sum(counts.values()) == n
    assert max(abs(count - n / 15) for count in counts.values()) < 5 * math.sqrt(n / 15)


def test_whole_shifts_want_whole_numbers(nn):
    assert repr(nn.Augment(shift=2, whole_shift=True, fill=-0.5)) == (
        "Augment(shift=(2.0, 2.0), fill=-0.5, whole_shift=True)")
    with pytest.raises(ValueError, match=r"shift: expected whole numbers beside whole_shift=True, got \(1, 0.5\)"):
        nn.Augment(shift=(1, 0.5), whole_shift=True)
    with pytest.raises(ValueError, match="fill: expected a finite number, got nan"):
        nn.Augment(fill=math.nan)
