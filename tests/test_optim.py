"""Optimizers: every update number by number, weight decay, clipping, whose model it is."""

import math

import numpy as np
import pytest

from fastnn_ref.shared.custom import CustomOptimizer
from tests.cases import OPTIMIZERS
from tests.check import close, normal, same, same_parameters
from tests.pairwise import chequered, every

DEFAULTS = {
    "SGD": {"momentum": 0.0, "nesterov": False, "weight_decay": 0.0, "dampening": 0.0},
    "Adagrad": {"eps": 1e-10, "weight_decay": 0.0, "lr_decay": 0.0, "initial_accumulator_value": 0.0},
    "RMSprop": {"alpha": 0.99, "eps": 1e-8, "weight_decay": 0.0, "momentum": 0.0, "centered": False},
    "Adadelta": {"rho": 0.9, "eps": 1e-6, "weight_decay": 0.0},
    "Adam": {"betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.0, "amsgrad": False},
    "AdamW": {"betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 1e-2, "amsgrad": False},
    "NAdam": {"betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.0, "momentum_decay": 4e-3,
              "decoupled_weight_decay": False},
}

KINDS = list(DEFAULTS)


def formula(case, w, g, slots, t):
    """The value of one number after update t = 1, 2, …; slots is what is remembered of it."""
    a = DEFAULTS[case.cls] | case.arguments
    lr, decay = a["lr"], a["weight_decay"]
    g *= -1 if a.get("maximize") else 1
    if case.cls == "AdamW" or a.get("decoupled_weight_decay"):
        w -= lr * decay * w
    else:
        g += decay * w
    if case.cls == "SGD":
        slots["v"] = a["momentum"] * slots["v"] + (1 - a["dampening"]) * g if "v" in slots else g
        return w - lr * (g + a["momentum"] * slots["v"] if a["nesterov"] else slots["v"])
    if case.cls == "Adagrad":
        slots["s"] = slots.get("s", a["initial_accumulator_value"]) + g * g
        return w - lr / (1 + (t - 1) * a["lr_decay"]) * g / (math.sqrt(slots["s"]) + a["eps"])
    if case.cls == "RMSprop":
        alpha = a["alpha"]
        slots["s"] = alpha * slots.get("s", 0.0) + (1 - alpha) * g * g
        slots["m"] = alpha * slots.get("m", 0.0) + (1 - alpha) * g if a["centered"] else 0.0
        slots["v"] = a["momentum"] * slots.get("v", 0.0) + g / (math.sqrt(slots["s"] - slots["m"] ** 2) + a["eps"])
        return w - lr * slots["v"]
    if case.cls == "Adadelta":
        rho, u = a["rho"], slots.get("u", 0.0)
        slots["s"] = rho * slots.get("s", 0.0) + (1 - rho) * g * g
        step = math.sqrt(u + a["eps"]) / math.sqrt(slots["s"] + a["eps"]) * g
        slots["u"] = rho * u + (1 - rho) * step * step
        return w - lr * step
    b1, b2 = a["betas"]
    slots["m"] = b1 * slots.get("m", 0.0) + (1 - b1) * g
    slots["s"] = b2 * slots.get("s", 0.0) + (1 - b2) * g * g
    if case.cls == "NAdam":
        mu = [b1 * (1 - 0.96 ** (i * a["momentum_decay"]) / 2) for i in range(1, t + 2)]
        mean = g * (1 - mu[-2]) / (1 - math.prod(mu[:-1])) + slots["m"] * mu[-1] / (1 - math.prod(mu))
        return w - lr * mean / (math.sqrt(slots["s"] / (1 - b2**t)) + a["eps"])
    if a["amsgrad"]:
        slots["most"] = max(slots.get("most", 0.0), slots["s"])
        return w - lr * (slots["m"] / (1 - b1**t)) / (math.sqrt(slots["most"] / (1 - b2**t)) + a["eps"])
    return w - lr * (slots["m"] / (1 - b1**t)) / (math.sqrt(slots["s"] / (1 - b2**t)) + a["eps"])


def small(nn, dtype="float64", seed=0):
    """13 · 3 weights: no multiple of a vector. The biases start away from 0, where decay would show."""
    model = nn.Sequential(nn.Linear(13, 3, activation="tanh"), nn.Linear(3, 2), seed=seed, dtype=dtype)
    model.layers[0].bias = [0.5, -0.25, 0.75]
    model.layers[1].bias = [-0.5, 1]
    return model


def gradients(nn, model):
    """Run one forward and backward; the gradients stand in the model."""
    loss = nn.MSELoss()
    loss.forward(model.forward(normal((5, 13)), training=True), normal((5, 2), seed=1))
    model.backward(loss.backward())
    return {name: g for name, _, g, _ in model.parameters()}


@chequered
@pytest.mark.parametrize("case", OPTIMIZERS, ids=lambda c: c.name)
def test_formula(nn, dtype, case):
    model, optimizer = small(nn, dtype), case.make(nn)
    slots = {name: [{} for _ in range(value.size)] for name, value, _, _ in model.parameters()}
    for t in range(1, 13):
        before = model.state_dict()
        grads = {name: g.copy() for name, g in gradients(nn, model).items()}
        optimizer.step(model)
        for name, got in model.state_dict().items():
            free = case._replace(arguments=case.arguments | {"weight_decay": 0.0}) if "bias" in name else case
            pairs = zip(before[name].ravel().tolist(), grads[name].ravel().tolist(), slots[name], strict=True)
            want = np.reshape([formula(free, w, g, slot, t) for w, g, slot in pairs], got.shape)
            moved = np.abs(want - before[name]) + case.arguments["lr"]
            close("step", got, want, np.abs(before[name]) + t * moved, f"step {t}: {name}")
    assert optimizer.steps == 12


@chequered
@pytest.mark.parametrize("case", OPTIMIZERS, ids=lambda c: c.name)
def test_engine_agrees(ref, fast, isa, dtype, case):
    """12 steps; the engine's gradients are its own, so errors travel."""
    a, b = small(fast, dtype), small(ref)
    one, two = case.make(fast), case.make(ref)
    for _ in range(12):
        gradients(fast, a)
        gradients(ref, b)
        one.step(a)
        two.step(b)
    for name, want in b.state_dict().items():
        close("training", a.state_dict()[name], want, np.full(want.shape, 12 * np.abs(want).max()), name)


@every(case=OPTIMIZERS)
def test_rate_zero_stays(nn, case):
    model = small(nn)
    before = model.state_dict()
    optimizer = case._replace(arguments=case.arguments | {"lr": 0.0}).make(nn)
    gradients(nn, model)
    optimizer.step(model)
    for name, value in model.state_dict().items():
        same(value, before[name])


@every(case=OPTIMIZERS)
def test_an_infinite_weight_stays(nn, dtype, case):
    """Where no decay applies the formula has no product with w, and so no 0·∞. Decay in g makes the step ∞ or ∞/∞."""
    model, optimizer = small(nn, dtype), case.make(nn)
    gradients(nn, model)
    values = {name: value for name, value, _, _ in model.parameters()}
    values["0.weight"].flat[5], values["0.bias"][1] = np.inf, -np.inf
    with np.errstate(invalid="ignore"):
        optimizer.step(model)
    decays = case.arguments.get("weight_decay", 0.01 if case.cls == "AdamW" else 0.0) > 0
    assert values["0.bias"][1] == -np.inf
    if case.cls == "AdamW" or "decoupled" in case.name or not decays:
        assert values["0.weight"].flat[5] == np.inf
    else:
        assert np.isnan(values["0.weight"].flat[5])
    assert np.isfinite(np.delete(values["0.weight"].reshape(-1), 5)).all()


def test_nan_gradient_is_not_hidden(nn):
    for case in OPTIMIZERS:
        model = small(nn)
        gradients(nn, model)["0.weight"][0, 0] = np.nan
        case.make(nn).step(model)
        assert np.isnan(model.state_dict()["0.weight"]).sum() == 1


# ---- clipping ----


def norm(grads):
    return math.sqrt(math.fsum(float(v) ** 2 for g in grads.values() for v in np.ravel(g)))


@pytest.mark.parametrize("share", [0.01, 0.5, 0.999, 1.001, 100.0])
def test_clip_grad_norm(nn, dtype, share):
    model = small(nn, dtype)
    grads = gradients(nn, model)
    before = {name: g.astype(np.float64) for name, g in grads.items()}
    length = norm(before)
    returned = nn.clip_grad_norm(model, share * length)
    close("sum", dtype.type(returned), length, 10 * length)
    for name, g in grads.items():
        close("elementwise", g, before[name] * min(1.0, share), np.abs(before[name]), name)
        if share > 1:
            same(g, before[name].astype(dtype))


@pytest.mark.parametrize(("limit", "factor"), [(1.0, 1.0), (1e210, 1e210), (1e300, None)])
def test_a_norm_whose_square_overflows(nn, limit, factor):
    """In float64, where a square may be infinite: all gradients became 0."""
    model = small(nn)
    grads = gradients(nn, model)
    before = {name: g.copy() for name, g in grads.items()}
    for g in grads.values():
        g *= 1e220
    length = norm(before)
    found = nn.clip_grad_norm(model, limit)
    close("sum", np.float64(found / 1e220), length, 10 * length)
    for name, g in grads.items():
        want = before[name] / length * factor if factor else before[name] * 1e220
        close("elementwise", g, want, 4 * np.abs(want), name)
    for g in grads.values():
        g[...] = np.inf
    with np.errstate(invalid="ignore"):
        assert nn.clip_grad_norm(model, 1.0) == np.inf
    assert np.isnan(grads["0.weight"]).all()


def test_clip_grad_norm_of_nothing(nn):
    model = small(nn)
    grads = gradients(nn, model)
    for g in grads.values():
        g[...] = 0
    assert nn.clip_grad_norm(model, 1.0) == 0
    assert norm(grads) == 0


def test_clip_grad_value(nn, dtype):
    model = small(nn, dtype)
    grads = gradients(nn, model)
    limit = float(np.median(np.abs(grads["0.weight"])))
    before = {name: g.copy() for name, g in grads.items()}
    nn.clip_grad_value(model, limit)
    for name, g in grads.items():
        same(g, np.clip(before[name], dtype.type(-limit), dtype.type(limit)))
    assert np.abs(before["0.weight"]).max() > limit


@chequered
@pytest.mark.parametrize("limits", [{"clip_norm": 0.05}, {"clip_value": 0.01}, {"clip_norm": 0.05, "clip_value": 0.01}])
@pytest.mark.parametrize("cls", KINDS)
def test_an_optimizer_clips_before_it_steps(nn, cls, limits):
    """The value first, then the norm."""
    a, b = small(nn), small(nn)
    gradients(nn, a)
    gradients(nn, b)
    getattr(nn, cls)(lr=0.1, **limits).step(a)
    if "clip_value" in limits:
        nn.clip_grad_value(b, limits["clip_value"])
    if "clip_norm" in limits:
        nn.clip_grad_norm(b, limits["clip_norm"])
    getattr(nn, cls)(lr=0.1).step(b)
    for name, want in b.state_dict().items():
        same(a.state_dict()[name], want, name)


def test_clipping_inside_a_step(nn):
    """model.step clips between backward and update."""
    a, b = small(nn), small(nn)
    x, t = normal((5, 13)), normal((5, 2), seed=1)
    a.step(x, t, nn.MSELoss(), nn.SGD(lr=1.0, clip_norm=1e-3))
    start = b.state_dict()
    moved = {name: value - start[name] for name, value in a.state_dict().items()}
    assert abs(norm(moved) - 1e-3) < 1e-12


def test_one_optimizer_one_model(nn):
    a, b = small(nn), small(nn)
    optimizer = nn.Adam()
    gradients(nn, a)
    gradients(nn, b)
    optimizer.step(a)
    with pytest.raises(ValueError, match="optimizer: this Adam already belongs to another model; make a new one"):
        optimizer.step(b)
    optimizer.step(a)
    assert optimizer.steps == 2


# ---- maximize ----


class Own(CustomOptimizer):
    def update(self, w, g, lr, decay):
        w -= lr * (g + decay * w)


def made(nn, cls, **options):
    return (Own if cls == "Own" else getattr(nn, cls))(lr=0.1, weight_decay=0.1, clip_norm=0.5, **options)


@chequered
@pytest.mark.parametrize("cls", [*KINDS, "Own"])
def test_maximize_turns_the_gradient_round(nn, dtype, cls):
    """That of the loss, before clipping; decay and penalties shrink weights as ever."""
    models = [nn.Sequential(small(nn, dtype), penalty=nn.ElasticNet(0.05, 0.3)) for _ in range(2)]
    one, two = made(nn, cls, maximize=True), made(nn, cls)
    for _ in range(3):
        for model in models:
            grads = gradients(nn, model)
        for g in grads.values():
            g *= -1
        one.step(models[0])
        two.step(models[1])
    same_parameters(*models)


def test_a_loss_that_shall_rise_is_no_divergence(nn):
    """Without maximize it would be a TrainingWarning, which is an error here."""
    x, t = normal((40, 2)), normal((40, 1), seed=1)
    model = nn.Sequential(nn.Linear(2, 1), dtype="float64")
    history = model.fit(x, t, loss=nn.MSELoss(), optimizer=nn.SGD(lr=0.3, maximize=True), epochs=15, batch_size=8)
    assert history.history["loss"][-1] > 1000 * history.history["loss"][0]


# ---- what starts from another value than 0, or depends on the step ----


def test_adagrad_starts_from_its_value(nn, dtype):
    optimizer = nn.Adagrad(lr=0.0, initial_accumulator_value=0.25)
    model = small(nn, dtype)
    for g in gradients(nn, model).values():
        g[...] = 0
    optimizer.step(model)
    for value in optimizer.state_dict()["sum"].values():
        same(value, np.full(value.shape, 0.25, dtype))
    state = optimizer.state_dict() | {"sum": {name: value + 1 for name, value in optimizer.state_dict()["sum"].items()}}
    optimizer.load_state_dict(state)
    assert optimizer.state_dict()["sum"]["0.bias"][0] == 1.25


def test_nadam_knows_each_step_by_its_number(nn):
    """Steps that are set back or forward: as an optimizer that came to that step."""
    def step(optimizer, model):
        gradients(nn, model)
        optimizer.step(model)

    one, a = nn.NAdam(lr=0.1), small(nn)
    for _ in range(7):
        step(one, a)
    state, values = one.state_dict(), a.state_dict()
    for steps in (2, 7, 5000):
        one.load_state_dict(state | {"steps": steps})
        a.load_state_dict(values)
        two, b = nn.NAdam(lr=0.1), small(nn)
        two.load_state_dict(state | {"steps": steps})
        b.load_state_dict(values)
        step(one, a)
        step(two, b)
        same_parameters(a, b)


@pytest.mark.parametrize("size", [1e-3, 1.0, 1e6])
@pytest.mark.parametrize(("centered", "times"), [(False, 0.75 ** -0.5), (True, (0.25 * 0.75) ** -0.5)])
def test_the_first_step_of_rmsprop(nn, size, centered, times):
    """As its docstring says: whatever the gradient's size, √(alpha·(1 − alpha)) or √(1 − alpha) divides it."""
    model = nn.Sequential(nn.Linear(1, 1, bias=False, init="zeros"), dtype="float64")
    model.step([[1.0]], [[size]], nn.MSELoss(), nn.RMSprop(lr=0.01, alpha=0.25, centered=centered))
    np.testing.assert_allclose(model[0].weight, 0.01 * times, rtol=1e-4)


def test_centered_rounding_makes_no_nan(nn, dtype):
    """s − m² of a gradient that never changes is 0, up to rounding, which may go below."""
    model, optimizer = small(nn, dtype), nn.RMSprop(lr=1e-9, alpha=0.5, centered=True)
    for _ in range(60):
        for number, g in enumerate(gradients(nn, model).values()):
            g[...] = np.linspace(0.1, 3.7, g.size).reshape(g.shape) + number
        optimizer.step(model)
    for value in model.state_dict().values():
        assert np.isfinite(value).all()


LARGEST_SQUARES = {
    "Adam": {}, "AdamW": {}, "NAdam": {"betas": (0.0, 0.999)}, "RMSprop": {"alpha": 0.999}, "Adadelta": {"rho": 0.999},
    "RMSprop centered": {"alpha": 0.999, "centered": True},
}  # fmt: skip


@pytest.mark.filterwarnings("ignore:overflow", "ignore:invalid value")
@pytest.mark.parametrize("name", LARGEST_SQUARES)
def test_a_square_is_weighed_before_it_overflows(ref, fast, name, dtype):
    """g² is beyond the dtype, (1 − β)·g² is not; and of one that is, too, the step is 0."""
    root = np.sqrt(float(np.finfo(dtype).max))
    for size, moves in ((3.0 * root, True), (1e3 * root, False)):
        found = []
        for nn in (ref, fast):
            model = small(nn, dtype)
            before = model.state_dict()
            optimizer = getattr(nn, name.split()[0])(lr=0.5, **LARGEST_SQUARES[name])
            for g in gradients(nn, model).values():
                g[...] = size
            optimizer.step(model)
            found.append(model.state_dict())
            steps = np.concatenate([(before[key] - found[-1][key]).ravel() for key in before])
            assert np.isfinite(steps).all() and (np.abs(steps).max() > 1e-4) == (moves or name == "AdamW")
        for key, value in found[0].items():
            close("training", found[1][key], value, np.abs(value) + 1, key)


def test_nadam_at_a_large_step(nn):
    """The product of its momenta ends at the smallest number > 0, which 0.9 of it rounds to. If it went on to each
    step, this test would not end."""
    weights = []
    for steps in (50_000, 2**62 - 1):                   # of both, 1 − Πₜ and 1 − β2ᵗ are 1, and μₜ is β1
        model, optimizer = small(nn), nn.NAdam(lr=0.5, momentum_decay=1.0)
        optimizer.steps = steps
        gradients(nn, model)
        optimizer.step(model)
        weights.append(model.state_dict())
    for name, value in weights[0].items():
        close("training", weights[1][name], value, np.abs(value) + 1, name)
