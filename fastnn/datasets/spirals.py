"""Figures in the plane that no straight line divides: two spirals, two moons."""

import numpy as np

from fastnn_ref import philox
from fastnn_ref.shared import checks

from ..extras import extra
from .dataset import Dataset, as_seed, split


def make_spirals(
    n: int = 1000, turns: float = 1.75, noise: float = 0.02, test_size: float = 0.25, seed: int = 0
) -> Dataset:
    """Two spirals, one inside the other: n points (x, y) in about [-1, 1], classes 0 and 1.

    r = u, angle = 2 pi turns u + pi class, u = sqrt(U(0, 1)) so that the points lie evenly along the arms;
    ``noise`` is the deviation of the normal noise added to both coordinates.

    >>> from fastnn.datasets import make_spirals
    >>> make_spirals(n=100).x_train.shape
    (75, 2)
    """
    n, turns = checks.as_integer("n", n, 1), checks.as_number("turns", turns)
    noise = checks.as_number("noise", noise, 0)
    random = np.random.default_rng(as_seed(seed))
    t = np.arange(n) % 2
    r = np.sqrt(random.random(n))
    # Not NumPy's own cosine and sine, whose last bits are others on a CPU with AVX-512.
    x = r[:, None] * np.stack(philox.cos_sin((turns * r + t / 2) % 1), axis=1)  # (n, 2)
    return split("two spirals", x + noise * random.standard_normal(x.shape), t, test_size, seed)


def make_moons(n: int = 1000, noise: float = 0.1, test_size: float = 0.25, seed: int = 0) -> Dataset:
    """Two half moons, one inside the other (scikit-learn's): n points (x, y), classes 0 and 1.

    >>> from fastnn.datasets import make_moons
    >>> make_moons(n=100).x_train.shape
    (75, 2)
    """
    with extra("train"):
        from sklearn import datasets
    n, noise = checks.as_integer("n", n, 1), checks.as_number("noise", noise, 0)
    x, t = datasets.make_moons(n, noise=noise, random_state=as_seed(seed))
    return split("two moons", x, t, test_size, seed)
