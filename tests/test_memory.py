"""The engine's memory: arrays that stay where they are, one plan, allocations that fail, wrong code of a user.

What both packages promise about models inside models stands in test_network.py; here stands what only the engine can do
wrong.
"""

import copy
import gc
import itertools
import pickle
import threading
import weakref
from pathlib import Path

import numpy as np
import pytest

import fastnn_ref
from fastnn_ref.shared.config import arguments, call, signature
from tests.cases import one_of_each
from tests.check import normal, python, same
from tests.pairwise import every

LAYERS = {
    "linear": (lambda nn: nn.Linear(5, 5, activation="gelu"), (5,)),
    "conv": (lambda nn: nn.Conv2d(2, 3, 3, padding=1), (2, 6, 6)),
    "batchnorm": (lambda nn: nn.BatchNorm1d(5), (5,)),
    "stochastic_depth": (lambda nn: nn.StochasticDepth(nn.Linear(5, 5), 0.3), (5,)),
    "residual": (lambda nn: nn.Residual(nn.Sequential(nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 5))), (5,)),
}


def net(nn, **arguments):
    return nn.Sequential(nn.Linear(6, 9, activation="relu"), nn.Dropout(0.3), nn.Linear(9, 3), **arguments)


def data(n=12):
    return normal((n, 6)), np.arange(n) % 3


def where(model):
    """Name → address of each parameter and gradient."""
    return {name: (value.ctypes.data, gradient.ctypes.data) for name, value, gradient, _ in model.parameters()}


# ---- where parameters lie ----


def test_a_new_model_is_one_block_weights_first(fast, dtype):
    model = net(fast, dtype=dtype)
    places = where(model)
    order = ["0.weight", "2.weight", "0.bias", "2.bias"]
    sizes = {name: -(-value.nbytes // 64) * 64 for name, value, _, _ in model.parameters()}
    for one, two in itertools.pairwise(order):
        for part in (0, 1):
            assert places[two][part] - places[one][part] == sizes[one], (one, two)
    assert all(place % 64 == 0 for pair in places.values() for place in pair)


def test_a_wrapper_moves_nothing(fast, dtype):
    """Prediction and training through a wrapper leave every array where a user holds it."""
    model = net(fast, dtype=dtype)
    x, t = data()
    model.step(x, t, fast.CrossEntropyLoss(), fast.Adam())
    held, before = model.layers[0].weight, where(model)
    wrapper = fast.Sequential(model, fast.Linear(3, 3), seed=4)
    wrapper.predict(x)
    assert wrapper.dtype == dtype
    assert where(model) == before
    wrapper.step(x, t, fast.CrossEntropyLoss(), fast.Adam(clip_norm=0.1))
    assert where(model) == before
    assert held is model.layers[0].weight
    assert np.shares_memory(held, model.params["0.weight"])
    del wrapper
    model.step(x, t, fast.CrossEntropyLoss(), fast.Adam())
    assert where(model) == before


def test_parts_of_different_ages_train_to_the_bits_of_a_copy(fast, dtype):
    """Memory in several pieces, or in one: clipping adds the squares in the same order."""
    x, t = data()
    old = fast.Linear(6, 9, activation="relu")
    old.forward(x.astype(dtype))
    model = fast.Sequential(old, fast.Linear(9, 3), fast.LayerNorm(3), seed=3, dtype=dtype)
    same_model = copy.deepcopy(model)                           # one block
    one, two = fast.Adam(clip_norm=0.05, weight_decay=0.01), fast.Adam(clip_norm=0.05, weight_decay=0.01)
    for _ in range(4):
        assert model.step(x, t, fast.CrossEntropyLoss(), one) == same_model.step(x, t, fast.CrossEntropyLoss(), two)
    for name, value in model.state_dict().items():
        same(value, same_model.state_dict()[name])


@pytest.mark.parametrize("inner", ["float32", "float64", None])
@pytest.mark.parametrize("outer", ["float32", "float64", None])
@pytest.mark.parametrize("use", ["never", "alone", "training", "backward"])
def test_wrapping_with_every_dtype(fast, inner, outer, use):
    """Buffers planned for one dtype are never used for another; the model's own dtype comes back."""
    x, t = data()
    model, optimizer = net(fast, dtype=inner), fast.Adam()
    own = model.dtype
    if use == "alone":
        model.predict(x)
    elif use == "training":
        model.step(x, t, fast.CrossEntropyLoss(), optimizer)
    elif use == "backward":
        model.forward(x, training=True)
    wrapper = fast.Sequential(model, fast.Softmax(), dtype=outer)
    assert wrapper.dtype == (outer or inner or "float32")
    y = wrapper.predict(x)
    assert y.dtype == wrapper.dtype
    assert np.abs(y.sum(axis=1) - 1).max() < 1e-5
    same(model.predict(x), fast.Sequential(*copy.deepcopy(model).layers, dtype=wrapper.dtype).predict(x))
    with pytest.raises(RuntimeError, match="call forward"):
        model.backward(normal((12, 3)))
    state = optimizer.state_dict()
    assert state["steps"] == (use == "training")
    del wrapper
    assert model.dtype == (inner or outer or own)
    for _ in range(2):
        model.step(x, t, fast.CrossEntropyLoss(), optimizer)
    assert np.isfinite(model.predict(x)).all()


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("first", ["float32", "float64"])
def test_a_layer_used_alone_and_then_adopted(fast, name, first):
    make, shape = LAYERS[name]
    layer = make(fast)
    x = normal((4, *shape), first)
    alone = fast.Sequential(layer, dtype=first)
    alone.forward(x, training=True)
    del alone
    other = "float64" if first == "float32" else "float32"
    model = fast.Sequential(layer, dtype=other)
    y = model.forward(x, training=True)
    assert y.dtype == other
    dx = model.backward(np.ones_like(y))
    assert dx.dtype == other
    assert np.isfinite(dx).all()


def test_a_layer_adopted_between_forward_and_backward(fast):
    layer = fast.Linear(5, 5)
    layer.forward(normal((4, 5)), training=True)
    model = fast.Sequential(layer, fast.Linear(5, 400), dtype="float64")
    with pytest.raises(RuntimeError, match="call forward"):
        layer.backward(normal((4, 5)))
    model.predict(normal((3, 5)))
    with pytest.raises(RuntimeError, match="call forward"):
        layer.backward(normal((4, 5)))


def test_planning_asks_each_layer_once_and_plans_once(fast):
    asked = []

    class Probe(fast.CustomLayer):
        def output_shape(self, shape):
            asked.append(shape)
            return shape

        def forward_pass(self, x, training):
            return x

        def backward_pass(self, dy):
            return dy

    model = fast.Sequential(fast.Flatten(), Probe(), fast.ReLU())
    model.predict(normal((7, 2, 3)))
    assert asked == [(6,), (6,)]                # the shape first, then the plan
    model.predict(normal((3, 2, 3)))
    model.forward(normal((7, 2, 3)), training=True)
    assert len(asked) == 2


def test_layers_are_light(fast):
    assert fast.Layer.__basicsize__ <= 136  # of which trainable, lr_scale, dropped gradients and what is packed take 32
    assert fast.ReLU.__basicsize__ <= 176


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="only Linux says how much memory a process holds")
def test_a_thousand_small_models_hold_little_memory():
    """Each has 2 MB where products pack their operands, which theirs are too small for."""
    assert python("""
        import numpy as np, os, fastnn as nn

        def held():
            return int(open("/proc/self/statm").read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20

        def models(count):
            made = [nn.Sequential(nn.Linear(4, 4), nn.Tanh()) for _ in range(count)]
            for model in made:
                model.predict(np.zeros((2, 4)))
            return made

        models(1)
        before = held()
        for _ in range(3):                              # malloc gives out again what it has kept of those before
            made = models(1000)
            grown = held() - before
            del made
        print("held" if grown < 200 else grown)
        """) == "held\n"


def test_nothing_waits_for_the_collector(fast):
    """No reference cycle: models, wrappers, hosts and optimizers go when their last user goes."""

    class Own(fast.CustomLayer):
        def __init__(self):
            self.add("weight", (3,), "ones")

        def forward_pass(self, x, training):
            return x * self.values["weight"]

        def backward_pass(self, dy):
            self.set_gradients(dy.sum(axis=0))
            return dy * self.values["weight"]

    class Step(fast.CustomOptimizer):
        def update(self, w, g, lr, decay):
            w -= lr * g

    gc.collect()
    gc.disable()
    try:
        x, t = data()
        inner, optimizer = fast.Sequential(net(fast), Own()), Step()
        inner.step(x, t, fast.CrossEntropyLoss(), optimizer)
        outer = fast.Sequential(inner, fast.Residual(fast.Linear(3, 3)))
        outer.fit(x, t, loss=fast.CrossEntropyLoss(), optimizer=fast.SGD(), epochs=1)
        with pytest.raises(ValueError, match="stands inside another model"):
            inner.step(x, t, fast.CrossEntropyLoss(), optimizer)
        part = outer[:1]
        part.predict(x)
        gone = [weakref.ref(each) for each in (part, outer, inner, inner.layers[1], optimizer)]
        del part, outer
        assert gone[0]() is None
        assert gone[1]() is None
        inner.step(x, t, fast.CrossEntropyLoss(), optimizer)
        del inner, optimizer
        assert [each() for each in gone[2:]] == [None] * 3
    finally:
        gc.enable()


# ---- allocations that fail ----


def state_of(model, optimizer):
    return model.state_dict(), model.network.counters(), optimizer.state_dict()


def alike(one, two):
    """Are two states equal to the last bit?"""
    return pickle.dumps(one) == pickle.dumps(two)


def wake(model):
    model.network.wake()


JOBS = {
    "predict": lambda nn, model, optimizer, x, t: model.predict(x),
    "forward": lambda nn, model, optimizer, x, t: model.forward(x, training=True),
    "by hand": lambda nn, model, optimizer, x, t: optimizer.step(model),
    "step": lambda nn, model, optimizer, x, t: model.step(x, t, nn.CrossEntropyLoss(), optimizer),
    "epoch": lambda nn, model, optimizer, x, t: model.run_epoch(x, t, nn.CrossEntropyLoss(), optimizer, batch_size=5),
    "mixup": lambda nn, model, optimizer, x, t: model.run_epoch(
        x, t, nn.CrossEntropyLoss(), optimizer, batch_size=5, mixup=0.4),
    "wrapper": lambda nn, model, optimizer, x, t: wake(nn.Sequential(model, nn.Linear(3, 2), dtype="float64")),
    "penalty value": lambda nn, model, optimizer, x, t: model.penalty_value(),
    "load": lambda nn, model, optimizer, x, t: optimizer.load_state_dict(optimizer.state_dict()),
}


@pytest.mark.parametrize("fresh", [True, False], ids=["fresh", "used"])
@pytest.mark.parametrize("job", JOBS)
def test_every_failing_allocation(fast, job, fresh):
    """Whichever allocation fails, all is as before the call; and the call then succeeds, to the bits of a good one."""
    x, t = data()

    def make():
        model = fast.Sequential(
            fast.Linear(6, 9, activation="gelu"), fast.BatchNorm1d(9), fast.DropConnect(9, 9, 0.3, activation="tanh"),
            fast.Residual(fast.Linear(9, 9)), fast.Linear(9, 3), seed=1, penalty=[fast.L2(0.1), fast.MaxNorm(2.0)])
        optimizer = fast.Adam(clip_norm=1.0)
        if not fresh:
            model.step(x[:4], t[:4], fast.CrossEntropyLoss(), optimizer)
        return model, optimizer

    model, optimizer = make()
    before = state_of(*make())
    JOBS[job](fast, model, optimizer, x, t)
    wanted = state_of(model, optimizer)
    failures = 0
    for k in range(1, 200):
        model, optimizer = make()
        if not fresh:
            before = state_of(model, optimizer)
        fast._kernels.fail_allocation(k)
        try:
            JOBS[job](fast, model, optimizer, x, t)
        except MemoryError:
            failures += 1
        else:
            assert fast._kernels.fail_allocation(None) is not None
            break
        finally:
            fast._kernels.fail_allocation(None)
        if model.layers[0].values or not fresh:                         # else nothing was drawn
            assert alike(state_of(model, optimizer), before), f"after allocation {k}"
        JOBS[job](fast, model, optimizer, x, t)
        assert alike(state_of(model, optimizer), wanted), f"after allocation {k} and a second try"
    assert failures >= (job not in ("load", "by hand"))         # those may find all memory there
    assert failures < 199


# ---- code that is wrong ----


@pytest.mark.parametrize("method", ["forward_pass", "backward_pass", "output_shape", "forward", "min_batch_size"])
def test_what_runs_in_c_cannot_be_overridden(fast, method):
    with pytest.raises(TypeError, match=rf"fastnn.Linear: {method} runs in C .* derive from fastnn.CustomLayer"):
        type("Mine", (fast.Linear,), {method: lambda self, *given: given})
    mixin = type("Mixin", (), {method: lambda self, *given: given})
    with pytest.raises(TypeError, match="runs in C"):
        type("Mine", (mixin, fast.Sequential), {})
    type("Mine", (fast.Linear, mixin), {})                      # Linear's comes first


@pytest.mark.parametrize(("cls", "method", "instead"), [
    ("MSELoss", "forward", "CustomLoss"), ("CrossEntropyLoss", "value_and_gradient", "CustomLoss"),
    ("SGD", "update", "CustomOptimizer"), ("Adam", "step", "CustomOptimizer"), ("L2", "value", ""),
    ("Sequential", "forward_pass", "CustomLayer"),
])
def test_nor_in_other_classes(fast, cls, method, instead):
    said = f"fastnn.{cls}: {method} runs in C in fastnn and cannot be overridden.*{instead}$"
    with pytest.raises(TypeError, match=said):
        type("Mine", (getattr(fast, cls),), {method: lambda self, *given: given})


def test_a_lie_told_later_is_not_heard(fast):
    """An attribute of an instance, or of a class after it was made, changes nothing that kernels rely on."""
    class Mine(fast.Linear):
        pass

    layer = Mine(3, 2)
    layer.output_shape = lambda shape: (10_000,)
    Mine.output_shape = lambda self, shape: (10_000,)
    assert fast.Sequential(fast.ReLU(), layer).predict(normal((4, 3))).shape == (4, 2)
    assert layer.forward(normal((4, 3)), training=True).shape == (4, 2)
    assert layer.backward(normal((4, 2))).shape == (4, 3)


CLASSES = one_of_each(fastnn_ref)


@every(cls=CLASSES)
def test_a_second_init_is_refused(fast, cls):
    thing = CLASSES[cls](fast)
    with pytest.raises(RuntimeError, match=f"{cls}.__init__: expected one call, got a second one"):
        call(thing.__init__, arguments(thing), signature(type(thing)))


@every(cls=CLASSES)
def test_half_made_objects_raise(fast, cls):
    """Made without __init__: every use is an exception, none a crash."""
    kind = getattr(fast, cls)
    for use in (
        lambda thing: thing.forward(normal((4, 3))), lambda thing: thing.predict(normal((4, 3))),
        lambda thing: thing.parameters(), lambda thing: thing.output_shape((3,)),
        lambda thing: thing.min_batch_size((3,)),
        lambda thing: thing.step(normal((4, 3)), normal((4, 3)), fast.MSELoss(), fast.SGD()),
        lambda thing: thing.forward(normal((4, 3)), normal((4, 3))), lambda thing: repr(thing), copy.deepcopy,
        lambda thing: fast.Sequential(fast.Linear(3, 3), thing).predict(normal((4, 3))),
        lambda thing: thing.step(fast.Sequential(fast.Linear(3, 3))),
        lambda thing: fast.Sequential(fast.Linear(3, 3)).step(normal((4, 3)), normal((4, 3)), fast.MSELoss(), thing),
        lambda thing: fast.Sequential(fast.Linear(3, 3)).step(normal((4, 3)), normal((4, 3)), thing, fast.SGD()),
        lambda thing: fast.Sequential(fast.Linear(3, 3), penalty=thing).penalty_value(),
        lambda thing: thing[0], lambda thing: len(thing),
    ):
        try:
            use(kind.__new__(kind))
        except Exception:
            pass


@pytest.mark.parametrize("cls", ["MSELoss", "BCEWithLogitsLoss", "CrossEntropyLoss", "NLLLoss"])
def test_a_loss_without_init_is_told(fast, cls):
    made, model = getattr(fast, cls).__new__(getattr(fast, cls)), fast.Sequential(fast.Linear(3, 3))
    for use in (lambda: made.forward(normal((4, 3)), np.zeros((4, 3))),
                lambda: model.step(normal((4, 3)), np.zeros((4, 3)), made, fast.SGD())):
        with pytest.raises(RuntimeError, match=f"{cls}: made without a call of __init__"):
            use()


# An argument that each layer refuses; the others are right, or missing as well.
REFUSED = [
    ("Softmax", {"dim": "x"}), ("LogSoftmax", {"dim": "x"}), ("LeakyReLU", {"negative_slope": "x"}),
    ("GELU", {"approximate": "x"}), ("Softshrink", {"lambd": "x"}), ("Dropout", {"p": "x"}),
    ("GaussianNoise", {"std": "x"}), ("Flatten", {"start_dim": "x"}),
    ("Unflatten", {"dim": "x", "unflattened_size": 3}), ("Select", {"start": "x", "stop": 1}),
    ("Augment", {"brightness": 0.5, "image_shape": "x"}),
    ("DropConnect", {"in_features": 3, "out_features": 3, "p": "x"}),
    ("Linear", {"in_features": 3, "out_features": 3, "bias": "x"}),
    ("Conv2d", {"in_channels": 1, "out_channels": 1, "kernel_size": 1, "bias": "x"}),
    ("ConvTranspose2d", {"in_channels": 1, "out_channels": 1, "kernel_size": 1, "groups": 2}),
    ("Embedding", {"num_embeddings": 3, "embedding_dim": 3, "init": "x"}), ("PReLU", {"init": "x"}),
    ("BatchNorm1d", {"num_features": 3, "bias": "x"}), ("BatchNorm2d", {"num_features": 3, "eps": 0}),
    ("LayerNorm", {"normalized_shape": 3, "eps": 0}), ("RMSNorm", {"normalized_shape": 3, "eps": 0}),
    ("GroupNorm", {"num_groups": 1, "num_channels": 3, "eps": 0}),
    ("MaxPool2d", {"kernel_size": 2, "ceil_mode": "x"}), ("AvgPool2d", {"kernel_size": 2, "divisor_override": "x"}),
    ("AdaptiveMaxPool2d", {"output_size": "x"}), ("AdaptiveAvgPool2d", {"output_size": "x"}),
    ("Upsample", {"scale_factor": 2, "align_corners": "x"}), ("Residual", {"block": "x"}),
    ("StochasticDepth", {"block": "x", "p": 0.5}), ("Parallel", {"merge": "x"}), ("Sequential", {"seed": "x"}),
]


def uses_of(nn, layer):
    x, t = normal((4, 3)), np.zeros((4, 3))
    yield from [
        lambda: layer(x), lambda: layer.forward(x, training=True), lambda: layer.backward(x),
        lambda: nn.Sequential(layer), lambda: nn.Residual(layer), lambda: nn.Parallel(nn.ReLU(), layer),
        lambda: layer.params, lambda: layer.network.parameters, lambda: nn.SGD().step(layer),
        lambda: setattr(layer, "trainable", False)]
    if isinstance(layer, nn.Sequential):
        yield from [
            lambda: layer.step(x, t, nn.MSELoss(), nn.SGD()), lambda: layer.predict(x), lambda: layer.predictor(),
            lambda: layer.fit(x, t, nn.MSELoss(), nn.SGD(), epochs=1, verbose=0)]
    if isinstance(layer, nn.LeakyReLU):
        yield lambda: nn.Linear(3, 3, activation=layer)


@pytest.mark.parametrize(("cls", "arguments"), REFUSED)
def test_a_half_made_layer_is_told(nn, cls, arguments):
    """Its error was swallowed, or `__init__` never called: nothing is computed with it, and nothing reads beyond it."""
    kind = getattr(nn, cls)

    class Forgetful(kind):
        def __init__(self):
            self.own = 1

    failed = kind.__new__(kind)
    with pytest.raises((TypeError, ValueError)):
        failed.__init__(**arguments)
    for layer in (failed, kind.__new__(kind), Forgetful()):
        for use in uses_of(nn, layer):
            with pytest.raises(RuntimeError, match=f"{type(layer).__name__}: made without a call of __init__"):
                use()


@pytest.mark.parametrize(("cls", "arguments"), [
    ("SGD", {"momentum": 2}), ("Adagrad", {"eps": 0}), ("RMSprop", {"centered": "x"}), ("Adadelta", {"rho": 2}),
    ("Adam", {"amsgrad": "x"}), ("AdamW", {"betas": 1}), ("NAdam", {"momentum_decay": -1}), ("HuberLoss", {"delta": 0}),
    ("PoissonNLLLoss", {"eps": 0}), ("BCEWithLogitsLoss", {"pos_weight": "x"}), ("NLLLoss", {"ignore_index": "x"}),
    ("CrossEntropyLoss", {"class_weight": "x"}), ("L1", {"strength": 1, "biases": "x"}), ("L2", {"strength": "x"}),
    ("ElasticNet", {"l1": 1, "l2": 1, "mode": "x"}), ("MaxNorm", {"limit": 0}),
])  # fmt: skip
def test_a_half_made_loss_optimizer_or_penalty_is_told(nn, cls, arguments):
    kind = getattr(nn, cls)
    x, t = normal((4, 3)), np.zeros((4, 3))

    def train(made):
        loss, optimizer = nn.MSELoss(), nn.SGD()
        if isinstance(made, nn.Loss):
            loss = made
        if isinstance(made, nn.Optimizer):
            optimizer = made
        penalty = made if isinstance(made, nn.Penalty) else None
        nn.Sequential(nn.Linear(3, 3), penalty=penalty).step(x, t, loss, optimizer)

    failed = kind.__new__(kind)
    with pytest.raises((TypeError, ValueError)):
        failed.__init__(**arguments)
    for made in (failed, kind.__new__(kind)):
        for use in (train, copy.deepcopy):
            if use is copy.deepcopy and nn.__name__ == "fastnn_ref":
                continue                            # its copies are made without a constructor
            with pytest.raises(RuntimeError, match=f"{cls}: made without a call of __init__"):
                use(made)


def test_a_failed_init_leaves_nothing_dangerous(fast):
    layer = fast.Linear.__new__(fast.Linear)
    with pytest.raises(ValueError, match="activation"):
        layer.__init__(3, 2, activation="nope")
    with pytest.raises(RuntimeError, match="Linear: made without a call of __init__"):
        layer.forward(normal((4, 3)))
    busy = fast.Linear(3, 3)
    model = fast.Sequential.__new__(fast.Sequential)

    def wrap(done, steps):
        with pytest.raises(RuntimeError, match="in use; build it into another model afterwards"):
            model.__init__(outer)

    outer = fast.Sequential(busy)
    outer.run_epoch(normal((8, 3)), normal((8, 3)), fast.MSELoss(), fast.SGD(), progress=wrap)
    assert len(model) == 0
    assert outer.parent is None


def test_values_cannot_be_exchanged(fast):
    """`values` and `gradients` show the arrays that kernels use; other ones cannot be put in their place."""
    layer = fast.Linear(3, 2)
    layer.forward(normal((4, 3)))
    for arrays in (layer.values, layer.gradients, layer.specs):
        with pytest.raises(TypeError):
            arrays["weight"] = np.zeros((1, 1))
        with pytest.raises(AttributeError):
            arrays.clear()


def test_threads_race_for_one_layer(fast):
    """Two models that are built at the same time: one gets the layer, the other a ValueError."""
    for _ in range(30):
        layer, made, refused = fast.Linear(3, 3), [], []
        start = threading.Barrier(4)

        def build(layer=layer, made=made, refused=refused, start=start):
            start.wait()
            try:
                model = fast.Sequential(fast.ReLU(), layer)
                model.predict(normal((5, 3)))
                made.append(model)
            except ValueError as error:
                refused.append(str(error))

        several = [threading.Thread(target=build) for _ in range(4)]
        for each in several:
            each.start()
        for each in several:
            each.join()
        assert len(made) == 1
        assert all("already belongs to a model" in text for text in refused)


def test_a_layer_that_other_threads_find_is_made(ref):
    """They find it from the first link to what stands inside it on: before its constructor has come to its end."""
    one, two, found = ref.Sequential(ref.Linear(3, 3)), ref.Sequential(ref.Linear(3, 3)), []
    network = two.network
    network.sleep = lambda: (type(network).sleep(network), found.append(one.network.root))
    model = ref.Sequential(one, two)
    assert found == [model]
