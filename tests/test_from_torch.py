"""fastnn.torch: modules and states there and back, training continued on both sides, what cannot be said."""

import numpy as np
import pytest
import safetensors.numpy

from fastnn.torch import from_torch, load_torch_state, state_to_torch, to_torch
from tests.cases import AUGMENTS, CASES, CONNECTIONS
from tests.check import close, inner_lengths, inputs, normal, python, randomise_biases, same, same_parameters
from tests.pairwise import chequered

SAMPLED = [case for case in CONNECTIONS if any(name in case.name for name in ("gelu", "tanh", "softmax"))]


@pytest.fixture(scope="module")
def torch():
    found = pytest.importorskip("torch", reason="PyTorch is missing: the tests of its converter do NOT run")
    found.set_num_threads(1)
    return found


# ---- states, without PyTorch ----


def net(nn, **more):
    return nn.Sequential(nn.Linear(3, 3, activation="relu"), nn.BatchNorm1d(3), nn.Linear(3, 3, bias=False), **more)


def test_state_has_the_names_and_layouts_of_pytorch(nn):
    model = net(nn, seed=1)
    state, own = state_to_torch(model), model.state_dict()
    assert list(state) == ["0.weight", "0.bias", "2.weight", "2.bias", "2.running_mean", "2.running_var", "3.weight",
                           "2.num_batches_tracked"]
    same(state["0.weight"], own["0.weight"].T)
    same(state["3.weight"], own["2.weight"].T)


def test_state_there_and_back(nn):
    one, two = net(nn, seed=1), net(nn, seed=2)
    load_torch_state(two, state_to_torch(one))
    same_parameters(one, two)


def test_state_under_our_names(nn):
    """As of a module that has Linear and ReLU nested."""
    one, two = net(nn, seed=1), net(nn, seed=2)
    state = {name: value.T if name in ("0.weight", "2.weight") else value for name, value in one.state_dict().items()}
    load_torch_state(two, state)
    same_parameters(one, two)


def test_safetensors_file_of_a_class_of_ones_own(nn, tmp_path):
    one, two = net(nn, seed=1), net(nn, seed=2)
    names = {"encoder.fc1": "0", "norm": "1", "fc2": "2"}
    own = one.state_dict()
    state = {f"{theirs}.{name.partition('.')[2]}": np.ascontiguousarray(value.T)
             for theirs, ours in names.items() for name, value in own.items() if name.startswith(f"{ours}.")}
    state["norm.num_batches_tracked"] = np.array(7)
    safetensors.numpy.save_file(state, tmp_path / "net.safetensors")
    load_torch_state(two, tmp_path / "net.safetensors", names)
    same_parameters(one, two)


@pytest.mark.parametrize(("change", "names", "message"), [
    (lambda s: s.pop("0.bias"), None, "state: expected 0.bias, .* got"),
    (lambda s: s.update({"9.weight": s["0.weight"]}), None, "state: expected .* names= says"),
    (lambda s: s.update({"0.bias": np.zeros(4)}), None, r"state\['0.bias'\]: expected the shape \(3,\)"),
    (lambda s: s.update({"0.bias": np.zeros(3, int)}), None, r"state\['0.bias'\]: expected floats"),
    (lambda s: s.update({"0.bias": np.ma.array(np.ones(3), mask=[1, 0, 0])}), None, "an array without a mask"),
    (lambda s: None, {"0": 0, "2": 1, "3": 2}, "names: expected a dict from a prefix"),
    (lambda s: None, {"0": "0"}, "names: expected a layer for '2' of the state"),
    (lambda s: None, {"0": "0", "2": "0", "3": "2"}, "names: expected each of our layers once, got '0' twice"),
    (lambda s: None, {"0": "0", "2": "1", "3": "2", "4": "3"}, "names: expected prefixes of the state, got '4'"),
])  # fmt: skip
def test_state_that_does_not_fit(nn, change, names, message):
    model = net(nn)
    before, state = model.state_dict(), state_to_torch(model)
    change(state)
    with pytest.raises((ValueError, TypeError), match=message):
        load_torch_state(model, state, names)
    for name, value in model.state_dict().items():
        same(value, before[name])


def test_files_that_are_none(nn, tmp_path):
    model = net(nn)
    model.save(path := tmp_path / "ours.safetensors")
    with pytest.raises(ValueError, match=r"expected a file that PyTorch wrote.*load reads it"):
        load_torch_state(model, path)
    path.write_bytes(b"PK\x03\x04 a pickle")
    with pytest.raises(ValueError, match=r"ours.safetensors: expected a safetensors file"):
        load_torch_state(model, path)


def test_reading_a_state_needs_no_pytorch():
    assert python("""
        import sys, fastnn as nn
        sys.modules["torch"] = None
        from fastnn.torch import load_torch_state, state_to_torch, to_torch
        model = nn.Sequential(nn.Linear(2, 2))
        load_torch_state(model, state_to_torch(model))
        try:
            to_torch(model)
        except ModuleNotFoundError as error:
            print(error)
    """).strip() == 'torch is missing: pip install "fastnn[torch]"'


# ---- modules ----


# Cases of padding that no module of PyTorch's does.
UNSAID = (
    "transposed 2x2x4x4 3 of 3 padding=((0, 2), (1, 3)) bias=False",
    "transposed 18x4x3x3 2 of (1, 3) groups=2 padding=((0, 0), (1, 0))",
    "MaxPool2d 19x2x3x6 (3, 2) stride=2 padding=((0, 2), (1, 1)) ceil_mode=True",
    "AvgPool2d 19x2x3x6 (3, 2) stride=2 padding=((0, 2), (1, 1)) ceil_mode=True",
    "AvgPool2d 19x2x3x4 2 stride=1 padding=((0, 1), (1, 0)) count_include_pad=False",
)


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_there_and_back(torch, fast, case):
    """Every layer and activation: predictions of the module, and of the model that is made of it."""
    model = fast.Sequential(case.make(fast), seed=2, dtype="float64")
    randomise_biases(model)
    if case in AUGMENTS or case in SAMPLED:
        with pytest.raises(ValueError, match=r"^0: (Augment|DropConnect.inference): expected"):
            to_torch(model)
        return
    if case.name in UNSAID:
        with pytest.raises(ValueError, match=r"^0: \w+.padding: expected as much on both sides"):
            to_torch(model)
        return
    module, x = to_torch(model).eval(), inputs(case)
    want, scale = model(x), inner_lengths(model, case.shape)
    again = from_torch(module, input_shape=case.shape[1:] or None, dtype="float64")
    for got in (module(torch.tensor(np.array(x))).detach().numpy(), again(x)):
        close("layer", got, want, scale * (np.abs(want).max() + 1e-3) * np.ones(want.shape))


def sgd(torch, module, lr, momentum=0.0):
    """The step of torch.optim.SGD, whose first use takes seconds to load PyTorch's compiler."""
    trained = [value for value in module.parameters() if value.requires_grad]
    moving = [torch.zeros_like(value) for value in trained]

    def step():
        with torch.no_grad():
            for value, mean in zip(trained, moving, strict=True):
                value -= lr * mean.mul_(momentum).add_(value.grad)
                value.grad = None

    return step


def continued(torch, nn, dtype, model, shape, optimizer, other):
    """The largest relative difference of the losses over ten further steps, from the model and from the module back."""
    loss, criterion = nn.CrossEntropyLoss(), torch.nn.CrossEntropyLoss()
    data = [(normal(shape, "float32", seed), np.random.default_rng(seed).integers(3, size=shape[0]))
            for seed in range(20)]
    for x, t in data[:10]:
        model.step(x, t, loss, nn.SGD(lr=0.05))
    module = to_torch(model)
    again = from_torch(module, package=nn)
    theirs, worst = other(module), 0.0
    ours = optimizer(), optimizer()
    for x, t in data[10:]:
        want = criterion(module(torch.tensor(np.array(x, model.dtype))), torch.tensor(t))
        want.backward()
        theirs()
        for each, update in zip((model, again), ours, strict=True):
            worst = max(worst, abs(each.step(x, t, loss, update) - want.item()) / want.item())
    load_torch_state(again, module.state_dict())
    for name, value in model.state_dict().items():
        np.testing.assert_allclose(again.state_dict()[name], value, atol=1e-4 if dtype == "float32" else 1e-11)
    return worst


NETS = {
    "mlp": (lambda nn, dtype: nn.Sequential(
        nn.Linear(13, 16), nn.GELU(), nn.Linear(16, 7), nn.Tanh(), nn.Linear(7, 3), seed=4, dtype=dtype), (9, 13)),
    "cnn": (lambda nn, dtype: nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4, momentum=0.3), nn.ReLU(), nn.MaxPool2d(2),
        nn.Residual(nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), nn.SiLU())), nn.Flatten(), nn.Linear(36, 3),
        seed=4, dtype=dtype), (9, 1, 6, 6)),
}  # fmt: skip


@pytest.mark.parametrize(("dtype", "limit"), [("float64", 1e-13), ("float32", 1e-5)])
@pytest.mark.parametrize("name", NETS)
def test_training_goes_on_on_both_sides(torch, nn, name, dtype, limit):
    make, shape = NETS[name]
    worst = continued(torch, nn, dtype, make(nn, dtype), shape, lambda: nn.SGD(lr=0.05, momentum=0.9),
                      lambda module: sgd(torch, module, 0.05, 0.9))
    print(f"{nn.__name__} {name} {dtype}: losses of ten further steps differ by {worst:.1e}")
    assert worst <= limit


def test_a_state_of_tensors_is_not_transposed_silently(torch, nn):
    model = nn.Sequential(nn.Linear(3, 3))
    module = torch.nn.Sequential(torch.nn.Linear(3, 3))
    with pytest.raises(TypeError, match=r"got a tensor of PyTorch under '0.weight'.*load_torch_state converts it"):
        model.load_state_dict(module.state_dict())
    load_torch_state(model, module.state_dict())
    np.testing.assert_array_equal(model.layers[0].weight, module[0].weight.detach().numpy().T)


def test_a_file_that_pytorch_wrote(torch, nn, tmp_path):
    st = pytest.importorskip("safetensors.torch")
    model = net(nn, seed=1, dtype="float32")
    st.save_file(to_torch(model).state_dict(), tmp_path / "net.safetensors")
    other = net(nn, seed=2, dtype="float32")
    load_torch_state(other, tmp_path / "net.safetensors")
    same_parameters(model, other)


@pytest.mark.parametrize("half", ["float16", "bfloat16"])
def test_a_file_of_half_precision(torch, nn, tmp_path, half):
    """Every value, exactly: the subnormal, infinite and missing ones, too; and the same from tensors."""
    st = pytest.importorskip("safetensors.torch")
    kind = getattr(torch, half)
    bits = torch.arange(-(2**15), 2**15, dtype=torch.int32).to(torch.int16).view(kind)
    state = {"0.weight": bits.reshape(1, -1)}
    st.save_file(state, path := tmp_path / "net.safetensors")
    for source in (path, state):
        load_torch_state(model := nn.Sequential(nn.Linear(2**16, 1, bias=False), dtype="float32"), source)
        same(model[0].weight[:, 0], bits.float().numpy())
    with pytest.raises(ValueError, match="expected a dtype of BOOL.*, F64, got BF16" if half == "bfloat16" else "."):
        nn.load(path)


def test_batches_tracked(torch, nn):
    model = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    for _ in range(3):
        model.forward(normal((4, 2)), training=True)
    assert to_torch(model)[1].num_batches_tracked.item() == 3


def half_frozen(module):
    module[0].bias.requires_grad = False
    return module


def hooked(module):
    module.register_forward_hook(lambda module, x, y: 2 * y)
    return module


def patched(module):
    module.forward = lambda x: x
    return module


def modules():
    from fastnn.torch import modules

    return modules


REFUSED = {
    "0: Conv2d.padding_mode: expected 'zeros', got 'reflect'":
        lambda t: t.nn.Sequential(t.nn.Conv2d(1, 1, 3, padding=1, padding_mode="reflect")),
    "1.0: MaxPool2d.return_indices: expected False": lambda t: t.nn.Sequential(
        t.nn.ReLU(), t.nn.Sequential(t.nn.MaxPool2d(2, return_indices=True))),
    "0: ZeroPad2d: expected ZeroPad2d before a Conv2d": lambda t: t.nn.Sequential(t.nn.ZeroPad2d(1), t.nn.ReLU()),
    "0: ConstantPad2d: expected ZeroPad2d before a Conv2d":
        lambda t: t.nn.Sequential(t.nn.ConstantPad2d(1, 2.0), t.nn.Conv2d(1, 1, 3)),
    "0: ZeroPad2d.padding: expected numbers >= 0":      # the column that it takes away, the convolution makes zeros
        lambda t: t.nn.Sequential(t.nn.ZeroPad2d((-1, 0, 0, 1)), t.nn.Conv2d(1, 1, 2, padding=(1, 2))),
    "0: AvgPool2d.count_include_pad behind ZeroPad2d: expected True, got False":
        lambda t: t.nn.Sequential(t.nn.ZeroPad2d(1), t.nn.AvgPool2d(3, padding=1, count_include_pad=False)),
    "0: AvgPool2d.ceil_mode behind ZeroPad2d: expected False, got True":
        lambda t: t.nn.Sequential(t.nn.ZeroPad2d(1), t.nn.AvgPool2d(3, ceil_mode=True)),
    r"1: GroupNorm: expected \(3, ...\) per example, got \(2,\); where examples have more axes, input_shape= says so":
        lambda t: t.nn.Sequential(t.nn.Linear(2, 2), t.nn.GroupNorm(1, 3)),
    r"2: Linear: expected \(..., 6\) per example, got \(2,\); where examples have more axes, input_shape= says so":
        lambda t: t.nn.Sequential(t.nn.Linear(2, 2), t.nn.Flatten(), t.nn.Linear(6, 3)),
    r"1: Linear: expected \(..., 6\) per example, got \(2,\)$":
        lambda t: t.nn.Sequential(t.nn.Linear(2, 2), t.nn.Linear(6, 3)),
    "0: mode: unknown name 'bicubic'": lambda t: t.nn.Sequential(t.nn.Upsample(scale_factor=2, mode="bicubic")),
    "0: BatchNorm1d.momentum: expected a number": lambda t: t.nn.Sequential(t.nn.BatchNorm1d(2, momentum=None)),
    "0: InstanceNorm2d.track_running_stats: expected False":
        lambda t: t.nn.Sequential(t.nn.InstanceNorm2d(2, track_running_stats=True)),
    "0: start_dim: expected an axis from 1 on": lambda t: t.nn.Sequential(t.nn.Flatten(0)),
    "0: BatchNorm2d.track_running_stats: expected True":
        lambda t: t.nn.Sequential(t.nn.BatchNorm2d(2, track_running_stats=False)),
    "0: Softmax.dim: expected an axis of an example, got None": lambda t: t.nn.Sequential(t.nn.Softmax()),
    "1: Softmax.dim: expected an axis of an example, got 0":
        lambda t: t.nn.Sequential(t.nn.Linear(2, 3), t.nn.Softmax(dim=0)),
    r"1: x: expected at least 3 axes.* for Softmax\(dim=2\), got \(n, 3\); .* more axes, input_shape= says so":
        lambda t: t.nn.Sequential(t.nn.Linear(2, 3), t.nn.Softmax(dim=2)),
    r"1: Upsample: expected \(channels, h, w\) per example, got \(3,\); .* more axes, input_shape= says so":
        lambda t: t.nn.Sequential(t.nn.Linear(2, 3), t.nn.Upsample(scale_factor=2)),
    "0: Softplus.threshold: expected 20": lambda t: t.nn.Sequential(t.nn.Softplus(threshold=2)),
    "0: LSTM: expected Sequential": lambda t: t.nn.Sequential(t.nn.LSTM(2, 2)),
    "1: Linear.weight: expected a parameter of its own, got that of 0":
        lambda t: (lambda one: t.nn.Sequential(one, one))(t.nn.Linear(2, 2)),
    "0: Linear.bias.requires_grad: expected the same of all": lambda t: half_frozen(t.nn.Sequential(t.nn.Linear(2, 2))),
    "0: BatchNorm1d.training: expected False of a frozen one":
        lambda t: t.nn.Sequential(t.nn.BatchNorm1d(2)).requires_grad_(False),
    "0: FrozenBatchNorm1d.weight.requires_grad: expected False":
        lambda t: t.nn.Sequential(modules().FrozenBatchNorm1d(2)),
    "0: Embedding.padding_idx: expected None": lambda t: t.nn.Sequential(t.nn.Embedding(3, 2, padding_idx=0)),
    "1.0.0: Softmax.dim: expected an axis of an example, got 0":
        lambda t: t.nn.Sequential(t.nn.Linear(2, 3), modules().Parallel(t.nn.Sequential(t.nn.Softmax(dim=0)))),
    "0.weight: dtype: expected float32 or float64": lambda t: t.nn.Sequential(t.nn.Linear(2, 2).half()),
    "1: .*expected .*3": lambda t: t.nn.Sequential(t.nn.Linear(2, 3), t.nn.Linear(4, 2)),
    "0: negative_slope": lambda t: t.nn.Sequential(t.nn.LeakyReLU(-0.1)),
    "the outermost module: Sequential: expected a module without hooks":
        lambda t: hooked(t.nn.Sequential(t.nn.Linear(2, 2))),
    "0.block: Sequential: expected a module without hooks":
        lambda t: t.nn.Sequential(modules().Residual(hooked(t.nn.Sequential(t.nn.Linear(2, 2))))),
    "0: Linear.forward: expected that of the class": lambda t: t.nn.Sequential(patched(t.nn.Linear(2, 2))),
    "1.weight: device: expected one that has values, got 'meta'":
        lambda t: t.nn.Sequential(t.nn.Linear(2, 2), t.nn.Linear(2, 2, device="meta")),
    "0.running_mean: device: expected one that has values, got 'meta'":
        lambda t: t.nn.Sequential(t.nn.BatchNorm1d(2, affine=False, device="meta")),
    "1: LazyLinear: expected a module whose sizes are known, as they are once it was called":
        lambda t: t.nn.Sequential(t.nn.ReLU(), t.nn.LazyLinear(2)),
    "0.running_mean: dtype: expected float32 or float64":
        lambda t: t.nn.Sequential(t.nn.BatchNorm1d(2, affine=False).half()),
}


@chequered
@pytest.mark.parametrize("message", REFUSED)
def test_what_cannot_be_said_is_named(torch, nn, message):
    with pytest.raises(ValueError, match=message):
        from_torch(REFUSED[message](torch), package=nn)


def test_running_statistics_alone_have_a_dtype(torch, nn):
    module = torch.nn.Sequential(torch.nn.BatchNorm1d(3, affine=False, dtype=torch.float64))
    module(torch.tensor(normal((9, 3))) + 1 / 3)
    model = from_torch(module, package=nn)
    assert model.dtype == np.float64
    same(model[0].running_mean, module[0].running_mean.numpy())


@pytest.mark.parametrize("wrap", ["Sequential", "Residual", "Parallel"])
def test_modules_inside_whose_linear_gets_several_axes(torch, nn, wrap):
    torch.manual_seed(0)
    inside = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.GroupNorm(2, 2), torch.nn.Linear(3, 2))
    around = inside if wrap == "Sequential" else getattr(modules(), wrap)(inside)
    module = torch.nn.Sequential(
        torch.nn.Unflatten(1, (2, 2)), around, torch.nn.Flatten(), torch.nn.Linear(4, 1)).double()
    model, x = from_torch(module, package=nn, input_shape=(4,)), normal((5, 4))
    np.testing.assert_allclose(model(x), module(torch.tensor(np.array(x))).detach().numpy(), rtol=0, atol=1e-12)


@pytest.mark.parametrize("make", [
    lambda t: t.nn.Sequential(),
    lambda t: t.nn.Sequential(t.nn.Linear(4, 3), t.nn.Sequential(), t.nn.Sequential(t.nn.Sequential())),
    lambda t: modules().Residual(t.nn.Sequential()),
    lambda t: modules().Parallel(t.nn.Sequential(), t.nn.Linear(4, 2)),
], ids=range(4))  # fmt: skip
def test_a_sequential_of_nothing_is_the_identity(torch, nn, make):
    module, x = make(torch), normal((5, 4), "float32")
    model = from_torch(module, package=nn)
    wanted = module(torch.tensor(np.array(x))).detach().numpy()
    np.testing.assert_allclose(model(x), wanted, atol=1e-6)
    np.testing.assert_allclose(to_torch(model)(torch.tensor(np.array(x))).detach().numpy(), wanted, atol=1e-6)


def test_padding_behind_which_a_pool_has_none(torch, nn):
    """What a module pads counts, whatever ``count_include_pad`` of a pool without padding says."""
    module = torch.nn.Sequential(torch.nn.ZeroPad2d((1, 0, 2, 0)), torch.nn.AvgPool2d(3, 1, count_include_pad=False))
    x = normal((2, 2, 4, 5), "float32")
    np.testing.assert_allclose(
        from_torch(module, package=nn)(x), module(torch.tensor(np.array(x))).numpy(), atol=1e-6)


def test_other_ways_to_say_it(torch, nn):
    module = torch.nn.Sequential(torch.nn.Conv2d(1, 2, (3, 5), padding="same"), torch.nn.Flatten(),
                                 torch.nn.Linear(24, 2, bias=False), torch.nn.Softmax(dim=1)).eval()
    model = from_torch(module, package=nn, input_shape=(1, 3, 4))
    x = normal((2, 1, 3, 4), "float32")
    np.testing.assert_allclose(model(x), module(torch.tensor(np.array(x))).detach().numpy(), atol=1e-6)


@pytest.mark.parametrize("make", [
    lambda nn: nn.Conv2d(2, 3, 3, stride=2, padding=((0, 1), (2, 1)), activation="tanh"),
    lambda nn: nn.Conv2d(2, 3, (2, 4), padding="same"),
    lambda nn: nn.MaxPool2d(3, 2, ((2, 0), (0, 1)), (1, 2)),
    lambda nn: nn.MaxPool2d(3, 2, 2),
    lambda nn: nn.AvgPool2d(3, 1, ((2, 0), (0, 1))),
    lambda nn: nn.AvgPool2d(3, 1, ((1, 0), (0, 1)), divisor_override=2),
], ids=range(6))  # fmt: skip
def test_padding_that_differs_from_side_to_side(torch, nn, make):
    """A module of PyTorch that pads stands before the layer; there and back it is one layer again."""
    model = nn.Sequential(make(nn), seed=1, dtype="float64")
    module, x = to_torch(model), normal((3, 2, 5, 6))
    assert type(module[0]).__name__ in ("ZeroPad2d", "ConstantPad2d")
    np.testing.assert_allclose(module(torch.tensor(np.array(x))).detach().numpy(), model(x), atol=1e-12)
    again = from_torch(module, package=nn, dtype="float64")
    assert type(again[0]) is type(model[0])
    assert again[0].padding == model[0].padding
    np.testing.assert_array_equal(again(x), model(x))


def test_other_padding_is_an_error(torch, nn):
    for layer in (nn.ConvTranspose2d(1, 1, 3, padding=((0, 1), (0, 0))),
                  nn.MaxPool2d(3, 2, ((0, 1), (0, 0)), ceil_mode=True),
                  nn.AvgPool2d(3, 2, ((0, 1), (0, 0)), count_include_pad=False)):
        with pytest.raises(ValueError, match=rf"^0: {type(layer).__name__}.padding: expected as much on both sides"):
            to_torch(nn.Sequential(layer))


def test_a_module_is_a_module(torch, nn):
    for given, found in (net(nn), rf"{nn.__name__}.sequential.Sequential"), (torch.nn.Linear, r"the class torch\S*"):
        with pytest.raises(TypeError, match=f"module: expected a torch.nn.Module, got {found}$"):
            from_torch(given)


def test_frozen_layers(torch, nn):
    """They are frozen on the other side, and the rest trains on to the same losses: BatchNorm by its statistics."""
    def make():
        return nn.Sequential(nn.Linear(5, 7, activation="tanh"), nn.BatchNorm1d(7), nn.Linear(7, 3), seed=1,
                             dtype="float64")

    model, loss, criterion = make(), nn.CrossEntropyLoss(), torch.nn.CrossEntropyLoss()
    x, t = normal((9, 5)), np.arange(9) % 3
    for _ in range(3):
        model.step(x, t, loss, nn.SGD(lr=0.1))
    model[:2].trainable = False
    module = to_torch(model).train()
    assert [value.requires_grad for value in module.parameters()] == [False] * 4 + [True] * 2
    again = from_torch(module, package=nn)
    assert [layer.trainable for layer in again.layers if layer.params] == [False, False, True]
    update, updates = sgd(torch, module, 0.1), (nn.SGD(lr=0.1), nn.SGD(lr=0.1))
    for _ in range(5):
        want = criterion(module(torch.tensor(np.array(x))), torch.tensor(t))
        want.backward()
        update()
        for each, ours in zip((model, again), updates, strict=True):
            np.testing.assert_allclose(each.step(x, t, loss, ours), want.item(), rtol=1e-13)
    load_torch_state(other := make(), module.state_dict())
    np.testing.assert_allclose(other(x), model(x), atol=1e-13)


def test_a_frozen_backbone_in_eval(torch, nn):
    module = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.BatchNorm2d(2)).requires_grad_(False).eval()
    assert not any(layer.trainable for layer in from_torch(module, package=nn).layers)


def test_norms_without_parameters_are_not_frozen(torch, nn):
    """Nothing in them requires a gradient, but BatchNorm's statistics go on; unless its class says that they do not."""
    model = nn.Sequential(
        nn.BatchNorm2d(2, affine=False), nn.GroupNorm(1, 2, affine=False), nn.BatchNorm2d(2, bias=False))
    assert all(layer.trainable for layer in from_torch(to_torch(model), package=nn).layers)
    model.trainable = False
    module = to_torch(model)
    assert [type(each).__name__ for each in module] == ["FrozenBatchNorm2d", "GroupNorm", "FrozenBatchNorm2d"]
    again = from_torch(module, package=nn)
    assert [layer.trainable for layer in again.layers] == [False, True, False]      # a GroupNorm has nothing to freeze
    for one, two in zip(model.layers, again.layers, strict=True):
        assert repr(one) == repr(two)


def test_instance_norm(torch, nn):
    of_images, of_rows = torch.nn.InstanceNorm2d(3, affine=True), torch.nn.InstanceNorm1d(3)
    for made, shape in ((of_images, (2, 3, 4, 5)), (of_rows, (2, 3, 7))):
        module = torch.nn.Sequential(made).double()
        model, x = from_torch(module, package=nn, dtype="float64"), normal(shape)
        assert model.layers[0].num_groups == 3
        np.testing.assert_allclose(model(x), module(torch.tensor(np.array(x))).detach().numpy(), atol=1e-12)


def test_instance_norm_of_examples_with_too_few_axes(torch, nn):
    """PyTorch takes the rows of a batch for channels of one example, and normalises over the features of each."""
    layers, module = torch.nn, torch.nn.Sequential(torch.nn.Linear(5, 4), torch.nn.InstanceNorm1d(4))
    with pytest.raises(ValueError, match=r"^1: InstanceNorm1d: expected \(channels, length\) per example \(input"):
        from_torch(module, package=nn)
    assert from_torch(module, package=nn, input_shape=(4, 5)).layers[1].num_groups == 4
    for made, shape in ((layers.InstanceNorm1d(4), (4,)), (layers.InstanceNorm2d(4), (4, 6))):
        with pytest.raises(ValueError, match=r"InstanceNorm.d: expected \(channels, .*\) per example, got \(4,"):
            from_torch(made, package=nn, input_shape=shape)


@pytest.mark.parametrize("shape", [(5, 4), (5, 6, 4), (5, 6, 3, 4)])
@pytest.mark.parametrize("make", [
    lambda t: t.nn.Softmax(dim=1), lambda t: t.nn.LogSoftmax(dim=1), lambda t: t.nn.Unflatten(1, (2, 3)),
], ids=range(3))  # fmt: skip
def test_an_axis_behind_a_linear_whose_examples_may_have_more_axes(torch, nn, make, shape):
    """Axis 1 is the last one of rows alone, which is not known without ``input_shape``."""
    module, x = torch.nn.Sequential(torch.nn.Linear(4, 6), make(torch)).double(), normal(shape)
    for known in (None, shape[1:]):
        model = from_torch(module, package=nn, input_shape=known)
        np.testing.assert_allclose(model(x), module(torch.tensor(np.array(x))).detach().numpy(), atol=1e-12)
    assert model[1].dim == (-1 if len(shape) == 2 else 1)


def test_embedding_of_pytorch(torch, nn):
    """It takes integers there; ours stands behind a Select among floats, too, on both sides."""
    module = torch.nn.Sequential(torch.nn.Embedding(5, 3), torch.nn.Flatten(), torch.nn.Linear(6, 2))
    x = np.array([[4, 0], [1, 1], [2, 3]])
    model = from_torch(module, package=nn)
    np.testing.assert_allclose(model(x), module(torch.tensor(x)).detach().numpy(), atol=1e-6)
    model = nn.Sequential(nn.Parallel(
        nn.Sequential(nn.Select(1, 2), nn.Embedding(5, 3), nn.Flatten()), nn.Select(0, 1)))
    x = np.array([[0.3, 4.0], [-7.5, 2.0]], "float32")
    again, module = from_torch(to_torch(model), package=nn), to_torch(model)
    same(again(x), model(x))
    np.testing.assert_allclose(module(torch.tensor(x)).detach().numpy(), model(x), atol=1e-6)


def test_initial_values_of_any_kind(torch, nn):
    """The values are what counts: a rule, an array, a function."""
    for init in (nn.Init("he_normal", gain=0.1), np.ones((2, 2)), lambda shape, seed: np.ones(shape)):
        model = nn.Sequential(nn.Linear(2, 2, init=init), dtype="float64")
        same(from_torch(to_torch(model), package=nn)[0].weight, model[0].weight)


def test_own_modules_train_as_ours_do(torch):
    """Their masks: as often, and scaled as ours."""
    import fastnn as nn

    x = torch.ones(4000, 3)
    torch.manual_seed(0)
    depth = to_torch(nn.Sequential(nn.StochasticDepth(nn.Identity(), 0.25, mode="row")))
    values, counts = np.unique(depth(x)[:, 0].numpy(), return_counts=True)
    np.testing.assert_allclose(values, [1, 1 + 1 / 0.75], rtol=1e-6)
    assert abs(counts[0] / 4000 - 0.25) < 0.03
    connect = to_torch(nn.DropConnect(3, 1, 0.25, inference="mean", init="ones", bias=False))
    assert abs(connect(x).mean().item() - 3) < 0.1
    assert abs(connect(x).std().item() - 1) < 0.1       # √(3 · p/(1 − p))
    assert abs(to_torch(nn.GaussianNoise(0.5))(x).std().item() - 0.5) < 0.02


def test_a_users_layer_is_named(torch, fast):
    class Own(fast.CustomLayer):
        pass

    with pytest.raises(ValueError, match=r"^1: Own: expected a layer that PyTorch has, .*, got Own\(\)$"):
        to_torch(fast.Sequential(fast.Linear(4, 3), Own()))


@pytest.mark.parametrize(("side", "options"), [(2, {"size": 82}), (2, {"scale_factor": 1.1}),
                                               (3, {"scale_factor": 41})])
@pytest.mark.parametrize("inside", [False, True])
def test_other_nearest_pixels_are_refused(torch, nn, side, options, inside):
    """Where the shape is known, in both directions: PyTorch counts in float32."""
    text = r"0\.0: Upsample" if inside else r"0: Upsample"
    x = torch.arange(side * side, dtype=torch.float32).reshape(1, 1, side, side)

    def models(**more):
        for known in ({}, {"input_shape": (1, side, side)}):
            layer = nn.Upsample(**options, **more)
            yield nn.Sequential(nn.Parallel(layer) if inside else layer, dtype="float32", **known)

    unknown, known = models()
    module = to_torch(unknown)
    assert not np.array_equal(module(x).numpy(), unknown(x.numpy()))
    if not inside:
        with pytest.raises(ValueError, match=rf"{text}: expected the same pixels in PyTorch, which rounds"):
            from_torch(module, package=nn, input_shape=(1, side, side))
    with pytest.raises(ValueError, match=rf"{text}: expected the same pixels in PyTorch, which rounds"):
        to_torch(known)
    if options == {"scale_factor": 1.1}:                # the size stays, and PyTorch copies the image
        unknown, known = models(mode="bilinear")
        assert not np.allclose(to_torch(unknown)(x).numpy(), unknown(x.numpy()))
        with pytest.raises(ValueError, match=rf"{text}: expected the same pixels in PyTorch"):
            to_torch(known)
    else:
        for model in models(mode="bilinear"):
            to_torch(model)
    to_torch(nn.Sequential(nn.Upsample(scale_factor=3), input_shape=(1, side, side)))


def test_an_upsample_of_many_channels_takes_no_memory_for_them(torch, nn, monkeypatch):
    sizes, interpolate = [], torch.nn.functional.interpolate
    monkeypatch.setattr(torch.nn.functional, "interpolate",
                        lambda image, **named: sizes.append(image.shape) or interpolate(image, **named))
    to_torch(nn.Sequential(nn.Upsample(scale_factor=2), input_shape=(100, 4, 6)))
    assert sizes == [(1, 2, 4, 6)] * 2
