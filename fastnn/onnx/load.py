"""ONNX files as models: a graph that is a chain of known layers, with residual connections and branches.

The chain is walked from the input on. Where a value has one user, that node is a layer, or the first of a few that are
one. Where it has several, they are a formula of ``formulas``, or all ways from there meet again in one node: an ``Add``
of the value and of what a block makes of it, or ``Concat``, ``Sum`` or ``Add`` of what branches make of it. A node that
remains is an error, so nothing of a file is left out unsaid.
"""

from __future__ import annotations

import functools
import math
import os
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, Never

import numpy as np
import numpy.typing as npt

from fastnn_ref.shared import checks, config
from fastnn_ref.shared.checkpoint import as_path
from fastnn_ref.shared.objects import as_package
from fastnn_ref.shared.optional import optional
from fastnn_ref.shared.shapes import inner_chain

from .. import image_tables
from .formulas import DEFAULTS, FORMULAS, OPERATORS, RMS, X

Array = npt.NDArray[Any]
Shape = tuple[int, ...] | None
Within = frozenset[int] | None                      # the nodes of a branch; None: all

OLDEST, NEWEST = 9, 25                              # operator sets
SMALLEST = 1e-30                        # added to the square of a deviation that is known
SWAPPED = ("Add", "Mul")                            # operators whose operands may stand either way
LEAF = ("Identity", "Transpose", "Constant")        # what is worked out where it stands on constants
FAR = 24                                            # nodes that a formula may have


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
    that does not fit, values in other files, damage. OSError if it cannot be read.

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
    place, package = as_path("path", path), as_package(package, "fastnn")
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


def fail(node: Any, wanted: str, got: object) -> Never:
    """ValueError about a node."""
    raise ValueError(f"node {node.name or node.output[0]!r} ({node.op_type}): expected {wanted}, got {got}")


class Reader:
    """A graph, and the layers that were made of it."""

    def __init__(self, onnx: Any, found: Any, nn: ModuleType) -> None:
        self.onnx, self.nn, self.graph = onnx, nn, found.graph
        versions = {each.domain or "ai.onnx": each.version for each in found.opset_import}
        self.opset = versions.get("ai.onnx", 0)
        if not OLDEST <= self.opset <= NEWEST:
            raise ValueError(f"operator set: expected {OLDEST} to {NEWEST}, got {self.opset}")
        self.constants: dict[str, Array] = {}
        for tensor in self.graph.initializer:
            self.constants[tensor.name] = self.array(tensor)
        self.nodes = [node for node in self.graph.node if not self.folded(node)]
        self.made: dict[str, int] = {}
        self.users: dict[str, list[int]] = {}
        for index, node in enumerate(self.nodes):
            if node.domain not in ("", "ai.onnx"):
                fail(node, "an operator of ONNX", f"one of {node.domain!r}")
            self.made.update({name: index for name in node.output if name})
            for name in dict.fromkeys(filter(None, node.input)):
                self.users.setdefault(name, []).append(index)
        self.used: set[int] = set()
        self.batch = 0                                  # examples that the file was made for; 0: any number
        self.values: list[tuple[Any, dict[str, Array]]] = []

    def array(self, tensor: Any) -> Array:
        """A constant's values."""
        if tensor.data_location == self.onnx.TensorProto.EXTERNAL:     # of a node: no program writes that
            raise ValueError(f"{tensor.name!r}: expected values inside the file, got values in another one")
        try:
            return np.asarray(self.onnx.numpy_helper.to_array(tensor))
        except Exception as error:          # whatever a damaged tensor raises
            raise ValueError(f"{tensor.name!r}: expected the shape {list(tensor.dims)}, got {error}") from None

    def folded(self, node: Any) -> bool:
        """Is it a constant? Then its value is kept."""
        if node.op_type not in LEAF or not all(name in self.constants for name in node.input):
            return False
        named = {each.name: self.onnx.helper.get_attribute_value(each) for each in node.attribute}
        if node.op_type == "Constant":
            (value,) = named.values() if len(named) == 1 else (None,)
            if isinstance(value, self.onnx.TensorProto):
                value = self.array(value)
            if not isinstance(value, np.ndarray | int | float | list):
                fail(node, "a constant of numbers", ", ".join(named))
            self.constants[node.output[0]] = np.asarray(value)
        else:
            value = self.constants[node.input[0]]
            turned = node.op_type == "Transpose"
            self.constants[node.output[0]] = value.transpose(named.get("perm")) if turned else value
        return True

    # ---- the whole ----

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
        shape = shape if shape and all(each > 0 for each in shape) else None
        layers, _ = self.chain(inputs[0].name, self.graph.output[0].name, shape, None)
        for index, node in enumerate(self.nodes):
            if index not in self.used:
                fail(node, "a chain of layers from the input to the output", "a node beside it")
        model = self.nn.Sequential(*layers, seed=seed, dtype=dtype, input_shape=shape)
        for layer, values in self.values:
            for name, value in values.items():
                layer.set_parameter(name, value)
        return model

    def input_dtype(self, x: Any) -> str:
        """That of the input; of integers that are row numbers, that of the tables."""
        types = self.onnx.TensorProto
        kind, users = x.type.tensor_type.elem_type, self.users.get(x.name, ())
        found = {types.FLOAT: "float32", types.DOUBLE: "float64"}.get(kind)
        if kind in (types.INT32, types.INT64) and users and all(self.nodes[each].op_type == "Gather" for each in users):
            dtypes = {str(self.operand(self.nodes[each], 0, "table").dtype) for each in users}
            found = dtypes.pop() if len(dtypes) == 1 and dtypes <= {"float32", "float64"} else None
        if found is None:
            raise ValueError(f"input {x.name!r}: expected float32 or float64, got the type {kind}")
        return found

    def users_of(self, x: str, within: Within) -> list[int]:
        """The nodes that take x, of those that belong here."""
        return [index for index in self.users.get(x, ()) if within is None or index in within]

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

    def meeting(self, x: str, within: Within) -> int | None:
        """The first node that all ways from x lead through; None if one of them ends before."""
        waiting = {x: len(self.users_of(x, within))}        # value → nodes that will still take it
        for index in range(self.users_of(x, within)[0], len(self.nodes)):
            taken = [name for name in dict.fromkeys(self.nodes[index].input) if name in waiting]
            if not taken or not (within is None or index in within):
                continue
            for name in taken:
                waiting[name] -= 1
                if waiting[name] == 0:
                    del waiting[name]
            if not waiting:
                return index
            output = self.nodes[index].output[0]
            waiting[output] = len(self.users_of(output, within))
        return None

    def branches(self, node: Any, x: str) -> list[frozenset[int]] | None:
        """The nodes between x and each input of a node that puts branches together; None if they are not apart."""
        if node.op_type not in ("Concat", "Sum", "Add"):
            return None
        found: list[frozenset[int]] = []
        for end in node.input:
            nodes: set[int] = set()
            reached = [end]
            while reached:
                name = reached.pop()
                index = self.made.get(name)
                if name == x or name in self.constants or not name or index in nodes:
                    continue
                if index is None:
                    return None
                nodes.add(index)
                reached.extend(self.nodes[index].input)
            if end in self.constants or any(nodes & other for other in found):
                return None
            found.append(frozenset(nodes))
        return found

    # ---- formulas ----

    def after(self, x: str, within: Within) -> list[str]:
        """The values behind x that a formula may end in."""
        found: list[str] = []
        reached = [x]
        while reached and len(found) < FAR:
            name = reached.pop(0)
            for index in self.users_of(name, within):
                y = self.nodes[index].output[0]
                if y not in found:
                    found.append(y)
                    reached.append(y)
        return found

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
                    yield functools.partial(self.rms_norm, weight, float(found["eps"].reshape(()))), nodes

    def rms_norm(self, weight: Array, eps: float) -> Any:
        return self.valued(self.nn.RMSNorm(weight.shape, tidy(eps)), weight=weight)

    def matches(self, formula: Any, name: str, x: str, found: dict[str, Any], nodes: set[int]) -> bool:
        """Is the value ``name`` this formula of x? Fills in constants and nodes."""
        if formula == X:
            return name == x
        if isinstance(formula, float):
            value = self.constants.get(name)
            return value is not None and value.size == 1 and math.isclose(value.item(), formula, rel_tol=1e-4)
        if isinstance(formula, str):
            value = self.constants.get(name)
            if value is None or not np.array_equal(found.setdefault(formula, value), value):
                return False
            return True
        index = self.made.get(name)
        if index is None or self.nodes[index].op_type != formula[0]:
            return False
        node = self.nodes[index]
        inputs = list(node.input)
        if formula[0] == "ReduceMean":
            found["axes"] = sorted(self.axes(node))
            inputs = inputs[:1]
        elif formula[0] == "HardSigmoid":
            named = {each.name: each.f for each in node.attribute}
            if not (math.isclose(named.get("alpha", 0.2), 1 / 6, rel_tol=1e-4) and named.get("beta", 0.5) == 0.5):
                return False
        if len(inputs) != len(formula) - 1:
            return False
        for order in (inputs, inputs[::-1]) if formula[0] in SWAPPED else (inputs,):
            kept, more = set(nodes), dict(found)
            if all(self.matches(part, each, x, more, kept) for part, each in zip(formula[1:], order, strict=True)):
                nodes |= kept | {index}
                found.update(more)
                return True
        return False

    def axes(self, node: Any) -> list[int]:
        """The axes of a reduction: an attribute, or an input since operator set 18."""
        for each in node.attribute:
            if each.name == "axes":
                return list(each.ints)
        value = self.constants.get(node.input[1]) if len(node.input) > 1 else None
        return [] if value is None else [int(axis) for axis in value.reshape(-1)]

    # ---- nodes that are layers ----

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
        reader = getattr(self, f"read_{node.op_type}", None)
        if reader is None:
            fail(node, "an operator that fastnn has as a layer", node.op_type)
        try:
            layers, y = reader(node, x, shape)
        except (ValueError, TypeError) as error:
            if str(error).startswith("node "):
                raise
            fail(node, "what fastnn can do", error)
        return layers, y

    def attributes(self, node: Any, **defaults: Any) -> dict[str, Any]:
        """The attributes of a node; one that is not among the ``defaults`` is an error."""
        given = {each.name: self.onnx.helper.get_attribute_value(each) for each in node.attribute}
        given = {key: value.decode() if isinstance(value, bytes) else value for key, value in given.items()}
        for key, value in given.items():
            if key not in defaults:
                fail(node, "an attribute that fastnn knows", f"{key} = {value!r}")
        return {**defaults, **given}

    def fixed(self, node: Any, named: dict[str, Any], **wanted: Any) -> None:
        """Attributes that can have one value only."""
        for key, value in wanted.items():
            if named[key] not in (value, None):
                fail(node, f"{key} = {value!r}", repr(named[key]))

    def operand(self, node: Any, position: int, what: str) -> Array:
        """A constant input."""
        name = node.input[position] if position < len(node.input) else ""
        if name not in self.constants:
            fail(node, f"a constant {what}", f"{name!r}" if name else "none")
        return self.constants[name]

    def has(self, node: Any, position: int) -> bool:
        return position < len(node.input) and bool(node.input[position])

    def valued(self, layer: Any, **values: Array) -> Any:
        """The layer, whose values are set once the model is made."""
        self.values.append((layer, values))
        return layer

    def check_first(self, node: Any, x: str) -> None:
        if node.input[0] != x:
            fail(node, f"{x!r} as its first input", repr(node.input[0]))

    def linear(self, node: Any, weight: Array, bias: Array | None, shape: Shape) -> Any:
        """A Linear of a weight (in, out)."""
        if weight.ndim != 2:
            fail(node, "a weight of two axes", weight.shape)
        if bias is not None and not one_for_each(bias, weight.shape[1], shape):
            fail(node, f"a bias of {weight.shape[1]} numbers, one for each output", bias.shape)
        more = {} if bias is None else {"bias": bias.reshape(-1)}
        return self.valued(self.nn.Linear(*weight.shape, bias=bias is not None), weight=weight, **more)

    def read_Gemm(self, node: Any, x: str, shape: Shape) -> tuple[list[Any], str]:
        named = self.attributes(node, alpha=1.0, beta=1.0, transA=0, transB=0)
        self.fixed(node, named, alpha=1.0, transA=0)
        self.check_first(node, x)
        weight = self.operand(node, 1, "weight")
        bias = self.operand(node, 2, "bias") if self.has(node, 2) else None
        if bias is not None:
            self.fixed(node, named, beta=1.0)
        return [self.linear(node, weight.T if named["transB"] else weight, bias, shape)], node.output[0]

    def read_MatMul(self, node: Any, x: str, shape: Shape) -> tuple[list[Any], str]:
        self.attributes(node)
        self.check_first(node, x)
        weight, y, bias = self.operand(node, 1, "weight"), node.output[0], None
        after = self.only_user(y)
        if after is not None and self.nodes[after].op_type == "Add":
            constant = [self.constants[name] for name in self.nodes[after].input if name in self.constants]
            if constant and one_for_each(constant[0], weight.shape[-1], shape):
                bias, y = constant[0], self.nodes[after].output[0]
                self.used.add(after)
        return [self.linear(node, weight, bias, shape)], y

    def only_user(self, name: str) -> int | None:
        users = self.users.get(name, ())
        return users[0] if len(users) == 1 and name != self.graph.output[0].name else None

    def window(self, node: Any, named: dict[str, Any], shape: Shape) -> dict[str, Any]:
        """kernel_size, stride, padding and dilation of a convolution or a pool."""
        kernel = tuple(named["kernel_shape"] or ())
        if len(kernel) != 2:
            fail(node, "kernel_shape of two axes", list(kernel) or "none")
        stride, dilation = (tuple(named[key] or (1, 1)) for key in ("strides", "dilations"))
        totals: list[int] | None = None
        if shape is not None and len(shape) == 3:
            totals = [max((math.ceil(side / s) - 1) * s + k - side, 0) for side, s, k in zip(
                shape[1:], stride, checks.extent(kernel, dilation), strict=True)]
        elif stride == (1, 1):                          # the same for images of any size
            totals = [k - 1 for k in checks.extent(kernel, dilation)]
        return {"kernel_size": kernel, "stride": stride, "padding": self.padding(node, named, totals),
                "dilation": dilation}

    def padding(self, node: Any, named: dict[str, Any], totals: list[int] | None) -> tuple[Any, Any]:
        """((top, bottom), (left, right)); ``totals`` is what SAME means, where it is known."""
        word = named["auto_pad"] or "NOTSET"
        if word in ("SAME_UPPER", "SAME_LOWER"):
            if totals is None:
                fail(node, f"an input whose shape the file tells, with auto_pad = {word!r}", "unknown axes")
            first, second = ((total // 2, total - total // 2)[::-1 if word == "SAME_LOWER" else 1] for total in totals)
            return first, second
        if word not in ("NOTSET", "VALID"):
            fail(node, "auto_pad = 'NOTSET', 'VALID', 'SAME_UPPER' or 'SAME_LOWER'", repr(word))
        pads = list(named["pads"] or [0] * 4) if word == "NOTSET" else [0] * 4
        if len(pads) != 4:
            fail(node, "pads of two axes", pads)
        return (pads[0], pads[2]), (pads[1], pads[3])

    def read_Conv(self, node: Any, x: str, shape: Shape) -> tuple[list[Any], str]:
        named = self.attributes(node, kernel_shape=None, strides=None, pads=None, dilations=None, group=1,
                                auto_pad=None)
        weight, bias = self.filters(node, x, named)
        layer = self.nn.Conv2d(weight.shape[1] * named["group"], weight.shape[0], **self.window(node, named, shape),
                               groups=named["group"], bias=bool(bias))
        return [self.valued(layer, weight=weight, **bias)], node.output[0]

    def filters(self, node: Any, x: str, named: dict[str, Any]) -> tuple[Array, dict[str, Array]]:
        """Weight and bias of a convolution, whose kernel_shape they say if the node does not."""
        self.check_first(node, x)
        weight = self.operand(node, 1, "weight")
        if weight.ndim != 4:
            fail(node, "a weight of four axes: images of two", weight.shape)
        named["kernel_shape"] = named["kernel_shape"] or weight.shape[2:]
        return weight, {"bias": self.operand(node, 2, "bias")} if self.has(node, 2) else {}

    def read_ConvTranspose(self, node: Any, x: str, shape: Shape) -> tuple[list[Any], str]:
        named = self.attributes(node, kernel_shape=None, strides=None, pads=None, dilations=None, group=1,
                                auto_pad=None, output_padding=None, output_shape=None)
        weight, bias = self.filters(node, x, named)
        kernel = tuple(named["kernel_shape"])
        stride, dilation = (tuple(named[key] or (1, 1)) for key in ("strides", "dilations"))
        more, totals = list(named["output_padding"] or (0, 0)), None
        if shape is not None and len(shape) == 3:
            wanted = (named["output_shape"] or [side * s for side, s in zip(shape[1:], stride, strict=True)])[-2:]
            totals = [(side - 1) * s + k + extra - new for side, s, k, extra, new in zip(
                shape[1:], stride, checks.extent(kernel, dilation), more, wanted, strict=True)]
            if named["output_shape"]:
                named["auto_pad"] = named["auto_pad"] if named["auto_pad"] == "SAME_UPPER" else "SAME_LOWER"
            if (named["auto_pad"] or "").startswith("SAME"):        # less than nothing is more rows at the bottom
                more = [extra - min(total, 0) for extra, total in zip(more, totals, strict=True)]
                totals = [max(total, 0) for total in totals]
        elif named["output_shape"]:
            fail(node, "an input whose shape the file tells, with output_shape", "unknown axes")
        layer = self.nn.ConvTranspose2d(
            weight.shape[0], weight.shape[1] * named["group"], kernel, stride, self.padding(node, named, totals),
            tuple(more), named["group"], bool(bias), dilation)
        return [self.valued(layer, weight=weight, **bias)], node.output[0]

    def read_MaxPool(self, node: Any, x: str, shape: Shape) -> tuple[list[Any], str]:
        named = self.attributes(node, kernel_shape=None, strides=None, pads=None, dilations=None, ceil_mode=0,
                                storage_order=0, auto_pad=None)
        window = self.window(node, named, shape)
        return [self.nn.MaxPool2d(**window, ceil_mode=bool(named["ceil_mode"]))], node.output[0]

    def read_AveragePool(self, node: Any, x: str, shape: Shape) -> tuple[list[Any], str]:
        named = self.attributes(node, kernel_shape=None, strides=None, pads=None, dilations=None, ceil_mode=0,
                                count_include_pad=0, auto_pad=None)
        window = self.window(node, named, shape)
        self.fixed(node, named, dilations=[1, 1])
        del window["dilation"]
        counts = bool(named["count_include_pad"]) or not any(map(sum, window["padding"]))
        layer = self.nn.AvgPool2d(**window, ceil_mode=bool(named["ceil_mode"]), count_include_pad=counts)
        return [layer], node.output[0]

    def read_Pad(self, node: Any, x: str, shape: Shape) -> tuple[list[Any], str]:
        """Padding in a node of its own: that of the convolution or pool behind it."""
        named = self.attributes(node, mode="constant", pads=None, value=0.0)
        self.fixed(node, named, mode="constant")
        self.check_first(node, x)
        pads, value = named["pads"], named["value"]
        if self.opset >= 11:
            pads = self.operand(node, 1, "pads").reshape(-1).tolist()
            value = float(self.operand(node, 2, "value").reshape(())) if self.has(node, 2) else 0.0
            axes = self.operand(node, 3, "axes").reshape(-1).tolist() if self.has(node, 3) else [0, 1, 2, 3]
            if len(axes) != 4:
                halves = [dict(zip([axis % 4 for axis in axes], half, strict=True))
                          for half in (pads[:len(axes)], pads[len(axes):])]
                pads = [half.get(axis, 0) for half in halves for axis in range(4)]
        if len(pads) != 8 or pads[:2] + pads[4:6] != [0] * 4 or min(pads) < 0:
            fail(node, "pads >= 0 of height and width", pads)
        top, left, bottom, right = pads[2], pads[3], pads[6], pads[7]
        after = self.only_user(node.output[0])
        kind = "none" if after is None else self.nodes[after].op_type
        if after is None or kind not in ("Conv", "AveragePool", "MaxPool"):
            fail(node, "Conv, AveragePool or MaxPool behind it", kind)
        if value != (-math.inf if kind == "MaxPool" else 0):
            fail(node, "padding with -inf before MaxPool, or 0", value)
        padded = shape and (shape[0], shape[1] + top + bottom, shape[2] + left + right)
        (layer,), y = self.single(after, node.output[0], padded)
        named = config.arguments(layer)
        if shape and kind == "AveragePool" and not named["count_include_pad"]:
            # What counts, and behind it what does not: the last windows of ceil_mode.
            again = self.nn.AvgPool2d(layer.kernel_size, layer.stride, ((top, bottom), (left, right)), ceil_mode=True)
            own = checks.sides_of(layer.padding)
            if own[0][0] == own[1][0] == 0 and again.output_shape(shape) == layer.output_shape(padded):
                return [again], y
        if named.get("ceil_mode") or not named.get("count_include_pad", True):
            fail(self.nodes[after], "ceil_mode = 0 and count_include_pad = 1 behind Pad", repr(layer))
        own = checks.sides_of(layer.padding)
        named["padding"] = tuple((a + c, b + d) for (a, b), (c, d) in zip(
            own, ((top, bottom), (left, right)), strict=True))
        again = type(layer)(**named)
        self.values = [(again if each is layer else each, values) for each, values in self.values]
        return [again], y

    def read_Upsample(self, node: Any, x: str, shape: Shape) -> tuple[list[Any], str]:
        named = self.attributes(node, mode="nearest", scales=None)
        scales = named["scales"] or self.operand(node, 1, "scales").reshape(-1).tolist()
        return [self.upsample(node, shape, named["mode"], "asymmetric", "floor", scales, None)], node.output[0]

    def read_Resize(self, node: Any, x: str, shape: Shape) -> tuple[list[Any], str]:
        self.check_first(node, x)
        if self.opset < 11:
            return self.read_Upsample(node, x, shape)
        named = self.attributes(
            node, mode="nearest", coordinate_transformation_mode="half_pixel", nearest_mode="round_prefer_floor",
            antialias=0, axes=None, cubic_coeff_a=None, exclude_outside=0, extrapolation_value=0.0,
            keep_aspect_ratio_policy="stretch")
        self.fixed(node, named, antialias=0, keep_aspect_ratio_policy="stretch")
        axes = [axis % 4 for axis in named["axes"] or range(4)]

        def of_all_axes(place: int, what: str) -> list[Any]:
            given = dict(zip(axes, self.operand(node, place, what).reshape(-1).tolist(), strict=True))
            return [given.get(axis) for axis in range(4)]

        scales = of_all_axes(2, "scales") if self.has(node, 2) and self.operand(node, 2, "scales").size else None
        sizes = of_all_axes(3, "sizes") if self.has(node, 3) else None
        layer = self.upsample(node, shape, named["mode"], named["coordinate_transformation_mode"],
                              named["nearest_mode"], scales, sizes)
        return [layer], node.output[0]

    def upsample(self, node: Any, shape: Shape, mode: str, places: str, rounding: str, scales: list[Any] | None,
                 sizes: list[Any] | None) -> Any:
        """An Upsample that looks at the places that ONNX says, for all four axes; None is an axis that stays."""
        if shape is None or len(shape) != 3:
            fail(node, "images whose shape the file tells", "unknown axes")
        if (scales and (scales[0] or 1, scales[1] or 1) != (1, 1)) or (sizes and sizes[1] not in (None, shape[0])):
            fail(node, "another height and width, not another batch or channels", scales or sizes)
        image = shape[1:]
        if scales:
            factors = [1.0 if each is None else float(each) for each in scales[2:]]
            counts = [math.floor(side * factor) for side, factor in zip(image, factors, strict=True)]
            nice = [tidy(factor) for factor in factors]
            if [math.floor(side * factor) for side, factor in zip(image, nice, strict=True)] == counts:
                factors = nice
            size: dict[str, Any] = {"scale_factor": tuple(factors)}
        else:
            counts = [side if each is None else int(each) for side, each in zip(image, (sizes or [None] * 4)[2:],
                                                                               strict=True)]
            factors, size = [new / side for side, new in zip(image, counts, strict=True)], {"size": tuple(counts)}
        if places == "pytorch_half_pixel" and min(counts) > 1:
            places = "half_pixel"
        if places == "align_corners" and any(abs(side * factor - new) > 1e-3 for side, factor, new in zip(
                image, factors, counts, strict=True)):
            fail(node, "scales that give whole sizes, with 'align_corners'", factors)     # runtimes differ about others
        if mode == "linear" and places in ("half_pixel", "align_corners"):
            return self.nn.Upsample(**size, mode="bilinear", align_corners=places == "align_corners")
        if mode == "nearest" and places in ("half_pixel", "align_corners", "asymmetric"):
            ours = (image_tables.places(side, new, factor if scales else None, mode, False).low
                    for side, new, factor in zip(image, counts, factors, strict=True))
            theirs = (nearest_places(side, new, factor, places, rounding)
                      for side, new, factor in zip(image, counts, factors, strict=True))
            if all(np.array_equal(one, other) for one, other in zip(ours, theirs, strict=True)):
                return self.nn.Upsample(**size)
        fail(node, "the pixels that Upsample looks at", f"mode {mode!r}, {places!r}, {rounding!r}, to {counts} from "
             f"{list(image)}")

    def read_GlobalAveragePool(self, node: Any, x: str, shape: Shape) -> tuple[list[Any], str]:
        self.attributes(node)
        return self.flattened(node, shape)

    def read_GlobalMaxPool(self, node: Any, x: str, shape: Shape) -> tuple[list[Any], str]:
        self.attributes(node)
        return [self.nn.AdaptiveMaxPool2d(1)], node.output[0]

    def flattened(self, node: Any, shape: Shape) -> tuple[list[Any], str]:
        """The means of whole images (n, c, 1, 1), and what the node behind makes of them: rows, or other axes."""
        means, y = self.nn.AdaptiveAvgPool2d(1), node.output[0]
        after = self.only_user(y)
        behind = None if after is None else self.nodes[after]
        if after is None or behind is None or behind.op_type not in ("Flatten", "Reshape", "Squeeze"):
            return [means], y
        self.used.add(after)
        if behind.op_type == "Squeeze" and sorted(axis % 4 for axis in self.axes(behind)) == [2, 3]:
            return [self.nn.GlobalAvgPool2d()], behind.output[0]
        layers, y = getattr(self, f"read_{behind.op_type}")(behind, y, shape and (shape[0], 1, 1))
        if len(layers) == 1 and type(layers[0]) is self.nn.Flatten and (shape is None or (
                layers[0].output_shape((shape[0], 1, 1)) == (shape[0],))):
            return [self.nn.GlobalAvgPool2d()], y
        return [means, *layers], y

    def read_ReduceMean(self, node: Any, x: str, shape: Shape) -> tuple[list[Any], str]:
        keeps = self.attributes(node, axes=None, keepdims=1, noop_with_empty_axes=0)["keepdims"]
        if sorted(axis % 4 for axis in self.axes(node)) != [2, 3] or (shape is not None and len(shape) != 3):
            fail(node, "the mean of whole images, axes 2 and 3", self.axes(node))
        return self.flattened(node, shape) if keeps else ([self.nn.GlobalAvgPool2d()], node.output[0])

    def read_Flatten(self, node: Any, x: str, shape: Shape) -> tuple[list[Any], str]:
        axis = self.attributes(node, axis=1)["axis"]
        if axis != 1 and (shape is None or axis != -len(shape)):
            fail(node, "axis = 1", axis)
        return [self.nn.Flatten()], node.output[0]

    def read_Reshape(self, node: Any, x: str, shape: Shape) -> tuple[list[Any], str]:
        wanted = self.wanted_shape(node, x, shape)
        after = self.only_user(node.output[0])
        if after is not None and self.nodes[after].op_type == "InstanceNormalization" and len(wanted) == 2:
            return self.groups(after, wanted, node.output[0], shape)
        return self.reshaping(shape, wanted), node.output[0]

    def wanted_shape(self, node: Any, x: str, shape: Shape) -> tuple[int, ...]:
        """The shape of an example behind a Reshape that leaves the batch as it is."""
        zeros_are_sizes = self.attributes(node, allowzero=0)["allowzero"]
        self.check_first(node, x)
        batch, *wanted = [int(each) for each in self.operand(node, 1, "shape").reshape(-1)] or [1]
        size = None if shape is None else math.prod(shape)
        given = [shape[at] if each == 0 and shape and at < len(shape) else each for at, each in enumerate(wanted)]
        known = math.prod(each for each in given if each > 0)
        open_ends = given.count(-1) + (batch == -1)
        if size is None:
            fits = given == [-1] and open_ends == 1
        else:
            fits = open_ends <= 1 and not size % known and 0 not in given and (-1 in given or size == known)
        fits = fits and bool(wanted) and not (zeros_are_sizes and 0 in (batch, *wanted))
        if not fits or (batch > 0 and self.batch not in (0, batch)):
            fail(node, f"a row for each example{f', [0, {size}]' if size else ''}, or other axes of its own",
                 [batch, *wanted])
        return tuple(each if each > 0 else (size or -known) // known for each in given)

    def reshaping(self, shape: Shape, wanted: tuple[int, ...]) -> list[Any]:
        """Flatten, Unflatten, or both, that make examples of the shape ``wanted`` of those of ``shape``."""
        if len(wanted) == 1 or not shape:
            return [self.nn.Flatten()] if len(wanted) == 1 else [self.nn.Flatten(), self.nn.Unflatten(1, wanted)]
        most = min(len(shape), len(wanted)) - 1
        start = next((at for at in range(most) if shape[at] != wanted[at]), most)
        end = next((at for at in range(most - start) if shape[-1 - at] != wanted[-1 - at]), most - start)
        before, after = shape[start:len(shape) - end], wanted[start:len(wanted) - end]
        if len(after) == 1:
            return [self.nn.Flatten(start + 1, start + len(before))] if len(before) > 1 else []
        if len(before) == 1:
            return [self.nn.Unflatten(start + 1, after)]
        return [self.nn.Flatten(), self.nn.Unflatten(1, wanted)]

    def read_Unsqueeze(self, node: Any, x: str, shape: Shape) -> tuple[list[Any], str]:
        axes = self.axes(node)
        if shape is None or not axes:
            fail(node, "constant axes, and an input whose shape the file tells", f"axes {axes} of {shape}")
        rank = 1 + len(shape) + len(axes)
        places = sorted(axis % rank for axis in axes)
        wanted = [0, *shape]
        for place in places:
            wanted.insert(place, 1)
        if 0 in places:
            fail(node, "axes of the example", axes)
        return self.reshaping(shape, tuple(wanted[1:])), node.output[0]

    def read_Squeeze(self, node: Any, x: str, shape: Shape) -> tuple[list[Any], str]:
        places = [] if shape is None else [axis % (1 + len(shape)) for axis in self.axes(node)]
        if shape is None or not places or any(not place or shape[place - 1] != 1 for place in places):
            fail(node, "axes of the example of size 1, which the file tells", self.axes(node))
        wanted = tuple(size for place, size in enumerate(shape, 1) if place not in places)
        if not wanted:
            fail(node, "an axis that remains", self.axes(node))
        return self.reshaping(shape, wanted), node.output[0]

    # ---- norms ----

    def read_InstanceNormalization(self, node: Any, x: str, shape: Shape) -> tuple[list[Any], str]:
        eps = self.attributes(node, epsilon=1e-5)["epsilon"]
        self.check_first(node, x)
        weight, bias = self.operand(node, 1, "scale"), self.operand(node, 2, "bias")
        layer = self.nn.GroupNorm(weight.size, weight.size, tidy(eps))
        return [self.valued(layer, weight=weight, bias=bias)], node.output[0]

    def read_GroupNormalization(self, node: Any, x: str, shape: Shape) -> tuple[list[Any], str]:
        named = self.attributes(node, epsilon=1e-5, num_groups=None, stash_type=1)
        self.check_first(node, x)
        values = {"weight": self.operand(node, 1, "scale"), "bias": self.operand(node, 2, "bias")}
        layer = self.nn.GroupNorm(named["num_groups"], values["weight"].size, tidy(named["epsilon"]))
        return [self.valued(layer, **values)], node.output[0]

    def groups(self, index: int, wanted: tuple[int, ...], x: str, shape: Shape) -> tuple[list[Any], str]:
        """GroupNorm as Reshape, InstanceNormalization, Reshape back, Mul, Add; the last two may be left out."""
        norm = self.nodes[index]
        eps = self.attributes(norm, epsilon=1e-5)["epsilon"]
        plain = [self.operand(norm, 1, "scale") == 1, self.operand(norm, 2, "bias") == 0]
        back = self.only_user(norm.output[0])
        if shape is None or not all(map(np.all, plain)) or back is None or self.nodes[back].op_type != "Reshape" or (
                self.wanted_shape(self.nodes[back], norm.output[0], wanted) != shape) or shape[0] % wanted[0]:
            fail(norm, "groups of channels without a scale of their own, and a Reshape back", f"{wanted} of {shape}")
        self.used |= {index, back}
        y, values = self.nodes[back].output[0], {}
        for operator, name in ("Mul", "weight"), ("Add", "bias"):
            after = self.only_user(y)
            value = None if after is None or self.nodes[after].op_type != operator else next(
                (self.constants[each] for each in self.nodes[after].input if each in self.constants), None)
            if after is None or value is None or value.shape[-len(shape):] != (shape[0], *[1] * (len(shape) - 1)):
                break
            values[name], y = value.reshape(-1), self.nodes[after].output[0]
            self.used.add(after)
        layer = self.nn.GroupNorm(wanted[0], shape[0], tidy(eps), affine="weight" in values, bias="bias" in values)
        return [self.valued(layer, **values)], y

    def read_BatchNormalization(self, node: Any, x: str, shape: Shape) -> tuple[list[Any], str]:
        named = self.attributes(node, epsilon=1e-5, momentum=0.9, training_mode=0, spatial=1)
        self.fixed(node, named, training_mode=0, spatial=1)
        self.check_first(node, x)
        names = "weight", "bias", "running_mean", "running_var"
        values = {name: self.operand(node, 1 + place, name) for place, name in enumerate(names)}
        if shape is None:
            fail(node, "an input whose shape the file tells", "unknown axes")
        kind = self.nn.BatchNorm1d if len(shape) == 1 else self.nn.BatchNorm2d
        layer = kind(values["weight"].size, tidy(named["epsilon"]), tidy(1 - named["momentum"]))
        return [self.valued(layer, **values)], node.output[0]

    def read_Sub(self, node: Any, x: str, shape: Shape) -> tuple[list[Any], str]:
        """(x − mean) / deviation, as `export` writes input_scaling: a frozen batch normalization."""
        self.check_first(node, x)
        after = self.only_user(node.output[0])
        if after is None or self.nodes[after].op_type != "Div" or self.nodes[after].input[0] != node.output[0]:
            fail(node, "a Div by a constant behind it", "another operator, or several")
        mean, deviation = self.operand(node, 1, "mean"), self.operand(self.nodes[after], 1, "deviation")
        channels = () if shape is None else shape[:1]
        if channels != shape and not (len(shape or ()) == 3 and mean.size == deviation.size == 1):
            fail(node, "features, or one mean and deviation of all pixels", f"an x of {shape}")
        for name, value in ("mean", mean), ("deviation", deviation):
            if value.size != 1 and not one_for_each(value, math.prod(channels), shape):
                fail(node, f"a {name} that is one number, or one for each feature", value.shape)
        with np.errstate(over="ignore", under="ignore"):
            variance = (deviation.astype(np.float64) ** 2).astype(deviation.dtype)
        if not (np.abs(np.sqrt(variance + SMALLEST) - deviation) <= 1e-6 * deviation).all():
            fail(self.nodes[after], "deviations > 0 whose squares are numbers of their dtype",
                 f"{deviation.min():g} to {deviation.max():g}")
        kind = self.nn.BatchNorm1d if channels == shape else self.nn.BatchNorm2d
        layer = kind(*channels, SMALLEST, affine=False)
        layer.trainable = False
        self.used.add(after)
        values = {"running_mean": mean, "running_var": variance}
        return [self.valued(layer, **{name: np.broadcast_to(value.reshape(-1), channels)
                                      for name, value in values.items()})], self.nodes[after].output[0]

    def read_LayerNormalization(self, node: Any, x: str, shape: Shape) -> tuple[list[Any], str]:
        named = self.attributes(node, epsilon=1e-5, axis=-1, stash_type=1)
        weight = self.normed(node, x, shape, named["axis"])
        bias = {"bias": self.operand(node, 2, "bias")} if self.has(node, 2) else {}
        layer = self.nn.LayerNorm(weight.shape, tidy(named["epsilon"]), bias=bool(bias))
        return [self.valued(layer, weight=weight, **bias)], node.output[0]

    def read_RMSNormalization(self, node: Any, x: str, shape: Shape) -> tuple[list[Any], str]:
        named = self.attributes(node, epsilon=1e-5, axis=-1, stash_type=1)
        weight = self.normed(node, x, shape, named["axis"])
        return [self.rms_norm(weight, named["epsilon"])], node.output[0]

    def normed(self, node: Any, x: str, shape: Shape, axis: int) -> Array:
        """The scale of a norm over all axes from ``axis`` on."""
        self.check_first(node, x)
        weight = self.operand(node, 1, "scale")
        if axis != -weight.ndim and (shape is None or axis != len(shape) + 1 - weight.ndim):
            fail(node, f"the last {weight.ndim} axes, which the scale has", f"axis = {axis}")
        return weight

    def read_Slice(self, node: Any, x: str, shape: Shape) -> tuple[list[Any], str]:
        if self.opset < 10:
            named = self.attributes(node, starts=None, ends=None, axes=None)
            starts, ends, axes, steps = named["starts"], named["ends"], named["axes"], [1]
        else:
            self.attributes(node)
            self.check_first(node, x)
            starts, ends, axes = (self.operand(node, place, what).reshape(-1).tolist()
                                  for place, what in enumerate(("starts", "ends", "axes"), 1))
            steps = self.operand(node, 4, "steps").reshape(-1).tolist() if self.has(node, 4) else [1]
        if axes != [1] or steps != [1]:
            fail(node, "axis 1 in steps of 1", f"axes {axes} in steps of {steps}")
        start, stop = int(starts[0]), int(ends[0])
        if shape is not None:
            start, stop, _ = slice(start, stop).indices(shape[0])
        return [self.nn.Select(start, stop)], node.output[0]

    def read_Round(self, node: Any, x: str, shape: Shape) -> tuple[list[Any], str]:
        """Whole numbers in floats: a Cast and a Gather stand behind."""
        self.attributes(node)
        return self.row_numbers(node, "Cast", shape)

    def read_Cast(self, node: Any, x: str, shape: Shape) -> tuple[list[Any], str]:
        to = self.attributes(node, to=None, saturate=1)["to"]
        if to not in (self.onnx.TensorProto.INT32, self.onnx.TensorProto.INT64):
            fail(node, "row numbers for a Gather, INT32 or INT64", to)
        return self.row_numbers(node, "Gather", shape)

    def row_numbers(self, node: Any, wanted: str, shape: Shape) -> tuple[list[Any], str]:
        """The layers of the one node behind, which must be of the operator ``wanted``."""
        after = self.only_user(node.output[0])
        if after is None or self.nodes[after].op_type != wanted:
            fail(node, f"{wanted} behind it", "none" if after is None else self.nodes[after].op_type)
        return self.single(after, node.output[0], shape)

    def read_Gather(self, node: Any, x: str, shape: Shape) -> tuple[list[Any], str]:
        self.fixed(node, self.attributes(node, axis=0), axis=0)
        table = self.operand(node, 0, "table")
        if table.ndim != 2 or node.input[1] != x:
            fail(node, f"the rows {x!r} of a table", f"the rows {node.input[1]!r} of an array {table.shape}")
        return [self.valued(self.nn.Embedding(*table.shape), weight=table)], node.output[0]

    def read_Dropout(self, node: Any, x: str, shape: Shape) -> tuple[list[Any], str]:
        p = self.attributes(node, ratio=0.5, seed=0)["ratio"]
        if self.has(node, 1):
            p = float(self.operand(node, 1, "ratio").reshape(-1)[0])
        if self.has(node, 2) and self.operand(node, 2, "training_mode").any():
            fail(node, "training_mode = False", True)
        return [self.nn.Dropout(tidy(p))], node.output[0]

    def read_Softmax(self, node: Any, x: str, shape: Shape) -> tuple[list[Any], str]:
        axis = self.attributes(node, axis=-1 if self.opset >= 13 else 1)["axis"]
        last = axis == -1 or (shape is not None and axis == len(shape))
        if self.opset < 13 and not last:            # over all axes from this one on
            fail(node, "the last axis", f"axis = {axis}")
        if axis == 0 or (shape is not None and not -len(shape) <= axis <= len(shape)):
            fail(node, "an axis of an example", f"axis = {axis}")
        return [getattr(self.nn, node.op_type)(-1 if last else axis)], node.output[0]

    read_LogSoftmax = read_Softmax

    def read_PRelu(self, node: Any, x: str, shape: Shape) -> tuple[list[Any], str]:
        self.attributes(node)
        self.check_first(node, x)
        slope = self.operand(node, 1, "slope")
        if slope.size > 1 and (shape is None or slope.shape[-len(shape):] != (slope.size, *[1] * (len(shape) - 1))):
            fail(node, "one slope, or one for each channel", slope.shape)
        return [self.valued(self.nn.PReLU(slope.size), weight=slope.reshape(-1))], node.output[0]

    def read_Selu(self, node: Any, x: str, shape: Shape) -> tuple[list[Any], str]:
        named = self.attributes(node, alpha=1.6732632, gamma=1.050701)
        if not (math.isclose(named["alpha"], 1.6732632, rel_tol=1e-4)
                and math.isclose(named["gamma"], 1.050701, rel_tol=1e-4)):
            fail(node, "alpha = 1.6733, gamma = 1.0507", f"{named['alpha']:.5g} and {named['gamma']:.5g}")
        return [self.nn.SELU()], node.output[0]

    def read_HardSigmoid(self, node: Any, x: str, shape: Shape) -> tuple[list[Any], str]:
        named = self.attributes(node, alpha=0.2, beta=0.5)
        if not math.isclose(named["alpha"], 1 / 6, rel_tol=1e-4) or named["beta"] != 0.5:
            fail(node, "alpha = 1/6, beta = 0.5", f"{named['alpha']:.5g} and {named['beta']:.5g}")
        return [self.nn.Hardsigmoid()], node.output[0]

    def read_Clip(self, node: Any, x: str, shape: Shape) -> tuple[list[Any], str]:
        named = self.attributes(node, min=None, max=None)
        self.check_first(node, x)
        low, high = (float(self.operand(node, place, name).reshape(-1)[0]) if self.has(node, place) else named[name]
                     for place, name in enumerate(("min", "max"), 1))
        if (low, high) not in ((0, 6), (0, None)):
            fail(node, "min = 0, and max = 6 or none", f"{low} and {high}")
        return [self.nn.ReLU6() if high else self.nn.ReLU()], node.output[0]

    def read_Shrink(self, node: Any, x: str, shape: Shape) -> tuple[list[Any], str]:
        named = self.attributes(node, lambd=0.5, bias=0.0)
        if named["bias"] not in (0, named["lambd"]):
            fail(node, "bias = 0 or lambd", f"{named['bias']} and {named['lambd']}")
        kind = self.nn.Softshrink if named["bias"] else self.nn.Hardshrink
        return [kind(tidy(named["lambd"]))], node.output[0]

    def read_Neg(self, node: Any, x: str, shape: Shape) -> tuple[list[Any], str]:
        """log σ(x) = −softplus(−x)."""
        nodes, y = [], node.output[0]
        for wanted in "Softplus", "Neg":
            after = self.only_user(y)
            if after is None or self.nodes[after].op_type != wanted:
                fail(node, f"{wanted} behind it, for log σ", "none" if after is None else self.nodes[after].op_type)
            nodes.append(after)
            y = self.nodes[after].output[0]
        self.used |= set(nodes)
        return [self.nn.LogSigmoid()], y

    def read_Gelu(self, node: Any, x: str, shape: Shape) -> tuple[list[Any], str]:
        return [self.nn.GELU(self.attributes(node, approximate="none")["approximate"])], node.output[0]

    def read_Mish(self, node: Any, x: str, shape: Shape) -> tuple[list[Any], str]:
        self.attributes(node)
        return [self.nn.Mish()], node.output[0]

    def read_Swish(self, node: Any, x: str, shape: Shape) -> tuple[list[Any], str]:
        self.fixed(node, self.attributes(node, alpha=1.0), alpha=1.0)
        return [self.nn.SiLU()], node.output[0]


def one_for_each(value: Array, count: int, shape: Shape) -> bool:
    """Does broadcasting give one number to each of ``count`` features, the last axis of examples of ``shape``?"""
    fits = shape is None or value.ndim <= 1 + len(shape)
    return fits and value.size == count and value.shape[-1:] in ((), (count,))


def nearest_places(side: int, count: int, factor: float, places: str, rounding: str) -> Array:
    """Which of ``side`` pixels ONNX takes for each of ``count`` new ones."""
    i = np.arange(count)
    place = {"half_pixel": (i + 0.5) / factor - 0.5, "asymmetric": i / factor,
             "align_corners": i * (side - 1) / max(count - 1, 1)}[places]
    whole = {"floor": np.floor(place), "ceil": np.ceil(place), "round_prefer_floor": np.ceil(place - 0.5),
             "round_prefer_ceil": np.floor(place + 0.5)}[rounding]
    return np.clip(whole, 0, side - 1).astype(np.int64)


def tidy(value: float) -> float:
    """A number that was stored as float32, as it was typed: 0.009999999776482582 is 0.01."""
    return float(np.format_float_positional(np.float32(value), unique=True))
