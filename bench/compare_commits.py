"""Is one commit slower than another? ``python -m bench.compare_commits A B``: training steps of two built checkouts.

    git worktree add ../before COMMIT && (cd ../before && python setup.py build_ext --inplace)
    python -m bench.compare_commits ../before .

Each checkout has a process of its own; the two answer alternately, on one thread and in processor time, so that a
machine that drifts or does other work is fair to both. Printed are medians, and the median and quartiles of the ratios
B/A of all rounds; the exit status is 1 if one of the median ratios exceeds ``--limit``.
"""

import argparse
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from bench.nets import CONVOLUTIONAL, MLPS, package

NETS, ROUND_SECONDS = [MLPS[0], MLPS[1], MLPS[3], CONVOLUTIONAL[0]], 0.02


def answer(checkout: str) -> None:
    """The process of a checkout: it reads "number of the network, calls" and answers with the seconds a call."""
    sys.path.insert(0, checkout)                        # fastnn is that of the checkout, bench is this one
    for name in [each for each in sys.modules if each.partition(".")[0] == "fastnn_ref"]:
        del sys.modules[name]                           # tests.cases has imported this one
    step = package("bench.peers.ours").step
    package("fastnn").set_num_threads(1)
    works = [step("fastnn", net) for net in NETS]
    print(package("fastnn").__file__, package("fastnn._kernels").isa(), flush=True)
    for line in sys.stdin:
        net, calls = map(int, line.split())
        works[net]()
        start = time.process_time()
        for _ in range(calls):
            works[net]()
        print((time.process_time() - start) / calls, flush=True)


def ask(process: Any, net: int, calls: int) -> float:
    """Microseconds a call."""
    print(net, calls, file=process.stdin, flush=True)
    return 1e6 * float(process.stdout.readline())


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.compare_commits", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkouts", nargs=2, type=Path, metavar=("A", "B"))
    parser.add_argument("--rounds", type=int, default=101, help="for each network (default %(default)s)")
    parser.add_argument("--limit", type=float, default=1.03, help="of B/A (default %(default)s)")
    options = parser.parse_args()
    command = [sys.executable, "-m", "bench.compare_commits", "--answer"]
    processes = [subprocess.Popen([*command, path.resolve()], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                  cwd=Path(__file__).parents[1]) for path in options.checkouts]
    for name, process in zip("AB", processes, strict=True):
        print(f"{name}: {process.stdout.readline().strip()}" if process.stdout else "")
    print("\n| training step | A, µs | B, µs | B/A | quartiles |\n|---|---:|---:|---:|---:|")
    worst = 0.0
    for number, net in enumerate(NETS):
        calls = max(1, int(1e6 * ROUND_SECONDS / max(ask(each, number, 10) for each in processes)))
        rounds = []
        for index in range(options.rounds):             # who begins alternates, too
            order = processes if index % 2 else processes[::-1]
            found = [ask(each, number, calls) for each in order]
            rounds.append(found if index % 2 else found[::-1])
        low, middle, high = statistics.quantiles(after / before for before, after in rounds)
        before, after = (statistics.median(each) for each in zip(*rounds, strict=True))
        print(f"| {net} | {before:,.2f} | {after:,.2f} | {middle:.3f} | {low:.3f}, {high:.3f} |", flush=True)
        worst = max(worst, middle)
    for each in processes:
        each.communicate()
    sys.exit(worst > options.limit)


if __name__ == "__main__":
    answer(sys.argv[2]) if sys.argv[1:2] == ["--answer"] else main()
