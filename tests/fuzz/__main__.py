"""Random programs, run in both packages in a process of their own.

    python -m tests.fuzz --seconds 60           from seed 0 on; exit code 1 if something was found
    python -m tests.fuzz --seed 123 --programs 1 --show     one program, and what each line gives
    python -m tests.fuzz --files --seconds 60   damaged files of every format (files.py)

A finding is a crash, a program that does not end, or a difference between the packages. It is printed as a program as
short as could be found. What is mended goes to tests/fuzz/corpus.py.
"""

import argparse
import faulthandler
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

HANGS = 60                  # seconds for one program
MEMORY = 6 << 30            # bytes of address space


def child(first: int, step: int) -> None:
    """Prints "seed N", then "ok LINES" or what differs in one line of repr; goes on until it is stopped."""
    faulthandler.enable()
    if "LD_PRELOAD" not in os.environ:                  # a sanitizer reserves a multiple of what there is
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    from tests.fuzz.programs import write
    from tests.fuzz.run import check, reduce

    seed = first
    while True:
        print(f"seed {seed}", flush=True)
        faulthandler.dump_traceback_later(HANGS, exit=True)
        lines = write(seed)
        found = check(lines)
        faulthandler.cancel_dump_traceback_later()
        if found is not None:
            lines = reduce(lines, lambda shorter: check(shorter) is not None)
            found = check(lines)
        print(f"ok {len(lines)}" if found is None else repr((lines, found)), flush=True)
        seed += step


def crashes(lines: list[str]) -> str:
    """What a fresh process says that runs a program to its end; "" if it ends well."""
    code = f"from tests.fuzz.run import check; check({lines!r})"
    try:
        done = subprocess.run([sys.executable, "-X", "faulthandler", "-c", code], capture_output=True, text=True,
                              timeout=HANGS, cwd=Path(__file__).parents[2])
    except subprocess.TimeoutExpired:
        return f"not at an end after {HANGS} s"
    return done.stderr if done.returncode else ""


def hunt(first: int, seconds: float, programs: int) -> tuple[int, int, list[str]]:
    """(programs run, lines run, findings)."""
    from tests.fuzz.programs import write
    from tests.fuzz.run import reduce

    end, seed, ran, lines_run, findings = time.monotonic() + seconds, first, 0, 0, []
    while ran < programs and time.monotonic() < end:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.fuzz", "--child", "--seed", str(seed)], stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2])
        assert process.stdout and process.stderr
        ended = False
        for line in process.stdout:
            word, _, rest = line.partition(" ")
            if word == "seed":
                seed = int(rest)
                if ran >= programs or time.monotonic() > end:
                    ended = True
                    break
                continue
            ran, seed = ran + 1, seed + 1
            if word == "ok":
                lines_run += int(rest)
            else:
                lines, found = eval(line)
                findings.append(f"seed {seed - 1}:\n" + "\n".join(lines) + f"\n  differs at {found}")
                print(findings[-1], flush=True)
        process.kill()
        error = process.stderr.read()
        process.wait()
        if not ended:
            lines = write(seed)
            if crashes(lines):
                lines = reduce(lines, lambda shorter: bool(crashes(shorter)))
                error = crashes(lines)
            findings.append(f"seed {seed}:\n" + "\n".join(lines) + f"\n  the process ended:\n{error[-3000:]}")
            print(findings[-1], flush=True)
            ran, seed = ran + 1, seed + 1
    return ran, lines_run, findings


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--programs", type=int, default=sys.maxsize)
    parser.add_argument("--seed", type=int, default=0, help="of the first program")
    parser.add_argument("--files", action="store_true", help="damaged files instead of programs")
    parser.add_argument("--show", action="store_true", help="print the programs and what each line gives")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(options.seed, 1)
    if options.files:
        from tests.fuzz.files import hunt as hunt_files

        files, findings = hunt_files(options.seed, options.seconds)
        print(f"{files} files, {len(findings)} findings")
        return 1 if findings else 0
    if options.show:
        import fastnn
        import fastnn_ref
        from tests.fuzz.programs import write
        from tests.fuzz.run import run

        lines = write(options.seed)
        for line, mine, book in zip(lines, run(fastnn, lines), run(fastnn_ref, lines), strict=False):
            print(f"{line}\n    engine: {str(mine)[:200]}\n    reference: {str(book)[:200]}")
        return 0
    ran, lines, findings = hunt(options.seed, options.seconds, options.programs)
    print(f"{ran} programs, {lines} lines, {len(findings)} findings")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
