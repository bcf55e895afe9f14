"""Two pictures of a result: how near the limit, and how time grows."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from bench.nets import BATCHES, DEPTHS, WIDTHS, package
from bench.rows import Rows, exponent

COLOURS = {"fastnn": "#c0392b", "torch": "#2c6fbb", "numpy": "#7f8c8d"}


def figure(panels: int, title: str) -> tuple[Any, Any]:
    """Panels side by side."""
    matplotlib = package("matplotlib")
    matplotlib.use("Agg")
    made, axes = package("matplotlib.pyplot").subplots(1, panels, figsize=(5.5 * panels, 4.8), layout="constrained")
    made.suptitle(title)
    for each in axes:
        each.grid(alpha=0.3, which="both", linewidth=0.5)
    return made, axes


def peak(result: dict[str, Any], path: Path) -> None:
    """relu(x @ W + b): the share of the peak against size, and the roofline; one thread, float32."""
    rows = Rows(result["rows"])
    cases = [case for case in rows.cases("products") if "float64" not in case]
    cases.sort(key=lambda case: rows.found["products", case, "fastnn", 1]["flops"])
    made, (left, right) = figure(2, f"relu(x @ W + b), float32, one thread — {result['machine']['cpu']}")
    flops = [rows.found["products", case, "fastnn", 1]["flops"] for case in cases]
    top = 1.0
    for name, colour in COLOURS.items():
        shares = [share for case in cases if (share := rows.share("products", case, name))]
        if len(shares) == len(cases):
            left.plot(flops, shares, "o-", color=colour, label=name)
            top = max(top, *shares)
    left.plot(flops, [roof(rows, case) for case in cases], "k--", linewidth=1.5, label="roof: peak, or the copy's pace")
    for case, x in zip(cases, flops, strict=True):
        left.annotate(case, (x, 0.01), rotation=90, fontsize=7, color="#555555", ha="right", va="bottom")
    left.set(xscale="log", ylim=(0, 1.2 * top), xlabel="flops of one call", ylabel="share of the multiply-add peak")
    left.yaxis.set_major_formatter(package("matplotlib.ticker").PercentFormatter(1))
    left.legend(loc="upper left", ncols=2, fontsize=8)
    roofline(rows, cases, right)
    made.savefig(path, dpi=110)


def roof(rows: Rows, case: str) -> float:
    """The share of the peak that memory allows: a copy of the operands' size sets the pace of what cannot be reused."""
    row = rows.found["products", case, "fastnn", 1]
    most = rows.rate("products", case, "peak")
    copy = rows.time("products", case, "copy")
    return min(1.0, row["flops"] / copy / 1e3 / most) if most and copy else math.nan


def roofline(rows: Rows, cases: list[str], axes: Any) -> None:
    """GFLOP/s against flops a byte, below the copy's slopes and the peak."""
    peaks = [rate for case in cases if (rate := rows.rate("products", case, "peak"))]
    copies = [rate for row in rows.all if row["candidate"] == "copy"
              if (rate := rows.rate(row["group"], row["case"], "copy", of="bytes"))]
    top = sorted(peaks)[len(peaks) // 2] if peaks else math.nan
    reach = [0.25, 1000.0]
    for speed, style in ((max(copies), "-"), (min(copies), ":")):
        knee = top / speed
        axes.plot([reach[0], knee, reach[1]], [reach[0] * speed, top, top], "k" + style, linewidth=1,
                  label=f"roof: copy {speed:.0f} GB/s, peak {top:.0f} GFLOP/s")
    for name, colour in COLOURS.items():
        points = [(row["flops"] / row["bytes"], rate) for case in cases if (row := rows.get("products", case, name))
                  if (rate := rows.rate("products", case, name))]
        if points:
            axes.plot(*zip(*points, strict=True), "o", color=colour, label=name)
    axes.set(xscale="log", yscale="log", xlabel="flops a byte (every operand once)", ylabel="GFLOP/s", xlim=reach)
    axes.legend(loc="lower right", fontsize=8)


def growth(result: dict[str, Any], path: Path) -> None:
    """Time a step against batch, width and depth, with fitted exponents and the limit."""
    rows = Rows(result["rows"])
    made, axes = figure(3, f"A training step: time against size — {result['machine']['cpu']}")
    panels = (("batch", BATCHES, [net.batch for net in BATCHES], "256-256-10"),
              ("width", WIDTHS, [net.shape[0] for net in WIDTHS], "w-w-w-w, B64"),
              ("depth", DEPTHS, [int(net.name.split()[0]) for net in DEPTHS], "layers of 128, B64"))
    for (group, nets, sizes, what), each in zip(panels, axes, strict=True):
        for name, threads, style in (("fastnn", 1, "o-"), ("fastnn", 2, "s--"), ("torch", 1, "o-")):
            times = [rows.time(group, str(net), name, threads) for net in nets]
            known = [time for time in times if time]
            if len(known) == len(nets):
                p = exponent([float(size) for size in sizes], known)
                each.plot(sizes, known, style, color=COLOURS[name], markersize=4,
                          label=f"{name}, {threads} thread{'s' * (threads > 1)}: ~ size^{p:.2f}")
        rates = [rows.rate(group, str(net), "peak") for net in nets]
        if all(rates):
            limit = [net.flops() / rate / 1e3 for net, rate in zip(nets, rates, strict=True) if rate]
            each.plot(sizes, limit, "k:", linewidth=1, label="limit: flops / peak")
        each.set(xscale="log", yscale="log", xlabel=f"{group} ({what})", ylabel="µs a step")
        each.set_xticks(sizes, [str(size) for size in sizes])
        each.minorticks_off()
        each.legend(fontsize=8)
    made.savefig(path, dpi=110)
