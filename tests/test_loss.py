"""Losses: the formula in plain Python, the gradient by differences, the ends of the number line."""

import json
import math

import numpy as np
import pytest

from tests.cases import LOSSES
from tests.check import close, derivatives, guarded, normal, readonly, same
from tests.pairwise import every, pairwise

SHAPES = [(1, 1), (1, 5), (3, 2), (7, 10), (17, 33)]
LARGE = [(211, 10), (3, 2053)]


def name_of(case):
    return case.name


def formula(case, y, t):
    """The loss, number by number."""
    k = y.shape[1]
    pairs = list(zip(y.ravel().tolist(), np.ravel(t).tolist(), strict=True)) if t.ndim == 2 else []
    if case.cls == "MSELoss":
        return math.fsum((a - b) ** 2 for a, b in pairs) / y.size
    if case.cls == "L1Loss":
        return math.fsum(abs(a - b) for a, b in pairs) / y.size
    if case.cls == "HuberLoss":
        d = case.arguments.get("delta", 1.0)
        return math.fsum((a - b) ** 2 / 2 if abs(a - b) <= d else d * (abs(a - b) - d / 2) for a, b in pairs) / y.size
    if case.cls == "PoissonNLLLoss":
        eps = case.arguments.get("eps")
        return math.fsum(math.exp(a) - b * a if eps is None else a - b * math.log(a + eps) for a, b in pairs) / y.size
    if case.cls == "HingeLoss":
        return math.fsum(max(0, 1 - a * b) for a, b in pairs) / y.size
    if case.cls == "BCEWithLogitsLoss":
        share = case.arguments.get("label_smoothing", 0.0)
        no, yes = case.arguments.get("class_weight", (1, case.arguments.get("pos_weight", 1)))
        p = [(1 / (1 + math.exp(-a)), (1 - share) * b + share / 2) for a, b in pairs]
        return -math.fsum(yes * b * math.log(a) + no * (1 - b) * math.log(1 - a) for a, b in p) / y.size
    epsilon = case.arguments.get("label_smoothing", 0.0)
    weights = case.arguments.get("class_weight", {})
    total = 0.0
    for row, target in zip(y.tolist(), t, strict=True):
        hot = np.eye(k)[target] if t.ndim == 1 else target
        shift = 0.0 if case.cls == "NLLLoss" else math.log(math.fsum(math.exp(a) for a in row))
        total -= math.fsum(weights.get(j, 1) * ((1 - epsilon) * q + epsilon / k) * (a - shift)
                           for j, (a, q) in enumerate(zip(row, hot, strict=True)))
    return total / (sum(weights.get(int(j), 1) for j in t) if t.ndim == 1 else len(y))


def data(case, shape, dtype="float64"):
    rng = np.random.default_rng([7, *shape])
    return normal(shape, dtype), readonly(case.targets(rng, *shape))


@pairwise("nn", "dtype", case=LOSSES, shape=SHAPES + LARGE)
def test_formula(nn, dtype, case, shape):
    y, t = data(case, shape, dtype)
    if dtype == np.float32 and t.dtype == np.float64:
        t = t.astype(np.float32) if case.targets.__name__ != "rows" else t
    want = formula(case, y.astype(np.float64), t)
    value = case.make(nn).forward(y, t)
    assert type(value) is float
    close("sum", dtype.type(value), want, shape[1] * (abs(want) + np.abs(y).mean()))


@pairwise("nn", case=LOSSES, shape=SHAPES)
def test_gradient(nn, case, shape):
    y, t = data(case, shape)
    loss = case.make(nn)
    value = loss.forward(y, t)
    dy = loss.backward()
    moving = np.array(y)
    scale = np.finfo(np.float64).eps ** (-1 / 3) * (value + 1)
    close("difference", *derivatives(lambda: loss.forward(moving, t), moving, dy), scale)


@every(case=LOSSES, shape=SHAPES + LARGE)
def test_engine_agrees(ref, fast, isa, dtype, case, shape):
    y, t = data(case, shape, dtype)
    t = t if t.dtype.kind == "i" else readonly(t, "float32") if case.targets.__name__ != "rows" else t
    engine, book = case.make(fast), case.make(ref)
    want = book.forward(y.astype(np.float64), t)
    close("sum", dtype.type(engine.forward(y, t)), want, shape[1] * (abs(want) + np.abs(y).mean()))
    dy = engine.backward()
    assert dy.dtype == dtype
    close("elementwise", dy, book.backward(), (1 + np.abs(y)) * 4 / shape[0])


@pytest.mark.parametrize("shape", [(1001, 40), (700, 99), (5, 7, 41, 31)])
@pytest.mark.parametrize("options", [
    {}, {"label_smoothing": 0.1}, {"class_weight": {0: 0.5, 3: 2.0}}, {"ignore_index": 2}, {"reduction": "none"},
], ids=str)  # fmt: skip
@pytest.mark.parametrize("probabilities", [False, True])
def test_cross_entropy_by_many_threads(ref, fast, dtype, isa, threads, shape, options, probabilities):
    """Pieces of the examples are summed by threads, in an order that does not depend on their number."""
    y = 3 * normal(shape, dtype)
    t = np.random.default_rng(1).integers(0, 7, (shape[0], *shape[2:]))
    if probabilities and "ignore_index" not in options:
        t = np.moveaxis(np.eye(shape[1], dtype=dtype)[t], -1, 1)
    found = []
    for count in (1, 2, 3):
        threads(count)
        loss = fast.CrossEntropyLoss(**options)
        found.append((np.asarray(loss(y, t)), loss.backward()))
    for value, gradient in found[1:]:
        same(value, found[0][0])
        same(gradient, found[0][1])
    loss = ref.CrossEntropyLoss(**options)
    want = np.asarray(loss(y.astype(np.float64), t)), loss.backward()
    for got, exact in zip(found[0], want, strict=True):
        assert np.abs(got - exact).max() <= 20 * np.finfo(dtype).eps * np.abs(exact).max()


@every(case=LOSSES)
def test_backward_is_fresh_and_inputs_stay(nn, dtype, case):
    y, t = data(case, (5, 3), dtype)
    loss = case.make(nn)
    loss.forward(y, t)  # y and t are read-only
    first = loss.backward()
    assert (first.shape, first.dtype) == (y.shape, y.dtype)
    kept = first.copy()
    first[...] = np.nan
    same(loss.backward(), kept)


@every(case=LOSSES)
def test_called_like_a_function(nn, case):
    y, t = data(case, (5, 3))
    assert case.make(nn)(y, t) == case.make(nn).forward(y, t)


@pytest.mark.parametrize("size", [50.0, 1e3, 1e30])
def test_large_logits(nn, dtype, size):
    """log-sum-exp and log1p(exp(-|y|)) neither overflow nor lose the right answer."""
    y = np.array([[size, 0, -size]], dtype)
    for t, want in [(0, 0.0), (1, size), (2, 2 * size)]:
        close("sum", dtype.type(nn.CrossEntropyLoss()(y, np.array([t]))), dtype.type(want), want + 1)
    assert nn.CrossEntropyLoss()(np.array([[0, -np.inf]], dtype), np.array([0])) == 0       # a class without a chance
    bce = nn.BCEWithLogitsLoss()
    close("sum", dtype.type(bce(y, np.array([[1, 0, 0]]))), math.log(2) / 3, 1.0)
    close("sum", dtype.type(bce(y, np.array([[0, 0, 1]]))), dtype.type((2 * size + math.log(2)) / 3), size)
    assert np.isfinite(bce.backward()).all()


def test_kinks(nn, dtype):
    """sign(0) = 0 for L1; Huber's two pieces meet at delta with slope 1 · delta / n."""
    y = np.array([[0.0, 2.0, -2.0, 1.0]], dtype)
    t = np.zeros((1, 4))
    l1 = nn.L1Loss()
    assert l1(y, t) == 1.25
    assert l1.backward().tolist() == [[0, 0.25, -0.25, 0.25]]
    huber = nn.HuberLoss(delta=2.0)
    assert huber(y, t) == (0 + 2 + 2 + 0.5) / 4
    assert huber.backward().tolist() == [[0, 0.5, -0.5, 0.25]]


def test_one_class_costs_nothing(nn):
    loss = nn.CrossEntropyLoss(label_smoothing=0.1)
    assert loss(np.array([[3.0], [-1.0]]), np.array([0, 0])) == 0
    assert loss.backward().tolist() == [[0], [0]]


def test_smoothing_gives_to_every_class(nn):
    """(1 - ε) · target + ε/K, the target's own class included; not 0.9 and 0.1 to each other class."""
    smooth, rows = nn.CrossEntropyLoss(label_smoothing=0.2), nn.CrossEntropyLoss()
    y = normal((2, 5))
    q = np.full((2, 5), 0.04)
    q[0, 3] = q[1, 0] = 0.84
    a, b = smooth(y, np.array([3, 0])), rows(y, q)
    close("sum", np.float64(a), b, 5 * abs(b))


@pytest.mark.parametrize("kind", ["int8", "uint8", "int32", "uint64", "int64", "longlong", "float32", "float64"])
def test_class_numbers_of_any_kind(nn, kind):
    y, t = normal((3, 4)), [2, 0, 3]
    assert nn.CrossEntropyLoss()(y, np.array(t, kind)) == nn.CrossEntropyLoss()(y, t)


def test_column_targets(nn):
    """(n,) targets for (n, 1) outputs are that column, never broadcast to (n, n)."""
    y, t = normal((5, 1)), normal((5,), seed=1)
    for loss in (nn.MSELoss(), nn.L1Loss(), nn.HuberLoss()):
        assert loss(y, t) == loss(y, t[:, None])
        assert loss.backward().shape == (5, 1)


def test_sums_in_float64(nn):
    """2^24 + 1023 is no number of float32."""
    y = np.full((32, 32), np.float32(1.0))
    y[0, 0] = 2**12
    assert nn.MSELoss()(y, np.zeros_like(y)) == (2**24 + 1023) / 1024


def test_nothing_outside_is_read(fast, isa, dtype):
    for case in LOSSES:
        for shape in SHAPES:
            y, t = data(case, shape, dtype)
            inside, intact = guarded(y)
            targets = guarded(t.astype(dtype))[0] if t.ndim == 2 and case.targets.__name__ != "rows" else t
            loss = case.make(fast)
            assert np.isfinite(loss(inside, targets))
            assert np.isfinite(loss.backward()).all()
            assert intact()


# ---- weights ----


@every(case=LOSSES)
def test_a_weight_of_two_is_the_example_twice(nn, dtype, case):
    """Σ wᵢ·lᵢ / Σ wᵢ: whole weights are repetitions, and a weight of 0 takes the example out."""
    times = np.array([2, 1, 0, 3, 1])
    t, y = case.targets(np.random.default_rng(1), 5, 4), normal((5, 4), dtype)
    loss, other = case.make(nn), case.make(nn)
    want = other(np.repeat(y, times, axis=0), np.repeat(t, times, axis=0))
    close("sum", dtype.type(loss(y, t, times)), want, 30 * (1 + abs(want)))
    slopes, start = other.backward(), 0
    for row, count in enumerate(times):
        close("sum", loss.backward()[row], slopes[start:start + count].sum(axis=0), 10.0)
        start += count


@every(case=LOSSES)
def test_equal_weights_are_none(nn, dtype, case):
    t, y = case.targets(np.random.default_rng(1), 7, 4), normal((7, 4), dtype)
    loss, other = case.make(nn), case.make(nn)
    close("sum", dtype.type(loss(y, t, np.full(7, 0.3))), other(y, t), 30 * (1 + abs(other(y, t))))
    close("sum", loss.backward(), other.backward(), 10 * np.abs(other.backward()).max())
    assert loss(y, t, np.zeros(7)) == 0
    assert not loss.backward().any()


@every(case=LOSSES)
def test_engine_agrees_on_weights(ref, fast, isa, dtype, case):
    rng = np.random.default_rng(2)
    t, y, w = case.targets(rng, 37, 11), normal((37, 11), dtype), rng.uniform(size=37)
    if t.dtype.kind == "f":
        t = t.astype(dtype)
    arguments = [{}] if case.cls != "CrossEntropyLoss" else [{}, {"class_weight": rng.uniform(size=11)}]
    for more in arguments:
        a, b = (getattr(nn, case.cls)(**{**case.arguments, **more}) for nn in (fast, ref))
        want = b(y.astype(float), t.astype(float) if t.dtype.kind == "f" else t, w)
        close("sum", dtype.type(a(y, t, w)), want, 20 * (1 + abs(want)))
        close("layer", a.backward(), b.backward(), 11 * np.abs(b.backward()).max())


@pytest.mark.parametrize("eps", [0.0, 0.3])
def test_class_weight_formula(nn, eps):
    """With class numbers: Σᵢ Σ_k w_k·q_ik·(−log p_ik) / Σᵢ w_class(i)."""
    w, t, y = np.array([0.5, 2.0, 0.0]), np.array([1, 0, 1, 2, 1]), normal((5, 3))
    p = np.exp(y) / np.exp(y).sum(axis=1, keepdims=True)
    q = (1 - eps) * np.eye(3)[t] + eps / 3
    want = -(w * q * np.log(p)).sum() / w[t].sum()
    assert nn.CrossEntropyLoss(eps, class_weight=w)(y, t) == pytest.approx(want, rel=1e-13)
    assert repr(nn.CrossEntropyLoss(class_weight=w)) == (
        "CrossEntropyLoss(class_weight=(0.5, 2.0, 0.0))")


def same_loss(one, other, y, t):
    assert one(y, t) == pytest.approx(other(y, t), rel=1e-13)
    close("elementwise", one.backward(), other.backward(), 1.0)


def test_class_weight_as_a_dict(nn):
    """Labels that are missing weigh 1; a record, whose keys are texts, builds it again."""
    y, t = normal((7, 4)), np.array([0, 1, 2, 3, 3, 1, 0])
    loss = nn.CrossEntropyLoss(0.1, class_weight={1: 5.0, 0: 0.25})
    same_loss(loss, nn.CrossEntropyLoss(0.1, class_weight=[0.25, 5, 1, 1]), y, t)
    same_loss(nn.from_config(json.loads(json.dumps(loss.config()))), loss, y, t)
    assert repr(loss) == "CrossEntropyLoss(label_smoothing=0.1, class_weight={1: 5.0, 0: 0.25})"
    same_loss(nn.CrossEntropyLoss(class_weight={}), nn.CrossEntropyLoss(), y, t)
    binary = normal((7, 1)), t > 1
    same_loss(nn.BCEWithLogitsLoss(class_weight={1: 3}), nn.BCEWithLogitsLoss(pos_weight=3), *binary)


def test_binary_class_weight_is_that_of_two_logits(nn):
    """BCE of y is the cross-entropy of logits (0, y) and rows (1 − t, t)."""
    y, t, weights = normal((9, 1)), np.linspace(0, 1, 9)[:, None], (0.3, 1.7)
    one = nn.BCEWithLogitsLoss(0.2, class_weight=weights)
    two = nn.CrossEntropyLoss(0.2, class_weight=weights)
    assert one(y, t) == pytest.approx(two(np.hstack([0 * y, y]), np.hstack([1 - t, t])), rel=1e-13)
    close("elementwise", one.backward(), two.backward()[:, 1:], 1.0)


@pairwise("isa*dtype", shape=[(1, 1), (5, 3), (3, 17), (37, 11), (2, 3, 5)])
def test_pos_weight_of_each_output(ref, fast, isa, dtype, shape):
    """A number for each output; with weights of the examples, too."""
    rng, k = np.random.default_rng(1), shape[-1]
    y, t, w = normal(shape, dtype), rng.uniform(size=shape).astype(dtype), rng.uniform(size=len(shape) and shape[0])
    p = rng.uniform(0, 9, size=k) if len(shape) == 2 else 2.5
    a, b = (nn.BCEWithLogitsLoss(pos_weight=p) for nn in (fast, ref))
    for weights in (None, w):
        wide = y.astype(np.float64)
        each = p * t * np.log1p(np.exp(-wide)) + (1 - t) * np.log1p(np.exp(wide))
        by_row = each.reshape(len(y), -1).mean(axis=1)
        want = float(np.average(by_row, weights=weights))
        assert b(wide, t, weights) == pytest.approx(want, rel=1e-6)
        close("sum", dtype.type(a(y, t, weights)), b(wide, t, weights), 20 * (1 + want))
        close("layer", a.backward(), b.backward(), 11 * np.abs(b.backward()).max())


@pytest.mark.parametrize("weight", [1.0, 1e3, 1e8])
def test_a_large_pos_weight_leaves_the_gradient_its_digits(nn, isa, dtype, weight):
    """no·σ(y) − yes·σ(−y) is off by rounding of its two terms, and not of yes·σ(y) − yes, where y is large."""
    y, t = (each.reshape(1, -1).astype(dtype) for each in np.meshgrid(
        [-80, -9, -0.5, 0, 0.5, 4, 9, 15, 20, 30, 80], [0, 1e-6, 0.1, 0.5, 0.9, 1]))
    wide, share = y.astype("f8"), t.astype("f8")
    no, yes = (1 - share) / (1 + np.exp(-wide)), weight * share / (1 + np.exp(wide))
    for loss in (nn.BCEWithLogitsLoss(pos_weight=weight, reduction="sum"),
                 nn.BCEWithLogitsLoss(class_weight=(1, weight), reduction="sum")):
        loss(y, t)
        assert (np.abs(loss.backward() - (no - yes)) <= 4 * np.finfo(dtype).eps * (no + yes)).all()


SKEWED = np.array([0] * 6 + [1] * 3 + [2])


def test_balanced_is_scikit_learns(nn):
    """fit works it out from its targets and their weights; a class that is not there weighs 1."""
    weigh = pytest.importorskip("sklearn.utils.class_weight").compute_class_weight
    x, w = normal((10, 4)), np.random.default_rng(0).uniform(size=10)

    def trained(loss, t, outputs, sample_weight=None):
        model = nn.Sequential(nn.Linear(4, outputs), seed=1, dtype="float64")
        history = model.fit(x, t, loss=loss, optimizer=nn.SGD(lr=0.5), epochs=2, batch_size=4,
                            sample_weight=sample_weight)
        return [*history.history["loss"], *model.layers[0].weight.ravel().tolist()]

    for sample_weight in (None, w):
        numbers = weigh("balanced", classes=np.arange(3), y=SKEWED, sample_weight=sample_weight)
        loss = nn.CrossEntropyLoss(class_weight="balanced")
        got = trained(loss, SKEWED, 4, sample_weight)
        assert got == pytest.approx(trained(nn.CrossEntropyLoss(class_weight=[*numbers, 1]), SKEWED, 4, sample_weight))
        assert got != trained(nn.CrossEntropyLoss(), SKEWED, 4, sample_weight)
        assert loss.class_weight == "balanced"
    rows = np.eye(4)[SKEWED]
    numbers = weigh("balanced", classes=np.arange(3), y=SKEWED)
    assert trained(nn.CrossEntropyLoss(class_weight="balanced"), rows, 4) == pytest.approx(
        trained(nn.CrossEntropyLoss(class_weight=[*numbers, 1]), rows, 4))
    yes = SKEWED == 2
    numbers = weigh("balanced", classes=np.arange(2), y=yes.astype(int))
    assert trained(nn.BCEWithLogitsLoss(class_weight="balanced"), yes, 1) == pytest.approx(
        trained(nn.BCEWithLogitsLoss(class_weight=numbers), yes, 1))


def test_balanced_looks_at_training_data_alone(nn):
    """Of a split, the last rows have no say."""
    x, t = normal((10, 4)), np.array([0] * 6 + [1] * 2 + [1] * 2)

    def history(loss):
        model = nn.Sequential(nn.Linear(4, 2), seed=1, dtype="float64")
        return model.fit(x, t, loss=loss, optimizer=nn.SGD(), validation_split=0.2).history

    want = history(nn.CrossEntropyLoss(class_weight=[8 / 12, 8 / 4]))
    for name, values in history(nn.CrossEntropyLoss(class_weight="balanced")).items():
        assert values == pytest.approx(want[name])


def test_poisson(nn, dtype):
    """At rate 0 of counts 0 it is finite; at the count itself the slope is 0; far out it neither overflows nor lies."""
    loss = nn.PoissonNLLLoss(log_input=False)
    y = np.array([[0.0, 0.0, 3.0]], dtype)
    eps = dtype.type(1e-8)
    close("sum", dtype.type(loss(y, np.array([[0, 1, 3]]))), (-math.log(eps) + 3 - 3 * math.log(3 + eps)) / 3, 20.0)
    assert loss.backward()[0, 2] == pytest.approx(0, abs=1e-7)
    loss, far = nn.PoissonNLLLoss(), np.array([[-800.0, 80.0]], dtype)
    close("sum", dtype.type(loss(far, np.array([[0, 1]]))), (math.exp(80) - 80) / 2, 80 * math.exp(80))
    close("elementwise", loss.backward(), np.array([[0, (math.exp(80) - 1) / 2]]), [[1, 40 * math.exp(80)]])


def test_logarithm_of_a_rate(fast):
    """float32's is double's, rounded once, at any scale; −log 0 is +∞, and a negative rate has no logarithm."""
    loss = fast.PoissonNLLLoss(log_input=False, eps=1e-45, reduction="none")
    y = np.concatenate([np.geomspace(1e-37, 3e38, 9973), np.linspace(0.5, 2, 4999), [1.0]]).astype(np.float32)[:, None]
    same(loss(y, np.ones_like(y)), y - np.log(y.astype(np.float64)).astype(np.float32))
    costs = loss(np.array([[0, -1, np.nan]], np.float32) - np.float32(loss.eps), np.ones((1, 3), np.float32))[0]
    assert costs[0] == np.inf and np.isnan(costs[1:]).all()


@pytest.mark.parametrize("columns", [3, 16, 37])
def test_target_arrays_that_are_refused(nn, dtype, columns):
    """An array of the model's own dtype is looked at in the kernels: a wrong value in each place of a row."""
    y, labels = np.zeros((2, columns), dtype), np.ones((2, columns), dtype)
    probabilities = np.full((2, columns), 1 / columns, dtype)
    nn.HingeLoss()(y, -labels)
    nn.CrossEntropyLoss()(y, probabilities)
    for j in range(columns):
        for value, loss, t in ((0, nn.HingeLoss(), -labels), (0.5, nn.HingeLoss(), labels),
                               (-1e-3, nn.CrossEntropyLoss(), probabilities), (1, nn.NLLLoss(), probabilities),
                               (np.nan, nn.CrossEntropyLoss(), probabilities)):
            wrong = t.copy()
            wrong[1, j] = value
            with pytest.raises(ValueError, match=r"^t: "):
                loss(y, wrong)


def test_hinge(nn, dtype):
    """0 and 1 stand for −1 and 1; at the margin the slope is 0; scikit-learn's hinge_loss."""
    y = np.array([[0.5], [1.0], [-2.0], [0.0]], dtype)
    loss = nn.HingeLoss()
    assert loss(y, [1, 1, 1, 0]) == loss(y, [1, 1, 1, -1]) == (0.5 + 0 + 3 + 1) / 4
    assert loss.backward().ravel().tolist() == [-0.25, 0, -0.25, 0.25]
    metrics = pytest.importorskip("sklearn.metrics")
    y, t = normal((23, 1)), np.random.default_rng(0).choice([-1, 1], 23)
    assert loss(y, t) == pytest.approx(metrics.hinge_loss(t, y[:, 0]), rel=1e-13)


def test_hinge_decides_at_zero(nn):
    x, t = np.array([[2.0], [-1.0], [-3.0], [0.5]]), np.array([1, -1, -1, 1])
    model = nn.Sequential(nn.Linear(1, 1, init="ones"))
    for targets in (t, t > 0):
        assert model.evaluate(x, targets, nn.HingeLoss(), ["accuracy"])["accuracy"] == 1


def test_smoothing_sums_to_one(nn):
    """Uniform logits: the gradient of each row sums to 0 only if the target's shares sum to 1."""
    for loss in (nn.CrossEntropyLoss(0.1), nn.CrossEntropyLoss(1.0)):
        loss(np.zeros((1, 4)), np.array([2]))
        assert np.abs(loss.backward().sum()) < 1e-15
        q = 0.25 - loss.backward()[0]
        assert q.sum() == pytest.approx(1)
        assert q[0] == pytest.approx(loss.label_smoothing / 4)


def test_weights_in_step_epoch_and_fit(ref, fast):
    """Gathered with the examples: an epoch of weighted batches, reference and engine, by hand and in one call."""
    x, t = normal((50, 6)), np.arange(50) * 7 % 3
    w = np.random.default_rng(0).uniform(size=50)
    w[::7] = 0

    def net(nn):
        return nn.Sequential(nn.Linear(6, 9, activation="tanh"), nn.Linear(9, 3), seed=1, dtype="float64")

    models = [net(nn) for nn in (ref, fast)]
    histories = []
    for nn, model in zip((ref, fast), models, strict=True):
        history = model.fit(x, t, loss=nn.CrossEntropyLoss(0.1), optimizer=nn.Adam(), epochs=3, batch_size=8,
                            sample_weight=w, validation_split=0.2)
        histories.append(history.history["loss"])
    assert np.abs(np.subtract(*histories)).max() < 1e-12
    for name, value in models[0].state_dict().items():
        assert np.abs(value - models[1].state_dict()[name]).max() < 1e-12
    for nn in (ref, fast):
        one, other = net(nn), net(nn)
        loss, optimizer, another = nn.CrossEntropyLoss(), nn.SGD(lr=0.1), nn.SGD(lr=0.1)
        mean = one.run_epoch(x, t, loss, optimizer, batch_size=20, shuffle=False, sample_weight=w)
        total = 0.0
        for start in range(0, 50, 20):
            part = slice(start, start + 20)
            total += other.step(x[part], t[part], loss, another, sample_weight=w[part]) * w[part].sum()
        assert mean == pytest.approx(total / w.sum(), rel=1e-14)
        for name, value in one.state_dict().items():
            assert (value == other.state_dict()[name]).all()
        assert net(nn).run_epoch(x, t, loss, nn.SGD(), sample_weight=np.zeros(50)) == 0
        heavy = nn.Sequential(nn.Linear(6, 3), seed=1, dtype="float64", penalty=nn.L2(0.5))
        value = heavy.penalty_value()
        assert heavy.run_epoch(x, t, loss, nn.SGD(lr=0), sample_weight=np.zeros(50)) == pytest.approx(value)
        assert one.evaluate(x, t, loss, sample_weight=w)["loss"] == pytest.approx(loss(one(x), t, w))


@pairwise("nn", "dtype", case=LOSSES)
def test_weights_of_one_are_no_weights(nn, dtype, case):
    """To the last bit: alone, in a step, in an epoch, in fit and evaluate."""
    rng, ones = np.random.default_rng(3), np.ones(21)
    x, t, y = normal((21, 6), dtype), case.targets(rng, 21, 3), normal((21, 3), dtype, seed=2)

    def all_of(weights):
        loss = case.make(nn)
        found = [loss.forward(y, t, weights), loss.backward()]
        last = nn.LogSoftmax() if case.cls == "NLLLoss" else nn.Identity()
        model = nn.Sequential(nn.Linear(6, 3), last, seed=1, dtype=dtype)
        optimizer = nn.SGD(lr=0.1, momentum=0.9)
        found.append(model.step(x, t, loss, optimizer, weights))
        found.append(model.run_epoch(x, t, loss, optimizer, 8, sample_weight=weights))
        history = model.fit(x, t, loss=loss, optimizer=optimizer, batch_size=8, sample_weight=weights)
        found += [history.history["loss"][0], model.evaluate(x, t, loss, sample_weight=weights)["loss"]]
        return [*found, *model.state_dict().values()]

    for got, want in zip(all_of(ones), all_of(None), strict=True):
        same(got, want)


@pytest.mark.parametrize("spoilt", [np.nan, np.inf, -np.inf])
@every(case=LOSSES)
def test_a_row_that_weighs_nothing_is_left_out(nn, case, spoilt):
    """Even if it is NaN: value and gradient are those of the other rows, and 0 where there are none."""
    t = case.targets(np.random.default_rng(3), 5, 4)
    y, weights = np.array(normal((5, 4))), np.array([0, 1, 0, 0.5, 2.0])
    used = weights > 0
    y[~used] = spoilt
    loss, others = case.make(nn), case.make(nn)
    close("sum", loss(y, t, weights), others(y[used], t[used], weights[used]), 10.0)
    dy = loss.backward()
    close("sum", dy[used], others.backward(), 10.0)
    assert not dy[~used].any()
    assert loss(y, t, np.zeros(5)) == 0
    assert not loss.backward().any()
