"""Batches that do not lie in one array in memory: a user's iterator, a file's rows, and parts of one larger batch.

``run_epoch`` takes arrays. Here each batch is fetched, checked and converted by itself, and ``train`` makes an epoch of
steps of them, with the counters of ``run_epoch``, so that ``fit(resume=…)`` goes on inside an epoch, too. No pass is
under way while a batch is fetched: an iterator is asked with the GIL, in the thread that trains. Threads of its own
never meet a kernel at work on the model: ``fit`` keeps it for the thread that trains, between the steps, too, and what
another one wants of it is a RuntimeError there.

Several batches may make one step (gradient accumulation): each goes forward and backward by itself, and the gradients
are summed, each with its part of the weights:

    dW = Σ cᵢ·dWᵢ / Σ cᵢ        cᵢ: the rows of part i, or the sum of their weights

That is the gradient of the larger batch. Batch normalization normalises each part by itself. Σ cᵢ comes before the
first gradient. So targets of arrays are read twice a step, and of x one part at a time is in memory; the parts of an
iterator, which gives each but once, and perhaps in the same memory, are copied. ``shards.py`` has another way to sum
parts, which does not depend on how many processes share them.
"""

from __future__ import annotations

import itertools
import math
import operator
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import philox
from . import checks, diagnosis
from .class_weight import is_sum, means_of_batches, of_part, total_weight, with_batch
from .data import Data, FileRows, check_inputs, is_mapped, prepare_data
from .network import check_enough_rows, check_resume, rows_used
from .prediction import slices
from .shards import Shards, copy, summed_arrays
from .targets import check_signs_agree

Array = npt.NDArray[Any]

BLOCK = 64          # batches in a block that is shuffled in itself
CHECKED = 2**18     # outputs whose targets are looked at together
SHUFFLE_BLOCKS = 1  # streams of random numbers: the order of blocks, and from the next one on, that inside each


# ---- where batches come from ----


def order_by_blocks(n: int, block: int, seed: int, epoch: int) -> Iterator[Array]:
    """The rows 0 … n − 1, block by block, in another order of blocks and of each block's rows in every epoch.

    >>> import numpy as np
    >>> from fastnn_ref.shared.batches import order_by_blocks
    >>> np.concatenate(list(order_by_blocks(7, 3, seed=0, epoch=0))).tolist()
    [6, 4, 5, 3, 1, 0, 2]
    """
    blocks = -(-n // block)
    for number in philox.permutation(blocks, seed, epoch, philox.stream(philox.SHUFFLE, SHUFFLE_BLOCKS)).tolist():
        start = number * block
        stream = philox.stream(philox.SHUFFLE, SHUFFLE_BLOCKS + 1 + number)
        yield start + philox.permutation(min(block, n - start), seed, epoch, stream)


def in_batches(orders: Iterator[Array], size: int) -> Iterator[Array]:
    """The same rows in the same order, ``size`` at a time."""
    left = np.empty(0, np.int64)
    for order in orders:
        left = np.concatenate([left, order])
        while len(left) >= size:
            yield left[:size]
            left = left[size:]
    if len(left):
        yield left


class RowBatches:
    """Batches of rows of arrays, which may lie in a file; ``shuffle`` is True, False or "blocks".

    With ``in_parts``, and where several batches make one step (``accumulate``), what a batch holds of the arrays is
    taken, or read, when a part of it is asked for.
    """

    def __init__(self, data: Data, batch_size: int, shuffle: bool | str, drop_last: bool, accumulate: int,
                 in_parts: bool = False) -> None:
        self.data, self.size, self.shuffle, self.drop_last, self.in_parts = (
            data, batch_size, shuffle, drop_last, in_parts or accumulate > 1)
        self.in_memory = not (self.in_parts or shuffle == "blocks" or is_mapped(data.x)
                              or is_mapped(data.t))
        self.rows = rows_used(len(data.x), batch_size, drop_last)
        self.count = -(-self.rows // batch_size)

    def order(self, seed: int, epoch: int) -> Iterator[Array]:
        """The rows of each batch of an epoch."""
        n = len(self.data.x)
        if self.shuffle == "blocks":
            return in_batches(order_by_blocks(n, BLOCK * self.size, seed, epoch), self.size)
        return in_batches(iter([philox.permutation(n, seed, epoch) if self.shuffle else np.arange(n)]), self.size)

    def epoch(self, model: Any, skip: int) -> Iterator[Data]:
        """The batches of the model's next epoch, without the first ``skip``."""
        data = self.data
        for rows in itertools.islice(self.order(model.network.seeds.order, model.epochs), skip, self.count):
            take: Any = FileRows if self.in_parts else operator.getitem
            yield data._replace(x=take(data.x, rows), t=take(data.t, rows),
                                weights=None if data.weights is None else data.weights[rows],
                                rows=rows if data.rows is None else data.rows[rows])


def number_of(batches: Any) -> int:
    """How many batches an iterable of the user's says that it has."""
    kind = type(batches).__name__
    try:
        count = len(batches)
    except (TypeError, NotImplementedError) as error:   # a DataLoader asks its IterableDataset, which has none
        raise ValueError("steps_per_epoch: expected the number of batches in an epoch, which x, a "
                         f"{kind} without len(), does not tell; got None") from error
    if not count:
        raise ValueError(f"x: expected at least one batch (x, t), got a {kind} of none")
    return count


class UserBatches:
    """Batches (x, t) or (x, t, sample_weight) that an iterable of the user's yields, ``count`` in each epoch.

    What can be iterated again begins anew in each epoch; an iterator goes on where it stands.
    """

    rows = 0                        # of the epoch so far

    def __init__(self, batches: Any, steps_per_epoch: object) -> None:
        if isinstance(batches, np.ndarray) or not hasattr(batches, "__iter__"):
            raise TypeError("t: expected targets, one for each row of x; only an iterable of batches (x, t) needs none")
        count = number_of(batches) if steps_per_epoch is None else steps_per_epoch
        self.count = checks.as_integer("steps_per_epoch", count, 1)
        self.batches = batches
        self.pending: Iterator[Any] | None = None

    def first(self, model: Any) -> Data:
        """The first batch, which the first epoch will get."""
        running = iter(self.batches)
        batch = self.fetch(running, 0)
        self.pending = itertools.chain([batch], running)
        return self.checked(model, batch, 0)

    def fetch(self, running: Iterator[Any], index: int) -> Any:
        """The next batch; ValueError where there is none."""
        for batch in running:
            return batch
        raise ValueError(f"x: expected {self.count} batches in an epoch, got {index}: its iterator has ended")

    def checked(self, model: Any, batch: Any, index: int) -> Data:
        """A batch as data that fit the model."""
        if not isinstance(batch, tuple | list) or len(batch) not in (2, 3):
            raise TypeError(f"batch {index}: expected (x, t) or (x, t, sample_weight) from the iterator, got "
                            f"{type(batch).__name__}{f' of {len(batch)}' if isinstance(batch, tuple | list) else ''}")
        x, t, weights = (*batch, None)[:3]
        names = (f"batch {index}[0]", f"batch {index}[1]", f"batch {index}[2]")
        data = prepare_data(model, x, t, weights, names)
        check_inputs(model, data)
        return data

    def epoch(self, model: Any, skip: int) -> Iterator[Data]:
        """The batches of the next epoch; the first ``skip`` are fetched, and left out but for their ``rows``."""
        running, self.pending, self.rows = self.pending or iter(self.batches), None, 0
        for index in range(self.count):
            data = self.checked(model, self.fetch(running, index), index)
            self.rows += len(data.x)
            if index >= skip:
                yield data


# ---- steps ----


def parts_of_step(batches: Iterator[Data], accumulate: int) -> list[Data]:
    """The next batches, which make one step. The user's iterator may fill the same arrays anew for each."""
    if accumulate == 1:
        return [next(batches)]
    return [part._replace(x=kept(part.x), t=kept(part.t), weights=kept(part.weights))
            for part in itertools.islice(batches, min(accumulate, sys.maxsize))]


def kept(array: Any) -> Any:
    """What stays as it is while others are fetched: rows that are still to be read, or a copy."""
    return array if array is None or isinstance(array, FileRows) else np.array(array)


def check_targets(model: Any, data: Data, loss: Any) -> None:
    """What the loss says of targets, before anything changes."""
    outputs = model.output_shape(data.x.shape[1:])
    for rows in slices(len(data.x), max(1, CHECKED // math.prod(outputs))):
        with data.part(rows):
            loss._checked_targets(data.t[rows], (rows.stop - rows.start, *outputs), model.dtype)
    check_signs_agree(loss, data.t)


def summed(
    model: Any, parts: Iterable[Data], counts: Sequence[float], loss: Any,
) -> tuple[float, dict[str, Array]]:
    """The loss of all parts together, and its gradients, one part at a time; ``counts`` has their ``total_weight``."""
    total = 1.0 if is_sum(loss) else sum(counts)
    value, sums = 0.0, {name: np.zeros_like(gradient) for name, gradient in model.grads.items()}
    for part, count in zip(parts, counts, strict=True):
        own, count = of_part(loss, count)
        share = count / total if count and total else 0.0
        y = model.forward(part.x[:], training=True)             # nothing else keeps what is read here
        value += share * own.forward(y, part.t[:], part.weights)
        model.backward(own.backward() * share, input_gradient=False)
        for name, gradient in model.grads.items():
            sums[name] += gradient
    return value, sums


def part_weights(model: Any, parts: Iterable[Data], loss: Any) -> list[float]:
    """The ``total_weight`` of each part."""
    return [total_weight(loss, part.t, (len(part.x), *model.output_shape(part.x.shape[1:])), part.weights)
            for part in parts]


def accumulated_step(model: Any, parts: Sequence[Data], loss: Any, optimizer: Any) -> tuple[float, float]:
    """A step on the rows of all parts together; returns loss and penalty."""
    counts = []
    for part in parts:
        targets = part._replace(t=part.t[:])
        with part.as_given():
            check_targets(model, targets, loss)
            check_enough_rows(len(part.x), model.min_batch_size(part.x.shape[1:]))
        counts += part_weights(model, [targets], loss)
    steps, (_, statistics) = model.steps, summed_arrays(model)
    before = [each.copy() for each in statistics]
    try:
        value, sums = summed(model, parts, counts, loss)
        for name, gradient in model.grads.items():
            gradient[...] = sums[name]
        penalty = model.penalty_value()
        optimizer.step(model)
    except BaseException:                                       # the step has not happened, nor any part of it
        model.steps = steps
        copy(statistics, before)
        raise
    return value, penalty


def one_step(model: Any, parts: Sequence[Data], loss: Any, optimizer: Any) -> tuple[float, float, int, float]:
    """A step on one batch, or on several that make one; returns loss, penalty, rows, and the sum of their weights."""
    if len(parts) > 1:
        value, penalty = accumulated_step(model, parts, loss, optimizer)
    else:
        (data,) = parts
        with data.as_given():
            value = model.step(data.x[:], data.t[:], loss, optimizer, data.weights)
        penalty = model.penalty_loss
        value -= penalty
    count = sum(float(len(part.x) if part.weights is None else part.weights.sum()) for part in parts)
    return value, penalty, sum(len(part.x) for part in parts), count


def call(hook: Callable[..., object] | None, model: Any, *arguments: object) -> None:
    """Calls a hook, which may predict, but not train."""
    if hook is not None:
        model.network.call(hook, *arguments)


def train(
    model: Any, source: RowBatches | UserBatches, loss: Any, optimizer: Any, accumulate: int, shards: Shards,
    mixup: float, resume: bool, **hooks: Callable[..., object] | None,
) -> tuple[float, float]:
    """An epoch of steps on ``accumulate`` batches each, or on the ``shards`` of one; returns the means of the loss,
    with the penalty, and of the penalty.

    ``resume`` and the ``hooks``, all three of them, are as for ``run_epoch``, which does it if it can.
    """
    if isinstance(source, RowBatches) and source.in_memory:
        x, t, weights = source.data[:3]
        with source.data.as_given():
            value = model.run_epoch(
                x, t, loss, optimizer, source.size, source.shuffle, sample_weight=weights, mixup=mixup, resume=resume,
                drop_last=source.drop_last, **hooks)
        return value, model.penalty_loss
    steps = -(-source.count // accumulate)
    counters = model.network.counters()
    done, sums = (counters["batch"], counters["sums"]) if resume else (0, [0.0, 0.0, 0.0])
    check_resume(done, steps)
    batches = source.epoch(model, done * accumulate)
    if done == steps:                       # to go on behind the last step is to fetch the epoch's batches all the same
        next(batches, None)
    stop = False
    while done < steps:
        stop = stop or shards.stops(call, hooks["on_batch_begin"], model, done)
        if shards.count > 1:
            value, penalty, size, count = shards.step(model, next(batches), loss, optimizer, stop)
        else:
            value, penalty, size, count = one_step(model, parts_of_step(batches, accumulate), loss, optimizer)
        done, sums = done + 1, with_batch(loss, sums, value, penalty, size, count)
        model.network.set_counters(model.network.counters() | {"batch": done, "sums": sums})
        logs = {"loss": value + penalty, "batch": done - 1, "size": size}
        stop = shards.stops(call, hooks["on_batch_end"], model, done - 1, logs)
        stop = stop or shards.stops(call, hooks["progress"], model, done, steps)
    shards.agree(stop)
    model.network.set_counters(
        model.network.counters() | {"epochs": model.epochs + 1, "batch": 0, "sums": [0.0, 0.0, 0.0]})
    if shards.rank == 0:
        diagnosis.warn_of_nonfinite(model)
    return means_of_batches(loss, sums, source.rows)
