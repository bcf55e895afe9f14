"""The ladder of README.md: ``python docs/ladder/run.py`` compiles ladder.c, finds all rungs equal, times them in turns.

It keeps the figures in result.json and renews the two tables of README.md, both beside this file.

    python docs/ladder/run.py --check               # only equality, on every instruction set: a few seconds
    python docs/ladder/run.py --table               # the tables again, from result.json
    FASTNN_ISA=x86_v3 python docs/ladder/run.py     # for AVX2
    python docs/ladder/run.py --busy                # processor time, one thread: for a machine that does other work
"""

import argparse
import ctypes
import functools
import platform
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(ROOT))

from bench import cases, machine, report, rows, timing  # noqa: E402
from bench.nets import Turn, package  # noqa: E402
from bench.peers import numpy as by_numpy  # noqa: E402
from bench.peers import ours, use_threads  # noqa: E402
from bench.rows import Row, Rows  # noqa: E402
from tests.check import close, same  # noqa: E402

Array = np.ndarray
SIZES: list[ours.Size] = [(512, 512, 512), (32, 64, 32)]
CHECKED: list[ours.Size] = [(1, 1, 1), (2, 5, 15), (8, 256, 48), (37, 521, 131), (19, 263, 1201), *SIZES]
SMALL, TIMES = 1e6, 50              # a round below so many flops is so many calls, in a loop of C
PLAIN = ["-fno-tree-vectorize", "-fno-tree-slp-vectorize", "-DVL=2", "-DNV=1", "-DMR=4"]     # 4 × 2 tiles
KERNELS = package("fastnn._kernels")


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
SAME_BITS = ("6 fused", "6 fused, w in place", "7 threaded", "fastnn")         # as the engine


class Job(ctypes.Structure):
    """``job`` of ladder.c."""

    _fields_ = (*((name, ctypes.c_int64) for name in ("m", "n", "k", "threads")),
                *((name, ctypes.c_void_p) for name in ("x", "w", "b", "y", "work", "engine")))


def block_sizes(isa: str) -> dict[str, str]:
    """The engine's MR, NV, KC and PACK_B, from its source; where there are two of a name the first is aarch64's."""
    source = (ROOT / "fastnn" / "kernels" / f"isa_{isa}.c").read_text()
    found = re.findall(r"#define (MR|NV|KC|PACK_B) +(\d+|\(.*?\))", source)
    return dict(reversed(found) if platform.machine() in ("aarch64", "arm64") else found)


@functools.cache
def library(isa: str, vectors: bool) -> ctypes.CDLL:
    """ladder.c compiled, with OpenMP where the compiler has it (without, rung 7 has one thread)."""
    sizes, (width, flags) = block_sizes(isa), machine.FLAGS[isa]
    wide = [*flags, f"-DVL={width // 4}", *(f"-D{name}={sizes[name]}" for name in ("NV", "MR"))]
    if isa != "portable":
        wide.append(f"-mprefer-vector-width={8 * width}")
    options = ["-O3", "-std=gnu11", "-ffp-contract=fast", *(wide if vectors else PLAIN),
               *(f"-D{name}={sizes[name]}" for name in ("KC", "PACK_B"))]
    found = machine.compiled(HERE / "ladder.c", [*options, "-fopenmp"]) or machine.compiled(HERE / "ladder.c", options)
    if found is None:
        sys.exit("the ladder needs a C compiler (cc or $CC) that takes docs/ladder/ladder.c")
    return found


def engine_kernels(isa: str) -> int:
    """The address of the engine's table of kernels for float32."""
    find = ctypes.CDLL(KERNELS.__file__).fastnn_table
    find.argtypes, find.restype = [ctypes.c_int, ctypes.c_int], ctypes.c_void_p
    found: int = find(KERNELS.available().index(isa), 0)
    return found


def aligned(values: Array) -> Array:
    """A copy that begins a cache line: elsewhere a rung may be twice as fast in one run as in the next."""
    room = np.empty(values.nbytes + 64, np.uint8)
    start = -room.ctypes.data % 64
    copy = room[start:start + values.nbytes].view(values.dtype).reshape(values.shape)
    copy[...] = values
    return copy


class Call:
    """A rung with its arrays: call it for y = relu(x @ w + b), so many times."""

    def __init__(self, rung: Rung, isa: str, arrays: tuple[Array, ...], threads: int) -> None:
        code, (x, w, _) = library(isa, rung.vectors), arrays
        code.work_bytes.argtypes, code.work_bytes.restype = [ctypes.c_void_p], ctypes.c_int64
        work = aligned(np.zeros(threads * code.work_bytes(engine_kernels(isa)), np.uint8))
        self.y = aligned(np.full((len(x), w.shape[1]), np.nan, np.float32))     # what is not written shows
        self.arrays = (*arrays, self.y, work)                                   # alive: the job has addresses only
        self.job = Job(len(x), w.shape[1], w.shape[0], threads, *(array.ctypes.data for array in self.arrays),
                       engine_kernels(isa))
        self.repeat, self.rung = code.repeat, ctypes.cast(getattr(code, rung.function), ctypes.c_void_p)
        self.repeat.argtypes, self.repeat.restype = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64], None
        KERNELS.use_isa(isa)
        check(rung.name, self(), arrays)

    def __call__(self, times: int = 1) -> Array:
        self.repeat(self.rung, ctypes.byref(self.job), times)
        return self.y


def check(name: str, y: Array, arrays: tuple[Array, ...]) -> None:
    """|y - NumPy's in float64| <= (K + 1) · eps · (|x| @ |w| + |b|); the last rungs have the engine's bits."""
    x, w, b = (array.astype(np.float64) for array in arrays)
    scale = (len(w) + 1) * (np.abs(x) @ np.abs(w) + np.abs(b))
    close("product", y, np.maximum(x @ w + b, 0), scale, name)
    if name in SAME_BITS:
        same(y, KERNELS.gemm(*arrays, "relu"), name)


def calls(rungs: list[Rung], isa: str, size: ours.Size, threads: list[int]) -> dict[tuple[str, int], Call]:
    """By name and threads, each found equal."""
    arrays = tuple(aligned(array) for array in ours.operands(size, "float32")[:3])
    return {(rung.name, n): Call(rung, isa, arrays, n) for rung in rungs for n in (threads if rung.threaded else [1])}


def ladder(isa: str, size: ours.Size, threads: list[int], seconds: float) -> list[Row]:
    """All rungs, NumPy and the peak."""
    found: dict[tuple[str, int], Callable[..., Any]] = {**calls(RUNGS, isa, size, threads)}
    found |= {("NumPy", n): by_numpy.product(size, "float32", False) for n in threads}
    if machine.loop(isa, "float32"):
        found["peak", 1] = machine.peak(isa, "float32")
    return timed("ladder", size, found, seconds)


def packing(size: ours.Size, seconds: float) -> list[Row]:
    """One vector tile, its operands in place or packed, on every instruction set."""
    return timed("packing", size, {(f"{isa} {name}", n): call for isa in KERNELS.available()
                                   for (name, n), call in calls(PACKING, isa, size, [1]).items()}, seconds)


def timed(group: str, size: ours.Size, works: dict[tuple[str, int], Callable[..., Any]], seconds: float) -> list[Row]:
    """In turns; a short call of ladder.c is many in one."""
    flops = 2.0 * size[0] * size[1] * size[2]
    times = {key: TIMES if flops < SMALL and isinstance(work, Call) else 1 for key, work in works.items()}
    turns = {f"{key}": Turn(functools.partial(work, times[key]) if isinstance(work, Call) else work,
                                   functools.partial(use_threads, key[1])) for key, work in works.items()}
    found = timing.in_turns(turns, seconds)
    return [{"group": group, "case": "×".join(map(str, size)), "candidate": name, "threads": n,
             **rows.microseconds(found[f"{name, n}"].seconds, times[name, n]),
             "flops": machine.PEAK_FLOPS if name == "peak" else flops, "dtype": "float32"} for name, n in works]


def table(result: dict[str, Any]) -> str:
    """Markdown: a line for each rung and number of threads, four columns a size; then the operands packed or not."""
    found = Rows(result["rows"])
    sizes = found.of("case", "ladder")
    head = ["rung", "threads"]
    for size in sizes:
        head += [f"{size}, µs", "at least", "GFLOP/s", "of peak"]
    lines = []
    for name in found.of("candidate", "ladder"):
        for n in found.of("threads", "ladder"):
            if name != "peak" and found.get("ladder", sizes[0], name, n):
                lines.append([name, str(n), *(cell for size in sizes for cell in figures(found, size, name, n))])
    names = found.of("candidate", "packing")
    packed = [[size, *(micros(found.time("packing", size, name)) for name in names)]
              for size in found.of("case", "packing")]
    busy = " Processor time, on a busy machine." if result["machine"].get("clock") == "process_time" else ""
    return "\n".join([report.about(result) + busy, report.limits(found), "", *report.markdown(head, lines),
                      *report.markdown(["operands, µs", *names], packed)]).strip()


def figures(found: Rows, size: str, name: str, threads: int) -> list[str]:
    """Median and minimum in µs, rate, and share of the peak: of one thread, which was measured, times the threads."""
    row, rate = found.get("ladder", size, name, threads) or {}, found.rate("ladder", size, name, threads) or 0.0
    peaks = found.limits("peak", "float32")
    return [micros(row["median_us"]), micros(row["min_us"]), f"{rate:.1f}",
            f"{rate / (threads * peaks[-1]):.0%}" if peaks else ""]


def micros(time: float | None) -> str:
    """Three digits at least."""
    return "" if time is None else f"{time:,.{max(0, 2 - (time >= 10) - (time >= 100))}f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", default="1,2" if report.CORES > 1 else "1", help="default %(default)s")
    parser.add_argument("--seconds", type=float, default=10.0, help="a size (default %(default)s)")
    parser.add_argument("--check", action="store_true", help="compile and compare, time nothing")
    parser.add_argument("--table", action="store_true", help="renew the tables from result.json")
    parser.add_argument("--busy", action="store_true", help="one thread, processor time")
    options = parser.parse_args()
    threads = [1] if options.busy else [int(n) for n in options.threads.split(",")]
    if options.check:
        found = [call for isa in KERNELS.available() for size in CHECKED
                 for call in calls([*RUNGS, *PACKING], isa, size, [1, 2])]
        page = (HERE / "README.md").read_text()
        missing = [rung.name for rung in RUNGS if f"| {rung.name} |" not in page or f"`{rung.function}`" not in page]
        sys.exit(f"README.md does not show {missing}" if missing else print(f"{len(found)} calls are equal"))
    if not options.table:
        if options.busy:
            timing.CLOCK = time.process_time
        isa = timing.ISA                # what FASTNN_ISA or the processor says; --check and packing use others
        result = {"machine": machine.about() | {"clock": timing.CLOCK.__name__}, "rows": [
            *(row for size in SIZES for row in ladder(isa, size, threads, options.seconds)),
            *(row for size in cases.SIZES for row in packing(size, options.seconds))]}
        rows.keep(result, HERE / "result.json")
    report.renew(HERE / "README.md", "ladder", table(rows.load(HERE / "result.json")))


if __name__ == "__main__":
    main()
