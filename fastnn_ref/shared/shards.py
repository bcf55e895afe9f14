"""Shards: a batch in parts that one process computes one after another, or several share, always to the same bits.

``fit(shards=S)`` cuts each batch into S parts. Each goes forward and backward by itself, from the same running
statistics s and with masks of its own, and leaves a vector:

    cᵢ·dWᵢ of each gradient,  nᵢ·(sᵢ − s) of each running statistic,  cᵢ·lossᵢ,  cᵢ
                                                        nᵢ: the rows of part i;  cᵢ: nᵢ, or the sum of their weights

S alone decides in which order vectors are added, by a binary tree: ((0 + 1) + (2 + 3)) + ((4 + 5) + (6 + 7)). The sums,
divided by Σcᵢ and Σnᵢ, are the loss, its gradients, and what the running statistics change by.

P ranks, a power of two, have S/P neighbouring parts each: a subtree. Then ranks that are 1, 2, 4, … places apart
exchange halves of what they have, and each adds one half, lower + upper; at the end each has a P-th of the sum, and the
way back brings the rest. So all ranks end with the bits that one process has, and take the same step: weights are never
sent, and of a vector, for any P, less than twice its bytes.

Source: Thakur, Rabenseifner and Gropp, "Optimization of collective communication operations in MPICH" (2005),
Rabenseifner's algorithm, here with neighbours first, which is what keeps the order of the tree.
"""

from __future__ import annotations

import functools
import itertools
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ParamSpec, TypeVar

import numpy as np
import numpy.typing as npt

from . import checks
from .access import walk
from .callbacks import StopTraining
from .checkpoint import check_same, record_of
from .class_weight import is_sum, of_part, total_weight
from .data import Data
from .network import check_enough_rows
from .state import load_training_state, training_state
from .terminal import Steady

Array = npt.NDArray[Any]
Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")

METHODS = ("Get_rank", "Get_size", "Sendrecv", "allreduce", "bcast", "Abort")       # what is used of a communicator
LOSS, WEIGHT, COUNT, STOPS, SHIFT = range(5)    # Σcᵢ·lossᵢ, Σcᵢ, the sum of sample weights, ranks that ask to stop,
NUMBERS = 5 * 8                                 # by how much a user's code has shifted the last part's steps; bytes
TIME_TO_READ = 1.0                          # seconds


class Sums:
    """Five numbers in float64 and a vector of a model's dtype, in one piece of memory: a message has both."""

    def __init__(self, size: int, dtype: np.dtype[Any]) -> None:
        self.memory = np.zeros(NUMBERS + size * dtype.itemsize, np.uint8)
        self.numbers, self.values = self.memory[:NUMBERS].view(np.float64), self.memory[NUMBERS:].view(dtype)

    def add(self, lower: Sums, upper: Sums, piece: slice = slice(None)) -> None:
        """Becomes lower + upper, in that piece of the memory."""
        first, last, _ = piece.indices(len(self.memory))
        own = slice(max(first - NUMBERS, 0) // self.values.itemsize, max(last - NUMBERS, 0) // self.values.itemsize)
        with np.errstate(over="ignore", invalid="ignore"):
            if first == 0 < last:
                np.add(lower.numbers, upper.numbers, out=self.numbers)
            np.add(lower.values[own], upper.values[own], out=self.values[own])


def copy(into: Iterable[Array], values: Iterable[Array]) -> None:
    """Copies arrays, which may be computed meanwhile, into others."""
    with np.errstate(over="ignore", invalid="ignore"):
        for each, value in zip(into, values, strict=True):
            each[...] = value


def views(vector: Array, arrays: Iterable[Array]) -> list[Array]:
    """A vector in pieces that have the shapes of these arrays, without a copy."""
    found, start = [], 0
    for each in arrays:
        found.append(vector[start:start + each.size].reshape(each.shape))
        start += each.size
    return found


def summed_arrays(model: Any) -> tuple[list[Array], list[Array]]:
    """The gradients of all layers that are not frozen, and all running statistics."""
    model.network.wake()
    specs = [(layer, spec) for _, layer in walk(model) for spec in layer.specs.values()]
    return ([layer.gradients[spec.name] for layer, spec in specs if spec.trainable and layer._trainable],
            [layer.values[spec.name] for layer, spec in specs if not spec.trainable])


class Shards:
    """The parts that batches are cut into, and the ranks that share them: this one and those that ``comm`` leads to."""

    def __init__(self, count: int = 1, comm: Any = None) -> None:
        self.count, self.comm = count, comm
        self.rank: int = 0 if comm is None else comm.Get_rank()
        self.size: int = 1 if comm is None else comm.Get_size()
        self.levels = (count // self.size).bit_length() - 1     # of this rank's tree: it has 2 ** levels parts
        self.sums: list[Sums] = []                              # made by make_room

    # ---- what ranks agree on ----

    def any(self, flag: bool) -> bool:
        """Is the flag True on any rank?"""
        return flag if self.size == 1 else bool(self.comm.allreduce(int(flag)) > 0)

    def shared(self, compute: Callable[[], Result]) -> Result:
        """What rank 0 computes, on every rank."""
        found = compute() if self.rank == 0 else None
        result: Any = found if self.size == 1 else self.comm.bcast(found)
        return result

    def same(self, name: str, value: Any) -> None:
        """ValueError where rank 0 has another value."""
        if self.size > 1:
            check_same(name, self.shared(lambda: value), value, "as on rank 0")

    def same_start(self, model: Any, optimizer: Any, loss: Any, arguments: Mapping[str, Any]) -> None:
        """Every rank begins with what rank 0 has; ValueError where it was made in another way."""
        if self.size == 1:
            return
        made = {"model": model, "optimizer": optimizer, "loss": loss}
        for name, value in {**{name: record_of(each) for name, each in made.items()}, **arguments}.items():
            self.same(name, value)
        state = self.shared(lambda: training_state(model, optimizer))
        if self.rank:
            load_training_state(state, model, optimizer)

    def stops(self, hook: Callable[..., object], *arguments: Any) -> bool:
        """Calls a hook, or what calls a user's layers: does it raise StopTraining? In one process it goes through."""
        try:
            hook(*arguments)
        except StopTraining:
            if self.size == 1:
                raise
            return True
        return False

    def agree(self, stop: bool) -> None:
        """StopTraining on all ranks, if one of them stops."""
        if self.any(stop):
            raise StopTraining

    def call(self, hook: Callable[..., object], *arguments: Any) -> None:
        """Calls a hook on every rank; StopTraining on all, if one raises it."""
        self.agree(self.stops(hook, *arguments))

    # ---- a step ----

    def start(self, rows: int, part: int) -> int:
        """The row where a part of a batch begins: parts are as equal as can be, the first ones are the longer ones.

        >>> from fastnn_ref.shared.shards import Shards
        >>> [Shards(4).start(10, part) for part in range(5)]
        [0, 3, 6, 8, 10]
        """
        return part * (rows // self.count) + min(part, rows % self.count)

    def step(self, model: Any, batch: Data, loss: Any, optimizer: Any, stop: bool) -> tuple[float, float, int, float]:
        """A step on a batch, with the other ranks; returns loss, penalty, rows, and the sum of their weights.

        Where one of the ranks asks to ``stop`` it is not taken, and StopTraining is raised on all.
        """
        rows, steps = len(batch.x), model.steps
        with batch.as_given():
            check_enough_rows(max(rows // self.count, 1), model.min_batch_size(batch.x.shape[1:]))
        gradients, statistics = summed_arrays(model)
        before = [each.copy() for each in statistics]
        self.make_room(sum(each.size for each in gradients + statistics), model.dtype)

        def compute(part: int, into: Sums) -> None:
            own = slice(self.start(rows, part), self.start(rows, part + 1))
            if own.start == own.stop:
                into.memory[...] = 0
                return
            x, t, weights = (None if each is None else each[own] for each in batch[:3])
            copy(statistics, before)
            model.steps = steps + part                      # masks do not depend on who computes the part
            with batch.as_given(), checks.Retold(row=lambda row: row + own.start):
                y = model.forward(x, training=True)
                value = loss.forward(y, t, weights)
                weight = total_weight(loss, t, y.shape, weights)
                own_loss, share = of_part(loss, weight)
                value = value if own_loss is loss else own_loss.forward(y, t, weights)
            model.backward(own_loss.backward() * share, input_gradient=False)
            changes = (len(y) * (each - old) for each, old in zip(statistics, before, strict=True))
            copy(views(into.values, gradients + statistics), itertools.chain(gradients, changes))
            shift = model.steps - (steps + part + 1) if part == self.count - 1 else 0
            into.numbers[:] = share * value, weight, len(y) if weights is None else weights.sum(), 0, shift

        try:
            stop = self.stops(self.add_parts, compute, self.rank * self.count // self.size, self.levels) or stop
            found = self.sums[self.levels]
            found.numbers[STOPS] = stop
            self.add_ranks(found, self.sums[-1])
        finally:                                            # until the step is sure, nothing has happened
            model.steps = steps
            copy(statistics, before)
        if found.numbers[STOPS]:
            raise StopTraining
        total = 1.0 if is_sum(loss) else float(found.numbers[WEIGHT]) or np.inf
        pieces = views(found.values, gradients + statistics)
        copy(gradients, (each / total for each in pieces[:len(gradients)]))
        penalty = model.penalty_value()
        model.steps = steps + self.count + int(found.numbers[SHIFT])
        try:
            optimizer.step(model)
        except BaseException:
            model.steps = steps
            raise
        copy(statistics, (old + each / rows for old, each in zip(before, pieces[len(gradients):], strict=True)))
        return float(found.numbers[LOSS]) / total, penalty, rows, float(found.numbers[COUNT])

    def make_room(self, size: int, dtype: np.dtype[Any]) -> None:
        """A sum for each level of this rank's tree, and one for what arrives."""
        if not self.sums or self.sums[0].values.shape != (size,) or self.sums[0].values.dtype != dtype:
            self.sums = [Sums(size, dtype) for _ in range(self.levels + 2)]

    def add_parts(self, compute: Callable[[int, Sums], None], first: int, level: int) -> None:
        """The sum of 2 ** ``level`` parts from ``first`` on, in ``sums[level]``; those below are written over."""
        if level == 0:
            compute(first, self.sums[0])
            return
        self.add_parts(compute, first, level - 1)
        self.sums[level], self.sums[level - 1] = self.sums[level - 1], self.sums[level]
        self.add_parts(compute, first + 2 ** (level - 1), level - 1)
        self.sums[level].add(self.sums[level], self.sums[level - 1])

    def add_ranks(self, own: Sums, other: Sums) -> None:
        """The sum over all ranks, in ``own``."""
        piece, way, distance = slice(0, len(own.memory)), [], 1
        while distance < self.size:
            partner = self.rank ^ distance
            middle = (piece.start + piece.stop) // 2 // NUMBERS * NUMBERS
            halves = slice(piece.start, middle), slice(middle, piece.stop)
            piece, theirs = halves if self.rank < partner else halves[::-1]
            self.exchange(partner, own.memory[theirs], other.memory[piece])
            own.add(*((own, other) if self.rank < partner else (other, own)), piece)
            way.append((partner, piece, theirs))
            distance *= 2
        for partner, piece, theirs in reversed(way):
            self.exchange(partner, own.memory[piece], own.memory[theirs])

    def exchange(self, partner: int, given: Array, taken: Array) -> None:
        """Sends bytes to another rank and receives others from it."""
        self.comm.Sendrecv(given, dest=partner, recvbuf=taken, source=partner)


def as_shard_count(name: str, value: object) -> int:
    """1, 2, 4, 8, …"""
    count = checks.as_integer(name, value, 1)
    if count & (count - 1):
        raise ValueError(f"{name}: expected a power of two (1, 2, 4, 8, ...), got {count}")
    return count


def check_batch_size(batch_size: int, shards: int) -> None:
    """Each part of a batch has a row."""
    if batch_size < shards:
        raise ValueError(f"batch_size: expected at least shards={shards} rows, got {batch_size}")


def as_shards(shards: object, comm: Any) -> Shards:
    """What ``fit(shards=…, comm=…)`` asks for."""
    count = as_shard_count("shards", shards)
    if comm is None:
        return Shards(count)
    if not all(callable(getattr(comm, name, None)) for name in METHODS):
        raise TypeError(f"comm: expected a communicator of mpi4py, such as MPI.COMM_WORLD, got {comm!r}")
    if count % (size := comm.Get_size()):
        raise ValueError(f"comm: expected a number of ranks that divides shards={count}, got {size}")
    return Shards(count, comm)


def abort(comm: Any, code: int) -> None:
    """Ends all ranks with this exit code, once mpiexec has had time to read what this one wrote: it drops the rest."""
    Steady().flush()
    time.sleep(TIME_TO_READ)
    comm.Abort(code)


def ending_the_job(function: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """``function(…, comm=…)``; an error on one of several ranks ends the job, as the others would wait for ever."""

    @functools.wraps(function)
    def run(*arguments: Arguments.args, **named: Arguments.kwargs) -> Result:
        try:
            return function(*arguments, **named)
        except BaseException:
            comm: Any = named.get("comm")
            if hasattr(comm, "Abort") and comm.Get_size() > 1:
                sys.excepthook(*sys.exc_info())
                abort(comm, 1)
            raise

    return run
