"""Mixup: what is mixed with what, by how much, and that both packages do it alike."""

import numpy as np
import pytest

from fastnn_ref.shared import mixup
from tests.check import normal, same, same_parameters


@pytest.mark.slow
@pytest.mark.parametrize("alpha", [0.05, 0.3, 1.0, 4.0])
def test_shares_are_beta(alpha):
    """Mean ½, variance 1 / (4·(2α + 1)), and for α = 1 uniform."""
    draws = mixup.draw_lambdas(alpha, 20_000, seed=3, epoch=0)
    assert ((draws >= 0) & (draws <= 1)).all()
    assert abs(draws.mean() - 0.5) < 0.02
    assert abs(draws.var() - 0.25 / (2 * alpha + 1)) < 0.006
    if alpha == 1:
        assert np.abs(np.sort(draws) - np.linspace(0, 1, len(draws))).max() < 0.02
    same(mixup.draw_lambdas(alpha, 7, seed=3, epoch=0), draws[:7])
    assert (mixup.draw_lambdas(alpha, 7, seed=3, epoch=1) != draws[:7]).all()


def net(nn, dtype="float64"):
    return nn.Sequential(nn.Linear(5, 9, activation="tanh"), nn.Dropout(0.2), nn.Linear(9, 3), seed=4, dtype=dtype)


def test_formula(nn, dtype):
    """One batch, in the given order: each row with the next, class numbers as rows."""
    x, t = normal((6, 5), dtype), np.arange(6) % 3
    one, other = net(nn, dtype), net(nn, dtype)
    value = one.run_epoch(x, t, nn.CrossEntropyLoss(), nn.SGD(lr=0.1), batch_size=6, shuffle=False, mixup=0.5)
    share = mixup.draw_lambdas(0.5, 1, seed=4, epoch=0)[0]
    assert 0.01 < share < 0.99
    a, b = np.asarray(share, dtype), np.asarray(1 - share, dtype)
    rows = np.eye(3, dtype=dtype)[t]
    mixed = a * x + b * x[[1, 2, 3, 4, 5, 0]], a * rows + b * rows[[1, 2, 3, 4, 5, 0]]
    assert value == pytest.approx(other.step(*mixed, nn.CrossEntropyLoss(), nn.SGD(lr=0.1)), rel=1e-14)
    same_parameters(one, other)


def loss_of(nn, kind, value_and_gradient):
    """A user's loss that makes targets of that dtype."""
    return type("Mine", (nn.CustomLoss,), {
        "prepare_targets": lambda self, t, shape, dtype: np.asarray(t, kind),
        "value_and_gradient": value_and_gradient})()


@pytest.mark.parametrize("kind", ["f8", "f4", "f2", "u1", "i8", "?"])
def test_targets_of_a_users_loss(nn, dtype, kind):
    """They are mixed as numbers, whatever dtype the loss has made of them."""
    def squares(self, y, t, weights):
        return float(((y - t) ** 2).mean()), 2 * (y - t) / y.size

    x, t = normal((12, 5)), normal((12, 3)) > 0
    values = [net(nn, dtype).run_epoch(x, t, loss_of(nn, each, squares), nn.SGD(lr=0.1), 4, mixup=0.5)
              for each in (kind, dtype)]
    assert values[0] == values[1]


@pytest.mark.parametrize("kind", ["u1", "i4", "i8"])
def test_class_numbers_of_a_users_loss(nn, kind):
    def seen(self, y, t, weights):
        assert t.shape == y.shape
        assert t.dtype == y.dtype
        return 0.0, np.zeros_like(y)

    loss = loss_of(nn, kind, seen)
    assert net(nn).run_epoch(normal((12, 5)), np.arange(12) % 3, loss, nn.SGD(), 4, mixup=0.5) == 0


@pytest.mark.parametrize("shuffle", [True, False])
def test_engine_agrees(ref, fast, shuffle):
    x = normal((50, 5))
    for cls, t in (("CrossEntropyLoss", np.arange(50) % 3), ("MSELoss", normal((50, 3), seed=1)),
                   ("CrossEntropyLoss", np.random.default_rng(0).dirichlet(np.ones(3), 50))):
        models = []
        for nn in (ref, fast):
            models.append(net(nn))
            models[-1].fit(x, t, loss=getattr(nn, cls)(), optimizer=nn.Adam(), epochs=3, batch_size=8, shuffle=shuffle,
                           mixup=0.4)
        for name, value in models[0].state_dict().items():
            assert np.abs(value - models[1].state_dict()[name]).max() < 1e-12


def test_none_is_plain(nn, dtype):
    x, t = normal((20, 5), dtype), np.arange(20) % 3
    one, other = net(nn, dtype), net(nn, dtype)
    for model, arguments in ((one, {}), (other, {"mixup": 0.0})):
        model.fit(x, t, loss=nn.CrossEntropyLoss(), optimizer=nn.SGD(), epochs=2, batch_size=8, **arguments)
    same_parameters(one, other)


@pytest.mark.parametrize("share", [0.2, 1e-3])
def test_no_row_of_a_table_lies_between_two(nn, share):
    """The error names mixup, and comes before the first step: with small shares the first batches pass."""
    inside = nn.Sequential(nn.Select(0, 3), nn.Embedding(9, 2), nn.Flatten())
    model = nn.Sequential(nn.Parallel(inside, nn.Select(3, 5)), nn.Linear(8, 3), seed=0)
    x, t = np.arange(60).reshape(12, 5) % 9, np.arange(12) % 3
    kept = {name: value.copy() for name, value in model.state_dict().items()}
    for call in (model.run_epoch, lambda *args, **more: model.fit(*args[:2], loss=args[2], optimizer=args[3], **more)):
        with pytest.raises(ValueError, match=f"^mixup: expected 0 in a model with Embedding, which .*, got {share}"):
            call(x, t, nn.CrossEntropyLoss(), nn.SGD(), batch_size=4, mixup=share)
    assert model.steps == 0
    for name, value in model.state_dict().items():
        same(value, kept[name])
    model.run_epoch(x, t, nn.CrossEntropyLoss(), nn.SGD(), batch_size=4, mixup=0)


def test_inputs_stay(nn):
    x, t = np.array(normal((9, 5))), np.arange(9) % 3
    kept = x.copy(), t.copy()
    net(nn).run_epoch(x, t, nn.CrossEntropyLoss(), nn.SGD(), batch_size=4, mixup=1.0)
    same(x, kept[0])
    same(t, kept[1])
