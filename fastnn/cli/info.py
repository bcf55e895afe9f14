"""``fastnn info``: what is in a file of a model or a training, or in the folder of a run."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fastnn_ref
from fastnn_ref.shared import checkpoint

from . import options, report
from .encoding import Encoding
from .folder import Folder
from .options import argument, option
from .session import say

SUMMARY = "what is in a file of a model, or in the folder of a run"


@dataclass(frozen=True, kw_only=True)
class Config:
    """What ``fastnn info`` is told."""

    path: str = argument(options.path("PATH", "a folder or a file"),
                         "folder of a run (fastnn train --run), or a file of model.save or save_training")
    json: bool = option(False, None, "print one line of JSON", "running")


def run(config: Config) -> None:
    """Print architecture, parameters, the state of the training, and versions.

    >>> run(Config(path="runs/first"))  # doctest: +SKIP
    """
    options.check(config)
    path = Path(config.path)
    known: dict[str, Any] = {}
    file = path
    if path.is_dir():
        folder = Folder(path)
        folder.check_is_run("PATH")
        record = folder.read()
        known = {"run": str(path), "versions": {name: record[name] for name in ("fastnn", "python", "numpy")},
                 **targets(record["encoding"]), "options": folder.config.read_text("utf-8")}
        file = folder.latest()
    model = fastnn_ref.load(file)
    known |= {
        "file": str(file), "format": checkpoint.FORMAT, "dtype": str(model.dtype), "seed": model.config()["seed"],
        "parameters": sum(value.size for _, value, *_ in model.parameters()), "model": model.config(),
        "training": training(Folder(path) if path.is_dir() else None, file),
    }  # fmt: skip
    if config.json:
        say(json.dumps(report.plain(known)))
        return
    say(text_of(known, model))


def targets(encoding: Encoding) -> dict[str, Any]:
    """The labels of a classifier, or what is known of the targets of a regression."""
    if not encoding.regression:
        return {"labels": list(encoding.labels)}
    each = zip(encoding.target_names, encoding.target_mean or (), encoding.target_deviation or (), strict=True)
    return {"targets": [dict(zip(("name", "mean", "deviation"), one, strict=True)) for one in each]}


def training(folder: Folder | None, file: Path) -> dict[str, Any] | None:
    """Epochs, steps, learning rate and last values of a training; None of a model alone."""
    if folder is not None:
        package = file.name.partition("-")[0]
        file = folder.checkpoint(package)
    document = checkpoint.read(file)
    if "optimizer" not in document["config"]:
        return None
    run = fastnn_ref.load_training(file)
    state = run.state["callbacks"]
    history = state[0] if state and "history" in state[0] else {"epoch": [], "history": {}}
    return {
        "file": str(file), "epochs": len(history["epoch"]), "steps": run.optimizer.steps,
        "optimizer": run.optimizer.config(), "learning_rate": run.optimizer.current_lr,
        "loss": None if run.loss is None else run.loss.config(),
        "last": {name: values[-1] for name, values in history["history"].items() if values},
    }  # fmt: skip


def text_of(known: dict[str, Any], model: Any) -> str:
    """The same, to read."""
    lines = [f"{known['file']}: format {known['format']}, {known['dtype']}, seed {known['seed']}", ""]
    lines += [str(model.summary())]
    if (state := known["training"]) is not None:
        last = ", ".join(f"{name} {value:.4g}" for name, value in state["last"].items())
        lines += ["", f"training  {state['epochs']} epochs, {state['steps']:,} steps, {state['optimizer']['class']}, "
                      f"learning rate {state['learning_rate']:g}"]
        lines += [f"last      {last}"] if last else []
    if "run" in known:
        lines += [f"labels    {', '.join(known['labels'])}"] if "labels" in known else [
            f"target    {each['name']}, mean {each['mean']:.6g}, deviation {each['deviation']:.6g}"
            for each in known["targets"]]
        lines += ["versions  " + ", ".join(f"{name} {value}" for name, value in known["versions"].items()),
                  "", known["options"].rstrip()]
    return "\n".join(lines)
