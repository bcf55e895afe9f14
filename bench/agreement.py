"""How far apart: ``python -m bench.agreement`` measures each public class and prints a row for it, as Markdown.

    float64, float32    the engine's numbers against the reference's in float64
    differences         the reference's gradients against central differences
    PyTorch             the reference's numbers against PyTorch's, where PyTorch has such a class
    speed               processor time of the reference by that of the engine, which other work on the machine spoils
                        least: float32, one thread, sizes as in ``SIZES``

An error is the largest one of any case in ``tests/cases.py``, relative to the largest value of its kind (outputs,
gradients, statistics) in the case. Layers go forward and back and predict; losses give a value and a slope; optimizers
and penalties take twenty steps.
"""

from __future__ import annotations

import argparse
import importlib
import inspect
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np

from bench.candidates import installed, use_threads
from bench.machine import about as machine
from bench.nets import package
from bench.timing import Work
from tests import check, witness
from tests.cases import (
    CASES,
    IMAGE_NETS,
    LOSSES,
    OPTIMIZERS,
    PENALTIES,
    Array,
    Case,
    LossCase,
    Named,
    conv,
    linear,
    pool,
)

Pair = tuple[str, Any, Any]             # what, got, wanted

REF, FAST = package("fastnn_ref"), package("fastnn")
TORCH: Any = importlib.import_module("torch") if installed("torch") else None
STEPS, BATCH, WIDTHS = 20, 9, (13, 7, 3)
ROUNDS, ROUND_SECONDS = 15, 0.02
ROWS, IMAGES = (64, 256), (8, 16, 14, 14)   # below 128 KiB: beyond, malloc may ask the system anew for each array
SIZES = {  # class: what is timed, where it is not a layer of its own on ROWS
    "Linear": linear(32, 784, 128, activation="relu"),
    "Conv2d": conv(IMAGES, 32, 3, padding=1, activation="relu"),
    "MaxPool2d": pool("MaxPool2d", IMAGES, 2),
    "AvgPool2d": pool("AvgPool2d", IMAGES, 2),
    "GlobalAvgPool2d": Case("", lambda nn: nn.GlobalAvgPool2d(), IMAGES),
    "Flatten": Case("", lambda nn: nn.Flatten(), IMAGES),
    "BatchNorm1d": Case("", lambda nn: nn.BatchNorm1d(256), ROWS),
    "BatchNorm2d": Case("", lambda nn: nn.BatchNorm2d(16), IMAGES),
    "LayerNorm": Case("", lambda nn: nn.LayerNorm(256), ROWS),
    "Dropout": Case("", lambda nn: nn.Dropout(0.5), ROWS),
    "DropConnect": Case("", lambda nn: nn.DropConnect(128, 64, 0.5, activation="relu"), (32, 128)),
    "StochasticDepth": Case("", lambda nn: nn.StochasticDepth(nn.Linear(128, 128), 0.5, mode="row"), (64, 128)),
    "GaussianNoise": Case("", lambda nn: nn.GaussianNoise(0.1), ROWS),
    "Augment": Case("", lambda nn: nn.Augment(rotation=15.0, shift=2.0, zoom=0.1, flip=0.5), (32, 1, 28, 28)),
    "Sequential": Case("", IMAGE_NETS[0].make, (64, 1, 8, 8)),
}


class Row(NamedTuple):
    """What was found for one class; None where there is nothing to compare with."""

    name: str
    cases: int
    float64: float
    float32: float
    differences: float | None
    torch: float | None
    speed: float


def apart(pairs: Iterable[Pair]) -> float:
    """The largest difference, relative to the largest wanted value of its kind."""
    largest: dict[str, float] = {}
    off: dict[str, float] = {}
    for what, got, want in pairs:
        kind = {"dx": "gradient", "prediction": "y"}.get(what, what.partition(" ")[0])
        got, want = np.asarray(got, np.float64), np.asarray(want, np.float64)
        largest[kind] = max(largest.get(kind, 0.0), float(np.abs(want).max()))
        off[kind] = max(off.get(kind, 0.0), float(np.abs(got - want).max()))
    return max(off[kind] / largest[kind] if largest[kind] else off[kind] for kind in off)


def worst(found: Iterable[Iterable[Pair] | None]) -> float | None:
    """Of all cases; None if none has anything to compare."""
    errors = [apart(pairs) for pairs in found if pairs is not None]
    return max(errors) if errors else None


def certain(found: Iterable[Iterable[Pair] | None]) -> float:
    """The same, where there is always something."""
    return max(apart(pairs) for pairs in found if pairs is not None)


# ---- layers ----


def layer_row(name: str, cases: list[Case]) -> Row:
    """A kind of layer, or Sequential with several."""
    def beside(dtype: str) -> Iterator[Iterable[Pair]]:
        for case in cases:
            yield ((what, got, want) for what, got, want, _ in check.side_by_side(REF, FAST, case, dtype))

    def numeric() -> Iterator[Iterable[Pair]]:
        for case in cases:
            model = REF.Sequential(case.make(REF), seed=1)
            yield (("gradient", got, want) for _, got, want, _ in check.gradients(model, check.normal(case.shape)))

    timed = SIZES.get(name) or Case(name, cases[0].make, ROWS)
    return Row(name, len(cases), certain(beside("float64")), certain(beside("float32")), worst(numeric()),
               worst(map(layer_by_torch, cases)), speed(layer_work(timed)))


def layer_by_torch(case: Case) -> Iterable[Pair] | None:
    """The reference's outputs and gradients beside PyTorch's."""
    model = REF.Sequential(case.make(REF), seed=2)
    check.stir(model)
    module = witness.twin(TORCH, model) if TORCH else None
    if module is None:
        return None
    x = witness.tensor(TORCH, check.normal(case.shape)).requires_grad_()
    y = module(x)
    dy = check.normal(tuple(y.shape), seed=1)
    y.backward(witness.tensor(TORCH, dy))
    pairs: list[Pair] = [("y", model.forward(check.normal(case.shape), training=True), y.detach()),
                         ("dx", model.backward(dy), x.grad)]
    pairs += [("gradient", got, want)
              for got, want in zip(model.grads.values(), witness.parameters(module, gradients=True), strict=True)]
    return [*pairs, ("prediction", model(check.normal(case.shape)), module.eval()(x).detach())]


def layer_work(case: Case) -> Callable[[Any], Work]:
    """Forward and backward."""
    def build(nn: Any) -> Work:
        model, x = nn.Sequential(case.make(nn), seed=0, dtype="float32"), check.normal(case.shape, "float32")
        dy = np.ones_like(model.forward(x))

        def work() -> Array:
            model.steps = 0             # the same masks each time
            model.forward(x, training=True)
            return np.asarray(model.backward(dy))

        return work

    return build


# ---- losses ----


def loss_row(name: str, cases: list[LossCase]) -> Row:
    """Value and slope, of a few rows of few and of many outputs."""
    shapes = (1, 5), (7, 10), (17, 33)
    all_of_them = [(case, shape) for case in cases for shape in shapes]
    return Row(name, len(cases), certain(loss_beside(*each, "float64") for each in all_of_them),
               certain(loss_beside(*each, "float32") for each in all_of_them),
               worst(loss_numeric(*each) for each in all_of_them),
               worst(loss_by_torch(*each) for each in all_of_them), speed(loss_work(cases[0])))


def loss_data(case: LossCase, shape: tuple[int, ...], dtype: str = "float64") -> tuple[Array, Array]:
    """Outputs, and targets that are the same numbers in both dtypes."""
    t = case.targets(np.random.default_rng([7, *shape]), *shape)
    exact = t.astype(np.float32).astype(np.float64) if t.dtype.kind == "f" and case.targets.__name__ != "rows" else t
    return check.normal(shape, dtype), exact


def loss_beside(case: LossCase, shape: tuple[int, ...], dtype: str) -> list[Pair]:
    """Engine and reference."""
    (y, t), engine, book = loss_data(case, shape, dtype), case.make(FAST), case.make(REF)
    return [("value", engine(y, t), book(y.astype(np.float64), t)), ("gradient", engine.backward(), book.backward())]


def loss_numeric(case: LossCase, shape: tuple[int, ...]) -> list[Pair]:
    """Slope and differences."""
    (y, t), book = loss_data(case, shape), case.make(REF)
    book(y, t)
    slope, moving = book.backward(), np.array(y)
    return [("gradient", slope, check.numeric_gradient(lambda: float(book(moving, t)), moving))]


def loss_by_torch(case: LossCase, shape: tuple[int, ...]) -> list[Pair] | None:
    """Value and slope beside PyTorch's."""
    if not TORCH:
        return None
    (values, t), book = loss_data(case, shape), case.make(REF)
    y = witness.tensor(TORCH, values).requires_grad_()
    want = witness.loss(TORCH, case, y, t)
    want.backward()
    return [("value", book(values, t), want.item()), ("gradient", book.backward(), y.grad)]


def loss_work(case: LossCase) -> Callable[[Any], Work]:
    """Value and slope of 128 rows of 100."""
    def build(nn: Any) -> Work:
        loss, (y, t) = case.make(nn), loss_data(case, (128, 100), "float32")
        t = t if t.dtype.kind == "i" else t.astype(np.float32)
        return lambda: (loss.forward(y, t), loss.backward())

    return build


# ---- optimizers and penalties ----


def net(nn: Any, dtype: str, penalty: Any = None) -> Any:
    """Two layers, biases away from 0."""
    model = nn.Sequential(nn.Linear(*WIDTHS[:2], activation="tanh"), nn.Linear(*WIDTHS[1:]), seed=4, dtype=dtype,
                          penalty=penalty)
    check.stir(model)
    return model


def batches() -> Iterator[tuple[Array, Array]]:
    """A batch for each step, numbers that float32 holds."""
    for seed in range(STEPS):
        yield check.normal((BATCH, WIDTHS[0]), seed=seed), np.random.default_rng(seed).integers(WIDTHS[-1], size=BATCH)


def trained(nn: Any, dtype: str, optimizer: Named, penalty: Named | None) -> Any:
    """The parameters after so many steps."""
    model = net(nn, "float64", penalty and penalty.make(nn))
    start = model.state_dict()
    model = net(nn, dtype, penalty and penalty.make(nn))
    model.load_state_dict({name: value.astype(np.float32) for name, value in start.items()})
    update = optimizer.make(nn)
    for x, t in batches():
        model.step(x, t, nn.CrossEntropyLoss(), update)
    return model.params


def trained_by_torch(optimizer: Named, penalty: Named | None) -> list[Array]:
    """The same by PyTorch."""
    model = net(REF, "float64", penalty and penalty.make(REF))
    model.load_state_dict({name: value.astype(np.float32) for name, value in model.state_dict().items()})
    module = witness.twin(TORCH, model)
    update, loss = witness.optimizer(TORCH, optimizer, module), TORCH.nn.CrossEntropyLoss()
    for x, t in batches():
        update.zero_grad()
        value = loss(module(witness.tensor(TORCH, x)), witness.tensor(TORCH, t))
        (value + sum(witness.penalty(TORCH, each, module) for each in model.penalty)).backward()
        update.step()
        for each in model.penalty:
            witness.restrain(TORCH, each, module, optimizer.arguments["lr"])
    return witness.parameters(module)


def steps_row(name: str, cases: list[tuple[Named, Named | None]], numeric: float | None) -> Row:
    """Twenty steps with an optimizer, and with a penalty or without."""
    def beside(dtype: str) -> Iterator[Iterable[Pair]]:
        for case in cases:
            got, want = trained(FAST, dtype, *case), trained(REF, "float64", *case)
            yield [("state", got[key], want[key]) for key in want]

    def by_torch() -> Iterator[Iterable[Pair] | None]:
        for case in cases if TORCH else ():
            want = trained_by_torch(*case)
            yield [("state", a, b) for a, b in zip(trained(REF, "float64", *case).values(), want, strict=True)]

    return Row(name, len(cases), certain(beside("float64")), certain(beside("float32")), numeric, worst(by_torch()),
               speed(update_work(*cases[0])))


def optimizer_row(name: str, cases: list[Named]) -> Row:
    """An optimizer has no gradient of its own to check."""
    return steps_row(name, [(case, None) for case in cases], None)


def penalty_row(name: str, cases: list[Named]) -> Row:
    """Beside plain SGD; a slope is checked where there is one, which a proximal step has not."""
    def slopes() -> Iterator[Iterable[Pair]]:
        w = check.normal((7, 5))
        for case in cases:
            penalty, moving = case.make(REF), np.array(w)
            if penalty.costs and not (penalty.l1 and penalty.mode == "proximal"):
                numeric = check.numeric_gradient(lambda: float(penalty.value(moving)), moving)   # noqa: B023
                yield [("gradient", penalty.slope(w), numeric)]

    return steps_row(name, [(Named("sgd", "SGD", {"lr": 0.05}), case) for case in cases], worst(slopes()))


def update_work(optimizer: Named, penalty: Named | None) -> Callable[[Any], Work]:
    """One update of 784-128-10."""
    def build(nn: Any) -> Work:
        model = nn.Sequential(nn.Linear(784, 128), nn.Linear(128, 10), seed=0, dtype="float32",
                              penalty=penalty and penalty.make(nn))
        update = optimizer.make(nn)
        return lambda: update.step(model)

    return build


# ---- the table ----


def speed(build: Callable[[Any], Work]) -> float:
    """The reference's time by the engine's: the least of some rounds of each, in turn."""
    works = [build(nn) for nn in (REF, FAST)]
    repeats = [max(1, int(ROUND_SECONDS / seconds(work, 3))) for work in works]
    rounds = [[seconds(work, count) for work, count in zip(works, repeats, strict=True)] for _ in range(ROUNDS)]
    reference, engine = (min(times) for times in zip(*rounds, strict=True))
    return reference / engine


def seconds(work: Work, repeats: int) -> float:
    """Processor time of a call, after one that does not count."""
    work()
    start = time.process_time()
    for _ in range(repeats):
        work()
    return max(time.process_time() - start, 1e-9) / repeats


def grouped(cases: Iterable[Any], name_of: Callable[[Any], str]) -> dict[str, list[Any]]:
    """Class → its cases."""
    found: dict[str, list[Any]] = {}
    for case in cases:
        found.setdefault(name_of(case), []).append(case)
    return found


def rows(only: Iterable[str] = ()) -> Iterator[Row]:
    """A row for each class that is written twice, in the order of the table of contents, or for those named."""
    layers = grouped(CASES, lambda case: type(case.make(REF)).__name__)
    losses, optimizers, penalties = (grouped(cases, lambda case: str(case.cls))
                                     for cases in (LOSSES, OPTIMIZERS, PENALTIES))
    for name in only or twice():
        if name in layers:
            yield layer_row(name, layers[name])
        elif name in losses:
            yield loss_row(name, losses[name])
        elif name in optimizers:
            yield optimizer_row(name, optimizers[name])
        else:
            yield penalty_row(name, penalties[name])        # KeyError: a public class without a case


def classes() -> list[str]:
    """The public classes that can be made."""
    abstract = {"Layer", "Loss", "Optimizer", "Schedule", "Callback"}
    return [name for name in REF.__all__ if inspect.isclass(getattr(REF, name)) and name not in abstract]


def twice() -> list[str]:
    """Those that each package has its own of."""
    return [name for name in classes() if getattr(FAST, name) is not getattr(REF, name)]


def table(found: Iterable[Row]) -> Iterator[str]:
    """The lines of the table."""
    def shown(error: float | None) -> str:
        return "–" if error is None else "0" if error == 0 else f"{error:.0e}"

    yield "| class | cases | float64 | float32 | differences | PyTorch | speed |"
    yield "|---|---:|---:|---:|---:|---:|---:|"
    for row in found:
        errors = " | ".join(map(shown, row[2:6]))
        yield f"| {row.name} | {row.cases} | {errors} | {row.speed:.1f}× |"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.agreement", description="How far apart, class by class.")
    parser.add_argument("classes", nargs="*", help="of these only")
    options = parser.parse_args()
    use_threads(1)
    about = machine()
    print(f"{about['cpu']}, {about['isa']}, one thread; numpy {about['numpy']}, torch {about['torch']}; commit "
          f"{about['commit']}, {about['date']}.\n", flush=True)
    for line in table(rows(options.classes)):
        print(line, flush=True)
    print(f"\nWritten once, for both packages: {', '.join(name for name in classes() if name not in twice())}.")


if __name__ == "__main__":
    main()
