"""scikit-learn's MLPClassifier: a whole epoch, since a call costs too much for a single step, and a prediction."""

from typing import Any

import numpy as np

from bench.nets import Net, Work, package
from bench.peers.ours import twenty_batches


def classifier(net: Net) -> Any:
    """A classifier with the hidden layers of ``net``; its initial values are its own."""
    widths = tuple(layer.out_features for layer in net.build(package("fastnn_ref")).layers[:-1])
    return package("sklearn.neural_network").MLPClassifier(widths, alpha=0.0, batch_size=net.batch)


def epoch(net: Net) -> Work:
    """A call of partial_fit is one epoch; it binarizes its targets once."""
    (x, t), model, classes = twenty_batches(net), classifier(net), np.arange(net.classes)
    return lambda: model.partial_fit(x, t, classes=classes)


def predict(net: Net) -> Work | None:
    """Probabilities of one batch."""
    if not net.is_plain():
        return None
    (x, _), model = net.data(), classifier(net)
    model.partial_fit(x, np.zeros(len(x), int), classes=np.arange(net.classes))
    return lambda: model.predict_proba(x)


CANDIDATES: dict[str, Any] = {"epoch": {"scikit-learn": epoch}, "predict": {"scikit-learn": predict}}
