"""``fastnn evaluate``: the loss and the metrics of a trained model, on what its run held out or on other data."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fastnn_ref.shared import checks
from fastnn_ref.shared.custom import CustomLoss
from fastnn_ref.shared.metrics import resolve_metrics
from fastnn_ref.shared.prediction import output_activation
from fastnn_ref.shared.targets import as_class_numbers

from . import options, report, rows, score, task, train, trained
from .options import Kind, option
from .session import UsageError, say

SUMMARY = "loss and metrics of a trained model"
OF_VALUES = ("r2", "rmse", "mae", "mse")  # metrics of a regression, the first three by default
NAMES = Kind(lambda typed: tuple(typed.split(",")), lambda name, value: resolve_metrics(value, name), "NAME,...")


@dataclass(frozen=True, kw_only=True)
class Config(trained.TaskOptions, task.FileOptions):
    """What ``fastnn evaluate`` is told."""

    metrics: tuple[str, ...] | None = option(
        None, NAMES, "accuracy (default), f1, top_3_accuracy, roc_auc, ...; of a regression r2, rmse, mae (default), "
        "mse of each target", "running",
    )  # fmt: skip
    json: bool = option(False, None, "print one line of JSON", "running")


def run(config: Config) -> None:
    """Print the loss and the metrics.

    >>> run(Config(model="runs/first"))  # doctest: +SKIP
    """
    options.check(config)
    found = trained.load(config)
    x, t, title, loss = task_data(config, found)
    if not found.regression:
        values = found.model.evaluate(x, t, loss, config.metrics or ("accuracy",))
    else:
        asked = config.metrics or OF_VALUES[:3]
        if strange := [name for name in asked if name not in OF_VALUES]:
            raise UsageError(f"--metrics: expected any of {', '.join(OF_VALUES)} for a regression, got {strange[0]}")
        y, names = found.values(x), found.targets(x).target_names
        if y.shape != t.shape:
            raise UsageError(f"--data: expected targets {checks.format_shape(y.shape)} for this model, got "
                             f"{checks.format_shape(t.shape)}")
        values = score.measured(y, t, names, asked)
    if config.json:
        say(json.dumps(report.plain({"model": str(found.file), "data": title, "rows": len(t), **values})))
        return
    say(f"{found.file}: {len(t):,} rows of {title}.")
    each = values.pop("targets", {})
    if "r2" in values and each:
        values["r2, mean"] = values.pop("r2")
    values |= {f"{name}, {target}": value for target, found in each.items() for name, value in found.items()}
    width = max(map(len, values))
    say("\n".join(f"{name:{width}}  {value:.6g}" for name, value in values.items()))


def task_data(config: Config, found: trained.Trained) -> tuple[Any, Any, str, Any]:
    """(x, t, name of the data, loss): the run's, where nothing else is given; values are in the unit of the target."""
    loss, encoding = None, found.encoding
    if found.folder is not None:
        absent = () if config.data is None else ("data", "targets")
        task_of_run = task.completed(train.Config(**options.read_toml(train.Config, found.folder.config, absent)))
        loss = task.build_loss(found.nn, task_of_run)
        if config.data is None:
            data, _ = task.load_data(task_of_run, progress=True)
            found.folder.check_data(data)
            t: Any = found.targets(data.x_test).values(data.t_test) if found.regression else data.t_test
            return found.shaped(data.x_test, data.image_shape, data.title), t, f"{data.title}, held out", loss
    elif config.task == "regression" and not task.is_own(config):
        raise UsageError("--task: has an effect only with --data FILE")
    if config.data is None:
        raise UsageError("--data: expected what to evaluate on, as MODEL is no run's, got none")
    if task.is_own(config):
        with options.usage(config, others=False):
            how = encoding.reading() if encoding else {}
            how["target"] = config.target or how.get("target")
            read = rows.read(Path(config.data), True, targets=config.targets,
                             regression=found.regression, **how)
        x = found.inputs(read, config.data)
        if encoding is not None and read.targets != encoding.targets and (
                sorted(read.targets or ()) == sorted(encoding.targets or ())):
            raise UsageError(f"--target: expected the order of the run, {', '.join(encoding.targets or ())}, got "
                             f"{', '.join(read.targets or ())}")
        t = read.values if found.regression else trained.class_numbers(found, read, found.labels(x), config.data)
        title = config.data
    else:
        data, _ = task.load_data(task.DataOptions(data=config.data, download=config.download), progress=True)
        x, t, title = found.shaped(data.x_test, data.image_shape, data.title), data.t_test, f"{data.title}, held out"
    return x, t, title, classifier_loss(found, x) if loss is None else loss


class OfProbabilities(CustomLoss):
    """The cross-entropy of a classifier that ends in probabilities: of yes, or of each class."""

    def __init__(self, one: bool) -> None:
        self.decision_threshold = 0.5 if one else None

    def prepare_targets(self, t: Any, shape: tuple[int, ...], dtype: Any) -> Any:
        if self.decision_threshold is None:
            return as_class_numbers(np.asarray(t), shape[1])
        return as_class_numbers(np.asarray(t), 2).reshape(-1, 1)

    def value_and_gradient(self, y: Any, t: Any, weights: Any) -> tuple[float, Any]:
        p = np.hstack([1 - y, y]) if self.decision_threshold else y
        p = p[np.arange(len(p)), t.astype(int).ravel()]
        return float(-np.log(np.maximum(p, np.finfo(p.dtype).tiny)).mean()), np.zeros_like(y)


def classifier_loss(found: trained.Trained, x: Any) -> Any:
    """The cross-entropy of a model that is no run's, of logits or of what it ends in."""
    shape, last = found.model.output_shape(x.shape[1:]), output_activation(found.model)
    if last == "Sigmoid" and shape != (1,):
        raise UsageError(f"MODEL: expected a classifier of one label for each row, got {found.file}, which ends in "
                         f"a Sigmoid of {checks.format_shape(('n', *shape))}")
    if last in ("Sigmoid", "Softmax"):
        return OfProbabilities(last == "Sigmoid")
    return found.nn.BCEWithLogitsLoss() if shape == (1,) else found.nn.CrossEntropyLoss()
