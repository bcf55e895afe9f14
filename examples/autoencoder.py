"""Autoencoders: 8×8 digits as 8 numbers and back, made larger by transposed convolutions, or by upsampling.

    python examples/autoencoder.py          # with fastnn
    python examples/autoencoder.py ref      # the same with fastnn_ref, slower

A transposed convolution with a stride of its kernel's size puts each pixel's square beside the next one's: no square
knows its neighbours. Upsampling before a convolution spreads pixels first, and lets the windows overlap. Both must do
better than the best linear map with as long a code, which is PCA.

Source: Odena, Dumoulin and Olah, "Deconvolution and checkerboard artifacts" (2016).
"""

import importlib
import sys
import time
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt

from fastnn import datasets

Array = npt.NDArray[Any]
CODE = 8


def encoder(nn: ModuleType) -> list[Any]:
    """8×8 pixels, 4×4, 2×2, then one place with the code."""
    return [nn.Conv2d(1, 12, 3, stride=2, padding=1, activation="relu"),
            nn.Conv2d(12, 24, 3, stride=2, padding=1, activation="relu"), nn.Conv2d(24, CODE, 2)]


def transposed(nn: ModuleType) -> list[Any]:
    """The way back by transposed convolutions."""
    return [nn.ConvTranspose2d(CODE, 24, 2, activation="relu"),
            nn.ConvTranspose2d(24, 12, 2, stride=2, activation="relu"), nn.ConvTranspose2d(12, 1, 2, stride=2)]


def upsampled(nn: ModuleType) -> list[Any]:
    """The way back by upsampling, a convolution behind each."""
    layers: list[Any] = []
    for inside, outside, activation in ((CODE, 24, "relu"), (24, 12, "relu"), (12, 1, None)):
        layers += [nn.Upsample(scale_factor=2, mode="bilinear"),
                   nn.Conv2d(inside, outside, 3, padding="same", activation=activation)]
    return layers


def pca_error(train: Array, test: Array) -> float:
    """Mean squared error of the best linear code of ``CODE`` numbers."""
    mean = train.mean(axis=0)
    _, _, axes = np.linalg.svd(train - mean, full_matrices=False)
    back = (test - mean) @ axes[:CODE].T @ axes[:CODE]
    return float(((test - mean - back) ** 2).mean())


def main(package: str = "fast", epochs: int = 30) -> dict[str, float]:
    """Trains both, prints and returns the mean squared errors on the held-out digits, and PCA's."""
    nn = importlib.import_module("fastnn_ref" if package == "ref" else "fastnn")
    data = datasets.load_digits()
    found = {"PCA": pca_error(data.x_train, data.x_test)}
    print(f"{'PCA':10}  error {found['PCA']:.4f}")
    train, test = (x.reshape(-1, 1, 8, 8) for x in (data.x_train, data.x_test))
    for decoder in (transposed, upsampled):
        model, start = nn.Sequential(*encoder(nn), *decoder(nn), seed=0, dtype="float32"), time.perf_counter()
        model.fit(train, train, loss=nn.MSELoss(), optimizer=nn.Adam(lr=3e-3), epochs=epochs, batch_size=32)
        found[decoder.__name__] = model.evaluate(test, test, nn.MSELoss())
        print(f"{decoder.__name__:10}  error {found[decoder.__name__]:.4f}  in {time.perf_counter() - start:.1f} s")
    return found


if __name__ == "__main__":
    main(*sys.argv[1:])
