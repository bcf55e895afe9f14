"""What an experiment found: the numbers of every seed, and what follows from them. It can be kept as JSON."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from types import UnionType
from typing import Any, get_args, get_origin

import numpy as np
import numpy.typing as npt

from fastnn_ref.shared import atomic

from .evidence import FAIL, Finding, difference_interval, judge, overall
from .experiment import Check, Experiment, Text, check_mutation
from .words import aligned, interval, number, summary, word

Array = npt.NDArray[np.float64]
FORMAT = "fastnn lab 1"
CONTROL = Check("control", Text("at strength zero the weights are those of the plain network, bit for bit",
                                "при нулевой силе веса те же, что у обычной сети, бит в бит"),
                "control", above=0, below=0, every=True, role="control")
AGREEMENT = Check("agreement", Text("weights and results of both packages after 20 steps, relative difference",
                                    "после 20 шагов веса и результаты обоих пакетов совпадают, относительная разница"),
                  "agreement", below=1e-6, every=True, role="control")


@dataclass
class Record:
    """The measured numbers, and how they came about; plain values, so that JSON can hold them."""

    name: str
    source: str | None                              # the file of a user's own experiment
    backend: str
    broken: str
    predicted: float | None
    setup: dict[str, Any]
    versions: dict[str, str]
    command: str
    seeds: list[int] = field(default_factory=list)
    values: dict[str, list[float]] = field(default_factory=dict)
    cpu: dict[str, list[float]] = field(default_factory=dict)           # seconds, by arm
    curves: dict[str, list[list[float]]] = field(default_factory=dict)
    data: str = ""                                  # sha256 of the data of all seeds
    agreement: float | None = None
    reference_ratio: float | None = None            # seconds of the reference / of the engine, in the first 20 steps
    file_hash: str = ""                             # Experiment.file_hash when it ran
    wall: float = 0.0                               # seconds from the first to the last seed, with all that ran beside


@dataclass
class Result:
    """An experiment, its numbers, and its findings; ``str(result)`` is a table, ``plot()`` a picture.

    >>> from fastnn import lab
    >>> result = lab.run("gradient_descent", seeds=4)
    >>> result.verdict, len(result.values("safe"))
    ('PASS', 4)
    """

    experiment: Experiment
    record: Record
    findings: list[Finding] = field(default_factory=list)

    @property
    def verdict(self) -> str:
        """PASS, FAIL or INCONCLUSIVE: the worst of all checks."""
        return overall([each.verdict for each in self.findings])

    @property
    def caught(self) -> bool:
        """Did the check that the mutation names FAIL?"""
        by = self.experiment.mutations[self.record.broken].caught_by
        return any(each.check.name == by and each.verdict == FAIL for each in self.findings)

    def checks(self) -> list[Check]:
        """The experiment's, and the controls."""
        controls = [CONTROL] if self.experiment.control else []
        return [*self.experiment.checks, *controls, *([] if self.record.agreement is None else [AGREEMENT])]

    def values(self, value: str) -> Array:
        """A measured number of every seed, or the difference ``"a - b"`` of two; KeyError for an unknown one."""
        if value == AGREEMENT.value:
            return np.array([self.record.agreement], np.float64)
        first, *rest = [np.array(measured(self.record.values, name, "number"), np.float64)
                        for name in value.split(" - ")]
        return first - rest[0] if rest else first

    def curve(self, name: str) -> Array:
        """The rows that ``trial.curve`` kept, one for each seed; shorter ones end in NaN."""
        rows = measured(self.record.curves, name, "curve")
        longest = max(map(len, rows))
        return np.array([row + [np.nan] * (longest - len(row)) for row in rows])

    def plot(self, ax: Any = None, language: str = "en") -> Any:
        """Draws the experiment's picture, or every seed of the first check, into ``ax`` or a new figure; the Axes."""
        from . import picture

        return picture.draw(self, ax, language)

    def to_html(self, language: str = "en") -> str:
        """The report: one page that needs no other file."""
        from . import report

        return report.page(self, language)

    def _repr_html_(self) -> str:
        from . import report

        return report.table(self, "en")

    def __str__(self) -> str:
        return summary(self, "en")


def measured(found: dict[str, Any], name: str, kind: str) -> Any:
    """What was kept under a name; KeyError with those there are."""
    if name not in found:
        raise KeyError(f"no {kind} {name!r} was measured; there are {', '.join(map(repr, found)) or 'none'}")
    return found[name]


def decide(results: Sequence[Result]) -> None:
    """Fills in the findings of results that are reported together: their p-values are corrected together."""
    pairs = [[(check, result.values(check.value)) for check in result.checks()] for result in results]
    found = iter(judge([pair for each in pairs for pair in each]))
    for result, each in zip(results, pairs, strict=True):
        result.findings = [next(found) for _ in each]


def save(results: Sequence[Result], path: str | os.PathLike[str]) -> None:
    """Writes the numbers of results as JSON; a file appears whole or not at all. OSError if it cannot be written.

    >>> from fastnn import lab
    >>> result = lab.run("gradient_descent", seeds=2)
    >>> lab.save([result], path := f"{__import__('tempfile').mkdtemp()}/out.json")
    >>> lab.load(path)[0].verdict == result.verdict
    True
    """
    document = {"format": FORMAT, "results": [plain(vars(each.record)) | {
        "verdict": each.verdict,
        "findings": [plain({"check": f.check.name, "mean": f.mean, "low": f.low, "high": f.high, "p": f.p,
                            "above": f.check.above, "below": f.check.below, "verdict": f.verdict,
                            "misleading": f.misleading}) for f in each.findings],
    } for each in results]}  # fmt: skip
    atomic.write(Path(path), json.dumps(document, indent=1).encode())


def load(path: str | os.PathLike[str]) -> list[Result]:
    """The results in a file of ``save``, judged anew; nothing is trained. ValueError for a file that is none."""
    from .experiments import find

    try:
        document = json.loads(Path(path).read_text("utf-8"))
        if document["format"] != FORMAT:
            raise ValueError(f"format {document['format']!r}")
        kinds = {each.name: each.type for each in fields(Record)}
        records = [Record(**{name: as_kept(name, value, kinds.get(name, Any)) for name, value in each.items()
                             if name not in ("verdict", "findings")}) for each in document["results"]]
        results = [Result(find(each.source or each.name), each) for each in records]
        for result in results:
            if result.record.broken:
                check_mutation(result.experiment, result.record.broken)
            seeds = len(result.record.seeds)
            for check in result.checks():
                if check is not AGREEMENT and (found := len(result.values(check.value))) != seeds:
                    raise ValueError(f"{check.value}: expected a number for each of {seeds} seeds, got {found}")
        decide(results)
    except (KeyError, TypeError, AttributeError, OverflowError, RecursionError, ValueError) as error:
        raise ValueError(f"{path}: expected a JSON file of fastnn lab run, got another one ({error})") from error
    return results


def as_kept(name: str, value: Any, kind: Any) -> Any:
    """A value of a record, if it is of that kind; null, as which JSON has what is no finite number, is NaN.

    >>> from fastnn.lab.result import as_kept
    >>> as_kept("values", {"safe": [1, None]}, dict[str, list[float]])
    {'safe': [1.0, nan]}
    """
    inner = get_args(kind)
    if get_origin(kind) is dict and isinstance(value, dict):
        return {key: as_kept(f"{name}[{key!r}]", each, inner[1]) for key, each in value.items()}
    if get_origin(kind) is list and isinstance(value, list):
        return [as_kept(name, each, inner[0]) for each in value]
    if get_origin(kind) is UnionType:                           # of a kind and None
        return None if value is None else as_kept(name, value, inner[0])
    if kind is float and (value is None or type(value) in (int, float)):
        return np.nan if value is None else float(value)
    if kind is Any or type(value) is kind:
        return value
    expected = {dict: "an object", list: "a list", float: "a number", int: "a whole number", str: "a text"}
    raise ValueError(f"{name}: expected {expected[get_origin(kind) or kind]}, got {value!r:.40}")


def compare(one: Sequence[Result], other: Sequence[Result], language: str = "en") -> str:
    """A table of the checks that both have: the means, and the 95 % interval of their difference.

    The same seeds with the same data are compared seed by seed; others as two independent samples (Welch).

    >>> from fastnn import lab
    >>> result = lab.run("gradient_descent", seeds=4)
    >>> print(lab.compare([result], [result]))                                      # doctest: +ELLIPSIS
    experiment ...
    """
    rows = [[word(each, language) for each in ("concept", "numbers", "first", "second", "difference", "interval",
                                               "verdict")]]
    others = {each.experiment.name: each for each in other}
    for a in one:
        b = others.get(a.experiment.name)
        for first in a.findings if b is not None else ():
            for second in b.findings if b is not None else ():
                if first.check.name == second.check.name:
                    paired = b is not None and (a.record.seeds, a.record.data) == (b.record.seeds, b.record.data)
                    low, high = difference_interval(first.values, second.values, paired)
                    verdicts = dict.fromkeys(word(each.verdict, language) for each in (first, second))
                    numbers = [number(each, language) for each in (first.mean, second.mean, second.mean - first.mean)]
                    rows.append([a.experiment.name, first.check.name, *numbers, interval(low, high, language),
                                 " → ".join(verdicts)])
    if len(rows) == 1:
        raise ValueError("compare: expected files with an experiment in common")
    return "\n".join(aligned(rows))


def plain(value: Any) -> Any:
    """The value as JSON has it: what is no finite number becomes null; what a configuration may have and JSON has not,
    text."""
    if isinstance(value, Mapping):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return plain(value.tolist())
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value if isinstance(value, str | int | float | None) else str(value)
