"""The machine: what it is, and its two limits, multiply-adds from registers and the copying of memory.

A limit is a candidate like any other and takes its turns among them, so a share of the peak is a ratio within one run.
The multiply-add loop is compiled at run time (`peak.c`, by ``cc`` or ``$CC``); without a compiler there is no peak.
"""

from __future__ import annotations

import ctypes
import datetime
import functools
import os
import platform
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from bench.nets import package
from bench.timing import Work

FLAGS = {"portable": (16, []), "x86_v3": (32, ["-mavx2", "-mfma"]), "x86_v4": (64, ["-mavx512f", "-mfma"])}
PEAK_FLOPS = 4e8                # of one call: a few milliseconds, beside which starting a thread is little


def about() -> dict[str, Any]:
    """Processor, compiler, versions, commit and date."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    commit = subprocess.run(["git", "describe", "--always", "--dirty", "--exclude", "*"], check=False,
                            capture_output=True, text=True, cwd=Path(__file__).parent)
    kernels = package("fastnn._kernels")
    return {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(), "commit": commit.stdout.strip() or "unknown",
        "cpu": names[0] if names else platform.processor(), "cores": os.cpu_count(),
        "python": platform.python_version(), "isa": kernels.isa(), "compiler": kernels.compiler(),
        **{name: installed_version(name) for name in ("numpy", "scikit-learn", "torch", "jax")},
    }


def installed_version(name: str) -> str | None:
    """Of a distribution, or None."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


@functools.cache
def loop(isa: str, dtype: str) -> Any:
    """The compiled loop, or None where it cannot be had."""
    width, flags = FLAGS[isa]
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder) / "peak.so"
        command = [os.environ.get("CC", "cc"), "-O2", "-ffp-contract=fast", "-shared", "-fPIC", *flags,
                   f"-DREAL={'float' if dtype == 'float32' else 'double'}", f"-DBYTES={width}", "-o", str(library),
                   str(Path(__file__).parent / "peak.c")]
        try:
            subprocess.run(command, check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError):
            return None
        found = ctypes.CDLL(str(library))       # stays loaded when the file is gone
    found.multiply_add.argtypes, found.multiply_add.restype = [ctypes.c_long], ctypes.c_double
    found.flops.restype = ctypes.c_long
    return found


@functools.cache
def pool(threads: int) -> ThreadPoolExecutor:
    """Python threads; a call of the loop does not hold the GIL."""
    return ThreadPoolExecutor(threads)


def peak(isa: str, dtype: str, threads: int) -> Work:
    """PEAK_FLOPS on each of the threads."""
    multiply_add, rounds = loop(isa, dtype).multiply_add, int(PEAK_FLOPS / loop(isa, dtype).flops())
    if threads == 1:
        return lambda: multiply_add(rounds)
    return lambda: list(pool(threads).map(multiply_add, [rounds] * threads))


def copy(size: float) -> Work:
    """NumPy's copy of an array, ``size`` bytes read and written together."""
    source = np.ones(int(size) // 8, np.float32)
    target = np.zeros_like(source)
    return lambda: np.copyto(target, source)
