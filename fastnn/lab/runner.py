"""Runs experiments: seeds, threads, the budget of time, more seeds where nothing is decided yet.

All arms of an experiment see one seed in one call, so they are paired; seeds run side by side in threads, as models
train without the GIL. Where several experiments run, every one has its first seed before any has its second, so that a
budget that runs out leaves all with about the same number.
"""

import importlib
import os
import platform
import shlex
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from itertools import islice, takewhile
from typing import Any

import numpy as np

from fastnn_ref.shared import checks
from fastnn_ref.shared.diagnosis import TrainingWarning

from .. import _kernels
from .._version import __version__
from ..extras import extra
from .evidence import INCONCLUSIVE, LOOKS
from .experiment import Experiment, Text, check_mutation, reserved
from .experiments import find, place
from .result import Record, Result, decide
from .trial import Trial, gap

with extra("lab"):
    import scipy
    import sklearn
    from threadpoolctl import threadpool_limits

PACKAGES = {"fast": "fastnn", "ref": "fastnn_ref"}
STEPS = 20                          # after which the two packages are compared
DIVERGED = 1e12                     # a training with numbers as large magnifies rounding without bound
FEWEST = 2                          # seeds that a budget of time does not take away
LAST = 2**63                        # a seed; the lab's own experiments also take 2³² more
AHEAD = 1024                        # trials that wait for a thread
SWITCH = 1e-4                       # seconds; Python's 5e-3 is as long as an epoch here
Progress = Callable[[int, int, str], object]


def run(what: str | os.PathLike[str] | Experiment, **options: Any) -> Result:
    """Runs one experiment: its name, the path of a file that makes one, or an ``Experiment``. Options: ``run_all``.

    >>> from fastnn import lab
    >>> print(lab.run("gradient_descent", seeds=4))                                 # doctest: +ELLIPSIS
    gradient_descent: PASS, 4 seeds...
    """
    return run_all([what], **options)[0]


def run_all(
    what: Sequence[str | os.PathLike[str] | Experiment] | None = None, *, seeds: int = 24, first_seed: int = 0,
    budget: float | None = None, backend: str = "fast", broken: str = "", predicted: float | None = None,
    threads: int | None = None, progress: Progress | None = None,
) -> list[Result]:
    """Runs experiments, by default all of them, and judges them together.

    Each runs with ``seeds`` >= 1 seeds from ``first_seed`` on; what is INCONCLUSIVE then runs with twice and at last
    four times as many. After ``budget`` seconds no further seed begins, beyond two each. ``backend``: ``"fast"``, or
    ``"ref"`` for fastnn_ref. ``broken``: the name of a mutation. ``predicted``: what the reader expects, for the
    report. ``threads``: by default one for each processor; numbers do not depend on them. ``progress(done, total,
    name)`` is called after each seed. ValueError for an unknown name or a number out of range.
    """
    experiments = [find(each) for each in (what or importlib.import_module("fastnn.lab.experiments").NAMES)]
    seeds = checks.as_integer("seeds", seeds, 1, LAST // 2**LOOKS)
    first_seed = checks.as_integer("first_seed", first_seed, 0, LAST - seeds * 2**(LOOKS - 1))
    nn = importlib.import_module(PACKAGES[checks.as_choice("backend", backend, tuple(PACKAGES))])
    deadline = np.inf if budget is None else time.monotonic() + checks.as_number("budget", budget, 0)
    workers = len(os.sched_getaffinity(0)) if threads is None else checks.as_integer("threads", threads, 1)
    for each in experiments if broken else ():
        check_mutation(each, broken)
    results = [Result(each, blank(each, backend, broken, predicted, seeds, first_seed)) for each in experiments]
    pending, done = results, 0
    with one_thread_each(), ThreadPoolExecutor(workers) as pool:
        try:
            for look in range(LOOKS):
                until = seeds * 2**look
                run_seeds(pool, nn, pending, range(first_seed + done, first_seed + until), deadline, progress)
                done = until
                decide(results)
                pending = [each for each in results if is_open(each) and len(each.record.seeds) == done]
                if not pending or done == 1:
                    break
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return results


def is_open(result: Result) -> bool:
    """Could more seeds change the verdict; or, with a bug put in, that of the check that should catch it?"""
    if not result.record.broken:
        return result.verdict == INCONCLUSIVE
    by = result.experiment.mutations[result.record.broken].caught_by
    return any(each.check.name == by and each.verdict == INCONCLUSIVE for each in result.findings)


@contextmanager
def one_thread_each() -> Iterator[None]:
    """Each seed's arithmetic takes one thread inside this block, and a training that diverges warns nobody.

    Threads also take turns more often: each waits for Python's lock whenever it comes back from a kernel.
    """
    before, interval = _kernels.get_num_threads(), sys.getswitchinterval()
    with warnings.catch_warnings(), threadpool_limits(1, "blas"):
        warnings.simplefilter("ignore", TrainingWarning)
        _kernels.set_num_threads(1)
        sys.setswitchinterval(SWITCH)
        try:
            yield
        finally:
            sys.setswitchinterval(interval)
            _kernels.set_num_threads(before)


def blank(experiment: Experiment, backend: str, broken: str, predicted: float | None, seeds: int, first: int) -> Record:
    """A record without numbers yet."""
    versions = {"fastnn": __version__, "python": platform.python_version(), "numpy": np.__version__,
                "scipy": scipy.__version__, "scikit-learn": sklearn.__version__, "instruction set": _kernels.isa()}
    command = ["fastnn", "lab", "run", experiment.source or experiment.name, "--seeds", str(seeds)]
    command += ["--first-seed", str(first)] if first else []
    command += ["--backend", backend] if backend != "fast" else []
    command += ["--break", broken] if broken else []
    setup = {name: value.en if isinstance(value, Text) else value for name, value in experiment.setup.items()}
    return Record(experiment.name, experiment.source, backend, broken, predicted, setup, versions,
                  shlex.join(command), file_hash=experiment.file_hash)


def run_seeds(pool: ThreadPoolExecutor, nn: Any, results: Sequence[Result], seeds: range, deadline: float,
              progress: Progress | None) -> None:
    """Runs these seeds of all results, and adds the numbers in the order of the seeds."""
    began, end = time.monotonic(), {id(result): 0.0 for result in results}
    before, number = len(results[0].record.seeds), 0

    def begins(seed: int) -> bool:
        return time.monotonic() <= deadline or before + seed - seeds.start < FEWEST

    def job(result: Result, seed: int) -> tuple[Result, int, Any]:
        if not begins(seed):
            return result, seed, None
        try:
            found = measure(result, nn, seed)
            if not before and seed == seeds.start and not result.record.broken:     # a bug is put in both
                compare_packages(result, seed)
        except Exception as error:
            error.add_note(f"in the experiment {result.experiment.name}, seed {seed}"
                           + place(error, result.experiment.source))
            raise
        end[id(result)] = time.monotonic() - began
        return result, seed, found

    waiting = ((result, seed) for seed in takewhile(begins, seeds) for result in results)
    while jobs := [pool.submit(job, *each) for each in islice(waiting, AHEAD)]:
        for future in as_completed(jobs):
            number += 1
            if progress is not None:
                progress(number, len(seeds) * len(results), future.result()[0].experiment.name)
        for future in jobs:
            result, seed, found = future.result()
            if found is not None:
                add(result.record, seed, *found)
    for result in results:
        result.record.wall += end[id(result)]


def new_trial(result: Result, nn: Any, seed: int, **more: Any) -> Trial:
    """A trial of this result's experiment, and mutation."""
    experiment = result.experiment
    return Trial(nn, seed, name=experiment.name, setup=result.record.setup, broken=result.record.broken, **more)


def as_numbers(name: str, found: object) -> dict[str, float]:
    """What a trial has returned, as plain numbers by their names."""
    if not isinstance(found, Mapping):
        raise TypeError(f"{name}: expected trial to return a dict of numbers by name, got {found!r}")
    for key, value in found.items():
        if not isinstance(key, str) or np.ndim(value) or np.asarray(value).dtype.kind not in "biuf":
            raise TypeError(f"{name}: expected trial to return a number by each name, got {key!r}: {value!r}")
    return {key: float(value) for key, value in found.items()}


def measure(result: Result, nn: Any, seed: int) -> tuple[Trial, dict[str, float], float]:
    """(trial, its numbers, the seconds of CPU) of one seed."""
    experiment, trial, began = result.experiment, new_trial(result, nn, seed), time.thread_time()
    with np.errstate(over="ignore", invalid="ignore"):          # a training that diverges is a result, too
        values = as_numbers(experiment.name, experiment.trial(trial))
        took = time.thread_time() - began
        if taken := sorted(values.keys() & reserved(experiment)):
            raise ValueError(f"{experiment.name}: expected trial to return other names than {', '.join(taken)}, which "
                             "the lab gives to numbers of its own")
        if experiment.control:
            values["control"] = float(experiment.control(new_trial(result, nn, seed)))
    needed = {name for check in experiment.checks for name in check.names}
    if missing := sorted(needed - values.keys()):
        raise ValueError(f"{experiment.name}: expected trial to return {', '.join(missing)}, got {', '.join(values)}")
    trial.models.clear()                                        # of many seeds they would fill the memory
    trial.initial.clear()
    return trial, values, took


def add(record: Record, seed: int, trial: Trial, values: dict[str, float], took: float) -> None:
    """Adds what one seed gave."""
    record.seeds.append(seed)
    record.data = trial.hash_after(record.data)
    pairs: list[tuple[dict[str, list[Any]], Mapping[str, Any]]] = [
        (record.values, values), (record.cpu, trial.cpu | {"": took}), (record.curves, trial.curves)]
    for kept, new in pairs:
        for name, value in new.items():
            kept.setdefault(name, []).append(value)


def compare_packages(result: Result, seed: int) -> None:
    """Trains every arm for 20 steps in both packages, in float64: how far weights and numbers are apart, and how long
    the reference takes for what the engine does in a second. A measured seed has paid for what is made once."""
    seconds, found = [], []
    for package in ("fastnn", "fastnn_ref"):
        trial = new_trial(result, importlib.import_module(package), seed, dtype="float64", steps=STEPS)
        began = time.thread_time()
        with np.errstate(over="ignore", invalid="ignore"):
            values = as_numbers(result.experiment.name, result.experiment.trial(trial))
        seconds.append(time.thread_time() - began)
        arrays = {arm: model.state_dict() for arm, model in trial.models.items()}
        found.append(arrays | {"": {name: np.array(value) for name, value in values.items()
                                    if name not in result.experiment.unequal}})
    fast, ref = found
    compared = [arm for arm in fast
                if not arm or min(max(map(size, package[arm].values())) for package in found) < DIVERGED]
    result.record.agreement = max(gap(value, ref[arm][name]) / max(1.0, size(value))
                                  for arm in compared for name, value in fast[arm].items())
    result.record.reference_ratio = seconds[1] / seconds[0]


def size(values: Any) -> float:
    """The largest absolute value; infinite if one is NaN."""
    return float(np.nan_to_num(np.abs(values), nan=np.inf).max(initial=0))
