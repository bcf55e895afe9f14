"""Notebooks of the tutorial and of some concept pages, for download, made from the pages' own Markdown.

They are made while the site is built, so there is no second text, and none of them is committed. Code that the
tutorial includes from examples/ becomes a cell, other code stays text. What only a notebook needs stands in the page
as a directive that the site does not show: ``{cell}``, with code, or with a file and the options of
``literalinclude``. The directives and roles of the measured parts become cells that measure again, and text. Russian
comes from the translations of the page. tests/test_site.py runs all of them.

Each begins with a line that installs fastnn: from the site, if ``html_baseurl`` of conf.py has its address, otherwise
from an archive of the sources that the page offers beside the notebook.
"""

import posixpath
import re
import tarfile
import textwrap
from html import escape
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import concept_pages
import mathml
import nbformat
import translations
import tutorial_figures
from babel.messages.catalog import Catalog
from docutils import nodes
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from sphinx.application import Sphinx
from sphinx.directives.code import LiteralIncludeReader
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective

import fastnn
from fastnn import lab
from fastnn.lab.words import configuration

logger = logging.getLogger(__name__)

DOCS = Path(__file__).parents[1]
ROOT = DOCS.parent
PAGES = ("tutorial", *(f"concepts/{name}" for name in concept_pages.NOTEBOOKS))
SEEDS, BUG_SEEDS = 8, 2
ARCHIVE = f"fastnn-{fastnn.__version__}.tar.gz"
SOURCES = ("fastnn", "fastnn_ref", "setup.py", "pyproject.toml", "MANIFEST.in", "README.md", "LICENSE")

DIRECTIVE = re.compile(r"^(`{3,}|:{3,})\{([\w-]+)\} ?([^\n]*)\n(.*?)^\1$\n?", re.M | re.S)
ROLE = re.compile(r"\{(lab|tutorial)\}`([^`]+)`")
FORMULA = re.compile(r"\$[^$]+\$")
LINK = re.compile(r"\[([^\]]+)\]\(([^)\s]+)\)")
WORDS = {
    "install": ("The next line installs fastnn; it compiles for about two minutes. Leave it out where fastnn is "
                "installed.",
                "Следующая строка устанавливает fastnn; компиляция займёт около двух минут. Если fastnn уже "
                "установлен, пропустите её."),
    "beside": (f"The file `{ARCHIVE}` from the page of this notebook has to lie in the same folder.",
               f"Файл `{ARCHIVE}` со страницы этого блокнота должен лежать в той же папке."),
    "guess": ("your number", "ваше число"),
    "seeds": ("Measured here: {} seeds, more if these do not decide. Numbers in the text come from {}.",
              "Здесь измерено запусков: {}, а если вывода нет, больше. Числа в тексте получены по {}."),
    "run": ("A notebook, to run and change:", "Блокнот, который можно запускать и менять:"),
    "needs": ("it needs", "нужен также"),
}  # fmt: skip


def say(name: str, language: str) -> str:
    return WORDS[name][language == "ru"]


def archive(path: Path) -> None:
    """Writes the sources from which pip builds fastnn."""
    def wanted(info: tarfile.TarInfo) -> tarfile.TarInfo | None:
        name = posixpath.basename(info.name)
        return None if name == "__pycache__" or name.endswith((".so", ".pyc")) else info

    with tarfile.open(path, "w:gz") as file:
        for name in SOURCES:
            file.add(ROOT / name, f"{ARCHIVE.removesuffix('.tar.gz')}/{name}", filter=wanted)


def install(base: str) -> str:
    """The line that installs; ``base``: the site's address, or ""."""
    what = f"fastnn[lab] @ {base.rstrip('/')}/notebooks/{ARCHIVE}" if base else f"./{ARCHIVE}[lab]"
    return f'%pip install -q "{what}"'


class Maker:
    """Makes the notebook of one page."""

    def __init__(self, page: str, language: str, base: str = "") -> None:
        self.page, self.language, self.base = page, language, base
        self.cells: list[Any] = []
        self.catalog = Catalog()
        if language != "en":
            domain = page.partition("/")[0]
            self.catalog = translations.catalog(DOCS / "locales" / language / "LC_MESSAGES" / f"{domain}.po")

    def notebook(self, text: str) -> Any:
        """The notebook of a page's Markdown."""
        head, _, rest = text.partition("\n")
        self.markdown(head)
        self.text(" ".join([say("install", self.language), *([] if self.base else [say("beside", self.language)])]))
        self.code(install(self.base), tags=["install"])
        self.convert(rest)
        for number, cell in enumerate(self.cells):
            cell["id"] = f"cell-{number}"
        kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
        return new_notebook(cells=self.cells, metadata={"kernelspec": kernel, "language_info": {"name": "python"}})

    def text(self, text: str) -> None:
        """Adds to the last cell of text, or to a new one."""
        if self.cells and self.cells[-1].cell_type == "markdown":
            self.cells[-1].source += f"\n\n{text}"
        else:
            self.cells.append(new_markdown_cell(text))

    def code(self, code: str, tags: Any = ()) -> None:
        self.cells.append(new_code_cell(code.strip("\n"), metadata={"tags": list(tags)} if tags else {}))

    # ---- a page's pieces ----

    def convert(self, text: str) -> None:
        """Adds cells for a page's text and directives."""
        end = 0
        for found in DIRECTIVE.finditer(text):
            self.markdown(text[end:found.start()])
            self.directive(*found.groups()[1:])
            end = found.end()
        self.markdown(text[end:])

    def directive(self, name: str, argument: str, body: str) -> None:
        """Adds what stands for a directive; an unknown one is a ValueError."""
        if name in ("literalinclude", "cell"):
            self.include(name, argument, body)
        elif name in ("solution", "answer"):
            self.text(f"<details><summary>{concept_pages.say(name, self.language)}</summary>")
            self.markdown(body)
            self.text("</details>")
        elif name == "tutorial-figures":
            self.text(tutorial_figures.table(self.language))
        elif name.startswith("lab-"):
            self.measured(name.removeprefix("lab-"), argument)
        elif name != "notebook":
            raise ValueError(f"{self.page}: no notebook can be made of the directive {name}")

    def include(self, name: str, argument: str, body: str) -> None:
        """Code: a cell, if the notebook runs it."""
        options = dict(re.findall(r"^:([\w-]+): (.*)$", body, re.M))
        if not argument:
            self.code(body)
            return
        path = (DOCS / posixpath.dirname(self.page) / argument).resolve()
        language = options.pop("language", "python")
        options = {key: value.strip('"') for key, value in options.items()}
        code, _ = LiteralIncludeReader(path, options, SimpleNamespace(source_encoding="utf-8")).read()  # type: ignore
        code = textwrap.dedent(code).strip("\n")
        if name != "cell" and path.parent != ROOT / "examples":
            self.text(f"`{path.relative_to(ROOT)}`\n\n```{language}\n{code}\n```")
            return
        whose, _, method = options.get("pyobject", "").rpartition(".")
        self.code(f"{code}\n\n{whose}.{method} = {method}" if whose else code)

    def measured(self, kind: str, name: str) -> None:
        """The measured part of a concept page, to measure again."""
        experiment, language = lab.find(name), self.language
        if kind == "claim":
            self.text(f"**{experiment.claim.to(language)}**")
        elif kind == "predict":
            self.text(f"{experiment.question.to(language)} {concept_pages.say('predict', language)}")
            self.code(f"guess = None    # {say('guess', language)}")
        elif kind == "picture":
            self.code(f'from fastnn import lab\n\nresult = lab.run("{name}", seeds={SEEDS}, predicted=guess)\n'
                      f'result.plot({"" if language == "en" else f"language={language!r}"});')
        elif kind == "experiment":
            found = concept_pages.result(name)
            self.text("\n".join(f"- {key}: {value}" for key, value in configuration(found, language).items()))
            self.text(say("seeds", language).format(SEEDS, len(found.record.seeds)))
            self.code("print(result)" if language == "en" else f"print(lab.words.summary(result, {language!r}))")
        elif kind == "limits":
            self.text(experiment.limits.to(language))
        elif kind == "bugs":
            self.text("\n".join(f"- `{bug}`: {each.text.to(language)}" for bug, each in experiment.mutations.items()))
            self.code(f'for bug, mutation in lab.find("{name}").mutations.items():\n'
                      f'    broken = lab.run("{name}", broken=bug, seeds={BUG_SEEDS})\n'
                      '    assert broken.caught\n    print(f"{bug}: caught by the check {mutation.caught_by}")')
        elif kind == "sources":
            self.text("\n\n".join(experiment.sources))

    # ---- text ----

    def markdown(self, text: str) -> None:
        """Adds text, block by block, in the notebook's language."""
        for block in re.split(r"\n\s*\n", text.strip("\n")):
            if block.strip():
                self.text(self.block(block))

    def block(self, block: str) -> str:
        """A heading, table, list, quotation, formula or paragraph."""
        if block.startswith("$$"):
            return mathml.russian(block, None) if self.language == "ru" else block
        if block.startswith("|"):
            return "\n".join(self.row(line) for line in block.split("\n"))
        parts = re.split(r"^(#+ |- |\d+\. )", block, flags=re.M)
        if block.startswith(">"):
            parts = ["", "> ", re.sub("^> ?", "", block, flags=re.M)]
        if len(parts) == 1:
            return self.message(block)
        pairs = zip(parts[1::2], parts[2::2], strict=True)
        return "\n".join([*([self.message(parts[0])] if parts[0].strip() else []),
                          *(mark + self.message(item) for mark, item in pairs)])

    def row(self, line: str) -> str:
        """A row of a table."""
        if not re.search(r"[^|\s:-]", line):
            return line
        cells = re.split(r"(?<!\\)\|", line.strip())[1:-1]
        return "| " + " | ".join(self.message(cell) for cell in cells) + " |"

    def message(self, text: str) -> str:
        """A message in the notebook's language, with its numbers, and links that lead somewhere."""
        text = " ".join(text.split())
        if self.language != "en" and text:
            found = self.catalog.get(text)
            if found is not None and found.string:
                text = str(found.string)
            elif wrong := translations.lost(text, self.catalog):
                logger.warning("%s: notebook of %s: %s: %.60s", self.language, self.page, wrong, text)
        if self.language == "ru":
            text = FORMULA.sub(lambda formula: mathml.russian(formula[0], None), text)
        return LINK.sub(self.link, concept_pages.without_second_stop(ROLE.sub(self.number, text)))

    def number(self, found: re.Match[str]) -> str:
        """What a role shows."""
        module = concept_pages if found[1] == "lab" else tutorial_figures
        return module.shown(" ".join(found[2].split()), self.language)

    def link(self, found: re.Match[str]) -> str:
        """A link to a page of the site; its text alone, if the site has no address."""
        text, target = found.groups()
        if "://" in target:
            return found[0]
        if not self.base:
            return text
        page, mark, place = target.partition("#")
        path = posixpath.normpath(posixpath.join(posixpath.dirname(self.page), page or f"{self.page}.md"))
        folder = self.base.rstrip("/") + ("" if self.language == "en" else f"/{self.language}")
        return f"[{text}]({folder}/{path.removesuffix('.md')}.html{mark}{place})"


def make(page: str, language: str, base: str = "") -> Any:
    """The notebook of a page, in a language."""
    name = page.removeprefix("concepts/")
    text = concept_pages.page(name) if name != page else (DOCS / f"{page}.md").read_text("utf-8")
    return Maker(page, language, base).notebook(text)


def file_name(page: str) -> str:
    return f"{posixpath.basename(page)}.ipynb"


def write_notebooks(app: Sphinx, error: Exception | None) -> None:
    if error is None and app.builder.format == "html":
        folder = Path(app.outdir) / "notebooks"
        folder.mkdir(exist_ok=True)
        archive(folder / ARCHIVE)
        for page in PAGES:
            nbformat.write(make(page, app.config.language, app.config.html_baseurl), folder / file_name(page))


class Cell(SphinxDirective):
    """Code for the notebook alone."""

    has_content = True
    optional_arguments = 1
    option_spec = dict.fromkeys(("pyobject", "start-at", "end-before"), str)

    def run(self) -> list[nodes.Node]:
        return []


class Link(SphinxDirective):
    """Where a page offers its notebook."""

    def run(self) -> list[nodes.Node]:
        page, language = self.env.docname, self.config.language
        folder = "../" * page.count("/") + "notebooks/"
        own, sources = (f'<a href="{folder}{name}" download>{escape(name)}</a>' for name in (file_name(page), ARCHIVE))
        needs = "" if self.config.html_baseurl else f"; {say('needs', language)} {sources}"
        return [nodes.raw("", f'<p class="quiet">{say("run", language)} {own}{needs}.</p>', format="html")]


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("build-finished", write_notebooks)
    app.add_directive("cell", Cell)
    app.add_directive("notebook", Link)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
