"""An autoencoder: 64 pixels of a digit go through 8 numbers and come out again.

    python examples/autoencoder.py                      # with fastnn
    python examples/autoencoder.py --package ref        # the same with fastnn_ref
    python examples/autoencoder.py --picture FILE       # digits, and what comes out

The target is the input itself. ``GaussianNoise`` in front makes the task harder in training: what comes out shall have
no noise. The best that 8 linear features can do is principal component analysis, which stands beside it.

Source: Hinton and Salakhutdinov, "Reducing the dimensionality of data with neural networks" (2006); Vincent et al.
(2008) for the noise.
"""

import argparse
import importlib
import time
from types import ModuleType
from typing import Any

import numpy as np

from fastnn import datasets

CODE = 8


def digits() -> Any:
    """Pixels from 0 to 1, to train with and to test with."""
    data = datasets.load_digits()
    return data.x_train, data.x_test


def train(nn: ModuleType, data: Any, epochs: int) -> tuple[Any, float]:
    """The model and its mean squared error on the test images."""
    x, x_test = data
    model = nn.Sequential(
        nn.GaussianNoise(0.1), nn.Linear(64, 64, activation="relu"), nn.Linear(64, CODE),
        nn.Linear(CODE, 64, activation="relu"), nn.Linear(64, 64, activation="sigmoid"), seed=0, dtype="float32")
    model.fit(x, x, loss=nn.MSELoss(), optimizer=nn.Adam(lr=2e-3), epochs=epochs, batch_size=32)
    return model, float(model.evaluate(x_test, x_test, nn.MSELoss())["loss"])


def linear_error(data: Any) -> float:
    """Mean squared error of principal component analysis with as many numbers."""
    x, x_test = data
    mean = x.mean(axis=0)
    axes = np.linalg.svd(x - mean, full_matrices=False)[2][:CODE]
    return float((((x_test - mean) @ axes.T @ axes + mean - x_test) ** 2).mean())


def draw(model: Any, x: Any, path: str) -> None:
    """Digits in one row, what comes out below."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 1.8), layout="constrained")
    for ax, row in zip(figure.subplots(2, 1), (x, model.predict(x)), strict=True):
        ax.imshow(np.hstack([*row.reshape(-1, 8, 8)]), cmap="gray_r")
        ax.axis("off")
    figure.savefig(path)


def main(package: str = "fast", epochs: int = 60, picture: str | None = None) -> tuple[float, float]:
    """Trains; prints and returns the error, and that of principal component analysis."""
    nn = importlib.import_module("fastnn_ref" if package == "ref" else "fastnn")
    data, start = digits(), time.perf_counter()
    model, error = train(nn, data, epochs)
    linear = linear_error(data)
    print(f"{epochs} epochs in {time.perf_counter() - start:.1f} s: mean squared error {error:.4f}, by principal "
          f"component analysis {linear:.4f}")
    if picture is not None:
        draw(model, data[1][:12], picture)
    return error, linear


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--package", default="fast", choices=("fast", "ref"))
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--picture", metavar="FILE")
    main(**vars(parser.parse_args()))
