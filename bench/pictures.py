"""Two pictures of a result: how fast (speed-ups over PyTorch, share of the peak), and how time grows with size."""

import functools
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.nets import GROWTH, package
from bench.rows import PEERS, Rows, exponent, times

COLOURS = {"fastnn": "#c0392b", "torch": "#2c6fbb", "numpy": "#7f8c8d"}
LABELS = {"batch": "256-256-10", "width": "w-w-w-w, B64", "depth": "layers of 128, B64"}


def speed_ups(rows: Rows, axes: Any) -> None:
    """Bars: PyTorch's time over fastnn's."""
    nets = [(group, case) for group in ("steps", "conv") for case in rows.of("case", group)]
    for threads, colour, shift in ((1, "#c0392b", -0.2), (2, "#e8a79f", 0.2)):
        found = [rows.speed_up(group, case, PEERS["PyTorch"], threads) or math.nan for group, case in nets]
        bars = axes.barh([index + shift for index in range(len(nets))], found, 0.4, color=colour,
                         label=f"{threads} thread{'s' * (threads > 1)}")
        axes.bar_label(bars, [times(value) for value in found], fontsize=7, padding=2)
    axes.axvline(1, color="k", linewidth=1)
    axes.set(xscale="log", xlabel="speed-up of a training step = PyTorch's time / fastnn's time", xlim=(0.5, 400))
    axes.set_yticks(range(len(nets)), [case.replace(" Batch", "\nBatch") for _, case in nets], fontsize=8)
    axes.invert_yaxis()
    axes.legend(fontsize=8)


def shares(rows: Rows, axes: Any) -> None:
    """The share of the peak of relu(x @ W + b) against its size."""
    sizes = sorted((rows.found["products", case, "fastnn", 1]["flops"], case)
                   for case in rows.of("case", "products") if "float64" not in case)
    for name, colour in COLOURS.items():
        found = [rows.share("products", case, name) or math.nan for _, case in sizes]
        axes.plot([flops for flops, _ in sizes], found, "o-", color=colour, label=name)
    axes.set(xscale="log", ylim=(0, 1.05), xlabel="relu(x @ W + b)",
             ylabel="share of the multiply-add peak, one thread")
    axes.set_xticks([flops for flops, _ in sizes], [case for _, case in sizes], rotation=90, fontsize=7)
    axes.minorticks_off()
    axes.legend(loc="upper left", fontsize=8)


def growth(group: str, rows: Rows, axes: Any) -> None:
    """Time a step against batch, width or depth, and the limit."""
    nets = [net for _, net in GROWTH[group]]
    sizes = [float(size) for size, _ in GROWTH[group]]
    for name, threads, style in (("fastnn", 1, "o-"), ("fastnn", 2, "s--"), ("torch", 1, "o-")):
        found = [time for net in nets if (time := rows.time(group, str(net), name, threads))]
        if len(found) == len(nets):
            axes.plot(sizes, found, style, color=COLOURS[name], markersize=4, label=f"{name}, {threads} "
                      f"thread{'s' * (threads > 1)}: ~ size^{exponent(sizes, found):.2f}")
    for peak in rows.limits("peak", "float32")[-1:]:
        axes.plot(sizes, [net.flops() / 1e3 / peak for net in nets], "k:", linewidth=1, label="1 thread: flops / peak")
    axes.set(xscale="log", yscale="log", xlabel=f"{group} ({LABELS[group]})", ylabel="µs a step")
    axes.set_xticks(sizes, [f"{size:g}" for size in sizes])
    axes.minorticks_off()
    axes.legend(fontsize=8)


def draw(result: dict[str, Any], folder: Path) -> None:
    """speed.png and growth.png."""
    package("matplotlib").use("Agg")
    rows = Rows(result["rows"])
    figures: dict[str, list[Callable[[Rows, Any], None]]] = {
        "speed": [speed_ups, shares], "growth": [functools.partial(growth, group) for group in GROWTH]}
    for name, panels in figures.items():
        made, axes = package("matplotlib.pyplot").subplots(1, len(panels), figsize=(5.5 * len(panels), 4.8),
                                                           layout="constrained")
        made.suptitle(f"float32 — {result['machine']['cpu']}, {result['machine']['isa']}")
        for panel, each in zip(panels, axes, strict=True):
            each.grid(alpha=0.3, which="both", linewidth=0.5)
            panel(rows, each)
        made.savefig(folder / f"{name}.png", dpi=110)
