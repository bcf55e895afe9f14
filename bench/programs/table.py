"""The programs: who else runs them, on which rows, for how many epochs, and what their score is."""

import functools
import importlib
import inspect
import io
import operator
import sys
import tokenize
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from bench.nets import package
from bench.peers import installed
from bench.programs import examples, ours
from tools.measure_house import code_lines

Train = Callable[[Any, int], Any]               # of data and epochs


class Size(NamedTuple):
    """Rows to train with, as far as there are more, and epochs (steps of the GAN)."""

    rows: int
    epochs: int


class Program(NamedTuple):
    """``train`` takes a package; ``peer`` is a function of torch.py, and for some also of keras.py, or None for
    scikit-learn's own estimators."""

    name: str
    score: str
    train: Callable[[Any, Any, int], Any]
    peer: str | None
    data: Callable[[int], Any]                  # of the number of rows
    sizes: dict[str, Size]                      # test, small, full
    value: Callable[[Any], float] = float       # the score in what ``train`` returns
    mnist: bool = False

    def candidates(self) -> dict[str, Callable[..., Any]]:
        """Who runs it: a function of data and epochs for each."""
        nn = package("fastnn" if self.peer else "fastnn.sklearn")
        found: dict[str, Callable[..., Any]] = {"fastnn": functools.partial(self.train, nn)}
        if self.peer is None:
            found["scikit-learn"] = functools.partial(self.train, package("sklearn.neural_network"))
            return found
        for library in filter(installed, ("torch", "keras")):
            if (side := getattr(importlib.import_module(f"bench.programs.{library}"), self.peer, None)) is not None:
                found[library] = side
        return found


def sizes(test: tuple[int, int], small: tuple[int, int], full: tuple[int, int] | None = None) -> dict[str, Size]:
    """By name."""
    return {"test": Size(*test), "small": Size(*small), "full": Size(*(full or small))}


def patients(rows: int) -> Any:
    """As many to test with."""
    return *examples.structured.patients(rows, 0), *examples.structured.patients(rows, 1)


def ratings(rows: int) -> Any:
    """Other ratings of the same people to test with."""
    return *examples.wide_and_deep.ratings(rows), *examples.wide_and_deep.ratings(4000, seed=1)


LAST = operator.itemgetter(-1)
ALL = 10**9
OWN = ("examples.", "bench.programs.")            # modules whose lines count
PROGRAMS = [
    Program("PyTorch: MNIST", "accuracy", examples.mnist_cnn.train_pytorchs, "pytorchs_mnist", ours.mnist_images,
            sizes((600, 1), (2000, 2), (ALL, 14)), mnist=True),
    Program("Keras: MNIST", "accuracy", examples.mnist_cnn.train_kerass, "kerass_mnist", ours.mnist_images,
            sizes((600, 1), (4000, 2), (ALL, 15)), mnist=True),
    Program("Keras: imbalanced data", "average precision", examples.imbalanced.train, "imbalanced",
            examples.imbalanced.transactions, sizes((10_000, 10), (20_000, 20), (100_000, 30)),
            operator.itemgetter("average_precision")),
    Program("Keras: structured data", "ROC AUC", examples.structured.train, "structured_data", patients,
            sizes((600, 20), (1500, 30))),
    Program("scikit-learn: alpha", "mean accuracy", examples.mlp_alpha.train, None,
            lambda _: examples.mlp_alpha.tasks(), sizes((ALL, 50), (ALL, 2000)),
            lambda found: float(sum(score for _, score in found.values()) / len(found))),
    Program("scikit-learn: MNIST filters", "accuracy", ours.mnist_filters, None, ours.mnist,
            sizes((1000, 2), (10_000, 4), (ALL, 8)), mnist=True),
    Program("scikit-learn: strategies", "mean accuracy", ours.learning_strategies, None, ours.small_sets,
            sizes((300, 25), (ALL, 100), (ALL, 400))),
    Program("scikit-learn: digits", "accuracy", ours.digits, None, ours.handwritten_digits,
            sizes((600, 30), (ALL, 100))),
    Program("Nielsen: network2", "accuracy", ours.network2, "network2", ours.mnist,
            sizes((1000, 3), (10_000, 3), (50_000, 30)), mnist=True),
    Program("micrograd: moons", "accuracy", ours.micrograd, "micrograd", ours.moons, sizes((100, 100), (100, 100))),
    Program("d2l: dropout", "accuracy", ours.d2l_dropout, "d2l_dropout", ours.mnist,
            sizes((2000, 3), (10_000, 5), (ALL, 10)), mnist=True),
    Program("d2l: weight decay", "squared error", ours.d2l_weight_decay, "d2l_weight_decay", ours.many_inputs,
            sizes((20, 10), (20, 100))),
    Program("character MLP", "cross-entropy", examples.character_mlp.train, "characters",
            lambda _: examples.character_mlp.names(), sizes((ALL, 10), (ALL, 60)), LAST),
    Program("autoencoder", "squared error", examples.autoencoder.train, "autoencoder",
            lambda _: examples.autoencoder.digits(), sizes((ALL, 10), (ALL, 60)), LAST),
    Program("wide and deep", "accuracy", examples.wide_and_deep.train, "wide_and_deep_model", ratings,
            sizes((2500, 20), (2500, 30))),
    Program("small GAN", "distance", examples.gan.train, "small_gan", np.random.default_rng,
            sizes((0, 600), (0, 2000), (0, 3000)), lambda found: examples.gan.measure(found)[0]),
    Program("diabetes", "R²", examples.regression.train, "diabetes", lambda _: examples.regression.diabetes(),
            sizes((ALL, 30), (ALL, 200)), operator.itemgetter(0)),
]


# ---- lines ----


def called(function: Any, found: dict[str, Any]) -> dict[str, Any]:
    """The function, and what it calls or makes that stands in these files, by name."""
    while isinstance(function, functools.partial):
        function = function.func
    if function.__name__ not in found:
        found[function.__name__] = function
        text = inspect.getsource(function)
        words = {token.string for token in tokenize.generate_tokens(io.StringIO(text).readline)
                 if token.type == tokenize.NAME}
        for word, other in vars(sys.modules[function.__module__]).items():
            own = (inspect.isfunction(other) or inspect.isclass(other)) and other.__module__.startswith(OWN)
            if own and word in words:
                called(other, found)
    return found


def count_lines(function: Any) -> int:
    """Lines of code of a program, without docstrings."""
    return sum(len(code_lines(inspect.getsource(each))) for each in called(function, {}).values())
