"""Each public function, called with something of another kind for each of its arguments, one at a time.

What comes is the function's result, where it takes such a thing, or an error that names the argument in the library's
own words: never a traceback out of the inside, such as an AttributeError of None.
"""

import importlib
import inspect
import re
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest

import fastnn_ref
from tests.pairwise import every
from tests.test_mirror import ABSTRACT, NOT_MADE, REQUIRED, plain

X = np.linspace(-1, 1, 24).reshape(6, 4)
T = np.array([0, 1, 2, 1, 0, 2])


class Call(NamedTuple):
    """A call that works: ``function(nn)`` of the arguments ``given(nn, folder)``."""

    function: Callable[[Any], Callable[..., Any]]
    given: Callable[[Any, Any], dict[str, Any]]


def model(nn):
    return nn.Sequential(nn.Linear(4, 5, activation="relu"), nn.BatchNorm1d(5), nn.Linear(5, 3), seed=0)


def training(nn, **more):
    return {"x": X, "t": T, "loss": nn.CrossEntropyLoss(), "optimizer": nn.SGD(), **more}


def without(given, *names):
    return {name: value for name, value in given.items() if name not in names}


def saved(nn, folder):
    nn.save_training(path := str(folder / "training.safetensors"), model(nn), nn.SGD(), nn.CrossEntropyLoss())
    return path


def state(nn):
    return nn.training_state(model(nn), nn.SGD())


def method(name):
    return lambda nn: getattr(model(nn), name)


def of(name):
    return lambda nn: getattr(nn, name)


CALLS = {
    "fit": Call(method("fit"), lambda nn, folder: training(
        nn, epochs=1, batch_size=3, validation_data=(X, T), validation_split=0.0, validation_rows="end", shuffle=True,
        metrics=["accuracy"], callbacks=[], sample_weight=None, mixup=0.0, resume=None, verbose=0, drop_last=False,
        steps_per_epoch=None, gradient_accumulation_steps=1, shards=1, comm=None)),
    "fit_lbfgs": Call(method("fit_lbfgs"), lambda nn, folder: without(training(
        nn, max_iter=1, tol=1e-5, history_size=3, batch_size=None, validation_data=(X, T), validation_split=0.0,
        validation_rows="end", metrics=["accuracy"], callbacks=[], sample_weight=None, verbose=0), "optimizer")),
    "evaluate": Call(method("evaluate"), lambda nn, folder: without(training(
        nn, metrics=("accuracy",), batch_size=4, sample_weight=None), "optimizer")),
    "step": Call(method("step"), lambda nn, folder: training(nn, sample_weight=None)),
    "run_epoch": Call(method("run_epoch"), lambda nn, folder: training(
        nn, batch_size=3, shuffle=True, progress=None, sample_weight=None, mixup=0.0, on_batch_begin=None,
        on_batch_end=None, resume=False, drop_last=False)),
    "predict": Call(method("predict"), lambda nn, folder: {"x": X, "batch_size": 4}),
    "predict_proba": Call(method("predict_proba"), lambda nn, folder: {"x": X, "batch_size": 4, "multilabel": False}),
    "predict_classes": Call(
        method("predict_classes"), lambda nn, folder: {"x": X, "batch_size": 4, "multilabel": False}),
    "outputs": Call(method("outputs"), lambda nn, folder: {"x": X, "batch_size": 4, "removed": {"0": [1]}}),
    "forward": Call(method("forward"), lambda nn, folder: {"x": X, "training": True}),
    "output_shape": Call(method("output_shape"), lambda nn, folder: {"shape": (4,)}),
    "min_batch_size": Call(method("min_batch_size"), lambda nn, folder: {"shape": (4,)}),
    "load_state_dict": Call(method("load_state_dict"), lambda nn, folder: {"state": model(nn).state_dict()}),
    "summary": Call(method("summary"), lambda nn, folder: {"input_shape": (4,)}),
    "save": Call(method("save"), lambda nn, folder: {"path": str(folder / "model.safetensors")}),
    "Predictor": Call(of("Predictor"), lambda nn, folder: {"model": model(nn)}),
    "loss": Call(lambda nn: nn.CrossEntropyLoss().forward,
                 lambda nn, folder: {"y": X, "t": T, "sample_weight": None}),
    "optimizer.step": Call(lambda nn: nn.Adam().step, lambda nn, folder: {"model": trained(nn)}),
    "optimizer.load_state_dict": Call(
        lambda nn: nn.Adam().load_state_dict, lambda nn, folder: {"state": nn.Adam().state_dict()}),
    "from_config": Call(of("from_config"), lambda nn, folder: {"record": model(nn).config(), "classes": {}}),
    "load": Call(of("load"), lambda nn, folder: {"path": saved(nn, folder), "classes": {}}),
    "load_training": Call(of("load_training"), lambda nn, folder: {"path": saved(nn, folder), "classes": {}}),
    "save_training": Call(of("save_training"), lambda nn, folder: {
        "path": str(folder / "run.safetensors"), "model": model(nn), "optimizer": nn.SGD(), "loss": None,
        "callbacks": ()}),
    "training_state": Call(
        of("training_state"), lambda nn, folder: {"model": model(nn), "optimizer": nn.SGD(), "callbacks": ()}),
    "load_training_state": Call(of("load_training_state"), lambda nn, folder: {
        "state": state(nn), "model": model(nn), "optimizer": nn.SGD(), "callbacks": ()}),
    "copy_parameters": Call(of("copy_parameters"), lambda nn, folder: {"source": model(nn), "target": model(nn)}),
    "find_lr": Call(of("find_lr"), lambda nn, folder: training(
        nn, model=model(nn), low=1e-6, high=1e-5, steps=2, batch_size=4)),
    "gradcheck": Call(of("gradcheck"), lambda nn, folder: without(training(
        nn, model=model(nn), tolerance=1.0, samples=1), "optimizer")),
    "clip_grad_norm": Call(of("clip_grad_norm"), lambda nn, folder: {"model": trained(nn), "max_norm": 1.0}),
    "clip_grad_value": Call(of("clip_grad_value"), lambda nn, folder: {"model": trained(nn), "clip_value": 1.0}),
    "stochastic_depth_rates": Call(
        of("stochastic_depth_rates"), lambda nn, folder: {"depth": 3, "p_last": 0.5}),
    "Metric": Call(of("Metric"), lambda nn, folder: {"name": "own", "function": lambda y, t: 0.0, "mode": "min"}),
    "TextNoise": Call(lambda nn: lambda texts, epoch: nn.TextNoise(swap=0.5)(texts, epoch),
                      lambda nn, folder: {"texts": ["one two"], "epoch": 0}),
}



def tool(path):
    """A function of the engine, imported when it is called."""
    module, _, name = path.rpartition(".")
    return lambda nn: getattr(importlib.import_module(module), name)


def written(nn, folder):
    from fastnn import onnx

    onnx.export(model(nn), path := str(folder / "model.onnx"))
    return path


def module():
    import torch

    return torch.nn.Sequential(torch.nn.Linear(4, 3))


def axes():
    from fastnn import plot

    return plot.new_figure(4, 3).add_subplot()


def torch_state(nn):
    from fastnn.torch import state_to_torch

    return state_to_torch(model(nn))


def recorder(nn):
    made = nn.UpdateRecorder()
    model(nn).fit(**training(nn), callbacks=[made])
    return made


def estimate(**given):
    from fastnn.sklearn import MLPClassifier

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        MLPClassifier(max_iter=1, **given).fit(X, T)


TOOLS = {
    "compare": Call(of("compare"), lambda nn, folder: training(nn, model=model(nn), steps=1)),
    "set_num_threads": Call(of("set_num_threads"), lambda nn, folder: {"n": nn.get_num_threads()}),
    "onnx.export": Call(tool("fastnn.onnx.export"), lambda nn, folder: {
        "model": model(nn), "path": str(folder / "model.onnx"), "input_shape": (4,), "dtype": "float32",
        "input_scaling": (0.0, 1.0), "metadata": {"a": "b"}}),
    "onnx.load": Call(tool("fastnn.onnx.load"), lambda nn, folder: {
        "path": written(nn, folder), "package": nn, "seed": 0}),
    "torch.to_torch": Call(tool("fastnn.torch.to_torch"), lambda nn, folder: {"model": model(nn)}),
    "torch.from_torch": Call(tool("fastnn.torch.from_torch"), lambda nn, folder: {
        "module": module(), "package": nn, "input_shape": (4,), "seed": 0, "dtype": None}),
    "torch.state_to_torch": Call(tool("fastnn.torch.state_to_torch"), lambda nn, folder: {"model": model(nn)}),
    "torch.load_torch_state": Call(tool("fastnn.torch.load_torch_state"), lambda nn, folder: {
        "model": model(nn), "state": torch_state(nn), "names": None}),
    **{f"metrics.{name}": Call(lambda nn, name=name: getattr(nn.metrics, name),
                               lambda nn, folder: {"y": np.eye(3)[T], "t": T, "threshold": None})
       for name in ("accuracy", "precision", "recall", "f1")},
    **{f"metrics.{name}": Call(lambda nn, name=name: getattr(nn.metrics, name),
                               lambda nn, folder: {"y": X[:, 0], "t": T % 2, "threshold": 0.0})
       for name in ("roc_auc", "average_precision")},
    "metrics.top_k_accuracy": Call(lambda nn: nn.metrics.top_k_accuracy,
                                   lambda nn, folder: {"y": np.eye(3)[T], "t": T, "k": 2}),
    "metrics.expected_calibration_error": Call(
        lambda nn: nn.metrics.expected_calibration_error,
        lambda nn, folder: {"y": np.eye(3)[T], "t": T, "threshold": None, "bins": 5}),
    **{f"metrics.{name}": Call(lambda nn, name=name: getattr(nn.metrics, name), lambda nn, folder: {"y": X, "t": X})
       for name in ("mae", "mse", "rmse", "r2")},
    "plot.activation": Call(tool("fastnn.plot.activation"), lambda nn, folder: {
        "kind": "relu", "low": -1.0, "high": 1.0, "ax": axes()}),
    "plot.confusion_matrix": Call(tool("fastnn.plot.confusion_matrix"), lambda nn, folder: {
        "y": np.eye(3)[T], "t": T, "threshold": None, "names": ["a", "b", "c"], "ax": axes()}),
    "plot.decision_boundary": Call(tool("fastnn.plot.decision_boundary"), lambda nn, folder: {
        "model": nn.Sequential(nn.Linear(2, 3)), "x": X[:, :2], "t": T, "threshold": 0.0, "resolution": 5,
        "margin": 0.1, "names": ["a", "b", "c"], "ax": axes()}),
    "plot.filters": Call(tool("fastnn.plot.filters"), lambda nn, folder: {
        "model": model(nn), "image_shape": (2, 2), "limit": 4, "ax": axes()}),
    "plot.gradient_norms": Call(tool("fastnn.plot.gradient_norms"), lambda nn, folder: {
        "recorder": recorder(nn), "ax": axes()}),
    "plot.update_ratios": Call(tool("fastnn.plot.update_ratios"), lambda nn, folder: {
        "recorder": recorder(nn), "ax": axes()}),
    "plot.learning_curves": Call(tool("fastnn.plot.learning_curves"), lambda nn, folder: {
        "history": {"loss": [2.0, 1.0]}, "name": "loss", "early_stopping": None, "ax": axes()}),
    "plot.lr_range": Call(tool("fastnn.plot.lr_range"), lambda nn, folder: {
        "found": nn.find_lr(model(nn), **training(nn, steps=2)), "ax": axes()}),
    "plot.measure_units": Call(tool("fastnn.plot.measure_units"), lambda nn, folder: {"model": model(nn), "x": X}),
    "plot.unit_activity": Call(tool("fastnn.plot.unit_activity"), lambda nn, folder: {
        "model": model(nn), "x": X, "ax": axes()}),
    "plot.mistakes": Call(tool("fastnn.plot.mistakes"), lambda nn, folder: {
        "images": X.reshape(6, 2, 2), "y": np.eye(3)[T[::-1]], "t": T, "names": ["a", "b", "c"], "rows": 1,
        "columns": 2, "figure": None}),
    "plot.predicted_values": Call(tool("fastnn.plot.predicted_values"), lambda nn, folder: {
        "y": X[:, 0], "t": X[:, 1], "name": "value", "ax": axes()}),
    "plot.reliability_diagram": Call(tool("fastnn.plot.reliability_diagram"), lambda nn, folder: {
        "y": np.eye(3)[T], "t": T, "threshold": None, "bins": 5, "ax": axes()}),
    "plot.weight_histograms": Call(tool("fastnn.plot.weight_histograms"), lambda nn, folder: {
        "model": model(nn), "bins": 5, "ax": axes()}),
    "plot.new_figure": Call(tool("fastnn.plot.new_figure"), lambda nn, folder: {"width": 4, "height": 3}),
    "plot.save": Call(tool("fastnn.plot.save"), lambda nn, folder: {
        "figure": axes().figure, "path": folder / "a.svg", "dpi": 50}),
    "plot.training_report": Call(tool("fastnn.plot.training_report"), lambda nn, folder: {
        "title": "a", "histories": {"a": {"loss": [2.0, 1.0], "accuracy": [0.1, 0.2]}}, "t": T,
        "probabilities": np.eye(3)[T], "images": X.reshape(6, 2, 2), "names": ["a", "b", "c"]}),
    "plot.regression_report": Call(tool("fastnn.plot.regression_report"), lambda nn, folder: {
        "title": "a", "histories": {"a": {"loss": [2.0, 1.0], "rmse": [2.0, 1.0], "r2": [0.1, 0.2]}},
        "t": X[:, 0], "y": X[:, 1], "name": "value"}),
    "MLPClassifier": Call(lambda nn: estimate, lambda nn, folder: {
        "loss": "log_loss", "activation": "relu", "hidden_layer_sizes": (3,), "solver": "adam", "callbacks": None,
        "dtype": None, "batch_size": 4}),
    "lab.find": Call(tool("fastnn.lab.find"), lambda nn, folder: {"what": "dropout"}),
}


GIVEN = {
    "lr": 0.1, "step_size": 2, "gamma": 0.5, "max_lr": 0.1, "total_steps": 10, "schedule": lambda epoch: 0.1,
    "name": "zeros", "function": lambda y, t: 0.0, "filename": "log.csv", "path": "run.safetensors",
}


def constructor(name):
    """The call of a class of the package, with what it was made with as arguments."""

    def given(nn, folder):
        if name in ("Residual", "StochasticDepth", "Upsample"):
            made = plain(nn, name)
            return {each.name: getattr(made, each.name) for each in inspect.signature(type(made)).parameters.values()}
        parameters = inspect.signature(getattr(nn, name)).parameters.values()
        known = {**REQUIRED, **GIVEN}
        return {each.name: known.get(each.name, None) if each.default is each.empty else each.default
                for each in parameters if each.kind is not each.VAR_POSITIONAL}

    return Call(of(name), given)


CLASSES = [name for name in fastnn_ref.__all__ if inspect.isclass(getattr(fastnn_ref, name))
           and name not in (*ABSTRACT, *NOT_MADE, "Sequential", "Predictor", "Parallel", "Training", "TensorBoard")]
HOOKS = ("progress", "on_batch_begin", "on_batch_end", "function")


def trained(nn):
    """A model that has gradients."""
    made = model(nn)
    loss = nn.CrossEntropyLoss()
    loss.forward(made.forward(X, training=True), T)
    made.backward(loss.backward())
    return made


def wrong(nn):
    """Things of other kinds; numbers and texts may be what is wanted."""
    return {"None": None, "3": 3, "x": "x", "list": [1, 2], "object": object(), "loss's class": nn.CrossEntropyLoss,
            "layer's class": nn.Linear, "loss": nn.MSELoss(), "layer": nn.Linear(4, 3)}


OWN_WORDS = re.compile(r"^[^\n]*(: (expected|unknown|missing|this)\b|: \w+ expects\b|metrics: |: an abstract class)")


def complaints(call, nn, folder):
    """What comes for each argument that is not in the library's words: none of it should be there."""
    found = []
    call.function(nn)(**call.given(nn, folder))
    for argument in call.given(nn, folder):
        for kind, value in wrong(nn).items():
            if argument in HOOKS and callable(value):
                continue                        # a function of the user's, whose errors are the user's
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                try:
                    call.function(nn)(**{**call.given(nn, folder), argument: value})
                except (ValueError, TypeError) as error:
                    if not OWN_WORDS.match(str(error)):
                        found.append(f"{argument}={kind}: {type(error).__name__}: {error}")
                except OSError:                 # there is no such file
                    pass
                except Exception as error:      # whatever else comes is what is looked for
                    found.append(f"{argument}={kind}: {type(error).__name__}: {error}")
    return found


@every(name=list(CALLS))
def test_functions(nn, name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)                 # where the path "x" is
    assert complaints(CALLS[name], nn, tmp_path) == []


EXTRAS = ("onnx", "torch")
SLOW = ("plot.training_report", "plot.regression_report", "plot.decision_boundary", "MLPClassifier")


@pytest.fixture
def no_figures_left():
    """Closes what pictures without an ``ax`` draw into."""
    from matplotlib import pyplot

    yield
    pyplot.close("all")


@pytest.mark.slow
@every(name=SLOW)
def test_slow_tools(fast, name, tmp_path, monkeypatch, no_figures_left):
    monkeypatch.chdir(tmp_path)
    assert complaints(TOOLS[name], fast, tmp_path) == []


@pytest.mark.slow
@pytest.mark.parametrize("extra", EXTRAS)
def test_tools_of_an_extra(fast, extra, tmp_path, monkeypatch):
    pytest.importorskip(extra, reason=f"{extra} is missing: fastnn.{extra} does NOT get wrong arguments")
    monkeypatch.chdir(tmp_path)
    names = [name for name in TOOLS if name.partition(".")[0] == extra]
    assert names
    for name in names:
        assert complaints(TOOLS[name], fast, tmp_path) == [], name


@every(name=[name for name in TOOLS if name not in SLOW and name.partition(".")[0] not in EXTRAS])
def test_tools(fast, name, tmp_path, monkeypatch, no_figures_left):
    monkeypatch.chdir(tmp_path)
    assert complaints(TOOLS[name], fast, tmp_path) == []


@every(name=CLASSES)
def test_constructors(nn, name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert complaints(constructor(name), nn, tmp_path) == []


def full_name(kind):
    """How messages call a class."""
    return f"{kind.__module__}.{kind.__qualname__}"


def losses(nn, value):
    """Each function that takes a loss, called with ``value`` in its place."""
    folder, given = "not used", without(training(nn), "loss")
    yield lambda: model(nn).evaluate(X, T, value)
    yield lambda: model(nn).fit(**given, loss=value)
    yield lambda: model(nn).fit_lbfgs(X, T, loss=value)
    yield lambda: model(nn).step(X, T, value, nn.SGD())
    yield lambda: model(nn).run_epoch(X, T, value, nn.SGD())
    yield lambda: nn.gradcheck(model(nn), X, T, value)
    yield lambda: nn.find_lr(model(nn), **given, loss=value)
    yield lambda: nn.save_training(folder, model(nn), nn.SGD(), value)
    if nn.__name__ == "fastnn":
        yield lambda: nn.compare(model(nn), X, T, value, nn.SGD())


def optimizers(nn, value):
    """Each function that takes an optimizer, called with ``value`` in its place."""
    folder, given = "not used", without(training(nn), "optimizer")
    yield lambda: model(nn).fit(**given, optimizer=value)
    yield lambda: model(nn).step(X, T, nn.CrossEntropyLoss(), value)
    yield lambda: model(nn).run_epoch(X, T, nn.CrossEntropyLoss(), value)
    yield lambda: nn.find_lr(model(nn), **given, optimizer=value)
    yield lambda: nn.save_training(folder, model(nn), value, nn.CrossEntropyLoss())
    yield lambda: nn.training_state(model(nn), value)
    yield lambda: nn.load_training_state(state(nn), model(nn), value)
    if nn.__name__ == "fastnn":
        yield lambda: nn.compare(model(nn), X, T, nn.CrossEntropyLoss(), value)


def test_a_class_in_place_of_an_object(nn):
    """One message, whichever function it is given to."""
    for takers, kind, argument in ((losses, nn.CrossEntropyLoss, "loss: expected a Loss"),
                                   (optimizers, nn.SGD, "optimizer: expected an Optimizer")):
        text = f"{argument} of {nn.__name__}, got the class {full_name(kind)}; pass an object: {kind.__name__}()"
        for call in takers(nn, kind):
            with pytest.raises(TypeError, match=f"^{re.escape(text)}$"):
                call()
        for call in takers(nn, kind.__name__.lower()):
            with pytest.raises(TypeError, match=f"^{argument} of {nn.__name__}, got str; pass an object: "):
                call()


def test_an_activation_of_the_other_package(nn, ref, fast):
    other = ref if nn is fast else fast
    text = f"^activation: expected an Activation of {nn.__name__}, got {other.__name__}[.]"
    with pytest.raises(TypeError, match=text):
        nn.Linear(4, 3, activation=other.ReLU())


def test_loss_and_optimizer_in_the_others_place(nn, tmp_path):
    path = tmp_path / "run.safetensors"
    with pytest.raises(TypeError, match=r"^optimizer: expected an Optimizer of \w+, got .*CrossEntropyLoss$"):
        nn.save_training(path, model(nn), nn.CrossEntropyLoss(), nn.SGD())
    assert not path.exists()


@every(record=[None, 3, [1, 2], "Linear", ()])
def test_no_record(nn, record):
    text = f"record: expected a dict, as config() returns it, got {record!r}"
    with pytest.raises(TypeError, match=f"^{re.escape(text)}$"):
        nn.from_config(record)


@every(classes=[[1], 3, "Scale", {"Scale": 3}])
def test_no_classes(nn, classes, tmp_path):
    path = saved(nn, tmp_path)
    for call in (lambda **given: nn.from_config(model(nn).config(), **given), lambda **given: nn.load(path, **given),
                 lambda **given: nn.load_training(path, **given)):
        with pytest.raises(TypeError, match=r"^classes: expected a dict from name to class, got "):
            call(classes=classes)


def test_no_model(nn):
    loss, optimizer = nn.CrossEntropyLoss(), nn.SGD()
    for call in (lambda value: nn.find_lr(value, X, T, loss=loss, optimizer=optimizer),
                 lambda value: nn.save_training("not used", value, optimizer, loss)):
        for value in (None, nn.Linear, nn.Linear(4, 3)):
            with pytest.raises(TypeError, match=r"^model: expected a model, got "):
                call(value)
    for call in (lambda value: nn.gradcheck(value, X, T, loss), lambda value: nn.training_state(value, optimizer),
                 lambda value: nn.load_training_state(state(nn), value, optimizer)):
        for value in (None, nn.Linear):
            with pytest.raises(TypeError, match=r"^model: expected a model or a layer, got "):
                call(value)
        with pytest.raises(TypeError, match=r"got .*Predictor; a predictor is a copy of a model"):
            call(model(nn).predictor())


def test_no_model_to_convert(nn, tmp_path):
    from fastnn import onnx, torch

    for call in (lambda value: onnx.export(value, tmp_path / "model.onnx"), torch.to_torch, torch.state_to_torch,
                 lambda value: torch.load_torch_state(value, {})):
        for value in (None, nn.Linear, "mlp"):
            with pytest.raises(TypeError, match=r"^model: expected a model or a layer, got "):
                call(value)
        with pytest.raises(TypeError, match=r"got .*Predictor; a predictor is a copy of a model"):
            call(model(nn).predictor())
