"""From one neuron to a regularized convolutional network, on 300 handwritten digits: what docs/tutorial.md trains.

``python examples/tutorial.py`` trains and times each network (half a minute, on one thread); ``--json FILE`` keeps the
figures. Needs ``pip install "fastnn[train]"``.
"""

import argparse
import hashlib
import itertools
import json
import time
from pathlib import Path

import numpy as np
import plain_python as plain
from threadpoolctl import threadpool_limits

import fastnn
import fastnn_ref
from fastnn.datasets import load_digits

DATA = load_digits()
X, T = DATA.x_train[:300].astype(float), DATA.t_train[:300]
BATCH, LR, EPOCHS = 30, 0.2, 30


class PlainNetwork:
    """Layers of lists, with the initial weights of a model of fastnn_ref, so that all start alike."""

    def __init__(self, widths):
        model = start(fastnn_ref, widths)
        self.layers = [plain.Layer(each.weight.T.tolist(), each.bias.tolist(), relu=each is not model[-1])
                       for each in model.layers]
        self.rows, self.targets = X.tolist(), T.tolist()

    def epoch(self):
        for i in range(0, len(X), BATCH):
            plain.step(self.layers, self.rows[i:i + BATCH], self.targets[i:i + BATCH], LR)

    def outputs(self, x):
        return np.array([plain.predict(self.layers, row) for row in x.tolist()])


def start(nn, widths, dtype="float64"):
    """Linear layers with ReLU between them."""
    last = len(widths) - 2
    return nn.Sequential(*(nn.Linear(a, b, activation=None if i == last else "relu", init="glorot_uniform")
                           for i, (a, b) in enumerate(itertools.pairwise(widths))), seed=0, dtype=dtype)


class Network:
    """A model of either package, trained as the lists are: fixed order, plain gradient descent."""

    def __init__(self, nn, widths, dtype="float64"):
        self.model, self.loss, self.optimizer = start(nn, widths, dtype), nn.CrossEntropyLoss(), nn.SGD(lr=LR)
        self.x = X.astype(dtype)

    def epoch(self):
        self.model.run_epoch(self.x, T, self.loss, self.optimizer, batch_size=BATCH, shuffle=False)

    def outputs(self, x):
        return self.model.predict(x)


def regularized(nn, epochs):
    """A multilayer perceptron with dropout and an L2 penalty."""
    model = nn.Sequential(nn.Linear(64, 128, activation="relu"), nn.Dropout(0.5), nn.Linear(128, 10),
                          penalty=nn.L2(1e-3), seed=0)
    return model, nn.Adam(lr=nn.CosineLR(0.005, epochs * len(X) // BATCH))


def convolutional(nn, epochs):
    """Convolutions share weights over the image; batch normalization, dropout and shifted images regularize."""
    model = nn.Sequential(
        nn.Augment(rotation=10, shift=1),
        nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Dropout(0.5), nn.Linear(128, 10),
        input_shape=(1, 8, 8), seed=0)
    return model, nn.AdamW(lr=nn.CosineLR(0.005, epochs * len(X) // BATCH), weight_decay=1e-2)


class Fitted:
    """A model with its optimizer, trained by ``fit`` in a new order each epoch."""

    def __init__(self, make, epochs, shape=(64,)):
        self.model, self.optimizer = make(fastnn, epochs)
        self.loss, self.shape = fastnn.CrossEntropyLoss(), shape
        self.x = X.reshape(-1, *shape).astype("float32")

    def epoch(self):
        self.model.fit(self.x, T, loss=self.loss, optimizer=self.optimizer, epochs=1, batch_size=BATCH)

    def outputs(self, x):
        return self.model.predict(x.reshape(-1, *self.shape))


# name → (how it is made, epochs)
STEPS = {
    "layer": (lambda: PlainNetwork((64, 10)), EPOCHS),
    "hidden": (lambda: PlainNetwork((64, 32, 10)), EPOCHS),
    "reference": (lambda: Network(fastnn_ref, (64, 32, 10)), EPOCHS),
    "engine": (lambda: Network(fastnn, (64, 32, 10)), EPOCHS),
    "engine32": (lambda: Network(fastnn, (64, 32, 10), "float32"), EPOCHS),
    "regularized": (lambda: Fitted(regularized, 200), 200),
    "convolutional": (lambda: Fitted(convolutional, 200, (1, 8, 8)), 200),
}


def sources():
    """The sha256 of this file and of plain_python.py: figures with another one are stale."""
    files = [Path(__file__).with_name(name) for name in ("plain_python.py", "tutorial.py")]
    return hashlib.sha256(b"".join(each.read_bytes() for each in files)).hexdigest()


def main(rounds=7):
    """Name → accuracy on 450 held-out digits, epochs, and the least CPU seconds of an epoch, all timed in turns."""
    fastnn.set_num_threads(1)
    found, trained = {}, {}
    with threadpool_limits(1):
        for name, (make, epochs) in STEPS.items():
            network = trained[name] = make()
            for _ in range(epochs):
                network.epoch()
            right = network.outputs(DATA.x_test.astype(network.x.dtype if hasattr(network, "x") else float))
            found[name] = {"accuracy": 100 * float((right.argmax(1) == DATA.t_test).mean()), "epochs": epochs}
        outputs = {name: trained[name].outputs(X) for name in ("hidden", "reference", "engine")}
        seconds = {name: [] for name in STEPS}
        for _ in range(rounds):
            for name, network in trained.items():
                count = 1 if isinstance(network, PlainNetwork) else 5
                began = time.thread_time()
                for _ in range(count):
                    network.epoch()
                seconds[name].append((time.thread_time() - began) / count)
    for name, each in seconds.items():
        found[name]["seconds"] = min(each)
    for name in ("reference", "engine"):
        found[name]["apart"] = float(abs(outputs[name] - outputs["hidden"]).max())
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", help="keep the figures in this file")
    chosen = parser.parse_args()
    figures = main()
    for name, each in figures.items():
        print(f"{name:14} {each['accuracy']:5.1f} %  {each['epochs']:3} epochs  {1e3 * each['seconds']:8.3f} ms each")
    if chosen.json:
        Path(chosen.json).write_text(json.dumps({"sources": sources(), "steps": figures}, indent=1) + "\n", "utf-8")
