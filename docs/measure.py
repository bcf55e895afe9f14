"""Measures what the concept pages say: ``python docs/measure.py`` (about a minute; two processors).

Runs each experiment of ``fastnn lab`` whose file in docs/lab_results is missing or stale (the experiment has changed
since), by itself and with each of its bugs put in; ``--all`` runs all of them again, names only those. The numbers are
those of ``fastnn lab run NAME --json``: lab_results/NAME.json, and with the bugs lab_results/bugs/NAME.json.
"""

import argparse
from pathlib import Path

from fastnn import lab

FOLDER = Path(__file__).parent / "lab_results"
BUG_SEEDS = 4                       # a bug is seen in every seed; more are run where these do not decide


def files(name: str) -> list[Path]:
    """The two files of an experiment; the second is there if it has mutations."""
    return [FOLDER / f"{name}.json", *([FOLDER / "bugs" / f"{name}.json"] if lab.find(name).mutations else [])]


def stale(path: Path, name: str) -> str:
    """Why a file must be measured again; "" if it need not."""
    if not path.is_file():
        return "there is no result"
    now = lab.find(name).file_hash
    return "" if all(each.record.file_hash == now for each in lab.load(path)) else "the experiment has changed since"


def measure(name: str) -> None:
    """Runs an experiment without and with its bugs, and writes the files."""
    results, *bugs = files(name)
    found = lab.run(name)
    lab.save([found], results)
    print(name, found.verdict, flush=True)
    broken = [lab.run(name, broken=bug, seeds=BUG_SEEDS) for bug in lab.find(name).mutations]
    for path in bugs:
        path.parent.mkdir(exist_ok=True)
        lab.save(broken, path)
        print(*(f"    {each.record.broken}: {'caught' if each.caught else 'NOT CAUGHT'}" for each in broken), sep="\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="experiments; without any, those that are stale")
    parser.add_argument("--all", action="store_true", help="all, stale or not")
    chosen = parser.parse_args()
    for name in chosen.names or lab.NAMES:
        if chosen.all or chosen.names or any(stale(each, name) for each in files(name)):
            measure(name)


if __name__ == "__main__":
    main()
