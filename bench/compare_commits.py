"""Is one commit slower than another? ``python -m bench.compare_commits A B``: training steps of two built checkouts.

    git worktree add ../before COMMIT && (cd ../before && python setup.py build_ext --inplace)
    python -m bench.compare_commits ../before .

Each checkout has some processes of its own, in pairs. The two of a pair answer alternately, on one thread and in
processor time, so that a machine that drifts or does other work is fair to both. Where the system puts a process's
memory is luck, which a single pair measures, too: of one checkout twice it said 0.98 to 1.04, five pairs 0.99 to 1.035.
Printed are medians, the median of the pairs' ratios B/A, each of which is the median of its rounds, and the least and
the largest of these. The exit status is 1 if a median ratio exceeds ``--limit``.
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
    parser.add_argument("--pairs", type=int, default=5, help="of processes (default %(default)s)")
    parser.add_argument("--rounds", type=int, default=21, help="for each pair and network (default %(default)s)")
    parser.add_argument("--limit", type=float, default=1.05, help="of B/A (default %(default)s)")
    options = parser.parse_args()
    command = [sys.executable, "-m", "bench.compare_commits", "--answer"]
    pairs = [[subprocess.Popen([*command, path.resolve()], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                               cwd=Path(__file__).parents[1]) for path in options.checkouts]
             for _ in range(options.pairs)]
    what = [[process.stdout.readline().strip() if process.stdout else "" for process in pair] for pair in pairs]
    print(*(f"{name}: {found}" for name, found in zip("AB", what[0], strict=True)), sep="\n")
    print("\n| training step | A, µs | B, µs | B/A | of the pairs |\n|---|---:|---:|---:|---:|")
    worst = 0.0
    for number, net in enumerate(NETS):
        calls = max(1, int(1e6 * ROUND_SECONDS / max(ask(each, number, 10) for each in pairs[0])))
        rounds: list[list[list[float]]] = [[] for _ in pairs]
        for index in range(options.rounds):
            for pair, found in zip(pairs, rounds, strict=True):
                order = pair if index % 2 else pair[::-1]               # who begins alternates, too
                times = [ask(each, number, calls) for each in order]
                found.append(times if index % 2 else times[::-1])
        ratios = [statistics.median(after / before for before, after in found) for found in rounds]
        before, after = (statistics.median(each) for each in zip(*(times for found in rounds for times in found),
                                                                 strict=True))
        ratio = statistics.median(ratios)
        print(f"| {net} | {before:,.2f} | {after:,.2f} | {ratio:.3f} | {min(ratios):.3f} to {max(ratios):.3f} |",
              flush=True)
        worst = max(worst, ratio)
    for each in (process for pair in pairs for process in pair):
        each.communicate()
    sys.exit(worst > options.limit)


if __name__ == "__main__":
    answer(sys.argv[2]) if sys.argv[1:2] == ["--answer"] else main()
