"""Keras's own programs, and those that came from its examples, in Keras's words, on the backend PyTorch.

``KERAS_BACKEND`` chooses another one, which has to be installed.
"""

import os
from typing import Any

from bench.nets import package
from bench.programs.examples import structured, wide_and_deep

os.environ.setdefault("KERAS_BACKEND", "torch")
keras: Any = package("keras")       # not `import`: the types are checked where it is missing, too
layers: Any = keras.layers


def kerass_mnist(data: Any, epochs: int) -> float:
    x, t, x_test, t_test = data
    model = keras.Sequential([
        layers.Permute((2, 3, 1)), layers.Conv2D(32, 3, activation="relu"), layers.MaxPooling2D(2),
        layers.Conv2D(64, 3, activation="relu"), layers.MaxPooling2D(2), layers.Flatten(), layers.Dropout(0.5),
        layers.Dense(10, activation="softmax")])
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(x, t, batch_size=128, epochs=epochs, validation_split=0.1, verbose=0)
    return float(model.evaluate(x_test, t_test, batch_size=1024, verbose=0)[1])


def imbalanced(data: Any, epochs: int) -> dict[str, float]:
    x, t, x_test, t_test = data
    model = keras.Sequential([
        layers.Dense(64, activation="relu"), layers.Dense(64, activation="relu"), layers.Dropout(0.3),
        layers.Dense(64, activation="relu"), layers.Dropout(0.3), layers.Dense(1, activation="sigmoid")])
    model.compile("adam", "binary_crossentropy", metrics=[
        keras.metrics.BinaryAccuracy(name="accuracy"), keras.metrics.Precision(name="precision"),
        keras.metrics.Recall(name="recall"), keras.metrics.AUC(name="roc_auc"),
        keras.metrics.AUC(curve="PR", name="average_precision")])
    weights = {0: len(t) / (2 * (1 - t).sum()), 1: len(t) / (2 * t.sum())}
    model.fit(x, t, batch_size=512, epochs=epochs, class_weight=weights, verbose=0)
    found: dict[str, float] = model.evaluate(x_test, t_test, batch_size=1024, verbose=0, return_dict=True)
    return found


def column(x: Any, start: int, stop: int) -> Any:
    """Columns of x, as a layer; one column is a category, (n,)."""
    return layers.Lambda(lambda x: x[:, start:stop] if stop > start + 1 else x[:, start])(x)


def structured_data(data: Any, epochs: int) -> float:
    x, t, x_test, t_test = data
    given = keras.Input((x.shape[1],))
    parts = [layers.BatchNormalization()(column(given, 0, structured.NUMBERS))]
    for place, count in enumerate(structured.CATEGORIES, start=structured.NUMBERS):
        parts.append(layers.Embedding(count, 3)(column(given, place, place + 1)))
    hidden = layers.Dense(32, activation="relu")(layers.Concatenate()(parts))
    model = keras.Model(given, layers.Dense(1, activation="sigmoid")(layers.Dropout(0.5)(hidden)))
    model.compile(keras.optimizers.Adam(3e-3), "binary_crossentropy", metrics=[keras.metrics.AUC()])
    model.fit(x, t, batch_size=32, epochs=epochs, verbose=0)
    return float(model.evaluate(x_test, t_test, batch_size=1024, verbose=0)[1])


def wide_and_deep_model(data: Any, epochs: int) -> float:
    """One rate for both parts: Keras's Adam has no groups of parameters."""
    x, t, x_test, t_test = data
    given = keras.Input((3,))
    user, item, pair = (column(given, place, place + 1) for place in range(3))
    both = layers.Concatenate()([layers.Embedding(wide_and_deep.USERS, 6)(user),
                                 layers.Embedding(wide_and_deep.ITEMS, 6)(item)])
    deep = layers.Dense(1)(layers.Dense(32, activation="relu")(both))
    wide = layers.Embedding(wide_and_deep.USERS * wide_and_deep.ITEMS, 1, embeddings_initializer="zeros")(pair)
    model = keras.Model(given, layers.Activation("sigmoid")(layers.Add()([wide, deep])))
    model.compile(keras.optimizers.Adam(3e-3), "binary_crossentropy", metrics=["binary_accuracy"])
    model.fit(x, t, batch_size=64, epochs=epochs, verbose=0)
    return float(model.evaluate(x_test, t_test, batch_size=1024, verbose=0)[1])
