"""``fastnn export``: a trained model as an ONNX file, which other runtimes run."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fastnn_ref.shared import checks

from ..extras import extra
from . import options, task, train, trained
from .folder import as_json
from .options import Kind, argument, option, text
from .session import UsageError, say

SUMMARY = "a trained model as an ONNX file"
DTYPES = ("float32", "float64")


def sizes() -> Kind:
    """Whole numbers between commas."""

    def read(typed: str) -> tuple[int, ...]:
        try:
            return tuple(map(int, typed.split(",")))
        except ValueError:
            raise ValueError(f"expected sizes such as 1,28,28, got {typed!r}") from None

    def check(name: str, value: Any) -> None:
        if value is not None and any(each < 1 for each in value):
            raise ValueError(f"{name}: expected sizes >= 1, got {','.join(map(str, value))}")

    return Kind(read, check, "N,...")


@dataclass(frozen=True, kw_only=True)
class Config(trained.ModelOptions):
    """What ``fastnn export`` is told."""

    out: str = argument(text("FILE"), "the ONNX file to write, such as model.onnx")
    input_shape: tuple[int, ...] | None = option(
        None, sizes(), "shape of one example, where the model does not know it: 1,28,28", "running")
    dtype: str = option("float32", options.choice(DTYPES), "of inputs and weights in the file", "running")


def run(config: Config) -> None:
    """Write the file, and say what its input and output are.

    >>> run(Config(model="runs/first", out="model.onnx"))  # doctest: +SKIP
    """
    options.check(config)
    path = Path(config.out)
    if path.suffix.lower() != ".onnx":
        raise UsageError(f"OUT: expected a file ending in .onnx, got {config.out!r}")
    if not path.parent.is_dir():
        raise UsageError(f"OUT: expected an existing folder, got {str(path.parent)!r}")
    with extra("onnx"):
        import onnx  # noqa: F401
    from ..onnx.export import IR, OPSET, export

    found = trained.load(config)
    model, encoding = found.model, found.encoding
    shape = config.input_shape or model.input_shape
    if shape is None and encoding is not None and encoding.image_shape is not None:
        shape = encoding.image_shape
    if shape is None:
        raise UsageError("--input-shape: expected the shape of one example, such as 1,28,28, as the model has none")
    if encoding is not None and math.prod(shape) != encoding.features:
        raise UsageError(f"--input-shape: expected the shape of an example of {encoding.features} numbers, got "
                         f"{checks.format_shape(shape)}")
    if encoding is not None and encoding.regression:
        last = model.layers[-1]  # a Linear without an activation: it gives the values in their own units
        last.weight = last.weight * np.array(encoding.target_deviation)
        last.bias = encoding.values(last.bias[None])[0]
    scale = scaling(found, shape)
    export(model, path, input_shape=shape, dtype=config.dtype, input_scaling=scale, metadata=metadata(found))
    output = model.output_shape(shape)
    say(f"{path}: {path.stat().st_size:,} bytes, operator set {OPSET}, IR version {IR}, {config.dtype}; "
        f"x (batch, {', '.join(map(str, shape))}) -> y (batch, {', '.join(map(str, output))})"
        + ("" if scale is None else f"; x: {'bytes, 0 to 255' if from_bytes(found) else 'as in the data, not scaled'}"))


def from_bytes(found: trained.Trained) -> bool:
    """Was it trained on bytes of the user's? The data sets that fastnn has come scaled."""
    if found.folder is None or found.encoding is None or not found.encoding.from_bytes:
        return False
    return options.read_toml(train.Config, found.folder.config, ("data", "targets")).get("data") not in task.DATA


def scaling(found: trained.Trained, shape: tuple[int, ...]) -> tuple[Any, Any] | None:
    """(mean, deviation) with which rows as they stand in files become the inputs of the model; None: they are."""
    if from_bytes(found):
        return 0.0, 255.0
    if found.encoding is None or found.encoding.mean is None:
        return None
    return np.array(found.encoding.mean).reshape(shape), np.array(found.encoding.deviation).reshape(shape)


def metadata(found: trained.Trained) -> dict[str, str]:
    """The names of inputs and outputs, as JSON."""
    encoding = found.encoding
    if encoding is None:
        return {}
    names = {"inputs": encoding.columns, "classes": encoding.labels or None,
             "outputs": encoding.target_names if encoding.regression else None}
    return {f"fastnn.{key}": as_json(value) for key, value in names.items() if value is not None}
