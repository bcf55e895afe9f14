"""Dropout: which values go, by how much the others grow, and that backward knows."""

import copy

import numpy as np
import pytest

from tests.cases import MASKS, PROBABILITIES
from tests.check import check_against_reference, check_gradient, normal, same, same_parameters
from tests.pairwise import chequered, pairwise

INNER = (0.1, 0.5, 0.9)


@pytest.mark.parametrize("case", MASKS, ids=lambda case: case.name)
def test_gradient(ref, case):
    check_gradient(ref.Sequential(case.make(ref), seed=1, dtype="float64"), normal(case.shape))


@chequered
@pytest.mark.parametrize("case", MASKS, ids=lambda case: case.name)
def test_engine_agrees(ref, fast, isa, dtype, case):
    check_against_reference(ref, fast, case, dtype)


def mask_by_hand(ref, n, p, seed, step, number):
    """Which of n values stay: the words of stream (mask, layer's number), each against round(p · 2³²)."""
    words = ref.philox.uint32(n, seed, step, (1 << 24) + number)
    return np.array([int(word) >= round(p * 2**32) for word in words])


@pairwise("nn*dtype", p=PROBABILITIES, shape=[(1, 1), (3, 7), (5, 64), (2, 3, 43), (67, 129)])
def test_formula(ref, nn, dtype, p, shape):
    model = nn.Sequential(nn.Identity(), nn.Dropout(p), seed=2**40 + 3, dtype=dtype)
    x, dy = normal(shape, dtype), normal(shape, dtype, seed=1)
    for step in range(3):
        keep = mask_by_hand(ref, x.size, p, 2**40 + 3, step, 1).reshape(shape)
        scale = np.asarray(1 / (1 - p) if p < 1 else 0, dtype)
        same(model.forward(x, training=True), np.where(keep, x, 0) * scale, "y")
        same(model.backward(dy), np.where(keep, dy, 0) * scale, "dx")
    same(model(x), x, "prediction")


@pytest.mark.parametrize("p", INNER)
def test_share_and_mean(nn, p):
    """E[y] = x, and the share of zeros is p: at p = 0.5 a swap of p and 1 − p would not show."""
    n = 200_000
    model = nn.Sequential(nn.Dropout(p), dtype="float64")
    y = model.forward(np.ones((1, n)), training=True)
    assert abs((y == 0).mean() - p) < 5 * np.sqrt(p * (1 - p) / n)
    assert abs(y.mean() - 1) < 5 * np.sqrt(p / (1 - p) / n)


def test_ends_of_the_range(nn, dtype):
    x = np.array([[1.0, np.nan, np.inf, -np.inf, -2.0]], dtype)
    all_gone = nn.Sequential(nn.Dropout(1.0), dtype=dtype)
    same(all_gone.forward(x, training=True), np.zeros_like(x))
    same(all_gone.backward(x), np.zeros_like(x))
    none_gone = nn.Sequential(nn.Dropout(0.0), dtype=dtype)
    same(none_gone.forward(x, training=True), x)
    same(none_gone.backward(x), x)
    same(all_gone(x), x)


def test_nan_goes_with_its_value(nn, dtype):
    model = nn.Sequential(nn.Dropout(0.5), seed=1, dtype=dtype)
    y = model.forward(np.full((1, 100), np.nan, dtype), training=True)
    assert set(np.isnan(y).ravel()) == {True, False}
    same(y[~np.isnan(y)], np.zeros((~np.isnan(y)).sum(), dtype))


def test_layers_and_steps_have_masks_of_their_own(nn):
    model = nn.Sequential(nn.Dropout(0.5), nn.Dropout(0.5), seed=4)
    y = [model.forward(np.ones((1, 400)), training=True) for _ in range(2)]
    assert 60 < (y[0] != 0).sum() < 140         # a quarter: the two masks are independent
    assert (y[0] != y[1]).any()
    again = copy.deepcopy(model)
    same(again.forward(np.ones((1, 400)), training=True), model.forward(np.ones((1, 400)), training=True))
    model.steps = 0
    same(model.forward(np.ones((1, 400)), training=True), y[0])


def test_prediction_uses_up_no_mask(nn):
    one, other = (nn.Sequential(nn.Dropout(0.5), seed=4) for _ in range(2))
    other(np.ones((3, 5)))
    other.predict(np.ones((3, 5)))
    same(one.forward(np.ones((3, 50)), training=True), other.forward(np.ones((3, 50)), training=True))


def net(nn, dtype="float64"):
    return nn.Sequential(
        nn.Dropout(0.2), nn.Linear(13, 31, activation="relu"), nn.Dropout(0.5), nn.Linear(31, 3), seed=3, dtype=dtype)


def test_step_and_a_loop_by_hand_draw_the_same(nn, dtype):
    x, t = normal((7, 13), dtype), np.arange(7) % 3
    one, other = net(nn, dtype), net(nn, dtype)
    loss, optimizer, another = nn.CrossEntropyLoss(), nn.Adam(), nn.Adam()
    for _ in range(5):
        value = one.step(x, t, loss, optimizer)
        y = other.forward(x, training=True)
        assert loss.forward(y, t) == value
        other.backward(loss.backward())
        another.step(other)
    same_parameters(one, other)


def test_strength_zero_is_the_plain_net(nn, dtype):
    x, t = normal((7, 13), dtype), np.arange(7) % 3

    def trained(*layers):
        model = nn.Sequential(*layers, seed=3, dtype=dtype)
        optimizer = nn.SGD(lr=0.1, momentum=0.9)
        for _ in range(5):
            model.step(x, t, nn.CrossEntropyLoss(), optimizer)
        return model.parameters()

    plain = trained(nn.Linear(13, 31), nn.Linear(31, 3))
    zero = trained(nn.Dropout(0), nn.Linear(13, 31), nn.Dropout(0), nn.Linear(31, 3))
    for (_, a, _, _), (_, b, _, _) in zip(plain, zero, strict=True):
        same(a, b)


def test_threads_and_instruction_sets(ref, fast, isa, dtype, threads):
    x, dy = normal((131, 1031), dtype), normal((131, 1031), dtype, seed=1)
    book = ref.Sequential(ref.Dropout(0.3), seed=9, dtype=dtype)
    want = book.forward(x, training=True), book.backward(dy)
    for count in (1, 2, 3):
        threads(count)
        model = fast.Sequential(fast.Dropout(0.3), seed=9, dtype=dtype)
        same(model.forward(x, training=True), want[0])
        same(model.backward(dy), want[1])


def test_a_whole_epoch(ref, fast, threads):
    x, t = normal((50, 13)), np.arange(50) % 3
    models = [net(ref), net(fast)]
    for nn, model in zip((ref, fast), models, strict=True):
        optimizer = nn.SGD(lr=0.1)
        for _ in range(3):
            model.run_epoch(x, t, nn.CrossEntropyLoss(), optimizer, batch_size=8)
    for name, value in models[0].state_dict().items():
        assert np.abs(value - models[1].state_dict()[name]).max() < 1e-12
