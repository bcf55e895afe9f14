"""Small image networks, composed: a residual block, a small ResNet, a net in the manner of VGG, on 8×8 digits.

    python examples/images.py           # with fastnn
    python examples/images.py ref       # the same with fastnn_ref, slower
"""

import argparse
import importlib
import time
from types import ModuleType
from typing import Any

from fastnn import datasets


def residual_block(nn: ModuleType, channels: int, p: float) -> Any:
    """x + two convolutions, each normalised first; left out with probability p (He et al. 2016, Huang et al. 2016)."""
    return nn.StochasticDepth(
        nn.Sequential(
            nn.BatchNorm2d(channels), nn.ReLU(), nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels), nn.ReLU(), nn.Conv2d(channels, channels, 3, padding=1, bias=False),
        ),
        p,
    )  # fmt: skip


def resnet(nn: ModuleType) -> Any:
    """Two stages of two blocks, a mean over the image instead of hidden layers."""
    p = nn.stochastic_depth_rates(4, 0.2)
    return nn.Sequential(
        nn.Conv2d(1, 12, 3, padding=1), residual_block(nn, 12, p[0]), residual_block(nn, 12, p[1]),
        nn.Conv2d(12, 24, 3, stride=2, padding=1), residual_block(nn, 24, p[2]), residual_block(nn, 24, p[3]),
        nn.BatchNorm2d(24), nn.ReLU(), nn.GlobalAvgPool2d(), nn.Linear(24, 10), seed=0, dtype="float32",
    )  # fmt: skip


def vgg(nn: ModuleType) -> Any:
    """Pairs of 3×3 convolutions between pools, then hidden layers with dropout (Simonyan and Zisserman 2015)."""
    def pair(inside: int, outside: int) -> list[Any]:
        return [
            nn.Conv2d(inside, outside, 3, padding=1, activation="relu"),
            nn.Conv2d(outside, outside, 3, padding=1, activation="relu"), nn.MaxPool2d(2),
        ]  # fmt: skip

    return nn.Sequential(
        *pair(1, 12), *pair(12, 24), nn.Flatten(), nn.Linear(96, 64, activation="relu"), nn.Dropout(0.3),
        nn.Linear(64, 10), seed=0, dtype="float32",
    )  # fmt: skip


def main(package: str = "fast", epochs: int = 10) -> dict[str, float]:
    """Trains both, prints and returns their accuracy on the held-out digits."""
    nn = importlib.import_module("fastnn_ref" if package == "ref" else "fastnn")
    data = datasets.load_digits()
    x_train, x_test = (x.reshape(-1, 1, 8, 8) for x in (data.x_train, data.x_test))
    found = {}
    for make in (resnet, vgg):
        model, start = make(nn), time.perf_counter()
        model.fit(x_train, data.t_train, loss=nn.CrossEntropyLoss(), optimizer=nn.AdamW(lr=3e-3), epochs=epochs,
                  batch_size=32)
        scores = model.evaluate(x_test, data.t_test, nn.CrossEntropyLoss(), metrics=("accuracy",))
        found[make.__name__] = scores["accuracy"]
        parameters = sum(value.size for value in model.params.values())
        print(f"{make.__name__:8} {parameters:7,} parameters, {epochs} epochs in {time.perf_counter() - start:5.1f} s: "
              f"{scores['accuracy']:.1%} of {len(x_test)} held-out digits")
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("package", nargs="?", default="fast", choices=("fast", "ref"))
    main(**vars(parser.parse_args()))
