"""Formulas as MathML, which browsers draw themselves: docutils translates them while the site is built.

Sphinx's own renderers load a program from another host, or make pictures with LaTeX.
"""

from typing import Any

from docutils import nodes
from docutils.utils.math import MathError
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.application import Sphinx
from sphinx.util import logging

logger = logging.getLogger(__name__)


def mathml(node: nodes.Element, as_block: bool) -> str:
    """The formula as a ``<math>`` element; a warning, and its source, if docutils cannot read it."""
    try:
        return tex2mathml(node.astext(), as_block=as_block)
    except MathError as error:
        logger.warning("formula: %s", error, location=node)
        return f"<code>{node.astext()}</code>"


def inline(writer: Any, node: nodes.Element) -> None:
    writer.body.append(mathml(node, as_block=False))
    raise nodes.SkipNode


def block(writer: Any, node: nodes.Element) -> None:
    writer.body.append(f'<div class="math-block">{mathml(node, as_block=True)}</div>')
    raise nodes.SkipNode


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_html_math_renderer("mathml", (inline, None), (block, None))
    app.config.html_math_renderer = "mathml"    # type: ignore[attr-defined]
    return {"parallel_read_safe": True, "parallel_write_safe": True}
