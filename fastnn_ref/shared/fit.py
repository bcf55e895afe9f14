"""fit: the loop around the epochs, with its record (History) and its hooks (Callback), as in Keras.

What takes time is ``model.run_epoch``; everything here is bookkeeping, written once for both packages. It uses a
model's public methods only. First it looks at everything that the user passed, so that a mistake is told before the
first step and by the name of the argument.
"""

from __future__ import annotations

import functools
import os
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Concatenate, NamedTuple, ParamSpec, TypeVar

import numpy as np

from . import checks, diagnosis
from .access import check_writable
from .batches import RowBatches, UserBatches, check_targets, train
from .callbacks import Callback, CallbackList, StopTraining
from .checkpoint import as_training_state, named
from .class_weight import is_balanced, is_sum, resolve_class_weight
from .custom import CustomLoss, check_loss, check_optimizer
from .data import Data, as_validation_data, check_inputs, check_last_batch, largest_value, prepare_data, split_data
from .history import History
from .metrics import Metric, MetricLike, compute_metrics, is_built_in, resolve_metrics
from .mixup import as_mixup
from .network import process_lock
from .objects import check_is_root, package_of
from .prediction import mean_loss, slices
from .progress import ProgressBar
from .schedule import fill_in
from .shards import Shards, as_shards, check_batch_size, ending_the_job
from .state import check_resumed, load_training_state

PREDICTED = 256         # rows that are predicted before the first step
EVALUATED = 1024        # rows that are evaluated at a time


# ---- evaluating ----


class IgnoredWarnings:
    """A block without warnings, for any number of threads. Filters are the process's: the first thread in sets one, the
    last one out puts them back. No lock is held meanwhile, as what runs in the block may wait for another thread."""

    def __init__(self) -> None:
        self.lock, self.inside, self.filters = process_lock(), 0, warnings.catch_warnings()

    def __enter__(self) -> None:
        with self.lock:
            if not self.inside:
                self.filters = warnings.catch_warnings(action="ignore")
                self.filters.__enter__()
            self.inside += 1

    def __exit__(self, *error: object) -> None:
        with self.lock:
            self.inside -= 1
            if not self.inside:
                self.filters.__exit__(None, None, None)


IGNORED_WARNINGS = IgnoredWarnings()


def ignored_warnings() -> AbstractContextManager[Any]:
    """No warnings in this block."""
    has_own = getattr(sys.flags, "context_aware_warnings", False)       # filters of a thread, from Python 3.14 on
    return warnings.catch_warnings(action="ignore") if has_own else IGNORED_WARNINGS


def measure(
    model: Any, data: Data, loss: Any, metrics: Mapping[str, Metric], batch_size: int = EVALUATED,
) -> dict[str, float]:
    """``{"loss": …, metric: …}`` of a model's predictions, ``batch_size`` rows at a time; only metrics need all outputs
    at once."""
    value, y = mean_loss(lambda rows: model.predict(data.x[rows], batch_size), data, loss, batch_size, bool(metrics))
    return {"loss": value, **compute_metrics(metrics, y, np.asarray(data.t), loss)}


def evaluate(
    model: Any, x: object, t: object, loss: Any, metrics: Iterable[MetricLike] = (), batch_size: int = 1024,
    sample_weight: object = None,
) -> dict[str, float]:
    """``{"loss": …, metric: …}`` of a model's predictions for ``x``, made ``batch_size`` rows at a time.

    The loss is the mean over all rows, or, with ``reduction="sum"``, the sum; "none" is a ValueError.
    ``sample_weight`` weighs the loss, not the metrics. Memory: ``batch_size`` rows; with ``metrics``, or a
    ``CustomLoss``, the outputs for all rows, too.

    >>> import numpy as np, fastnn_ref as nn
    >>> model = nn.Sequential(nn.Linear(2, 2, init="zeros"))
    >>> model.evaluate(np.ones((4, 2)), np.array([0, 0, 0, 1]), nn.CrossEntropyLoss(), ("accuracy",))["accuracy"]
    0.75
    """
    measures, batch_size = resolve_metrics(metrics), checks.as_integer("batch_size", batch_size, 1)
    check_loss(loss, package_of(model).Loss)
    return measure(model, prepare_data(model, x, t, sample_weight, convert=False), loss, measures, batch_size)


def check_evaluation(model: Any, data: Data, loss: Any, metrics: Mapping[str, Metric]) -> None:
    """Computes what the end of an epoch will, with the predictions of the first rows repeated for the others: targets
    and metrics that fail then fail here."""
    first = model.predict(data.x[:PREDICTED])

    def predict(rows: slice) -> Any:
        return np.resize(first, (rows.stop - rows.start, *first.shape[1:]))

    _, y = mean_loss(predict, data, loss, EVALUATED, bool(metrics))
    for name, metric in metrics.items():
        try:
            with nullcontext() if is_built_in(metric) else ignored_warnings():     # not the real predictions
                compute_metrics({name: metric}, y, np.asarray(data.t), loss)
        except Exception as error:
            if is_built_in(metric) or isinstance(error, ImportError) or checks.has_part(error, "metric"):
                raise
            raise ValueError(
                f"metrics: {name} fails for outputs {checks.format_shape(y.shape)} and targets "
                f"{checks.format_shape(data.t.shape)}: {type(error).__name__}: {error}") from error


# ---- what is told before the first step ----


def check_objects(model: Any, loss: object, optimizer: object) -> None:
    """Loss and optimizer are objects of the model's package, or the user's own."""
    package = package_of(model)
    check_loss(loss, package.Loss)
    check_optimizer(optimizer, package.Optimizer)
    check_is_root(model)


def check_parameters(model: Any) -> None:
    """NaN and ∞ would only become more, and what cannot be written to would stop a step half way."""
    model.network.wake()
    check_writable(model.network.changed)
    text = diagnosis.find_nonfinite(model)
    if text:
        raise ValueError(f"model: expected finite parameters, but {text}")


def as_display(verbose: object) -> ProgressBar | None:
    """What ``verbose`` asks for."""
    if isinstance(verbose, bool | int | str) and verbose in (0, 1, 2, "auto"):
        return ProgressBar(style="lines" if verbose == 2 else "auto") if verbose else None
    raise ValueError(f"verbose: expected 0, 1, 2 or 'auto', got {verbose!r}")


class Evaluation(NamedTuple):
    """What is measured after each epoch: of which model, on which data, by which loss and metrics."""

    model: Any
    data: Data                          # the first batch, if there is an iterator
    held_out: Data | None
    loss: Any
    own: Mapping[str, Metric]           # of the training data
    metrics: Mapping[str, Metric]       # of the validation data

    def check(self) -> dict[str, float]:
        """Looks at values, and at what will be computed of them; returns the largest absolute values of x and t."""
        model, data, held_out, loss, own, metrics = self
        if held_out is not None:
            with held_out.as_given():
                check_inputs(model, held_out)
                check_evaluation(model, held_out, loss, metrics)
        with data.as_given():
            largest = check_inputs(model, data)
            check_targets(model, data, loss)
            if own:
                check_evaluation(model, data, loss, own)
        return {"x": largest, "t": largest_value(data.t) if data.t.dtype.kind == "f" else 0.0}

    def monitors(self) -> dict[str, str | None]:
        """Each name that the logs of an epoch will have, and which way is better."""
        parts = {"data_loss": "min", "penalty": "min"} if self.model.has_penalty else {}
        own, held_out = ({name: metric.direction for name, metric in each.items()} for each in (self.own, self.metrics))
        validation = {} if self.held_out is None else {
            f"val_{name}": way for name, way in {"loss": "min", **held_out}.items()}
        return {"loss": "min", **parts, **own, **validation}

    def usual_loss(self, count: int) -> float:
        """The loss of the model as it is, or of zeros in place of its outputs, whichever is larger: of the first rows,
        and, if it is a sum, of ``count`` such."""
        data, loss = self.data, self.loss
        y = self.model.predict(data.x[:PREDICTED])
        outputs = [y] if isinstance(loss, CustomLoss) else [y, np.zeros_like(y)]    # a user's may not take zeros
        with data.as_given(), checks.Retold(n=lambda _: len(data.x)):
            found = [loss.forward(each, data.t[:PREDICTED]) for each in outputs]
        return max((value for value in found if value > 0), default=np.inf) * (count / len(y) if is_sum(loss) else 1)

    def logs(self, value: float, penalty: float) -> dict[str, float]:
        """What is known after an epoch with the loss ``value``, of which ``penalty`` is a part."""
        model, data, held_out, loss, own, metrics = self
        logs = {"loss": value}
        if model.has_penalty:
            logs |= {"data_loss": value - penalty, "penalty": penalty}
        if own:
            y = np.concatenate([model.predict(data.x[rows]) for rows in slices(len(data.x), EVALUATED)])
            logs |= compute_metrics(own, y, np.asarray(data.t), loss)
        if held_out is not None:
            logs |= {f"val_{name}": found for name, found in measure(model, held_out, loss, metrics).items()}
        return logs


def of_arrays(
    model: Any, x: object, t: object, loss: Any, metrics: Mapping[str, Metric], sample_weight: object,
    validation_data: Any, validation_split: object, validation_rows: object,
) -> Evaluation:
    """What is measured of a training on arrays; class weights that are to be balanced are those of its targets."""
    data, held_out = split_data(model, x, t, sample_weight, validation_data, validation_split, validation_rows)
    return Evaluation(model, data, held_out, resolve_class_weight(loss, model, data), metrics, metrics)


# ---- the loop ----


class CtrlC:
    """Remembers the first Ctrl-C, so that training ends after the running batch; the second one interrupts at once."""

    def __init__(self) -> None:
        self.pressed = False
        self.handles = False

    def __enter__(self) -> CtrlC:
        main = threading.current_thread() is threading.main_thread()
        self.handles = main and signal.getsignal(signal.SIGINT) is signal.default_int_handler
        if self.handles:                            # a handler of the user's own stays
            signal.signal(signal.SIGINT, self.press)
        return self

    def press(self, *_: object) -> None:
        """The handler."""
        if self.pressed:
            signal.signal(signal.SIGINT, signal.default_int_handler)    # it may come in __exit__, before that does so
            raise KeyboardInterrupt
        self.pressed = True

    def __exit__(self, *exception: object) -> None:
        if self.handles:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    def check(self, done: int, steps: int) -> None:
        """Ends training if it was pressed; an epoch whose batches are all done ends as always."""
        if self.pressed and done < steps:
            raise StopTraining


def epoch_hooks(model: Any, hooks: CallbackList, ctrl_c: CtrlC, steps: int) -> dict[str, Callable[..., None] | None]:
    """What ``run_epoch`` calls: batch hooks only where a callback has one, ``progress`` always, for Ctrl-C."""
    ends_anyway = model.stop_training               # after this epoch
    progress, begin, end = map(hooks.hook, ("on_progress", "on_train_batch_begin", "on_train_batch_end"))

    def check(done: int) -> None:
        ctrl_c.check(done, steps)
        # An epoch whose batches are all done ends as always.
        if model.stop_training and not ends_anyway and done < steps:
            raise StopTraining

    def report(done: int, steps: int) -> None:
        if progress is not None:
            progress(done, steps)
        check(done)

    def end_batch(batch: int, logs: Mapping[str, float]) -> None:
        if end is not None:
            end(batch, logs)
        check(batch + 1)

    return {"progress": report, "on_batch_begin": None if begin is None else lambda batch: begin(batch, {}),
            "on_batch_end": end_batch if begin is not None or end is not None else None}


@contextmanager
def filled_in(optimizer: Any, steps: int, epochs: int) -> Iterator[None]:
    """The optimizer's schedule with the steps of this training. One that takes no step, or raises before the first one,
    leaves it open: the next one may be longer."""
    lr, before = optimizer.lr, optimizer.steps
    optimizer.lr = fill_in(lr, steps, epochs, before)
    filled = optimizer.lr
    try:
        yield
    except BaseException:
        filled = optimizer.lr                       # whatever a hook has put there
        raise
    finally:
        if optimizer.steps == before and optimizer.lr is filled:
            optimizer.lr = lr


P = ParamSpec("P")
R = TypeVar("R")


def held(function: Callable[Concatenate[Any, P], R]) -> Callable[Concatenate[Any, P], R]:
    """The training ``function``, with the model kept from other threads until it ends, between its steps, too: a thread
    that prepares batches can neither change what is trained nor be in the way of the next step."""
    @functools.wraps(function)
    def alone(model: Any, /, *arguments: P.args, **named: P.kwargs) -> R:
        network = model.network
        inside = network.is_held()                  # by a fit around this one
        try:                                        # Ctrl-C may come as soon as it is taken
            network.hold()
            return function(model, *arguments, **named)
        finally:
            if not inside:
                network.release()

    return alone


class Epochs:
    """What surrounds the epochs of ``fit`` and the iterations of ``fit_lbfgs``: a look at all values, then the record,
    the hooks, Ctrl-C. Hooks of an epoch are run by ``call``; ``state`` is where to go on."""

    def __init__(self, evaluation: Evaluation, optimizer: Any, callbacks: object, display: ProgressBar | None,
                 ranks: Shards, call: Callable[..., None], state: Any = None, **params: Any) -> None:
        model = evaluation.model
        if state is None:
            check_parameters(model)
        self.largest = ranks.shared(evaluation.check)
        params |= {"largest": self.largest, "loss": evaluation.loss, "monitors": evaluation.monitors()}
        self.evaluation, self.ranks, self.history, self.ctrl_c = evaluation, ranks, History(), CtrlC()
        self.hooks = CallbackList(self.history, callbacks, model, optimizer, params, display, writes=ranks.rank == 0)
        self.call, self.logs = functools.partial(call, self.hooks.call), dict[str, float]()
        if state is not None:
            check_resumed(state, self.hooks.callbacks)

    @contextmanager
    def running(self) -> Iterator[bool]:
        """From the hooks of the beginning to those of the end; StopTraining ends the block. Does one ask for that at
        once?"""
        self.evaluation.model.stop_training = False
        stops = self.ranks.any(self.hooks.begin())
        with self.ctrl_c:
            try:
                yield stops
            except StopTraining:
                pass
            finally:
                self.history.interrupted = self.ctrl_c.pressed
                self.hooks.end(self.logs)
        self.history.interrupted = self.ranks.any(self.history.interrupted)

    def end(self, value: float, penalty: float, ends: bool = False) -> bool:
        """The end of an epoch with the loss ``value``, of which ``penalty`` is a part: is it the last one?"""
        self.logs = self.ranks.shared(functools.partial(self.evaluation.logs, value, penalty))
        self.call("on_epoch_end", len(self.history.epoch), self.logs)
        return self.ranks.any(self.evaluation.model.stop_training or self.ctrl_c.pressed or ends)


def train_epochs(
    run: Epochs, one_epoch: Callable[..., tuple[float, float]], optimizer: Any, epochs: int, steps: int, state: Any,
    watch: diagnosis.LossWatch,
) -> None:
    """The epochs that are left, and all hooks; ``state`` is where to go on."""
    model, history = run.evaluation.model, run.history
    with run.running() as stops:
        if state is not None:
            with named("resume"):
                load_training_state(state, model, optimizer, run.hooks.callbacks)
            optimizer.lr = fill_in(optimizer.lr, steps, epochs, optimizer.steps)
        for epoch in range(len(history.epoch), 0 if stops else epochs):
            run.call("on_epoch_begin", epoch, {})
            start = time.perf_counter()
            inside = state is not None and model.network.counters()["batch"] > 0
            value, penalty = one_epoch(inside, **epoch_hooks(model, run.hooks, run.ctrl_c, steps))
            history.seconds.append(time.perf_counter() - start)
            ends = not model.network.has_finite_parameters()        # the epoch has said which
            if run.ranks.rank == 0:
                watch.see(epoch, value - penalty, ends)
            if run.end(value, penalty, ends):
                break


# ---- fit ----


def as_shuffle(value: object) -> bool | str:
    """True, False or "blocks"."""
    if isinstance(value, str):
        return checks.as_choice("shuffle", value, ("blocks",))
    return checks.as_flag("shuffle", value)


def from_batches(
    model: Any, x: Any, loss: Any, metrics: Mapping[str, Metric], steps_per_epoch: object, validation_data: Any,
    others: Mapping[str, tuple[Any, Any]],
) -> tuple[UserBatches, Evaluation]:
    """Batches that ``x`` yields, and what is measured; ``others`` have to be the second one each."""
    source = UserBatches(x, steps_per_epoch)
    for name, (given, wanted) in others.items():
        if given is not None if wanted is None else given != wanted:
            got = repr(given) if isinstance(given, bool | int | float) else type(given).__name__
            raise ValueError(f"{name}: expected {wanted} where x yields batches, got {got}")
    if is_balanced(loss):
        raise ValueError("class_weight: expected numbers where x yields batches, got 'balanced', which needs all "
                         "targets at once")
    held_out = None if validation_data is None else as_validation_data(model, validation_data)
    evaluation = Evaluation(model, source.first(model), held_out, loss, {}, metrics)
    if metrics and held_out is None:
        raise ValueError("metrics: expected validation_data to compute them of, where x yields batches, got None")
    return source, evaluation


def from_arrays(model: Any, data: Data, batch_size: int, shuffle: bool | str, drop_last: bool, accumulate: int,
                shards: int, mixup: Any) -> RowBatches:
    """Batches of rows of ``data``."""
    check_batch_size(batch_size, shards)
    source = RowBatches(data, batch_size, shuffle, drop_last, accumulate, in_parts=shards > 1)
    if mixup and not source.in_memory:
        raise ValueError("mixup: expected 0 beside arrays in a file, shuffle='blocks', gradient accumulation and "
                         f"shards, got {mixup!r}")
    check_last_batch(model, data.x, source.rows, batch_size, shards)
    return source


@ending_the_job
@held
def fit(
    model: Any, x: Any, t: object = None, *, loss: Any, optimizer: Any, epochs: int = 1, batch_size: int = 32,
    validation_data: tuple[object, ...] | None = None, validation_split: float = 0.0,
    validation_rows: str = "end", shuffle: bool | str = True, metrics: Iterable[MetricLike] = (),
    callbacks: Iterable[Callback] = (), sample_weight: object = None, mixup: float = 0.0,
    resume: Mapping[str, Any] | str | os.PathLike[str] | None = None, verbose: int | str = 0,
    drop_last: bool = False, steps_per_epoch: int | None = None, gradient_accumulation_steps: int = 1,
    shards: int = 1, comm: Any = None,
) -> History:
    """Trains ``model`` for ``epochs`` (>= 0) passes over ``x`` and ``t`` in shuffled mini-batches of ``batch_size``.

    After each epoch the history gets ``loss`` (the mean over the epoch, or the sum, by the loss's ``reduction``),
    with a penalty also its parts ``data_loss`` and ``penalty`` (``val_loss`` has none), each metric on the training
    data, and with ``validation_data=(xv, tv)`` or ``(xv, tv, sample_weight)`` or ``validation_split`` (a share of
    the rows, 0 <= share < 1) ``val_loss`` and ``val_…``. These rows are the last ones, as in Keras; with
    ``validation_rows="random"`` the seed chooses them, the same ones in every ``fit``, and with ``"stratified"``
    each class of ``t``, class numbers or rows with one 1, has its share. ``metrics`` are names, ``"accuracy"`` and
    the others of ``metrics.METRICS``; functions of (y, t); and ``Metric`` objects. ``sample_weight``, a number >= 0
    for each row of ``x``, makes losses weighted means; metrics count every row the same. ``class_weight`` and
    ``ignore_index`` weigh within a batch only: in ``loss`` batches count by their rows, and one whose targets are all
    left out counts as 0, while ``val_loss`` is the weighted mean over all targets. ``mixup`` is as for ``run_epoch``.

    Training ends early when a callback sets ``model.stop_training``, in a batch hook after that batch, or raises
    ``StopTraining``; after an epoch that left NaN or ∞ in a parameter, with a ``TrainingWarning``; and by Ctrl-C: the
    first lets the running batch end, and the history so far is returned, with ``interrupted`` true; the second one is a
    KeyboardInterrupt. ``resume``, a record of ``training_state`` or the path of a file of ``save_training`` or
    ``ModelCheckpoint``, goes on where it was taken, to the same bits, with objects and data as they were then;
    ``epochs`` counts from the first start.

    ``drop_last`` leaves out a last batch that is shorter. ``shuffle`` draws a new order of the rows for each epoch;
    ``"blocks"`` shuffles blocks of 64 batches, and the rows inside each, so that what is read together lies together in
    a file. ``numpy.memmap`` arrays of any dtype may be larger than memory: they are read, and converted, batch by
    batch, with the same bits as arrays in memory. ``gradient_accumulation_steps=k`` makes one step of k batches, with
    the gradient of one batch of k·``batch_size`` rows, in the memory of one of ``batch_size``; of an iterator's batches
    it copies k, as what they weigh together must be known first. Batch normalization normalises each of the k by
    itself, and each draws masks of its own.

    ``shards=S``, a power of two, cuts each batch into S parts, as equal as can be, in the order of its rows. Each goes
    forward and backward by itself, one after another, in the memory of one part, and their gradients are added over a
    binary tree. Batch normalization normalises each part by itself, and each draws masks of its own; the running
    statistics change by the mean of what the parts change. With ``comm``, a communicator of mpi4py such as
    ``MPI.COMM_WORLD``, its 1, 2, 4, ... ranks share the parts, to the same bits: every rank calls ``fit`` with the
    same arguments and data (a ``numpy.memmap`` is read where a rank needs it; an iterator yields the whole batch on
    each), and begins with what rank 0 has: weights, optimizer, ``resume``. Rank 0 alone computes metrics and calls
    callbacks that write (``Callback.writes``); the others are called on every rank, and one that stops stops all. An
    error on one rank is shown and ends the job. Not beside mixup and gradient accumulation.

    ``fit(batches)``: instead of ``x`` and ``t``, an iterable of (x, t) or (x, t, sample_weight), each one batch,
    which is trained with as it comes; ``batch_size`` and ``shuffle`` are for arrays. What has a len(), such as a list
    or a DataLoader, begins anew in each epoch; a generator goes on where it stands, and needs ``steps_per_epoch``,
    the batches in an epoch, as the length is not known; ``resume`` wants it from the start of the epoch that was under
    way. It is asked for each batch with the GIL, between two steps, and may predict then, and fill the arrays of the
    batch before anew. If it ends early, or yields what does not fit, fit raises ValueError or TypeError, and the
    weights are those after the last whole step. ``metrics`` are then those of the validation data.

    The model is this thread's until fit returns, between steps and epochs, too. Another one that predicts with it,
    trains it or assigns to it meanwhile, such as a loader's worker, gets a RuntimeError, and nothing has changed; a
    ``copy.deepcopy`` of the model is free. What another thread reads of the parameters may be of the middle of a step.

    ``verbose``: 0, the default, shows nothing, as a library should; 1 or ``"auto"`` shows a bar in a terminal or a
    notebook, else a line for each epoch; 2 always lines; all on stderr.

    What can be known before the first step, also of the parameters, which must be finite, the validation data, the
    metrics and what callbacks monitor, raises ValueError or TypeError before it. ``TrainingWarning`` says what is
    probably not meant: a softmax or sigmoid that the loss applies as well, a log_softmax that it misses, weight decay
    that is too strong, a schedule that vanishes, and once, a loss that is NaN or rises and rises.

    >>> import numpy as np, fastnn_ref as nn
    >>> x, t = np.eye(4), np.array([0, 1, 0, 1])
    >>> model = nn.Sequential(nn.Linear(4, 2), seed=0)
    >>> loss, optimizer = nn.CrossEntropyLoss(), nn.SGD(lr=1.0)
    >>> history = model.fit(x, t, loss=loss, optimizer=optimizer, epochs=50, metrics=["accuracy"])
    >>> history.history["accuracy"][-1]
    1.0
    """
    epochs, batch_size = checks.as_integer("epochs", epochs, 0), checks.as_integer("batch_size", batch_size, 1)
    shuffle, measures, display = as_shuffle(shuffle), resolve_metrics(metrics), as_display(verbose)
    drop_last = checks.as_flag("drop_last", drop_last)
    accumulate = checks.as_integer("gradient_accumulation_steps", gradient_accumulation_steps, 1)
    as_mixup(mixup, sample_weight, loss, model)
    check_objects(model, loss, optimizer)
    ranks = as_shards(shards, comm)
    if accumulate > 1 and ranks.count > 1:
        raise ValueError("gradient_accumulation_steps: expected 1 beside shards, which cut one larger batch, got "
                         f"{accumulate}")
    source: RowBatches | UserBatches
    if t is None:
        source, evaluation = from_batches(model, x, loss, measures, steps_per_epoch, validation_data, {
            "sample_weight": (sample_weight, None), "validation_split": (validation_split, 0),
            "validation_rows": (validation_rows, "end"), "mixup": (mixup, 0), "drop_last": (drop_last, False)})
    else:
        if steps_per_epoch is not None:
            raise ValueError(f"steps_per_epoch: expected None beside t, got {steps_per_epoch!r}")
        evaluation = of_arrays(model, x, t, loss, measures, sample_weight, validation_data, validation_split,
                               validation_rows)
        source = from_arrays(model, evaluation.data, batch_size, shuffle, drop_last, accumulate, ranks.count, mixup)
    steps = -(-source.count // accumulate)
    data, loss = evaluation.data, evaluation.loss
    ranks.same_start(model, optimizer, loss, {
        "shards": ranks.count, "epochs": epochs, "rows of x": source.rows, "batch_size": batch_size, "steps": steps,
        "shuffle": shuffle})
    state = ranks.shared(lambda: as_training_state(resume, model, optimizer, steps))
    run = Epochs(evaluation, optimizer, callbacks, display, ranks, ranks.call, state, epochs=epochs, steps=steps,
                 batch_size=len(data.x) if t is None else batch_size)
    ranks.same("callbacks", [type(each).__name__ for each in run.hooks.callbacks])
    one_epoch = functools.partial(train, model, source, loss, optimizer, accumulate, ranks, mixup)
    with filled_in(optimizer, steps, epochs):
        if ranks.rank == 0:
            diagnosis.warn_before(model, loss, optimizer, steps * epochs)
            diagnosis.warn_of_bytes(model, x, run.largest["x"])
        # A loss that shall rise has no usual one.
        usual = np.inf if optimizer.maximize else evaluation.usual_loss(source.rows or source.count * len(data.x))
        watch = diagnosis.LossWatch(model, optimizer, run.largest, usual)
        train_epochs(run, one_epoch, optimizer, epochs, steps, state, watch)
    return run.history
