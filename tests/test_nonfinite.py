"""The ends of the number line: NaN, infinities, −0, subnormal and the largest numbers, forward and backward.

The packages give the same kind of number everywhere, and so does PyTorch where it has the layer; what differs stands in
the two lists below, each with its reason.
"""

import itertools

import numpy as np
import pytest

import fastnn_ref
from tests import witness
from tests.cases import CASES, LOSSES, MASKS
from tests.check import normal, randomise_biases
from tests.pairwise import chequered, every

WHOLE, ONE = "everywhere", "once"
ENDS = [("nan", ONE), ("inf", ONE), ("-inf", ONE), ("-inf", WHOLE), ("-0", WHOLE), ("subnormal", ONE), ("largest", ONE)]
NORMS = ("BatchNorm1d", "BatchNorm2d", "LayerNorm", "GroupNorm", "RMSNorm")
SQUARES = "the largest number's square is infinite: x·(1/∞) is 0 or ∞·0, by the order of the factors"

TILES = "whole tiles are spoilt, in dx those of du or those of dx; elsewhere ∞ − ∞, and sums that overflow"
POOLS = "a gradient of −0 is stored, or added to 0, which gives 0"

# (classes that the case has inside, or its name; values; reason)
BETWEEN_THE_PACKAGES = [
    (NORMS, ("largest",), SQUARES),
    (("DropConnect",), ("largest",), "scale · (x · dy) or (scale · x) · dy: one of them overflows"),
    (("StochasticDepth",), ("-0",), "a row without its block is x in the engine, x + 0 in the reference"),
    (("MaxPool2d", "AdaptiveMaxPool2d", "GlobalAvgPool2d"), ("-0",), POOLS),
    (("winograd",), ("nan", "inf", "-inf", "largest"), TILES),
]
BESIDE_PYTORCH = [
    (("winograd",), ("nan", "inf", "-inf", "largest"), TILES),
    (NORMS, ("largest",), SQUARES),
    (("MaxPool2d", "AdaptiveMaxPool2d", "GlobalAvgPool2d"), ("-0",), POOLS),
    (("Upsample",), ("largest",), "they multiply the parts of rows and columns in another order: a sum overflows"),
    (("ReLU",), ("nan", "inf", "-inf"), "at NaN, our slope is 0, because y > 0 does not hold; theirs lets dy through"),
    (("ReLU", "ReLU6"), ("-0",), "max(−0, 0) is 0 here, −0 there"),
    (("ReLU6", "Softshrink", "Hardshrink"), ("nan", "inf", "-inf"),
     "at NaN, our slope is 0; theirs is 0 or 1, by whether the value stands in a vector or behind the last one"),
    (("Softshrink", "Hardshrink"), ("-0",), "0 where nothing passes is 0 here, in theirs 0·x or 0·dy"),
    (("ELU", "CELU", "SELU"), ("nan", "inf", "-inf"), "at NaN, our slope is NaN, as y is; theirs lets dy through"),
    (("SELU",), ("largest",), "they multiply dy by λα before the exponential, and it overflows"),
    (("Softsign",), ("nan", "inf", "-inf", "-0"), "their slope is a difference of quotients, which is NaN elsewhere"),
    (("Hardswish",), ("nan", "inf", "-inf"), "at −∞ we give −0, they NaN; at NaN our slope is NaN"),
    (("Hardswish",), ("largest",), "they multiply by 6 before they divide by it, and it overflows"),
    (("GELU",), ("largest",), "their u³ overflows, and the slope is NaN; ours is 1"),
    (("Softplus",), ("largest",), "they multiply dy by exp(u) before they divide by 1 + exp(u), and it overflows"),
    (("Softmax", "LogSoftmax"), ("-0",), "dy − Σ… of −0 alone is −0 − 0 or −0 + 0"),
    (("stochastic depth 1 row",), ("-0",), "what no row keeps is 0 or −0, and −0 + 0 is 0"),
    (("dropout 1",), ("nan", "inf", "-inf", "-0"), "we give exact zeros, they 0·x"),
    (("LayerNorm", "GroupNorm"), ("inf", "-inf"), "∞ in dy: dx is a sum with ∞ and −∞ in an order of its own"),
    (("LayerNorm", "GroupNorm"), ("-0",), "dx is a sum of zeros in an order of its own"),
]
LOSSES_BESIDE_PYTORCH = [
    ("MSELoss", "largest", "2·e overflows here, before the division by n"),
    ("HingeLoss", "nan", "the slope at NaN is NaN here, as the value is; theirs takes the margin as too small"),
    ("L1Loss", "nan", "the slope at NaN is NaN here, 0 there"),
    ("BCEWithLogitsLoss", "inf", "max(y, 0) − t·y is ∞ − ∞ here"),
    ("BCEWithLogitsLoss", "-inf", "(1 − t)·y − log σ(y) is −∞ + ∞ there"),
    ("CrossEntropyLoss", "largest", "smoothed: the sum over all classes overflows there, before it is divided"),
]


def value_of(name, dtype):
    info = np.finfo(dtype)
    return {"subnormal": info.smallest_subnormal, "largest": info.max}.get(name) or float(name)


def kinds(values):
    """0 for a finite number, else which of the three it is."""
    return np.select([np.isnan(values), np.isposinf(values), np.isneginf(values)], [1, 2, 3], 0)


def spoilt(values, value, place):
    """A copy with one such element, in the middle, or with nothing else."""
    values = np.array(values)
    if place == WHOLE:
        values[...] = value
    else:
        values.flat[values.size // 2] = value
    return values


def difference(got, want, signs, rounding=0.0):
    """What is not the same, in words: the kind of a number, the sign of a 0, or the value, by far."""
    got, want = np.asarray(got), np.asarray(want)
    wrong = kinds(got) != kinds(want)
    if not wrong.any():
        finite = np.isfinite(want)
        a, b = (np.where(finite, each, 0).astype(np.float64) for each in (got, want))
        info = np.finfo(got.dtype)
        limit = 1e-4 * np.abs(b).max(initial=0) + 200 * float(info.smallest_subnormal) + rounding
        wrong = np.abs(a / 2 - b / 2) > limit
        if signs:
            wrong |= (got == 0) & (want == 0) & (np.signbit(got) != np.signbit(want))
    if wrong.any():
        at = tuple(np.argwhere(wrong)[0].tolist())
        return f"{wrong.sum()} of {wrong.size}, first {got[at]!r}, wanted {want[at]!r}"
    return None


def classes_in(layer):
    """Names of the classes of a layer and of everything inside it, activations included; and of algorithms."""
    found = {type(layer).__name__, getattr(layer, "algorithm", type(layer).__name__)}
    inside = [*getattr(layer, "layers", ()), *getattr(layer, "branches", ()), getattr(layer, "block", None),
              getattr(layer, "activation", None)]
    return found.union(*(classes_in(each) for each in inside if each is not None))


# The last case of those with the same classes inside; "dropout 1", because PyTorch draws other masks for any p between.
REAL = [case for case in CASES if not case.numbers]
ONE_OF_EACH_KIND = [*{frozenset(classes_in(case.make(fastnn_ref))): case for case in REAL}.values(), MASKS[4]]


def is_known(case, layer, value, differences):
    return any(value in values and (classes_in(layer) | {case.name}) & set(names) for names, values, _ in differences)


def passes(model, state, x, where, value, place):
    """Everything that a training pass and a prediction make."""
    model.load_state_dict(state)
    y = model.forward(spoilt(x, value, place) if where == "x" else x, training=True)
    dy = normal(y.shape, x.dtype, seed=1)
    dx = model.backward(spoilt(dy, value, place) if where == "dy" else dy)
    return {"y": y, "dx": dx} | {name: g.copy() for name, g in model.grads.items()} | {
        f"state {name}": values for name, values in model.state_dict().items()} | {"prediction": model(x)}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:invalid value", "ignore:overflow", "ignore:divide by zero")
@pytest.mark.parametrize(("number", "case"), list(enumerate(REAL)), ids=[case.name for case in REAL])
def test_layer(ref, fast, number, case):
    """In x, and in dy; one dtype for half of the values and the other one for the rest, in turn."""
    models = {}
    for dtype in ("float64", "float32"):
        engine, book = (nn.Sequential(case.make(nn), seed=5, dtype=dtype) for nn in (fast, ref))
        randomise_biases(engine)
        models[dtype] = engine, book, engine.state_dict()
    wrong = []
    for index, ((name, place), where) in enumerate(itertools.product(ENDS, ("x", "dy"))):
        dtype = ("float64", "float32")[(number + index // 2) % 2]
        engine, book, state = models[dtype]
        x, value = normal(case.shape, dtype), value_of(name, dtype)
        got, want = (passes(model, state, x, where, value, place) for model in (engine, book))
        rounding = 16 * np.finfo(dtype).eps * float(value) if (name, where) == ("largest", "dy") else 0.0  # of slopes
        found = {what: difference(got[what], want[what], name == "-0", rounding) for what in got}
        if not is_known(case, book, name, BETWEEN_THE_PACKAGES):
            wrong += [f"{what}, {name} {place} in {where}, {dtype}: {text}" for what, text in found.items() if text]
    assert not wrong, "\n".join(wrong)


@pytest.fixture(scope="module")
def torch():
    found = pytest.importorskip("torch", reason="PyTorch is missing: the witness tests do NOT run")
    before = found.get_num_threads()
    found.set_num_threads(1)
    yield found
    found.set_num_threads(before)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:invalid value", "ignore:overflow", "ignore:divide by zero")
@pytest.mark.parametrize("case", ONE_OF_EACH_KIND, ids=[case.name for case in ONE_OF_EACH_KIND])
def test_layer_beside_pytorch(torch, ref, fast, case):
    """Of both packages, in float64."""
    models = [nn.Sequential(case.make(nn), seed=5, dtype="float64") for nn in (ref, fast)]
    randomise_biases(models[0])
    state = models[0].state_dict()
    if witness.twin(torch, models[0]) is None:
        pytest.skip("PyTorch has no such layer")
    wrong = []
    for (name, place), where in itertools.product(ENDS, ("x", "dy")):
        x, value = normal(case.shape), value_of(name, "float64")
        models[0].load_state_dict(state)
        module = witness.twin(torch, models[0])
        inputs = torch.tensor(spoilt(x, value, place) if where == "x" else np.array(x)).requires_grad_()
        y = module(inputs)
        dy = normal(tuple(y.shape), seed=1)
        y.backward(torch.tensor(spoilt(dy, value, place) if where == "dy" else np.array(dy)))
        want = [y.detach().numpy(), inputs.grad.numpy(), *witness.parameters(module, gradients=True)]
        for model in models:
            if is_known(case, models[0], name, BESIDE_PYTORCH):
                continue
            got = passes(model, state, x, where, value, place)
            for what, wanted in zip(("y", "dx", *model.grads), want, strict=True):
                text = difference(got[what], wanted, name == "-0")
                wrong += [f"{type(model).__module__}: {what}, {name} {place} in {where}: {text}"] if text else []
    assert not wrong, "\n".join(wrong)


@pytest.mark.filterwarnings("ignore:invalid value", "ignore:overflow")
@every(case=LOSSES, end=ENDS)
def test_loss(ref, fast, dtype, case, end):
    name, place = end
    t = case.targets(np.random.default_rng(3), 5, 4)
    y = spoilt(normal((5, 4), dtype), value_of(name, dtype), place)
    t = t.astype(dtype) if t.dtype.kind == "f" and case.targets.__name__ != "rows" else t
    engine, book = case.make(fast), case.make(ref)
    values = [np.array([loss(y, t)]) for loss in (engine, book)]
    texts = [difference(*values, signs=True), difference(engine.backward(), book.backward(), signs=True)]
    assert texts == [None, None], texts


@chequered
@pytest.mark.filterwarnings("ignore:invalid value", "ignore:overflow")
@pytest.mark.parametrize("case", LOSSES, ids=[case.name for case in LOSSES])
def test_loss_beside_pytorch(torch, nn, case):
    t = case.targets(np.random.default_rng(3), 5, 4)
    wrong = []
    for name, place in ENDS:
        if (case.cls, name) in {each[:2] for each in LOSSES_BESIDE_PYTORCH}:
            continue
        y = spoilt(normal((5, 4)), value_of(name, "float64"), place)
        outputs = torch.tensor(y).requires_grad_()
        want = witness.loss(torch, case, outputs, t)
        want.backward()
        loss = case.make(nn)
        got = np.array([loss(y, t)])
        texts = [difference(got, want.detach().numpy()[None], False),
                 difference(loss.backward(), outputs.grad.numpy(), False)]
        wrong += [f"{what}, {name} {place}: {text}" for what, text in zip(("value", "dy"), texts, strict=True) if text]
    assert not wrong, "\n".join(wrong)
