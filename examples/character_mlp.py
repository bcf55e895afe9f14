"""A character MLP: which letter comes after these three? It learns the names of Python's standard modules.

    python examples/character_mlp.py        # with fastnn
    python examples/character_mlp.py ref    # the same with fastnn_ref

Each letter has a row of an ``Embedding``; the rows of a context of three letters are the input of an MLP whose outputs
are the logits of the next one. Letters that the trained model draws one after the other make new names.

Source: Bengio, Ducharme, Vincent and Jauvin, "A neural probabilistic language model" (2003).
"""

import argparse
import importlib
import string
import sys
import time
from types import ModuleType
from typing import Any

import numpy as np

LETTERS = "." + string.ascii_lowercase          # a point stands before a name and behind it
CONTEXT = 3


def contexts(names: list[str]) -> tuple[Any, Any]:
    """(n, 3) numbers of letters, and the number of the letter that follows."""
    x, t = [], []
    for name in names:
        numbers = [LETTERS.index(letter) for letter in f"{'.' * CONTEXT}{name}."]
        for place in range(CONTEXT, len(numbers)):
            x.append(numbers[place - CONTEXT:place])
            t.append(numbers[place])
    return np.array(x), np.array(t)


def draw(model: Any, rng: np.random.Generator) -> str:
    """A name, letter by letter."""
    numbers = [0] * CONTEXT
    while len(numbers) == CONTEXT or (numbers[-1] and len(numbers) < 20):
        p = model.predict_proba([numbers[-CONTEXT:]])[0].astype(float)
        numbers.append(int(rng.choice(len(LETTERS), p=p / p.sum())))
    return "".join(LETTERS[number] for number in numbers).strip(".")


def names() -> Any:
    """Contexts of names to train with and of 30 others, in an order of their own."""
    found = sorted(name.strip("_") for name in sys.stdlib_module_names if name.strip("_").isalpha() and name.islower())
    np.random.default_rng(0).shuffle(found)
    return *contexts(found[30:]), *contexts(found[:30])


def train(nn: ModuleType, data: Any, epochs: int) -> tuple[Any, float]:
    """The model and its mean cross-entropy on names that were held out."""
    x, t, *held = data
    model = nn.Sequential(
        nn.Embedding(len(LETTERS), 8), nn.Flatten(), nn.Linear(8 * CONTEXT, 64, activation="tanh"), nn.Dropout(0.3),
        nn.Linear(64, len(LETTERS)), seed=0, dtype="float32")
    model.fit(x, t, loss=nn.CrossEntropyLoss(), optimizer=nn.AdamW(lr=3e-3), epochs=epochs, batch_size=32,
              validation_data=held, callbacks=[nn.EarlyStopping(patience=10)])
    return model, float(model.evaluate(*held, nn.CrossEntropyLoss())["loss"])


def main(package: str = "fast", epochs: int = 60) -> float:
    """Trains; prints some new names, and returns the mean cross-entropy of names that were held out."""
    start = time.perf_counter()
    model, loss = train(importlib.import_module("fastnn_ref" if package == "ref" else "fastnn"), names(), epochs)
    print(f"{time.perf_counter() - start:.1f} s: cross-entropy {loss:.2f} on names that were held out, "
          f"{np.log(len(LETTERS)):.2f} by guessing")
    rng = np.random.default_rng(0)
    print("new names:", ", ".join(draw(model, rng) for _ in range(10)))
    return loss


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("package", nargs="?", default="fast", choices=("fast", "ref"))
    main(**vars(parser.parse_args()))
