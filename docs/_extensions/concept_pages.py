"""A page for each experiment of the lab that has a result in docs/lab_results, in the order of ``lab.NAMES``.

Numbers, pictures and tables come from the result, by the directives below, in the language of the build. Derivations,
exercises and questions are written by hand: docs/concepts/parts/NAME.md, with the headings of ``PARTS``. A page without
such a file has the measured parts alone. The build stops at a result that is stale or does not PASS, and at a bug that
no check caught. The pages are docs/concepts/*.md, which are not kept.
"""

import functools
import os
from html import escape
from pathlib import Path
from typing import Any

from docutils import nodes
from pages import write
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError
from sphinx.util.docutils import SphinxDirective, SphinxRole

from fastnn import lab
from fastnn.lab import picture, report, words
from fastnn.lab.result import decide
from fastnn.lab.words import configuration, count_of_seeds, decimal, limits, number, seconds, spread, with_unit, word

DOCS = Path(__file__).parents[1]
ROOT = DOCS.parent
RESULTS = DOCS / "lab_results"
CONCEPTS = DOCS / "concepts"

NOTEBOOKS = ("gradient_descent", "l2", "dropout", "batchnorm_initialisation")       # pages with a notebook, to run

# The headings of a page; those of a hand-written part are among them.
PARTS = ("Predict", "Picture", "Formula", "Code", "Experiment", "When it does not work", "Pitfalls", "In textbooks",
         "Exercises", "Interview questions", "Sources")

# How an experiment's name begins → the files of the reference and of the engine that a page without a Code part shows.
CODE = {
    "augmentation": ("augment", "augment"), "augmentation_text": ("shared/text_noise", ""),
    "backpropagation": ("linear", "linear"), "batchnorm": ("batchnorm", "batchnorm"),
    "dropconnect": ("dropconnect", "dropconnect"), "dropout": ("dropout", "dropout"),
    "early_stopping": ("shared/early_stopping", ""), "gradient_descent": ("optim", ""),
    "l1": ("penalty", "penalty"), "l2": ("penalty", "penalty"), "label_smoothing": ("loss", ""),
    "nonlinearity": ("activation", ""), "stochastic_depth": ("stochastic_depth", "stochastic_depth"),
    "vanishing_gradient": ("activation", ""), "weight_decay": ("optim", ""), "weight_sharing": ("conv", ""),
}  # fmt: skip

WORDS = {
    "solution": ("Solution", "Решение"), "answer": ("Answer", "Ответ"), "measured": ("Measured", "Измерено"),
    "predict": ("Write your number down before you look.", "Запишите своё число, прежде чем смотреть."),
    "show": ("Show what was measured", "Показать, что измерено"),
    "bug": ("bug", "ошибка"), "by": ("caught by the check", "поймана проверкой"),
    "with": ("measured with the bug", "измерено с ошибкой"), "without": ("without it", "без неё"),
    "wanted": ("expected", "ожидалось"),
}  # fmt: skip


def say(name: str, language: str) -> str:
    """A word of the pages, in the language of the build."""
    return WORDS[name][language == "ru"]


# ---- results ----


@functools.cache
def result(name: str) -> lab.Result:
    """The result of an experiment."""
    return lab.load(RESULTS / f"{name}.json")[0]


@functools.cache
def bugs(name: str) -> dict[str, lab.Result]:
    """Its results with bugs put in, each judged by itself."""
    path = RESULTS / "bugs" / f"{name}.json"
    found = lab.load(path) if path.is_file() else []
    for each in found:
        decide([each])
    return {each.record.broken: each for each in found}


def names() -> list[str]:
    """The experiments that have a result."""
    return [name for name in lab.NAMES if (RESULTS / f"{name}.json").is_file()]


def check(name: str) -> list[str]:
    """What is wrong with a result."""
    wrong, found = [], [result(name), *bugs(name).values()]
    if any(each.record.file_hash != lab.find(name).file_hash for each in found):
        wrong.append(f"{name}: the result is stale, as the experiment has changed since: python docs/measure.py")
    elif result(name).verdict != "PASS":
        wrong.append(f"{name}: expected PASS, got {result(name).verdict}")
    elif missing := set(lab.find(name).mutations) - bugs(name).keys():
        wrong.append(f"{name}: bugs that were not measured: {', '.join(sorted(missing))}: python docs/measure.py")
    wrong += [f"{name}: the bug {bug} was not caught" for bug, each in bugs(name).items() if not each.caught]
    return wrong


def finding(of: lab.Result, check: str) -> Any:
    """The finding of a check; KeyError for an unknown one."""
    return {each.check.name: each for each in of.findings}[check]


# ---- pages ----


def parts_of(name: str) -> dict[str, str]:
    """Heading → text of the hand-written part; "" → what stands before the first one; {} if there is none."""
    path = CONCEPTS / "parts" / f"{name}.md"
    if not path.is_file():
        return {}
    first, *rest = path.read_text("utf-8").split("\n## ")
    found = {"": first.strip()}
    for each in rest:
        heading, _, text = each.partition("\n")
        if heading not in PARTS:
            raise ExtensionError(f"{path.name}: expected a heading among {', '.join(PARTS)}, got {heading!r}")
        found[heading] = text.strip()
    return found


def shown_code(name: str) -> str:
    """The files of both packages that hold the concept, for a page whose part does not choose."""
    found = [files for start, files in sorted(CODE.items(), key=lambda each: -len(each[0])) if name.startswith(start)]
    if not found:
        return ""
    reference, engine = found[0]
    files = [("python", f"fastnn_ref/{reference}.py"), *([("cython", f"fastnn/{engine}.pyx")] if engine else [])]
    return "\n\n".join(
        f"`{file}`\n\n```{{literalinclude}} {os.path.relpath(ROOT / file, CONCEPTS)}\n:language: {language}\n```"
        for language, file in files)


def page(name: str) -> str:
    """The Markdown of a page."""
    parts = parts_of(name)

    def directive(kind: str) -> str:
        return f"```{{lab-{kind}}} {name}\n```"

    measured = {
        "Predict": directive("predict"), "Picture": directive("picture"), "Experiment": directive("experiment"),
        "When it does not work": directive("limits"), "Pitfalls": directive("bugs"), "Sources": directive("sources"),
    }  # fmt: skip
    head, _, before = parts.get("", f"# {name.replace('_', ' ').capitalize()}").partition("\n")
    text = [head, directive("claim"), *(["```{notebook}\n```"] if name in NOTEBOOKS else []), before.strip()]
    for heading in PARTS:
        own = parts.get(heading, shown_code(name) if heading == "Code" else "")
        body = [each for each in (measured.get(heading, ""), own) if each]
        if body:
            text += [f"## {heading}", *body]
    return "\n\n".join(each for each in text if each) + "\n"


def write_pages(app: Sphinx, config: Any) -> None:
    wrong = [each for name in names() for each in check(name)]
    if wrong:
        raise ExtensionError("\n".join(wrong))
    for name in names():
        write(CONCEPTS / f"{name}.md", page(name))
    listed = "\n".join(names())
    write(CONCEPTS / "index.md", f"# Concepts, measured\n\n{(CONCEPTS / 'parts' / 'index.md').read_text('utf-8')}\n"
          f"```{{lab-index}}\n```\n\n```{{toctree}}\n:hidden:\n\n{listed}\n```\n")
    for path in CONCEPTS.glob("*.md"):
        if path.stem not in (*names(), "index"):
            path.unlink()


# ---- directives and the role ----


class Measured(SphinxDirective):
    """A piece of a page that comes from the result which its argument names."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        name = self.arguments[0]
        for folder in (RESULTS, RESULTS / "bugs"):
            self.env.note_dependency(str(folder / f"{name}.json"))
        text = self.html(name, result(name), self.config.language)
        return [nodes.raw("", text, format="html")] if text else []

    def html(self, name: str, found: lab.Result, language: str) -> str:
        raise NotImplementedError


class Claim(Measured):
    def html(self, name: str, found: lab.Result, language: str) -> str:
        return (f'<p class="claim">{escape(found.experiment.claim.to(language))}</p><p><span class="verdict">'
                f'{report.verdict(found.verdict, language)}</span> '
                f'{escape(count_of_seeds(len(found.record.seeds), language))}</p>')


class Predict(Measured):
    def html(self, name: str, found: lab.Result, language: str) -> str:
        first = found.findings[0]
        return (f"<p>{escape(found.experiment.question.to(language))} {say('predict', language)}</p>"
                f"<details><summary>{say('show', language)}</summary><p><strong>"
                f"{report.mean(first, language)}</strong> ({escape(spread(first, language))}): "
                f"{escape(first.check.text.to(language))}.</p></details>"
                f'<pre class="command">fastnn lab run {name} --predict{" --lang ru" if language == "ru" else ""}</pre>')


class Picture(Measured):
    def html(self, name: str, found: lab.Result, language: str) -> str:
        drawn = picture.picture_svg(found, language)
        alt = escape(found.experiment.alt.to(language))
        return drawn and f'<figure class="lab">{drawn}<figcaption>{alt}</figcaption></figure>'


class Experiment(Measured):
    def html(self, name: str, found: lab.Result, language: str) -> str:
        record, (took, reference) = found.record, seconds(found)
        setup = "".join(f"<tr><th>{escape(key)}</th><td>{escape(value)}</td></tr>"
                        for key, value in configuration(found, language).items())
        same = "" if reference is None else \
            f" {escape(report.capital(word('reference', language)))} {reference:.0f} {word('s', language)}."
        return (f'<figure class="lab">{picture.dots_svg(found, language)}</figure>'
                f'<p class="quiet">{escape(word("how", language))}</p>'
                f'<div class="lab">{report.table(found, language)}</div>'
                f'<table class="setup docutils">{setup}</table>'
                f'<p class="quiet">{decimal(f"{took:.1f}", language)} {escape(word("cpu", language))}.{same} '
                f'{escape(report.capital(word("data", language)))} <code>{record.data[:16]}…</code>. '
                f'{escape(words.versions(found, language))}.</p>'
                f'<pre class="command">{escape(record.command)}</pre>')


class Limits(Measured):
    def html(self, name: str, found: lab.Result, language: str) -> str:
        rows = [each for each in found.findings if each.check.role == "limit"]
        measured = "".join(f"<li>{escape(each.check.text.to(language))}: <strong>"
                           f"{report.mean(each, language)}</strong> "
                           f"({escape(spread(each, language))})</li>" for each in rows)
        return f"<p>{escape(found.experiment.limits.to(language))}</p>" + (measured and f"<ul>{measured}</ul>")


class Bugs(Measured):
    def html(self, name: str, found: lab.Result, language: str) -> str:
        rows = []
        for bug, each in bugs(name).items():
            mutation = each.experiment.mutations[bug]
            broken = finding(each, mutation.caught_by)
            good = finding(found, mutation.caught_by)
            rows.append([f"{escape(mutation.text.to(language))} <code>--break {escape(bug)}</code>",
                         f"{escape(broken.check.text.to(language))} <small>({escape(mutation.caught_by)})</small>",
                         report.mean(broken, language),
                         report.mean(good, language), report.threshold(broken.check, language)])
        heads = [say(each, language) for each in ("bug", "by", "with", "without", "wanted")]
        return f'<div class="lab">{report.grid(heads, rows)}</div>' if rows else ""


class Sources(Measured):
    def html(self, name: str, found: lab.Result, language: str) -> str:
        return "".join(f"<p>{escape(each)}</p>" for each in found.experiment.sources)


class Index(SphinxDirective):
    """The table of all concepts."""

    def run(self) -> list[nodes.Node]:
        language, rows = self.config.language, []
        for name in names():
            self.env.note_dependency(str(RESULTS / f"{name}.json"))
            found = result(name)
            first = found.findings[0]
            rows.append([f'<a href="{name}.html">{escape(name.replace("_", " "))}</a><br/>'
                         f"{escape(found.experiment.claim.to(language))}",
                         report.mean(first, language), escape(spread(first, language)),
                         report.threshold(first.check, language), str(len(found.record.seeds)),
                         decimal(f"{seconds(found)[0]:.1f}", language),
                         report.verdict(found.verdict, language).replace(" ", "\u00a0")])
        heads = [word(each, language) for each in ("concept", "effect", "interval", "threshold", "seeds", "cpu",
                                                   "verdict")]
        return [nodes.raw("", f'<div class="lab">{report.grid(heads, rows)}</div>', format="html")]


class Solution(SphinxDirective):
    """What stays closed until the reader opens it."""

    has_content = True
    final_argument_whitespace = True
    optional_arguments = 1

    def run(self) -> list[nodes.Node]:
        head = say("answer" if self.name == "answer" else "solution", self.config.language)
        return [nodes.raw("", f"<details><summary>{head}</summary>", format="html"),
                *self.parse_content_to_nodes(), nodes.raw("", "</details>", format="html")]


class Number(SphinxRole):
    """A number of a result, in running text: {lab}`NAME: WHAT`.

    WHAT: a check (its mean, with unit); ``CHECK, interval``; ``CHECK, threshold``; ``mean of VALUE``, a measured number
    or difference; ``BUG, broken``, what the check that catches it measures then; ``seeds``; ``cpu``; ``setup NAME``.
    """

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        try:
            return [nodes.Text(shown(self.text, self.config.language))], []
        except (KeyError, ValueError, OSError) as error:
            message = self.inliner.reporter.error(f"lab: no {self.text!r} ({error!r})", line=self.lineno)
            return [nodes.problematic(self.rawtext, self.rawtext)], [message]


def shown(text: str, language: str) -> str:
    """What the role ``lab`` shows."""
    name, _, what = text.partition(": ")
    found = result(name)
    what, _, more = what.partition(", ") if not what.startswith("mean of ") else (what, "", "")
    if what == "seeds":
        text = str(len(found.record.seeds))
    elif what == "cpu":
        text = decimal(f"{seconds(found)[0]:.1f}", language)
    elif what.startswith("setup "):
        text = configuration(found, language)[what.removeprefix("setup ")]
    elif what.startswith("mean of "):
        text = number(float(found.values(what.removeprefix("mean of ")).mean()), language)
    elif more == "broken":
        broken = bugs(name)[what]
        each = finding(broken, broken.experiment.mutations[what].caught_by)
        text = with_unit(each.mean, each.check, language)
    else:
        each = finding(found, what)
        text = {"": with_unit(each.mean, each.check, language), "interval": spread(each, language),
                "threshold": limits(each.check, language)}[more]
    return text


def without_second_stop(text: str) -> str:
    """A sentence that ends in the abbreviation of a unit has no second full stop."""
    return text.replace("п. п..", "п. п.")


def one_full_stop(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    if "body" in context:
        context["body"] = without_second_stop(context["body"])


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("config-inited", write_pages)
    app.connect("html-page-context", one_full_stop)
    for name, kind in (("claim", Claim), ("predict", Predict), ("picture", Picture), ("experiment", Experiment),
                       ("limits", Limits), ("bugs", Bugs), ("sources", Sources), ("index", Index)):
        app.add_directive(f"lab-{name}", kind)
    app.add_directive("solution", Solution)
    app.add_directive("answer", Solution)
    app.add_role("lab", Number())
    return {"parallel_read_safe": True, "parallel_write_safe": True}
