"""Parallel: branches side by side on the same input, whose outputs are put together. Select: a part of the input.

    concat      y = [branch_1(x), …, branch_k(x)]   dx = Σ branch_i's backward of its part of dy
    add         y = Σ branch_i(x)                   dx = Σ branch_i's backward of dy
    select      y = x[:, start:stop]                dx is dy there, and 0 elsewhere

x goes into every branch, so what the branches say about the way back adds up. A network with several inputs gets them
side by side in one array, and each of its branches begins with a ``Select``.

Sources: Cheng et al., "Wide & deep learning for recommender systems" (2016); Szegedy et al., "Going deeper with
convolutions" (2015). Engine: fastnn/parallel.pyx.
"""

from typing import Any

import numpy as np

from .custom import as_layer
from .layer import Array, Layer, Shape
from .shared import checks
from .shared.shapes import as_slice, check_branches, merged_shape, selected_shape


def merged(ys: list[Array], merge: str) -> Array:
    """The outputs of all branches side by side, or their sum."""
    return np.concatenate(ys, axis=1) if merge == "concat" else sum(ys[1:], ys[0])


class Parallel(Layer):
    """Branches on the same x (n, …): their outputs side by side, or with ``merge="add"`` their sum.

    ``branches`` are layers, models and ``CustomLayer`` objects, at least one. ``"concat"`` puts features (n, f) or
    channels (n, c, h, w) one behind the other, and the other axes must agree; for ``"add"`` all shapes must agree.
    ValueError where they do not. ``Residual(block)`` is ``Parallel(Identity(), block, merge="add")``.

    >>> import numpy as np, fastnn_ref as nn
    >>> layer = nn.Parallel(nn.Identity(), nn.ReLU())
    >>> layer(np.array([[-1.0, 2.0]])).tolist()
    [[-1.0, 2.0, 0.0, 2.0]]
    >>> wide_and_deep = nn.Sequential(nn.Parallel(
    ...     nn.Sequential(nn.Select(0, 5), nn.Linear(5, 1)),
    ...     nn.Sequential(nn.Select(5, 8), nn.Linear(3, 16, activation="relu"), nn.Linear(16, 1)), merge="add"))
    >>> wide_and_deep.predict(np.zeros((7, 8))).shape
    (7, 1)
    """

    changes_shape = True
    _numbered = 0

    def __init__(self, *branches: Any, merge: str = "concat") -> None:
        self.merge = checks.as_choice("merge", merge, ("concat", "add"))
        self.branches = tuple(as_layer(f"branches[{index}]", branch) for index, branch in enumerate(branches))
        self._input_shape = check_branches(self.branches, Layer, self.merge)
        self.adopt()

    def children(self) -> tuple[tuple[str, Layer], ...]:
        return tuple((str(index), branch) for index, branch in enumerate(self.branches))

    def output_shape(self, shape: Shape) -> Shape:
        """The branches' output shapes put together."""
        return merged_shape(self.branches, shape, self.merge)

    def min_batch_size(self, shape: Shape) -> int:
        """The most that any branch needs."""
        return max(branch.min_batch_size(shape) for branch in self.branches)

    def forward_pass(self, x: Array, training: bool) -> Array:
        ys = [branch.forward_pass(x, training) for branch in self.branches]
        self._saved = np.cumsum([y.shape[1] for y in ys])[:-1] if self.merge == "concat" else None
        return merged(ys, self.merge)

    def backward_pass(self, dy: Array) -> Array:
        parts = np.split(dy, self._saved, axis=1) if self.merge == "concat" else [dy] * len(self.branches)
        first, *others = (branch.backward_pass(part) for branch, part in zip(self.branches, parts, strict=True))
        return sum(others, first)


class Select(Layer):
    """y = x[:, start:stop]: some neighbouring features of x (n, f), or channels of x (n, c, h, w).

    0 <= ``start`` < ``stop``, and ``stop`` at most f or c, else ValueError. What a branch of ``Parallel`` begins with
    that sees only its part of the input.

    >>> import numpy as np, fastnn_ref as nn
    >>> nn.Select(1, 3)(np.array([[1.0, 2.0, 3.0, 4.0]])).tolist()
    [[2.0, 3.0]]
    """

    changes_shape = True

    def __init__(self, start: int, stop: int) -> None:
        self.start, self.stop = as_slice(start, stop)

    def output_shape(self, shape: Shape) -> Shape:
        """(stop − start, …) for (f, …)."""
        return selected_shape(shape, self.start, self.stop)

    def forward_pass(self, x: Array, training: bool) -> Array:
        self._saved = x.shape
        return x[:, self.start:self.stop]

    def backward_pass(self, dy: Array) -> Array:
        dx = np.zeros(self._saved, dy.dtype)
        dx[:, self.start:self.stop] = dy
        return dx
