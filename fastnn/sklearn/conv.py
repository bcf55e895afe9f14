"""Convolutional networks for images: convolutions in front of what mlp.py has."""

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from fastnn_ref.shared import checks
from fastnn_ref.shared.diagnosis import warn

from .base import keep
from .mlp import Classifier
from .training import as_activation


class ConvClassifier(Classifier):
    """A convolutional network for images: ``MLPClassifier`` behind convolutions.

    For each of ``channels`` there is a convolution with windows of ``kernel_size``, padded to keep the size, an
    activation and a maximum over ``pool_size``; then the hidden layers. ``X`` is (n, height, width), (n, channels,
    height, width), or rows of all pixels, with ``image_shape`` (height, width) or (channels, height, width). None means
    square images of one channel; rows that are none are taken as images of one line, with a warning. Initial weights
    are fastnn's (He's, Glorot's). All else is as in ``MLPClassifier``.

    >>> from fastnn.sklearn import ConvClassifier
    >>> from sklearn.datasets import load_digits
    >>> X, y = load_digits(return_X_y=True)
    >>> model = ConvClassifier((8,), batch_size=32, learning_rate_init=0.01, tol=0.01, n_iter_no_change=2,
    ...                        random_state=0)
    >>> model.fit(X[:500] / 16, y[:500]).score(X[500:700] / 16, y[500:700]) > 0.8
    True
    """

    def __init__(
        self, channels: Any = (16, 32), hidden_layer_sizes: Any = (100,), activation: Any = "relu", *,
        kernel_size: int = 3, pool_size: int = 2, image_shape: Any = None, solver: str = "adam",
        alpha: float = 0.0001, batch_size: Any = "auto", learning_rate: str = "constant",
        learning_rate_init: float = 0.001, power_t: float = 0.5, max_iter: int = 200, shuffle: bool = True,
        random_state: Any = None, tol: float = 1e-4, verbose: bool = False, warm_start: bool = False,
        momentum: float = 0.9, nesterovs_momentum: bool = True, early_stopping: bool = False,
        validation_fraction: float = 0.1, beta_1: float = 0.9, beta_2: float = 0.999, epsilon: float = 1e-8,
        n_iter_no_change: float = 10, max_fun: int = 15000, loss: Any = "log_loss", dropout: float = 0.0,
        batch_norm: bool = False, label_smoothing: float = 0.0, class_weight: Any = None, callbacks: Any = None,
        n_threads: int | None = None, dtype: Any = None, backend: str = "fast",
    ) -> None:
        keep(self, locals())

    def _check_parameters(self) -> list[int]:
        for name in "kernel_size", "pool_size":
            checks.as_integer(name, getattr(self, name), 1)
        if self.kernel_size % 2 == 0:
            raise ValueError(f"kernel_size: expected an odd number, so that images keep their size, got "
                             f"{self.kernel_size}")
        return super()._check_parameters()

    def _reshape(self, x: Any, fitting: bool) -> Any:
        x = np.asarray(x) if isinstance(x, list | tuple) else x
        shape: Any = getattr(x, "shape", ())
        if len(shape) not in (3, 4):
            if fitting:
                self._images = None
            return x
        image = shape[1:] if len(shape) == 4 else (1, *shape[1:])
        if fitting:
            self._images = image
        wanted = self._images if self.image_shape is None else self._asked()
        if wanted is None:
            wanted = self._input_shape
        if tuple(image) != tuple(wanted):
            hint = "; pass X.transpose(0, 3, 1, 2)" if tuple(np.roll(image, 1)) == tuple(wanted) else ""
            raise ValueError(f"X: expected images {checks.format_shape(wanted)}, got {checks.format_shape(image)}"
                             f"{hint}")
        if fitting and image[-1] in (1, 3, 4) and image[0] > 4:
            raise ValueError(f"X: expected images (n, channels, height, width), got {checks.format_shape(shape)}, "
                             "where the channels seem to come last; pass X.transpose(0, 3, 1, 2)")
        return np.asarray(x).reshape(shape[0], math.prod(image))

    def _asked(self) -> tuple[int, ...]:
        """``image_shape`` as (channels, height, width)."""
        shape = checks.as_shape("image_shape", self.image_shape)
        if len(shape) not in (2, 3):
            raise ValueError(f"image_shape: expected (height, width) or (channels, height, width), got {shape}")
        return shape if len(shape) == 3 else (1, *shape)

    def _shape_of_input(self) -> tuple[int, ...]:
        features = self.n_features_in_
        if self.image_shape is not None:
            shape = self._asked()
            if math.prod(shape) != features:
                raise ValueError(f"image_shape: expected {features} pixels, as X has features, got {shape}")
            return shape
        if self._images is not None:
            return tuple(self._images)
        side = math.isqrt(features)
        if side * side == features:
            return 1, side, side
        warn(f"X: {features} features are no square image, and are taken as one line of {features} pixels; "
             "image_shape=(height, width) or (channels, height, width) says what they are", UserWarning)
        return 1, 1, features

    def _front(self, nn: Any, features: int) -> tuple[list[Any], int]:
        inside, height, width = self._input_shape
        layers: list[Any] = []
        sizes = self.channels if isinstance(self.channels, Iterable) else [self.channels]
        for outside in sizes:
            outside = checks.as_integer("channels", outside, 1)
            activation, padding = as_activation(nn, self.activation), self.kernel_size // 2
            if self.batch_norm:
                apart = nn.Linear(1, 1, activation=activation).activation
                plain = nn.Conv2d(inside, outside, self.kernel_size, padding=padding)
                layers += [plain, nn.BatchNorm2d(outside), apart]
            else:
                layers.append(nn.Conv2d(inside, outside, self.kernel_size, padding=padding, activation=activation))
            pool = min(self.pool_size, height), min(self.pool_size, width)
            layers.append(nn.MaxPool2d(pool))
            inside, height, width = outside, height // pool[0], width // pool[1]
        return [*layers, nn.Flatten()], inside * height * width

    def _initial(self, sizes: list[int], random: Any) -> list[tuple[Any, Any]]:
        return []

    def _set_initial(self, start: list[tuple[Any, Any]]) -> None:
        """Each layer draws its own."""
