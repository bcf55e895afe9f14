"""A regression that stops in time: how far diabetes goes on within a year, from ten measurements of 442 patients.

    python examples/regression.py           # with fastnn
    python examples/regression.py ref       # the same with fastnn_ref

A network of this size learns 300 patients by heart. ``EarlyStopping`` watches some that are held back and brings the
weights of the best epoch back. Targets are scaled, as inputs are: a loss of 1 then is that of the mean. Needs
scikit-learn.

Source of the data: Efron, Hastie, Johnstone and Tibshirani, "Least angle regression" (2004).
"""

import argparse
import importlib
import time
from types import ModuleType
from typing import Any

from sklearn.datasets import load_diabetes
from sklearn.model_selection import train_test_split


def diabetes() -> Any:
    """x and t, to train with and to test with, scaled by what the training part needs."""
    x, t = load_diabetes(return_X_y=True)
    x, x_test, t, t_test = train_test_split(x, t[:, None], test_size=0.25, random_state=0)
    return tuple((part - of.mean(axis=0)) / of.std(axis=0)
                 for part, of in ((x, x), (t, t), (x_test, x), (t_test, t)))


def train(nn: ModuleType, data: Any, epochs: int, early: bool = True) -> tuple[float, int]:
    """R² on the test rows, and how many epochs were made."""
    x, t, x_test, t_test = data
    hidden = {"activation": "relu", "init": "glorot_uniform"}       # the default, He's, learns more by heart here
    model = nn.Sequential(nn.Linear(10, 64, **hidden), nn.Linear(64, 64, **hidden), nn.Linear(64, 1), seed=0,
                          dtype="float32")
    stop = nn.EarlyStopping(patience=10)
    history = model.fit(x, t, loss=nn.MSELoss(), optimizer=nn.Adam(), epochs=epochs, batch_size=16,
                        validation_split=0.2, callbacks=[stop] if early else [])
    return float(model.evaluate(x_test, t_test, nn.MSELoss(), metrics=("r2",))["r2"]), len(history.epoch)


def main(package: str = "fast", epochs: int = 200) -> dict[str, float]:
    """Trains with early stopping and without; prints and returns R²."""
    nn = importlib.import_module("fastnn_ref" if package == "ref" else "fastnn")
    data, found = diabetes(), {}
    for name in ("early stopping", "to the end"):
        start = time.perf_counter()
        found[name], done = train(nn, data, epochs, name == "early stopping")
        print(f"{name:14} {done:3} epochs in {time.perf_counter() - start:.1f} s: R² {found[name]:.2f} on other "
              "patients")
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("package", nargs="?", default="fast", choices=("fast", "ref"))
    main(**vars(parser.parse_args()))
