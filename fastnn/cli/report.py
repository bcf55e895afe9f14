"""What ``fastnn train`` says of its runs: a table, and a verdict in words."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from .score import Score

UNSTEADY = 1.5  # median over fastest epoch from which on the times are called unsteady
SAME = {"float32": 1e-3, "float64": 1e-10}  # a difference of parameters, relative to the largest, called none


@dataclass(frozen=True, kw_only=True)
class Run:
    """What came of training with one package."""

    name: str
    model: Any
    history: Any
    score: Score  # on the test examples
    milliseconds: float  # of an epoch, median
    fastest: float  # of an epoch, minimum
    threads: int


def table(runs: Sequence[Run]) -> str:
    """One row a measure, one column a package, and in the last column what the two have between them."""
    measures = list(zip(*(run.score.rows() for run in runs), strict=True))
    rows = [
        (str(runs[0].model.dtype), *(run.name for run in runs)),
        *((each[0][0], *(value for _, value in each)) for each in measures),
        ("largest parameter", *(f"{largest(run.model):.6g}" for run in runs)),
        ("ms per epoch, median", *(f"{run.milliseconds:.2f}" for run in runs)),
        ("ms per epoch, fastest", *(f"{run.fastest:.2f}" for run in runs)),
        ("threads", *(str(run.threads) for run in runs)),
    ]
    notes = [""] * len(rows)
    after = 1 + len(measures)
    if len(runs) == 2:
        first, second = runs
        absolute, relative = difference(first.model, second.model)
        notes[0] = "between the two"
        notes[1] = first.score.difference(second.score)
        notes[after:after + 3] = [
            f"largest difference {absolute:.1e}, relative {relative:.1e}",
            f"{first.milliseconds / second.milliseconds:.1f} times as fast",
            f"{first.fastest / second.fastest:.1f} times as fast",
        ]
    width = max(22, *(len(row[0]) + 1 for row in rows))
    lines = [
        f"{row[0]:{width}}" + "".join(f"{cell:>15}" for cell in row[1:]) + (f"    {note}" if note else "")
        for row, note in zip(rows, notes, strict=True)
    ]
    lines.insert(1, "-" * max(map(len, lines)))
    return "\n".join(lines)


def verdict(runs: Sequence[Run]) -> str:
    """The table in a sentence or two."""
    last = runs[-1]
    lines: list[str] = []
    if len(runs) == 1:
        lines += [f"{last.name}: {last.score.sentence()}."]
    elif not any(diverged(run) for run in runs):
        _, relative = difference(runs[0].model, last.model)
        if relative <= SAME[str(last.model.dtype)]:
            lines += [f"Both end the same: no parameter differs by more than {relative:.1e} of the largest one."]
        else:
            lines += [
                f"The two differ by up to {relative:.1e} of the largest parameter: they round differently,",
                "and training magnifies that."
                + (" --dtype float64 leaves less to magnify." if last.model.dtype == np.float32 else ""),
            ]
        ratio = runs[0].milliseconds / last.milliseconds
        lines += [f"{last.name} was {ratio:.1f} times as fast as {runs[0].name}."]
    if any(run.milliseconds > UNSTEADY * run.fastest for run in runs):
        lines += ["The times of the epochs vary, as on a busy machine: the fastest ones are the better measure."]
    idle = [run for run in runs if not diverged(run) and run.score.learnt_nothing()]
    if idle:
        lines += [f"{' and '.join(run.name for run in idle)} learnt nothing: {idle[0].score.guess()}."]
    return "\n".join(lines)


def diverged(run: Run) -> bool:
    """Did training end in numbers that are none: a parameter, or the last loss?"""
    losses = run.history.history.get("loss", [])
    return not np.isfinite(largest(run.model)) or not np.isfinite(losses[-1:]).all()


def largest(model: Any) -> float:
    """The largest absolute value of any parameter; NaN if one is NaN."""
    return maximum(value for _, value, *_ in model.parameters())


def difference(first: Any, second: Any) -> tuple[float, float]:
    """The largest difference of any parameter: absolute, and relative to the first model's largest."""
    pairs = zip(first.parameters(), second.parameters(), strict=True)
    worst = maximum(a.astype(float) - b for (_, a, *_), (_, b, *_) in pairs)
    return worst, worst / largest(first) if worst else worst


def maximum(arrays: Iterable[npt.NDArray[Any]]) -> float:
    """The largest absolute value of all; NaN if anything is."""
    return float(np.max([np.max(np.abs(array)) for array in arrays]))


def result(runs: Sequence[Run]) -> dict[str, Any]:
    """The table as a record for ``--json``, and the history of each run."""
    found: dict[str, Any] = {"runs": [
        {
            "package": run.name, "dtype": str(run.model.dtype), **run.score.record(),
            "largest_parameter": largest(run.model),
            "epochs": len(run.history.epoch), "ms_per_epoch": run.milliseconds, "fastest_ms_per_epoch": run.fastest,
            "threads": run.threads, "diverged": diverged(run), "history": run.history.history,
        } for run in runs]}  # fmt: skip
    if len(runs) == 2:
        absolute, relative = difference(runs[0].model, runs[1].model)
        found["difference"] = {"absolute": absolute, "relative": relative}
    return found


def plain(value: Any) -> Any:
    """The value as JSON has it: what is no finite number becomes null."""
    if isinstance(value, dict):
        return {key: plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    if isinstance(value, np.ndarray | np.generic):
        return plain(value.tolist())
    return None if isinstance(value, float) and not np.isfinite(value) else value
