"""Every layer and activation through ONNX and back, and through PyTorch and back; then ten further steps on both sides.

    python -m tests.round_trips             renews docs/round_trips.md

A net is a ``Linear``, so that there is something to train, and a case of tests/cases.py. Through ONNX it goes in
float32: the file in onnxruntime, and the model that ``load`` makes of it. Through PyTorch it goes in float64: the
module, and the model that ``from_torch`` makes of it. Predictions are compared relative to the largest one, and the
losses of ten steps of SGD with momentum relative to the loss. Needs onnx, onnxruntime and PyTorch.
"""

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import fastnn as nn
from fastnn.torch import from_torch, to_torch
from fastnn_ref.shared.access import walk
from tests.cases import CASES, Array, Case
from tests.check import inputs, normal, randomise_biases

PAGE = Path(__file__).parents[1] / "docs" / "round_trips.md"
STEPS = 10
LR, MOMENTUM = 0.02, 0.9
HEAD = """# Each layer through ONNX and PyTorch

Largest relative differences over all shapes and options of a layer in `tests/cases.py`, made by `python -m
tests.round_trips`: a `Linear` and the layer, through ONNX in float32 (the file in onnxruntime, the model that `load`
makes of it) and through PyTorch in float64 (the module, the model that `from_torch` makes of it); then the losses of
ten further steps of SGD with momentum beside those of the model that was never converted. Cases that draw masks or
noise in training count for predictions alone. A dash: there is no such layer. 0: not one bit differs. In float64,
PyTorch's slope of `Hardsigmoid` is the 1/6 of float32, which a `Linear` with that activation has, too. [PyTorch and
ONNX](interchange.md) says which options cannot be converted.

| layer | cases | onnxruntime | ONNX and back | its losses | cases | PyTorch | and back | losses |
|---|--:|--:|--:|--:|--:|--:|--:|--:|
"""


class Found(NamedTuple):
    """Largest relative differences; None of losses that need not be equal."""

    outside: float
    back: float
    losses: float | None


def net(case: Case, dtype: str) -> Any:
    """What is converted."""
    before = [] if case.numbers else [nn.Linear(case.shape[-1], case.shape[-1])]
    model = nn.Sequential(*before, case.make(nn), seed=2, dtype=dtype, input_shape=case.shape[1:] or None)
    randomise_biases(model)
    return model


def apart(got: Any, want: Array) -> float:
    """The largest difference, relative to the largest value."""
    return float(np.abs(np.asarray(got) - want).max() / max(np.abs(want).max(), 1e-3))


def is_random(model: Any) -> bool:
    """Does it draw masks, noise or changes in training, or leave out all?"""
    return any(getattr(each, "p", 0) > 0 or getattr(each, "std", 0) > 0 or type(each).__name__ == "Augment"
               for _, each in walk(model))


def shapes(model: Any) -> list[tuple[int, ...]]:
    """Of its parameters, in order."""
    return [value.shape for value in model.params.values()]


def losses(model: Any, x: Array, t: Array) -> list[float]:
    """Of ten steps."""
    loss, optimizer = nn.MSELoss(), nn.SGD(lr=LR, momentum=MOMENTUM)
    return [model.step(x, t, loss, optimizer) for _ in range(STEPS)]


def losses_of_pytorch(torch: Any, module: Any, x: Array, t: Array) -> list[float]:
    """The same by PyTorch; its optimizers, which load its compiler, would take seconds."""
    found, module = [], module.train()
    values = [each for each in module.parameters() if each.requires_grad]
    moving = [torch.zeros_like(each) for each in values]
    inputs, targets = torch.tensor(np.array(x)), torch.tensor(np.array(t))
    for _ in range(STEPS):
        loss = torch.nn.functional.mse_loss(module(inputs), targets)
        for each in values:
            each.grad = None
        loss.backward()
        found.append(loss.item())
        with torch.no_grad():
            for each, mean in zip(values, moving, strict=True):
                if each.grad is not None:
                    each -= LR * mean.mul_(MOMENTUM).add_(each.grad)
    return found


def relative(got: list[float], want: list[float]) -> float:
    """The largest difference of two lists of losses."""
    return max(abs(a - b) / max(abs(b), 1e-3) for a, b in zip(got, want, strict=True))


def through_onnx(case: Case, path: Path) -> Found | None:
    """None where ``export`` or ``load`` refuses, which tests/test_onnx.py looks at."""
    import onnxruntime

    from fastnn.onnx import export, load

    model, x = net(case, "float32"), np.array(inputs(case, "float32"))
    try:
        export(model, path, input_shape=case.shape[1:])
        again = load(path, seed=2)
    except ValueError:
        return None
    want, options = np.array(model(x)), onnxruntime.SessionOptions()
    options.log_severity_level, options.intra_op_num_threads = 3, 1
    session = onnxruntime.InferenceSession(path, options)
    t = normal(want.shape, "float32", seed=1)
    alike = not is_random(model) and shapes(again) == shapes(model)     # a norm without a scale has one of ones there
    outside, back = apart(session.run(None, {"x": x})[0], want), apart(again(x), want)
    return Found(outside, back, relative(losses(again, x, t), losses(model, x, t)) if alike else None)


def through_pytorch(case: Case) -> Found | None:
    """None where ``to_torch`` refuses, which tests/test_from_torch.py looks at."""
    import torch

    torch.set_num_threads(1)
    model, x = net(case, "float64"), inputs(case)
    try:
        module = to_torch(model).eval()
    except ValueError:
        return None
    again = from_torch(module, input_shape=case.shape[1:] or None, dtype="float64", seed=2)
    want = np.array(model(x))
    t = normal(want.shape, seed=1)
    outside, back = apart(module(torch.tensor(np.array(x))).detach().numpy(), want), apart(again(x), want)
    if is_random(model):
        return Found(outside, back, None)
    own = losses(model, x, t)
    return Found(outside, back, max(relative(losses(again, x, t), own),
                                    relative(losses_of_pytorch(torch, module, x, t), own)))


def kinds() -> dict[str, list[Case]]:
    """Class of the layer → its cases."""
    found: dict[str, list[Case]] = {}
    for case in CASES:
        found.setdefault(type(case.make(nn)).__name__, []).append(case)
    return found


def cells(results: list[Found]) -> Iterator[str]:
    """How many cases, and the largest of each difference."""
    yield str(len(results) or "–")
    for values in zip(*results, strict=True) if results else [[]] * 3:
        there = [value for value in values if value is not None]
        yield (f"{max(there):.0e}" if max(there) else "0") if there else "–"


def row(name: str, cases: list[Case], through: list[Callable[[Case], Found | None]]) -> str:
    """A line of the table."""
    found = [[result for case in cases if (result := convert(case))] for convert in through]
    return f"| {' | '.join([f'`{name}`', *(cell for results in found for cell in cells(results))])} |\n"


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        def by_file(case: Case) -> Found | None:
            return through_onnx(case, Path(folder) / "model.onnx")

        rows = [row(name, cases, [by_file, through_pytorch]) for name, cases in kinds().items()]
    PAGE.write_text(HEAD + "".join(rows), "utf-8")
    print("".join(rows))


if __name__ == "__main__":
    main()
