"""Embedding: each whole number, such as that of a word or of a character, has a row of a table, which is learnt.

    y[…] = W[x]     dW[i] = Σ dy where x is i,  dx = 0

It is a ``Linear`` of one-hot rows without the product: x has no derivative, and an optimizer changes the table like any
other weight.

Source: Bengio, Ducharme, Vincent and Jauvin, "A neural probabilistic language model" (2003).
Engine: fastnn/embedding.pyx.
"""

import numpy as np

from . import init as initialisers
from .layer import Array, Layer, Shape
from .shared import checks
from .shared.arrays import first_row, no_row
from .shared.parameter import Parameter
from .shared.shapes import as_table_shape


def row_numbers(x: Array, count: int) -> Array:
    """x as integers 0 … count − 1; ValueError for one that is not within a thousandth of such a number."""
    near = np.where((x > -1) & (x < count), x, x.dtype.type(-1))    # what is not even near, NaN included, is no row
    whole = np.rint(near)                           # x + ½ would be rounded: a large float32 has no halves
    wrong = ~((np.abs(near - whole) <= 1e-3) & (whole >= 0) & (whole < count))
    if wrong.any():
        raise no_row(count, float(x[wrong][0]), first_row(wrong))
    return whole.astype(np.int64)


class Embedding(Layer):
    """y[i] = weight[x[i]]: a row of a table for each whole number; x (n, …) becomes (n, …, embedding_dim).

    ``num_embeddings`` rows, 1 … 2²⁴, are numbered from 0; ``embedding_dim`` >= 1. ``init`` names the table's
    initialiser, by default normal numbers of variance 1, as in PyTorch. x is given as integers, or as whole numbers in
    floats; one that is off by more than a thousandth, or has no row, is a ValueError, and the step has not happened.
    Weight decay and penalties apply to the table.

    >>> import numpy as np, fastnn_ref as nn
    >>> model = nn.Sequential(nn.Embedding(27, 2), nn.Flatten(), nn.Linear(6, 27), seed=0)
    >>> contexts = np.array([[0, 0, 5], [0, 5, 13]])
    >>> model.predict(contexts).shape
    (2, 27)
    >>> bool((model[:1].predict(contexts)[0, 2] == model[0].weight[5]).all())
    True
    """

    changes_shape = True
    weight = Parameter("The table, shape (num_embeddings, embedding_dim)")

    def __init__(self, num_embeddings: int, embedding_dim: int, init: str = "normal") -> None:
        self.num_embeddings, self.embedding_dim = as_table_shape(num_embeddings, embedding_dim)
        self.init = initialisers.as_init(init, (num_embeddings, embedding_dim))
        self.add("weight", (self.num_embeddings, self.embedding_dim), self.init)

    def output_shape(self, shape: Shape) -> Shape:
        """(…, embedding_dim) for (…)."""
        return (*checks.as_example_shape(shape), self.embedding_dim)

    def forward_pass(self, x: Array, training: bool) -> Array:
        numbers = self._saved = row_numbers(x, self.num_embeddings)
        return self.values["weight"][numbers]

    def backward_pass(self, dy: Array) -> Array:
        dw = np.zeros_like(self.values["weight"])
        np.add.at(dw, self._saved, dy)
        self.set_gradients(dw)
        return np.zeros(self._saved.shape, dy.dtype)
