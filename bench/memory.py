"""What pytest-benchmark cannot measure: imports, and the memory of a step. Each figure has an interpreter of its own.

Linux with glibc only. ``python -m bench.memory torch "784-128-10"`` is what the report runs for one network.
"""

import ctypes
import gc
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from bench.nets import CONVOLUTIONAL, MLPS, Net, Work, package
from bench.peers import installed
from bench.rows import Row

MODULES = ["numpy", "fastnn", "torch", "jax", "sklearn.neural_network"]
FIRST_STEP = {      # what a program pays before it has taken a step: most modules come with their first use
    "fastnn": """
import numpy as np, fastnn as nn
model = nn.Sequential(nn.Linear(64, 32, activation="relu"), nn.Linear(32, 10))
model.step(np.zeros((32, 64), np.float32), np.arange(32) % 10, nn.CrossEntropyLoss(), nn.Adam())
""",
    "torch": """
import torch
model = torch.nn.Sequential(torch.nn.Linear(64, 32), torch.nn.ReLU(), torch.nn.Linear(32, 10))
optimizer = torch.optim.Adam(model.parameters())
torch.nn.CrossEntropyLoss()(model(torch.zeros(32, 64)), torch.arange(32) % 10).backward()
optimizer.step()
""",
    "sklearn.neural_network": """
import numpy as np
from sklearn.neural_network import MLPClassifier
MLPClassifier((32,)).partial_fit(np.zeros((32, 64), np.float32), np.arange(32) % 10, classes=range(10))
""",
}
NETS = [MLPS[1], MLPS[3], MLPS[4], MLPS[6], MLPS[7], *CONVOLUTIONAL]
RUNS, STEPS = 3, 5
LIBC: Any = ctypes.CDLL(None)
FIGURES = """
import json, sys, time
def resident():
    return int(open("/proc/self/statm").read().split()[1])
before, start = resident(), time.perf_counter()
exec(PROGRAMS[sys.argv[1]], {})
print(json.dumps({"median_us": (time.perf_counter() - start) * 1e6, "memory": (resident() - before) * 4096}))
"""
# One thread. A clone is compiled at its first import, unless that is switched off; pip compiles what it installs.
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
ENVIRONMENT.pop("PYTHONDONTWRITEBYTECODE", None)


def in_turns(group: str, case: str, candidates: Iterable[str], *command: str, warm: int = 0) -> list[Row]:
    """A row for each candidate: medians of interpreters that take turns; ``warm`` turns are not counted."""
    found: dict[str, list[dict[str, float]]] = {name: [] for name in candidates if installed(name.partition(".")[0])}
    for _ in range(warm + RUNS):
        for name, figures in found.items():
            run = subprocess.run([sys.executable, *command[:2], name, *command[2:]], capture_output=True, text=True,
                                 check=True, env=ENVIRONMENT, cwd=Path(__file__).parents[1])
            figures.append(json.loads(run.stdout))
    return [{"group": group, "case": case, "candidate": name, "threads": 1,
             **{key: round(statistics.median(each[key] for each in figures[warm:])) for key in figures[0]}}
            for name, figures in found.items()]


def imports() -> list[Row]:
    """Time and resident memory of each import, alone and with a step; the first turn fills the disk's cache."""
    cases = {"import": {name: f"import {name}" for name in MODULES}, "import and a step": FIRST_STEP}
    return [row for case, programs in cases.items()
            for row in in_turns("import", case, programs, "-c", f"PROGRAMS = {programs!r}{FIGURES}", warm=1)]


def steps() -> list[Row]:
    """What a step needs, and what is left behind by more of them."""
    return [row for net in NETS
            for row in in_turns("memory", str(net), ["fastnn", "torch"], "-m", "bench.memory", net.name)]


def status(key: str) -> int:
    """A field of /proc/self/status in bytes: VmRSS is resident now, VmHWM the most so far."""
    found = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(key))
    return int(found.split()[1]) * 1024


class Heap(ctypes.Structure):
    """glibc's struct mallinfo2; the fifth and the eighth of its sizes are the bytes that malloc has given away."""

    _fields_ = [(f"size{index}", ctypes.c_size_t) for index in range(1, 11)]


def heap() -> int:
    """Bytes in use of the C heap. Resident memory would not do: a system that swaps brings back what was there."""
    LIBC.mallinfo2.restype = Heap
    found = LIBC.mallinfo2()
    return int(found.size5 + found.size8)


def tidy() -> None:
    """Gives free memory back to the system."""
    gc.collect()
    LIBC.malloc_trim(0)


def step(candidate: str, net: Net) -> Work:
    """A step of ``net``."""
    module = package("bench.peers.torch" if candidate == "torch" else "bench.peers.ours")
    return module.step(net) if candidate == "torch" else module.step(candidate, net)


def figures(candidate: str, net: Net) -> dict[str, Any]:
    """``memory``: the most that a few steps have resident, less what was there before the network and its batch.

    A small network has loaded the code before, and what building the network took has been given back. ``growth``: by
    how much the C heap grows in 1,000 further steps, for fastnn and fast networks.
    """
    warm = step(candidate, (CONVOLUTIONAL[0] if len(net.shape) > 1 else MLPS[0])._replace(batch=17))
    warm(), warm()
    tidy()
    before = status("VmRSS")
    work = step(candidate, net)
    tidy()
    Path("/proc/self/clear_refs").write_text("5")           # VmHWM starts again
    for _ in range(STEPS):
        work()
    found = {"memory": status("VmHWM") - before}
    if candidate == "fastnn" and net.flops() < 2e8:
        start = [heap() for _ in range(3)][-1]              # the first ones allocate, too
        for _ in range(1000):
            work()
        found["growth"] = heap() - start
    return found


if __name__ == "__main__":
    candidate, name = sys.argv[1:]
    print(json.dumps(figures(candidate, next(net for net in NETS if net.name == name))))
