"""Who takes part. Each module lists, for each kind of work, its candidates: functions that build the work to be timed.

A builder returns a function without arguments, or None where its library has no such thing. What the function returns
is compared with the other candidates' results before anything is timed.
"""

import functools
import importlib.util
from collections.abc import Callable
from typing import Any

from bench.nets import Work, package

Build = Callable[..., Work | None]
PEERS = ("numpy", "torch", "jax", "sklearn", "onnxruntime")
EVERY_CORE = {"jax"}                # its threads cannot be limited within a process
OPTIONAL = {"torch.compile"}        # may fail (no C++ compiler): it is left out then, with a warning


@functools.cache
def installed(name: str) -> bool:
    """Can this library be imported here?"""
    return importlib.util.find_spec(name) is not None


@functools.cache
def builders(kind: str) -> dict[str, Build]:
    """The candidates for a kind of work by name; of a library that is missing there are none."""
    found: dict[str, Build] = dict(package("bench.peers.ours").CANDIDATES[kind])
    for name in filter(installed, PEERS):
        found |= package(f"bench.peers.{name}").CANDIDATES.get(kind, {})
    return found


@functools.cache
def pools() -> Any:
    """The thread pools of all libraries; they are found once all of them are loaded."""
    for name in filter(installed, ("torch", "scipy.linalg", "sklearn.neural_network")):
        package(name)
    return package("threadpoolctl").ThreadpoolController()


def use_threads(n: int) -> None:
    """The same number of threads for every library but those in EVERY_CORE."""
    pools().limit(limits=n)
    package("fastnn").set_num_threads(n)
    if installed("torch"):
        package("torch").set_num_threads(n)
