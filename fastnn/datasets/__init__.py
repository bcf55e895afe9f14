"""Data sets: real digits to learn from, small figures to look at; one shape for all of them.

from fastnn.datasets import load_digits
data = load_digits()                       # x_train, t_train, x_test, t_test
"""

from .cifar10 import load_cifar10
from .dataset import Dataset, mislabel, split, standardise
from .digits import load_digits
from .mnist import load_fashion_mnist, load_mnist
from .optdigits import load_optdigits
from .spirals import make_moons, make_spirals

__all__ = [
    "Dataset",
    "load_cifar10",
    "load_digits",
    "load_fashion_mnist",
    "load_mnist",
    "load_optdigits",
    "make_moons",
    "make_spirals",
    "mislabel",
    "split",
    "standardise",
]
