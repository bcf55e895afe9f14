"""Docstrings stand once, in the reference; the engine shows the same ones, with its own name in the examples."""

import doctest
import importlib
import inspect
import pydoc
import subprocess
import sys

import pytest

import fastnn
from fastnn_ref.shared.parameter import Parameter
from tests.check import python
from tests.pairwise import every

PUBLIC = [name for name in fastnn.__all__ if name not in ("init", "philox")]


def parts(kind):
    """(name, what) of the public methods and properties that a class of the engine defines."""
    return [(name, inspect.getattr_static(kind, name)) for name in dir(kind) if name[0] != "_"]


@every(name=PUBLIC)
def test_help_is_complete(fast, name):
    thing = getattr(fast, name)
    text = inspect.getdoc(thing)
    assert text
    assert "import fastnn_ref" not in text or thing.__module__.startswith(("fastnn_ref.shared", "fastnn_ref.init"))
    assert text.splitlines()[0] in pydoc.render_doc(thing, renderer=pydoc.plaintext)
    if inspect.isclass(thing) and not issubclass(thing, Exception):
        inspect.signature(thing)
        if thing.__module__.startswith("fastnn."):
            missing = [part for part, what in parts(thing)
                       if (inspect.isroutine(what) or isinstance(what, property)) and not inspect.getdoc(what)]
            assert not missing


@every(name=PUBLIC)
def test_arrays_of_a_layer_say_what_they_are(fast, ref, name):
    """Also those that Conv2d and ConvTranspose2d have from a class that the reference does not have."""
    if inspect.isclass(thing := getattr(fast, name)):
        for part, what in parts(thing):
            if type(what) is Parameter:
                assert what.__doc__[0].isalpha()
                assert what.__doc__ == inspect.getattr_static(getattr(ref, name), part).__doc__


def with_examples(package):
    """(name, docstring) of what a package shows, with an example; of a module in it, of what is defined there."""
    seen = set()
    for name in getattr(package, "__all__", [name for name in dir(package) if name[0] != "_"]):
        thing = getattr(package, name)
        found = [(name, thing)]
        if inspect.ismodule(thing):
            found += [(f"{name}.{key}", each) for key, each in vars(thing).items()
                      if key[0] != "_" and getattr(each, "__module__", None) == thing.__name__]
        for called, each in found:
            members = [(part, what) for part, what in parts(each)] if inspect.isclass(each) else []
            for part, what in [("", each), *members]:
                text = inspect.getdoc(what) or ""
                if ">>>" in text and text not in seen:
                    seen.add(text)
                    yield f"{called}.{part}".rstrip("."), text


@every(package=["fastnn", "fastnn_ref", "fastnn.datasets", "fastnn.lab", "fastnn.onnx", "fastnn.plot", "fastnn.sklearn",
                "fastnn.torch"])
def test_examples_run_as_they_stand(package):
    """What help shows can be typed in: it imports what it uses, and names no function that a user calls otherwise."""
    for needed in {"fastnn.onnx": ["onnx"], "fastnn.torch": ["torch"]}.get(package, []):
        pytest.importorskip(needed, reason=f"{needed} is missing: its examples do NOT run")
    failures = []
    for name, text in with_examples(importlib.import_module(package)):
        example = doctest.DocTestParser().get_doctest(text, {}, name, None, 0)
        doctest.DocTestRunner(optionflags=doctest.ELLIPSIS, verbose=False).run(example, out=failures.append)
    assert not failures, "".join(failures)


@every(name=PUBLIC)
def test_it_is_that_of_the_reference(fast, ref, name):
    if hasattr(ref, name):
        wanted = inspect.getdoc(getattr(ref, name)).replace("import fastnn_ref", "import fastnn").replace(
            "numpy as np, fastnn_ref", "numpy as np, fastnn")
        assert inspect.getdoc(getattr(fast, name)).replace("import fastnn_ref", "import fastnn").replace(
            "numpy as np, fastnn_ref", "numpy as np, fastnn") == wanted


def test_an_instance_shows_it_too(fast):
    assert inspect.getdoc(fast.Linear(2, 3)) == inspect.getdoc(fast.Linear)
    assert "seed" in inspect.getdoc(fast.Sequential)


def test_without_docstrings(fast):
    """-OO drops them: signatures stay, nothing breaks."""
    code = "import inspect, fastnn as nn; nn.Sequential(nn.Linear(2, 3)); print(inspect.signature(nn.Linear))"
    found = subprocess.run([sys.executable, "-OO", "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert found.stdout.startswith("(in_features, out_features, activation=None, bias=True, *, init=None)")


def test_it_costs_little(fast):
    """Less than 3 ms of the import."""
    took = python("""
        import sys, time, numpy, fastnn_ref, fastnn
        from fastnn.docs import attach
        times = []
        for _ in range(5):
            start = time.perf_counter()
            attach(fastnn, fastnn_ref)
            times.append(time.perf_counter() - start)
        print(min(times))
    """)
    assert float(took) < 3e-3


def test_modules_that_appear_meanwhile():
    """Another thread may import while docstrings are attached; here the garbage collector adds a module."""
    found = python("""
import gc, sys
import fastnn, fastnn_ref
kept, grown = [(i, i) for i in range(10000)], []        # no tuple of two is left over to be used again

def grow(phase, info):
    grown.append(phase)
    sys.modules[f"grown_{len(grown)}"] = sys
    if len(grown) > 200:
        gc.set_threshold(700)

gc.collect()
gc.freeze()
gc.callbacks.append(grow)
gc.set_threshold(1)
try:
    fastnn.docs.attach("fastnn", fastnn_ref)
finally:
    gc.callbacks.clear()
    gc.set_threshold(700)
print("attached")
""")
    assert found == "attached\n"
