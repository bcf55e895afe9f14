"""Random programs (tests/fuzz): what they found stays mended, some run each time, and they can find something."""

import subprocess
import sys
from pathlib import Path

import pytest

from fastnn_ref import Layer
from tests.fuzz import files
from tests.fuzz.corpus import CORPUS
from tests.fuzz.programs import kinds, write
from tests.fuzz.run import check, difference, reduce


@pytest.mark.parametrize("program", [program for _, program in CORPUS], ids=[what for what, _ in CORPUS])
def test_found_once(program):
    assert check(program) is None


@pytest.mark.slow
def test_random_programs():
    """In a process of its own: a crash there is a failed test here."""
    done = subprocess.run([sys.executable, "-m", "tests.fuzz", "--programs", "60", "--seconds", "120"],
                          capture_output=True, text=True, cwd=Path(__file__).parents[1])
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith("60 programs")


@pytest.mark.slow
def test_damaged_files(tmp_path):
    """Each format, some copies; a reader that answers with another exception is found."""
    ran, findings = files.check(0, tmp_path)
    assert ran > 500 and not findings
    bad = files.Format(b"abc", ".txt", lambda path: {}["key"])
    assert files.verdict(bad, b"abd", tmp_path) == "KeyError: 'key'"


def test_a_seed_is_a_program():
    assert write(7) == write(7) != write(8)


@pytest.mark.slow
def test_programs_reach_every_layer():
    """In models that the reference makes; of a layer whose arguments the generator does not know there are none."""
    models = [line for seed in range(1000) for line in write(seed) if line.startswith("model = nn.Sequential(")]
    assert not [name for name in kinds(Layer) if sum(f"nn.{name}(" in model for model in models) < 5]


def test_differences_are_seen():
    """Of types, shapes and numbers; not of numbers behind one that is not finite."""
    import numpy as np

    one, inf, two = ("value", np.array([1.0])), ("value", np.array([np.inf])), ("value", np.array([2.0]))
    lines = ["a", "b"]
    assert difference(lines, [one, one], [one, one]) is None
    assert difference(lines, [one, two], [one, one])
    assert difference(lines, [inf, two], [inf, one]) is None
    assert difference(lines, [("value", np.ones(2))], [one])
    assert difference(lines, [one], [("error", ("KeyError", ""))])
    freezes, raises = ["model[0].trainable = False"], [("error", ("ValueError", "Own.backward_pass: expected dx of …"))]
    assert difference(["a"], [one], raises) and difference(freezes, [one], raises) is None
    assert difference(freezes, raises, [one])
    assert difference(lines, [("error", ("TypeError", ""))], [("error", ("KeyError", ""))])


def test_a_finding_is_made_short():
    assert reduce(["a", "b", "c", "d"], lambda lines: "b" in lines and "d" in lines) == ["b", "d"]


@pytest.mark.slow
def test_a_crash_is_found(tmp_path):
    """A program that ends the process is printed; the hunt goes on behind it."""
    from tests.fuzz.__main__ import crashes

    assert "Segmentation fault" in crashes(["import ctypes; ctypes.string_at(0)"])
    assert not crashes(["1 + 1"])
