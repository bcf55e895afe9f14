"""The two packages are one API: names, order, signatures, defaults and attributes; messages: see test_bad_input."""

import inspect

import numpy as np
import pytest

from tests.cases import ACTIVATIONS, CASES, LOSSES, OPTIMIZERS, PENALTIES

ONLY_FAST = ["compare", "get_num_threads", "set_num_threads", "show_config", "isa"]
ABSTRACT = ("Layer", "Activation", "Loss", "Penalty", "Optimizer")
ORDER = """
Layer Linear Conv2d MaxPool2d AvgPool2d GlobalAvgPool2d Flatten
Activation Identity ReLU LeakyReLU ELU SiLU GELU Softplus Tanh Sigmoid Softmax LogSoftmax
BatchNorm1d BatchNorm2d LayerNorm Dropout DropConnect Residual StochasticDepth stochastic_depth_rates GaussianNoise
Augment Loss MSELoss L1Loss HuberLoss CrossEntropyLoss BCEWithLogitsLoss
Penalty L1 L2 ElasticNet MaxNorm clip_grad_norm clip_grad_value
Optimizer SGD RMSprop Adam AdamW Schedule ConstantLR StepLR ExponentialLR CosineLR OneCycleLR
ReduceLROnPlateau EarlyStopping Sequential History Callback CustomLayer CustomActivation CustomLoss CustomOptimizer
from_config training_state load_training_state gradcheck TextNoise init philox
""".split()


def test_every_class_has_cases(ref, fast):
    """What is written twice stands in tests/cases.py, which everything else goes through."""
    classes = [name for name in ORDER if inspect.isclass(getattr(ref, name))]
    twice = {name for name in classes if getattr(fast, name) is not getattr(ref, name)}
    listed = {type(case.make(ref)).__name__ for case in CASES} | {case.cls for case in LOSSES + OPTIMIZERS + PENALTIES}
    assert listed == twice - {"Layer", "Activation", "Loss", "Penalty", "Optimizer"}


def public(thing):
    return [name for name in dir(thing) if not name.startswith("_")]


def signature(thing):
    """(name, kind, default) of each parameter but the first of a method; annotations may differ."""
    return [(p.name, p.kind, p.default) for p in inspect.signature(thing).parameters.values()
            if p.name not in ("self", "model")]


def test_names_in_reading_order(ref, fast):
    assert list(ref.__all__) == ORDER
    assert [name for name in fast.__all__ if name not in ONLY_FAST] == ORDER
    assert set(fast.__all__) == {*ORDER, *ONLY_FAST}


@pytest.mark.parametrize("name", [n for n in ORDER if n not in ABSTRACT and n not in ("init", "philox")])
def test_signature(ref, fast, name):
    assert signature(getattr(fast, name)) == signature(getattr(ref, name))


@pytest.mark.parametrize("name", [n for n in ORDER if n[0].isupper()])
def test_class(ref, fast, name):
    a, b = getattr(ref, name), getattr(fast, name)
    assert b.__name__ == a.__name__ == name
    assert inspect.getdoc(b), f"fastnn.{name} has no docstring"
    for method in set(public(a)) - INNER:
        one, two = getattr(a, method), getattr(b, method, None)
        if inspect.isfunction(one):
            assert two is not None, f"fastnn.{name}.{method} is missing"
            assert signature(two) == signature(one), f"{name}.{method}"
            assert inspect.getdoc(two), f"fastnn.{name}.{method} has no docstring"


# What only the reference has: how its classes talk to each other; in the engine C functions and fields do that.
INNER = set(
    """
    add adopt set_gradients random_words saved forward_pass backward_pass act act_backward expectation draw
    prepare_targets value_and_gradient checked step_pass attach update step_size slots value gradient constrain
    """.split()
)
INSTANCES = {
    "Linear": lambda nn: nn.Linear(in_features=3, out_features=2),
    "Sequential": lambda nn: nn.Sequential(nn.Linear(3, 2), dtype="float32"),
    "BatchNorm1d": lambda nn: nn.BatchNorm1d(num_features=3),
    "BatchNorm2d": lambda nn: nn.BatchNorm2d(num_features=3),
    "LayerNorm": lambda nn: nn.LayerNorm(normalized_shape=3),
    "Dropout": lambda nn: nn.Dropout(),
    "Conv2d": lambda nn: nn.Conv2d(in_channels=3, out_channels=2, kernel_size=3),
    "MaxPool2d": lambda nn: nn.MaxPool2d(kernel_size=2),
    "AvgPool2d": lambda nn: nn.AvgPool2d(kernel_size=2),
    "GlobalAvgPool2d": lambda nn: nn.GlobalAvgPool2d(),
    "Flatten": lambda nn: nn.Flatten(),
    "GaussianNoise": lambda nn: nn.GaussianNoise(std=0.1),
    "Augment": lambda nn: nn.Augment(),
    "L1": lambda nn: nn.L1(strength=0.5),
    "L2": lambda nn: nn.L2(strength=0.5),
    "ElasticNet": lambda nn: nn.ElasticNet(l1=0.5, l2=0.25),
    "MaxNorm": lambda nn: nn.MaxNorm(limit=2.0),
    "DropConnect": lambda nn: nn.DropConnect(in_features=3, out_features=2),
    "Residual": lambda nn: nn.Residual(nn.ReLU()),
    "StochasticDepth": lambda nn: nn.StochasticDepth(nn.ReLU(), p=0.5),
    **{c.cls: lambda nn, cls=c.cls: getattr(nn, cls)() for c in ACTIVATIONS + LOSSES},
    **{cls: lambda nn, cls=cls: getattr(nn, cls)() for cls in ("SGD", "RMSprop", "Adam", "AdamW")},
}


@pytest.mark.parametrize("name", INSTANCES)
def test_attributes(ref, fast, name):
    """The engine offers what the reference offers, and nothing else."""
    assert set(public(INSTANCES[name](fast))) == set(public(INSTANCES[name](ref))) - INNER


@pytest.mark.parametrize("name", INSTANCES)
def test_defaults(ref, fast, name):
    """Not what a signature says but what a constructor does: made plainly, and with defaults spelled out."""
    arguments = [p for p in inspect.signature(getattr(ref, name)).parameters.values() if p.default is not p.empty]
    plain, book = INSTANCES[name](fast), INSTANCES[name](ref)
    for argument in arguments:
        if argument.name not in INNER and not isinstance(getattr(book, argument.name, book), np.ndarray):
            assert repr(getattr(plain, argument.name)) == repr(getattr(book, argument.name)), argument.name
    if all(p.default is not p.empty for p in inspect.signature(getattr(ref, name)).parameters.values()):
        assert repr(getattr(fast, name)(**{p.name: p.default for p in arguments})) == repr(plain)


@pytest.mark.parametrize("name", INSTANCES)
def test_repr(ref, fast, name):
    assert repr(INSTANCES[name](fast)) == repr(INSTANCES[name](ref))


def test_summary(ref, fast):
    def make(nn):
        return nn.Sequential(nn.Linear(64, 128, activation="relu"), nn.Sequential(nn.Linear(128, 10)), dtype="float64")

    assert make(fast).summary() == make(ref).summary()


def test_written_once(ref, fast):
    """What is not hot is the same object in both."""
    for name in ("init", "philox", "Schedule", "CosineLR", "ReduceLROnPlateau", "EarlyStopping", "gradcheck",
                 "TextNoise", "History", "Callback"):
        assert getattr(fast, name) is getattr(ref, name)


@pytest.mark.parametrize("name", [n for n in ORDER if n[0].isupper()])
def test_no_inheritance_between_the_two(ref, fast, name):
    a, b = getattr(ref, name), getattr(fast, name)
    if a is not b:
        assert not issubclass(b, a)
        assert not any(base.__module__.startswith("fastnn_ref") for base in b.__mro__)


def documents(package):
    """Public name, or name.method → docstring, the package's own name left out."""
    found = {}
    for name in ORDER:
        thing = getattr(package, name)
        if inspect.isclass(thing) or inspect.isroutine(thing):
            found[name] = inspect.getdoc(thing)
        for method in public(thing) if inspect.isclass(thing) else ():
            if callable(getattr(thing, method)) and method in vars(thing):
                found[f"{name}.{method}"] = inspect.getdoc(getattr(thing, method))
    return {key: text and text.replace("fastnn_ref", "fastnn") for key, text in found.items()}


def test_docstrings(ref, fast):
    """They stand once, in the reference; the engine takes over each of what a class itself defines."""
    one, two = documents(ref), documents(fast)
    assert len(two) > 100
    different = [key for key in two if two[key] != one.get(key)]
    assert not different
