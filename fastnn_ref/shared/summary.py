"""summary: a table of a model's layers, output shapes and parameters, as text and for notebooks."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from . import checks
from .access import walk
from .objects import is_a, is_container
from .shapes import check_chain

LEFT, RIGHT = "text-align: left", "text-align: right"


class Row(NamedTuple):
    """One layer: its name and call, the shape of its output, how many parameters it has, how many weights are 0."""

    layer: str
    output: str
    parameters: str
    zeros: str


class Summary(str):
    """Text that shows itself as it is, also at the prompt; in a notebook, as a table."""

    rows: Sequence[Row]                             # the heading first, the total last

    def __new__(cls, rows: Sequence[Row]) -> Summary:
        first = max(40, *(len(row.layer) + 2 for row in rows))
        second = max(len(row.output) for row in rows) + 2
        third = max(12, *(len(row.parameters) for row in rows))
        text = super().__new__(cls, "\n".join(
            f"{a:<{first}}  {b:<{second}}{c:>{third}}{f'{d:>13}' if rows[0].zeros else ''}".rstrip()
            for a, b, c, d in rows))
        text.rows = rows
        return text

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        import html  # of use to a notebook alone

        lines = []
        for index, row in enumerate(self.rows):
            cell = "td" if 0 < index < len(self.rows) - 1 else "th"
            shown = row if self.rows[0].zeros else row[:3]
            lines.append("".join(f'<{cell} style="{LEFT if place < 2 else RIGHT}">{html.escape(text)}</{cell}>'
                                 for place, text in enumerate(shown)))
        return "<table><tr>" + "</tr>\n<tr>".join(lines) + "</tr></table>"


def summary(model: Any, input_shape: Sequence[int] | None = None) -> Summary:
    """A table of a model's layers: what each is, its output's shape, its parameters, and how many weights are 0.

    Shapes are known behind the first layer that knows its input, everywhere if the model does, or for ``input_shape``,
    the shape of one example: then a layer that does not fit, such as a ``Linear`` behind ``Flatten``, is a ValueError
    that names it. Layers inside a model, a ``Residual``, a ``Parallel`` or the like have rows of their own; frozen
    parameters are counted apart. A notebook shows the table in HTML, of a model, too. Nothing is
    changed: initial values that are not drawn yet stay so.

    >>> import fastnn_ref as nn
    >>> nn.Sequential(nn.Linear(64, 32, activation="relu"), nn.Linear(32, 10)).summary()
    layer                                     output     parameters
    0  Linear(64, 32, activation=ReLU())      (n, 32)         2,080
    1  Linear(32, 10)                         (n, 10)           330
    total                                                     2,410
    >>> cnn = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten(), nn.Linear(100, 10))
    >>> cnn.summary(input_shape=(1, 8, 8))
    Traceback (most recent call last):
    ValueError: layers[2]: Linear expects (100,) per example, gets (144,) from layers[1]
    """
    shape = model.input_shape
    if input_shape is not None:
        shape = check_chain(model.layers, object, checks.as_shape("input_shape", input_shape))
    count, zeros = count_parameters(model), exact_zeros(model)
    frozen = count - count_parameters(model, only_trained=True)
    parts = [Row("trainable", "", f"{count - frozen:,}", ""), Row("frozen", "", f"{frozen:,}", "")] if frozen else []
    return Summary([Row("layer", "output", "parameters", "exact zeros" if zeros else ""),
                    *chain_rows("", enumerate(model.layers), shape), *parts,
                    Row("total", "", f"{count:,}", f"{zeros:,}")])


def summary_html(model: Any) -> str:
    """What a notebook shows of a model: its summary."""
    return summary(model)._repr_html_()


def chain_rows(prefix: str, layers: Iterable[tuple[object, Any]], shape: Any) -> Iterator[Row]:
    """The rows of (name, layer) in a row, of which the first gets examples of ``shape``, and of what is inside them."""
    for name, layer in layers:
        shape = layer.input_shape if shape is None else shape
        output = None if shape is None else layer.output_shape(shape)
        text = "" if output is None else checks.format_shape(("n", *output))
        if is_container(layer):
            p = f"(p={layer.p:g})" if hasattr(layer, "p") else ""
            yield Row(f"{prefix}{name}  {type(layer).__name__}{p}", text, "", "")
            chain = is_a(layer, "Sequential")            # else each gets the same input
            for part in [layer.children()] if chain else [[each] for each in layer.children()]:
                yield from chain_rows(f"{prefix}{name}.", part, shape)
        else:
            frozen = "" if layer.trainable or not layer.specs else "  frozen"
            yield Row(f"{prefix}{name}  {layer!r}{frozen}", text, f"{count_parameters(layer):,}",
                      f"{exact_zeros(layer):,}")
        shape = output


def count_parameters(layer: Any, only_trained: bool = False) -> int:
    """How many numbers training changes, from their shapes: to look at values would draw them.

    Those of frozen layers count, too, unless ``only_trained``.
    """
    return sum(math.prod(spec.shape) for _, each in walk(layer) if each.trainable or not only_trained
               for spec in each.specs.values() if spec.trainable)


def exact_zeros(layer: Any) -> int:
    """How many of a layer's weights, biases apart, are 0: what L1 is for. Those that are not drawn yet do not count."""
    return sum(int((value == 0).sum()) for _, each in walk(layer) for name, value in each.values.items()
               if each.specs[name].decays)
