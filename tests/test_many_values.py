"""Sums of a million values keep the digits of float32: one chain of them would lose those of nearly equal values.

Sums that forward takes are tested beside their layers: of the norms in test_norm, of the pools in test_pool.
"""

import numpy as np
import pytest

from tests.cases import Case

MILLION = 2**20
LAYERS = [
    Case("linear", lambda nn: nn.Linear(2, 3), (MILLION, 2)),
    Case("linear_relu", lambda nn: nn.Linear(2, 3, "relu", init=0.5), (MILLION, 2)),
    Case("linear_inputs", lambda nn: nn.Linear(MILLION, 2), (2, MILLION)),
    Case("batchnorm1d", lambda nn: nn.BatchNorm1d(2), (MILLION, 2)),
    Case("batchnorm2d", lambda nn: nn.BatchNorm2d(1), (4, 1, 512, 512)),
    Case("batchnorm2d_blocks", lambda nn: nn.BatchNorm2d(1), (17, 1, 250, 250)),
    Case("layernorm_rows", lambda nn: nn.LayerNorm(3), (MILLION, 3)),
    Case("layernorm_row", lambda nn: nn.LayerNorm(MILLION), (1, MILLION)),
    Case("rmsnorm_rows", lambda nn: nn.RMSNorm(3), (MILLION, 3)),
    Case("rmsnorm_row", lambda nn: nn.RMSNorm(MILLION), (1, MILLION)),
    Case("groupnorm_rows", lambda nn: nn.GroupNorm(1, 2), (MILLION, 2)),
    Case("groupnorm_pixels", lambda nn: nn.GroupNorm(1, 2), (1, 2, 1024, 512)),
    Case("groupnorm_odd_pixels", lambda nn: nn.GroupNorm(1, 2), (1, 2, 1023, 511)),
    Case("prelu", lambda nn: nn.PReLU(2), (MILLION, 2)),
    Case("softmax", lambda nn: nn.Softmax(), (1, MILLION)),
    Case("log_softmax", lambda nn: nn.LogSoftmax(), (1, MILLION)),
    Case("conv2d", lambda nn: nn.Conv2d(1, 2, 1), (16, 1, 256, 256)),
    Case("conv_transpose2d", lambda nn: nn.ConvTranspose2d(1, 2, 1), (16, 1, 256, 256)),
]


def near(value, rng, shape):
    return (value + 1e-3 * rng.normal(size=shape)).astype(np.float32)


@pytest.mark.parametrize("case", LAYERS, ids=lambda case: case.name)
def test_layers(nn, case):
    """Biases of a million rows were off by 1 %, a Linear's weights by 0.7 %, and BatchNorm's dx was rounding alone."""
    rng = np.random.default_rng(0)
    x = near(-0.7 if case.name == "prelu" else 0.7, rng, case.shape)
    found, dy = [], None
    for dtype in ("float64", "float32"):
        model = nn.Sequential(case.make(nn), seed=0, dtype=dtype)
        y = np.array(model.forward(x.astype(dtype), training=True))
        dy = near(0.7, rng, y.shape) if dy is None else dy
        dx = np.array(model.backward(dy.astype(dtype)))
        found.append({"y": y, "dx": dx} | {name: np.array(g) for name, g in model.grads.items()})
        if "0.bias" in found[-1] and "norm" in case.name:
            del found[-1]["0.weight"]       # Σ dy·x̂ of nearly equal dy is only what rounding leaves
    for name, exact in found[0].items():
        error = np.abs(found[1][name] - exact).max() / np.abs(exact).max()
        assert error < (2e-4 if name == "dx" else 1e-5), (name, error)


@pytest.mark.parametrize("arguments", [{}, {"label_smoothing": 0.1}, {"ignore_index": -1}], ids=str)
def test_cross_entropy_of_a_million_classes(nn, arguments):
    y = near(0.0, np.random.default_rng(0), (2, MILLION))
    y[:, 0] = 0.36
    loss = nn.CrossEntropyLoss(**arguments)
    values, gradients = [], []
    for dtype in (np.float64, np.float32):
        values.append(loss.forward(y.astype(dtype), np.array([0, 5])))
        gradients.append(np.array(loss.backward()))
    assert abs(values[1] / values[0] - 1) < 1e-7
    assert np.abs(gradients[1][:, 9:] / gradients[0][:, 9:] - 1).max() < 1e-5
