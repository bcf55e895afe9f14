"""Sequential: layers in a row.

    forward     x → layer 1 → … → layer L → y
    backward    the same way back, dy → … → dx

Engine: fastnn/sequential.pyx.
"""

import weakref
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy.typing as npt

from .custom import as_layer
from .layer import Layer
from .model import Model
from .network import DEFAULT_DTYPE, Array, Network, Shape, dtypes_inside
from .penalty import Penalty
from .shared import checks
from .shared.network import as_common_dtype, as_dtype, as_model_seed
from .shared.objects import as_tuple_of
from .shared.shapes import check_chain, check_part


class Sequential(Model):
    """Layers in a row, itself a layer: y = layer_L(… layer_1(x)).

    ``layers`` are layers, models and ``CustomLayer`` objects. ``seed`` (0 … 2⁶⁴−1) decides all that is random; a dict
    like ``{"init": 1, "order": 2, "masks": 3}`` (0 where one is left out) decides apart over initial weights, over the
    order of the examples, and over masks, noise, augmentation and mixup. ``dtype`` is float32 or float64; by default
    that of what is inside, and float32 in ``fastnn``, float64 in the reference ``fastnn_ref``, where nothing inside
    has one yet. A layer that already has values keeps them, rounded to the dtype. ``penalty`` is one, or several in a
    row, of ``L1``, ``L2``, ``ElasticNet`` and ``MaxNorm`` for all weights inside. ``input_shape`` is the shape of one
    example, (channels, height, width) for images: layers that do not fit it, such as a ``Linear`` behind ``Flatten``,
    are then an error here instead of at the first use, and ``summary`` shows every shape. Raises ValueError or
    TypeError for anything else, and takes no layer then.

    A model inside another one follows the outer one's seed, and its dtype if the outer one chose one; the inner one
    may have penalties for its part. It cannot be trained on its own until the outer one is gone. Nothing but the
    user's own reference keeps an outer model alive.

    ``len(model)``, ``model[i]`` and iteration give the layers; ``model[a:b]`` is a part with the same arrays, which
    predicts.

    >>> import numpy as np, fastnn_ref as nn
    >>> model = nn.Sequential(nn.Linear(2, 8, activation="tanh"), nn.Linear(8, 2), seed=0)
    >>> x, t = np.array([[0, 0], [0, 1], [1, 0], [1, 1.0]]), np.array([0, 1, 1, 0])
    >>> history = model.fit(x, t, loss=nn.CrossEntropyLoss(), optimizer=nn.Adam(lr=0.05), epochs=200, batch_size=4)
    >>> model.predict(x).argmax(axis=1).tolist()
    [0, 1, 1, 0]
    >>> len(model), model[0], model[:1].predict(x).shape
    (2, Linear(2, 8, activation=Tanh()), (4, 8))
    """

    _numbered = 0
    _given_shape: Shape | None = None       # the argument input_shape, which the attribute completes
    _whole: Model | None = None             # of a part: the model, which the part keeps alive

    def __init__(self, *layers: Any, seed: int | Mapping[str, int] = 0, dtype: npt.DTypeLike | None = None,
                 penalty: Penalty | Sequence[Penalty] | None = None,
                 input_shape: Sequence[int] | None = None) -> None:
        found = as_model_seed(seed)
        chosen = None if dtype is None else as_dtype(dtype, DEFAULT_DTYPE)
        self.layers = tuple(as_layer(f"layers[{index}]", layer) for index, layer in enumerate(layers))
        self._given_shape = None if input_shape is None else checks.as_shape("input_shape", input_shape)
        self._input_shape = check_chain(self.layers, Layer, self._given_shape)
        self.penalty = self._penalties = as_tuple_of("penalty", penalty, Penalty)
        if chosen is None:
            as_common_dtype(dtypes_inside(self))
        self._own_network = Network(self, found, chosen)
        self.adopt()

    @property
    def changes_shape(self) -> bool:                    # type: ignore[override]
        """Does y have another shape than x?"""
        return any(layer.changes_shape for layer in self.layers)

    def children(self) -> tuple[tuple[str, Layer], ...]:
        return tuple((str(index), layer) for index, layer in enumerate(self.layers))

    def output_shape(self, shape: Shape) -> Shape:
        """The last layer's output shape for the first one's input ``shape``."""
        for layer in self.layers:
            shape = layer.output_shape(shape)
        return tuple(shape)

    def min_batch_size(self, shape: Shape) -> int:
        """The most that any of the layers needs."""
        least = 1
        for layer in self.layers:
            least, shape = max(least, layer.min_batch_size(shape)), layer.output_shape(shape)
        return least

    def forward_pass(self, x: Array, training: bool) -> Array:
        for layer in self.layers:
            x = layer.forward_pass(x, training)
        return x

    def backward_pass(self, dy: Array) -> Array:
        for layer in reversed(self.layers):
            dy = layer.backward_pass(dy)
        return dy

    # ---- a row of layers ----

    def __len__(self) -> int:
        return len(self.layers)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.layers)

    def __getitem__(self, index: int | slice) -> Any:
        """A layer, or for a slice the part of the model with these layers."""
        if not isinstance(index, slice):
            return self.layers[index]
        layers = self.layers[index]
        shape, given = check_part(layers, Layer, self, index)
        part = object.__new__(Sequential)
        part.__dict__.update(_made=True, layers=layers, penalty=(), _input_shape=shape, _given_shape=given, _whole=self,
                             _around=weakref.ref(self))
        part._own_network = Network(part, self.network.seed, self.network.chosen_dtype)     # for a copy
        return part
