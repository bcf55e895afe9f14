"""Model: how a network learns. What a student reads is ``step_pass``; every check of a training is in ``checked``.

    step        forward, loss, backward; then the optimizer: penalty, clipping, update, constraint
    epoch       a step for each batch of a new order of the examples
    fit         epochs, with a history, validation and callbacks

Source: Rumelhart, Hinton and Williams (1986). Engine: fastnn/model.pyx.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from . import philox
from .layer import Array, Layer
from .loss import Loss
from .network import Network
from .optimizer import Optimizer
from .shared import checks
from .shared.arrays import as_contiguous, as_input
from .shared.class_weight import means_of_batches, with_batch
from .shared.closed import Setting
from .shared.custom import check_loss
from .shared.data import Data, check_numbers
from .shared.diagnosis import warn_of_nonfinite
from .shared.fit import CtrlC
from .shared.mixup import as_mixup, draw_lambdas, mix, one_hot
from .shared.model import ModelAccess
from .shared.network import check_enough_rows, check_resume, rows_used
from .shared.objects import as_function, check_is_root
from .shared.prediction import as_rows, filled, slices
from .shared.schedule import rates
from .shared.targets import as_sample_weight


class Model(Layer, ModelAccess):
    """A layer that can be trained: what ``Sequential`` has beside its layers."""

    stop_training = Setting(checks.as_flag, "Set it to True in a callback: training ends after the epoch, or, in a "
                                            "batch hook, after the batch.")
    _stop_training = False
    _penalty_loss = 0.0

    @property
    def penalty_loss(self) -> float:
        """The penalty's part of the last step's or epoch's loss."""
        return self._penalty_loss

    def penalty_value(self) -> float:
        """R of the weights as they are, which ``step`` adds to the loss: 0 without penalties."""
        return sum(penalty.value(w) for penalty, w, _ in self.network.constraints)

    def step_pass(self, network: Network, x: Array, t: Array, weights: Array | None, loss: Any, optimizer: Optimizer,
                  lr: float) -> float:
        """A step on a batch, unchecked; returns the loss without penalty."""
        network.begin()
        steps, network.steps = network.steps, network.steps + 1     # here, so that a user's own code may assign it
        try:
            y = self.forward_pass(x, training=True)
            value, dy = loss.evaluated(y, t, weights)
            self._penalty_loss = self.penalty_value()
            self.backward_pass(dy)
            optimizer.step_pass(network, lr)
        except BaseException as error:
            checks.finish(error)
            network.steps = steps
            raise
        network.use.in_pass = False
        return value

    def checked(self, network: Network, x: object, t: object, loss: Any, optimizer: Any, sample_weight: object,
                batch_size: int = checks.LARGEST, drop_last: bool = False,
                ) -> tuple[Array, Array, Array | None, Optimizer]:
        """Arrays that fit, and the optimizer, a host for a user's own; nothing has changed."""
        check_loss(loss, Loss)
        optimizer = Optimizer._host_of(optimizer)
        optimizer.check_owner(network)
        check_is_root(self)
        network.wake()
        found, shape = as_input("x", x, self, network.dtype)
        targets = loss._checked_targets(t, (len(found), *shape), network.dtype)
        weights = as_sample_weight(sample_weight, len(found))
        used = rows_used(len(found), batch_size, drop_last)
        check_enough_rows((used - 1) % batch_size + 1, self.min_batch_size(found.shape[1:]))
        return found, targets, weights, optimizer

    def step(self, x: Any, t: Any, loss: Any, optimizer: Any, sample_weight: Any = None) -> float:
        """One training step on a batch: forward, loss, backward, penalty, clipping, update. Returns loss and penalty.

        ``x`` (n, …), ``t`` n targets as the loss wants them, ``loss`` a ``Loss`` or ``CustomLoss``, ``optimizer`` an
        ``Optimizer`` or ``CustomOptimizer``, ``sample_weight`` None or n numbers >= 0; else ValueError or TypeError,
        and nothing has changed. RuntimeError in a batch hook of the model's own training. A loss that is NaN or
        infinite while a parameter is, too, gives a ``TrainingWarning`` with its name.

        >>> import numpy as np, fastnn_ref as nn
        >>> model = nn.Sequential(nn.Linear(1, 1), seed=0)
        >>> loss, optimizer = nn.MSELoss(), nn.SGD(lr=0.1)
        >>> x, t = np.array([[1.0], [2.0]]), np.array([[3.0], [5.0]])
        >>> losses = [model.step(x, t, loss, optimizer) for _ in range(200)]
        >>> losses[-1] < 0.01
        True
        """
        with self.network.locked(training=True) as network:
            x, t, weights, host = self.checked(network, x, t, loss, optimizer, sample_weight)
            lr = host.current_lr                    # a user's schedule may raise: nothing has changed yet
            host.attach(network)
            value = self.step_pass(network, x, t, weights, loss, host, lr) + self._penalty_loss
            if not math.isfinite(value):
                warn_of_nonfinite(self)
            return value

    def run_epoch(self, x: Any, t: Any, loss: Any, optimizer: Any, batch_size: int = 32, shuffle: bool = True,
                  progress: Callable[[int, int], object] | None = None, sample_weight: Any = None, mixup: float = 0.0,
                  on_batch_begin: Callable[[int], object] | None = None,
                  on_batch_end: Callable[[int, Mapping[str, float]], object] | None = None,
                  resume: bool = False, drop_last: bool = False) -> float:
        """One step for each mini-batch of ``x`` and ``t``. Returns the loss of all examples, with the penalty: the mean
        of their losses, or, with ``reduction="sum"``, the sum.

        ``batch_size`` >= 1; the last batch may be shorter, and ``drop_last`` leaves it out then. ``shuffle`` draws a
        new order for each epoch. With ``sample_weight``, n numbers >= 0, each batch's loss is a weighted mean, and
        counts by its weights here (class weights, and targets left out, only weigh within a batch). ``mixup``, α >= 0,
        learns from mixtures of neighbours in the batch, λ·x + (1 − λ)·x' with λ ~ Beta(α, α) (Zhang et al. 2018), and
        not beside ``sample_weight`` or ``ignore_index``, nor in a model with an ``Embedding``. Arrays in the model's
        dtype are not copied, nor checked again: what somebody changes in them meanwhile, the batches that remain learn.

        ``progress(steps_done, steps)`` is called now and then and at the end; ``on_batch_begin(batch)`` and
        ``on_batch_end(batch, logs)`` for every batch, the first is 0; ``logs`` has ``loss`` (with the penalty),
        ``batch`` and ``size``, the rows. All three may predict, but not train (RuntimeError). Ctrl-C and exceptions
        end the epoch between two steps; ``resume=True`` with the same arguments goes on behind the batches that are
        done, to the same bits. A parameter that is NaN or infinite at the end gives a ``TrainingWarning`` with its
        name.

        >>> import numpy as np, fastnn_ref as nn
        >>> model = nn.Sequential(nn.Linear(1, 1), seed=0)
        >>> x, t = np.array([[1.0], [2.0], [3.0]]), np.array([[3.0], [5.0], [7.0]])
        >>> loss, optimizer = nn.MSELoss(), nn.SGD(lr=0.05)
        >>> losses = [model.run_epoch(x, t, loss, optimizer, batch_size=2) for _ in range(300)]
        >>> losses[-1] < 0.01
        True
        """
        size = checks.as_integer("batch_size", batch_size, 1)
        alpha = as_mixup(mixup, sample_weight, loss, self)
        shuffle, resume = checks.as_flag("shuffle", shuffle), checks.as_flag("resume", resume)
        drop_last = checks.as_flag("drop_last", drop_last)
        for name, hook in (("progress", progress), ("on_batch_begin", on_batch_begin), ("on_batch_end", on_batch_end)):
            as_function(name, hook)
        with self.network.locked(training=True) as network:
            x, t, weights, host = self.checked(network, x, t, loss, optimizer, sample_weight, size, drop_last)
            check_numbers(self, Data(x, t, weights))
            n = rows_used(len(x), size, drop_last)
            steps = -(-n // size)
            check_resume(network.batch if resume else 0, steps)
            if alpha:
                t = one_hot(t, self.output_shape(x.shape[1:]), x.dtype)
                lambdas = draw_lambdas(alpha, steps, network.seeds.masks, network.epochs)
            rates(host.lr, host.steps, 1)           # a schedule that raises does so before anything has changed
            host.attach(network)
            if not resume:
                network.batch, network.sums = 0, [0.0, 0.0, 0.0]
            order = (philox.permutation(len(x), network.seeds.order, network.epochs) if shuffle else np.arange(n))[:n]
            with CtrlC() as ctrl_c:                 # NumPy would break a step off
                for batch in range(network.batch, steps):
                    if ctrl_c.pressed:
                        break
                    if on_batch_begin is not None:
                        on_batch_begin(batch)
                    rows = order[batch * size:(batch + 1) * size]
                    xs, ts, ws = x[rows], t[rows], None if weights is None else weights[rows]
                    if alpha:
                        xs, ts = mix(xs, lambdas[batch]), mix(ts, lambdas[batch])
                    value = self.step_pass(network, xs, ts, ws, loss, host, host.current_lr)
                    penalty, count = self._penalty_loss, len(rows) if ws is None else float(ws.sum())
                    network.batch = batch + 1
                    network.sums = with_batch(loss, network.sums, value, penalty, len(rows), count)
                    if on_batch_end is not None:
                        on_batch_end(batch, {"loss": value + penalty, "batch": batch, "size": len(rows)})
                    if progress is not None:
                        progress(batch + 1, steps)
            if ctrl_c.pressed:
                raise KeyboardInterrupt
            value, self._penalty_loss = means_of_batches(loss, network.sums, n)
            network.batch, network.sums, network.epochs = 0, [0.0, 0.0, 0.0], network.epochs + 1
            warn_of_nonfinite(self)
            return value

    def predict(self, x: Any, batch_size: int = 1024) -> Array:
        """y for ``x`` (n, …), ``batch_size`` >= 1 rows at a time, which bounds the memory and changes nothing else.

        The engine takes smaller parts by itself where convolutions need more memory than a cache has.

        Several threads may predict at once, each with memory of its own; RuntimeError while another thread trains.

        >>> import numpy as np, fastnn_ref as nn
        >>> nn.Sequential(nn.Linear(4, 3), nn.Softmax()).predict(np.zeros((2500, 4)), batch_size=1000).shape
        (2500, 3)
        """
        size = checks.as_integer("batch_size", batch_size, 1)
        with self.network.locked() as network:
            network.wake()
            x = as_rows(self, x)
            network.begin()

            def outputs() -> Iterator[Array]:
                for rows in slices(len(x), size):
                    with checks.Retold(row=rows.start.__add__):
                        y = self.forward_pass(as_contiguous(x[rows], network.dtype), False)
                    yield y

            return filled(len(x), outputs())
