"""The lab: claims of textbooks about neural networks, each measured over paired seeds; it says PASS or FAIL.

``fastnn lab run dropout`` on the command line; here ``lab.run("dropout").plot()``. docs/lab.md says how to write an
experiment. It needs ``pip install "fastnn[lab]"``.

    experiment      what an experiment is: claim, trial, checks, mutations
    trial           one seed: data, training, pairing
    evidence        intervals, Holm's correction, verdicts
    result          the numbers of all seeds; files
    runner          seeds, threads, budget
    picture report words    what is shown, in English and Russian
    experiments     a file a concept
"""

from . import words
from .evidence import Finding
from .experiment import Check, Experiment, Mutation, Text, arms, check_mutation, curves
from .experiments import NAMES, find
from .report import save_html
from .result import Record, Result, compare, load, save
from .runner import run, run_all
from .trial import Data, Trained, Trial, distance

__all__ = [
    "NAMES", "Check", "Data", "Experiment", "Finding", "Mutation", "Record", "Result", "Text", "Trained", "Trial",
    "arms", "check_mutation", "compare", "curves", "distance", "find", "load", "run", "run_all", "save", "save_html",
    "words",
]
