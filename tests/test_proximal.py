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
from tests.pairwise import chequered, pairwise


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
    "sgd": lambda nn: nn.SGD(lr=0.1),
    "momentum": lambda nn: nn.SGD(lr=0.02, momentum=0.8),
    "nesterov": lambda nn: nn.SGD(lr=0.02, momentum=0.9, nesterov=True),
    "dampening": lambda nn: nn.SGD(lr=0.05, momentum=0.8, dampening=0.6),
    "own adagrad": lambda nn: nn.Adagrad(lr=1.0, lr_decay=0.01, initial_accumulator_value=0.5),
    "rmsprop": lambda nn: nn.RMSprop(lr=falling(nn, 0.3), alpha=0.9),
    "rmsprop momentum": lambda nn: nn.RMSprop(lr=0.6, alpha=0.9, eps=3.0, momentum=0.7),
    "centered": lambda nn: nn.RMSprop(lr=0.4, alpha=0.9, eps=1.0, centered=True),
    "centered momentum": lambda nn: nn.RMSprop(lr=1.0, alpha=0.9, eps=3.0, centered=True, momentum=0.7),
    "adadelta": lambda nn: nn.Adadelta(lr=0.2, eps=3.0),
    "adam": lambda nn: nn.Adam(lr=falling(nn, 0.4), betas=(0.8, 0.95)),
    "adamw": lambda nn: nn.AdamW(lr=falling(nn, 0.4), betas=(0.8, 0.95), weight_decay=0),
    "amsgrad": lambda nn: nn.Adam(lr=nn.ExponentialLR(1.5, 0.97), betas=(0.8, 0.95), amsgrad=True),
    "nadam": lambda nn: nn.NAdam(lr=falling(nn, 0.4), betas=(0.8, 0.95)),
    "doubled": lambda nn: Doubled(lr=0.05),
    "adagrad": lambda nn: Adagrad(lr=1.0),
    "plain": lambda nn: Plain(lr=0.1),
}
X = normal((50, 10), seed=3)
T = X @ np.array([[2.0, -1.5, 1.0, 0.6, 0, 0, 0, 0, 0, 0]]).T + 0.3 * normal((50, 1), seed=4)
LAMBDA = 0.5                            # MSELoss is twice scikit-learn's 1/2n · ‖t − Xw‖², so its alpha is λ/2
STEPS = 120


def falling(nn, lr):
    """Adaptive steps keep their length where the gradient vanishes, so the rate has to fall."""
    return nn.ExponentialLR(lr, gamma=0.95)


def end(nn, dtype, optimizer, penalty, x, t):
    """The weights of a linear model after STEPS steps from 0."""
    layer = nn.Linear(x.shape[1], 1, bias=False, init="zeros")
    model = nn.Sequential(layer, dtype=dtype, penalty=penalty)
    loss = nn.MSELoss()
    for _ in range(STEPS):
        model.step(x, t, loss, optimizer)
    return np.asarray(layer.weight)[:, 0]


@pairwise("nn", "dtype", optimizer=list(OPTIMIZERS), mode=["proximal", "subgradient"])
def test_one_dimension(nn, dtype, optimizer, mode):
    """(w − 1)² + 0.5·|w| is smallest at 0.75."""
    one = np.ones((1, 1))
    w = end(nn, dtype, OPTIMIZERS[optimizer](nn), nn.L1(0.5, mode=mode), one, one)
    assert w[0] == pytest.approx(0.75, abs=1e-3)


@chequered
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_lasso(nn, dtype, optimizer):
    """Scikit-learn's solution, with the same exact zeros."""
    want = Lasso(alpha=LAMBDA / 2, fit_intercept=False, tol=1e-12).fit(X, T[:, 0]).coef_
    w = end(nn, dtype, OPTIMIZERS[optimizer](nn), nn.L1(LAMBDA), X, T)
    assert 3 < (want == 0).sum() < 8
    assert ((w == 0) == (want == 0)).all()
    assert np.abs(w - want).max() < 1e-3


@pairwise("nn", "dtype", optimizer=list(OPTIMIZERS))
def test_elastic_net(nn, dtype, optimizer):
    """l2·w is part of the gradient, so that the adaptive step sizes know it; l1 is not."""
    net = ElasticNet(alpha=0.75 / 2, l1_ratio=LAMBDA / 0.75, fit_intercept=False, tol=1e-12).fit(X, T[:, 0])
    w = end(nn, dtype, OPTIMIZERS[optimizer](nn), nn.ElasticNet(LAMBDA, 0.25), X, T)
    assert ((w == 0) == (net.coef_ == 0)).all()
    assert np.abs(w - net.coef_).max() < 1e-3


# ---- one step ----

W = np.array([[1.0], [-2.0], [0.05], [-0.05], [0.0], [3.0]])
G = np.array([[0.5], [-0.25], [2.0], [0.01], [-4.0], [0.0]])


def step_squares(g, t):
    """Adadelta's mean of the squares of t steps with the gradient g."""
    s, u = 0.0, 0.0
    for _ in range(t):
        s = 0.75 * s + 0.25 * g**2
        u = 0.75 * u + 0.25 * (u + 0.5) / (s + 0.5) * g**2
    return u


FORMULAS = {                            # the step size after step t with the gradients g, all alike
    "sgd": lambda lr, g, t: lr,
    "momentum": lambda lr, g, t: lr / (1 - 0.9),
    "nesterov": lambda lr, g, t: lr / (1 - 0.9),
    "dampening": lambda lr, g, t: lr * (1 - 0.25) / (1 - 0.9),
    "own adagrad": lambda lr, g, t: lr / (1 + (t - 1) / 2) / (np.sqrt(t * g**2 + 0.25) + 1e-10),
    "rmsprop": lambda lr, g, t: lr / (np.sqrt(1 - 0.75**t) * np.abs(g) + 0.5),
    "rmsprop momentum": lambda lr, g, t: lr / (np.sqrt(1 - 0.75**t) * np.abs(g) + 0.5) / (1 - 0.9),
    "centered": lambda lr, g, t: lr / (np.sqrt((1 - 0.75**t) * 0.75**t) * np.abs(g) + 0.5),
    "centered momentum": lambda lr, g, t: lr / (np.sqrt((1 - 0.75**t) * 0.75**t) * np.abs(g) + 0.5) / (1 - 0.9),
    "adadelta": lambda lr, g, t: lr * np.sqrt(step_squares(g, t) + 0.5) / np.sqrt((1 - 0.75**t) * g**2 + 0.5),
    "adam": lambda lr, g, t: lr / (np.abs(g) + 0.5),
    "adamw": lambda lr, g, t: lr / (np.abs(g) + 0.5),
    "amsgrad": lambda lr, g, t: lr / (np.abs(g) + 0.5),
    "nadam": lambda lr, g, t: lr * (0.75 / (1 - 0.25**t) + 0.25 / (1 - 0.25 ** (t + 1))) / (np.abs(g) + 0.5),
    "doubled": lambda lr, g, t: 2 * lr,
    "adagrad": lambda lr, g, t: lr / (np.sqrt(t) * np.abs(g) + 1e-8),
}
ONE_STEP = {
    "sgd": lambda nn, lr: nn.SGD(lr),
    "momentum": lambda nn, lr: nn.SGD(lr, 0.9),
    "nesterov": lambda nn, lr: nn.SGD(lr, 0.9, nesterov=True),
    "dampening": lambda nn, lr: nn.SGD(lr, 0.9, dampening=0.25),
    "own adagrad": lambda nn, lr: nn.Adagrad(lr, lr_decay=0.5, initial_accumulator_value=0.25),
    "rmsprop": lambda nn, lr: nn.RMSprop(lr, alpha=0.75, eps=0.5),
    "rmsprop momentum": lambda nn, lr: nn.RMSprop(lr, alpha=0.75, eps=0.5, momentum=0.9),
    "centered": lambda nn, lr: nn.RMSprop(lr, alpha=0.75, eps=0.5, centered=True),
    "centered momentum": lambda nn, lr: nn.RMSprop(lr, alpha=0.75, eps=0.5, centered=True, momentum=0.9),
    "adadelta": lambda nn, lr: nn.Adadelta(lr, rho=0.75, eps=0.5),
    "adam": lambda nn, lr: nn.Adam(lr, betas=(0.5, 0.75), eps=0.5),
    "adamw": lambda nn, lr: nn.AdamW(lr, betas=(0.5, 0.75), eps=0.5, weight_decay=0.1),
    "amsgrad": lambda nn, lr: nn.Adam(lr, betas=(0.5, 0.75), eps=0.5, amsgrad=True),
    "nadam": lambda nn, lr: nn.NAdam(lr, betas=(0.5, 0.75), eps=0.5, momentum_decay=0),
    "doubled": lambda nn, lr: Doubled(lr),
    "adagrad": lambda nn, lr: Adagrad(lr),
}


def stepped(nn, dtype, optimizer, penalty, steps=1, wrap=False, w=W):
    """W after steps with the gradient G, behind a layer whose parameters come first in the slots."""
    first = nn.Linear(6, 6, init="zeros", bias=False)
    layer = nn.Linear(6, 1, bias=False)
    model = nn.Sequential(first, nn.Sequential(layer, penalty=penalty), dtype=dtype)
    for step in range(steps):
        if wrap and step == 1:          # the outer model has slots of another layout; it dies, the inner one wakes anew
            nn.Sequential(nn.Linear(6, 6, bias=False), model)(np.ones((1, 6)))
        first.weight = np.eye(6)
        if step == 0:
            layer.weight = W
        model.forward(G.T, training=True)
        model.backward(np.ones((1, 1)))
        if step == 0:
            layer.weight = w
        with np.errstate(all="ignore"):
            optimizer.step(model)
    return np.array(layer.weight)


@chequered
@pytest.mark.parametrize("optimizer", FORMULAS)
def test_threshold(nn, dtype, optimizer):
    """w' = sign(v)·max(|v| − η·λ, 0), v the same step without a penalty, η each weight's own step size."""
    for lam in (0.25, 1.0):
        v = stepped(nn, dtype, ONE_STEP[optimizer](nn, 0.1), None).astype(float)
        w = stepped(nn, dtype, ONE_STEP[optimizer](nn, 0.1), nn.L1(lam))
        eta = FORMULAS[optimizer](0.1, G, 1)
        close("elementwise", w, np.sign(v) * np.maximum(np.abs(v) - eta * lam, 0), np.abs(v) + eta * lam)


@chequered
@pytest.mark.parametrize("optimizer", FORMULAS)
def test_threshold_of_a_later_step(nn, dtype, optimizer):
    """The correction of the bias counts the step that is being made; a wrapper that came and went changes nothing."""
    first, second = (stepped(nn, dtype, ONE_STEP[optimizer](nn, 0.1), nn.L1(0.25), steps) for steps in (1, 2))
    plain = stepped(nn, dtype, ONE_STEP[optimizer](nn, 0.1), None, 2)
    one = stepped(nn, dtype, ONE_STEP[optimizer](nn, 0.1), None, 1)
    decay = 1 - 0.1 * 0.1 if optimizer == "adamw" else 1
    v = first * decay + (plain.astype(float) - one * decay)         # the gradient does not depend on the weights
    eta = FORMULAS[optimizer](0.1, G, 2)
    want = np.sign(v) * np.maximum(np.abs(v) - eta * 0.25, 0)
    close("training", second, want, 4 * (np.abs(v) + np.abs(plain) + eta))
    same(stepped(nn, dtype, ONE_STEP[optimizer](nn, 0.1), nn.L1(0.25), 2, wrap=True), second)


@chequered
@pytest.mark.parametrize("optimizer", ONE_STEP)
def test_rate_zero(nn, dtype, optimizer):
    """lr = 0 leaves weights alone, even the sign of a zero."""
    for w in (W, np.full_like(W, -0.0)):
        found = stepped(nn, dtype, ONE_STEP[optimizer](nn, 0.0), nn.L1(1e3), w=w)
        assert (found == w.astype(dtype)).all()
        same(found, stepped(nn, dtype, ONE_STEP[optimizer](nn, 0.0), None, w=w))


@pytest.mark.parametrize("optimizer", ONE_STEP)
def test_not_finite(ref, fast, dtype, optimizer):
    """The same in both packages; neither NaN nor infinity becomes a zero.

    Which of the two an infinite weight is after an update is up to its decay · w, 0 · ∞; a user's own update has none.
    """
    w = W.copy()
    w[:3] = [[np.nan], [np.inf], [-np.inf]]
    one, two = (stepped(nn, dtype, ONE_STEP[optimizer](nn, 0.1), nn.L1(0.5), w=w) for nn in (ref, fast))
    for found in (one, two):
        assert np.isnan(found[0, 0])
        assert (found[1:3, 0] == w[1:3, 0]).all() if optimizer in ("doubled", "adagrad") else True
        assert not np.isfinite(found[1:3]).any()
    close("elementwise", two[3:], one[3:], np.abs(one[3:]) + np.abs(G[3:]) + 1)


@pytest.mark.parametrize("optimizer", ["sgd", "momentum", "nesterov"])
def test_clipping_leaves_the_threshold(nn, optimizer):
    """A clipped gradient of ±1e-3 or less moves nothing by much; the threshold of SGD is lr·λ all the same."""
    made = ONE_STEP[optimizer](nn, 0.1)
    clipped = type(made)(0.1, made.momentum, made.nesterov, clip_value=1e-3)
    w = stepped(nn, "float64", clipped, nn.ElasticNet(0.25, 0.5))
    eta = FORMULAS[optimizer](0.1, G, 1)
    assert np.abs(w - np.sign(W) * np.maximum(np.abs(W) - eta * 0.25, 0)).max() < 2.1e-4


# ---- a user's own step size ----


class Sized(Plain):
    """Returns what it is given."""

    def __init__(self, size):
        super().__init__(lr=0.1)
        self.size = size

    def step_size(self, lr):
        if isinstance(self.size, Exception):
            raise self.size
        return self.size


@pytest.mark.parametrize("size, error, text", [
    (np.ones(6), ValueError, r"Sized.step_size: expected a number or an array of shape \(6, 1\), got \(6,\)"),
    (-0.5, ValueError, r"Sized.step_size: expected >= 0, got -0.5"),
    ("wide", TypeError, "Sized.step_size: expected numbers, got text"),
    (KeyError("mine"), KeyError, "mine"),
])
def test_step_size_is_checked(nn, size, error, text):
    """Before anything changes."""
    layer = nn.Linear(6, 1, bias=False)
    model = nn.Sequential(layer, penalty=nn.L1(0.5), dtype="float64")
    layer.weight = W
    optimizer = Sized(size)
    with pytest.raises(error, match=text):
        model.step(G.T, np.ones((1, 1)), nn.MSELoss(), optimizer)
    same(np.array(layer.weight), W)
    assert optimizer.steps == 0


def test_step_size_cannot_be_overridden(nn):
    with pytest.raises(TypeError, match=r"SGD: step_size runs in C in fastnn and cannot be overridden"):
        type("Mine", (nn.SGD,), {"step_size": lambda self, lr: lr})
