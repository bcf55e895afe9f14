"""Columns of numbers and of categories: who has a heart disease? Each kind of column gets a branch of its own.

    python examples/structured.py           # with fastnn
    python examples/structured.py ref       # the same with fastnn_ref

Four numbers go into a ``BatchNorm1d``, which scales them by what it has seen. Three columns hold the number of a
category. An ``Embedding`` that starts from the rows of an identity matrix and is frozen makes 0 and 1 of it (one-hot);
one that learns makes a vector of it.

Source: keras.io/examples/structured_data/structured_data_classification_from_scratch, on patients who are made up.
"""

import argparse
import importlib
import time
from types import ModuleType
from typing import Any

import numpy as np

NUMBERS = 4                         # age, pressure, cholesterol, pulse
CATEGORIES = (2, 5, 4)              # how many there are: sex, kind of pain, blood


def patients(n: int, seed: int) -> Any:
    """x (n, 7) and whether each patient is ill (n, 1)."""
    rng = np.random.default_rng(seed)
    numbers = rng.normal((54, 131, 246, 150), (9, 18, 52, 23), size=(n, NUMBERS))
    kinds = np.stack([rng.integers(count, size=n) for count in CATEGORIES], axis=1)
    age, pressure, cholesterol, pulse = (numbers - (54, 131, 246, 150)).T / np.array([[9], [18], [52], [23]])
    pain, blood = np.array([-1.5, -1, 0, 0.5, 2])[kinds[:, 1]], np.array([-1.0, 0, 0.5, 1.5])[kinds[:, 2]]
    logit = 0.5 * age + 0.4 * pressure + 0.3 * cholesterol - age * pulse + kinds[:, 0] + pain + blood - 0.7
    return np.hstack([numbers, kinds]), (rng.random(n) < 1 / (1 + np.exp(-2 * logit))).astype(float)[:, None]


def train(nn: ModuleType, data: Any, epochs: int, one_hot: bool = False) -> float:
    """Area under the ROC curve on the test rows."""
    x, t, x_test, t_test = data
    branches = [nn.Sequential(nn.Select(0, NUMBERS), nn.BatchNorm1d(NUMBERS))]
    for column, count in enumerate(CATEGORIES, start=NUMBERS):
        embedding = nn.Embedding(count, count, init=np.eye(count)) if one_hot else nn.Embedding(count, 3)
        embedding.trainable = not one_hot
        branches.append(nn.Sequential(nn.Select(column, column + 1), embedding, nn.Flatten()))
    width = NUMBERS + (sum(CATEGORIES) if one_hot else 3 * len(CATEGORIES))
    model = nn.Sequential(nn.Parallel(*branches), nn.Linear(width, 32, activation="relu"), nn.Dropout(0.5),
                          nn.Linear(32, 1), seed=0, dtype="float32")
    model.fit(x, t, loss=nn.BCEWithLogitsLoss(), optimizer=nn.Adam(lr=3e-3), epochs=epochs, batch_size=32)
    return float(model.evaluate(x_test, t_test, nn.BCEWithLogitsLoss(), metrics=("roc_auc",))["roc_auc"])


def main(package: str = "fast", epochs: int = 30) -> dict[str, float]:
    """Trains with both kinds of columns for categories; prints and returns the areas."""
    nn = importlib.import_module("fastnn_ref" if package == "ref" else "fastnn")
    data, found = (*patients(1500, 0), *patients(1500, 1)), {}
    for name in ("one-hot", "embedding"):
        start = time.perf_counter()
        found[name] = train(nn, data, epochs, name == "one-hot")
        print(f"{name:9} {epochs} epochs in {time.perf_counter() - start:.1f} s: area under the ROC curve "
              f"{found[name]:.3f}")
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("package", nargs="?", default="fast", choices=("fast", "ref"))
    main(**vars(parser.parse_args()))
