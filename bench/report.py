"""``python -m bench.report``: runs ``pytest bench/``, adds memory and imports, prints tables, targets met and missed.

The whole of it is kept in bench/results/<date>-<commit>.json, draws docs/speed.png and docs/growth.png and renews
README's table. A part is printed only. Options that are not listed below go to pytest (see ``pytest bench/ --help``).

    python -m bench.report --only steps                         # two minutes
    python -m bench.report --only steps,conv --threads 1 -k 784- --without torch.compile,jax --seconds 1
    python -m bench.report --table FILE ... [--pictures FOLDER] [--readme]  # kept results, or pytest's own JSON file
"""

import argparse
import os
import re
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from bench import machine, memory, pictures, rows, targets
from bench.cases import GROUPS
from bench.rows import LIMITS, PEERS, PREDICTING, Rows, times

ROOT = Path(__file__).parents[1]
PROCESSES = {"import": memory.imports, "memory": memory.steps}
NAMES = [name for name in (*GROUPS, *PROCESSES) if name != "small"]
DISTURBED = 0.15                # cores that other programs keep busy; an idle machine has about 0.02
CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run(names: list[str], options: list[str]) -> dict[str, Any]:
    """A result: the machine and the rows."""
    result: dict[str, Any] = {"machine": machine.about(), "rows": []}
    timed = ",".join(name for name in names if name in GROUPS)
    if timed:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "benchmark.json"
            subprocess.run([sys.executable, "-m", "pytest", "bench/test_cases.py", "-q", "--benchmark-quiet",
                            f"--benchmark-json={file}", "--only", timed, "--seconds", "2", "--threads",
                            "1,2" if CORES > 1 else "1", *options], check=False, cwd=ROOT)
            if not file.exists() or not file.stat().st_size:
                sys.exit("pytest measured nothing: see above")
            result = rows.load(file)
    for name in filter(PROCESSES.__contains__, names):
        result["rows"] += PROCESSES[name]()
    return result


def markdown(head: list[str], lines: list[list[str]]) -> list[str]:
    """A table whose first column is text."""
    return [f"| {' | '.join(line)} |" for line in [head, ["---", *["---:"] * (len(head) - 1)], *lines]] + [""]


def about(result: dict[str, Any]) -> str:
    """Where and with what it was measured."""
    found = result["machine"]
    names = ("python", "numpy", "scikit-learn", "torch", "keras", "jax")
    return (f"{found['cpu']}, {found['cores']} cores, {found['isa']}, {found['compiler']}; "
            f"{', '.join(f'{name} {found[name]}' for name in names if found.get(name))}; "
            f"commit {found['commit']}, {found['date'][:10]}.")


def limits(found: Rows) -> str:
    """The machine's limits."""
    peaks = [f"{dtype} {rates[-1]:.0f} GFLOP/s on {threads} thread{'s' * (threads > 1)}"
             for dtype in ("float32", "float64") for threads in sorted({row.get("threads", 1) for row in found.all})
             if (rates := found.limits("peak", dtype, threads))]
    copies = found.limits("copy", "float32")
    copy = f" A copy: {copies[0]:.0f} to {copies[-1]:.0f} GB/s, by size." if copies else ""
    return f"Peak: {', '.join(peaks) or 'not measured'}.{copy}{distance(found)}"


def distance(found: Rows) -> str:
    """How far the cores were apart, and where they shared no cache."""
    trips = found.apart()
    far = [case for case, trip in trips.items() if trip > machine.FAR]
    if not trips:
        return ""
    least, most = min(trips.values()), max(trips.values())
    some = "all cases" if len(far) == len(trips) else ", ".join(far)
    return (f" From one core to the other and back: {least:.0f} to {most:.0f} ns."
            + f" Two threads shared no cache during {some}." * bool(far))


def disturbance(found: Rows) -> str:
    """What to think of the figures, or of some of them, if other programs took part; else nothing."""
    busy = found.others()
    cores = statistics.median(busy.values()) if busy else 0.0
    if cores >= DISTURBED:
        return (f"**Not to be quoted**: other programs kept {cores:.2g} cores busy during this measurement (median of "
                f"the cases; from {DISTURBED:g} on this is said).")
    some = [f"{case} ({each:.2g})" for case, each in busy.items() if each >= DISTURBED]
    return f"Other programs kept cores busy during some cases: {', '.join(some)}." if some else ""


def group_table(found: Rows, group: str, threads: int) -> list[str]:
    """A group with one number of threads: µs and speed-ups; fastnn's quartiles, rate and share of the limit."""
    names = [name for name in found.of("candidate", group) if name not in LIMITS]
    units = [(of, head) for of, head in (("flops", ["GFLOP/s", "of the peak"]), ("bytes", ["GB/s", "over a copy's"]))
             if "fastnn" in names and any(row["group"] == group and row[of] for row in found.all)]
    lines = []
    for case in found.of("case", group):
        line = [case]
        for name in names:
            time, ratio = found.time(group, case, name, threads), found.speed_up(group, case, [name], threads)
            line.append(f"{time:,.1f}" + f" ({times(ratio)})" * bool(ratio and name != "fastnn") if time else "")
        for of, _ in units:
            rate, share = (ask(group, case, "fastnn", threads, of) for ask in (found.rate, found.share))
            line += [f"{rate:.1f}" if rate else "", f"{share:.{'0%' if of == 'flops' else '2f'}}" if share else ""]
        row = found.get(group, case, "fastnn", threads) or {}
        line.append(f"{row['q1_us']:,.1f}, {row['q3_us']:,.1f}" if "q1_us" in row else "")
        lines.append(line if units else line[:-1])
    heads = [head for _, each in units for head in each] + ["quartiles"] * bool(units)
    return markdown([f"{group}, {threads} thread{'s' * (threads > 1)}", *names, *heads], lines)


def memory_table(found: Rows, group: str) -> list[str]:
    """Megabytes, and milliseconds where there is a time."""
    names, lines = found.of("candidate", group), []
    for case in found.of("case", group):
        known = [found.get(group, case, name) or {} for name in names]
        for key, scale, unit in (("memory", 1e6, "MB"), ("median_us", 1e3, "ms"),
                                 ("growth", 1, "bytes more after 1,000 steps")):
            if any(key in row for row in known):
                lines.append([f"{case}, {unit}", *(f"{row[key] / scale:,.3g}" if key in row else "" for row in known)])
    return markdown([group, *names], lines)


def everything(result: dict[str, Any]) -> str:
    """A table for each group; the targets last."""
    found = Rows(result["rows"])
    lines = [about(result), limits(found), disturbance(found),
             "Medians in µs; in brackets the speed-up: the other's time / fastnn's.", ""]
    for group in dict.fromkeys(row["group"] for row in found.all):
        for threads in sorted(found.of("threads", group)):
            lines += memory_table(found, group) if group in PROCESSES else group_table(found, group, threads)
    return "\n".join([*lines, *targets.table(found)])


def kept_beside(result: dict[str, Any]) -> list[dict[str, Any]]:
    """The newest kept result of another instruction set, if there is one."""
    kept = [rows.load(path) for path in (ROOT / "bench/results").glob("20*.json")]
    others = [each for each in kept if each["machine"]["isa"] != result["machine"]["isa"]]
    return sorted(others, key=lambda each: str(each["machine"]["date"]))[-1:]


def readme_cells(found: Rows, group: str, case: str, peers: dict[str, list[str]]) -> list[str]:
    """The time of one thread, and speed-ups on it; over JAX on all."""
    own, threads = found.time(group, case), {"JAX": max(found.of("threads", "steps"), default=1)}
    if own is None:
        return [""] * (1 + len(peers))
    return [f"{own:.3g} µs" if own < 1000 else f"{own / 1e3:.3g} ms",
            *(times(found.speed_up(group, case, names, threads.get(peer, 1))) for peer, names in peers.items())]


def readme_table(what: str, machines: list[Rows], chosen: list[tuple[str, str, str]], peers: dict[str, list[str]],
                 ) -> list[str]:
    """(group, case, its name) a line; the machines that have any of them side by side in each cell."""
    lines, groups = [], {group for group, _, _ in chosen}
    machines = [each for each in machines if any(each.of("case", group) for group in groups)]
    for group, case, name in chosen:
        cells = zip(*(readme_cells(each, group, case, peers) for each in machines), strict=True)
        lines.append([name, *(" / ".join(cell or "–" for cell in each) if any(each) else "" for each in cells)])
    return markdown([what, "fastnn", *peers], lines) if lines else []


def readme(results: list[dict[str, Any]]) -> str:
    """Speed-ups of training steps and predictions on each machine, side by side."""
    shown = ("steps", "conv", "hand", "epochs", "predict")
    all_rows = [Rows(row for row in each["rows"] if row["group"] in shown) for each in results]
    steps = [(group, case, case) for group in ("steps", "conv") for case in all_rows[0].of("case", group)]
    steps += [("hand", "64-32-10 B32", "64-32-10 B32, forward and backward called by hand"),
              ("epochs", "64-32-10 B32", "64-32-10 B32, an epoch of 20 batches")]
    predictions = [("predict", case, case) for case in all_rows[0].of("case", "predict")
                   if case.rpartition(" ")[2] in ("B1", "B32")]
    return "\n".join([
        *readme_table("training step", all_rows, steps, PEERS),
        *readme_table("prediction", all_rows, predictions, PREDICTING),
        *(f"{place}{about(each)}" for place, each in zip(
            ("First figure: ", "Second figure: ") if len(results) > 1 else ("",), results, strict=False)),
        *filter(None, map(disturbance, all_rows))])


def renew(path: Path, mark: str, text: str) -> None:
    """Writes a text between two marks of a file."""
    pattern, old = f"<!-- {mark} -->.*<!-- /{mark} -->", path.read_text()
    if not re.search(pattern, old, re.DOTALL):
        sys.exit(f"{path}: expected the marks <!-- {mark} --> and <!-- /{mark} -->")
    path.write_text(re.sub(pattern, lambda _: f"<!-- {mark} -->\n{text}\n<!-- /{mark} -->", old, flags=re.DOTALL))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.report", description=__doc__, allow_abbrev=False,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", metavar="GROUPS", help=f"some of {','.join(NAMES)}")
    parser.add_argument("--out", type=Path, metavar="FILE", help="keep a part, too")
    parser.add_argument("--table", type=Path, nargs="+", metavar="FILE",
                        help="print the tables of a kept result; README can have several side by side")
    parser.add_argument("--pictures", type=Path, metavar="FOLDER", help="draw them there")
    parser.add_argument("--readme", action="store_true", help="renew README's table")
    own, options = parser.parse_known_args()
    whole = not (own.only or own.table or options)
    beside = [rows.load(path) for path in (own.table or ())[1:]]
    result = rows.load(own.table[0]) if own.table else run(own.only.split(",") if own.only else NAMES, options)
    if own.out or whole:
        about = result["machine"]
        rows.keep(result, own.out or ROOT / f"bench/results/{about['date'][:10]}-{about['commit']}.json")
    if own.pictures or whole:
        pictures.draw(result, own.pictures or ROOT / "docs")
    if own.readme or whole:
        renew(ROOT / "README.md", "bench", readme([result, *(beside or kept_beside(result))]))
    print(everything(result))


if __name__ == "__main__":
    main()
