"""Saliency: which pixels does a digit's class depend on? The gradient of the class's output by the image shows it.

    python examples/saliency.py         # with fastnn
    python examples/saliency.py ref     # the same with fastnn_ref

Training asks how the loss changes with the weights. After a prediction the same backward pass says how an output
changes with each pixel: dx for a dy that is 1 at the class and 0 elsewhere. Dropout is off and batch normalization uses
its running statistics, so it is the derivative of the function that predicts. To see whether it tells the truth, the
pixels with the largest gradients are changed a little, and as many with the smallest: only the former move the output.

Source: Simonyan, Vedaldi and Zisserman, "Deep inside convolutional networks: visualising image classification models
and saliency maps" (2014).
"""

import argparse
import importlib
from types import ModuleType
from typing import Any

import numpy as np
from sklearn.datasets import load_digits

SHADES = " .:-=+*#%@"


def digits() -> tuple[Any, Any]:
    """Images (n, 1, 8, 8) with values 0 … 1, and their classes."""
    data = load_digits()
    return data.images[:, None] / 16, data.target


def net(nn: ModuleType) -> Any:
    """A small convolutional network with what acts in training only."""
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        nn.Dropout(0.3), nn.Linear(128, 10), seed=0)


def saliency(model: Any, x: Any, classes: Any) -> Any:
    """∂(output of the class)/∂pixel of each image."""
    y = model(x)
    return model.backward(np.eye(y.shape[1], dtype=y.dtype)[classes])


def picture(values: Any) -> list[str]:
    """An image (h, w) in characters, its largest value the darkest."""
    scaled = np.abs(values) / np.abs(values).max() * (len(SHADES) - 1)
    return ["".join(SHADES[round(value)] * 2 for value in row) for row in scaled]


def main(nn: ModuleType, n: int = 1200, epochs: int = 8) -> tuple[float, float, float]:
    """Accuracy; how much the outputs change with the salient pixels, as a share of what dx says; and with others."""
    x, t = digits()
    model = net(nn)
    model.fit(x[:n], t[:n], loss=nn.CrossEntropyLoss(), optimizer=nn.Adam(lr=0.01), epochs=epochs, batch_size=32)
    images, classes = x[n:], t[n:]
    accuracy = float((model.predict_classes(images) == classes).mean())
    slopes = saliency(model, images, classes)
    for index in (0, 5):
        print(f"\na {classes[index]}, and what its output depends on")
        for left, right in zip(picture(images[index, 0]), picture(slopes[index, 0]), strict=True):
            print(f"    {left}    {right}")
    outputs = model.predict(images)[np.arange(len(images)), classes]
    order, step, changes = np.abs(slopes).reshape(len(slopes), -1).argsort(axis=1), 1e-2, []
    for chosen in (order[:, -8:], order[:, :8]):                        # the eight most salient pixels, and the least
        mask = np.zeros((len(images), 64))
        np.put_along_axis(mask, chosen, 1.0, axis=1)
        nudge = step * np.sign(slopes) * mask.reshape(slopes.shape)
        moved = model.predict(images + nudge)[np.arange(len(images)), classes] - outputs
        changes.append(float(moved.mean()))
    said = float((np.abs(slopes).reshape(len(slopes), -1) * step).sum(axis=1).mean())
    print(f"\naccuracy {accuracy:.3f}; of the change that all pixels could make, the 8 most salient ones make "
          f"{changes[0] / said:.0%}, the 8 least salient ones {changes[1] / said:.1%}")
    return accuracy, changes[0] / said, changes[1] / said


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("package", nargs="?", default="fast", choices=("fast", "ref"))
    main(importlib.import_module("fastnn_ref" if parser.parse_args().package == "ref" else "fastnn"))
