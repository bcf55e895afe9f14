"""What a library costs before it does anything, and what a step needs: each figure from an interpreter of its own.

``python -m bench.memory step torch "784-128-10"`` is what the report runs for one of them. Linux only (/proc).
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import resource
import statistics
import subprocess
import sys
import tracemalloc
from pathlib import Path
from typing import Any

from bench.candidates import installed, peer_step, step
from bench.nets import CONVOLUTIONAL, MLPS, Net
from bench.rows import Row
from bench.timing import Work

MODULES = ["numpy", "fastnn", "torch", "jax", "sklearn.neural_network"]
# What pip installs is compiled; what stands in a clone is at its first import, unless that is switched off.
COMPILED = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
RUNS, FRESH, STEPS, MORE_STEPS = 7, 3, 5, 1000
IMPORT = """
import time
def resident():
    return int(open("/proc/self/statm").read().split()[1])
before, start = resident(), time.perf_counter()
import {module}
seconds = time.perf_counter() - start
print(seconds, resident() - before)
"""
SIZED = [MLPS[3], MLPS[4], MLPS[6], *CONVOLUTIONAL]
REPEATED = [MLPS[1], MLPS[3], MLPS[7], CONVOLUTIONAL[0]]


def imports() -> list[Row]:
    """Time and resident memory of each import, interpreters in turns; the first turn only warms the disk's cache."""
    found: dict[str, list[tuple[float, int]]] = {name: [] for name in MODULES if installed(name.partition(".")[0])}
    for _ in range(RUNS + 1):
        for name, figures in found.items():
            run = subprocess.run([sys.executable, "-c", IMPORT.format(module=name)], capture_output=True, text=True,
                                 check=True, env=COMPILED)
            seconds, pages = run.stdout.split()
            figures.append((float(seconds), int(pages) * resource.getpagesize()))
    rows = []
    for name, figures in found.items():
        seconds_, bytes_ = zip(*figures[1:], strict=True)
        rows.append({"group": "import", "case": "import", "candidate": name, "threads": 1,
                     "median_us": statistics.median(seconds_) * 1e6, "min_us": min(seconds_) * 1e6, "rounds": RUNS,
                     "memory": int(statistics.median(bytes_))})
    return rows


def status(key: str) -> int:
    """A field of /proc/self/status in bytes: VmRSS is resident now, VmHWM the most so far."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(key):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"/proc/self/status: no {key}")


def work(candidate: str, net: Net) -> Work:
    """A step of ``net``."""
    return peer_step("peer_torch", net) if candidate == "torch" else step(candidate, net)


def of_step(candidate: str, net: Net) -> dict[str, int]:
    """The most resident memory of a few steps, less what was there before the network and its batch.

    Code has been loaded by a small network first, and what building the network needed has been given back.
    """
    warm = work(candidate, (CONVOLUTIONAL[0] if len(net.shape) > 1 else MLPS[0])._replace(batch=17))
    warm(), warm()
    tidy()
    before = status("VmRSS")
    found = work(candidate, net)
    tidy()
    Path("/proc/self/clear_refs").write_text("5")           # VmHWM starts again
    for _ in range(STEPS):
        found()
    return {"memory": status("VmHWM") - before}


def of_repetition(candidate: str, net: Net) -> dict[str, int]:
    """What MORE_STEPS steps leave behind after the second one: resident memory, C heap, Python's allocations."""
    found = work(candidate, net)
    found(), found()
    tidy()
    for _ in range(3):                                      # these allocate, too, the first time
        status("VmRSS"), heap()
    resident, used = status("VmRSS"), heap()
    for _ in range(MORE_STEPS):
        found()
    grown = {"resident": status("VmRSS") - resident, "heap": heap() - used}
    tracemalloc.start()
    found()
    tracemalloc.reset_peak()
    before, _ = tracemalloc.get_traced_memory()
    for _ in range(MORE_STEPS):
        found()
    after, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return {**grown, "python": after - before, "python_most": most - before}


class Heap(ctypes.Structure):
    """glibc's struct mallinfo2: ``in_use`` and ``mapped`` are the bytes that malloc has given away."""

    _fields_ = [(name, ctypes.c_size_t) for name in ("arena", "ordblks", "smblks", "hblks", "mapped", "usmblks",
                                                     "fsmblks", "in_use", "fordblks", "keepcost")]


LIBC: Any = ctypes.CDLL(None)
if hasattr(LIBC, "mallinfo2"):
    LIBC.mallinfo2.restype = Heap


def heap() -> int:
    """Bytes in use of the C heap, 0 where the C library does not tell."""
    if not hasattr(LIBC, "mallinfo2"):
        return 0
    found = LIBC.mallinfo2()
    return int(found.in_use + found.mapped)


def tidy() -> None:
    """Gives back what is free."""
    gc.collect()
    if hasattr(LIBC, "malloc_trim"):
        LIBC.malloc_trim(0)


ONE_THREAD = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
KINDS = {"memory": (of_step, SIZED, ["fastnn", "torch"]), "allocation": (of_repetition, REPEATED, ["fastnn"])}


def rows(kind: str) -> list[Row]:
    """A row for each network and candidate: medians of fresh interpreters that take turns."""
    found = []
    _, nets, candidates = KINDS[kind]
    for net in nets:
        figures: dict[str, list[dict[str, int]]] = {name: [] for name in filter(installed, candidates)}
        for _ in range(FRESH):
            for candidate, each in figures.items():
                run = subprocess.run([sys.executable, "-m", "bench.memory", kind, candidate, net.name], check=True,
                                     capture_output=True, text=True, cwd=Path(__file__).parent.parent, env=ONE_THREAD)
                each.append(json.loads(run.stdout))
        for candidate, each in figures.items():
            medians = {key: statistics.median(figure[key] for figure in each) for key in each[0]}
            found.append({"group": kind, "case": str(net), "candidate": candidate, "threads": 1, **medians})
    return found


def main() -> None:
    kind, candidate, name = sys.argv[1:]
    measure, nets, _ = KINDS[kind]
    print(json.dumps(measure(candidate, next(net for net in nets if net.name == name))))


if __name__ == "__main__":
    main()
