"""DropConnect: weights, not units; a mask for each example or for the batch; the mean over all masks at prediction."""

import math

import numpy as np
import pytest

from tests.cases import CONNECTIONS, Case
from tests.check import check_against_reference, check_gradient, close, normal, same, same_parameters
from tests.pairwise import chequered, pairwise

WIDE = Case("dropconnect 2x3x2309", lambda nn: nn.DropConnect(3, 2309, 0.4), (2, 3))       # more than a chunk of a row


@pytest.mark.parametrize("case", CONNECTIONS, ids=lambda case: case.name)
def test_gradient(ref, case):
    check_gradient(ref.Sequential(case.make(ref), seed=1, dtype="float64"), normal(case.shape))


@chequered
@pytest.mark.parametrize("case", [*CONNECTIONS, WIDE], ids=lambda case: case.name)
def test_engine_agrees(ref, fast, isa, dtype, case):
    check_against_reference(ref, fast, case, dtype)


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("mask", ["example", "batch"])
def test_formula(ref, nn, p, mask):
    """Word (i·in + k)·out + j of the layer's stream decides about weight (k, j) of example i."""
    n, k, m = 4, 5, 3
    layer = nn.DropConnect(k, m, p, mask=mask)
    model = nn.Sequential(nn.Identity(), layer, seed=7, dtype="float64")
    layer.bias = normal((m,), seed=3)
    x, dy = normal((n, k)), normal((n, m), seed=1)
    for step in range(2):
        draws = n if mask == "example" else 1
        words = ref.philox.uint32(draws * k * m, 7, step, (1 << 24) + 1).astype(np.int64)
        keep = np.broadcast_to((words >= round(p * 2**32)).reshape(draws, k, m), (n, k, m)) / (1 - p)
        w = layer.weight * keep
        y = np.array([x[i] @ w[i] for i in range(n)]) + layer.bias
        close("product", model.forward(x, training=True), y, (k + 1) * (np.abs(y) + 10 / (1 - p)))
        dx = np.array([w[i] @ dy[i] for i in range(n)])
        close("product", model.backward(dy), dx, m * (np.abs(dx) + 10 / (1 - p)))
        dw = sum(np.outer(x[i], dy[i]) * keep[i] for i in range(n))
        close("product", layer.grads["weight"], dw, n * (np.abs(dw) + 10 / (1 - p)))
        close("product", layer.grads["bias"], dy.sum(0), n * np.abs(dy).sum(0))


@pytest.mark.slow
@pairwise("nn", mask=["example", "batch"], activation=[None, "relu", "tanh"])
def test_prediction_is_the_mean_over_masks(nn, mask, activation):
    """Many inputs make u nearly normal: what is predicted is what training yields on average."""
    n, k, m = 3, 200, 4
    model = nn.Sequential(nn.DropConnect(k, m, 0.3, mask=mask, activation=activation, samples=4000), seed=2)
    x = normal((n, k)) / 4
    draws = np.array([model.forward(x, training=True) for _ in range(1000)], np.float64)
    error = draws.std(axis=0) / math.sqrt(len(draws))
    spread = draws.std(axis=0) / math.sqrt(4000)
    assert (np.abs(draws.mean(axis=0) - model(x)) < 5 * (error + spread) + 0.004).all()


def test_closed_form_for_relu(nn):
    """E[max(u, 0)] by numerical integration over the density of u."""
    p, k, m = 0.4, 6, 5
    layer = nn.DropConnect(k, m, p, activation="relu")
    model = nn.Sequential(layer, seed=2, dtype="float64")
    layer.bias = normal((m,), seed=3)
    x = normal((3, k))
    mean = x @ layer.weight + layer.bias
    sigma = np.sqrt(p / (1 - p) * (x**2 @ layer.weight**2))
    z = np.linspace(-12, 12, 200_001)
    density = np.exp(-z * z / 2) / math.sqrt(2 * math.pi)
    want = np.array([[np.maximum(a + s * z, 0) @ density * (z[1] - z[0]) for a, s in zip(*rows, strict=True)]
                     for rows in zip(mean, sigma, strict=True)])
    assert np.abs(model(x) - want).max() < 1e-8


def test_no_weights_no_variance(nn, dtype):
    layer = nn.DropConnect(3, 4, 0.5, activation="relu", init="zeros")
    model = nn.Sequential(layer, dtype=dtype)
    layer.bias = np.array([-1.0, 0.0, 2.0, 3.0])
    same(model(normal((2, 3), dtype)), np.array([[0, 0, 2, 3]] * 2, dtype))


def test_inference_by_the_mean_is_linear(nn, dtype):
    x = normal((3, 7), dtype)
    plain = nn.Sequential(nn.Linear(7, 5, activation="gelu"), seed=3, dtype=dtype)
    for p, inference in ((0.5, "mean"), (0.0, "gaussian")):
        dropped = nn.Sequential(nn.DropConnect(7, 5, p, inference=inference, activation="gelu"), seed=3, dtype=dtype)
        same(dropped(x), plain(x))


def test_prediction_does_not_depend_on_the_batch(nn, dtype):
    model = nn.Sequential(nn.DropConnect(7, 5, 0.5, activation="tanh"), seed=3, dtype=dtype)
    x = normal((9, 7), dtype)
    whole = model(x)
    close("layer", model.predict(x, batch_size=2), whole, 20.0)
    same(model(x), whole)


@pytest.mark.parametrize("mask", ["example", "batch"])
def test_strength_zero_is_linear(nn, dtype, mask):
    x, t = normal((5, 7), dtype), np.arange(5) % 3
    models = [nn.Sequential(layer, seed=3, dtype=dtype) for layer in (nn.Linear(7, 3), nn.DropConnect(7, 3, 0, mask))]
    for model in models:
        optimizer = nn.SGD(lr=0.1)
        for _ in range(4):
            model.step(x, t, nn.CrossEntropyLoss(), optimizer)
    same_parameters(*models)


@pytest.mark.parametrize("mask", ["example", "batch"])
def test_step_and_a_loop_by_hand_draw_the_same(nn, dtype, mask):
    x, t = normal((7, 13), dtype), np.arange(7) % 3
    one, other = (
        nn.Sequential(nn.DropConnect(13, 9, 0.5, mask, activation="relu"), nn.Linear(9, 3), seed=3, dtype=dtype)
        for _ in range(2)
    )
    loss, optimizer, another = nn.CrossEntropyLoss(), nn.Adam(), nn.Adam()
    for _ in range(4):
        value = one.step(x, t, loss, optimizer)
        assert loss.forward(other.forward(x, training=True), t) == value
        other.backward(loss.backward())
        another.step(other)
    same_parameters(one, other)


@pairwise("isa*dtype", mask=["example", "batch"], shape=[(13, 67, 65), (5, 3, 5003), (3, 301, 10)])
def test_threads_and_instruction_sets(fast, dtype, isa, threads, mask, shape):
    n, k, m = shape
    results = []
    for count in (1, 2, 3):
        threads(count)
        model = fast.Sequential(fast.DropConnect(k, m, 0.3, mask, activation="gelu", samples=20), dtype=dtype)
        y = model.forward(normal((n, k), dtype), training=True)
        dx = model.backward(normal((n, m), dtype, seed=1))
        results.append([y, dx, *model.grads.values(), model(normal((n, k), dtype))])
    for other in results[1:]:
        for a, b in zip(other, results[0], strict=True):
            same(a, b)


def test_masks_by_example_and_large_rows(ref, fast, dtype):
    """Rows of the weight longer than a piece of the kernel's."""
    model = fast.Sequential(fast.DropConnect(3, 5003, 0.3), seed=4, dtype=dtype)
    book = ref.Sequential(ref.DropConnect(3, 5003, 0.3), seed=4, dtype="float64")
    book.load_state_dict(model.state_dict())
    x, dy = normal((2, 3), dtype), normal((2, 5003), dtype, seed=1)
    close("product", model.forward(x, training=True), book.forward(x, training=True), 4 * 4.0)
    close("layer", model.backward(dy), book.backward(dy), 5003.0)
    close("product", model.grads["0.weight"], book.grads["0.weight"], 2 * 10.0)
