"""The targets, each beside what was measured: the table of README.

A target is a factor that a figure must reach (or must not exceed) with one thread and with two.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from bench.nets import BATCHES, COMPILED_FROM, CONVOLUTIONAL, DEPTHS, MLPS, WIDTHS, Net
from bench.rows import Rows, exponent

TORCH = ("torch", "torch channels_last")
PAGE = 4096
NOISE = 0.97                # two runs of the same work differ by so much here


class Figure(NamedTuple):
    """What was measured: the figure, whether it is enough, and where it comes from if that is not plain."""

    value: float
    met: bool
    text: str


class Line(NamedTuple):
    """A line of the table; ``figure`` of the rows and a number of threads is None where it was not measured."""

    what: str
    target: str
    figure: Callable[[Rows, int], Figure | None]


def at_least(value: float, bound: float, text: str = "", unit: str = "×") -> Figure:
    """A figure that must reach a bound."""
    shown = f"{value:.0%}" if unit == "%" else f"{value:.1f}{unit}" if value >= 3 else f"{value:.2f}{unit}"
    return Figure(value, value >= bound, f"{shown} {text}".strip())


def at_most(value: float, bound: float, text: str = "", unit: str = "×") -> Figure:
    """A figure that must stay below a bound."""
    return Figure(value, value <= bound, f"{value:.2f}{unit} {text}".strip())


def ahead(group: str, net: Net, peers: tuple[str, ...], name: str, factor: float, two: float | None = None) -> Line:
    """fastnn's step against the best of some peers; JAX uses every core whatever the number of threads."""

    def figure(rows: Rows, threads: int) -> Figure | None:
        own = rows.time(group, str(net), "fastnn", threads)
        numbers = rows.threads(group)[-1:] if peers == ("jax",) else [threads]
        times = [rows.time(group, str(net), peer, n) for peer in peers for n in numbers]
        best = min((time for time in times if time), default=None)
        return at_least(best / own, two if two and threads > 1 else factor) if own and best else None

    kind = "by hand, " if group == "hand" else ""
    return Line(f"{kind}{net}", f"{factor:g}× {name}" + (f"; {two:g}× on two" if two else ""), figure)


def products_ahead(rows: Rows, threads: int) -> Figure | None:
    """The worst size against the better of NumPy and PyTorch."""
    found = [(min(filter(None, (rows.ratio("products", case, peer, threads=threads) for peer in ("numpy", "torch"))),
                  default=None), case) for case in rows.cases("products")]
    worst = min(((ratio, case) for ratio, case in found if ratio), default=None)
    return at_least(worst[0], 1.0, f"at {worst[1]}") if worst else None


def products_share(rows: Rows, threads: int) -> Figure | None:
    """The smallest share of the peak from 512³ on."""
    large = [case for case in rows.cases("products") if case.startswith(("512×512", "1024×1024"))]
    shares = [(share, case) for case in large if (share := rows.share("products", case, threads=threads))]
    return at_least(min(shares)[0], 0.8, f"at {min(shares)[1]}", "%") if shares else None


def speed_ups(rows: Rows, groups: tuple[str, ...], least_flops: float = 0.0) -> Iterator[tuple[float, str]]:
    """(one thread over two, case) of fastnn."""
    for group in groups:
        for case in rows.cases(group):
            one, two = (rows.get(group, case, "fastnn", n) for n in (1, 2))
            if one and two and one["flops"] >= least_flops:
                yield one["median_us"] / two["median_us"], case


def second_thread(rows: Rows, threads: int) -> Figure | None:
    """The least gain of the large networks."""
    found = list(speed_ups(rows, ("steps", "conv"), COMPILED_FROM.flops()))
    return at_least(min(found)[0], 1.8, f"at {min(found)[1]}") if found and threads == 2 else None


def never_slower(rows: Rows, threads: int) -> Figure | None:
    """The least gain of anything."""
    found = list(speed_ups(rows, ("steps", "conv", "hand", "epochs", "products", "backward")))
    return at_least(min(found)[0], NOISE, f"at {min(found)[1]}") if found and threads == 2 else None


def import_cost(key: str) -> Callable[[Rows, int], Figure | None]:
    """``import fastnn`` over ``import numpy``."""

    def figure(rows: Rows, threads: int) -> Figure | None:
        own, base = (rows.get("import", "import", name) for name in ("fastnn", "numpy"))
        return at_most(own[key] / base[key], 1.5) if own and base and threads == 1 else None

    return figure


def step_memory(rows: Rows, threads: int) -> Figure | None:
    """The worst network."""
    found = []
    for case in rows.cases("memory"):
        own, peer = (rows.get("memory", case, name) for name in ("fastnn", "torch"))
        if own and peer:
            found.append((own["memory"] / max(1, peer["memory"]), case))
    return at_most(max(found)[0], 1.0, f"at {max(found)[1]}") if found and threads == 1 else None


def nothing_allocated(rows: Rows, threads: int) -> Figure | None:
    """Heap and resident memory after 1,000 steps more, the latter to a page, which reading it may cost.

    Python's own figure is left out: it is that of the numbers that are compared.
    """
    found = [row for row in rows.all if row["group"] == "allocation" and row["candidate"] == "fastnn"]
    most = max((row["heap"] + max(0, row["resident"] - PAGE) for row in found), default=0)
    return Figure(most, most == 0, f"{most:,.0f} bytes") if found and threads == 1 else None


def growth(group: str, nets: list[Net], sizes: list[float], bound: float) -> Line:
    """The fitted exponent."""

    def figure(rows: Rows, threads: int) -> Figure | None:
        times = [rows.time(group, str(net), "fastnn", threads) for net in nets]
        known = [time for time in times if time]
        return at_most(exponent(sizes, known), bound, unit="") if len(known) == len(nets) else None

    return Line(f"time ~ {group}^p, larger half", f"p ≤ {bound:g}", figure)


LINES = [
    *(line for net in MLPS[:2] for line in (ahead("steps", net, TORCH, "PyTorch", 30),
                                            ahead("steps", net, ("jax",), "JAX", 12))),
    ahead("steps", MLPS[2], TORCH, "PyTorch", 12),
    ahead("steps", MLPS[2], ("jax",), "JAX", 5),
    ahead("steps", MLPS[3], TORCH, "PyTorch", 3.2),
    ahead("steps", MLPS[4], TORCH, "PyTorch", 2.2),
    *(line for net in MLPS[5:7] for line in (ahead("steps", net, TORCH, "PyTorch", 1.5, 1.0),
                                             ahead("steps", net, ("torch.compile",), "torch.compile", 1.3, 1.0))),
    *(ahead("conv", net, TORCH, "PyTorch", factor)
      for net, factor in zip(CONVOLUTIONAL, (20, 2, 1.7), strict=True)),
    ahead("steps", MLPS[7], TORCH, "PyTorch", 2.5),
    ahead("hand", MLPS[1], TORCH, "PyTorch", 6),
    Line("relu(x @ W + b), worst size", "1× NumPy and PyTorch", products_ahead),
    Line("relu(x @ W + b), 512³ and 1024³", "80% of the peak", products_share),
    Line("second thread, from 784-512-512-10 on", "1.8× one thread", second_thread),
    Line("second thread, anywhere", "1× one thread", never_slower),
    Line("import, time", "≤ 1.5× NumPy", import_cost("median_us")),
    Line("import, memory", "≤ 1.5× NumPy", import_cost("memory")),
    Line("memory of a step, worst net", "≤ 1× PyTorch", step_memory),
    Line("1,000 steps more", "0 bytes", nothing_allocated),
    growth("batch", BATCHES, [float(net.batch) for net in BATCHES], 1.1),
    growth("width", WIDTHS, [float(net.shape[0]) for net in WIDTHS], 2.1),
    growth("depth", DEPTHS, [float(net.name.split()[0]) for net in DEPTHS], 1.1),
]


def table(rows: Rows) -> list[str]:
    """Markdown, target beside measured."""
    lines = ["| | target | 1 thread | 2 threads |", "|---|---:|---:|---:|"]
    for line in LINES:
        figures = [line.figure(rows, threads) for threads in (1, 2)]
        cells = ["" if each is None else each.text + ("" if each.met else " ✗") for each in figures]
        if any(cells):
            lines.append(f"| {line.what} | {line.target} | {cells[0]} | {cells[1]} |")
    return lines
