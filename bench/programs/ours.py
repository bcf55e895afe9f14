"""Public programs in fastnn's words, as far as they are no example: Nielsen's, micrograd's, d2l's and scikit-learn's.

Each function takes a package (``fastnn``, ``fastnn_ref``), or, for scikit-learn's programs, a module with an
``MLPClassifier``; the data, and how many epochs there are.
"""

import warnings
from types import ModuleType
from typing import Any

import numpy as np

# ---- data ----


def mnist(rows: int) -> Any:
    """x (n, 784) and t, to train with, and as many to test with, as far as there are."""
    from fastnn import datasets

    data = datasets.load_mnist()
    return data.x_train[:rows], data.t_train[:rows], data.x_test[:rows], data.t_test[:rows]


def mnist_images(rows: int) -> Any:
    """x (n, 1, 28, 28)."""
    x, t, x_test, t_test = mnist(rows)
    return x.reshape(-1, 1, 28, 28), t, x_test.reshape(-1, 1, 28, 28), t_test


def moons(rows: int) -> Any:
    """x (n, 2) and labels 0 and 1 (n, 1)."""
    from sklearn.datasets import make_moons

    x, t = make_moons(rows, noise=0.1, random_state=1)
    return x.astype(np.float32), t[:, None].astype(np.float32)


def many_inputs(rows: int) -> Any:
    """A linear function of 200 inputs, a few noisy values of it to train with, and 100 to test with."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(rows + 100, 200)).astype(np.float32)
    t = (0.05 + 0.01 * x.sum(axis=1, keepdims=True) + 0.01 * rng.normal(size=(len(x), 1))).astype(np.float32)
    return x[:rows], t[:rows], x[rows:], t[rows:]


def handwritten_digits(rows: int) -> Any:
    """scikit-learn's digits, halved without a shuffle as in its own program."""
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    x, y, half = x[:rows] / 16, y[:rows], min(rows, len(x)) // 2
    return x[:half], y[:half], x[half:], y[half:]


def small_sets(rows: int) -> Any:
    """name → (x, y), scaled to 0 … 1."""
    from sklearn import datasets
    from sklearn.preprocessing import MinMaxScaler

    found = {"iris": datasets.load_iris(return_X_y=True), "digits": datasets.load_digits(return_X_y=True),
             "circles": datasets.make_circles(noise=0.2, factor=0.5, random_state=1),
             "moons": datasets.make_moons(noise=0.3, random_state=0)}
    return {name: (MinMaxScaler().fit_transform(x[:rows]), y[:rows]) for name, (x, y) in found.items()}


# ---- Nielsen, "Neural networks and deep learning" (2015), network2.py ----


def network2(nn: ModuleType, data: Any, epochs: int) -> float:
    """Sigmoids, the cross-entropy of each output, λ = 5; his loss is a sum over 10 outputs, where ours is a mean."""
    x, t, x_test, t_test = data
    model = nn.Sequential(
        nn.Linear(784, 30, activation="sigmoid", init="lecun_normal"), nn.Linear(30, 10, init="lecun_normal"),
        seed=0, dtype="float32", penalty=nn.L2(5.0 / len(x) / 10))
    model.fit(x, np.eye(10)[t], loss=nn.BCEWithLogitsLoss(), optimizer=nn.SGD(lr=0.5 * 10), epochs=epochs,
              batch_size=10, validation_data=(x_test, np.eye(10)[t_test]), metrics=("accuracy",))
    return float((model.predict_classes(x_test) == t_test).mean())


# ---- micrograd's demo: two moons, a hinge loss ----


def micrograd(nn: ModuleType, data: Any, epochs: int) -> float:
    """All points in each step; the rate falls from 1 to 0.1; α·Σp² of all parameters."""
    x, t = data
    model = nn.Sequential(
        nn.Linear(2, 16, activation="relu"), nn.Linear(16, 16, activation="relu"), nn.Linear(16, 1), seed=0,
        dtype="float32", penalty=nn.L2(2e-4, biases=True))
    schedule = nn.LinearLR(1.0, start_factor=1.0, end_factor=0.1)
    model.fit(x, t, loss=nn.HingeLoss(), optimizer=nn.SGD(lr=schedule), epochs=epochs, batch_size=len(x))
    return float(model.evaluate(x, t, nn.HingeLoss(), metrics=("accuracy",))["accuracy"])


# ---- Zhang et al., "Dive into deep learning" (2021), on dropout and on weight decay ----


def d2l_dropout(nn: ModuleType, data: Any, epochs: int) -> float:
    """Two hidden layers, half of each left out."""
    x, t, x_test, t_test = data
    model = nn.Sequential(
        nn.Linear(784, 256, activation="relu"), nn.Dropout(0.5), nn.Linear(256, 256, activation="relu"),
        nn.Dropout(0.5), nn.Linear(256, 10), seed=0, dtype="float32")
    model.fit(x, t, loss=nn.CrossEntropyLoss(), optimizer=nn.SGD(lr=0.1), epochs=epochs, batch_size=256)
    return float(model.evaluate(x_test, t_test, nn.CrossEntropyLoss(), metrics=("accuracy",))["accuracy"])


def d2l_weight_decay(nn: ModuleType, data: Any, epochs: int) -> float:
    """200 weights, 20 rows; the decay is that of the weights, not of the bias."""
    x, t, x_test, t_test = data
    model = nn.Sequential(nn.Linear(200, 1, init="normal"), seed=0, dtype="float32")
    model.fit(x, t, loss=nn.MSELoss(), optimizer=nn.SGD(lr=0.01, weight_decay=3.0), epochs=epochs, batch_size=5)
    return float(model.evaluate(x_test, t_test, nn.MSELoss())["loss"])


# ---- scikit-learn's examples: plot_mnist_filters, plot_mlp_training_curves, digits ----

STRATEGIES = [
    {"learning_rate": "constant", "momentum": 0, "learning_rate_init": 0.2},
    {"learning_rate": "constant", "momentum": 0.9, "nesterovs_momentum": False, "learning_rate_init": 0.2},
    {"learning_rate": "constant", "momentum": 0.9, "nesterovs_momentum": True, "learning_rate_init": 0.2},
    {"learning_rate": "invscaling", "momentum": 0, "learning_rate_init": 0.2},
    {"learning_rate": "invscaling", "momentum": 0.9, "nesterovs_momentum": True, "learning_rate_init": 0.2},
    {"learning_rate": "invscaling", "momentum": 0.9, "nesterovs_momentum": False, "learning_rate_init": 0.2},
    {"solver": "adam", "learning_rate_init": 0.01},
]


def mnist_filters(neural_network: ModuleType, data: Any, epochs: int) -> float:
    """40 units on MNIST, whose weights are pictures."""
    x, y, x_test, y_test = data
    mlp = neural_network.MLPClassifier((40,), max_iter=epochs, alpha=1e-4, solver="sgd", random_state=1,
                                       learning_rate_init=0.2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")             # that it has not converged
        mlp.fit(x, y)
    assert mlp.coefs_[0].T.reshape(40, 28, 28).any()
    return float(mlp.score(x_test, y_test))


def learning_strategies(neural_network: ModuleType, data: Any, epochs: int) -> float:
    """Seven ways to learn on four sets; the mean of the training accuracies."""
    scores = []
    for name, (x, y) in data.items():
        for strategy in STRATEGIES:
            mlp = neural_network.MLPClassifier(**{"solver": "sgd", **strategy}, random_state=0,
                                               max_iter=max(1, epochs // 25) if name == "digits" else epochs)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                mlp.fit(x, y)
            scores.append(mlp.score(x, y))
    return float(np.mean(scores))


def digits(neural_network: ModuleType, data: Any, epochs: int) -> float:
    """A hidden layer of 64 units."""
    x, y, x_test, y_test = data
    mlp = neural_network.MLPClassifier((64,), random_state=0, max_iter=epochs)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mlp.fit(x, y)
    return float(mlp.score(x_test, y_test))
