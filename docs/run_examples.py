"""Runs the programs of examples/ and keeps what they print: ``python docs/run_examples.py`` (minutes, one thread).

Runs those whose output in docs/example_outputs.json is missing or stale (the program has changed since); ``--all`` runs
all of them again, names only those. The pages of the examples show the outputs; the build stops at a stale one.
"""

import argparse
import hashlib
import json
import os
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parent
PROGRAMS = DOCS.parent / "examples"
OUTPUTS = DOCS / "example_outputs.json"


def names() -> list[str]:
    """The examples, by the names of their files."""
    return sorted(path.stem for path in PROGRAMS.glob("*.py"))


def file_hash(name: str) -> str:
    """The sha256 of a program and of what it imports from the same folder."""
    parts = [name, *(other for other in names() if f"import {other} " in (PROGRAMS / f"{name}.py").read_text("utf-8"))]
    return hashlib.sha256(b"".join((PROGRAMS / f"{part}.py").read_bytes() for part in parts)).hexdigest()


def kept() -> dict[str, Any]:
    """Name → hash, output and seconds of CPU of each example's last run."""
    return json.loads(OUTPUTS.read_text("utf-8")) if OUTPUTS.is_file() else {}


def stale(name: str) -> bool:
    """Must the example run again?"""
    return kept().get(name, {}).get("hash") != file_hash(name)


def run(name: str) -> None:
    """Runs one example as its reader does, without the data sets that FASTNN_DATA has, and keeps what it prints."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    environment = {key: value for key, value in os.environ.items() if key != "FASTNN_DATA"}
    found = subprocess.run([sys.executable, f"examples/{name}.py"], cwd=DOCS.parent, stdout=subprocess.PIPE, text=True,
                           check=True, env=environment | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"})
    seconds = round(resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before, 1)
    entry = {"hash": file_hash(name), "seconds": seconds, "output": found.stdout.rstrip().split("\n")}
    outputs = {each: entry if each == name else kept()[each] for each in names() if each == name or each in kept()}
    OUTPUTS.write_text(json.dumps(outputs, indent=1, ensure_ascii=False) + "\n", "utf-8")
    print(f"{name}: {seconds} s of CPU", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="examples; without any, those that are stale")
    parser.add_argument("--all", action="store_true", help="all, stale or not")
    chosen = parser.parse_args()
    for name in chosen.names or names():
        if chosen.all or chosen.names or stale(name):
            run(name)


if __name__ == "__main__":
    main()
