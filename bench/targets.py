"""The targets of targets.toml, each beside its figure: met or missed. Of several (figure, where) the worst counts."""

import math
import tomllib
from pathlib import Path
from typing import Any

from bench import rows as results
from bench.nets import GROWTH
from bench.rows import Rows

Target = dict[str, Any]
Figures = list[tuple[float, str]]
TARGETS: list[Target] = tomllib.loads(Path(__file__).with_suffix(".toml").read_text())["target"]


def cases(rows: Rows, target: Target) -> list[str]:
    """The one that is named, or all of the group."""
    return [target["case"]] if "case" in target else rows.of("case", target["group"])


def value(rows: Rows, target: Target) -> Figures:
    """A value of fastnn's rows; over that of another library where one is named."""
    key, others = target["key"], target.get("over", ["fastnn"])
    pairs = [[rows.get(target["group"], case, name) for name in ("fastnn", *others)] for case in cases(rows, target)]
    return [(own[key] / max(1, other[key]) if "over" in target else own[key], own["case"])
            for own, other in pairs if own and other and key in own]


def speed_up(rows: Rows, target: Target) -> Figures:
    """The time of the fastest of some others over that of fastnn; ``mean``: the geometric mean of all cases."""
    found = [(ratio, case) for case in cases(rows, target)
             if (ratio := rows.speed_up(target["group"], case, target["over"], target.get("threads", 1)))]
    if found and target.get("mean"):
        return [(math.prod(ratio for ratio, _ in found) ** (1 / len(found)), f"mean of {len(found)} cases")]
    return found


def share_of_peak(rows: Rows, target: Target) -> Figures:
    """On one thread."""
    return [(share, case) for case in cases(rows, target) if (share := rows.share(target["group"], case))]


def second_thread(rows: Rows, target: Target) -> Figures:
    """The time on one thread over that on two, of the cases with so many flops; beside it, what the machine gave."""
    found = []
    for group in target["groups"]:
        for case in rows.of("case", group):
            one, two = rows.get(group, case), rows.get(group, case, threads=2)
            if one and two and one["flops"] >= target.get("flops", 0):
                peaks = [rows.rate(group, case, "peak", threads) for threads in (1, 2)]
                peak = f" (the peak: {peaks[1] / peaks[0]:.2f}×)" if peaks[0] and peaks[1] else ""
                found.append((one["median_us"] / two["median_us"], case + peak))
    return found


def second_caller(rows: Rows, target: Target) -> Figures:
    """The time of one thread of Python's that predicts over that of two with the same predictor."""
    return [(one / two, case) for case in cases(rows, target)
            if (one := rows.time(target["group"], case, "fastnn 1 caller"))
            and (two := rows.time(target["group"], case, "fastnn 2 callers"))]


def exponent(rows: Rows, target: Target) -> Figures:
    """p of time ~ size^p, over the larger half of the sizes."""
    times = [time for _, net in GROWTH[target["group"]] if (time := rows.time(target["group"], str(net)))]
    sizes = [float(size) for size, _ in GROWTH[target["group"]]]
    return [(results.exponent(sizes, times), "larger half")] if len(times) == len(sizes) else []


def table(rows: Rows) -> list[str]:
    """Markdown: what, target, measured, met or missed."""
    lines = ["| what | target | measured | |", "|---|---:|---:|---|"]
    for target in TARGETS:
        figures: Figures = globals()[target["figure"]](rows, target)
        if figures:
            low, unit = "at_least" in target, target.get("unit", "×")
            sign, bound = ("≥", target["at_least"]) if low else ("≤", target["at_most"])
            found, where = min(figures) if low else max(figures)
            over = f"over {' and '.join(target.get('over', []))}" * ("over" in target)
            name = str(target.get("key", target["figure"])).replace("_", " ")
            met = found >= bound if low else found <= bound
            lines.append(f"| {target.get('group', 'all')}, {where}: {name} {over} | {sign} {bound:g}{unit} "
                         f"| {found:.4g}{unit} | {'met' if met else '**missed**'} |")
    return lines
