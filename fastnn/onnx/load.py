"""ONNX files as models: a graph that is a chain of known layers, with residual connections and branches.

The chain is walked from the input on. Where a value has one user, that node is a layer, or the first of a few that are
one (``readers``). Where it has several, they are a formula of ``formulas``, or all ways from there meet again in one
node: an ``Add`` of the value and of what a block makes of it, or ``Concat``, ``Sum`` or ``Add`` of what branches make
of it. A node that remains is an error, so nothing of a file is left out unsaid.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from fastnn_ref.shared import checks
from fastnn_ref.shared.objects import as_package
from fastnn_ref.shared.optional import optional
from fastnn_ref.shared.shapes import inner_chain

from .formulas import DEFAULTS, FORMULAS, OPERATORS, RMS
from .graph import Array, Graph, Shape, Within, fail, tidy
from .readers import READERS
from .readers.norms import rms_norm


def load(path: str | os.PathLike[str], *, package: ModuleType | None = None, seed: int = 0) -> Any:
    """A ``Sequential`` of fastnn (or of ``package``) that computes what the ONNX file ``path`` does, ready to train.

    It reads what ``export`` writes, and the same layers as others write them, such as ``torch.onnx.export``: Gemm or
    MatMul and Add, Conv, ConvTranspose, pools, Pad before them, Resize, norms, activations as one operator or as a
    formula, Dropout, Flatten, residual connections, branches that Concat, Sum or Add puts together, Slice of features
    or channels, Gather of a table's rows, (x − mean) / deviation; operator sets 9 to 25, float32 or float64 (or
    integers, if they are row numbers of a table), one input and one output. The dtype is the file's.
    Activations are layers of their own; what a file does not say, such as penalties, is not there. A DropConnect whose
    predictions are means over masks is written, but not read.

    Every other file is a ValueError that names the node: an operator or an attribute that fastnn does not have, a shape
    that does not fit, values in a file that is not beside it, damage. OSError if it cannot be read.

    >>> import tempfile, numpy as np, fastnn as nn
    >>> from fastnn.onnx import export, load
    >>> model = nn.Sequential(nn.Residual(nn.Linear(3, 3, activation="gelu")), nn.Linear(3, 2))
    >>> export(model, path := f"{tempfile.mkdtemp()}/model.onnx")
    >>> again, x = load(path), np.ones((2, 3))
    >>> again.layers[0], bool(np.allclose(again(x), model(x), atol=1e-6))
    (Residual(Sequential(Linear(3, 3), GELU(), dtype='float32')), True)
    """
    onnx: Any = optional("onnx", extra="onnx")
    optional("onnx.numpy_helper", extra="onnx")
    place, package = checks.as_path("path", path), as_package(package, "fastnn")
    content = place.read_bytes()
    where = os.fspath(path)
    try:
        found = onnx.load_model_from_string(content)
        bring_values(onnx, found, place)
        onnx.checker.check_model(found)
    except Exception as error:              # protobuf's and the checker's own kinds
        text = str(error).strip().partition("\n")[0][:200]
        raise ValueError(f"{where}: expected an ONNX file, got one that onnx refuses: {text}") from None
    try:
        with checks.Retold(teller=lambda _: "a file with all sizes of its input"):
            return Reader(onnx, found, package).model(seed)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{where}: {error}") from error
    except RecursionError:
        raise ValueError(f"{where}: expected layers, got blocks that are nested too deeply") from None


def bring_values(onnx: Any, found: Any, path: Path) -> None:
    """Reads values that stand in another file, as PyTorch writes them: one in the same folder, never another path."""
    for tensor in found.graph.initializer:
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            (place, *_) = [each.value for each in tensor.external_data if each.key == "location"] or [""]
            beside = path.parent / place
            if not place or Path(place).name != place or beside.is_symlink() or not beside.is_file():
                raise ValueError(f"{tensor.name!r} has its values in {place!r}, which is no file beside {path.name}")
    onnx.external_data_helper.load_external_data_for_model(found, str(path.parent))


class Reader(Graph):
    """A graph, and the layers of the package ``nn`` that were made of it."""

    def __init__(self, onnx: Any, found: Any, nn: ModuleType) -> None:
        super().__init__(onnx, found)
        self.nn = nn
        self.used: set[int] = set()
        self.values: list[tuple[Any, dict[str, Array]]] = []

    def model(self, seed: int) -> Any:
        """The model with its values."""
        inputs = [each for each in self.graph.input if each.name not in self.constants]
        for what, found in ("input", inputs), ("output", self.graph.output):
            if len(found) != 1:
                raise ValueError(f"graph: expected one {what}, got {len(found)}")
        kind = inputs[0].type.tensor_type
        dtype = self.input_dtype(inputs[0])
        shape: Shape = None
        if kind.HasField("shape"):
            if len(kind.shape.dim) < 1:
                raise ValueError(f"input {inputs[0].name!r}: expected an axis for the batch, got a single number")
            self.batch, *sizes = (dim.dim_value for dim in kind.shape.dim)
            shape = tuple(sizes)
        shape = shape if shape is not None and all(each > 0 for each in shape) else None
        layers, _ = self.chain(inputs[0].name, self.graph.output[0].name, shape, None)
        for index, node in enumerate(self.nodes):
            if index not in self.used:
                fail(node, "a chain of layers from the input to the output", "a node beside it")
        model = self.nn.Sequential(*layers, seed=seed, dtype=dtype, input_shape=shape or None)
        for layer, values in self.values:
            for name, value in values.items():
                layer.set_parameter(name, value)
        return model

    def chain(self, x: str, stop: str, shape: Shape, within: Within) -> tuple[list[Any], Shape]:
        """Layers from the value ``x`` to ``stop``, made of the nodes ``within``."""
        layers: list[Any] = []
        while x != stop:
            users = self.users_of(x, within)
            if not users:
                raise ValueError(f"value {x!r}: expected a way to the output {stop!r}, got none")
            if len(users) == 1 and not self.puts_together(users[0], x):
                found, y = self.single(users[0], x, shape)
            else:
                found, y = self.several(users, x, shape, within)
            for layer in found:
                if shape is not None:
                    try:
                        shape = tuple(layer.output_shape(shape))
                    except ValueError as error:
                        fail(self.nodes[self.made[y]], "a layer that fits", f"{layer!r}: {error}")
            layers += found
            x = y
        return layers or [self.nn.Identity()], shape

    def puts_together(self, index: int, x: str) -> bool:
        """Does it add x and values that are no constants, or put them side by side?"""
        node = self.nodes[index]
        return node.op_type in ("Add", "Concat", "Sum") and x in node.input and not any(
            name in self.constants for name in node.input)

    def several(self, users: list[int], x: str, shape: Shape, within: Within) -> tuple[list[Any], str]:
        """What several nodes make of x: a formula, a residual connection, or branches."""
        for y in self.after(x, within):
            for made, nodes in self.formulas(y, x, shape):
                if set(users) <= nodes:
                    self.used |= nodes
                    return [made()], y
        meet = self.meeting(x, within)
        branches = None if meet is None else self.branches(self.nodes[meet], x)
        if meet is None or branches is None:
            node = self.nodes[users[0]]
            fail(node, "a chain of layers, a known formula, a residual connection or branches",
                 f"{len(users)} users of {x!r}")
        node = self.nodes[meet]
        self.used.add(meet)
        y = node.output[0]
        if node.op_type == "Add" and x in node.input:
            other = node.input[1] if node.input[0] == x else node.input[0]
            return [self.nn.Residual(self.block(x, other, shape, branches[list(node.input).index(other)]))], y
        blocks = [self.block(x, end, shape, nodes) for end, nodes in zip(node.input, branches, strict=True)]
        if node.op_type == "Concat":
            axis = self.attributes(node, axis=None)["axis"]
            if axis != 1 and (shape is None or axis != -len(blocks[0].output_shape(shape))):
                fail(node, "axis = 1", axis)
        return [self.nn.Parallel(*blocks, merge="concat" if node.op_type == "Concat" else "add")], y

    def block(self, x: str, y: str, shape: Shape, within: Within) -> Any:
        """The one layer that a branch is."""
        layers, _ = self.chain(x, y, shape, within)
        return layers[0] if len(layers) == 1 else inner_chain(self.nn.Sequential, layers, shape)

    def formulas(self, y: str, x: str, shape: Shape) -> Iterator[tuple[Any, set[int]]]:
        """(a function that makes the layer, the nodes) of each formula that is y."""
        for kind, arguments, formulas in FORMULAS:
            for formula in formulas:
                found: dict[str, Any] = {}
                nodes: set[int] = set()
                if self.matches(formula, y, x, found, nodes) and all(each.size == 1 for each in found.values()):
                    named = {name: tidy(each.item()) if each.dtype == np.float32 else each.item()
                             for name, each in found.items()}
                    yield functools.partial(getattr(self.nn, kind), **arguments, **named), nodes
        for formula in RMS:
            found, nodes = {}, set()
            if self.matches(formula, y, x, found, nodes) and found["eps"].size == 1:
                weight = found["weight"]
                if found.get("axes") == list(range(-weight.ndim, 0)) or (
                        shape and found.get("axes") == list(range(len(shape) + 1 - weight.ndim, len(shape) + 1))):
                    yield functools.partial(rms_norm, self, weight, float(found["eps"].reshape(()))), nodes

    def single(self, index: int, x: str, shape: Shape) -> tuple[list[Any], str]:
        """The layers of one node, and of those behind it that belong to it; the last value."""
        node = self.nodes[index]
        self.used.add(index)
        extra = [name for name in node.output[1:] if name and (name in self.users or name == self.graph.output[0].name)]
        if extra:
            fail(node, "one output", f"{extra[0]!r}, too")
        after = self.only_user(node.output[0])
        if node.op_type == "Sigmoid" and after is not None and self.nodes[after].op_type == "Log":
            self.used.add(after)
            return [self.nn.LogSigmoid()], self.nodes[after].output[0]
        for kind, (operator, named) in OPERATORS.items():
            if node.op_type == operator:
                given = self.attributes(node, **{theirs: DEFAULTS[operator] for theirs in named.values()})
                layer = getattr(self.nn, kind)(**{ours: tidy(given[theirs]) for ours, theirs in named.items()})
                return [] if kind == "Identity" else [layer], node.output[0]
        try:
            layers, y = self.read(node, x, shape)
        except (ValueError, TypeError) as error:
            if checks.has_part(error, "node"):
                raise
            fail(node, "what fastnn can do", error)
        return layers, y

    def valued(self, layer: Any, **values: Array) -> Any:
        """The layer, whose values are set once the model is made."""
        self.values.append((layer, values))
        return layer

    def read(self, node: Any, x: str, shape: Shape) -> tuple[list[Any], str]:
        """The layers of a node that stands for no activation without arguments; the last value."""
        if node.op_type not in READERS:
            fail(node, "an operator that fastnn has as a layer", node.op_type)
        return READERS[node.op_type](self, node, x, shape)
