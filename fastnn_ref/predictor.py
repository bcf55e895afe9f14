"""Predictor: a model's prediction, apart from the model.

    y = model.predict(x), with the parameters as they were when the predictor was made

The engine prepares once what each of its predictions would prepare again: weights in the order in which the kernels
read them. There is nothing of that kind here, where a predictor is a copy of the model.

Engine: fastnn/predictor.pyx.
"""

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .layer import Array
from .model import Model
from .network import Shape
from .shared.access import walk
from .shared.network import as_seeds
from .shared.objects import attributes_of, check_instance, put_attributes
from .shared.prediction import classes_by, proba_by


class Predictor:
    """What ``model.predict`` gives for the model as it is now, to the same bits, whatever happens to the model later.

    ``model`` is a model, a part of one (``model[1:3]``) or one inside another model; else TypeError, and RuntimeError
    while another thread trains it. ``model.predictor()`` makes one, too.

    It is for serving: any number of threads predict at once, also while the model is trained on, and ``fastnn`` reads
    weights in an order that is worked out once, here. That makes 3 to some hundred examples through wide ``Linear``
    layers, and few images through convolutions, faster. It takes the memory of the parameters twice (of Winograd's
    3 × 3 convolutions 5 times); ``copy.deepcopy`` and pickle make another one. A subclass that overrides ``predict``,
    to scale x for example, has it called by the other three, too.

    >>> import numpy as np, fastnn_ref as nn
    >>> model = nn.Sequential(nn.Linear(2, 3, init="ones"), nn.ReLU())
    >>> predictor = model.predictor()
    >>> model[0].weight[...] = 0
    >>> predictor([[1.0, 2.0]]).tolist(), model([[1.0, 2.0]]).tolist()
    ([[3.0, 3.0, 3.0]], [[0.0, 0.0, 0.0]])
    """

    _kept_copy: Model | None = None

    def __init__(self, model: Model) -> None:
        check_instance("model", model, Model)
        with model.network.locked() as network:
            network.wake()
            streams = [layer._index for _, layer in walk(model)]
            self._kept_copy, self._seed_of_copy = copy.deepcopy(model), network.seed
            self._draw_as_model(network.dtype, streams)

    def _copy_of_model(self) -> Model:
        if self._kept_copy is None:
            raise RuntimeError(f"{type(self).__name__}: made without a call of __init__")
        return self._kept_copy

    def _draw_as_model(self, dtype: np.dtype[Any], streams: Sequence[int]) -> None:
        """Makes the copy draw from the model's random numbers, in its dtype."""
        network = self._copy_of_model().network
        network.seed, network.seeds, network.chosen_dtype = self._seed_of_copy, as_seeds(self._seed_of_copy), dtype
        layers = [layer for _, layer in walk(self._copy_of_model())]
        for layer in layers:
            layer.gradients.clear()
        network.wake()
        for layer, stream in zip(layers, streams, strict=True):
            layer._index = stream

    @property
    def dtype(self) -> np.dtype[Any]:
        """float32 or float64: that of the model."""
        return self._copy_of_model().dtype

    @property
    def input_shape(self) -> Shape | None:
        """The shape of one example, None where more than one fits."""
        return self._copy_of_model().input_shape

    def output_shape(self, shape: Shape) -> Shape:
        """The shape of one example's output for one example of ``shape``; ValueError if that does not fit."""
        return self._copy_of_model().output_shape(shape)

    def __call__(self, x: Any) -> Array:
        """``predict(x)``."""
        return self.predict(x)

    def predict(self, x: Any, batch_size: int = 1024) -> Array:
        """y for ``x`` (n, …), ``batch_size`` >= 1 rows at a time, as ``model.predict`` gives it.

        >>> import numpy as np, fastnn_ref as nn
        >>> nn.Sequential(nn.Linear(4, 3), nn.Softmax()).predictor().predict(np.zeros((2500, 4))).shape
        (2500, 3)
        """
        return self._copy_of_model().predict(x, batch_size)

    def predict_proba(self, x: Any, batch_size: int = 1024, multilabel: bool = False) -> Array:
        """The probability of each class, as ``model.predict_proba`` gives it."""
        return proba_by(self._copy_of_model(), self.predict, x, batch_size, multilabel)

    def predict_classes(self, x: Any, batch_size: int = 1024, multilabel: bool = False) -> Array:
        """The number of the likeliest class for each row, as ``model.predict_classes`` gives it."""
        return classes_by(self._copy_of_model(), self.predict, x, batch_size, multilabel)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._copy_of_model()!r})"

    def __copy__(self) -> "Predictor":
        return copy.deepcopy(self)

    def __getstate__(self) -> dict[str, Any]:
        streams = [layer._index for _, layer in walk(self._copy_of_model())]
        return {**attributes_of(self), "_made_from": (self.dtype, streams)}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        put_attributes(self, state)
        self._draw_as_model(*self.__dict__.pop("_made_from"))
