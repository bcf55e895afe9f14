"""Wide and deep: one branch learns exceptions by heart, another one learns the rule, and both are trained together.

    python examples/wide_and_deep.py        # with fastnn
    python examples/wide_and_deep.py ref    # the same with fastnn_ref

Users rate items. A rating follows from what kind of user and item they are, apart from some pairs that are exceptions.
An input has three columns: the user's number, the item's, and the number of the pair. The wide branch has a weight for
each pair; the deep one has embeddings of users and items. ``Parallel`` adds what they say.

Source: Cheng et al., "Wide & deep learning for recommender systems" (2016).
"""

import argparse
import importlib
import time
from types import ModuleType
from typing import Any

import numpy as np

USERS, ITEMS, KINDS = 40, 30, 4


def ratings(n: int, seed: int = 0) -> tuple[Any, Any]:
    """Inputs (n, 3), whole numbers, and whether the user liked the item (n, 1); one pair of eight is an exception."""
    rng = np.random.default_rng(7)
    rule = rng.normal(size=(KINDS, KINDS))[rng.integers(KINDS, size=USERS)][:, rng.integers(KINDS, size=ITEMS)]
    likes = (rule > 0) ^ (rng.random((USERS, ITEMS)) < 1 / 8)
    rng = np.random.default_rng(seed)
    user, item = rng.integers(USERS, size=n), rng.integers(ITEMS, size=n)
    return np.stack([user, item, user * ITEMS + item], axis=1), likes[user, item].astype(float)[:, None]


def wide(nn: ModuleType) -> Any:
    """A weight for each pair."""
    return nn.Sequential(nn.Select(2, 3), nn.Embedding(USERS * ITEMS, 1, init="zeros"), nn.Flatten())


def deep(nn: ModuleType) -> Any:
    """Embeddings of user and item, and hidden layers."""
    return nn.Sequential(
        nn.Parallel(nn.Sequential(nn.Select(0, 1), nn.Embedding(USERS, 6), nn.Flatten()),
                    nn.Sequential(nn.Select(1, 2), nn.Embedding(ITEMS, 6), nn.Flatten())),
        nn.Linear(12, 32, activation="relu"), nn.Linear(32, 1))


def train(nn: ModuleType, data: Any, epochs: int, name: str = "wide and deep") -> float:
    """Accuracy on other ratings of the same people."""
    x, t, x_test, t_test = data
    branches = [part(nn) for part in (wide, deep) if part.__name__ in name]
    if "wide" in name:
        branches[0].lr_scale = 10.0         # a weight is seen once in 1200 rows
    model = nn.Sequential(nn.Parallel(*branches, merge="add"), seed=0, dtype="float32")
    model.fit(x, t, loss=nn.BCEWithLogitsLoss(), optimizer=nn.Adam(lr=3e-3), epochs=epochs, batch_size=64)
    return float(model.evaluate(x_test, t_test, nn.BCEWithLogitsLoss(), metrics=("accuracy",))["accuracy"])


def main(package: str = "fast", epochs: int = 30) -> dict[str, float]:
    """Trains the branches alone and together; prints and returns their accuracy."""
    nn = importlib.import_module("fastnn_ref" if package == "ref" else "fastnn")
    data, found = (*ratings(2500), *ratings(4000, seed=1)), {}
    for name in ("wide", "deep", "wide and deep"):
        start = time.perf_counter()
        found[name] = train(nn, data, epochs, name)
        print(f"{name:14} {epochs} epochs in {time.perf_counter() - start:4.1f} s: {found[name]:.1%} right")
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("package", nargs="?", default="fast", choices=("fast", "ref"))
    main(**vars(parser.parse_args()))
