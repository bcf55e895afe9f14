"""scikit-learn's multilayer perceptron beside fastnn's: the same program with another import, score and time.

    python examples/sklearn_port.py         # digits, breast cancer, diabetes; MNIST where FASTNN_DATA has its files

Both have the same arguments, data and initial weights; only the order of the shuffled rows differs. They take
turns, and the table has medians over the seeds: scores on held-out rows, epochs until the rule for stopping, and how
many times as long an epoch of scikit-learn's takes. float32 stands for ``dtype="float32"``.
"""

import argparse
import os
import statistics
import time
import warnings
from collections.abc import Sequence
from typing import Any, NamedTuple

from sklearn import datasets, neural_network
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import fastnn.datasets
import fastnn.sklearn

TASKS = {
    "digits": (datasets.load_digits, "MLPClassifier", {"hidden_layer_sizes": (64,)}),
    "breast cancer": (datasets.load_breast_cancer, "MLPClassifier", {}),
    "diabetes": (datasets.load_diabetes, "MLPRegressor", {"learning_rate_init": 0.01, "early_stopping": True}),
}


class Found(NamedTuple):
    """What one fit brought."""

    score: float
    epochs: int
    seconds: float                  # an epoch's


def measure(model: Any, seed: int, data: Sequence[Any]) -> Found:
    """Fits and scores."""
    x_train, x_test, y_train, y_test = data
    model = clone(model).set_params(random_state=seed)
    pipeline = make_pipeline(StandardScaler(), model) if x_train.shape[1] < 700 else make_pipeline(model)
    start = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        pipeline.fit(x_train, y_train)
    seconds = time.perf_counter() - start
    return Found(pipeline.score(x_test, y_test), model.n_iter_, seconds / model.n_iter_)


def compare(name: str, kind: str, arguments: dict[str, Any], seeds: int, data: Any) -> tuple[float, float]:
    """A line of the table; returns both scores."""
    own = getattr(fastnn.sklearn, kind)
    models = {"scikit-learn": getattr(neural_network, kind)(**arguments), "fastnn": own(**arguments),
              "float32": own(**arguments, dtype="float32")}
    runs: dict[str, list[Found]] = {each: [] for each in models}
    for seed in range(seeds):
        parts = data(seed)
        for each, model in models.items():
            runs[each].append(measure(model, seed, parts))
    middle = {each: Found(*map(statistics.median, zip(*found, strict=True))) for each, found in runs.items()}
    there, here, short = middle.values()
    ratios = (statistics.median(a.seconds / b.seconds for a, b in zip(runs["scikit-learn"], runs[each], strict=True))
              for each in ("fastnn", "float32"))
    print(f"{name:14} {there.score:12.4f} {here.score:7.4f} {short.score:8.4f} {there.epochs:8.0f} {here.epochs:7.0f} "
          + " ".join(f"{ratio:8.1f}×" for ratio in ratios), flush=True)
    return there.score, here.score


def main(tasks: Sequence[str] = (*TASKS, "MNIST"), seeds: int = 5) -> dict[str, tuple[float, float]]:
    """Prints the table; returns (scikit-learn's score, fastnn's) of each task."""
    print(f"{'':14} {'scikit-learn':>12} {'fastnn':>7} {'float32':>8} {'epochs:':>8} {'fastnn':>7} {'faster:':>9} "
          f"{'float32':>9}")
    found = {}
    for name in tasks:
        if name in TASKS:
            load, kind, arguments = TASKS[name]
            x, y = load(return_X_y=True)
            y = (y - y.mean()) / y.std() if kind == "MLPRegressor" else y
            found[name] = compare(name, kind, arguments, seeds,
                                  lambda seed, x=x, y=y: train_test_split(x, y, random_state=seed, test_size=0.3))
        elif "FASTNN_DATA" in os.environ:
            data = fastnn.datasets.load_mnist()
            x_train, x_test = (x.reshape(len(x), -1).astype("float64") for x in (data.x_train, data.x_test))
            parts = x_train, x_test, data.t_train, data.t_test
            found[name] = compare(name, "MLPClassifier", {"max_iter": 5}, 1, lambda seed, parts=parts: parts)
    return found


if __name__ == "__main__":
    argparse.ArgumentParser().parse_args()                # it takes none, and says so
    main()
