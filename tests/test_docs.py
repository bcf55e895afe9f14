"""Docstrings stand once, in the reference; the engine shows the same ones, with its own name in the examples."""

import inspect
import pydoc
import subprocess
import sys

import fastnn
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
