"""Flatten and Unflatten: the same values, in the same order, with other axes.

    forward     y = x, with the shape of y          Flatten     (n, channels, h, w) → (n, channels · h · w)
    backward    dx = dy, with the shape of x        Unflatten   back

Engine: fastnn/flatten.pyx.
"""

from .layer import Array, Layer, Shape
from .shared.shapes import as_axis, as_sizes, flattened_shape, unflattened_shape


class Reshaped(Layer):
    """What Flatten and Unflatten share: the values stay in their order, and the axes become others."""

    changes_shape = True

    def forward_pass(self, x: Array, training: bool) -> Array:
        self._saved = x.shape
        return x.reshape(len(x), *self.output_shape(x.shape[1:]))

    def backward_pass(self, dy: Array) -> Array:
        return dy.reshape(self._saved)


class Flatten(Reshaped):
    """The axes from ``start_dim`` to ``end_dim`` as one: by default each example as a row, x (n, …), y (n, k).

    Axes are counted from the batch's, which is 0 and stays, or from the end: −1 is the last. ValueError for 0 and for
    axes that x does not have.

    >>> import numpy as np, fastnn_ref as nn
    >>> nn.Flatten()(np.zeros((5, 3, 8, 8))).shape, nn.Flatten(2)(np.zeros((5, 3, 8, 8))).shape
    ((5, 192), (5, 3, 64))
    """

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        self.start_dim, self.end_dim = as_axis("start_dim", start_dim), as_axis("end_dim", end_dim)

    def output_shape(self, shape: Shape) -> Shape:
        """``shape`` with one axis in place of those from ``start_dim`` to ``end_dim``."""
        return flattened_shape(type(self).__name__, shape, self.start_dim, self.end_dim)


class Unflatten(Reshaped):
    """The axis ``dim`` as several, of the sizes ``unflattened_size``; one of them may be −1, what is left.

    Axes are counted as in ``Flatten``. ValueError for sizes whose product is not that of the axis.

    >>> import numpy as np, fastnn_ref as nn
    >>> nn.Unflatten(1, (3, -1, 8))(np.zeros((5, 192))).shape
    (5, 3, 8, 8)
    """

    def __init__(self, dim: int, unflattened_size: int | Shape) -> None:
        self.dim = as_axis("dim", dim)
        self.unflattened_size = as_sizes("unflattened_size", unflattened_size)

    def output_shape(self, shape: Shape) -> Shape:
        """``shape`` with axes of ``unflattened_size`` in place of ``dim``."""
        return unflattened_shape(type(self).__name__, shape, self.dim, self.unflattened_size)
