"""The machine: what it is, and its two limits, multiply-adds from registers and the copying of memory.

A limit takes its turns among the candidates of a case; its best round counts, for the peak that of the whole run. The
multiply-add loop is compiled at run time (`peak.c`, by ``cc`` or ``$CC``); without a compiler there is no peak. That
of n threads is measured with each thread pinned to a core of its own. What other programs took meanwhile is measured,
too (``Others``): a peak beside a busy core is none. So is how far two cores are apart (``round_trip``): a virtual
machine's cores are now two that share a cache, now two that do not, and a second thread gives less then.
"""

import ctypes
import datetime
import functools
import os
import platform
import re
import shlex
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

import numpy as np

from bench.nets import Work, package

FLAGS = {"portable": (16, []), "x86_v3": (32, ["-mavx2", "-mfma"]), "x86_v4": (64, ["-mavx512f", "-mfma"])}
LIBRARIES = ("numpy", "scikit-learn", "torch", "keras", "jax")
PEAK_FLOPS = 1e9                # of one call in a thread: some ten milliseconds
FAR = 250                       # nanoseconds of a round trip: cores that share a cache take less, others more


class Others:
    """The cores that other programs kept busy while a block ran: ``cores``; None where Linux does not tell.

    Theirs is what all processors worked, and what a hypervisor took away, without what this process and its ended
    children did.
    """

    cores: float | None = None

    def __enter__(self) -> "Others":
        self.start = self.now()
        return self

    def __exit__(self, *exception: object) -> None:
        (busy, own, wall), (busy_before, own_before, wall_before) = self.now(), self.start
        if busy and busy_before and wall > wall_before:
            taken = (busy - busy_before) - (own - own_before)
            self.cores = round(max(0.0, taken / (wall - wall_before)), 2)

    @staticmethod
    def now() -> tuple[float | None, float, float]:
        """Seconds of work of all processors, of this process with its children, and of the clock."""
        stat, own = Path("/proc/stat"), os.times()
        words = stat.read_text().split("\n", 1)[0].split()[1:9] if stat.exists() else []
        ticks = [int(word) for word in words]               # user, nice, system, idle, iowait, irq, softirq, steal
        busy = (sum(ticks) - sum(ticks[3:5])) / os.sysconf("SC_CLK_TCK") if ticks else None
        return busy, sum(own[:4]), own.elapsed


def about() -> dict[str, Any]:
    """Processor, compiler, versions, commit and date."""
    cpuinfo = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    cpu = re.search("model name.*: (.*)", cpuinfo)
    commit = subprocess.run(["git", "describe", "--always", "--dirty", "--exclude", "*"], check=False,
                            capture_output=True, text=True, cwd=Path(__file__).parent)
    kernels = package("fastnn._kernels")
    return {
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M"),
        "commit": commit.stdout.strip() or "unknown",
        "cpu": cpu[1] if cpu else platform.processor(), "cores": os.cpu_count(),
        "python": platform.python_version(), "isa": kernels.isa(), "compiler": kernels.compiler(),
        **{each.name: each.version for name in LIBRARIES for each in distributions(name=name)},
    }


def compiled(source: Path, flags: list[str]) -> ctypes.CDLL | None:
    """A C file as a library, or None where the compiler is missing or refuses."""
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder) / "library.so"
        command = [*shlex.split(os.environ.get("CC", "cc")), "-shared", "-fPIC", *flags, str(source), "-o"]
        try:
            subprocess.run([*command, str(library)], check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError):
            return None
        return ctypes.CDLL(str(library))        # stays loaded when the file is gone


@functools.cache
def loop(isa: str, dtype: str) -> Any:
    """The compiled multiply-add loop, or None."""
    width, flags = FLAGS[isa]
    real = "float" if dtype == "float32" else "double"
    found = compiled(Path(__file__).with_name("peak.c"),
                     ["-O2", "-ffp-contract=fast", *flags, f"-DREAL={real}", f"-DBYTES={width}"])
    if found:
        found.multiply_add.argtypes, found.multiply_add.restype = [ctypes.c_long], ctypes.c_double
        found.flops.restype = ctypes.c_long
    return found


@functools.cache
def pinned(threads: int) -> ThreadPoolExecutor:
    """So many threads, each on a core of its own."""
    cores = iter(sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else [])

    def pin() -> None:
        core = next(cores, None)
        if core is not None:
            os.sched_setaffinity(0, {core})                 # of the calling thread

    return ThreadPoolExecutor(threads, initializer=pin)


def peak(isa: str, dtype: str, threads: int = 1) -> Work:
    """PEAK_FLOPS on each of so many threads."""
    multiply_add, rounds = loop(isa, dtype).multiply_add, int(PEAK_FLOPS / loop(isa, dtype).flops())
    if threads == 1:
        return lambda: multiply_add(rounds)
    return lambda: list(pinned(threads).map(multiply_add, [rounds] * threads))


@functools.cache
def messages() -> ctypes.CDLL | None:
    """The compiled functions that two cores talk by."""
    found = compiled(Path(__file__).with_name("cores.c"), ["-O2"])
    if found:
        found.ask.argtypes, found.answer.argtypes, found.ask.restype = [ctypes.c_long], [ctypes.c_long], ctypes.c_double
    return found


def round_trip(trips: int = 5000) -> float | None:
    """Nanoseconds from one core to the other and back, the best of three; None with one core or without a compiler."""
    talk = messages()
    if talk is None or len(os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else ()) < 2:
        return None
    best = float("inf")
    for _ in range(3):
        answer = pinned(2).submit(talk.answer, trips)
        best = min(best, pinned(2).submit(talk.ask, trips).result())
        answer.result()
    return round(1e9 * best)


def copy(size: float) -> Work:
    """NumPy's copy of an array, ``size`` bytes read and written together."""
    source = np.ones(int(size) // 8, np.float32)
    target = np.zeros_like(source)
    return lambda: np.copyto(target, source)
