"""A result in words: one Markdown table for each group, and for README the targets beside what was measured."""

from __future__ import annotations

from typing import Any

from bench import targets
from bench.groups import TITLES
from bench.rows import Rows

UNITS = {"flops": "GFLOP/s", "bytes": "GB/s"}
LIMITS = {"flops": "of peak", "bytes": "of copy"}


def machine(about: dict[str, Any]) -> str:
    """Where and with what it was measured, in one line."""
    names = ("python", "numpy", "scikit-learn", "torch", "jax")
    versions = ", ".join(f"{name} {about[name]}" for name in names if about.get(name))
    return (f"{about['cpu']}, {about['cores']} cores, {about['isa']}, {about['compiler']}; {versions}; "
            f"commit {about['commit']}, {about['date']}.")


def limits(rows: Rows) -> str:
    """The peak and the copy, as the medians of all their turns."""
    found = []
    for dtype in ("float32", "float64"):
        for threads in (1, 2):
            rates = sorted(row["flops"] / row["median_us"] / 1e3 for row in rows.all if row["candidate"] == "peak"
                           and (row["dtype"], row["threads"]) == (dtype, threads))
            if rates:
                found.append(f"{dtype} on {threads} thread{'s' * (threads > 1)} {rates[len(rates) // 2]:.0f} GFLOP/s")
    peak = f"Peak: {', '.join(found)}" if found else "Peak: not measured"
    copies = [row["bytes"] / row["median_us"] / 1e3 for row in rows.all if row["candidate"] == "copy"]
    return f"{peak}. Copy: {min(copies):.0f} to {max(copies):.0f} GB/s, by size." if copies else f"{peak}."


def cell(rows: Rows, group: str, case: str, name: str, threads: int) -> str:
    """A median in µs, and the ratio to fastnn's."""
    time, ratio = rows.time(group, case, name, threads), rows.ratio(group, case, name, threads=threads)
    if time is None:
        return ""
    return f"{time:,.1f}" + (f" ({ratio:.1f}×)" if ratio and name != "fastnn" else "")


def timed(rows: Rows, group: str, threads: int) -> list[str]:
    """A group with one number of threads; last columns: fastnn's minimum, rate and share."""
    names = rows.candidates(group, threads)
    kinds = [of for of in ("flops", "bytes") if any(row["group"] == group and row[of] for row in rows.all)]
    own = "fastnn" in names
    head = [f"{TITLES[group]}, {threads} thread{'s' * (threads > 1)}", *names]
    head += [f"fastnn {word}" for of in kinds for word in (UNITS[of], LIMITS[of])] + ["fastnn min"] if own else []
    lines = [f"| {' | '.join(head)} |", "|---|" + "---:|" * (len(head) - 1)]
    for case in rows.cases(group):
        cells = [cell(rows, group, case, name, threads) for name in names]
        if own:
            for of in kinds:
                rate, share = (ask(group, case, "fastnn", threads, of) for ask in (rows.rate, rows.share))
                cells += [f"{rate:.1f}" if rate else "", f"{share:.0%}" if share else "not measured"]
            row = rows.get(group, case, "fastnn", threads)
            cells.append(f"{row['min_us']:,.1f}" if row else "")
        lines.append(f"| {case} | {' | '.join(cells)} |")
    return [*lines, ""]


def by_set(rows: Rows, threads: int) -> list[str]:
    """Instruction sets: medians in µs, and each one's share of its own peak."""
    names = rows.candidates("isa", threads)
    lines = [f"| {TITLES['isa']}, {threads} thread{'s' * (threads > 1)} | {' | '.join(names)} |",
             "|---|" + "---:|" * len(names)]
    for case in rows.cases("isa"):
        cells = []
        for name in names:
            share = rows.share("isa", case, name, threads)
            cells.append(f"{rows.time('isa', case, name, threads):,.1f}" + (f" ({share:.0%})" if share else ""))
        lines.append(f"| {case} | {' | '.join(cells)} |")
    return [*lines, ""]


def imports(rows: Rows) -> list[str]:
    """Seconds and megabytes of each import."""
    lines = ["| import | seconds | MB |", "|---|---:|---:|"]
    for name in rows.candidates("import", 1):
        row = rows.found["import", "import", name, 1]
        lines.append(f"| {name} | {row['median_us'] / 1e6:.3f} | {row['memory'] / 1e6:.1f} |")
    return [*lines, ""]


def memory(rows: Rows) -> list[str]:
    """Growth of the most resident memory by a network and five steps, in MB."""
    names = rows.candidates("memory", 1)
    lines = [f"| {TITLES['memory']}, MB | {' | '.join(names)} |", "|---|" + "---:|" * len(names)]
    for case in rows.cases("memory"):
        found = (rows.get("memory", case, name) for name in names)
        cells = (f"{row['memory'] / 1e6:.1f}" if row else "" for row in found)
        lines.append(f"| {case} | {' | '.join(cells)} |")
    return [*lines, ""]


def allocation(rows: Rows) -> list[str]:
    """What is left behind, in bytes."""
    keys = ("resident", "heap", "python", "python_most")
    lines = ["| 1,000 steps more, bytes | | resident | C heap | Python | Python at most |", "|---|---|" + "---:|" * 4]
    for row in rows.all:
        if row["group"] == "allocation":
            lines.append(f"| {row['case']} | {row['candidate']} | {' | '.join(f'{row[key]:,}' for key in keys)} |")
    return [*lines, ""]


SPECIAL = {"import": imports, "memory": memory, "allocation": allocation}


def everything(result: dict[str, Any]) -> str:
    """One table a group; the targets last."""
    rows = Rows(result["rows"])
    lines = [machine(result["machine"]), limits(rows), "Medians in µs; in brackets the ratio to fastnn.", ""]
    for group in rows.groups():
        if group in SPECIAL:
            lines += SPECIAL[group](rows)
        else:
            for threads in rows.threads(group):
                lines += by_set(rows, threads) if group == "isa" else timed(rows, group, threads)
    return "\n".join([*lines, *targets.table(rows)])


def readme(result: dict[str, Any]) -> str:
    """The short one: the targets."""
    rows = Rows(result["rows"])
    return "\n".join([machine(result["machine"]), limits(rows), "", *targets.table(rows)])
