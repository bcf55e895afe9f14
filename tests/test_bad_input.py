"""An error says which argument is wrong, what was expected and what came; and it leaves no trace."""

import numpy as np
import pytest

from tests.check import normal, python, same, same_parameters
from tests.pairwise import every
from tests.user_errors import CLASSES, MODELS_MADE, USER_ERRORS, X, net

WORDS = ("missing", "unexpected")           # of a state's names: the message differs, the word is in it
UPDATED = ("another model", "stopping on nothing")  # their models do make a step, before the error can be known


@every(wrong=USER_ERRORS)
def test_message(ref, fast, wrong):
    """The message of the list, the same in both packages; the parameters are what they were."""
    found = []
    for nn in (ref, fast):
        MODELS_MADE.clear()
        with pytest.raises((ValueError, TypeError, RuntimeError)) as caught:
            wrong.call(nn)
        found.append((type(caught.value), str(caught.value).replace("fastnn_ref", "fastnn")))
        for model in [] if wrong.name in UPDATED else list(MODELS_MADE):
            same_parameters(model, net(nn))
    assert found[0] == found[1]
    error, text = found[0]
    assert issubclass(error, wrong.error)
    assert wrong.message in text if wrong.message in WORDS else text.startswith(wrong.message)


def test_messages_are_more_than_a_name():
    """A message that ended with "expected" would also pass for an error about something else."""
    short = [wrong for wrong in USER_ERRORS if len(wrong.message) < len("name: expected and got ...")]
    assert {wrong.message for wrong in short} == set(WORDS)
    assert len({wrong.name for wrong in USER_ERRORS}) == len(USER_ERRORS)


def test_a_message_lists_the_names(nn):
    model = net(nn)
    state = model.state_dict()
    state["0.wieght"] = state.pop("0.weight")
    with pytest.raises(ValueError, match=r"0\.weight") as caught:
        model.load_state_dict(state)
    assert "0.wieght" in str(caught.value)


BAD_STEPS = {
    "width": (np.zeros((5, 3)), CLASSES),
    "length": (X, CLASSES[:3]),
    "class": (X, [0, 1, 2, 3, 0]),
    "words": (X, list("abcab")),
}


@pytest.mark.parametrize("bad", BAD_STEPS)
def test_a_refused_step_leaves_no_trace(nn, bad):
    model, optimizer, loss = net(nn), nn.Adam(), nn.CrossEntropyLoss()
    model.step(X, CLASSES, loss, optimizer)
    kept = model.state_dict()
    for call in (model.step, model.run_epoch):
        with pytest.raises((ValueError, TypeError)):
            call(*BAD_STEPS[bad], loss, optimizer)
    assert (model.steps, model.epochs, optimizer.steps) == (1, 0, 1)
    for name, value in model.state_dict().items():
        same(value, kept[name])
    assert np.isfinite(model.step(X, CLASSES, loss, optimizer))


def test_a_refused_state_leaves_no_trace(nn):
    model, optimizer = net(nn), nn.Adam()
    model.step(X, CLASSES, nn.CrossEntropyLoss(), optimizer)
    kept = optimizer.state_dict()
    bad = optimizer.state_dict() | {"steps": 7}
    for values in (bad["mean"], bad["square"]):
        for value in values.values():
            value[...] = 3
    bad["square"] = {name: value for name, value in bad["square"].items() if name != "1.bias"}
    with pytest.raises(ValueError, match=r"square: expected .* missing '1\.bias'"):
        optimizer.load_state_dict(bad)
    found = optimizer.state_dict()
    assert found["steps"] == kept["steps"] == 1
    for slot in ("mean", "square"):
        for name, value in found[slot].items():
            same(value, kept[slot][name])
    assert np.isfinite(model.step(X, CLASSES, nn.CrossEntropyLoss(), optimizer))


def test_more_than_there_is_memory(nn):
    """Sizes that no machine here has the memory for: an error, and the interpreter goes on."""
    wide = nn.Sequential(nn.Linear(2**20, 2**20), nn.Linear(2**20, 2**20))
    many = np.broadcast_to(np.zeros(1), (2**50, 4))
    for call in (lambda: wide(np.zeros((1, 2**20))), lambda: net(nn)(many), lambda: net(nn).predict(many)):
        with pytest.raises(MemoryError, match=r"memory: expected to need at most 2\*\*40 bytes|Unable to allocate"):
            call()
    assert np.isfinite(net(nn)(X)).all()


def test_whole_floats_are_class_numbers(nn):
    assert net(nn).step(X, CLASSES.astype(float), nn.CrossEntropyLoss(), nn.SGD()) == net(nn).step(
        X, CLASSES, nn.CrossEntropyLoss(), nn.SGD()
    )


def test_the_ends_of_each_range_work(nn):
    for seed in (0, 2**64 - 1, np.uint64(3)):
        nn.Sequential(nn.Linear(np.int64(2), 3), seed=seed)
    for smoothing in (0, 1, np.float32(0.5)):
        nn.CrossEntropyLoss(label_smoothing=smoothing)
    nn.SGD(lr=0, momentum=0.999999, nesterov=True)
    nn.Adam(betas=(0, 0), eps=1e-300)
    nn.HuberLoss(delta=1e-300)
    nn.LeakyReLU(5)
    nn.CosineLR(0.1, 10, warmup_steps=9)
    model = net(nn)
    assert model.predict(X, batch_size=2**62).shape == (5, 3)
    model.run_epoch(X, CLASSES, nn.CrossEntropyLoss(), nn.SGD(), batch_size=2**62)


def test_shapes_in_errors_are_those_of_all_rows(nn):
    """fit looks at the first 256 rows before it trains, evaluate at 1,024 at a time; messages had these numbers."""
    model, x = nn.Sequential(nn.Linear(3, 4)), np.ones((3000, 3))
    named = r"t: expected class numbers \(3000,\) or probabilities \(3000, 4\), got \(3000, 1\)"
    validation = r"validation_data\[1\]: expected \(3000, 4\), got \(3000,\)"
    with pytest.raises(ValueError, match=named):
        model.fit(x, np.zeros((3000, 1)), loss=nn.CrossEntropyLoss(), optimizer=nn.SGD(), epochs=1)
    with pytest.raises(ValueError, match=named):
        model.evaluate(x, np.zeros((3000, 1)), nn.CrossEntropyLoss())
    with pytest.raises(ValueError, match=validation):
        model.fit(x, np.zeros((3000, 4)), loss=nn.MSELoss(), optimizer=nn.SGD(), epochs=1,
                  validation_data=(x, np.zeros(3000)))


def test_nan_in_x_is_data(nn):
    """x may hold NaN: it stays in its row."""
    x = np.array(X)
    x[2, 1] = np.nan
    y = net(nn)(x)
    assert np.isnan(y[2]).all()
    assert np.isfinite(y[[0, 1, 3, 4]]).all()


def test_rows_within_rounding_of_1(nn):
    t = np.array([[1 / 3, 1 / 3, 1 / 3], [0.1, 0.2, 0.7]], np.float32)
    nn.CrossEntropyLoss()(normal((2, 3)), t)
    nn.CrossEntropyLoss()(normal((2, 1000)), np.full((2, 1000), np.float32(1e-3)))


@pytest.mark.slow
def test_unpickled_nonsense_does_not_crash(fast):
    """A half-made object of the engine raises; it does not bring the interpreter down."""
    python(
        """
        import fastnn as nn, numpy as np
        for name in nn.__all__:
            cls = getattr(nn, name)
            if not isinstance(cls, type):
                continue
            thing = cls.__new__(cls)
            for method in dir(cls):
                for args in ((), (np.zeros((2, 3)),), (np.zeros((2, 3)), np.zeros((2, 3)))):
                    try:
                        getattr(thing, method)(*args)
                    except Exception:
                        pass
            del thing
        """
    )


def test_a_method_of_another_class_does_not_crash(fast):
    """A forgotten pair of brackets: nn.CrossEntropyLoss.forward(y, t) takes y for the loss. Hidden modules, too."""
    said = python(
        """
        import importlib, pkgutil
        import fastnn as nn, numpy as np

        x, tried = np.zeros((6, 3)), set()
        for found in pkgutil.iter_modules(nn.__path__):
            module = importlib.import_module(f"fastnn.{found.name}") if found.name != "__main__" else nn
            for cls in [each for each in vars(module).values() if isinstance(each, type)]:
                if cls.__module__.partition(".")[0] != "fastnn":
                    continue
                for name, method in vars(cls).items():
                    if type(method).__name__ not in ("method_descriptor", "cython_function_or_method"):
                        continue
                    for wrong in (x, cls, nn.Linear(3, 2) if not issubclass(nn.Linear, cls) else 3):
                        for rest in ((), (x,), (x, x, x)):
                            try:
                                method(wrong, *rest)
                            except TypeError:
                                tried.add((cls, name))
                            else:
                                raise SystemExit(f"{cls}.{name}: took {wrong!r}")
        for cls in (nn.CrossEntropyLoss, nn.Sequential, nn.Adam, nn.Conv2d, nn.Predictor, nn.Dropout):
            assert any(issubclass(cls, each) for each, _ in tried), cls
        print(len(tried))
        """
    )
    assert int(said) > 50


@pytest.mark.parametrize("shape", [None, "ab", (None,), (True,), (2.5,), (-3,), (0,)])
def test_a_shape_that_is_none(nn, shape):
    """Each kind of layer says so, whether it looks at the shape itself or hands it on."""
    layers = [nn.Linear(3, 2), nn.ReLU(), nn.Softmax(), nn.Flatten(), nn.Conv2d(1, 2, 3), nn.BatchNorm1d(3), nn.PReLU(),
              nn.LayerNorm(3), nn.Residual(nn.Tanh()), nn.Parallel(nn.ReLU(), nn.Tanh()), nn.Select(0, 2),
              nn.Embedding(5, 2), nn.Sequential(nn.Dropout(0.5)), nn.MaxPool2d(2), nn.GlobalAvgPool2d(),
              nn.GroupNorm(1, 3), nn.Flatten(2), nn.Unflatten(1, (2, -1))]
    for layer in layers:
        with pytest.raises((TypeError, ValueError), match=r"^shape: expected an integer >= 1, got "):
            layer.output_shape(shape)
