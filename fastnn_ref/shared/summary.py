"""summary: a table of a model's layers, output shapes and parameters."""

from __future__ import annotations

from typing import Any

from . import checks


class Summary(str):
    """Text that shows itself as it is, also at the prompt."""

    def __repr__(self) -> str:
        return str(self)


def summary(model: Any) -> Summary:
    """A table of a model's layers: what each is, its output's shape, its parameters, and how many weights are 0.

    >>> import fastnn_ref as nn
    >>> summary(nn.Sequential(nn.Linear(64, 32, activation="relu"), nn.Linear(32, 10)))
    layer                                     output     parameters
    0  Linear(64, 32, activation=ReLU())      (n, 32)         2,080
    1  Linear(32, 10)                         (n, 10)           330
    total                                                     2,410
    """
    rows, shape, total, zeros = [], model.input_shape, 0, 0
    for index, layer in enumerate(model.layers):
        shape = None if shape is None else layer.output_shape(shape)
        count = sum(value.size for value in layer.params.values())
        total, zero = total + count, exact_zeros(layer)
        zeros += zero
        rows.append((f"{index}  {layer!r}", "" if shape is None else checks.format_shape(("n", *shape)), f"{count:,}",
                     f"{zero:,}"))
    rows = [("layer", "output", "parameters", "exact zeros"), *rows, ("total", "", f"{total:,}", f"{zeros:,}")]
    first, second = max(40, *(len(row[0]) + 2 for row in rows)), max(len(row[1]) for row in rows) + 2
    return Summary("\n".join(
        f"{a:<{first}}  {b:<{second}}{c:>12}{f'{d:>13}' if zeros else ''}".rstrip() for a, b, c, d in rows))


def exact_zeros(layer: Any) -> int:
    """How many of a layer's weights, biases apart, are 0: what L1 is for."""
    return sum(int((value == 0).sum()) for _, value, _, decays in layer.parameters() if decays)
