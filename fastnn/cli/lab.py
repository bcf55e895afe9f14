"""``fastnn lab``: claims of textbooks, measured over paired seeds."""

import importlib
import math
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from fastnn_ref.shared import terminal
from fastnn_ref.shared.atomic import can_write, can_write_in
from fastnn_ref.shared.optional import optional
from fastnn_ref.shared.progress import default_style

from ..extras import extra
from . import options
from .options import argument, choice, integer, number, option, path, text, usage
from .session import Failure, UsageError, attempt, one_line, say

SUMMARY = "run an experiment on a claim of the textbooks: PASS or FAIL"
RUN = "with run", lambda config: config.action == "run"
REPORTS = "with run or replay", lambda config: config.action in ("run", "replay")


@dataclass(frozen=True, kw_only=True)
class Config:
    """What ``fastnn lab`` is told."""

    action: str = argument(text("ACTION"), "list; run NAME|FILE.py ... or run all; replay FILE; compare FILE FILE")
    what: tuple[str, ...] = argument(text("WHAT"), "experiments by name, Python files with one, all; or JSON files",
                                     nargs="*")
    seeds: int = option(24, integer(1), "seeds; up to four times as many where nothing is decided", "running", only=RUN)
    first_seed: int = option(0, integer(0), "the first seed", "running", only=RUN)
    budget: float | None = option(None, number(0), "seconds after which no further seed begins", "running", only=RUN)
    backend: str = option("fast", choice(("fast", "ref")), "the engine or the reference", "running", only=RUN)
    predict: bool = option(False, None, "ask what you expect before it runs", "running", only=RUN)
    break_: str | None = option(None, text("BUG"), "put in a bug, by its name in list; is it caught?", "running",
                                only=RUN)
    html: str | None = option(None, path("FILE", "a file"), "write the report; of several experiments, into a folder",
                              "running", only=REPORTS)
    json: str | None = option(None, path("FILE", "a file"), "keep the numbers, for replay and compare", "running",
                              only=RUN)
    lang: str = option("en", choice(("en", "ru")), "language of what is shown, en or ru", "running")


def run(config: Config) -> None:
    """Do what ``action`` says; Failure if anything FAILs, or a bug is not caught.

    >>> from fastnn.cli.lab import Config, run
    >>> run(Config(action="list", what=()))                                         # doctest: +ELLIPSIS
    forward_by_hand ...
    """
    options.check(config)
    if config.action not in ACTIONS:
        raise UsageError(f"ACTION: expected one of {', '.join(ACTIONS)}, got {config.action!r}")
    with extra("lab"):
        lab = importlib.import_module("fastnn.lab")
        if config.html:                             # a missing matplotlib is told before the run
            importlib.import_module("fastnn.lab.picture")
    ACTIONS[config.action](lab, config)


def show_list(lab: ModuleType, config: Config) -> None:
    """Names, claims and bugs."""
    if config.what:
        raise UsageError(f"WHAT: expected nothing after list, got {' '.join(config.what)}")
    for name in lab.NAMES:
        found = lab.find(name)
        bugs = ", ".join(found.mutations)
        say(f"{name}  {found.claim.to(config.lang)}" + (f"\n    --break {bugs}" if bugs else ""))


def run_experiments(lab: ModuleType, config: Config) -> None:
    """Run, show and keep."""
    if not config.what or ("all" in config.what and len(config.what) > 1):
        raise UsageError(f"WHAT: expected names of experiments, Python files, or all, got {' '.join(config.what)!r}")
    names = lab.NAMES if list(config.what) == ["all"] else config.what
    for name, value in (("--predict", config.predict), ("--break", config.break_)):
        if value and len(names) > 1:
            raise UsageError(f"{name}: expected one experiment, got {len(names)}")
    try:
        found = [lab.find(each) for each in names]
        for each in found if config.break_ else ():
            lab.check_mutation(each, config.break_, "--break")
    except ValueError as error:
        raise UsageError(one_line(error)) from error
    check_files(config, len(found))
    if config.html and (twice := lab.report.twice_in_folder([each.name for each in found])):
        raise UsageError(f"--html: expected experiments of different names, got several of {twice}")
    predicted = ask(found[0].question.to(config.lang)) if config.predict else None
    with usage(config, others=False), Shown(config.lang) as shown:
        results = lab.run_all(
            found, seeds=config.seeds, first_seed=config.first_seed, budget=config.budget, backend=config.backend,
            broken=config.break_ or "", predicted=predicted, progress=shown.progress,
        )  # fmt: skip
    attempt(lambda: show(lab, config, results), lambda: config.json and lab.save(results, config.json))
    if config.break_:
        if not results[0].caught:
            raise Failure(f"--break {config.break_}: no check caught it")
    else:
        fail(results)


def check_files(config: Config, results: int) -> None:
    """UsageError for a file that cannot be written, before anything runs: a run may take hours."""
    options.check_apart("--html", config.html, config.json)
    for name, typed in ("--json", config.json), ("--html", config.html):
        if typed is None:
            continue
        options.check_apart(name, typed, *config.what)
        file = Path(typed)
        if name == "--html" and results > 1:        # a folder, which is made
            if file.exists() and not file.is_dir():
                raise UsageError(f"{name}: expected a folder for the reports of {results} experiments, got {typed!r}")
            folder, made = file, True
        else:
            if file.is_dir():
                raise UsageError(f"{name}: expected a file, got the folder {typed!r}")
            folder, made = file.parent, False
            if not folder.is_dir():
                raise UsageError(f"{name}: expected an existing folder, got {str(folder)!r}")
            if can_write_in(folder) and not can_write(file):
                raise UsageError(f"{name}: expected a file that can be written, got {typed!r}")
            if file.exists() and not file.is_file():
                continue                            # a device or a pipe is written into
        if not can_write_in(folder, made):
            raise UsageError(f"{name}: expected a folder that can be written to, got {str(folder)!r}")


def ask(question: str) -> float:
    """The number that the reader types."""
    say(question or "What do you expect?")
    typed = sys.stdin.readline().strip() if sys.stdin is not None else ""
    try:
        found = float(typed.replace(",", ".").replace("−", "-").rstrip("%"))
    except ValueError:
        found = math.nan
    if not math.isfinite(found):
        raise UsageError(f"--predict: expected a number on standard input, got {typed!r}")
    return found


def show(lab: ModuleType, config: Config, results: Sequence[Any]) -> None:
    """The tables on standard output, the report in its file."""
    text = lab.words.summary(results[0], config.lang) if len(results) == 1 else lab.words.overview(results, config.lang)
    attempt(lambda: say(text, also_on_stderr=True),
            lambda: config.html and lab.save_html(results, config.html, config.lang))


def fail(results: Sequence[Any]) -> None:
    """Failure if anything FAILs."""
    failed = [each.experiment.name for each in results if each.verdict == "FAIL"]
    if failed:
        raise Failure(f"FAIL: {', '.join(failed)}")


def replay(lab: ModuleType, config: Config) -> None:
    """Show what a file has."""
    if len(config.what) != 1:
        raise UsageError(f"WHAT: expected one file of fastnn lab run --json, got {len(config.what)}")
    results = lab.load(config.what[0])
    check_files(config, len(results))
    show(lab, config, results)
    if not any(each.record.broken for each in results):
        fail(results)


def compare(lab: ModuleType, config: Config) -> None:
    """Show what differs between two files."""
    if len(config.what) != 2:
        raise UsageError(f"WHAT: expected two files of fastnn lab run --json, got {len(config.what)}")
    say(lab.compare(*map(lab.load, config.what), language=config.lang))


ACTIONS = {"list": show_list, "run": run_experiments, "replay": replay, "compare": compare}


def so_many(done: int, total: int, lang: str) -> str:
    """How far it is, as a line.

    >>> from fastnn.cli.lab import so_many
    >>> so_many(1, 4, "en"), so_many(1, 4, "ru"), so_many(5, 21, "ru"), so_many(5, 11, "ru")
    ('1 of 4 seeds', '1 из 4 запусков', '5 из 21 запуска', '5 из 11 запусков')
    """
    if lang != "ru":
        return f"{done} of {total} seeds"
    return f"{done} из {total} {'запуска' if total % 10 == 1 and total % 100 != 11 else 'запусков'}"


class Shown:
    """How far it is, on stderr: a bar, or a line now and then."""

    def __init__(self, lang: str) -> None:
        self.lang = lang
        self.bar: Any = None
        self.written = time.monotonic()
        self.style = default_style()

    def __enter__(self) -> "Shown":
        return self

    def __exit__(self, *exception: object) -> None:
        if self.bar is not None:
            self.bar.close()

    def progress(self, done: int, total: int, name: str) -> None:
        """So many of ``total`` seeds are done."""
        if self.style == "lines":
            if time.monotonic() - self.written > 5:
                terminal.Steady().write(f"{so_many(done, total, self.lang)}\n")
                self.written = time.monotonic()
            return
        if self.bar is None or self.bar.total != total or done == 1:
            if self.bar is not None:
                self.bar.close()
            self.bar = terminal.bar(optional("tqdm.auto", extra="lab").tqdm, total=total, leave=False,
                                    unit="запуск" if self.lang == "ru" else "seed")
        self.bar.set_postfix_str(name, refresh=False)
        self.bar.update(done - self.bar.n)
