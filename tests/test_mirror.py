"""The two packages are one API: names, order, signatures, defaults and attributes; messages: see test_bad_input."""

import inspect
import itertools
import runpy
from pathlib import Path

import numpy as np
import pytest

import fastnn_ref
from tests.cases import one_of_each
from tests.pairwise import every

ROOT = Path(__file__).parents[1]
ONLY_FAST = ["compare", "get_num_threads", "set_num_threads", "show_config", "isa"]
ABSTRACT = ("Layer", "Activation", "Loss", "Penalty", "Optimizer")
ORDER = fastnn_ref.__all__


def test_every_class_has_cases(ref, fast):
    """What is written twice stands in tests/cases.py, which everything else goes through."""
    classes = [name for name in ORDER if inspect.isclass(getattr(ref, name))]
    twice = {name for name in classes if getattr(fast, name) is not getattr(ref, name)}
    assert set(one_of_each(ref)) == twice - {
        "Layer", "Activation", "Loss", "Penalty", "Optimizer", "Predictor"}


def test_the_table_of_contents():
    """It has each file of the reference, and type checkers have its names."""
    package = Path(fastnn_ref.__file__).parent
    files = {path.stem for path in package.glob("*.py")} - {"__init__"}
    assert {home for home in fastnn_ref.CONTENTS if "." not in home} == files
    text = runpy.run_path(str(ROOT / "tools" / "stub_of_contents.py"))["stub"]()
    assert (package / "__init__.pyi").read_text("utf-8") == text, "python tools/stub_of_contents.py writes it"


def test_modules_by_their_names(ref, fast):
    """Each module of the reference is an attribute, and of the engine, where it has the same one."""
    for name in (home for home in ref.CONTENTS if "." not in home):
        assert getattr(ref, name).__name__ == f"fastnn_ref.{name}"
        if name in ("optimizer", "winograd"):
            assert not hasattr(fast, name)
        else:
            assert getattr(fast, name).__name__ in (f"fastnn.{name}", f"fastnn_ref.{name}")


def test_completion(ref, fast):
    """dir() has the public names, before they are used, too."""
    assert dir(ref) == sorted(ref.__all__)
    assert dir(fast) == sorted([*fast.__all__, "__version__"])


NOT_MADE = ("init", "philox", "metrics", "StopTraining", "TrainingWarning")     # modules, and what is raised


def public(thing):
    return [name for name in dir(thing) if not name.startswith("_")]


def test_what_the_reference_alone_calls_cannot_be_overridden(ref, fast):
    """Else a user's class would do something else in the two packages. `saved` is a layer's own, and `add` a word that
    a model may have: the packages call it in constructors of layers only."""
    count = 0
    for name in ORDER:
        one, other = getattr(ref, name), getattr(fast, name)
        if one is other or not inspect.isclass(one) or not issubclass(one, (ref.Layer, ref.Loss, ref.Optimizer)):
            continue
        for alone in set(public(one)) - set(public(other)) - {"saved", "add"}:
            for base in (one, other):
                with pytest.raises(TypeError, match=f"{alone} runs in C in fastnn and cannot be overridden"):
                    type("Mine", (base,), {alone: None})
            count += 1
    assert count > 50


def signature(thing):
    """(name, kind, default) of each parameter but the first of a method; annotations may differ."""
    return [(p.name, p.kind, p.default) for p in inspect.signature(thing).parameters.values()
            if p.name not in ("self", "model")]


def test_names_in_reading_order(ref, fast):
    assert list(fast.__all__) == [*ref.__all__, *ONLY_FAST]
    assert [name for name in ref.__all__ if not hasattr(fast, name)] == []
    for first, second in itertools.pairwise("Layer Linear ReLU LayerNorm Dropout MSELoss L2 SGD Sequential".split()):
        assert ref.__all__.index(first) < ref.__all__.index(second)
    assert {"sys", "Any", "Mapping", "shared", "layer", "build"}.isdisjoint(ref.__all__)


@every(name=[n for n in ORDER if n not in ABSTRACT and n not in NOT_MADE])
def test_signature(ref, fast, name):
    assert signature(getattr(fast, name)) == signature(getattr(ref, name))


@every(name=[n for n in ORDER if n[0].isupper()])
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
    add adopt set_gradients random_words saved forward_pass backward_pass act act_backward expectation draw evaluated
    expectation_backward draws averages_weights
    prepare_targets value_and_gradient costs counts each kept weighed checked step_pass attach update check_owner
    step_size slots value gradient constrain
    """.split()
)
# Values for the arguments that have no default, by name.
REQUIRED = {
    **dict.fromkeys(("in_features", "out_features", "in_channels", "out_channels", "num_features", "stop"), 3),
    **dict.fromkeys(("normalized_shape", "kernel_size"), 2), **dict.fromkeys(("std", "p", "strength", "l1"), 0.5),
    "l2": 0.25, "limit": 2.0, "start": 1, "output_size": 2, "num_embeddings": 5, "embedding_dim": 2,
    "num_groups": 1, "num_channels": 2, "dim": 1, "unflattened_size": (2, 3),
}


def plain(nn, name):
    """An object of a class, with defaults wherever there are some."""
    if name == "Sequential":
        return nn.Sequential(nn.Linear(3, 2), dtype="float32")
    if name == "Predictor":
        return nn.Predictor(plain(nn, "Sequential"))
    if name == "Parallel":
        return nn.Parallel(nn.Linear(3, 2))
    if name == "Upsample":                          # one of two arguments is needed
        return nn.Upsample(scale_factor=2)
    required = [p.name for p in inspect.signature(getattr(nn, name)).parameters.values() if p.default is p.empty]
    return getattr(nn, name)(**{key: nn.ReLU() if key == "block" else REQUIRED[key] for key in required})


INSTANCES = [*one_of_each(fastnn_ref), "Predictor"]     # all that there are: ``test_every_class_has_cases``


@every(name=INSTANCES)
def test_attributes(ref, fast, name):
    """The engine offers what the reference offers, and nothing else."""
    assert set(public(plain(fast, name))) == set(public(plain(ref, name))) - INNER


@every(name=INSTANCES)
def test_defaults(ref, fast, name):
    """Not what a signature says but what a constructor does: made plainly, and with defaults spelled out."""
    arguments = [p for p in inspect.signature(getattr(ref, name)).parameters.values() if p.default is not p.empty]
    engine, book = plain(fast, name), plain(ref, name)
    for argument in arguments:
        if argument.name not in INNER and not isinstance(getattr(book, argument.name, book), np.ndarray):
            assert repr(getattr(engine, argument.name)) == repr(getattr(book, argument.name)), argument.name
    parameters = inspect.signature(getattr(ref, name)).parameters.values()
    if all(p.default is not p.empty for p in parameters) and name != "Upsample":
        assert repr(getattr(fast, name)(**{p.name: p.default for p in arguments})) == repr(engine)


@every(name=INSTANCES)
def test_repr(ref, fast, name):
    assert repr(plain(fast, name)) == repr(plain(ref, name))


def test_summary(ref, fast):
    def make(nn):
        return nn.Sequential(nn.Linear(64, 128, activation="relu"), nn.Sequential(nn.Linear(128, 10)), dtype="float64")

    assert make(fast).summary() == make(ref).summary()


def test_written_once(ref, fast):
    """What is not hot is the same object in both."""
    for name in ("init", "philox", "Schedule", "CosineLR", "ReduceLROnPlateau", "EarlyStopping", "gradcheck",
                 "TextNoise", "History", "Callback", "UpdateRecorder", "find_lr"):
        assert getattr(fast, name) is getattr(ref, name)


@every(name=[n for n in ORDER if n[0].isupper()])
def test_no_inheritance_between_the_two(ref, fast, name):
    a, b = getattr(ref, name), getattr(fast, name)
    if a is not b:
        assert not issubclass(b, a)
        assert not any(base.__module__.startswith("fastnn_ref") for base in b.__mro__)


def documents(package, own=False):
    """Public name, or name.method → docstring without the package's name; ``own``: what a class itself defines."""
    found = {}
    for name in ORDER:
        thing = getattr(package, name)
        if inspect.isclass(thing) or inspect.isroutine(thing):
            found[name] = inspect.getdoc(thing)
        for method in public(thing) if inspect.isclass(thing) else ():
            if callable(getattr(thing, method)) and (not own or method in vars(thing)):
                found[f"{name}.{method}"] = inspect.getdoc(getattr(thing, method))
    return {key: text and text.replace("fastnn_ref", "fastnn") for key, text in found.items()}


def test_docstrings(ref, fast):
    """They stand once, in the reference; the engine takes over each of what a class itself defines."""
    one, two = documents(ref), documents(fast, own=True)
    assert len(two) > 100
    different = [key for key in two if two[key] != one.get(key)]
    assert not different
