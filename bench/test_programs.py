"""Every program of ``bench.programs`` runs on small data, in either package, and learns as much as its peer does."""

import importlib
import os
from typing import Any

import pytest

from bench.peers import use_threads
from bench.programs.table import PROGRAMS, Program

LEAST = {"accuracy": 0.1, "mean accuracy": 0.05, "ROC AUC": 0.05, "average precision": 0.15, "R²": 0.15}     # short of
MOST = {"squared error": 1.3, "cross-entropy": 1.1}                                                         # times
NEAR = 0.25         # the circle, whose radius is 1: how far a GAN is depends on its seed more than on anything else


@pytest.mark.filterwarnings("ignore")               # other libraries' warnings, and that nothing has converged
@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.name)
def test_program(program: Program) -> None:
    if program.mnist and "FASTNN_DATA" not in os.environ:
        pytest.skip("FASTNN_DATA, where MNIST is, is not set")
    use_threads(1)
    rows, epochs = program.sizes["test"]
    scores: dict[str, Any] = {}
    for name, side in program.candidates().items():
        if "torch" in name:
            importlib.import_module("torch").manual_seed(0)
        scores[name] = program.value(side(program.data(rows), epochs))
    own = scores.pop("fastnn")
    for theirs in scores.values():
        if program.score == "distance":
            assert own < NEAR
        elif program.score in MOST:
            assert own < MOST[program.score] * theirs
        else:
            assert own > theirs - LEAST[program.score]
