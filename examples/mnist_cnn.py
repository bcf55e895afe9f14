"""PyTorch's and Keras's introductory networks for MNIST, with the optimizer and the schedule that they have there.

    python examples/mnist_cnn.py                        # on small digits, some seconds
    python examples/mnist_cnn.py --data mnist --epochs 14       # in FASTNN_DATA, as there
    python examples/mnist_cnn.py --net keras --package ref      # Keras's, with fastnn_ref

The rate of PyTorch's program falls by 0.7 with each epoch, which ``PerEpoch`` says; a schedule alone would count steps.

Sources: pytorch/examples, mnist/main.py; keras.io/examples/vision/mnist_convnet; Zeiler, "ADADELTA" (2012).
"""

import argparse
import importlib
import time
from types import ModuleType
from typing import Any

from fastnn import datasets


def pytorchs(nn: ModuleType, side: int) -> Any:
    """Two convolutions, one pool, a hidden layer."""
    return nn.Sequential(
        nn.Conv2d(1, 32, 3, activation="relu"), nn.Conv2d(32, 64, 3, activation="relu"), nn.MaxPool2d(2),
        nn.Dropout(0.25), nn.Flatten(), nn.Linear(64 * ((side - 4) // 2) ** 2, 128, activation="relu"),
        nn.Dropout(0.5), nn.Linear(128, 10), seed=0, dtype="float32",
    )  # fmt: skip


def kerass(nn: ModuleType, side: int) -> Any:
    """A pool behind each convolution, no hidden layer."""
    return nn.Sequential(
        nn.Conv2d(1, 32, 3, activation="relu"), nn.MaxPool2d(2), nn.Conv2d(32, 64, 3, activation="relu"),
        nn.MaxPool2d(2), nn.Flatten(), nn.Dropout(0.5), nn.Linear(64 * (((side - 2) // 2 - 2) // 2) ** 2, 10),
        seed=0, dtype="float32",
    )  # fmt: skip


def train_pytorchs(nn: ModuleType, data: Any, epochs: int, verbose: int = 0) -> float:
    """Accuracy on the test images."""
    x, t, x_test, t_test = data
    model = pytorchs(nn, x.shape[-1])
    schedule = nn.PerEpoch(nn.StepLR(1.0, step_size=1, gamma=0.7))
    model.fit(x, t, loss=nn.CrossEntropyLoss(), optimizer=nn.Adadelta(schedule), epochs=epochs, batch_size=64,
              verbose=verbose)
    return float(model.evaluate(x_test, t_test, nn.CrossEntropyLoss(), metrics=("accuracy",))["accuracy"])


def train_kerass(nn: ModuleType, data: Any, epochs: int, verbose: int = 0) -> float:
    """Accuracy on the test images."""
    x, t, x_test, t_test = data
    model = kerass(nn, x.shape[-1])
    model.fit(x, t, loss=nn.CrossEntropyLoss(), optimizer=nn.Adam(), epochs=epochs, batch_size=128,
              validation_split=0.1, metrics=("accuracy",), verbose=verbose)
    return float(model.evaluate(x_test, t_test, nn.CrossEntropyLoss(), metrics=("accuracy",))["accuracy"])


def images(name: str = "digits", rows: int | None = None) -> Any:
    """x (n, 1, side, side) and t, to train with and to test with: MNIST, or digits of 8×8, each pixel drawn as 3×3."""
    data = datasets.load_mnist() if name == "mnist" else datasets.load_digits()
    zoom = 1 if name == "mnist" else 3
    x, x_test = (part.reshape(-1, *data.image_shape).repeat(zoom, 2).repeat(zoom, 3)
                 for part in (data.x_train[:rows], data.x_test))
    return x, data.t_train[:rows], x_test, data.t_test


def main(net: str = "pytorch", package: str = "fast", data: str = "digits", epochs: int = 3, verbose: int = 0) -> float:
    """Trains; prints and returns the accuracy."""
    nn = importlib.import_module("fastnn_ref" if package == "ref" else "fastnn")
    start = time.perf_counter()
    accuracy = {"pytorch": train_pytorchs, "keras": train_kerass}[net](nn, images(data), epochs, verbose)
    print(f"{net}'s network on {data}, {epochs} epochs in {time.perf_counter() - start:.1f} s: {accuracy:.1%} right")
    return accuracy


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--net", default="pytorch", choices=("pytorch", "keras"))
    parser.add_argument("--package", default="fast", choices=("fast", "ref"))
    parser.add_argument("--data", default="digits", choices=("digits", "mnist"))
    parser.add_argument("--epochs", type=int, default=3)
    main(**vars(parser.parse_args()), verbose=1)
