"""``fastnn predict``: the class of each row of a file, or each class's probability; of a regression, the values."""

import csv
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fastnn_ref.shared import atomic

from . import options, rows, trained
from .options import argument, option
from .session import UsageError, say

SUMMARY = "the class, or the values, of each row of a file"
ENDINGS = (".csv", ".npy")
DIGITS = 19                             # numbers of fewer digits fit an int64; "007" is none


@dataclass(frozen=True, kw_only=True)
class Config(trained.TaskOptions):
    """What ``fastnn predict`` is told."""

    input: str = argument(options.path("INPUT", "a file or a folder"),
                          "CSV, Parquet, NPY, NPZ (x), IDX, an image, or a folder of images")
    proba: bool = option(False, None, "the probability of each class instead", "running")
    out: str | None = option(
        None, options.path("FILE", "a file"), "a .csv or .npy file (default: CSV on standard output)", "running"
    )


def run(config: Config) -> None:
    """Predict, and print or save it.

    >>> run(Config(model="runs/first", input="new.csv"))  # doctest: +SKIP
    """
    options.check(config)
    if config.out is not None and Path(config.out).suffix.lower() not in ENDINGS:
        raise UsageError(f"--out: expected a file ending in {' or '.join(ENDINGS)}, got {config.out!r}")
    if config.out is not None and not Path(config.out).parent.is_dir():
        raise UsageError(f"--out: expected an existing folder, got {str(Path(config.out).parent)!r}")
    options.check_apart("--out", config.out, config.input)
    found = trained.load(config)
    encoding = found.encoding
    if found.regression and config.proba:
        raise UsageError(f"--proba: has an effect only with a classifier, and {config.model} is a regression")
    how = encoding.reading() if encoding else {}
    x = found.inputs(rows.read(Path(config.input), False, **how), config.input)
    if found.regression:
        values = found.values(x)
        save(config.out, found.targets(x).target_names, values[:, 0] if values.shape[1] == 1 else values)
        return
    labels = found.labels(x)
    if config.proba:
        save(config.out, labels, found.model.predict_proba(x))
        return
    numbers = found.model.predict_classes(x)
    if numbers.ndim > 1:
        raise UsageError(f"MODEL: expected a classifier of one label for each row, got {config.model}, of which each "
                         "output is a label of its own; --proba prints the probability of each")
    classes = [labels[number] for number in numbers]
    whole = all(label.isdecimal() and str(int(label)) == label and len(label) < DIGITS for label in labels)
    save(config.out, ("class",), np.array([int(each) for each in classes] if whole else classes))


def save(out: str | None, header: tuple[str, ...], values: npt.NDArray[Any]) -> None:
    """Write the values, a line a row, to the file or to standard output."""
    if out is not None and out.lower().endswith(".npy"):
        content = io.BytesIO()
        np.save(content, values)
        atomic.write(Path(out), content.getvalue())
        return
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(values.reshape(len(values), -1).tolist())
    if out is None:
        say(table.getvalue().rstrip("\n"))
    else:
        atomic.write(Path(out), table.getvalue().encode(errors="surrogateescape"))    # folders' names
