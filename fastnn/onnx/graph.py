"""The graph of an ONNX file: its constants, who takes which value, what a node is given.

``Graph`` finds; what layers nodes are, ``load`` and ``readers`` say. What does not fit is a ValueError that names the
node (``fail``).
"""

from __future__ import annotations

import math
from typing import Any, Never

import numpy as np
import numpy.typing as npt

from fastnn_ref.shared import checks

from .formulas import X

Array = npt.NDArray[Any]
Shape = tuple[int, ...] | None                      # of an example, where it is known
Within = frozenset[int] | None                      # the nodes of a branch; None: all

OLDEST, NEWEST = 9, 25                              # operator sets
SWAPPED = ("Add", "Mul")                            # operators whose operands may stand either way
LEAF = ("Identity", "Transpose", "Constant")        # what is worked out where it stands on constants
FAR = 24                                            # nodes that a formula may have


def fail(node: Any, wanted: str, got: object) -> Never:
    """ValueError about a node."""
    raise checks.value_error("node {node!r} ({kind}): expected {wanted}, got {got}", node=node.name or node.output[0],
                             kind=node.op_type, wanted=wanted, got=str(got))


class Graph:
    """Nodes by their number, values by their name."""

    def __init__(self, onnx: Any, found: Any) -> None:
        self.onnx, self.graph = onnx, found.graph
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
        self.batch = 0                                  # examples that the file was made for; 0: any number

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

    def only_user(self, name: str) -> int | None:
        users = self.users.get(name, ())
        return users[0] if len(users) == 1 and name != self.graph.output[0].name else None

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
            if any(each.name == "keepdims" and each.i != 1 for each in node.attribute):
                return False
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

    def check_first(self, node: Any, x: str) -> None:
        if node.input[0] != x:
            fail(node, f"{x!r} as its first input", repr(node.input[0]))

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


def one_for_each(value: Array, count: int, shape: Shape) -> bool:
    """Does broadcasting give one number to each of ``count`` features, the last axis of examples of ``shape``?"""
    fits = shape is None or value.ndim <= 1 + len(shape)
    return fits and value.size == count and value.shape[-1:] in ((), (count,))


def tidy(value: float) -> float:
    """A number that was stored as float32, as it was typed: 0.009999999776482582 is 0.01."""
    return float(np.format_float_positional(np.float32(value), unique=True))
