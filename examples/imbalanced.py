"""Rare events: one row of a hundred is a fraud, and a network that never says so is right 99 times of 100.

    python examples/imbalanced.py           # with fastnn
    python examples/imbalanced.py ref       # the same with fastnn_ref

``class_weight="balanced"`` gives both classes the same part of the loss. Accuracy says nothing here: precision is the
share of alarms that are frauds, recall the share of frauds that are found; the area under the ROC curve looks at the
order of the outputs alone. Needs scikit-learn.

Source: keras.io/examples/structured_data/imbalanced_classification, on rows that are made up.
"""

import argparse
import importlib
import time
from types import ModuleType
from typing import Any

from sklearn.datasets import make_classification
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

METRICS = ("accuracy", "precision", "recall", "roc_auc", "average_precision")


def transactions(n: int = 10_000) -> Any:
    """Standardised rows of 30 numbers and whether each is a fraud (n, 1), to train with and to test with."""
    x, t = make_classification(n, 30, n_informative=8, n_clusters_per_class=2, weights=[0.99], flip_y=0.002,
                               class_sep=1.0, random_state=3)
    x, x_test, t, t_test = train_test_split(x.astype("float32"), t[:, None], test_size=0.3, stratify=t, random_state=0)
    scaler = StandardScaler().fit(x)
    return scaler.transform(x), t, scaler.transform(x_test), t_test


def train(nn: ModuleType, data: Any, epochs: int, class_weight: Any = "balanced") -> dict[str, float]:
    """The metrics on the test rows."""
    x, t, x_test, t_test = data
    hidden = {"activation": "relu", "init": "glorot_uniform"}       # Keras's; the default here learns more by heart
    model = nn.Sequential(
        nn.Linear(x.shape[1], 64, **hidden), nn.Linear(64, 64, **hidden), nn.Dropout(0.3),
        nn.Linear(64, 64, **hidden), nn.Dropout(0.3), nn.Linear(64, 1), seed=0, dtype="float32")
    model.fit(x, t, loss=nn.BCEWithLogitsLoss(class_weight=class_weight), optimizer=nn.Adam(), epochs=epochs,
              batch_size=512)
    found: dict[str, float] = model.evaluate(x_test, t_test, nn.BCEWithLogitsLoss(), metrics=METRICS)
    return found


def main(package: str = "fast", epochs: int = 20) -> dict[str, dict[str, float]]:
    """Trains with and without class weights; prints and returns the metrics."""
    nn = importlib.import_module("fastnn_ref" if package == "ref" else "fastnn")
    data, found = transactions(), {}
    print(" " * 16 + " ".join(f"{name:>17}" for name in METRICS))
    for name, weight in (("no weights", None), ("class weights", "balanced")):
        start = time.perf_counter()
        found[name] = train(nn, data, epochs, weight)
        print(f"{name:16}" + " ".join(f"{found[name][metric]:17.3f}" for metric in METRICS)
              + f"   {time.perf_counter() - start:.1f} s")
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("package", nargs="?", default="fast", choices=("fast", "ref"))
    main(**vars(parser.parse_args()))
