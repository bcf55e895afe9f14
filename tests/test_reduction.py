"""What becomes of a loss's costs (mean, sum, none), classes on axis 1 of any shape, and targets that are left out."""

import itertools
import warnings

import numpy as np
import pytest

from tests.cases import LOSSES
from tests.check import close, derivatives, normal, readonly, same, same_parameters
from tests.pairwise import pairwise

CLASS_LOSSES = ("CrossEntropyLoss", "NLLLoss")
# (n, K, ...): one place an example, few classes and many, fewer places than lanes, as many, one more.
SHAPES = [(5, 3), (3, 70), (3, 4, 5), (2, 3, 4, 4), (2, 5, 17), (2, 70, 3), (1, 1, 1)]


def reduced(case, nn, reduction):
    return getattr(nn, case.cls)(**case.arguments, reduction=reduction)


def class_loss(nn, cls, smoothing=0.0, **arguments):
    """A loss of classes; only one of the two takes smoothing."""
    smooth = {"label_smoothing": smoothing} if cls == "CrossEntropyLoss" else {}
    return getattr(nn, cls)(**arguments, **smooth)


def outputs_and_targets(shape, dtype="float64"):
    """Outputs, class numbers of which some are −1, and rows of probabilities."""
    rng = np.random.default_rng([0, *shape])
    t = rng.integers(shape[1], size=(shape[0], *shape[2:]))
    some = np.where(rng.uniform(size=t.shape) < 0.3, -1, t)
    some.flat[0] = t.flat[0]
    rows = rng.uniform(size=shape)
    return normal(shape, dtype), some, rows / rows.sum(axis=1, keepdims=True)


def flat(values, axis=1):
    """(n, K, ...) → (places, K)."""
    return np.moveaxis(values, axis, -1).reshape(-1, values.shape[axis])


# ---- sum and none ----


@pairwise("nn", "dtype", case=LOSSES, weighted=[False, True])
def test_the_reductions_are_of_the_same_costs(nn, dtype, case, weighted):
    """Σ of the costs is the sum, and so are their gradients; the mean is a share of it."""
    rng = np.random.default_rng(1)
    t, y = case.targets(rng, 7, 4), normal((7, 4), dtype)
    w = np.array([0, 1, 2.5, 0.5, 1, 0, 3]) if weighted else None
    mean, total, none = (reduced(case, nn, reduction) for reduction in ("mean", "sum", "none"))
    costs, value = none(y, t, w), total(y, t, w)
    assert costs.shape == ((7,) if case.cls in CLASS_LOSSES else (7, 4))
    assert costs.dtype == dtype and type(value) is float
    scale = 30 * (1 + np.abs(costs).sum())
    close("sum", dtype.type(costs.sum(dtype=np.float64)), value, scale)
    close("sum", none.backward(), total.backward(), 30 * np.abs(total.backward()).max())
    share = mean(y, t, w) / value
    close("sum", mean.backward(), share * total.backward().astype(float), 30 * np.abs(total.backward()).max())
    if weighted:
        assert not costs[[0, 5]].any()
        plain = reduced(case, nn, "none")(y, t)
        close("elementwise", costs, plain.T.astype(float).T * w.reshape(-1, *[1] * (costs.ndim - 1)), np.abs(costs) + 1)


@pairwise("nn", case=LOSSES, reduction=["mean", "sum", "none"])
def test_a_gradient_of_the_costs(nn, case, reduction):
    """backward(g) is the gradient of Σ g·value, for g in the value's shape, also where it is one number."""
    t, y = case.targets(np.random.default_rng(1), 5, 3), np.array(normal((5, 3)))
    loss = reduced(case, nn, reduction)
    g = np.random.default_rng(2).normal(size=np.shape(loss(y, t)))
    dy = loss.backward(g)
    assert dy.dtype == y.dtype
    scale = np.finfo(np.float64).eps ** (-1 / 3) * (np.abs(g * loss(y, t)).sum() + 1)
    close("difference", *derivatives(lambda: float((g * loss(y, t)).sum()), y, dy), scale)


def test_what_backward_takes(nn):
    loss = nn.MSELoss(reduction="none")
    with pytest.raises(RuntimeError, match="backward: call forward"):
        loss.backward()
    y, t = normal((3, 2)), normal((3, 2), seed=1)
    loss(y, t)
    with pytest.raises(ValueError, match=r"grad_output: expected \(3, 2\), as the loss gave, got \(3,\)"):
        loss.backward(np.ones(3))
    loss = nn.MSELoss()
    loss(y, t)
    with pytest.raises(ValueError, match=r"grad_output: expected a number, as the loss gave, got \(3, 2\)"):
        loss.backward(np.ones((3, 2)))
    same(loss.backward(2), 2 * loss.backward())
    assert repr(nn.MSELoss(reduction="sum")) == "MSELoss(reduction='sum')"
    assert nn.from_config(nn.MSELoss(reduction="none").config()).reduction == "none"
    with pytest.raises(ValueError, match="reduction: unknown name 'men', did you mean 'mean'"):
        nn.MSELoss(reduction="men")


# ---- classes on axis 1 ----


@pairwise("nn", "dtype", cls=CLASS_LOSSES, shape=SHAPES, kind=["numbers", "rows"], reduction=["mean", "sum", "none"],
          weighted=[False, True], smoothing=[0.0, 0.3])
def test_each_place_is_an_example(nn, dtype, cls, shape, kind, reduction, weighted, smoothing):
    """(n, K, ...) is (places, K), which ``test_loss`` has the formula of."""
    y, some, rows = outputs_and_targets(shape, dtype)
    t = np.maximum(some, 0) if kind == "numbers" else rows
    weights = np.linspace(0.5, 2, shape[1]) if weighted else None
    loss, other = (class_loss(nn, cls, smoothing, class_weight=weights, reduction=reduction) for _ in range(2))
    value, want = loss(y, t), other(flat(y), t.ravel() if kind == "numbers" else flat(rows))
    assert np.shape(value) == (t.shape if kind == "numbers" else (shape[0], *shape[2:])) * (reduction == "none")
    scale = shape[1] * (1 + np.abs(want).max()) * (1 if reduction == "none" else y.size / shape[1])
    close("sum", np.asarray(value, dtype).ravel(), np.ravel(want), scale)
    close("layer", flat(loss.backward()), other.backward(), shape[1] * (1 + np.abs(other.backward()).max()))


@pairwise("isa*dtype", cls=CLASS_LOSSES, shape=SHAPES, kind=["numbers", "rows"], reduction=["mean", "sum", "none"],
          weights=["none", "classes", "examples", "both"], smoothing=[0.0, 0.3], ignored=[None, -1, 0])
def test_engine_agrees(ref, fast, isa, dtype, cls, shape, kind, reduction, weights, smoothing, ignored):
    y, some, rows = outputs_and_targets(shape, dtype)
    t = rows if kind == "rows" else some if ignored == -1 else np.maximum(some, 0)
    w = np.linspace(0, 2, shape[0]) if weights in ("examples", "both") else None
    arguments = {"class_weight": np.linspace(0.5, 2, shape[1]) if weights in ("classes", "both") else None,
                 "ignore_index": None if kind == "rows" else ignored, "reduction": reduction}
    engine, book = (class_loss(nn, cls, smoothing, **arguments) for nn in (fast, ref))
    want = np.asarray(book(y.astype(float), t, w))
    scale = shape[1] * (1 + np.abs(want).max()) * (1 if reduction == "none" else y.size / shape[1])
    close("sum", np.asarray(engine(y, t, w), dtype), want, scale)
    close("layer", engine.backward(), book.backward(), shape[1] * (1 + np.abs(book.backward()).max()))


@pairwise("nn", cls=CLASS_LOSSES, shape=[(3, 4, 5), (2, 70, 3), (4, 3)], smoothing=[0.0, 0.3])
def test_gradient(nn, cls, shape, smoothing):
    y, t, _ = outputs_and_targets(shape)
    y, loss = np.array(y), class_loss(nn, cls, smoothing, ignore_index=-1, class_weight=np.linspace(0.5, 2, shape[1]))
    value = loss(y, t)
    scale = np.finfo(np.float64).eps ** (-1 / 3) * (abs(value) + 1)
    close("difference", *derivatives(lambda: loss(y, t), y, loss.backward()), scale)


def test_nll_of_log_softmax_is_cross_entropy(nn):
    for shape in SHAPES:
        y, t, rows = outputs_and_targets(shape)
        softmax = nn.Sequential(nn.LogSoftmax(dim=1), dtype="float64")
        weights = np.linspace(0.5, 2, shape[1])
        for target, ignored in ((t, -1), (rows, None)):
            arguments = {"class_weight": weights, "ignore_index": ignored}
            whole, behind = nn.CrossEntropyLoss(**arguments), nn.NLLLoss(**arguments)
            assert behind(softmax.forward(y, training=True), target) == pytest.approx(whole(y, target), rel=1e-12)
            dy = softmax.backward(behind.backward())
            close("layer", dy, whole.backward(), shape[1] * (1e-3 + np.abs(whole.backward()).max()))


@pytest.mark.parametrize("cls", CLASS_LOSSES)
def test_shapes_that_do_not_fit(nn, cls):
    loss = getattr(nn, cls)()
    y = normal((2, 3, 4))
    for t, words in [
        (np.zeros((2, 3), int), r"t: expected class numbers \(2, 4\) or probabilities \(2, 3, 4\), got \(2, 3\)"),
        (np.zeros(2, int), r"t: expected class numbers \(2, 4\) or probabilities"),
        (np.full((2, 4), 3), "t: expected class numbers from 0 to 2, got 3 at row 0"),
        (np.full((2, 4), -100), "got -100 at row 0; a loss with ignore_index=-100 leaves such targets out"),
        (np.full((2, 3, 4), 0.5), "t: expected rows that sum to 1, got 1.5 at row 0"),
    ]:
        with pytest.raises(ValueError, match=words):
            loss(y, t)
    with pytest.raises(ValueError, match=r"y: expected logits \(n, K, \.\.\.\), got \(3,\)"):
        loss(normal((3,)), np.zeros(3, int))


@pytest.mark.parametrize("cls", CLASS_LOSSES)
def test_the_largest_numbers(nn, dtype, cls):
    """A weighted cost may be infinite where the mean is not: 3·2.5/4 of the largest number, and half of that."""
    y = np.array([[0, -1, -1, -1], [0, 0, 0, 0]], dtype) * np.finfo(dtype).max
    loss = getattr(nn, cls)(class_weight=[0.5, 2.5, 2.5, 2.5])
    assert loss(y, np.full((2, 4), 0.25)) == pytest.approx(0.9375 * float(np.finfo(dtype).max), rel=1e-6)
    assert np.isfinite(loss.backward()).all()


# ---- targets that are left out ----


@pairwise("nn", "dtype", cls=CLASS_LOSSES, shape=SHAPES[:-1], smoothing=[0.0, 0.3], weighted=[False, True])
def test_what_is_left_out_is_as_if_it_were_not_there(nn, dtype, cls, shape, smoothing, weighted):
    """Even if it is NaN: value and gradient are those of the other places, and 0 there."""
    y, t, _ = outputs_and_targets(shape, dtype)
    places, kept = flat(y), t.ravel() != -1
    weights = np.linspace(0.5, 2, shape[1]) if weighted else None
    one, other = (class_loss(nn, cls, smoothing, class_weight=weights, **more) for more in ({"ignore_index": -1}, {}))
    want = other(places[kept], t.ravel()[kept])
    spoilt = np.where(np.expand_dims(t, 1) == -1, np.nan, y).astype(dtype)
    for values in (y, spoilt):
        close("sum", dtype.type(one(values, t)), want, 30 * y.size)
        close("layer", flat(one.backward())[kept], other.backward(), 30.0 * shape[1])
        assert not flat(one.backward())[~kept].any()
    assert one(y, np.full(t.shape, -1)) == 0
    assert not one.backward().any()
    assert (class_loss(nn, cls, smoothing, ignore_index=-1, reduction="none")(spoilt, t).ravel() == 0)[~kept].all()


def test_kinds_of_targets_that_are_left_out(nn):
    y, want = normal((3, 4)), nn.CrossEntropyLoss()(normal((3, 4))[1:], [2, 3])
    for ignored, t in [(-100, [-100, 2, 3]), (255, np.array([255, 2, 3], np.uint8)), (-1, np.array([-1.0, 2, 3])),
                       (0, [0, 2, 3]), (-100, np.array([-100, 2, 3], np.int8))]:
        assert nn.CrossEntropyLoss(ignore_index=ignored)(y, t) == pytest.approx(want, rel=1e-13)
    loss = nn.CrossEntropyLoss(ignore_index=7)
    with pytest.raises(ValueError, match="t: expected class numbers from 0 to 3, or 7, got 5 at row 1"):
        loss(y, [7, 5, 0])
    with pytest.raises(ValueError, match=r"t: expected class numbers \(3,\) beside ignore_index, got probabilities"):
        loss(y, np.full((3, 4), 0.25))
    for bad in (1.5, "x", True):
        with pytest.raises(TypeError, match="ignore_index: expected an integer or None, got"):
            nn.NLLLoss(ignore_index=bad)


def test_metrics_leave_them_out(nn):
    """And they see each place of (n, K, ...) as a row."""
    y = np.array([[3.0, 0], [0, 3], [3, 0], [0, 3]])
    model, loss = nn.Sequential(nn.Identity(), dtype="float64"), nn.CrossEntropyLoss(ignore_index=-100)
    seen = nn.metrics.Metric("rows", lambda y, t: len(y) + len(t) / 100)
    found = model.evaluate(y, [0, -100, 1, 1], loss, ["accuracy", "recall", seen])
    assert (found["accuracy"], found["recall"], found["rows"]) == (2 / 3, 0.75, 3.03)
    images = np.stack([y.T, y.T])                                                   # (2, K, 4)
    t = np.array([[0, -100, 1, 1], [0, 1, -100, -100]])
    found = model.evaluate(images, t, loss, ["accuracy", "top_1_accuracy", seen])
    assert (found["accuracy"], found["top_1_accuracy"], found["rows"]) == (0.8, 0.8, 5.05)
    rows = np.stack([1 - np.maximum(t, 0), np.maximum(t, 0)], axis=1)
    assert model.evaluate(images, rows, nn.CrossEntropyLoss(), ["accuracy"])["accuracy"] == 5 / 8
    found = model.evaluate(y, [-100] * 4, loss, ["accuracy"])
    assert found["loss"] == 0 and np.isnan(found["accuracy"])


def test_balanced_weights_leave_them_out(nn):
    """And count each place."""
    x = normal((6, 4))
    t = np.array([[0, 0, -1], [1, -1, 0], [0, 0, 0], [1, 0, -1], [-1, -1, -1], [0, 1, 2]])

    def trained(loss):
        model = nn.Sequential(nn.Linear(4, 9), Fold(nn), seed=1, dtype="float64")
        return [*model.fit(x, t, loss=loss, optimizer=nn.SGD(lr=0.5), epochs=2, batch_size=2).history["loss"],
                *model.layers[0].weight.ravel().tolist()]

    weights = [12 / 3 / count for count in (8, 3, 1)]
    assert trained(nn.CrossEntropyLoss(class_weight="balanced", ignore_index=-1)) == pytest.approx(
        trained(nn.CrossEntropyLoss(class_weight=weights, ignore_index=-1)))


def Fold(nn):
    """(n, 9) → (n, 3, 3)."""
    class Folded(nn.CustomLayer):
        changes_shape = True

        def output_shape(self, shape):
            return (3, 3)

        def forward_pass(self, x, training):
            return x.reshape(-1, 3, 3)

        def backward_pass(self, dy):
            return dy.reshape(len(dy), 9)

    return Folded()


# ---- in training ----


def net(nn, dtype="float64"):
    return nn.Sequential(nn.Linear(4, 9), Fold(nn), seed=1, dtype=dtype)


X, T = normal((21, 4)), np.random.default_rng(5).integers(-1, 3, size=(21, 3))


def test_packages_train_alike(ref, fast):
    for arguments in ({}, {"reduction": "sum"}, {"class_weight": [0.5, 1, 2]}):
        found = []
        for nn in (ref, fast):
            model, loss = net(nn), nn.CrossEntropyLoss(0.1, ignore_index=-1, **arguments)
            history = model.fit(X, T, loss=loss, optimizer=nn.SGD(lr=0.01), epochs=3, batch_size=8,
                                metrics=["accuracy"], validation_split=0.2)
            found.append([*history.history.values(), model[0].weight.ravel()])
        for got, want in zip(*found, strict=True):
            assert np.allclose(got, want, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("make", [lambda nn: nn.CrossEntropyLoss(0.1, ignore_index=-1, reduction="sum"),
                                  lambda nn: nn.CrossEntropyLoss(ignore_index=-1, class_weight=[0.5, 1, 2])])
def test_the_same_in_parts(nn, make):
    """A loss does not depend on how many rows are evaluated at a time, nor a step on how many make one."""
    model, loss, w = net(nn), make(nn), np.linspace(0, 2, 21)
    whole = model.evaluate(X, T, loss, batch_size=21, sample_weight=w)["loss"]
    assert whole == pytest.approx(loss(model(X), T, w), rel=1e-13)
    for size in (1, 4, 20):
        assert model.evaluate(X, T, loss, batch_size=size, sample_weight=w)["loss"] == pytest.approx(whole, rel=1e-12)
    one, other = net(nn), net(nn)
    first = one.fit(X, T, loss=loss, optimizer=nn.SGD(lr=0.01), batch_size=21, shuffle=False)
    second = other.fit(X, T, loss=loss, optimizer=nn.SGD(lr=0.01), batch_size=7, shuffle=False,
                       gradient_accumulation_steps=3)
    assert second.history["loss"] == pytest.approx(first.history["loss"], rel=1e-12)
    assert np.allclose(one[0].weight, other[0].weight, rtol=1e-12, atol=1e-15)


def test_a_sum_over_an_epoch(nn):
    """In one call, by hand, by an iterator, and resumed: the sum over all examples, beside the mean penalty."""
    loss, parts = nn.MSELoss(reduction="sum"), [slice(0, 8), slice(8, 16), slice(16, 21)]
    t, w = normal((21, 2), seed=3), np.linspace(0, 2, 21)

    def model():
        return nn.Sequential(nn.Linear(4, 2), seed=1, dtype="float64", penalty=nn.L2(0.1))

    by_hand, optimizer, total = model(), nn.SGD(lr=0.01), 0.0
    for part in parts:
        total += by_hand.step(X[part], t[part], loss, optimizer, w[part]) - by_hand.penalty_loss
    one = model()
    value = one.run_epoch(X, t, loss, nn.SGD(lr=0.01), 8, shuffle=False, sample_weight=w)
    assert value - one.penalty_loss == pytest.approx(total, rel=1e-12)
    same_parameters(one, by_hand)
    other = model()
    history = other.fit([(X[part], t[part], w[part]) for part in parts], loss=loss, optimizer=nn.SGD(lr=0.01))
    assert history.history["data_loss"] == pytest.approx([total], rel=1e-12)


def test_a_sum_is_not_taken_for_divergence(nn):
    """What is usual is that of as many examples."""
    x = np.ones((300_000, 1))
    model = nn.Sequential(nn.Linear(1, 1, init="zeros"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.fit(x, x, loss=nn.MSELoss(reduction="sum"), optimizer=nn.SGD(lr=1e-9), batch_size=50_000,
                  shuffle=False)


def test_training_needs_one_number(nn):
    """Every way into a training, and into an evaluation, refuses costs, and nothing has changed."""
    model, loss, optimizer = net(nn), nn.CrossEntropyLoss(ignore_index=-1, reduction="none"), nn.Adam()
    before, words = model.state_dict(), r"loss: expected reduction 'mean' or 'sum', which give one number, got Cross"
    for call in (
        lambda: model.step(X, T, loss, optimizer),
        lambda: model.run_epoch(X, T, loss, optimizer),
        lambda: model.fit(X, T, loss=loss, optimizer=optimizer),
        lambda: model.fit([(X, T)], loss=loss, optimizer=optimizer),
        lambda: model.evaluate(X, T, loss),
        lambda: nn.gradcheck(model, X, T, loss),
        lambda: nn.find_lr(model, X, T, loss=loss, optimizer=optimizer),
    ):
        with pytest.raises(ValueError, match=words):
            call()
    assert (model.steps, optimizer.steps) == (0, 0)
    for name, value in model.state_dict().items():
        same(value, before[name])


def test_mixup_of_places(ref, fast):
    """Class numbers become rows over axis 1, in both packages; targets that are left out do not mix."""
    t = np.maximum(T, 0)
    values = []
    for nn in (ref, fast):
        model = net(nn)
        model.run_epoch(X, t, nn.CrossEntropyLoss(), nn.SGD(lr=0.1), 8, mixup=0.4)
        values.append(np.array(model[0].weight))
        for call in (lambda nn=nn: net(nn).run_epoch(X, T, nn.CrossEntropyLoss(ignore_index=-1), nn.SGD(), mixup=0.4),
                     lambda nn=nn: net(nn).fit(X, T, loss=nn.CrossEntropyLoss(ignore_index=-1), optimizer=nn.SGD(),
                                               mixup=0.4)):
            with pytest.raises(ValueError, match=r"mixup: expected 0 beside ignore_index, got 0\.4"):
                call()
    assert np.allclose(*values, rtol=1e-12, atol=1e-14)


def test_gradcheck_of_places(nn):
    assert nn.gradcheck(net(nn), X, T, nn.CrossEntropyLoss(0.1, ignore_index=-1, reduction="sum")).passed


# ---- PyTorch ----


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("cls", CLASS_LOSSES)
def test_pytorch_agrees(nn, dtype, cls):
    """Reductions, class weights, smoothing and what is left out, in all combinations, and backward by any gradient."""
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    for shape, reduction, weighted, smoothing, kind in itertools.product(
            SHAPES, ("mean", "sum", "none"), (False, True), (0.0, 0.2), ("numbers", "some", "first", "rows")):
        if cls == "NLLLoss" and (smoothing or kind == "rows"):
            continue                                        # theirs has neither
        y, some, rows = outputs_and_targets(shape, dtype)
        t = {"some": some, "rows": readonly(rows, dtype)}.get(kind, np.maximum(some, 0))
        ignored = {"some": -1, "first": 0}.get(kind)
        if kind == "first" and not t.any():
            continue                                        # all are left out: 0 here, NaN there
        weights = np.linspace(0.5, 2, shape[1]) if weighted else None
        loss = class_loss(nn, cls, smoothing, class_weight=weights, ignore_index=ignored, reduction=reduction)
        outputs = torch.tensor(np.array(y), requires_grad=True)
        theirs = class_loss(torch.nn, cls, smoothing, ignore_index=-100 if ignored is None else ignored,
                            weight=torch.tensor(weights, dtype=outputs.dtype) if weighted else None,
                            reduction=reduction)
        want = theirs(outputs, torch.tensor(np.array(t)))
        got = loss(y, t)
        g = rng.normal(size=np.shape(got)).astype(dtype)
        want.backward(torch.tensor(g))
        tolerance = 1e-11 if dtype == "float64" else 3e-5
        assert np.allclose(got, want.detach().numpy(), rtol=tolerance, atol=tolerance)
        assert np.allclose(loss.backward(g), outputs.grad.numpy(), rtol=tolerance, atol=tolerance)


@pytest.mark.slow
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize(("cls", "ours", "theirs"), [
    ("MSELoss", {}, {}), ("L1Loss", {}, {}), ("HuberLoss", {"delta": 0.3}, {"delta": 0.3}), ("PoissonNLLLoss", {}, {}),
    ("BCEWithLogitsLoss", {}, {}), ("BCEWithLogitsLoss", {"pos_weight": 3.0}, {"pos_weight": 3.0}),
])  # fmt: skip
def test_pytorch_agrees_on_elements(nn, cls, ours, theirs, reduction):
    torch = pytest.importorskip("torch")
    for shape in [(5, 3), (7, 1), (2, 3, 17)]:
        y, t = normal(shape), np.random.default_rng(1).uniform(size=shape)
        outputs = torch.tensor(np.array(y), requires_grad=True)
        named = {key: torch.tensor(value) if key == "pos_weight" else value for key, value in theirs.items()}
        want = getattr(torch.nn, cls)(reduction=reduction, **named)(outputs, torch.tensor(t))
        loss = getattr(nn, cls)(reduction=reduction, **ours)
        got = loss(y, t)
        g = np.random.default_rng(2).normal(size=np.shape(got))
        want.backward(torch.tensor(g))
        assert np.allclose(got, want.detach().numpy(), rtol=1e-12, atol=1e-12)
        assert np.allclose(loss.backward(g), outputs.grad.numpy(), rtol=1e-12, atol=1e-12)


def test_a_history_counts_batches_by_their_rows(nn):
    """One that is left out whole counts as 0; the validation loss is the mean over what is left."""
    model = nn.Sequential(nn.Linear(2, 2, init="zeros"))
    x, t = np.ones((4, 2)), np.array([-1, -1, 0, 1])
    logs = model.fit(x, t, loss=nn.CrossEntropyLoss(ignore_index=-1), optimizer=nn.SGD(lr=0.0), batch_size=2,
                     shuffle=False, validation_data=(x, t)).history
    assert logs["loss"] == pytest.approx([np.log(2) / 2]) and logs["val_loss"] == pytest.approx([np.log(2)])
