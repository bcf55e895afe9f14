"""Sequential: layers in a row, and how such a network learns.

    forward     x → layer 1 → … → layer L → y
    backward    the same way back, dy → … → dx
    step        forward, loss, backward; then the optimizer: penalty, clipping, update, what the penalties restrain

Source: Rumelhart, Hinton and Williams (1986). Twin: fastnn/model.pyx.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from . import philox
from .layer import Array, Layer, Shape
from .loss import Loss
from .optim import Optimizer
from .penalty import Penalty
from .shared import checks, fit, summary
from .shared.callbacks import Callback
from .shared.history import History
from .shared.metrics import Metric
from .shared.mixup import draw_lambdas, mix, one_hot


class Sequential(Layer):
    """Layers in a row, itself a layer: y = layer_L(… layer_1(x)).

    ``seed`` (0 … 2⁶⁴−1) decides initial weights, shuffles and masks; ``dtype`` is float64 (default) or float32. A layer
    that already has values keeps them; a Sequential inside another one follows the outer one's seed and dtype.
    ``penalty`` is one, or several in a row, of ``L1``, ``L2``, ``ElasticNet`` and ``MaxNorm`` for all weights inside; a
    Sequential inside may have its own, for its part.

    >>> import numpy as np, fastnn_ref as nn
    >>> model = nn.Sequential(nn.Linear(2, 8, activation="tanh"), nn.Linear(8, 2), seed=0)
    >>> x, t = np.array([[0, 0], [0, 1], [1, 0], [1, 1.0]]), np.array([0, 1, 1, 0])
    >>> history = model.fit(x, t, loss=nn.CrossEntropyLoss(), optimizer=nn.Adam(lr=0.05), epochs=200, batch_size=4)
    >>> model.predict(x).argmax(axis=1).tolist()
    [0, 1, 1, 0]
    """

    def __init__(
        self, *layers: Layer, seed: int = 0, dtype: npt.DTypeLike | None = None,
        penalty: Penalty | Sequence[Penalty] | None = None,
    ) -> None:
        super().__init__()
        self._seed = checks.as_seed(seed)
        self._dtype = checks.as_dtype(dtype, self.default_dtype)
        checks.check_layers(layers, Layer)
        for index, layer in enumerate(layers):
            checks.check_unowned(f"layers[{index}]", layer)
        self.input_shape = checks.infer_input_shape(layers)
        self.layers = layers
        self.penalties = checks.as_tuple_of("penalty", penalty, Penalty)
        self.penalty_loss = 0.0                     # the penalty's part of the last step's or epoch's loss
        self.epochs = 0                             # run_epoch calls so far: each shuffles in its own way
        self.stop_training = False
        self.adopt()

    default_dtype = np.dtype(np.float64)

    @property
    def changes_shape(self) -> bool:                     # type: ignore[override]
        """Does what comes out have another shape than what goes in?"""
        return any(layer.changes_shape for layer in self.layers)

    @property
    def has_penalty(self) -> bool:
        """Does a penalty add to the loss?"""
        return any(penalty.costs for penalty, _, _ in self.restraints())

    @property
    def penalty(self) -> tuple[Penalty, ...]:
        """What the weights inside cost, and how large they may be."""
        return self.penalties

    @property
    def seed(self) -> int:
        """What the random numbers of this model start from."""
        return self.outermost()._seed

    def arguments(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        named: dict[str, Any] = {"seed": self.seed, "dtype": str(self.outermost()._dtype)}
        return self.layers, {**named, "penalty": self.penalties} if self.penalties else named

    # ---- a layer made of layers ----

    def inside(self) -> tuple[Layer, ...]:
        return self.layers

    def output_shape(self, shape: Sequence[int]) -> Shape:
        """The last layer's output shape for the first one's input ``shape``."""
        for layer in self.layers:
            shape = layer.output_shape(shape)
        return tuple(shape)

    def min_batch_size(self, shape: Sequence[int]) -> int:
        """The most that any of the layers needs."""
        least = 1
        for layer in self.layers:
            least, shape = max(least, layer.min_batch_size(shape)), layer.output_shape(shape)
        return least

    def leaves(self, prefix: str = "") -> list[tuple[str, Layer]]:
        return [leaf for index, layer in enumerate(self.layers) for leaf in layer.leaves(f"{prefix}{index}.")]

    def forward_pass(self, x: Array, training: bool) -> Array:
        for layer in self.layers:
            x = layer.forward_pass(x, training)
        return x

    def backward_pass(self, dy: Array) -> Array:
        for layer in reversed(self.layers):
            dy = layer.backward_pass(dy)
        return dy

    # ---- training ----

    def _ready(
        self, x: object, t: object, loss: Loss, optimizer: Optimizer, sample_weight: object,
        batch_size: int = checks.LARGEST,
    ) -> tuple[Array, Array, Array | None]:
        """``x`` and ``t`` as arrays that fit, checked before anything is changed."""
        checks.check_instance("loss", loss, Loss)
        checks.check_instance("optimizer", optimizer, Optimizer)
        checks.check_is_root(self)
        x = checks.as_batch("x", x, self.dtype, self.input_shape)
        t = loss.accept(t, (len(x), *self.output_shape(x.shape[1:])), self.dtype)
        weights = checks.as_sample_weight(sample_weight, len(x))
        checks.check_batch_size((len(x) - 1) % batch_size + 1, self.min_batch_size(x.shape[1:]))
        optimizer.join(self)
        return x, t, weights

    def step(
        self, x: object, t: object, loss: Loss, optimizer: Optimizer, sample_weight: object = None,
    ) -> float:
        """One training step on a batch: forward, loss, backward, penalty, clipping, update. Returns loss and penalty.

        ``x`` (n, …), ``t`` n targets as the loss wants them, ``sample_weight`` None or n numbers >= 0; else ValueError
        or TypeError, and nothing has changed.

        >>> import numpy as np, fastnn_ref as nn
        >>> model = nn.Sequential(nn.Linear(1, 1), seed=0)
        >>> loss, optimizer = nn.MSELoss(), nn.SGD(lr=0.1)
        >>> x, t = np.array([[1.0], [2.0]]), np.array([[3.0], [5.0]])
        >>> losses = [model.step(x, t, loss, optimizer) for _ in range(200)]
        >>> losses[-1] < 0.01
        True
        """
        x, t, weights = self._ready(x, t, loss, optimizer, sample_weight)
        y = self.forward(x, training=True)
        value = loss.forward(y, t, weights)
        self.penalty_loss = self.penalty_value()
        self.backward(loss.backward())
        optimizer.step(self)
        return value + self.penalty_loss

    def penalty_value(self) -> float:
        """R of the weights as they are, which ``step`` adds to the loss: 0 without penalties."""
        return sum(penalty.value(value) for penalty, value, _ in self.restraints())

    def run_epoch(
        self, x: object, t: object, loss: Loss, optimizer: Optimizer, batch_size: int = 32, shuffle: bool = True,
        progress: Callable[[int, int], object] | None = None, sample_weight: object = None, mixup: float = 0.0,
    ) -> float:
        """One step for each mini-batch of ``x`` and ``t``. Returns the mean loss over the examples.

        ``batch_size`` >= 1; the last batch may be shorter. ``shuffle`` draws a new order for each epoch. With
        ``sample_weight``, n numbers >= 0, each batch's loss is a weighted mean, and counts by its weights here (class
        weights only weigh within a batch). ``mixup``, α >= 0, learns from mixtures of neighbours in the batch, λ·x +
        (1 − λ)·x' with λ ~ Beta(α, α) (Zhang et al. 2018), and not beside ``sample_weight``.
        ``progress(steps_done, steps)`` is called now and then and at the end. Ctrl-C stops between two steps.

        >>> import numpy as np, fastnn_ref as nn
        >>> model = nn.Sequential(nn.Linear(1, 1), seed=0)
        >>> x, t = np.array([[1.0], [2.0], [3.0]]), np.array([[3.0], [5.0], [7.0]])
        >>> loss, optimizer = nn.MSELoss(), nn.SGD(lr=0.05)
        >>> losses = [model.run_epoch(x, t, loss, optimizer, batch_size=2) for _ in range(300)]
        >>> losses[-1] < 0.01
        True
        """
        size = checks.as_integer("batch_size", batch_size, 1)
        checks.as_flag("shuffle", shuffle)
        alpha = checks.as_mixup(mixup, sample_weight)
        x, t, weights = self._ready(x, t, loss, optimizer, sample_weight, size)
        n = len(x)
        if alpha:
            t = one_hot(t, self.output_shape(x.shape[1:])[-1], x.dtype)
            lambdas = draw_lambdas(alpha, -(-n // size), self.seed, self.epochs)
        order = philox.permutation(n, self.seed, self.epochs) if shuffle else np.arange(n)
        self.epochs += 1
        total, penalty, counted, steps = 0.0, 0.0, 0.0, -(-n // size)
        for done, start in enumerate(range(0, n, size), 1):
            rows = order[start:start + size]
            batch, targets = x[rows], t[rows]
            if alpha:
                batch, targets = mix(batch, lambdas[done - 1]), mix(targets, lambdas[done - 1])
            part = None if weights is None else weights[rows]
            count = len(rows) if part is None else float(part.sum())
            total += (self.step(batch, targets, loss, optimizer, part) - self.penalty_loss) * count
            penalty += self.penalty_loss * len(rows)
            counted += count
            if progress is not None:
                progress(done, steps)
        self.penalty_loss = penalty / n
        return (total / counted if counted else 0.0) + self.penalty_loss

    def predict(self, x: object, batch_size: int = 1024) -> Array:
        """y for ``x``, ``batch_size`` rows at a time, which bounds the memory and changes nothing else.

        >>> import numpy as np, fastnn_ref as nn
        >>> nn.Sequential(nn.Linear(4, 3), nn.Softmax()).predict(np.zeros((2500, 4)), batch_size=1000).shape
        (2500, 3)
        """
        size = checks.as_integer("batch_size", batch_size, 1)
        x = checks.as_batch("x", x, self.dtype, self.input_shape)
        return np.concatenate([self.forward(x[start:start + size]) for start in range(0, len(x), size)])

    def fit(
        self, x: object, t: object, *, loss: Loss, optimizer: Optimizer, epochs: int = 1, batch_size: int = 32,
        validation_data: tuple[object, object] | None = None, validation_split: float = 0.0, shuffle: bool = True,
        metrics: Iterable[Metric] = (), callbacks: Iterable[Callback] = (),
        sample_weight: object = None, mixup: float = 0.0,
    ) -> History:
        """Trains for ``epochs`` epochs and returns a ``History``; see ``fastnn_ref.shared.fit.fit``.

        >>> import numpy as np, fastnn_ref as nn
        >>> model = nn.Sequential(nn.Linear(1, 1), seed=0)
        >>> x = np.arange(8.0)[:, None]
        >>> history = model.fit(x, 2 * x, loss=nn.MSELoss(), optimizer=nn.SGD(), epochs=3, validation_split=0.25)
        >>> list(history.history)
        ['loss', 'val_loss']
        """
        return fit.fit(
            self, x, t, loss=loss, optimizer=optimizer, epochs=epochs, batch_size=batch_size,
            validation_data=validation_data, validation_split=validation_split, shuffle=shuffle, metrics=metrics,
            callbacks=callbacks, sample_weight=sample_weight, mixup=mixup)

    def evaluate(
        self, x: object, t: object, loss: Loss, metrics: Iterable[Metric] = (), batch_size: int = 1024,
        sample_weight: object = None,
    ) -> Mapping[str, float]:
        """``{"loss": ..., metric: ...}`` on ``x`` and ``t``."""
        return fit.evaluate(self, x, t, loss, metrics, batch_size, sample_weight)

    def summary(self) -> str:
        """A table of layers, output shapes and parameters, as text."""
        return summary.summary(self)
