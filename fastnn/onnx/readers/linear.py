"""Linear and Embedding: products with a matrix, rows of a table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..graph import Array, Shape, fail, one_for_each

if TYPE_CHECKING:
    from ..load import Reader


def linear(reader: Reader, node: Any, weight: Array, bias: Array | None, shape: Shape) -> Any:
    """A Linear of a weight (in, out)."""
    if bias is not None and not one_for_each(bias, weight.shape[1], shape):
        fail(node, f"a bias of {weight.shape[1]} numbers, one for each output", bias.shape)
    more = {} if bias is None else {"bias": bias.reshape(-1)}
    return reader.valued(reader.nn.Linear(*weight.shape, bias=bias is not None), weight=weight, **more)


def matrix(reader: Reader, node: Any) -> Array:
    """The second operand, a weight of two axes."""
    weight = reader.operand(node, 1, "weight")
    if weight.ndim != 2:
        fail(node, "a weight of two axes", weight.shape)
    return weight


def read_Gemm(reader: Reader, node: Any, x: str, shape: Shape) -> tuple[list[Any], str]:
    named = reader.attributes(node, alpha=1.0, beta=1.0, transA=0, transB=0)
    reader.fixed(node, named, alpha=1.0, transA=0)
    reader.check_first(node, x)
    weight = matrix(reader, node)
    bias = reader.operand(node, 2, "bias") if reader.has(node, 2) else None
    if bias is not None:
        reader.fixed(node, named, beta=1.0)
    return [linear(reader, node, weight.T if named["transB"] else weight, bias, shape)], node.output[0]


def read_MatMul(reader: Reader, node: Any, x: str, shape: Shape) -> tuple[list[Any], str]:
    reader.attributes(node)
    reader.check_first(node, x)
    weight, y, bias = matrix(reader, node), node.output[0], None
    after = reader.only_user(y)
    if after is not None and reader.nodes[after].op_type == "Add":
        constant = [reader.constants[name] for name in reader.nodes[after].input if name in reader.constants]
        if constant and one_for_each(constant[0], weight.shape[-1], shape):
            bias, y = constant[0], reader.nodes[after].output[0]
            reader.used.add(after)
    return [linear(reader, node, weight, bias, shape)], y


def read_Round(reader: Reader, node: Any, x: str, shape: Shape) -> tuple[list[Any], str]:
    """Whole numbers in floats: a Cast and a Gather stand behind."""
    reader.attributes(node)
    return row_numbers(reader, node, "Cast", shape)


def read_Cast(reader: Reader, node: Any, x: str, shape: Shape) -> tuple[list[Any], str]:
    to = reader.attributes(node, to=None, saturate=1)["to"]
    if to not in (reader.onnx.TensorProto.INT32, reader.onnx.TensorProto.INT64):
        fail(node, "row numbers for a Gather, INT32 or INT64", to)
    return row_numbers(reader, node, "Gather", shape)


def row_numbers(reader: Reader, node: Any, wanted: str, shape: Shape) -> tuple[list[Any], str]:
    """The layers of the one node behind, which must be of the operator ``wanted``."""
    after = reader.only_user(node.output[0])
    if after is None or reader.nodes[after].op_type != wanted:
        fail(node, f"{wanted} behind it", "none" if after is None else reader.nodes[after].op_type)
    return reader.single(after, node.output[0], shape)


def read_Gather(reader: Reader, node: Any, x: str, shape: Shape) -> tuple[list[Any], str]:
    reader.fixed(node, reader.attributes(node, axis=0), axis=0)
    table = reader.operand(node, 0, "table")
    if table.ndim != 2 or node.input[1] != x:
        fail(node, f"the rows {x!r} of a table", f"the rows {node.input[1]!r} of an array {table.shape}")
    return [reader.valued(reader.nn.Embedding(*table.shape), weight=table)], node.output[0]
