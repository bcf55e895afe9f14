"""Formulas as MathML, which browsers draw themselves: docutils translates them while the site is built.

Sphinx's own renderers load a program from another host, or make pictures with LaTeX. Words in a formula are translated
here, as Sphinx cannot translate a formula that stands by itself.
"""

import re
from typing import Any

from docutils import nodes
from docutils.utils.math import MathError
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.application import Sphinx
from sphinx.util import logging

logger = logging.getLogger(__name__)

RUSSIAN = {
    "at prediction": "при предсказании", "batch": "пакет", "constant": "const", "data": "data", "examples": "примеры",
    "flip": "отражение", "for": "при", "if": "при", "in": "in", "in training": "при обучении", "loss": "loss",
    "max": "max", "min": "min", "of the shape": "формы", "out": "out", "relu": "relu", "rotation": "поворот",
    "shear": "перекос", "so": "откуда", "stop after epoch": "остановка после эпохи", "whole": "целое",
    "with L1": "с L1", "with L2": "с L2", "with the factor": "с множителем", "zoom": "увеличение",
}  # fmt: skip


def russian(formula: str, node: nodes.Element) -> str:
    """The formula with Russian words in ``\\text{…}``; a warning for one that is not among ``RUSSIAN``.

    A comma between thousands becomes a space: in Russian 9,610 is less than ten.
    """
    def translated(found: re.Match[str]) -> str:
        word = found[2].strip()
        if word not in RUSSIAN:
            logger.warning("formula: no Russian for %r in docs/_extensions/mathml.py", word, location=node)
        return found[1] + found[2].replace(word, RUSSIAN.get(word, word)) + "}"

    return re.sub(r"(\\text\{)([^}]*)\}", translated, formula.replace("{,}", r"\,"))


def with_commas(element: str) -> str:
    """The ``<math>`` element with decimal commas; between the numbers of a list that has one stand semicolons then."""
    found = re.sub(r"<mn>(\d+)\.(\d+)</mn>", r"<mn>\1,\2</mn>", element)
    return found if found == element else found.replace("<mo>,</mo>", "<mo>;</mo>")


ACCENTED = re.compile(r'<munderover>\s*(<mi>[^<]*</mi>)\s*(.*?)\s*(<mo stretchy="false">[^<]</mo>)\s*</munderover>',
                      re.DOTALL)


DIGITS = re.compile(r"(\\[dt]?frac)(\d)(\d)")          # of 1 and 2; docutils reads 12


APPLIED = re.compile(r'<mo>(&ApplyFunction;)</mo>(?!\s*<mo stretchy="false">\()')


def beside(element: str) -> str:
    """The ``<math>`` element with the index of an accented letter beside it; docutils puts it under the letter. The
    bars of a norm keep their size: with an exponent the last one hung below the line. Behind ln stands a thin space,
    unless a parenthesis does."""
    element = ACCENTED.sub(r'<msub><mover accent="true">\1\3</mover>\2</msub>', element)
    element = APPLIED.sub(r'<mo rspace="0.1667em">\1</mo>', element)
    return element.replace("<mo>‖</mo>", '<mo stretchy="false">‖</mo>')


def mathml(writer: Any, node: nodes.Element, as_block: bool) -> str:
    """The formula as a ``<math>`` element; a warning, and its source, if docutils cannot read it."""
    formula = node.astext()
    if writer.config.language == "ru":
        formula = russian(formula, node)
    try:
        element = beside(tex2mathml(DIGITS.sub(r"\1{\2}{\3}", formula), as_block=as_block))
        return with_commas(element) if writer.config.language == "ru" else element
    except MathError as error:
        logger.warning("formula: %s", error, location=node)
        return f"<code>{formula}</code>"


def inline(writer: Any, node: nodes.Element) -> None:
    writer.body.append(mathml(writer, node, as_block=False))
    raise nodes.SkipNode


def block(writer: Any, node: nodes.Element) -> None:
    writer.body.append(f'<div class="math-block">{mathml(writer, node, as_block=True)}</div>')
    raise nodes.SkipNode


def keep_together(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    """A comma behind a formula stays on its line; Chromium breaks lines there, and knows no other way to forbid it."""
    context["body"] = re.sub(r"(<math\b(?:(?!</math>).)*</math>)([^\s<]+)", r'<span class="formula">\1\2</span>',
                             context.get("body", ""), flags=re.DOTALL)


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_html_math_renderer("mathml", (inline, None), (block, None))
    app.connect("html-page-context", keep_together)
    app.config.html_math_renderer = "mathml"    # type: ignore[attr-defined]
    return {"parallel_read_safe": True, "parallel_write_safe": True}
