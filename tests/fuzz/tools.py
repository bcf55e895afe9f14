"""What a program may call besides the package itself: data, and classes of a user who makes mistakes.

A program is a list of Python lines. ``namespace(nn)`` is what they see; ``nn`` is one of the two packages.
"""

import copy
import gc
import pickle
import threading
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


def data(seed: int, *shape: int) -> Array:
    """Normal numbers."""
    return np.random.default_rng([seed, *shape]).normal(size=shape)


def labels(seed: int, n: int, k: int) -> Array:
    """Class numbers."""
    return np.random.default_rng([seed, n, k]).integers(max(k, 1), size=n)


def unaligned(values: Array) -> Array:
    """The same numbers, one byte beside where the processor wants them."""
    memory = np.zeros(values.nbytes + 1, np.uint8)
    view = memory[1:].view(np.uint8)[: values.nbytes].view(values.dtype).reshape(values.shape)
    view[...] = values
    return view


def read_only(values: Array) -> Array:
    values = values.copy()
    values.flags.writeable = False
    return values


def spoiled(values: Array, number: float) -> Array:
    """The same with one number in the middle replaced."""
    values = np.array(values, np.float64)
    values.flat[values.size // 2:values.size // 2 + 1] = number
    return values


class Strange(np.ndarray):
    """A subclass of an array."""


def layer(nn: Any, fault: str, size: int) -> Any:
    """A user's layer y = x · weight, with one mistake."""

    class Scale(nn.CustomLayer):
        def __init__(self, size: int) -> None:
            self.size = size
            self.add("weight", (size,), "ones")

        def output_shape(self, shape: tuple[int, ...]) -> Any:
            return {"lies": (self.size + 3,), "shape": 7, "huge": (2**40,), "negative": (-1,)}.get(fault, shape)

        def forward_pass(self, x: Array, training: bool) -> Any:
            self.saved = x
            y = x * self.values["weight"]
            return fault_of(fault, "forward", y, self)

        def backward_pass(self, dy: Array) -> Any:
            if fault != "no gradient":
                self.set_gradients((dy * self.saved).sum(axis=0))
            return fault_of(fault, "backward", dy * self.values["weight"], self)

    return Scale(size)


def fault_of(fault: str, when: str, value: Array, owner: Any) -> Any:
    """``value``, or what the mistake makes of it."""
    kind, _, where = fault.partition(" ")
    if where not in ("", when):
        return value
    if kind == "raises":
        raise KeyError("the user's own")
    if kind == "trains":
        owner.model.fit(np.ones((2, 3)), np.zeros((2, 3)), loss=owner.nn.MSELoss(), optimizer=owner.nn.SGD())
    wrong: dict[str, Callable[[], Any]] = {
        "short": lambda: value[:-1], "wide": lambda: np.concatenate([value, value], axis=-1), "none": lambda: None,
        "number": lambda: 1.0, "words": lambda: np.full(value.shape, "a"), "complex": lambda: value * 1j,
        "float16": lambda: value.astype(np.float16), "nan": lambda: value * np.nan, "turned": lambda: value.T,
        "list": value.tolist,
    }
    return wrong.get(kind, lambda: value)()


LAYER_FAULTS = ["lies", "shape", "huge", "negative", "no gradient", "none", *(
    f"{kind} {when}" for when in ("forward", "backward")
    for kind in ("right", "raises", "short", "wide", "none", "number", "words", "complex", "float16", "nan", "turned",
                 "list"))]


def loss(nn: Any, fault: str) -> Any:
    """A user's squared error, with one mistake."""

    class Own(nn.CustomLoss):
        def value_and_gradient(self, y: Array, t: Array, weights: Array) -> Any:
            value = float(((y - t) ** 2).mean())
            if fault == "no pair":
                return value
            return (np.array([value, value]) if fault == "two values" else value,
                    fault_of(fault, "backward", 2 * (y - t) / y.size, self))

    return Own()


LOSS_FAULTS = ["right", "no pair", "two values", "raises", "short", "wide", "none", "number", "words", "nan"]


def optimizer(nn: Any, fault: str) -> Any:
    """A user's gradient descent, with one mistake."""

    class Own(nn.CustomOptimizer):
        slots = ("memory",)

        def update(self, w: Array, g: Array, lr: float, decay: float, memory: Array) -> None:
            if fault == "raises":
                raise KeyError("the user's own")
            if fault == "resizes":
                memory.resize(1)
            memory += 1
            w -= lr * g * (np.nan if fault == "nan" else 1)

    return Own(lr=0.01)


OPTIMIZER_FAULTS = ["right", "raises", "resizes", "nan"]


def callback(nn: Any, event: str, action: str, scope: dict[str, Any]) -> Any:
    """Runs ``action``, a line of the program, at an event; its exceptions leave it."""

    def act(*_: Any) -> None:
        exec(action, scope)

    return nn.LambdaCallback(**{event: act})


def raise_first(errors: list[BaseException]) -> None:
    """Raises the first of them, if any, and leaves no circle behind, which would keep what the traceback has: a
    wrapper of a model, and the model could not go into another one."""
    if errors:
        error = errors[0]
        errors.clear()
        try:
            raise error
        finally:
            del error


def in_thread(action: str, scope: dict[str, Any]) -> None:
    """Runs ``action`` in another thread and waits for it; its exception comes out here."""
    errors: list[BaseException] = []

    def act() -> None:
        try:
            exec(action, scope)
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=act)
    thread.start()
    thread.join()
    raise_first(errors)


def at_once(action: str, scope: dict[str, Any], count: int = 3) -> list[Any]:
    """Evaluates ``action`` in several threads at once; their values, or the first exception."""
    start, values, errors = threading.Barrier(count), [], []

    def act() -> None:
        start.wait()
        try:
            values.append(eval(action, scope))
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=act) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    raise_first(errors)
    return values


def schedule(kind: str) -> Callable[[int], Any]:
    """A learning rate as a function of the step."""
    wrong = {"none": None, "negative": -1.0, "nan": float("nan"), "word": "a", "array": np.ones(3), "huge": 1e300}

    def rate(step: int) -> Any:
        if kind == "raises":
            raise KeyError("the user's own")
        return wrong.get(kind, 0.01 / (1 + step))

    return rate


SCHEDULES = ["right", "none", "negative", "nan", "word", "array", "huge", "raises"]


def namespace(nn: Any) -> dict[str, Any]:
    """The names that a program sees."""
    found: dict[str, Any] = {
        "nn": nn, "np": np, "copy": copy, "pickle": pickle, "gc": gc, "warnings": warnings, "data": data,
        "labels": labels, "unaligned": unaligned, "read_only": read_only, "spoiled": spoiled, "Strange": Strange,
        "own_layer": lambda fault, size: layer(nn, fault, size), "own_loss": lambda fault: loss(nn, fault),
        "own_optimizer": lambda fault: optimizer(nn, fault), "schedule": schedule,
        "nan": float("nan"), "inf": float("inf"), "state": {}, "slots": {}, "training": {}, "other": None,
    }
    found["in_thread"] = lambda action: in_thread(action, found)
    found["at_once"] = lambda action: at_once(action, found)
    found["on"] = lambda event, action: callback(nn, event, action, found)
    return found
