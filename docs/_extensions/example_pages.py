"""A page for each program of examples/: what its docstring says, its code, and what it prints.

The outputs stand in docs/example_outputs.json, which ``python docs/run_examples.py`` writes, as running all programs
in each build would take too long. The build stops at one that is stale, and at an example that index.md does not list.
The pages are docs/examples/*.md, of which only index.md is kept.
"""

import ast
import importlib.util
from html import escape
from pathlib import Path
from typing import Any

from docutils import nodes
from pages import write
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError
from sphinx.util.docutils import SphinxDirective

DOCS = Path(__file__).parents[1]
PAGES = DOCS / "examples"
SPECIFICATION = importlib.util.spec_from_file_location("run_examples", DOCS / "run_examples.py")
assert SPECIFICATION is not None and SPECIFICATION.loader is not None
examples = importlib.util.module_from_spec(SPECIFICATION)
SPECIFICATION.loader.exec_module(examples)

WORDS = {"prints": ("It prints:", "Программа печатает:"), "nothing": ("It prints nothing.", "Она ничего не печатает."),
         "took": ("seconds of CPU, on one thread", "с процессора, один поток")}


def say(name: str, language: str) -> str:
    return WORDS[name][language == "ru"]


def tree(name: str) -> ast.Module:
    """A program, parsed."""
    return ast.parse((examples.PROGRAMS / f"{name}.py").read_text("utf-8"))


def docstring(name: str) -> str:
    """What a program says of itself."""
    return ast.get_docstring(tree(name)) or ""


def title(name: str) -> str:
    """The beginning of the docstring, up to the first colon or the end of the sentence."""
    return docstring(name).split("\n")[0].partition(":")[0].rstrip(".")


def page(name: str) -> str:
    """The Markdown of a page: the docstring is text, and the code begins behind it."""
    begins = tree(name).body[1].lineno
    return (f"# {title(name)}\n\n{docstring(name)}\n\n```{{example-output}} {name}\n```\n\n`examples/{name}.py`\n\n"
            f"```{{literalinclude}} ../../examples/{name}.py\n:language: python\n:lines: {begins}-\n```\n")


class Output(SphinxDirective):
    """What an example printed."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        self.env.note_dependency(str(examples.OUTPUTS))
        language, found = self.config.language, examples.kept()[self.arguments[0]]
        text = "\n".join(found["output"])
        if not text:
            return [nodes.paragraph(text=say("nothing", language))]
        html = (f'<p>{say("prints", language)}</p><pre class="command">{escape(text)}</pre>'
                f'<p class="quiet">{found["seconds"]:.1f} {say("took", language)}.</p>')
        return [nodes.raw("", html, format="html")]


def write_pages(app: Sphinx, config: Any) -> None:
    names = examples.names()
    if old := [name for name in names if examples.stale(name)]:
        raise ExtensionError(f"no output, or a stale one, of {', '.join(old)}: python docs/run_examples.py")
    for name in names:
        write(PAGES / f"{name}.md", page(name))
    for path in PAGES.glob("*.md"):
        if path.stem not in (*names, "index"):
            path.unlink()


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("config-inited", write_pages)
    app.add_directive("example-output", Output)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
