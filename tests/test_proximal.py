"""Proximal L1 in the optimizer's own metric: every optimizer ends at the lasso's solution, with its exact zeros.

The step of a weight is step_size · (a mean of its gradient), so the threshold is step_size · λ: a weight rests where
the gradient is −λ·sign(w), or at 0 where it is smaller than λ. That is the lasso's condition (Tibshirani 1996), and it
names no optimizer.
"""

import numpy as np
import pytest
from sklearn.linear_model import ElasticNet, Lasso

from fastnn_ref.shared.custom import CustomOptimizer
from tests.check import close, normal, same
from tests.pairwise import pairwise


class Doubled(CustomOptimizer):
    """Steps of twice the learning rate: its step size is a number."""

    def update(self, w, g, lr, decay):
        w -= 2 * lr * g

    def step_size(self, lr):
        return 2 * lr


class Adagrad(CustomOptimizer):
    """Its step size is an array (Duchi, Hazan and Singer 2011)."""

    slots = ("square",)

    def update(self, w, g, lr, decay, square):
        square += g**2
        w -= lr * g / (np.sqrt(square) + 1e-8)

    def step_size(self, lr, square):
        return lr / (np.sqrt(square) + 1e-8)


class Plain(CustomOptimizer):
    """Gradient descent, which needs no step_size."""

    def update(self, w, g, lr, decay):
        w -= lr * g


OPTIMIZERS = {
    "sgd": lambda nn, lr: nn.SGD(lr=lr(0.1)),
    "momentum": lambda nn, lr: nn.SGD(lr=lr(0.02), momentum=0.9),
    "nesterov": lambda nn, lr: nn.SGD(lr=lr(0.02), momentum=0.9, nesterov=True),
    "rmsprop": lambda nn, lr: nn.RMSprop(lr=lr(0.02), alpha=0.9),
    "adam": lambda nn, lr: nn.Adam(lr=lr(0.05), betas=(0.9, 0.99)),
    "adamw": lambda nn, lr: nn.AdamW(lr=lr(0.05), betas=(0.9, 0.99), weight_decay=0),
    "doubled": lambda nn, lr: Doubled(lr=lr(0.05)),
    "adagrad": lambda nn, lr: Adagrad(lr=lr(0.3)),
    "plain": lambda nn, lr: Plain(lr=lr(0.1)),
}
X = normal((50, 10), seed=3)
T = X @ np.array([[2.0, -1.5, 1.0, 0.6, 0, 0, 0, 0, 0, 0]]).T + 0.3 * normal((50, 1), seed=4)
LAMBDA = 0.5                            # MSELoss is twice scikit-learn's 1/2n · ‖t − Xw‖², so its alpha is λ/2
STEPS = 400


def slower(nn):
    """Adaptive steps keep their length where the gradient vanishes, so the rate has to fall."""
    return lambda lr: nn.ExponentialLR(lr, gamma=0.99)


def end(nn, dtype, optimizer, penalty, x, t, steps=STEPS, weight=None):
    """The weights of a linear model after `steps` steps from 0."""
    layer = nn.Linear(x.shape[1], 1, bias=False, init="zeros")
    model = nn.Sequential(layer, dtype=dtype, penalty=penalty)
    if weight is not None:
        layer.weight = weight
    loss = nn.MSELoss()
    for _ in range(steps):
        model.step(x, t, loss, optimizer)
    return np.asarray(layer.weight)[:, 0]


@pairwise("nn", "dtype", optimizer=list(OPTIMIZERS), mode=["proximal", "subgradient"])
def test_one_dimension(nn, dtype, optimizer, mode):
    """(w − 1)² + 0.5·|w| is smallest at 0.75."""
    one = np.ones((1, 1))
    w = end(nn, dtype, OPTIMIZERS[optimizer](nn, slower(nn)), nn.L1(0.5, mode=mode), one, one)
    assert w[0] == pytest.approx(0.75, abs=1e-3)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_lasso(nn, dtype, optimizer):
    """Scikit-learn's solution, with the same exact zeros."""
    want = Lasso(alpha=LAMBDA / 2, fit_intercept=False, tol=1e-12).fit(X, T[:, 0]).coef_
    w = end(nn, dtype, OPTIMIZERS[optimizer](nn, slower(nn)), nn.L1(LAMBDA), X, T)
    assert 3 < (want == 0).sum() < 8
    assert ((w == 0) == (want == 0)).all()
    assert np.abs(w - want).max() < 2e-3


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_elastic_net(nn, dtype, optimizer):
    """l2·w is part of the gradient, so that the adaptive step sizes know it; l1 is not."""
    net = ElasticNet(alpha=0.75 / 2, l1_ratio=LAMBDA / 0.75, fit_intercept=False, tol=1e-12).fit(X, T[:, 0])
    w = end(nn, dtype, OPTIMIZERS[optimizer](nn, slower(nn)), nn.ElasticNet(LAMBDA, 0.25), X, T)
    assert ((w == 0) == (net.coef_ == 0)).all()
    assert np.abs(w - net.coef_).max() < 2e-3
