"""PyTorch as a witness from outside: layers, losses, 20 steps of every optimizer, schedules."""

import numpy as np
import pytest

from tests.cases import (
    ACTIVATIONS,
    CONVS,
    FUSED,
    LINEAR,
    LOSSES,
    NORMS,
    OPTIMIZERS,
    OTHER_SHAPES_OF_ACTIVATION,
    POOLS,
    SCHEDULES,
    classes,
    rows,
)  # fmt: skip
from tests.check import close, normal, same, stir

torch = pytest.importorskip("torch", reason="PyTorch is missing: the witness tests do NOT run")

MODULES = {
    "Identity": torch.nn.Identity,
    "ReLU": torch.nn.ReLU,
    "LeakyReLU": torch.nn.LeakyReLU,
    "ELU": torch.nn.ELU,
    "SiLU": torch.nn.SiLU,
    "GELU": torch.nn.GELU,
    "Softplus": torch.nn.Softplus,
    "Tanh": torch.nn.Tanh,
    "Sigmoid": torch.nn.Sigmoid,
    "Softmax": lambda: torch.nn.Softmax(dim=-1),
    "LogSoftmax": lambda: torch.nn.LogSoftmax(dim=-1),
}


def tensor(values):
    return torch.tensor(np.array(values))


def twin(layer, module=None):
    """PyTorch's Linear (and activation) with our values; its weight is our transpose."""
    linear = torch.nn.Linear(layer.in_features, layer.out_features, bias="bias" in layer.params, dtype=torch.float64)
    with torch.no_grad():
        linear.weight.copy_(tensor(layer.weight.T))
        if linear.bias is not None:
            linear.bias.copy_(tensor(layer.bias))
    return torch.nn.Sequential(linear, module) if module is not None else torch.nn.Sequential(linear)


def agree(got, want, inner):
    want = want.detach().numpy()
    close("layer", got, want, inner * (np.abs(want).max() + 1e-3) * np.ones(want.shape))


@pytest.mark.parametrize("case", LINEAR + FUSED, ids=lambda c: c.name)
def test_linear(nn, case):
    activation = {f"linear {a.name}": a for a in ACTIVATIONS + OTHER_SHAPES_OF_ACTIVATION}.get(case.name)
    layer = case.make(nn)
    model = nn.Sequential(layer, seed=2, dtype="float64")
    witness = twin(layer, MODULES[activation.cls](**activation.arguments) if activation else None)
    x = tensor(normal(case.shape)).requires_grad_()
    y = witness(x)
    dy = normal(tuple(y.shape), seed=1)
    y.backward(tensor(dy))
    inner = sum(case.shape) + y.shape[1]
    agree(model.forward(normal(case.shape), training=True), y, inner)
    agree(model.backward(dy), x.grad, inner)
    agree(layer.grads["weight"].T, witness[0].weight.grad, inner)
    if witness[0].bias is not None:
        agree(layer.grads["bias"], witness[0].bias.grad, inner)


@pytest.mark.parametrize("case", ACTIVATIONS + OTHER_SHAPES_OF_ACTIVATION, ids=lambda c: c.name)
def test_activation(nn, case):
    model = nn.Sequential(case.make(nn), dtype="float64")
    values = 4 * normal((5, 17))
    x = tensor(values).requires_grad_()
    y = MODULES[case.cls](**case.arguments)(x)
    dy = normal((5, 17), seed=1)
    y.backward(tensor(dy))
    agree(model.forward(values, training=True), y, 17)
    agree(model.backward(dy), x.grad, 17)


@pytest.mark.parametrize("case", CONVS, ids=lambda c: c.name)
def test_conv(nn, case):
    layer = case.make(nn)
    model = nn.Sequential(layer, seed=2, dtype="float64")
    stir(model)
    witness = torch.nn.Conv2d(
        layer.in_channels, layer.out_channels, layer.kernel_size, layer.stride, layer.padding, layer.dilation,
        layer.groups, bias=layer.bias is not None, dtype=torch.float64,
    )  # fmt: skip
    witness.load_state_dict({name: tensor(value) for name, value in layer.state_dict().items()})
    bend = MODULES[type(layer.activation).__name__]()
    x = tensor(normal(case.shape)).requires_grad_()
    y = bend(witness(x))
    dy = normal(tuple(y.shape), seed=1)
    y.backward(tensor(dy))
    inner = layer.weight[0].size + y[0, 0].numel() * len(y)
    agree(model.forward(normal(case.shape), training=True), y, inner)
    agree(model.backward(dy), x.grad, inner)
    agree(layer.grads["weight"], witness.weight.grad, inner)
    if layer.bias is not None:
        agree(layer.grads["bias"], witness.bias.grad, inner)


WINDOWED = [c for c in POOLS if c.name.startswith(("MaxPool2d", "AvgPool2d"))]


@pytest.mark.parametrize("case", WINDOWED, ids=lambda c: c.name)
def test_pool(nn, case):
    layer = case.make(nn)
    model = nn.Sequential(layer, dtype="float64")
    witness = getattr(torch.nn, type(layer).__name__)(layer.kernel_size, layer.stride, layer.padding)
    x = tensor(normal(case.shape)).requires_grad_()
    y = witness(x)
    dy = normal(tuple(y.shape), seed=1)
    y.backward(tensor(dy))
    agree(model.forward(normal(case.shape), training=True), y, 10)
    agree(model.backward(dy), x.grad, 10)


# One value has no deviation: dx is exactly 0, of which PyTorch returns the rounding, times 1/√ε.
@pytest.mark.parametrize("case", [c for c in NORMS if c.name != "layernorm 2x1"], ids=lambda c: c.name)
def test_norm(nn, case):
    """Three training passes, then a prediction with the running statistics."""
    layer = case.make(nn)
    model = nn.Sequential(layer, dtype="float64")
    stir(model)
    witness = getattr(torch.nn, type(layer).__name__)(*layer.arguments()[0], **layer.arguments()[1]).double()
    witness.load_state_dict({name: tensor(value) for name, value in layer.state_dict().items()}, strict=False)
    for seed in range(3):
        x = tensor(2 * normal(case.shape, seed=seed) + 1).requires_grad_()
        y = witness(x)
        dy = normal(case.shape, seed=seed + 10)
        witness.zero_grad()
        y.backward(tensor(dy))
        agree(model.forward(x.detach().numpy(), training=True), y, 100)
        agree(model.backward(dy), x.grad, 100)
        agree(layer.grads["weight"], witness.weight.grad, 100)
        agree(layer.grads["bias"], witness.bias.grad, 100)
    for name, value in witness.state_dict().items():
        if name != "num_batches_tracked":
            agree(layer.state_dict()[name], value, 100)
    x = normal(case.shape, seed=5)
    agree(model(x), witness.eval()(tensor(x)), 100)


def torch_loss(case, t):
    """PyTorch's loss and the targets for it."""
    arguments = dict(case.arguments)
    if case.cls == "BCEWithLogitsLoss":             # PyTorch smooths only what has classes
        smoothing = arguments.pop("label_smoothing", 0)
        t = (1 - smoothing) * t + smoothing / 2
    return getattr(torch.nn, case.cls)(**arguments), tensor(t)


@pytest.mark.parametrize("shape", [(1, 1), (7, 10), (17, 33)])
@pytest.mark.parametrize("case", LOSSES, ids=lambda c: c.name)
def test_loss(nn, case, shape):
    t = case.targets(np.random.default_rng(3), *shape)
    values = 3 * normal(shape)
    y = tensor(values).requires_grad_()
    criterion, smoothed = torch_loss(case, t)
    want = criterion(y, smoothed)
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


def groups(witness, decay):
    """Weight decay for weights only."""
    named = list(witness.named_parameters())
    return [
        {"params": [p for name, p in named if "weight" in name], "weight_decay": decay},
        {"params": [p for name, p in named if "bias" in name], "weight_decay": 0.0},
    ]


def pair(nn, dtype="float64"):
    model = nn.Sequential(nn.Linear(13, 7, activation="tanh"), nn.Linear(7, 3), seed=4, dtype=dtype)
    first, second = (twin(layer)[0] for layer in model.layers)
    return model, torch.nn.Sequential(first, torch.nn.Tanh(), second)


@pytest.mark.parametrize("case", OPTIMIZERS, ids=lambda c: c.name)
def test_twenty_steps(nn, case):
    model, witness = pair(nn)
    optimizer = case.make(nn)
    arguments = dict(case.arguments)
    decay = arguments.pop("weight_decay", 0.01 if case.cls == "AdamW" else 0.0)
    other = getattr(torch.optim, case.cls)(groups(witness, decay), **arguments)
    rng = np.random.default_rng(0)
    for seed in range(20):
        x, t = normal((9, 13), seed=seed), rng.integers(3, size=9)
        value = model.step(x, t, nn.CrossEntropyLoss(0.1), optimizer)
        other.zero_grad()
        want = torch.nn.CrossEntropyLoss(label_smoothing=0.1)(witness(tensor(x)), tensor(t))
        want.backward()
        other.step()
        close("training", np.float64(value), want.item(), 20.0)
    for layer, linear in zip(model.layers, (witness[0], witness[2]), strict=True):
        for got, wanted in ((layer.weight.T, linear.weight), (layer.bias, linear.bias)):
            wanted = wanted.detach().numpy()
            close("training", got, wanted, 20 * np.full(wanted.shape, max(np.abs(wanted).max(), 0.1)))


@pytest.mark.parametrize("case", LOSSES, ids=lambda c: c.name)
def test_twenty_steps_of_every_loss(nn, case):
    model, witness = pair(nn)
    optimizer, loss = nn.SGD(lr=0.05, momentum=0.9), case.make(nn)
    other = torch.optim.SGD(witness.parameters(), lr=0.05, momentum=0.9)
    rng = np.random.default_rng(0)
    for seed in range(20):
        x, t = normal((9, 13), seed=seed), case.targets(rng, 9, 3)
        value = model.step(x, t, loss, optimizer)
        criterion, smoothed = torch_loss(case, t)
        other.zero_grad()
        want = criterion(witness(tensor(x)), smoothed)
        want.backward()
        other.step()
        close("training", np.float64(value), want.item(), 20 * (abs(want.item()) + 1))
    for layer, linear in zip(model.layers, (witness[0], witness[2]), strict=True):
        for got, wanted in ((layer.weight.T, linear.weight), (layer.bias, linear.bias)):
            wanted = wanted.detach().numpy()
            close("training", got, wanted, 20 * np.full(wanted.shape, max(np.abs(wanted).max(), 0.1)))


def test_twenty_steps_of_many_layers(nn):
    """A convolution, both norms, a pool and two activations, trained together.

    No bias before BatchNorm: its gradient is 0 but for rounding, which Adam makes as large as any other.
    """
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4), nn.GELU(), nn.MaxPool2d(2), nn.Flatten(),
        nn.Linear(16, 7), nn.LayerNorm(7), nn.Tanh(), nn.Linear(7, 3), seed=4, dtype="float64",
    )  # fmt: skip
    witness = torch.nn.Sequential(
        torch.nn.Conv2d(1, 4, 3, padding=1, bias=False), torch.nn.BatchNorm2d(4), torch.nn.GELU(),
        torch.nn.MaxPool2d(2), torch.nn.Flatten(), torch.nn.Linear(16, 7), torch.nn.LayerNorm(7), torch.nn.Tanh(),
        torch.nn.Linear(7, 3),
    ).double()  # fmt: skip

    def ours(name, value):
        return tensor(value.T if name in ("5.weight", "8.weight") else value)

    witness.load_state_dict({name: ours(name, value) for name, value in model.state_dict().items()}, strict=False)
    optimizer, other = nn.Adam(lr=0.01), torch.optim.Adam(witness.parameters(), lr=0.01)
    loss = nn.CrossEntropyLoss()
    for seed in range(20):
        x, t = normal((9, 1, 4, 4), seed=seed), np.random.default_rng(seed).integers(3, size=9)
        value = model.step(x, t, loss, optimizer)
        other.zero_grad()
        want = torch.nn.CrossEntropyLoss()(witness(tensor(x)), tensor(t))
        want.backward()
        other.step()
        close("training", np.float64(value), want.item(), 20 * 50.0)
    for name, value in model.state_dict().items():
        got, wanted = ours(name, value).numpy(), witness.state_dict()[name].numpy()
        close("training", got, wanted, 20 * 50 * np.full(wanted.shape, max(np.abs(wanted).max(), 0.1)), name)


@pytest.mark.parametrize("limit", [0.01, 100.0])
def test_clipping(nn, limit):
    model, witness = pair(nn)
    x, t = normal((9, 13)), np.arange(9) % 3
    loss = nn.CrossEntropyLoss()
    loss(model.forward(x, training=True), t)
    model.backward(loss.backward())
    torch.nn.CrossEntropyLoss()(witness(tensor(x)), tensor(t)).backward()
    want = torch.nn.utils.clip_grad_norm_(witness.parameters(), limit)
    close("layer", np.float64(nn.clip_grad_norm(model, limit)), want.item(), 30 * want.item())
    got = model.layers[0].grads["weight"]
    wanted = witness[0].weight.grad.numpy().T
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
    if case.cls == "OneCycleLR":
        return s.OneCycleLR(optimizer, cycle_momentum=False, **a)
    warm = a.get("warmup_steps", 0)
    after = s.CosineAnnealingLR(optimizer, a["total_steps"] - warm, a.get("min_lr", 0.0))
    if not warm:
        return after
    before = s.LinearLR(optimizer, 1 / warm, 1.0, warm - 1)
    return s.SequentialLR(optimizer, [before, after], [warm])


@pytest.mark.filterwarnings("ignore")  # of schedulers about the order of calls
@pytest.mark.parametrize("case", SCHEDULES, ids=lambda c: c.name)
def test_schedule(nn, case):
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=case.arguments.get("lr", 0.1))
    want = lambda_rate(torch_schedule(case, optimizer), optimizer, 29)
    got = case.make(nn)(np.arange(29))
    close("elementwise", got, np.array(want), 29 * np.full(29, 0.3))  # PyTorch multiplies step by step


def test_plateau(nn):
    """PyTorch waits one epoch longer than Keras, whose name and counting ours follows."""
    rng = np.random.default_rng(1)
    losses = (np.repeat(np.linspace(1, 0.8, 12), 4) + 1e-3 * rng.normal(size=48)).tolist()
    witness = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(
        witness, factor=0.5, patience=2, threshold=1e-4, threshold_mode="abs", min_lr=0.01
    )
    optimizer, callback = nn.SGD(lr=1.0), nn.ReduceLROnPlateau(factor=0.5, patience=3, min_lr=0.01)
    callback.optimizer = optimizer
    callback.on_train_begin({})
    for epoch, value in enumerate(losses):
        callback.on_epoch_end(epoch, {"val_loss": value})
        scheduler.step(value)
        assert optimizer.learning_rate == witness.param_groups[0]["lr"]
    assert optimizer.learning_rate < 1


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_tensor_is_an_array(nn, dtype):
    model = nn.Sequential(nn.Linear(13, 3), dtype=dtype)
    x = normal((5, 13), dtype)
    same(model(tensor(x)), model(x))
    same(model(tensor(x).t().contiguous().t()), model(x))
