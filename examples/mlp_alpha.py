"""scikit-learn's study of ``alpha``, with another import: the more weights cost, the smoother is what divides classes.

    python examples/mlp_alpha.py                        # a table of scores
    python examples/mlp_alpha.py --picture FILE         # and the plane as each of them divides it

Source: scikit-learn's plot_mlp_alpha.py. Needs scikit-learn.
"""

import argparse
import warnings
from types import ModuleType
from typing import Any

import numpy as np
from sklearn.datasets import make_circles, make_classification, make_moons
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

ALPHAS = np.logspace(-1, 1, 5)


def tasks() -> Any:
    """name → (x to train with, to test with, classes of both)."""
    rng = np.random.RandomState(2)
    x, y = make_classification(n_features=2, n_redundant=0, n_informative=2, random_state=0, n_clusters_per_class=1)
    found = {"moons": make_moons(noise=0.3, random_state=0),
             "circles": make_circles(noise=0.2, factor=0.5, random_state=1),
             "two clouds": (x + 2 * rng.uniform(size=x.shape), y)}
    return {name: train_test_split(*data, test_size=0.4, random_state=42) for name, data in found.items()}


def train(neural_network: ModuleType, data: Any, epochs: int) -> Any:
    """(fitted pipeline, its score) by task and alpha; the module is ``fastnn.sklearn`` or scikit-learn's own."""
    found = {}
    for name, (x, x_test, y, y_test) in data.items():
        for alpha in ALPHAS:
            model = make_pipeline(StandardScaler(), neural_network.MLPClassifier(
                solver="lbfgs", alpha=alpha, random_state=1, max_iter=epochs,
                hidden_layer_sizes=(10, 10)))
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)
                found[name, alpha] = model.fit(x, y), model.score(x_test, y_test)
    return found


def draw(found: Any, data: Any, path: str) -> None:
    """A row for each task, a column for each alpha."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 7), layout="constrained")
    axes = figure.subplots(len(data), len(ALPHAS)).flat
    for ax, ((name, alpha), (model, score)) in zip(axes, found.items(), strict=True):
        x, x_test, y, y_test = data[name]
        (left, bottom), (right, top) = np.min(x, axis=0) - 0.5, np.max(x, axis=0) + 0.5
        a, b = np.meshgrid(np.linspace(left, right, 100), np.linspace(bottom, top, 100))
        z = model.predict_proba(np.column_stack([a.ravel(), b.ravel()]))[:, 1].reshape(a.shape)
        ax.contourf(a, b, z, cmap="RdBu", alpha=0.8)
        ax.scatter(*x.T, c=y, cmap="bwr_r", edgecolors="white", linewidths=0.5, s=20)
        ax.scatter(*x_test.T, c=y_test, cmap="bwr_r", edgecolors="white", linewidths=0.5, s=20, alpha=0.5)
        ax.set(title=f"{name}, α {alpha:.2f}: {score:.2f}", xticks=[], yticks=[])
    figure.savefig(path)


def main(picture: str | None = None, epochs: int = 2000) -> dict[tuple[str, float], float]:
    """Prints and returns the scores on held-out points."""
    import fastnn.sklearn

    data = tasks()
    found = train(fastnn.sklearn, data, epochs)
    print(" " * 12 + " ".join(f"α {alpha:5.2f}" for alpha in ALPHAS))
    for name in data:
        print(f"{name:12}" + " ".join(f"{found[name, alpha][1]:7.2f}" for alpha in ALPHAS))
    if picture is not None:
        draw(found, data, picture)
    return {key: float(score) for key, (_, score) in found.items()}


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--picture", metavar="FILE")
    main(**vars(parser.parse_args()))
