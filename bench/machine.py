"""The machine: what it is, and its two limits, multiply-adds from registers and the copying of memory.

A limit takes its turns among the candidates of a case; its best round counts, for the peak that of the whole run. The
multiply-add loop is compiled at run time (`peak.c`, by ``cc`` or ``$CC``); without a compiler there is no peak. The
peak of n threads is n times that of one. Measured on two threads, each pinned to a core of its own, it was 193 GFLOP/s
where one had 102, but only while both cores were free, else as little as 95, less than a matrix product beside it.
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
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

import numpy as np

from bench.nets import Work, package

FLAGS = {"portable": (16, []), "x86_v3": (32, ["-mavx2", "-mfma"]), "x86_v4": (64, ["-mavx512f", "-mfma"])}
LIBRARIES = ("numpy", "scikit-learn", "torch", "keras", "jax")
PEAK_FLOPS = 4e8                # of one call: a few milliseconds


def about() -> dict[str, Any]:
    """Processor, compiler, versions, commit and date."""
    cpuinfo = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    cpu = re.search("model name.*: (.*)", cpuinfo)
    commit = subprocess.run(["git", "describe", "--always", "--dirty", "--exclude", "*"], check=False,
                            capture_output=True, text=True, cwd=Path(__file__).parent)
    kernels = package("fastnn._kernels")
    return {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(), "commit": commit.stdout.strip() or "unknown",
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


def peak(isa: str, dtype: str) -> Work:
    """PEAK_FLOPS on one thread."""
    multiply_add, rounds = loop(isa, dtype).multiply_add, int(PEAK_FLOPS / loop(isa, dtype).flops())
    return lambda: multiply_add(rounds)


def copy(size: float) -> Work:
    """NumPy's copy of an array, ``size`` bytes read and written together."""
    source = np.ones(int(size) // 8, np.float32)
    target = np.zeros_like(source)
    return lambda: np.copyto(target, source)
