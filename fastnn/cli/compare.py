"""``fastnn compare``: the same network in both packages on one batch, and how far each tensor is apart."""

import importlib
from dataclasses import dataclass

from . import options, task
from .session import UsageError, say

SUMMARY = "run one network with both packages on a batch and show how much each tensor differs"


@dataclass(frozen=True, kw_only=True)
class Config(task.Task):
    """What ``fastnn compare`` is told."""

    steps: int = options.option(20, options.integer(0), "training steps", "running")


def run(config: Config) -> None:
    """Print how far the two packages are apart on the first batch: outputs, gradients, and values after some steps.

    >>> from fastnn.cli.compare import Config, run
    >>> run(Config(hidden=(16,), steps=3))  # doctest: +ELLIPSIS
    Network 64-16-10 relu: 1,210 parameters, float64, seed 0.
    ...
    """
    config = task.completed(config)
    options.check(config)
    if not config.steps:
        for name, default, _ in options.declared(task.OptimizerOptions):
            if name in ("optimizer", "lr", "momentum", "weight_decay") and getattr(config, name) != default:
                raise UsageError(f"{options.flag(name)}: has an effect only with --steps of 1 or more")
    nn = importlib.import_module("fastnn")
    data, _ = task.load_data(config, progress=True)
    model, loss, optimizer = task.build(nn, config, data, "float64")
    x = task.inputs(config, data, data.x_train[: config.batch_size], model.dtype)
    say(f"{task.describe_network(model, config, data)}\n")
    say(str(nn.compare(model, x, data.t_train[: config.batch_size], loss, optimizer, config.steps)))
