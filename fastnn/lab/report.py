"""Reports: one HTML page for an experiment, which needs no other file, and an index for many."""

import os
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import quote

from fastnn_ref.shared import atomic

from . import words
from .words import configuration, count_of_seeds, decimal, described, limits, number, seconds, spread, with_unit, word

STYLE = """
:root{color-scheme:light dark;--ink:#1b1b1b;--paper:#fff;--quiet:#555;--line:#c9c9c9;--shade:#f3f3f3;
--blue:#0072B2;--orange:#D55E00;--green:#009E73;--pink:#CC79A7}
@media (prefers-color-scheme:dark){:root{--ink:#ececec;--paper:#161616;--quiet:#b4b4b4;--line:#4a4a4a;--shade:#242424;
--blue:#56B4E9;--orange:#F0904A;--green:#3CC79E;--pink:#E3A6CB}}
*{box-sizing:border-box}
body{margin:0 auto;padding:1rem;max-width:62rem;background:var(--paper);color:var(--ink);
font:1rem/1.5 system-ui,sans-serif;overflow-wrap:break-word}
h1{font-size:1.5rem;line-height:1.25;margin:.5rem 0}h2{font-size:1.15rem;margin:1.8rem 0 .4rem}
p{margin:.5rem 0}.said{font-weight:400}.claim{font-size:1.15rem}.quiet{color:var(--quiet)}
.verdict{display:inline-block;border:2px solid;border-radius:.3rem;padding:.1rem .6rem;font-weight:700}
figure{margin:.8rem 0;max-width:40rem}svg{display:block;width:100%;height:auto}svg text{font-family:inherit!important}
table{border-collapse:collapse;width:100%;margin:.5rem 0;font-size:.92rem}
th,td{text-align:left;vertical-align:top;padding:.3rem .5rem;border-bottom:1px solid var(--line)}
thead th{border-bottom-width:2px}tbody th{min-width:11rem}td:nth-child(n+4):last-child{white-space:nowrap}
td{font-variant-numeric:tabular-nums}
pre{white-space:pre-wrap;background:var(--shade);padding:.6rem;border-radius:.3rem;overflow-wrap:anywhere}
a{color:var(--blue)}
@media (max-width:62rem){thead{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)}
table,tbody,tr,td,tbody th{display:block}tr{border-bottom:2px solid var(--line);padding:.4rem 0}
td,tbody th{border:0;padding:.1rem 0}td:empty{display:none}
td::before{content:attr(data-label) ": ";color:var(--quiet)}}
@media print{:root{color-scheme:light;--ink:#000;--paper:#fff;--quiet:#444;--line:#999;--shade:#fff;
--blue:#0072B2;--orange:#D55E00;--green:#009E73;--pink:#CC79A7}body{max-width:none;padding:0}
figure,tr{break-inside:avoid}h2{break-after:avoid}}
"""
MARKS = {"PASS": "✓", "FAIL": "✗", "INCONCLUSIVE": "?", "SHOWN": "·"}


def verdict(name: str, language: str) -> str:
    """A mark and a word: neither needs colour."""
    return f"{MARKS[name]} {word(name, language)}"


def capital(text: str) -> str:
    """The text with a capital letter in front, and nothing else changed."""
    return text[:1].upper() + text[1:]


def mean(finding: Any, language: str) -> str:
    """The mean and its unit as HTML, on one line."""
    return escape(with_unit(finding.mean, finding.check, language)).replace(" ", "\u00a0")


def threshold(check: Any, language: str) -> str:
    """The thresholds of a check as HTML, on one line."""
    return escape(limits(check, language)).replace(" ", "\u00a0")


def grid(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table: the first cell of a row is its header. Cells are HTML. Roles are said, as narrow screens show blocks."""
    heads = "".join(f'<th scope="col" role="columnheader">{escape(each)}</th>' for each in head)
    lines = []
    for first, *rest in rows:
        cells = "".join(f'<td role="cell" data-label="{escape(label)}">{cell}</td>'
                        for label, cell in zip(head[1:], rest, strict=True))
        lines.append(f'<tr role="row"><th scope="row" role="rowheader">{first}</th>{cells}</tr>')
    return (f'<table role="table"><thead role="rowgroup"><tr role="row">{heads}</tr></thead>'
            f'<tbody role="rowgroup">{"".join(lines)}</tbody></table>')


def table(result: Any, language: str) -> str:
    """The checks of a result."""
    names = ("check", "kind", "effect", "interval", "threshold", "p", "misleading", "verdict")
    rows = []
    for each in result.findings:
        check = each.check
        alone = "" if check.every or each.verdict == "SHOWN" else f"{each.misleading} / {len(each.values)}"
        rows.append([f"{escape(check.text.to(language))} <small class=\"quiet\">({escape(check.name)})</small>",
                     word(check.role, language), mean(each, language),
                     escape(spread(each, language)), threshold(check, language),
                     "" if each.p is None else number(each.p, language), alone, verdict(each.verdict, language)])
    return grid([word(each, language) for each in names], rows)


def document(title: str, body: str, language: str) -> str:
    """A whole page."""
    return (f'<!doctype html>\n<html lang="{language}">\n<head>\n<meta charset="utf-8"/>\n'
            f'<meta name="viewport" content="width=device-width, initial-scale=1"/>\n<title>{escape(title)}</title>\n'
            f"<style>{STYLE}</style>\n</head>\n<body>\n<main>\n{body}\n</main>\n</body>\n</html>\n")


def page(result: Any, language: str = "en", index: str = "") -> str:
    """The report of a result; ``index`` is the address of the page that lists all."""
    experiment, record = result.experiment, result.record
    # Here, as a run without a page needs no matplotlib.
    from . import picture

    first = result.findings[0]

    def say(name: str) -> str:
        return escape(word(name, language))

    def took(value: float, digits: int = 1) -> str:
        return decimal(f"{value:.{digits}f}", language)

    def part(name: str, content: str) -> str:
        return f"<section><h2>{capital(say(name))}</h2>{content}</section>" if content else ""

    back = f'<p><a href="{escape(index)}">{say("index")}</a></p>' if index else ""
    head = [f"{back}<h1>{escape(experiment.name.replace('_', ' '))}</h1>",
            f'<p class="claim">{escape(experiment.claim.to(language))}</p>',
            f'<p><span class="verdict">{verdict(result.verdict, language)}</span> '
            f'{count_of_seeds(len(record.seeds), language)}, fastnn{"_ref" if record.backend == "ref" else ""}</p>']
    if record.broken:
        mutation = experiment.mutations[record.broken]
        head.append(f'<p><strong>{say("broken")}.</strong> {escape(mutation.text.to(language))}. '
                    f"{escape(words.broken(result, language))}.</p>")
    if record.predicted is not None:
        head.append(f'<p>{escape(experiment.question.to(language))} {say("predicted")}: '
                    f'<strong>{number(record.predicted, language)}</strong>; {say("measured")}: '
                    f"<strong>{number(first.mean, language)}</strong> {escape(first.check.unit.to(language))}</p>")
    if len(record.seeds) == 1:
        head.append(f'<p><strong>{say("one")}</strong></p>')
    drawn, alt = picture.picture_svg(result, language), escape(described(result, language))
    dots = picture.dots_svg(result, language)
    cpu, reference = seconds(result)
    arms = [[escape(name) if name else say("all arms"), took(sum(each), 2)] for name, each in record.cpu.items()]
    setup = [[escape(name), escape(value)] for name, value in configuration(result, language).items()]
    setup += [[say("data"), f"<code>{record.data[:16]}…</code>"],
              [say("versions"), escape(words.versions(result, language))]]
    catches = [[f"<code>--break {escape(name)}</code>", escape(each.text.to(language)), escape(each.caught_by)]
               for name, each in experiment.mutations.items()]
    unit = say("s")
    same = "" if reference is None else \
        f'<p>{capital(say("reference"))} {took(reference)} {unit} ({took(cpu)} {unit}).</p>'
    return document(experiment.name, "\n".join([
        *head,
        part("picture", drawn and f"<figure>{drawn}<figcaption class=\"quiet\">{alt}</figcaption></figure>"),
        part("dots", dots and f"<figure>{dots}</figure><p class=\"quiet\">{say('how')}</p>"),
        part("numbers", table(result, language)),
        part("limits", f"<p>{escape(limit)}</p>" if (limit := experiment.limits.to(language)) else ""),
        part("mutations", grid([word(each, language) for each in ("option", "bug", "by")], catches) if catches else ""),
        part("cpu", grid([word("arm", language), word("cpu", language)], arms)
             + f"<p>{took(record.wall)} {unit} {say('wall')}.</p>{same}"),
        part("setup", grid(["", ""], setup)),
        part("repeat", f"<pre><code>{escape(record.command)}</code></pre>"),
        part("sources", "".join(f"<p>{escape(each)}</p>" for each in experiment.sources)),
    ]), language)


def index_page(results: Sequence[Any], language: str = "en") -> str:
    """The page that lists results, each with a link to its own."""
    names = ("concept", "effect", "interval", "threshold", "seeds", "cpu", "verdict")
    rows = []
    for each in results:
        first, name = each.findings[0], each.experiment.name
        rows.append([f'<a href="{escape(quote(name))}.html">{escape(name)}</a><br/>'
                     f'<span class="said">{escape(each.experiment.claim.to(language))}</span>',
                     mean(first, language), escape(spread(first, language)),
                     threshold(first.check, language), str(len(each.record.seeds)),
                     decimal(f"{seconds(each)[0]:.2f}", language), verdict(each.verdict, language)])
    body = f"<h1>{escape(word('index', language))}</h1><p>{escape(word('how', language))}</p>"
    return document(word("index", language), body + grid([word(each, language) for each in names], rows), language)


def save_html(results: Sequence[Any], path: str | os.PathLike[str], language: str = "en") -> list[Path]:
    """Writes the report of one result to the file ``path``; those of several, and ``index.html``, into that folder.

    Returns the files. OSError if one cannot be written; ValueError for two of one name, the index's included.

    >>> import tempfile
    >>> from fastnn import lab
    >>> lab.save_html([lab.run("gradient_descent", seeds=2)], f"{tempfile.mkdtemp()}/out.html")[0].name
    'out.html'
    """
    path = Path(path)
    if twice := twice_in_folder([each.experiment.name for each in results]):
        raise ValueError(f"results: expected a file for each name of an experiment, got several of {twice}")
    if len(results) == 1:
        files = {path: page(results[0], language)}
    else:
        path.mkdir(parents=True, exist_ok=True)
        files = {path / f"{each.experiment.name}.html": page(each, language, "index.html") for each in results}
        files[path / "index.html"] = index_page(results, language)
    for name, text in files.items():
        atomic.write(name, text.encode())
    return list(files)


def twice_in_folder(names: Sequence[str]) -> str:
    """The names that several reports in one folder would have, of which one is the index."""
    files = [*names, *(["index"] if len(names) > 1 else [])]
    return ", ".join(sorted({name for name in files if files.count(name) > 1}))
