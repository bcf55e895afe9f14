"""The ladder of docs/kernels.md: ``python -m bench.ladder`` compiles ladder.c, finds all rungs equal, times them.

It prints two tables and keeps the figures in bench/results/ladder-<date>-<commit>.json.

    python -m bench.ladder --write docs/kernels.md      # and puts the tables between the two marks of that file
    python -m bench.ladder --table FILE [--write FILE]  # what is kept, again
    python -m bench.ladder --busy                       # processor time, for a machine that does other work: one thread
"""

from __future__ import annotations

import argparse
import ctypes
import functools
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from bench import candidates, cases, machine, peer_numpy, tables, timing
from bench.candidates import Size, use_threads
from bench.measure import warn
from bench.nets import Array, package
from bench.rows import Row, Rows
from bench.timing import Turn, Work

ROOT = Path(__file__).parent.parent
Arrays = tuple[Array, ...]          # x (m, k), w (k, n), b (n)
SIZES: list[Size] = [(512, 512, 512), (32, 64, 32)]
SMALL, TIMES = 1e6, 50              # a turn below so many flops is so many calls, in a loop of C
PLAIN = ["-O3", "-fno-tree-vectorize", "-fno-tree-slp-vectorize", "-DVL=2", "-DNV=1", "-DMR=4"]     # 4 × 2 tiles


class Rung(NamedTuple):
    """A function of ladder.c, compiled for vectors or one number at a time; ``threaded``: also on as many as asked."""

    name: str
    function: str
    vectors: bool = True
    threaded: bool = False


RUNGS = [
    *(Rung(f"{name}{', compiled to vectors' * vectors}", function, vectors)
      for name, function in (("1 naive", "naive"), ("2 along the rows", "along"), ("3 tiled", "tiled"),
                             ("4 packed", "packed")) for vectors in (False, True)),
    Rung("5 vectors", "vectors"),
    Rung("6 fused", "fused"),
    Rung("6 fused, w in place", "fused_in_place"),
    Rung("7 threaded", "threaded", threaded=True),
    Rung("fastnn", "engine", threaded=True),
]
PACKING = [Rung("in place", "vectors_in_place"), Rung("w packed", "vectors"), Rung("x, too", "vectors_both_packed")]


class Library(NamedTuple):
    """ladder.c compiled, with OpenMP where the compiler has it."""

    code: ctypes.CDLL
    openmp: bool


class Job(ctypes.Structure):
    """``job`` of ladder.c."""

    _fields_ = (*((name, ctypes.c_int64) for name in ("m", "n", "k", "threads")),
                *((name, ctypes.c_void_p) for name in ("x", "w", "b", "y", "work", "engine")))


def block_sizes(isa: str) -> dict[str, str]:
    """The engine's MR, NV, KC and PACK_BYTES, from its source; where there are two of a name the first is aarch64's."""
    source = (ROOT / "fastnn" / "kernels" / f"isa_{isa}.c").read_text()
    found = re.findall(r"#define (MR|NV|KC|PACK_BYTES) +(\d+|\(.*?\))", source)
    return dict(reversed(found) if platform.machine() in ("aarch64", "arm64") else found)


@functools.cache
def library(isa: str, vectors: bool) -> Library | None:
    """ladder.c compiled by ``cc`` or ``$CC``, or None where that fails."""
    sizes, (width, flags) = block_sizes(isa), machine.FLAGS[isa]
    wide = ["-O3", *flags, f"-DVL={width // 4}", *(f"-D{name}={sizes[name]}" for name in ("NV", "MR"))]
    if isa != "portable":
        wide.append(f"-mprefer-vector-width={8 * width}")
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "ladder.so"
        command = [os.environ.get("CC", "cc"), "-std=gnu11", "-ffp-contract=fast", "-shared", "-fPIC",
                   *(wide if vectors else PLAIN), *(f"-D{name}={sizes[name]}" for name in ("KC", "PACK_BYTES")),
                   str(Path(__file__).with_suffix(".c")), "-o", str(target)]
        for openmp in (True, False):
            try:
                subprocess.run(command + ["-fopenmp"] * openmp, check=True, capture_output=True)
                return Library(ctypes.CDLL(str(target)), openmp)    # stays loaded when the file is gone
            except (OSError, subprocess.CalledProcessError):
                continue
    return None


def engine_kernels(isa: str) -> int | None:
    """Where the engine's table for float32 stands, or None where its extension module keeps symbols to itself."""
    kernels = package("fastnn._kernels")
    find = getattr(ctypes.CDLL(kernels.__file__), "fastnn_table", None)
    if find is None:
        return None
    find.argtypes, find.restype = [ctypes.c_int, ctypes.c_int], ctypes.c_void_p
    found: int = find(kernels.available().index(isa), 0)
    return found


def aligned(values: Array) -> Array:
    """A copy that begins a cache line: elsewhere a line may be twice as fast in one run as in the next."""
    room = np.empty(values.nbytes + 64, np.uint8)
    start = -room.ctypes.data % 64
    copy = room[start:start + values.nbytes].view(values.dtype).reshape(values.shape)
    copy[...] = values
    return copy


def operands(size: Size) -> Arrays:
    """x, w and b of a product m×k×n."""
    return tuple(aligned(array) for array in candidates.operands(size, "float32")[:3])


class Call:
    """A rung with its arrays: call it for y = relu(x @ w + b), so many times."""

    def __init__(self, found: Library, function: str, arrays: Arrays, threads: int,
                 engine: int | None = None) -> None:
        code, (x, w, _) = found.code, arrays
        code.work_bytes.restype = ctypes.c_int64
        work = aligned(np.zeros(threads * code.work_bytes(), np.uint8))
        self.y = aligned(np.full((len(x), w.shape[1]), np.nan, np.float32))     # what is not written shows
        self.arrays = (*arrays, self.y, work)                                   # kept: the job has addresses only
        self.job = Job(len(x), w.shape[1], w.shape[0], threads, *(array.ctypes.data for array in self.arrays), engine)
        self.repeat, self.rung = code.repeat, ctypes.cast(getattr(code, function), ctypes.c_void_p)
        self.repeat.argtypes, self.repeat.restype = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64], None

    def __call__(self, times: int = 1) -> Array:
        self.repeat(self.rung, ctypes.byref(self.job), times)
        return self.y


Calls = dict[tuple[str, int], Call]


def calls(rungs: list[Rung], isa: str, arrays: Arrays, threads: list[int]) -> Calls:
    """Those that can be had here, by name and threads, each found equal to NumPy; what cannot is said aloud."""
    found: Calls = {}
    for rung in rungs:
        built, engine = library(isa, rung.vectors), engine_kernels(isa)
        if built is None:
            warn(f"{rung.name}: no C compiler (cc or $CC) that takes ladder.c")
        elif rung.function == "engine" and engine is None:
            warn(f"{rung.name}: its extension module shows no fastnn_table")
        else:
            for n in threads if rung.threaded else threads[:1]:
                if n > 1 and rung.function == "threaded" and not built.openmp:
                    warn(f"{rung.name} on {n} threads: the compiler has no OpenMP")
                    continue
                found[rung.name, n] = Call(built, rung.function, arrays, n, engine)
                check(rung.name, found[rung.name, n](), arrays)
    return found


def check(name: str, y: Array, arrays: Arrays) -> None:
    """|y - NumPy's in float64| <= (K + 1) · eps · (|x| @ |w| + |b|), as in tests/test_gemm.py."""
    x, w, b = (array.astype(np.float64) for array in arrays)
    scale = (len(w) + 1) * (np.abs(x) @ np.abs(w) + np.abs(b))
    package("tests.check").close("product", y, np.maximum(x @ w + b, 0), scale, name)


def ladder(isa: str, size: Size, threads: list[int]) -> list[Row]:
    """All rungs, NumPy and the peak."""
    arrays = operands(size)
    found: dict[tuple[str, int], Work] = {**calls(RUNGS, isa, arrays, threads)}
    for n in threads:
        found["NumPy", n] = peer_numpy.product(*arrays)
        check("NumPy", found["NumPy", n](), arrays)
        if machine.loop(isa, "float32"):
            found["peak", n] = machine.peak(isa, "float32", n)
    return timed("ladder", size, found)


def packing(size: Size) -> list[Row]:
    """One vector tile, its operands in place or packed, on every instruction set."""
    found: dict[tuple[str, int], Work] = {}
    arrays = operands(size)
    for isa in package("fastnn._kernels").available():
        found |= {(f"{isa} {name}", n): call for (name, n), call in calls(PACKING, isa, arrays, [1]).items()}
    return timed("packing", size, found)


def timed(group: str, size: Size, works: dict[tuple[str, int], Work]) -> list[Row]:
    """In turns; a short one of ladder.c is many calls in one."""
    flops, turns, times = 2.0 * size[0] * size[1] * size[2], {}, {}
    for (name, n), work in works.items():
        times[name, n] = TIMES if flops < SMALL and isinstance(work, Call) else 1
        again = functools.partial(work, times[name, n]) if isinstance(work, Call) else work
        turns[f"{name}\0{n}"] = Turn(again, functools.partial(use_threads, n))
    found = timing.turns(turns).values()
    return [{"group": group, "case": "×".join(map(str, size)), "candidate": name, "threads": n,
             "median_us": round(one.median / times[name, n], 3), "min_us": round(one.minimum / times[name, n], 3),
             "rounds": one.rounds, "flops": machine.PEAK_FLOPS * n if name == "peak" else flops, "bytes": 0,
             "dtype": "float32"} for (name, n), one in zip(works, found, strict=True)]


def table(result: dict[str, Any]) -> str:
    """Markdown: a line a rung and number of threads, four columns a size; then the operands in place and packed."""
    rows = Rows(result["rows"])
    cases = rows.cases("ladder")
    head = [f"{case}, µs | at least | GFLOP/s | of peak" for case in cases]
    busy = " Processor time, on a busy machine." if result["machine"]["clock"] == "process_time" else ""
    lines = [tables.machine(result["machine"]) + busy, tables.limits(rows), "",
             f"| rung | threads | {' | '.join(head)} |", "|---|" + "---:|" * (1 + 4 * len(cases))]
    for name in dict.fromkeys(row["candidate"] for row in rows.all if row["group"] == "ladder"):
        for n in rows.threads("ladder"):
            cells = [cell for case in cases for cell in figures(rows, case, name, n)]
            if any(cells) and name != "peak":
                lines.append(f"| {name} | {n} | {' | '.join(cells)} |")
    names = rows.candidates("packing", 1)
    lines += ["", f"| operands, µs | {' | '.join(names)} |", "|---|" + "---:|" * len(names)]
    for case in rows.cases("packing"):
        found = [rows.time("packing", case, name) for name in names]
        lines.append(f"| {case} | {' | '.join(map(micros, found))} |")
    return "\n".join(lines)


def figures(rows: Rows, case: str, name: str, threads: int) -> list[str]:
    """Median and minimum in µs, rate and share of the peak with as many threads; nothing for what was not measured."""
    row = rows.get("ladder", case, name, threads)
    rate, share = (ask("ladder", case, name, threads) for ask in (rows.rate, rows.share))
    times = [micros(row[key] if row else None) for key in ("median_us", "min_us")]
    return [*times, f"{rate:.1f}" if rate else "", f"{share:.0%}" if share else ""]


def micros(time: float | None) -> str:
    """Three digits at least."""
    return "" if time is None else f"{time:,.{max(0, 2 - (time >= 10) - (time >= 100))}f}"


def write(path: Path, text: str) -> None:
    """Between the two marks of a file."""
    old = path.read_text()
    new = re.sub("<!-- ladder -->.*<!-- /ladder -->", lambda _: f"<!-- ladder -->\n{text}\n<!-- /ladder -->", old,
                 flags=re.DOTALL)
    if "<!-- ladder -->" not in new:
        sys.exit(f"{path}: expected the marks <!-- ladder --> and <!-- /ladder -->")
    path.write_text(new)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.ladder", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    parser.add_argument("--threads", default="1,2" if cores > 1 else "1", help="default %(default)s")
    parser.add_argument("--seconds", type=float, default=10.0, help="a size (default %(default)s)")
    parser.add_argument("--busy", action="store_true", help="one thread, processor time: for a machine with other work")
    parser.add_argument("--out", type=Path, metavar="FILE", help="keep the figures there")
    parser.add_argument("--table", type=Path, metavar="FILE", help="a kept result instead of a new one")
    parser.add_argument("--write", type=Path, metavar="FILE", help="put the tables between its marks")
    options = parser.parse_args()
    if options.table:
        result = json.loads(options.table.read_text())
    else:
        timing.CASE_SECONDS = options.seconds
        threads = [int(n) for n in options.threads.split(",")]
        if options.busy:
            timing.CLOCK, threads = time.process_time, [1]
        about, isa = machine.about() | {"clock": timing.CLOCK.__name__}, package("fastnn").isa()
        if library(isa, vectors=True) is None:
            sys.exit("SKIPPED: the ladder needs a C compiler (cc or $CC) that takes bench/ladder.c")
        rows = [row for size in SIZES for row in ladder(isa, size, threads)]
        rows += [row for size in cases.SIZES for row in packing(size)]
        result = {"machine": about, "rows": rows}
        out = options.out or ROOT / "bench" / "results" / f"ladder-{about['date']}-{about['commit']}.json"
        out.write_text(json.dumps(result, indent=1) + "\n")
    if options.write:
        write(options.write, table(result))
    print(table(result))


if __name__ == "__main__":
    main()
