"""``python -m bench.ranks``: a step of ``fit(shards=64)`` against the number of ranks, measured and foretold.

    time(P) = what one of P ranks computes + 2·log₂ P messages of together 2·(1 − 1/P) vectors

The first term is measured for every P, in one process, by a communicator that sends nothing; it is time of the
processor, so that other work on the machine counts little. The second is a latency for each message and a bandwidth: of
shared memory fitted to exchanges of 64 B to 4 MB between two ranks of MPI (lower quartiles), of a network assumed as
LINKS says. What ``mpiexec -n 1``, 2 and 4 take stands beside it, by the clock; more ranks than cores share these. Needs
mpi4py and an MPI (``pip install mpi4py mpich``).

    python -m bench.ranks --out FILE            measure, print, keep
    python -m bench.ranks --table FILE          print what was kept
"""

import argparse
import json
import math
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from bench import machine, rows
from bench.nets import CONVOLUTIONAL, MLPS, Net, Work, package
from bench.report import about, markdown

ROOT = Path(__file__).parents[1]
SHARDS, ROUNDS = 64, 5
RANKS = [2**level for level in range(7)]
NETS = [MLPS[5]._replace(batch=1024), CONVOLUTIONAL[2]._replace(batch=256)]
SIZES = [64, 1024, 16 * 1024, 128 * 1024, 1024**2, 4 * 1024**2]
LINKS = {"10 Gbit/s": (30e-6, 1.1e9), "1 Gbit/s": (60e-6, 0.11e9)}      # assumed: seconds a message, bytes a second


class Silent:
    """One of so many ranks, which sends nothing."""

    def __init__(self, size: int) -> None:
        self.size = size

    def Get_rank(self) -> int:
        return 0

    def Get_size(self) -> int:
        return self.size

    def Sendrecv(self, *_: Any, **__: Any) -> None:
        pass


def step(net: Net, comm: Any) -> Work:
    """A step of one rank, the first of which made its memory."""
    nn, shared = package("fastnn"), package("fastnn_ref.shared.shards")
    nn.set_num_threads(1)
    model, batch, ranks = net.build(nn), package("fastnn_ref.shared.data").Data(*net.data(), None), shared.Shards(
        SHARDS, comm)
    loss, optimizer = nn.CrossEntropyLoss(), nn.Adam()

    def work() -> None:
        ranks.step(model, batch, loss, optimizer, False)

    work()
    return work


def timed(works: dict[Any, Work], clock: Work) -> dict[Any, list[float]]:
    """Seconds of each, in turns."""
    seconds: dict[Any, list[float]] = {name: [] for name in works}
    for _ in range(ROUNDS):
        for name, work in works.items():
            start = clock()
            work()
            seconds[name].append(clock() - start)
    return seconds


def exchange(comm: Any, size: int) -> list[float]:
    """Seconds of exchanges of so many bytes each way between two ranks."""
    given, taken, partner, found = np.ones(size, np.uint8), np.empty(size, np.uint8), 1 - comm.Get_rank(), []
    for _ in range(200):
        start = time.perf_counter()
        comm.Sendrecv(given, dest=partner, recvbuf=taken, source=partner)
        found.append(time.perf_counter() - start)
    return found[20:]


def on_ranks(count: int, what: str) -> Any:
    """What rank 0 of ``count`` measures."""
    command = ["mpiexec", "-n", str(count), sys.executable, "-m", "bench.ranks", "--rank", what]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, cwd=ROOT,
                          env={**os.environ, "OMP_NUM_THREADS": "1"})
    return json.loads(done.stdout)


def measured_on_a_rank(what: str) -> Any:
    """Seconds: of messages, or of steps of each network."""
    comm = package("mpi4py.MPI").COMM_WORLD
    if what == "messages":
        return [exchange(comm, size) for size in SIZES]
    return [timed({0: step(net, comm)}, time.perf_counter)[0] for net in NETS]


def measure() -> dict[str, Any]:
    """A result: the machine and the rows."""
    found: list[rows.Row] = []
    load = [os.getloadavg()[0]]
    for net in NETS:
        values = sum(value.size for value in net.build(package("fastnn")).state_dict().values())
        for count, seconds in timed(
                {count: step(net, Silent(count)) for count in RANKS}, time.process_time).items():
            found.append({"group": "compute", "case": str(net), "ranks": count, "bytes": 32 + 4 * values,
                          **rows.microseconds(seconds)})
    found += [{"group": "message", "bytes": size, **rows.microseconds(seconds)}
              for size, seconds in zip(SIZES, on_ranks(2, "messages"), strict=True)]
    counts = [1, 2, 4]
    runs: dict[int, list[list[float]]] = {count: [[] for _ in NETS] for count in counts}
    for _ in range(3):                                  # in turns, too
        for count in counts:
            for seconds, more in zip(runs[count], on_ranks(count, "steps"), strict=True):
                seconds += more
    found += [{"group": "ranks", "case": str(net), "ranks": count, **rows.microseconds(seconds)}
              for count in counts for net, seconds in zip(NETS, runs[count], strict=True)]
    load.append(os.getloadavg()[0])
    versions = {"mpi": package("mpi4py.MPI").Get_library_version().split("\n")[0].strip()}
    return {"machine": {**machine.about(), **versions, "load": [round(each, 1) for each in load]}, "rows": found}


def fitted(messages: list[rows.Row]) -> tuple[float, float]:
    """Seconds a message and bytes a second: of all lines the one whose relative errors have the least squares."""
    sizes = np.array([row["bytes"] for row in messages], float)
    seconds = np.array([row["q1_us"] for row in messages]) / 1e6
    (latency, each), *_ = np.linalg.lstsq(np.stack([1 / seconds, sizes / seconds], axis=1), np.ones(len(sizes)))
    return float(latency), float(1 / each)


def messages_take(ranks: int, size: int, latency: float, bandwidth: float) -> float:
    """Microseconds of the messages of a step."""
    return 1e6 * (2 * math.log2(ranks) * latency + 2 * (1 - 1 / ranks) * size / bandwidth)


def table(result: dict[str, Any]) -> str:
    """A table for each network: milliseconds a step, and in brackets the speed-up over one rank."""
    found = result["rows"]
    here = fitted([row for row in found if row["group"] == "message"])
    links = {"shared memory": here, **LINKS}
    lines = [about(result), f"{result['machine']['mpi']}; load {result['machine']['load']}.", "", "Links: " + "; ".join(
        f"{name} {1e6 * latency:.1f} µs and {bandwidth / 1e9:.2f} GB/s" for name, (latency, bandwidth) in links.items())
        + ", the first measured here, the others assumed.", ""]
    for case in dict.fromkeys(row["case"] for row in found if "case" in row):
        compute = {row["ranks"]: row for row in found if row["group"] == "compute" and row["case"] == case}
        real = {row["ranks"]: row for row in found if row["group"] == "ranks" and row["case"] == case}
        one, size = compute[1]["median_us"], compute[1]["bytes"]
        body = []
        for ranks, row in compute.items():
            times = [row["median_us"] + messages_take(ranks, size, *link) for link in links.values()]
            seen = real.get(ranks)
            body.append([str(ranks), f"{row['median_us'] / 1e3:.1f}",
                         f"{seen['median_us'] / 1e3:.1f} ({seen['q1_us'] / 1e3:.1f}–{seen['q3_us'] / 1e3:.1f})"
                         if seen else "", *(f"{each / 1e3:.1f} ({rows.times(one / each)})" for each in times)])
        lines += [f"{case}, {SHARDS} shards, {size / 1e6:.1f} MB a vector; milliseconds a step:", "",
                  *markdown(["ranks", "computing", "measured here (quartiles)", *links], body)]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.ranks", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, metavar="FILE", help="keep the figures")
    parser.add_argument("--table", type=Path, metavar="FILE", help="print those of a kept result")
    parser.add_argument("--rank", choices=["messages", "steps"], help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.rank:
        found = measured_on_a_rank(options.rank)
        if package("mpi4py.MPI").COMM_WORLD.Get_rank() == 0:
            print(json.dumps(found))
        return
    result = rows.load(options.table) if options.table else measure()
    if options.out:
        rows.keep(result, options.out)
    print(table(result))


if __name__ == "__main__":
    main()
