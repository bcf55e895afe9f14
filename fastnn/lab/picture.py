"""Pictures of results, by matplotlib: in an Axes, and as SVG that a page contains.

In the SVG text is text, neutral colours are the page's own (``currentColor``) and the others variables of its style,
so that one picture serves light and dark pages, and print.
"""

import html
import io
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..extras import extra
from ..plot.figure import BLUE, COLOURS, GREEN, ORANGE, PINK, as_axes, new_figure
from .experiment import Said, Text, as_text
from .words import decimal, described, limits, number, word

with extra("lab"):
    import matplotlib
    from cycler import cycler
    from matplotlib.ticker import MaxNLocator, ScalarFormatter

INK = "#7b7a79"                     # stands for currentColor: a colour that no picture has
STYLE: Any = {
    "svg.fonttype": "none", "font.size": 10, "axes.prop_cycle": cycler(color=COLOURS),
    **{key: INK for key in ("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color")},
}  # fmt: skip
VARIABLES = {BLUE: "--blue", ORANGE: "--orange", GREEN: "--green", PINK: "--pink"}
WIDTH = 5.2                         # inches; at 360 pixels its text is still 9 pixels high


def draw(result: Any, ax: Any, language: str) -> Any:
    """The experiment's own picture, or every seed of its first check; returns the Axes."""
    with matplotlib.rc_context({"axes.prop_cycle": STYLE["axes.prop_cycle"]}):
        ax = as_axes(ax)
        ax.set_prop_cycle(STYLE["axes.prop_cycle"])
        if result.experiment.picture is None:
            dots(ax, result.findings[0], language, result.record.predicted)
        else:
            result.experiment.picture(ax, result, language)
            finish(ax, language)
    return ax


class Commas(ScalarFormatter):
    """Numbers beside an axis, with a decimal comma."""

    def __call__(self, x: float, pos: int | None = None) -> str:
        return self.with_comma(super().__call__(x, pos))

    def get_offset(self) -> str:
        return self.with_comma(super().get_offset())

    def with_comma(self, text: str) -> str:
        # In a formula a comma has a space behind it, but for one in braces.
        return text.replace(".", "{,}" if "$" in text else ",")


def say_numbers(ax: Any, language: str) -> None:
    """The numbers beside both axes have the language's decimal sign, unless the picture formats them in its own way."""
    for axis in (ax.xaxis, ax.yaxis) if language == "ru" else ():
        if type(axis.get_major_formatter()) is ScalarFormatter:
            axis.set_major_formatter(Commas())


def finish(ax: Any, language: str) -> None:
    """No frame at the top and right, and a legend, if anything has a label."""
    say_numbers(ax, language)
    ax.spines[["top", "right"]].set_visible(False)
    if ax.get_legend_handles_labels()[1] and ax.get_legend() is None:
        ax.legend(frameon=False)
        if is_covered(ax):
            ax.legend(frameon=False, loc="lower left", bbox_to_anchor=(0, 1), ncols=2)


def is_covered(ax: Any) -> bool:
    """Does a line of the picture cross its legend, though matplotlib has sought a place for it?"""
    ax.figure.figure.draw_without_rendering()
    box = ax.get_legend().get_window_extent()
    return any(line.get_path().transformed(line.get_transform()).intersects_bbox(box, filled=False)
               for line in ax.lines)


# ---- pictures that experiments choose ----

STYLES = ("--", "-", "-.", ":")


def draw_curves(ax: Any, result: Any, language: str, names: Mapping[str, Said], x: Said, y: Said, **axes: Any) -> None:
    """What ``lab.curves`` chooses."""
    for index, (name, label) in enumerate(names.items()):
        rows, style = result.curve(name), {"color": COLOURS[index], "ls": STYLES[index % len(STYLES)]}
        places = np.arange(1, rows.shape[1] + 1)
        ax.plot(places, rows[:24].T, alpha=0.2, lw=0.8, **style)
        with np.errstate(all="ignore"):
            ax.plot(places, np.median(rows, axis=0), lw=2, label=as_text("label", label).to(language), **style)
    ax.set(xlabel=as_text("x", x).to(language), ylabel=as_text("y", y).to(language), **said_axes(axes, language))


def draw_arms(ax: Any, result: Any, language: str, names: Mapping[str, Said], y: Said, **axes: Any) -> None:
    """What ``lab.arms`` chooses."""
    values = np.array([result.values(name) for name in names])
    ax.plot(range(len(names)), values[:, :24], color=INK, alpha=0.2, lw=0.8)
    for index, row in enumerate(values):
        ax.scatter(np.full(len(row), index), row, s=14, color=COLOURS[index % 4], alpha=0.6, linewidths=0)
        ax.plot(index, row.mean(), "_", color=COLOURS[index % 4], ms=30, mew=3)
    ax.set_xticks(range(len(names)), [as_text("label", each).to(language) for each in names.values()])
    ax.set(ylabel=as_text("y", y).to(language), xlim=(-0.5, len(names) - 0.5), **said_axes(axes, language))


def said_axes(axes: Mapping[str, Any], language: str) -> dict[str, Any]:
    """Arguments of ``Axes.set``; labels of ticks that are numbers get the language's decimal sign."""
    def label(text: Any) -> Any:
        return decimal(text, language) if re.fullmatch(r"[−-]?\d+\.\d+", str(text)) else text

    return {name: [*map(label, value)] if name in ("xticklabels", "yticklabels") else value
            for name, value in axes.items()}


# ---- every seed ----


def dots(ax: Any, finding: Any, language: str, predicted: float | None = None) -> None:
    """Every seed a dot, the interval a bar, what fails hatched; a triangle is what the reader predicted."""
    check, values = finding.check, finding.values[np.isfinite(finding.values)]
    heights = np.linspace(0.25, 0.75, max(len(values), 2))[:len(values)]
    ax.scatter(values, heights, s=14, color=BLUE, alpha=0.6, linewidths=0)
    if np.isfinite(finding.low):
        ax.plot([finding.low, finding.high], [0.5, 0.5], color=INK, lw=3, solid_capstyle="butt")
    if np.isfinite(finding.mean):
        ax.plot(finding.mean, 0.5, "|", color=INK, ms=18, mew=2)
    if predicted is not None:
        ax.plot(predicted, 0.08, "^", color=ORANGE, ms=9, clip_on=False)
    thresholds = [each for each in (check.above, check.below) if each is not None]
    points = [*values, *thresholds, *([] if predicted is None else [predicted])] or [0.0]
    pad = 0.06 * (max(points) - min(points) or 1.0)
    ax.set(xlim=(min(points) - pad, max(points) + pad), ylim=(0, 1), yticks=[])
    left, right = ax.get_xlim()
    for limit, end in ((check.above, left), (check.below, right)):
        if limit is not None:
            ax.axvspan(limit, end, fill=False, hatch="////", edgecolor=ORANGE, alpha=0.45, lw=0)
            ax.axvline(limit, color=ORANGE, lw=1.5, ls="--")
    ax.xaxis.set_major_locator(MaxNLocator(6))
    say_numbers(ax, language)
    ax.spines[["top", "right", "left"]].set_visible(False)


def picture_svg(result: Any, language: str) -> str:
    """The experiment's own picture; "" if it has none."""
    if result.experiment.picture is None:
        return ""
    with matplotlib.rc_context(STYLE | {"svg.hashsalt": result.experiment.name}):
        figure = new_figure(WIDTH, 3.4)
        result.experiment.picture(figure.add_subplot(), result, language)
        for ax in figure.axes:
            finish(ax, language)
        return svg(figure, word("picture", language), described(result, language))


def dots_svg(result: Any, language: str) -> str:
    """Every seed of each check that statistics decide, one below the other; "" if there is none."""
    shown = [each for each in result.findings if not each.check.every and np.isfinite(each.values).any()]
    if not shown:
        return ""
    with matplotlib.rc_context(STYLE | {"svg.hashsalt": f"{result.experiment.name} dots"}):
        figure = new_figure(WIDTH, 1.05 * len(shown) + 0.1)
        for index, each in enumerate(shown):
            ax = figure.add_subplot(len(shown), 1, index + 1)
            dots(ax, each, language, result.record.predicted if index == 0 else None)
            title = f"{each.check.name} {limits(each.check, language)} {each.check.unit.to(language)}"
            ax.set_title(title.strip().replace("  ", ", "), loc="left", fontsize=10, parse_math=False)
        said = "; ".join(
            Text(f"{each.check.name}: mean {number(each.mean)}, {len(each.values)} seeds from "
                 f"{number(each.values.min())} to {number(each.values.max())}, threshold {limits(each.check)}",
                 f"{each.check.name}: среднее {number(each.mean, 'ru')}, запусков: {len(each.values)}, от "
                 f"{number(each.values.min(), 'ru')} до {number(each.values.max(), 'ru')}, порог "
                 f"{limits(each.check, 'ru')}").to(language)
            for each in shown)
        return svg(figure, word("dots", language), said)


def svg(figure: Any, title: str, description: str) -> str:
    """The figure as an ``<svg>`` element that scales with the page and says what it shows."""
    file = io.BytesIO()
    figure.savefig(file, format="svg", transparent=True, metadata={"Date": None})
    text = file.getvalue().decode()
    text = text[text.index("<svg"):]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, count=1, flags=re.S)
    text = re.sub(r'<g id="[A-Za-z]+[\d.]*_\d+">', "<g>", text)
    view = re.search(r'viewBox="[^"]+"', text)
    said = f"<title>{html.escape(title)}</title><desc>{html.escape(description)}</desc>"
    label = html.escape(f"{title}. {description}", quote=True)
    text = re.sub(r"<svg[^>]*>", lambda _: f'<svg xmlns:xlink="http://www.w3.org/1999/xlink" '
                  f'{view.group() if view else ""} role="img" aria-label="{label}">{said}', text, count=1)
    for colour, value in ((INK, "currentColor"), *((key, f"var({name})") for key, name in VARIABLES.items())):
        text = re.sub(re.escape(colour), value, text, flags=re.I)
    return text
