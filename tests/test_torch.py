"""PyTorch as a witness from outside: layers, losses, 20 steps of every optimizer, schedules."""

import numpy as np
import pytest

import fastnn_ref
from fastnn.torch import to_torch
from fastnn_ref.shared.access import walk
from tests import witness
from tests.cases import (
    ACTIVATIONS,
    CASES,
    LOSSES,
    NORMS,
    OPTIMIZERS,
    OTHER_SHAPES_OF_ACTIVATION,
    PENALTIES,
    SCHEDULES,
    classes,
    one_of_each,
    rows,
)  # fmt: skip
from tests.check import close, inner_lengths, inputs, normal, randomise_biases, randomise_statistics, same
from tests.pairwise import beside, once, pairwise

torch = pytest.importorskip("torch", reason="PyTorch is missing: the witness tests do NOT run")
torch.set_num_threads(1)
pytestmark = pytest.mark.slow


def tensor(values):
    return witness.tensor(torch, values)


def agree(got, want, inner):
    want = np.asarray(want.detach() if isinstance(want, torch.Tensor) else want)
    close("layer", got, want, inner * (np.abs(want).max() + 1e-3) * np.ones(want.shape))


LAYERS = [case for case in CASES if case not in NORMS and witness.twin(torch, case.make(fastnn_ref)) is not None]


def rounding(case):
    """PyTorch's slope of a Hardsigmoid in float64 is 1/6 as float32 has it: ε of the two, one by the other."""
    return 2**29 if "hardsigmoid" in case.name else 1


def test_every_layer_that_pytorch_has():
    found = {type(case.make(fastnn_ref)).__name__ for case in LAYERS + NORMS}
    assert {name for name in one_of_each(fastnn_ref) if issubclass(getattr(fastnn_ref, name), fastnn_ref.Layer)
            and hasattr(torch.nn, name)} <= found


@pytest.mark.parametrize("case", LAYERS, ids=lambda c: c.name)
def test_layer(ref, fast, case):
    models = [nn.Sequential(case.make(nn), seed=2, dtype="float64") for nn in (ref, fast)]
    for model in models:
        randomise_biases(model)
    module = witness.twin(torch, models[0])
    x = tensor(inputs(case)).requires_grad_()
    y = module(x)
    dy = normal(tuple(y.shape), seed=1)
    y.backward(tensor(dy))
    inner = inner_lengths(models[0], case.shape) * rounding(case)
    prediction = module.eval()(x)
    for model in models:
        agree(model.forward(inputs(case), training=True), y, inner)
        agree(model.backward(dy), 0 * x if x.grad is None else x.grad, inner)
        for got, want in zip(model.grads.values(), witness.parameters(module, gradients=True), strict=True):
            agree(got, want, inner)
        agree(model(inputs(case)), prediction, inner)


def test_gradients_at_prediction(ref, fast):
    """Everything that converts, in PyTorch's eval mode: masks and noise are off, running statistics are constants."""
    converted = set()
    for case in (case for case in CASES if case.name != "layernorm 2x1"):       # as in test_norm
        models = [nn.Sequential(case.make(nn), seed=2, dtype="float64") for nn in (ref, fast)]
        for model in models:
            randomise_biases(model)
            randomise_statistics(model)
        try:
            module = to_torch(models[0]).double().eval()
        except ValueError:
            continue
        converted |= {type(layer).__name__ for _, layer in walk(models[0])}
        x = tensor(inputs(case)).requires_grad_()
        y = module(x)
        dy = normal(tuple(y.shape), seed=1)
        y.backward(tensor(dy))
        inner = (inner_lengths(models[0], case.shape) + 100) * rounding(case)
        for model in models:
            agree(model.forward(inputs(case)), y, inner)
            agree(model.backward(dy), 0 * x if x.grad is None else x.grad, inner)
            for got, want in zip(model.grads.values(), witness.parameters(module, gradients=True), strict=True):
                agree(got, want, inner)
    assert {"Dropout", "GaussianNoise", "BatchNorm1d", "BatchNorm2d", "StochasticDepth", "DropConnect"} <= converted


@pytest.mark.parametrize("case", ACTIVATIONS + OTHER_SHAPES_OF_ACTIVATION, ids=lambda c: c.name)
def test_activation(nn, case):
    """Farther out."""
    model = nn.Sequential(case.make(nn), dtype="float64")
    values = 4 * normal((5, 17))
    x = tensor(values).requires_grad_()
    y = witness.twin(torch, model)(x)
    dy = normal((5, 17), seed=1)
    y.backward(tensor(dy))
    agree(model.forward(values, training=True), y, 17)
    agree(model.backward(dy), x.grad, 17 * rounding(case))


# One value has no deviation: dx is exactly 0, of which PyTorch returns the rounding, times 1/√ε.
@pytest.mark.parametrize("case", [c for c in NORMS if c.name != "layernorm 2x1"], ids=lambda c: c.name)
def test_norm(nn, case):
    """Three training passes, then a prediction with the running statistics."""
    layer = case.make(nn)
    model = nn.Sequential(layer, dtype="float64")
    randomise_biases(model)
    module = witness.twin(torch, layer)
    for seed in range(3):
        x = tensor(2 * normal(case.shape, seed=seed) + 1).requires_grad_()
        y = module(x)
        dy = normal(case.shape, seed=seed + 10)
        module.zero_grad()
        y.backward(tensor(dy))
        agree(model.forward(x.detach().numpy(), training=True), y, 100)
        agree(model.backward(dy), x.grad, 100)
        for name, gradient in layer.grads.items():
            agree(gradient, getattr(module, name).grad, 100)
    for name, value in module.state_dict().items():
        if name != "num_batches_tracked":
            agree(layer.state_dict()[name], value, 100)
    x = normal(case.shape, seed=5)
    agree(model(x), module.eval()(tensor(x)), 100)


@pairwise("nn", shape=[(1, 1), (7, 10), (17, 33)], case=LOSSES)
def test_loss(nn, case, shape):
    t = case.targets(np.random.default_rng(3), *shape)
    values = 3 * normal(shape)
    y = tensor(values).requires_grad_()
    want = witness.loss(torch, case, y, t)
    want.backward()
    loss = case.make(nn)
    close("sum", np.float64(loss(values, t)), want.item(), shape[1] * (abs(want.item()) + 1))
    agree(loss.backward(), y.grad, shape[1])


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
@pytest.mark.parametrize("targets", [classes, rows], ids=["classes", "rows"])
def test_class_weight(nn, targets, smoothing):
    rng = np.random.default_rng(3)
    weight = rng.uniform(size=5)
    weight[2] = 0
    t, values = targets(rng, 13, 5), 3 * normal((13, 5))
    y = tensor(values).requires_grad_()
    want = torch.nn.CrossEntropyLoss(weight=tensor(weight), label_smoothing=smoothing)(y, tensor(t))
    want.backward()
    loss = nn.CrossEntropyLoss(smoothing, class_weight=weight)
    close("sum", np.float64(loss(values, t)), want.item(), 5 * (abs(want.item()) + 1))
    agree(loss.backward(), y.grad, 5)


def test_pos_weight_of_each_output(nn):
    rng = np.random.default_rng(3)
    weight, t, values = rng.uniform(0, 5, size=4), rng.uniform(size=(13, 4)), 3 * normal((13, 4))
    y = tensor(values).requires_grad_()
    want = torch.nn.BCEWithLogitsLoss(pos_weight=tensor(weight))(y, tensor(t))
    want.backward()
    loss = nn.BCEWithLogitsLoss(pos_weight=weight)
    close("sum", np.float64(loss(values, t)), want.item(), 5 * (abs(want.item()) + 1))
    agree(loss.backward(), y.grad, 5)


@pytest.mark.parametrize("log_input", [False, True])
def test_poisson(nn, log_input):
    """With PyTorch's own eps, near a rate of 0, too."""
    t = np.random.default_rng(3).poisson(2.0, size=(13, 4)).astype(float)
    values = 3 * normal((13, 4)) if log_input else np.abs(normal((13, 4))) ** 8
    y = tensor(values).requires_grad_()
    want = torch.nn.PoissonNLLLoss(log_input=log_input)(y, tensor(t))
    want.backward()
    loss = nn.PoissonNLLLoss(log_input)
    close("sum", np.float64(loss(values, t)), want.item(), 5 * (np.abs(values).max() + 20))
    close("elementwise", loss.backward(), y.grad.numpy(), np.abs(y.grad.numpy()) + 1)


def pair(nn, penalty=None):
    layers = nn.Linear(13, 7, activation="tanh"), nn.Linear(7, 3)
    model = nn.Sequential(*layers, seed=4, dtype="float64", penalty=penalty)
    randomise_biases(model)
    return model, witness.twin(torch, model)


@pytest.mark.parametrize(("case", "loss"), beside(OPTIMIZERS, LOSSES))
def test_twenty_steps(ref, fast, case, loss):
    """Of every optimizer and of every loss."""
    (book, module), (engine, _) = pair(ref), pair(fast)
    runs = [(nn, model, loss.make(nn), case.make(nn)) for nn, model in ((ref, book), (fast, engine))]
    other = witness.optimizer(torch, case, module)
    rng = np.random.default_rng(0)
    for seed in range(20):
        x, t = normal((9, 13), seed=seed), loss.targets(rng, 9, 3)
        other.zero_grad()
        want = witness.loss(torch, loss, module(tensor(x)), t)
        want.backward()
        other.step()
        for _, model, criterion, optimizer in runs:
            value = np.float64(model.step(x, t, criterion, optimizer))
            close("training", value, want.item(), 20 * (abs(want.item()) + 1))
    for _, model, _, _ in runs:
        for got, wanted in zip(model.params.values(), witness.parameters(module), strict=True):
            close("training", got, wanted, 20 * np.full(wanted.shape, max(np.abs(wanted).max(), 0.1)))


@pytest.mark.parametrize("case", PENALTIES, ids=lambda c: c.name)
def test_penalty(ref, fast, case):
    (book, module), (engine, _) = (pair(nn, penalty=case.make(nn)) for nn in (ref, fast))
    runs = [(nn, model, nn.CrossEntropyLoss(), nn.SGD(lr=0.05)) for nn, model in ((ref, book), (fast, engine))]
    other = torch.optim.SGD(module.parameters(), lr=0.05)
    rng = np.random.default_rng(0)
    for seed in range(20):
        x, t = normal((9, 13), seed=seed), rng.integers(3, size=9)
        other.zero_grad()
        loss = torch.nn.CrossEntropyLoss()(module(tensor(x)), tensor(t))
        (loss + witness.penalty(torch, book.penalty[0], module)).backward()
        other.step()
        witness.restrain(torch, book.penalty[0], module, 0.05)
        for _, model, criterion, optimizer in runs:
            model.step(x, t, criterion, optimizer)
    for _, model, _, _ in runs:
        for got, wanted in zip(model.params.values(), witness.parameters(module), strict=True):
            close("training", got, wanted, 20 * np.full(wanted.shape, max(np.abs(wanted).max(), 0.1)))


def same_steps(model, module, optimizer, other, loss, want_loss, batches, slack):
    """Twenty steps of both give the same losses and end at the same parameters."""
    for x, t in batches:
        value = model.step(x, t, loss, optimizer)
        other.zero_grad()
        want = want_loss(module(tensor(x)), t)
        want.backward()
        other.step()
        close("training", np.float64(value), want.item(), slack * (abs(want.item()) + 1))
    for got, wanted in zip(model.params.values(), witness.parameters(module), strict=True):
        close("training", got, wanted, slack * np.full(wanted.shape, max(np.abs(wanted).max(), 0.1)))


def test_twenty_steps_with_frozen_layers(nn):
    """They go on in no way: a BatchNorm by its running statistics; branches around them learn."""
    model = nn.Sequential(
        nn.Embedding(5, 3), nn.Flatten(), nn.Parallel(
            nn.Sequential(nn.Select(0, 5), nn.Linear(5, 4), nn.BatchNorm1d(4), nn.Tanh()), nn.Linear(6, 2)),
        nn.Linear(6, 3), seed=4, dtype="float64")
    batches = [(np.random.default_rng(seed).integers(5, size=(9, 2)), np.arange(9) % 3) for seed in range(20)]
    for x, t in batches:
        model.step(x, t, nn.CrossEntropyLoss(), nn.SGD(lr=0.1))
    model[2].branches[0].trainable = False
    module = witness.twin(torch, model)
    optimizer = torch.optim.Adam([value for value in module.parameters() if value.requires_grad], lr=0.01)
    before = model.state_dict()
    same_steps(model, module, nn.Adam(lr=0.01), optimizer, nn.CrossEntropyLoss(),
               lambda y, t: torch.nn.CrossEntropyLoss()(y, tensor(t)), batches, 20 * 50)
    for name, value in model.state_dict().items():
        if name.startswith("2.0."):
            same(value, before[name], name)


def test_twenty_steps_of_many_layers(nn):
    """A convolution, both norms, a pool and two activations, trained together.

    No bias before BatchNorm: its gradient is 0 but for rounding, which Adam makes as large as any other.
    """
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4), nn.GELU(), nn.MaxPool2d(2), nn.Flatten(),
        nn.Linear(16, 7), nn.LayerNorm(7), nn.Tanh(), nn.Linear(7, 3), seed=4, dtype="float64",
    )  # fmt: skip
    module = witness.twin(torch, model)
    batches = [(normal((9, 1, 4, 4), seed=seed), np.random.default_rng(seed).integers(3, size=9)) for seed in range(20)]
    same_steps(model, module, nn.Adam(lr=0.01), torch.optim.Adam(module.parameters(), lr=0.01), nn.CrossEntropyLoss(),
               lambda y, t: torch.nn.CrossEntropyLoss()(y, tensor(t)), batches, 20 * 50)
    for name in ("running_mean", "running_var"):
        close("training", model.state_dict()[f"1.{name}"], module.state_dict()[f"1.{name}"].numpy(), 20 * 50.0, name)


@pytest.mark.parametrize("limit", [0.01, 100.0])
def test_clipping(nn, limit):
    model, module = pair(nn)
    x, t = normal((9, 13)), np.arange(9) % 3
    loss = nn.CrossEntropyLoss()
    loss(model.forward(x, training=True), t)
    model.backward(loss.backward())
    torch.nn.CrossEntropyLoss()(module(tensor(x)), tensor(t)).backward()
    want = torch.nn.utils.clip_grad_norm_(module.parameters(), limit)
    close("layer", np.float64(nn.clip_grad_norm(model, limit)), want.item(), 30 * want.item())
    got = model.layers[0].grads["weight"]
    wanted = witness.parameters(module, gradients=True)[0]
    assert np.abs(got - wanted).max() <= 2e-6 * np.abs(wanted).max()  # PyTorch divides by norm + 1e-6


def lambda_rate(scheduler, optimizer, steps):
    rates = []
    for _ in range(steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return rates


def torch_schedule(case, optimizer):
    a = dict(case.arguments)
    s = torch.optim.lr_scheduler
    if case.cls == "ConstantLR":
        return s.LambdaLR(optimizer, lambda step: 1.0)
    if case.cls == "StepLR":
        return s.StepLR(optimizer, a["step_size"], a.get("gamma", 0.1))
    if case.cls == "ExponentialLR":
        return s.ExponentialLR(optimizer, a["gamma"])
    if case.cls == "LinearLR":
        return s.LinearLR(optimizer, a.get("start_factor", 1 / 3), a.get("end_factor", 1.0), a["total_steps"])
    if case.cls == "PerEpoch":          # `scheduler.step()` once an epoch
        inner = torch_schedule(case.arguments["schedule"], torch.optim.SGD(optimizer.param_groups[0]["params"], lr=1.0))
        rates = lambda_rate(inner, inner.optimizer, 29)
        return s.LambdaLR(optimizer, lambda step: rates[step // a["steps_per_epoch"]])
    if case.cls == "OneCycleLR":
        return s.OneCycleLR(optimizer, cycle_momentum=False, **a)
    warm = a.get("warmup_steps", 0)
    after = s.CosineAnnealingLR(optimizer, a["total_steps"] - warm, a.get("min_lr", 0.0))
    if not warm:
        return after
    before = s.LinearLR(optimizer, 1 / warm, 1.0, warm - 1)
    return s.SequentialLR(optimizer, [before, after], [warm])


@once
@pytest.mark.filterwarnings("ignore")  # of schedulers about the order of calls
@pytest.mark.parametrize("case", SCHEDULES, ids=lambda c: c.name)
def test_schedule(nn, case):
    lr = case.arguments.get("schedule", case).arguments.get("lr", 0.1)
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=lr)
    want = lambda_rate(torch_schedule(case, optimizer), optimizer, 29)
    got = case.make(nn)(np.arange(29))
    close("elementwise", got, np.array(want), 29 * np.full(29, 0.3))  # PyTorch multiplies step by step


@once
def test_plateau(nn):
    """PyTorch waits one epoch longer than Keras, whose name and counting ours follows."""
    rng = np.random.default_rng(1)
    losses = (np.repeat(np.linspace(1, 0.8, 12), 4) + 1e-3 * rng.normal(size=48)).tolist()
    other = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(
        other, factor=0.5, patience=2, threshold=1e-4, threshold_mode="abs", min_lr=0.01
    )
    optimizer, callback = nn.SGD(lr=1.0), nn.ReduceLROnPlateau(factor=0.5, patience=3, min_lr=0.01)
    callback.optimizer = optimizer
    callback.on_train_begin({})
    for epoch, value in enumerate(losses):
        callback.on_epoch_end(epoch, {"val_loss": value})
        scheduler.step(value)
        assert optimizer.current_lr == other.param_groups[0]["lr"]
    assert optimizer.current_lr < 1


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_tensor_is_an_array(nn, dtype):
    model = nn.Sequential(nn.Linear(13, 3), dtype=dtype)
    x = normal((5, 13), dtype)
    same(model(tensor(x)), model(x))
    same(model(tensor(x).t().contiguous().t()), model(x))
