"""The figures of docs/tutorial.md, which stand in docs/tutorial.json.

``python examples/tutorial.py --json docs/tutorial.json`` writes it. The build stops when the programs that were
measured have changed since.
"""

import functools
import hashlib
import json
from html import escape
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError
from sphinx.util.docutils import SphinxDirective, SphinxRole

from fastnn.lab import report
from fastnn.lab.words import decimal

DOCS = Path(__file__).parents[1]
FIGURES = DOCS / "tutorial.json"
PROGRAMS = [DOCS.parent / "examples" / name for name in ("plain_python.py", "tutorial.py")]
HEADS = {"en": ("step", "written in", "test accuracy", "epochs", "an epoch takes"),
         "ru": ("шаг", "на чём написано", "точность на тесте", "эпох", "эпоха длится")}
ROWS = {
    "layer": ("a layer, 64-10", "слой, 64-10", "Python"),
    "hidden": ("two layers, 64-32-10", "два слоя, 64-32-10", "Python"),
    "reference": ("the same", "то же", "NumPy: fastnn_ref"),
    "engine": ("the same", "то же", "C: fastnn, float64"),
    "engine32": ("the same", "то же", "C: fastnn, float32"),
    "regularized": ("64-128-10, dropout, L2", "64-128-10, прореживание, L2", "C: fastnn, float32"),
    "convolutional": ("a convolutional network, regularized", "свёрточная сеть с регуляризацией", "C: fastnn, float32"),
}


@functools.cache
def figures() -> dict[str, Any]:
    """Step → its figures."""
    return json.loads(FIGURES.read_text("utf-8"))["steps"]


def duration(seconds: float, language: str) -> str:
    """Three digits and a unit."""
    scale, *units = next(each for each in ((1, "s", "с"), (1e3, "ms", "мс"), (1e6, "µs", "мкс"))
                         if seconds * each[0] >= 1)
    return f"{decimal(f'{seconds * scale:.3g}', language)} {units[language == 'ru']}"


def table(language: str) -> str:
    """The HTML of a table of all steps."""
    rows = [[escape(ROWS[name][language == "ru"]), escape(ROWS[name][2]),
             decimal(f"{each['accuracy']:.1f} %", language), str(each["epochs"]),
             duration(each["seconds"], language)] for name, each in figures().items()]
    return report.grid(HEADS[language], rows)


def shown(text: str, language: str) -> str:
    """What the role ``tutorial`` shows."""
    name, what, *other = text.split()
    if what == "/":
        ratio = f"{figures()[name]['seconds'] / figures()[other[0]]['seconds']:,.2g}"
        found = f"{float(ratio.replace(',', '')):,.0f}"
    else:
        value = figures()[name][what]
        found = duration(value, language) if what == "seconds" else \
            f"{value:.1f} %" if what == "accuracy" else f"{value:.2g}"
    return found.replace(",", "\u00a0").replace(".", ",") if language == "ru" else found


class Figures(SphinxDirective):
    """The table of all steps."""

    def run(self) -> list[nodes.Node]:
        self.env.note_dependency(str(FIGURES))
        return [nodes.raw("", f'<div class="lab">{table(self.config.language)}</div>', format="html")]


class Figure(SphinxRole):
    """A figure in running text: {tutorial}`hidden accuracy`, `hidden seconds`, `hidden apart`, `hidden / engine`, how
    many times as long an epoch takes."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        return [nodes.Text(shown(self.text, self.config.language))], []


def check(app: Sphinx, config: Any) -> None:
    now = hashlib.sha256(b"".join(each.read_bytes() for each in PROGRAMS)).hexdigest()
    if json.loads(FIGURES.read_text("utf-8"))["sources"] != now:
        raise ExtensionError("docs/tutorial.json is stale: python examples/tutorial.py --json docs/tutorial.json")


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("config-inited", check)
    app.add_directive("tutorial-figures", Figures)
    app.add_role("tutorial", Figure())
    return {"parallel_read_safe": True, "parallel_write_safe": True}
