"""A model as an ONNX file: the graph of its prediction."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from typing import Any, Never

import numpy as np
import numpy.typing as npt

from fastnn_ref import philox
from fastnn_ref.shared import atomic, checks
from fastnn_ref.shared.access import numbered
from fastnn_ref.shared.arrays import as_number_array
from fastnn_ref.shared.config import signature
from fastnn_ref.shared.diagnosis import outermost
from fastnn_ref.shared.network import as_dtype
from fastnn_ref.shared.objects import check_model, class_name, is_ours
from fastnn_ref.shared.optional import optional

from .. import image_tables
from .._version import __version__
from .formulas import FLOAT32_ALONE, FORMULAS, OPERATORS, RMS, X

Array = npt.NDArray[Any]

OPSET, IR = 17, 8
LARGEST_FILE = 2**31 - 1                # bytes that protobuf can hold
PREDICTION = 2**32 - 1                  # the step that DropConnect's draws at prediction belong to
NOTHING = ("Dropout", "GaussianNoise", "Augment")       # what only training does

# The arguments that are known here. What another one would mean is not in the file, so it is an error.
WINDOW = "kernel_size stride padding"
ARGUMENTS = {name: words.split() for name, words in {
    "Sequential": "layers seed dtype penalty input_shape",
    "Linear": "in_features out_features activation bias init",
    "DropConnect": "in_features out_features p mask inference activation bias init samples",
    "Conv2d": f"in_channels out_channels {WINDOW} dilation groups activation bias init algorithm",
    "Embedding": "num_embeddings embedding_dim init",
    "ConvTranspose2d": f"in_channels out_channels {WINDOW} output_padding groups bias dilation activation init",
    "MaxPool2d": f"{WINDOW} dilation ceil_mode",
    "AvgPool2d": f"{WINDOW} ceil_mode count_include_pad divisor_override",
    "AdaptiveMaxPool2d": "output_size",
    "AdaptiveAvgPool2d": "output_size",
    "Upsample": "size scale_factor mode align_corners",
    "LeakyReLU": "negative_slope",
    "ELU": "alpha",
    "CELU": "alpha",
    "Softshrink": "lambd",
    "Hardshrink": "lambd",
    "Flatten": "start_dim end_dim",
    "Unflatten": "dim unflattened_size",
    "GELU": "approximate",
    "Softmax": "dim",
    "LogSoftmax": "dim",
    "PReLU": "num_parameters init",
    "BatchNorm1d": "num_features eps momentum affine bias",
    "BatchNorm2d": "num_features eps momentum affine bias",
    "LayerNorm": "normalized_shape eps elementwise_affine bias",
    "RMSNorm": "normalized_shape eps elementwise_affine",
    "GroupNorm": "num_groups num_channels eps affine bias",
    "Dropout": "p",
    "Residual": "block",
    "StochasticDepth": "block p mode",
    "Parallel": "branches merge",
    "Select": "start stop",
    "GaussianNoise": "std",
    "Augment": "rotation shift zoom shear flip brightness contrast noise erase fill whole_shift image_shape",
}.items()}


def export(
    model: Any, path: str | os.PathLike[str], *, input_shape: Sequence[int] | None = None, dtype: str = "float32",
    input_scaling: tuple[npt.ArrayLike, npt.ArrayLike] | None = None, metadata: Mapping[str, str] | None = None,
) -> None:
    """Writes what ``model`` computes at prediction to ``path``, an ONNX file that onnxruntime and others run.

    The graph has one input ``x`` of shape (batch, …) and one output ``y``; the batch may have any size. ``input_shape``
    is the shape of one example, such as (1, 28, 28); it is needed where the model does not know it. ``dtype`` is that
    of inputs, weights and arithmetic: "float32", which all runtimes know, or "float64", which few do for all operators.

    ``input_scaling=(mean, deviation)``, numbers or arrays of one example's shape: the graph begins with (x − mean) /
    deviation, so that it takes raw values where the model was trained on standardised ones. ``load`` makes a frozen
    batch normalization of it. ``metadata``, such as the names of classes, stands in the file under its keys.

    Dropout stands in the file, so that ``load`` has it again; noise, augmentation, ``trainable``, ``lr_scale`` and the
    ``algorithm`` of a ``Conv2d`` do not. An ``Embedding`` takes its numbers from the floats of ``x``; one that has no
    row is the runtime's error, but negative ones count from the end there. Raises ValueError for a layer that cannot
    be said (one of your own) and for shapes that do not fit, TypeError for no layer, OSError if the file cannot be
    written. The file appears whole or not at all.

    >>> import tempfile, fastnn as nn
    >>> from fastnn.onnx import export, load
    >>> model = nn.Sequential(nn.Linear(4, 3, activation="relu"), nn.Dropout(0.2), nn.Linear(3, 2))
    >>> export(model, path := f"{tempfile.mkdtemp()}/model.onnx")
    >>> load(path)
    Sequential(Linear(4, 3), ReLU(), Dropout(p=0.2), Linear(3, 2), dtype='float32', input_shape=(4,))
    """
    check_model("model", model, or_layer=True)
    place, wanted = checks.as_path("path", path), as_dtype(dtype, "float32")
    if metadata is not None and not (isinstance(metadata, Mapping) and all(
            isinstance(each, str) for entry in metadata.items() for each in entry)):
        raise TypeError(f"metadata: expected a dict from key to text, got {metadata!r}")
    shape = model.input_shape if input_shape is None else input_shape
    if shape is not None and shape != ():           # one number for each example, as an Embedding takes it
        shape = checks.as_shape("input_shape", shape)
    if shape is None:
        raise ValueError("input_shape: expected the shape of one example, such as (1, 28, 28), which the model does "
                         "not know")
    graph = Graph(model, wanted)
    try:
        output = model.output_shape(shape)
    except ValueError as error:                     # only a shape that was passed does not fit
        raise ValueError(f"input_shape: {error}") from None
    name = "x"
    if input_scaling is not None:
        for operator, values in zip(("Sub", "Div"), as_scaling(input_scaling, tuple(shape), wanted), strict=True):
            name = graph.node(operator, name, graph.constant(f"x_{operator.lower()}", values))
    name = graph.layer(model, name, tuple(shape), "")
    content = graph.finished(tuple(shape), tuple(output), name, metadata or {})
    atomic.write(place, content)


def as_scaling(value: Any, shape: tuple[int, ...], dtype: np.dtype[Any]) -> tuple[Array, Array]:
    """(mean, deviation) in the file's dtype, finite numbers, each one for all of x or an array of an example's shape;
    deviations > 0."""
    if not isinstance(value, tuple) or len(value) != 2:
        raise TypeError(f"input_scaling: expected a tuple (mean, deviation), got {class_name(value)}")
    with np.errstate(over="ignore", under="ignore"):
        mean, deviation = (as_number_array(f"input_scaling[{place}]", each).astype(dtype)
                           for place, each in enumerate(value))
    for place, each in enumerate((mean, deviation)):
        if each.shape not in ((), shape):
            raise ValueError(f"input_scaling[{place}]: expected a number, or {checks.format_shape(shape)}, got "
                             f"{checks.format_shape(each.shape)}")
        if not np.isfinite(each).all() or (place and not (each > 0).all()):
            raise ValueError(f"input_scaling[{place}]: expected finite numbers{' > 0' if place else ''} in {dtype}")
    return mean, deviation


def check_arguments(layer: Any, path: str) -> None:
    """ValueError for an argument of the layer's constructor that this file does not know."""
    known = ARGUMENTS.get(type(layer).__name__, ())
    for each in signature(type(layer)):
        if each.name not in known:
            fail(path, f"{type(layer).__name__}.{each.name}",
                 f"arguments that ONNX files can say ({', '.join(known) or 'none'})", "another one")


def fail(path: str, what: str, wanted: str, got: object) -> Never:
    """ValueError about a layer, or an option of it, that ONNX files cannot say."""
    raise ValueError(f"{path.rstrip('.') or 'model'}: {what}: expected {wanted}, got {got}")


def pads(layer: Any, more: Sequence[int] = (0, 0)) -> list[int]:
    """Padding as ONNX has it, top and left, then bottom and right, with so many rows and columns more behind."""
    (top, bottom), (left, right) = checks.sides_of(layer.padding)
    return [top, left, bottom + more[0], right + more[1]]


class Graph:
    """Nodes and constants, one after the other."""

    def __init__(self, model: Any, dtype: np.dtype[Any]) -> None:
        self.onnx: Any = optional("onnx", extra="onnx")
        optional("onnx.numpy_helper", extra="onnx")
        self.nodes: list[Any] = []
        self.constants: dict[str, Array] = {}
        self.dtype, self.model = dtype, model
        self.streams = {id(layer): number for _, layer, number in numbered(outermost(model))}

    # ---- pieces ----

    def node(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """Adds a node with one output, whose name it returns."""
        output = f"{operator.lower()}_{len(self.nodes)}"
        self.nodes.append(self.onnx.helper.make_node(operator, inputs, [output], name=output, **attributes))
        return output

    def constant(self, name: str, value: Any, dtype: Any = None) -> str:
        """A constant under this name."""
        self.constants[name] = np.array(value, dtype or self.dtype)
        return name

    def number(self, value: float) -> str:
        return self.constant(f"number_{value!r}", value)

    def formula(self, formula: Any, names: dict[str, str], **attributes: Any) -> str:
        """Adds the nodes of a formula; equal parts of it stand once."""
        done: dict[Any, str] = {}

        def add(part: Any) -> str:
            if isinstance(part, str):
                return names[part]
            if isinstance(part, float):
                return self.number(part)
            if part not in done:
                more = attributes if part[0] == "ReduceMean" else {}
                done[part] = self.node(part[0], *map(add, part[1:]), **more)
            return done[part]

        return add(formula)

    # ---- layers ----

    def layer(self, layer: Any, x: str, shape: tuple[int, ...], path: str) -> str:
        """Adds a layer behind x, whose examples have this shape; returns the name of y."""
        kind = type(layer).__name__
        own = is_ours(type(layer))
        if not own or not (hasattr(self, f"add_{kind}") or kind in (*OPERATORS, *NOTHING) or kind in COMPOSED):
            raise ValueError(f"{path.rstrip('.') or 'model'}: expected a layer that ONNX can say, got {layer!r}")
        check_arguments(layer, path)
        if hasattr(self, f"add_{kind}"):
            found: str = getattr(self, f"add_{kind}")(layer, x, shape, path)
            return found
        if kind in NOTHING:
            return x
        if kind in OPERATORS:
            operator, named = OPERATORS[kind]
            if operator in FLOAT32_ALONE and self.dtype != np.float32:
                raise ValueError(f"dtype: expected 'float32', the one that ONNX's {operator} knows, got {self.dtype}")
            return self.node(operator, x, **{theirs: getattr(layer, ours) for ours, theirs in named.items()})
        formula = next(formulas[0] for name, arguments, formulas in reversed(FORMULAS)
                       if name == kind and all(getattr(layer, key) == value for key, value in arguments.items()))
        return self.formula(formula, {X: x})

    def values(self, layer: Any, path: str) -> dict[str, str]:
        """The names of a layer's parameters and running statistics, as constants."""
        state = layer.state_dict()
        return {name: self.constant(path + name, state[name]) for name in layer.specs}

    def scale_and_shift(self, layer: Any, path: str, size: int) -> tuple[str, str]:
        """The names of weight and bias, or of the ones and zeros that stand in for them."""
        own = self.values(layer, path)
        return (own.get("weight") or self.constant(f"{path}ones", np.ones(size)),
                own.get("bias") or self.constant(f"{path}zeros", np.zeros(size)))

    def reshape(self, x: str, shape: Sequence[int]) -> str:
        """x with examples of this shape; 0 is the batch, of any size."""
        text = "_".join(map(str, shape))
        return self.node("Reshape", x, self.constant(f"shape_{text}", [0, *shape], np.int64))

    def activation(self, layer: Any, u: str, shape: tuple[int, ...], path: str) -> str:
        if layer.activation.name == "identity":
            return u
        return self.layer(layer.activation, u, shape, f"{path}activation.")

    def add_Sequential(self, layer: Any, x: str, shape: tuple[int, ...], path: str) -> str:
        for index, each in enumerate(layer.layers):
            x = self.layer(each, x, shape, f"{path}{index}.")
            shape = tuple(each.output_shape(shape))
        return x

    def add_Residual(self, layer: Any, x: str, shape: tuple[int, ...], path: str) -> str:
        return self.node("Add", x, self.layer(layer.block, x, shape, f"{path}block."))

    add_StochasticDepth = add_Residual

    def add_Parallel(self, layer: Any, x: str, shape: tuple[int, ...], path: str) -> str:
        ys = [self.layer(branch, x, shape, f"{path}{index}.") for index, branch in enumerate(layer.branches)]
        if len(ys) == 1:
            return ys[0]
        return self.node("Concat", *ys, axis=1) if layer.merge == "concat" else self.node("Sum", *ys)

    def add_Select(self, layer: Any, x: str, shape: tuple[int, ...], path: str) -> str:
        ends = (self.constant(f"place_{place}", [place], np.int64) for place in (layer.start, layer.stop, 1))
        return self.node("Slice", x, *ends)

    def add_Embedding(self, layer: Any, x: str, shape: tuple[int, ...], path: str) -> str:
        rows = self.node("Cast", self.node("Round", x), to=self.onnx.TensorProto.INT64)
        return self.node("Gather", self.values(layer, path)["weight"], rows)

    def add_Dropout(self, layer: Any, x: str, shape: tuple[int, ...], path: str) -> str:
        if layer.p in (0, 1):               # p = 1 is not a ratio
            return x
        return self.node("Dropout", x, self.constant(f"{path}ratio", layer.p))

    def linear(self, x: str, weight: str, bias: str | None, shape: tuple[int, ...]) -> str:
        if len(shape) == 1:
            return self.node("Gemm", x, weight, *([bias] if bias else []))
        u = self.node("MatMul", x, weight)
        return self.node("Add", u, bias) if bias else u

    def add_Linear(self, layer: Any, x: str, shape: tuple[int, ...], path: str) -> str:
        own = self.values(layer, path)
        u = self.linear(x, own["weight"], own.get("bias"), shape)
        return self.activation(layer, u, tuple(layer.output_shape(shape)), path)

    def add_DropConnect(self, layer: Any, x: str, shape: tuple[int, ...], path: str) -> str:
        if layer.p == 0 or layer.inference == "mean":
            return self.add_Linear(layer, x, shape, path)
        own = self.values(layer, path)
        mean = self.linear(x, own["weight"], own.get("bias"), shape)
        name, out = layer.activation.name, layer.out_features
        if name == "identity":
            return mean
        weight = layer.state_dict()["weight"].astype(np.float64)
        squares = self.constant(f"{path}variance", layer.p / (1 - layer.p) * weight**2)
        sigma = self.node("Sqrt", self.linear(self.node("Mul", x, x), squares, None, shape))
        if name == "relu":
            return self.expected_relu(mean, sigma)
        draws = philox.normal((layer.samples, out), layer.network.seeds.masks, PREDICTION,
                              philox.stream(philox.MASK, self.streams[id(layer)]))
        axis = self.constant("axis_1", [1], np.int64)
        mean, sigma = (self.node("Unsqueeze", each, axis) for each in (mean, sigma))
        u = self.node("Add", mean, self.node("Mul", sigma, self.constant(f"{path}draws", draws[None])))
        y = self.layer(layer.activation, u, (layer.samples, out), f"{path}activation.")
        return self.node("ReduceMean", y, axes=[1], keepdims=0)

    def expected_relu(self, mean: str, sigma: str) -> str:
        """mean · Φ(z) + sigma · φ(z), z = mean/sigma; where sigma is 0, z is of mean's sign and very large."""
        small = self.number(float(np.finfo(self.dtype).tiny))
        quotient = self.node("Div", mean, self.node("Max", sigma, small))
        z = self.node("Clip", quotient, self.number(-40.0), self.number(40.0))
        return self.formula(
            ("Add", ("Mul", ("Mul", 0.5, "mean"), ("Add", ("Erf", ("Div", "z", math.sqrt(2))), 1.0)),
             ("Mul", ("Mul", "sigma", 1 / math.sqrt(2 * math.pi)), ("Exp", ("Mul", -0.5, ("Mul", "z", "z"))))),
            {"mean": mean, "sigma": sigma, "z": z})

    def add_Conv2d(self, layer: Any, x: str, shape: tuple[int, ...], path: str) -> str:
        u = self.node("Conv", x, *self.values(layer, path).values(), kernel_shape=layer.kernel_size,
                      strides=layer.stride, pads=pads(layer), dilations=layer.dilation, group=layer.groups)
        return self.activation(layer, u, tuple(layer.output_shape(shape)), path)

    def add_ConvTranspose2d(self, layer: Any, x: str, shape: tuple[int, ...], path: str) -> str:
        if any(more >= s for more, s in zip(layer.output_padding, layer.stride, strict=True)):
            fail(path, "ConvTranspose2d.output_padding",
                 f"less than the stride {layer.stride}, which runtimes insist on", layer.output_padding)
        u = self.node("ConvTranspose", x, *self.values(layer, path).values(), kernel_shape=layer.kernel_size,
                      strides=layer.stride, pads=pads(layer), output_padding=layer.output_padding,
                      dilations=layer.dilation, group=layer.groups)
        return self.activation(layer, u, tuple(layer.output_shape(shape)), path)

    def overhang(self, layer: Any, shape: tuple[int, ...], dilation: Sequence[int]) -> list[int]:
        """How far the last windows stick out of the padded image: rows, columns. Runtimes differ about ceil_mode, so
        it is said by padding that no runtime counts."""
        counts = layer.output_shape(shape)[1:]
        return [max(0, (n - 1) * s + k - side - sum(around)) for n, s, k, side, around in zip(
            counts, layer.stride, checks.extent(layer.kernel_size, dilation), shape[1:],
            checks.sides_of(layer.padding), strict=True)]

    def add_MaxPool2d(self, layer: Any, x: str, shape: tuple[int, ...], path: str) -> str:
        dilations = {} if layer.dilation == (1, 1) else {"dilations": layer.dilation}
        around = pads(layer, self.overhang(layer, shape, layer.dilation))
        if any(each >= k for each, k in zip(around, layer.kernel_size * 2, strict=True)):   # runtimes refuse it there
            wide = self.constant(f"{path}pads", [0, 0, *around[:2], 0, 0, *around[2:]], np.int64)
            x, around = self.node("Pad", x, wide, self.number(-math.inf)), [0] * 4
        return self.node("MaxPool", x, kernel_shape=layer.kernel_size, strides=layer.stride, pads=around, **dilations)

    def add_AvgPool2d(self, layer: Any, x: str, shape: tuple[int, ...], path: str) -> str:
        window: dict[str, Any] = {"kernel_shape": layer.kernel_size, "strides": layer.stride}
        more = self.overhang(layer, shape, (1, 1))
        if layer.divisor_override is not None:
            fail(path, "AvgPool2d.divisor_override", "None, which ONNX can say", layer.divisor_override)
        if not any(more):
            return self.node("AveragePool", x, **window, pads=pads(layer), count_include_pad=layer.count_include_pad)
        if layer.count_include_pad and any(pads(layer)):            # what counts, and behind it what does not
            own = pads(layer)
            x = self.node("Pad", x, self.constant(f"{path}pads", [0, 0, *own[:2], 0, 0, *own[2:]], np.int64))
            return self.node("AveragePool", x, **window, pads=[0, 0, *more], count_include_pad=0)
        return self.node("AveragePool", x, **window, pads=pads(layer, more), count_include_pad=0)

    def add_AdaptiveAvgPool2d(self, layer: Any, x: str, shape: tuple[int, ...], path: str) -> str:
        counts = layer.output_shape(shape)[1:]
        kind = "Max" if type(layer).__name__ == "AdaptiveMaxPool2d" else "Average"
        if counts == (1, 1):
            return self.node(f"Global{kind}Pool", x)
        kernel = [side // count for side, count in zip(shape[1:], counts, strict=True)]
        if any(side % count for side, count in zip(shape[1:], counts, strict=True)):
            fail(path, f"{type(layer).__name__}.output_size", f"divisors of {shape[1:]}, which ONNX can say",
                 layer.output_size)
        return self.node(f"{kind}Pool", x, kernel_shape=kernel, strides=kernel)

    add_AdaptiveMaxPool2d = add_AdaptiveAvgPool2d

    def add_Upsample(self, layer: Any, x: str, shape: tuple[int, ...], path: str) -> str:
        """Resize by scales, which are float32 in a file: checked to mean the same size and the same pixels."""
        counts = layer.output_shape(shape)[1:]
        factors = [new / side for side, new in zip(shape[1:], counts, strict=True)]
        if layer.scale_factor is not None and not layer.align_corners:      # there, sizes alone say the places
            factors = layer.scale_factor
        scales = [float(np.float32(factor)) for factor in factors]
        above = np.float32(np.inf)
        scales = [scale if math.floor(side * scale) == new else float(np.nextafter(np.float32(scale), above))
                  for side, new, scale in zip(shape[1:], counts, scales, strict=True)]
        for side, new, given, scale in zip(shape[1:], counts, layer.scale_factor or (None, None), scales, strict=True):
            ours, theirs = (image_tables.places(side, new, factor, layer.mode, layer.align_corners).low
                            for factor in (given, scale))
            if math.floor(side * scale) != new or (layer.mode == "nearest" and (ours != theirs).any()):
                fail(path, "Upsample", "a scale that means the same in float32, which ONNX files have",
                     f"{scale} for {new} from {side}")
            if tuple(counts) == tuple(shape[1:]) and (ours != np.arange(side)).any():       # bilinear ones, too
                fail(path, "Upsample.scale_factor", "1, or one that changes the size: onnxruntime copies other images",
                     layer.scale_factor)
        how = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
        if layer.mode == "bilinear":
            how = {"mode": "linear", "coordinate_transformation_mode":
                   "align_corners" if layer.align_corners else "half_pixel"}
        return self.node("Resize", x, "", self.constant(f"{path}scales", [1.0, 1.0, *scales], np.float32), **how)

    def add_GlobalAvgPool2d(self, layer: Any, x: str, shape: tuple[int, ...], path: str) -> str:
        return self.node("Flatten", self.node("GlobalAveragePool", x))

    def add_Flatten(self, layer: Any, x: str, shape: tuple[int, ...], path: str) -> str:
        wanted = tuple(layer.output_shape(shape))
        return self.node("Flatten", x) if len(wanted) == 1 else self.reshape(x, wanted)

    def add_Unflatten(self, layer: Any, x: str, shape: tuple[int, ...], path: str) -> str:
        return self.reshape(x, layer.output_shape(shape))

    def add_ReLU6(self, layer: Any, x: str, shape: tuple[int, ...], path: str) -> str:
        return self.node("Clip", x, self.number(0.0), self.number(6.0))

    def add_SELU(self, layer: Any, x: str, shape: tuple[int, ...], path: str) -> str:
        return self.node("Selu", x)

    def add_Hardsigmoid(self, layer: Any, x: str, shape: tuple[int, ...], path: str) -> str:
        return self.node("HardSigmoid", x, alpha=1 / 6)

    def add_LogSigmoid(self, layer: Any, x: str, shape: tuple[int, ...], path: str) -> str:
        return self.node("Neg", self.node("Softplus", self.node("Neg", x)))

    def add_Softshrink(self, layer: Any, x: str, shape: tuple[int, ...], path: str) -> str:
        return self.node("Shrink", x, lambd=layer.lambd, bias=layer.lambd)

    def add_Hardshrink(self, layer: Any, x: str, shape: tuple[int, ...], path: str) -> str:
        return self.node("Shrink", x, lambd=layer.lambd)

    def add_Softmax(self, layer: Any, x: str, shape: tuple[int, ...], path: str) -> str:
        return self.node(type(layer).__name__, x, axis=layer.dim)

    add_LogSoftmax = add_Softmax

    def add_PReLU(self, layer: Any, x: str, shape: tuple[int, ...], path: str) -> str:
        slope = layer.state_dict()["weight"].reshape(-1, *[1] * (len(shape) - 1))
        return self.node("PRelu", x, self.constant(f"{path}weight", slope))

    def add_BatchNorm1d(self, layer: Any, x: str, shape: tuple[int, ...], path: str) -> str:
        own, affine = self.values(layer, path), self.scale_and_shift(layer, path, layer.num_features)
        return self.node("BatchNormalization", x, *affine, own["running_mean"], own["running_var"],
                         epsilon=layer.eps, momentum=1 - layer.momentum)

    add_BatchNorm2d = add_BatchNorm1d

    def add_LayerNorm(self, layer: Any, x: str, shape: tuple[int, ...], path: str) -> str:
        own = self.values(layer, path)
        weight = own.pop("weight", None) or self.constant(f"{path}ones", np.ones(layer.normalized_shape))
        return self.node("LayerNormalization", x, weight, *own.values(), epsilon=layer.eps,
                         axis=-len(layer.normalized_shape))

    def add_RMSNorm(self, layer: Any, x: str, shape: tuple[int, ...], path: str) -> str:
        weight = self.values(layer, path).get("weight") or self.constant(f"{path}ones", np.ones(layer.normalized_shape))
        eps = float(np.finfo(layer.dtype).eps) if layer.eps is None else layer.eps
        return self.formula(RMS[0], {X: x, "weight": weight, "eps": self.number(eps)},
                            axes=list(range(-len(layer.normalized_shape), 0)), keepdims=1)

    def add_GroupNorm(self, layer: Any, x: str, shape: tuple[int, ...], path: str) -> str:
        """Groups as channels of an InstanceNormalization: GroupNormalization by channels came with operator set 21."""
        groups, own = layer.num_groups, self.values(layer, path)
        ones = self.constant(f"ones_{groups}", np.ones(groups))
        zeros = self.constant(f"zeros_{groups}", np.zeros(groups))
        y = self.reshape(x, (groups, -1))
        y = self.reshape(self.node("InstanceNormalization", y, ones, zeros, epsilon=layer.eps), shape)
        for operator, name in ("Mul", "weight"), ("Add", "bias"):
            if name in own:
                column = self.constants[own[name]].reshape(-1, *[1] * (len(shape) - 1))
                y = self.node(operator, y, self.constant(own[name], column))
        return y

    # ---- the file ----

    def finished(self, shape: tuple[int, ...], output: tuple[int, ...], y: str, metadata: Mapping[str, str]) -> bytes:
        """The file's bytes, checked by onnx."""
        onnx, helper = self.onnx, self.onnx.helper
        self.nodes.append(helper.make_node("Identity", [y], ["y"], name="y"))
        kind = helper.np_dtype_to_tensor_dtype(self.dtype)
        graph = helper.make_graph(
            self.nodes, "fastnn", [helper.make_tensor_value_info("x", kind, ["batch", *shape])],
            [helper.make_tensor_value_info("y", kind, ["batch", *output])],
            [onnx.numpy_helper.from_array(value, name) for name, value in self.constants.items()])
        size = sum(value.nbytes for value in self.constants.values())
        if size > LARGEST_FILE - 2**20:
            raise ValueError(f"model: expected at most {LARGEST_FILE} bytes of values in an ONNX file, got {size}")
        made = helper.make_model(graph, producer_name="fastnn", producer_version=__version__, ir_version=IR,
                                 opset_imports=[helper.make_opsetid("", OPSET)])
        helper.set_model_props(made, dict(metadata))
        onnx.checker.check_model(made, full_check=True)
        content: bytes = made.SerializeToString()
        return content


COMPOSED = {name for name, *_ in FORMULAS}
