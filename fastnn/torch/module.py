"""Modules of PyTorch made of models, and models made of modules."""

from __future__ import annotations

import importlib
import inspect
import math
from collections.abc import Iterator, Sequence
from types import ModuleType
from typing import Any

import numpy as np

from fastnn_ref.shared import checks
from fastnn_ref.shared.config import arguments, is_argument, signature
from fastnn_ref.shared.objects import as_package, check_model, format_kind
from fastnn_ref.shared.optional import optional
from fastnn_ref.shared.shapes import inner_chain, no_fit

from .. import image_tables
from .parts import OURS_ALONE, OWN, SAME, TRANSPOSED, Part, fail, misplaced, whole
from .state import state_to_torch

IGNORED = ("self", "args", "kwargs", "device", "dtype", "inplace")       # options that do not change what is computed


def to_torch(model: Any) -> Any:
    """A module with copies of the values of ``model``, in its dtype, in PyTorch's training mode.

    ``model`` is a Sequential, which becomes a ``torch.nn.Sequential``, or a single layer, of either package. Call
    ``.eval()`` before you predict. Activations stand as modules behind their layers. What ``torch.nn`` does not have,
    such as ``Residual``, ``Parallel`` and ``DropConnect``, is a module of ``fastnn.torch.modules``. The parameters of a
    frozen layer have ``requires_grad=False``; a frozen BatchNorm is one that keeps to its running statistics, as ours
    does and PyTorch's does not. Seed, penalty, initialisers and ``lr_scale`` belong to training and have no place in a
    module: give PyTorch's optimizer a group with a rate of its own. Masks are drawn by PyTorch, and it chooses the
    ``algorithm`` of a convolution. Raises ValueError for a layer that cannot be said, such as ``Augment`` or one of
    your own, and, where the model knows its ``input_shape``, for an ``Upsample`` that looks at other pixels there:
    PyTorch counts in float32, and copies an image whose size stays.

    >>> import fastnn as nn
    >>> from fastnn.torch import to_torch
    >>> to_torch(nn.Sequential(nn.Linear(4, 3, activation="relu"), nn.Linear(3, 2)))
    Sequential(
      (0): Linear(in_features=4, out_features=3, bias=True)
      (1): ReLU()
      (2): Linear(in_features=3, out_features=2, bias=True)
    )
    """
    check_model("model", model, or_layer=True)
    torch = optional("torch", extra="torch")
    part = whole(model)
    dtype = getattr(torch, str(model.dtype))
    check_pixels(torch, model, "", model.input_shape, dtype)
    module = built(torch, part, dtype)
    module.load_state_dict({name: torch.from_numpy(np.array(value)) for name, value in state_to_torch(model).items()})
    return module


def check_pixels(torch: Any, layer: Any, path: str, shape: Any, dtype: Any) -> None:
    """ValueError for an Upsample that looks at other pixels in PyTorch, in the layer or inside it, for an example of
    that shape, if that is known."""
    if shape is None:
        return
    inside: Any = getattr(layer, "layers", ())
    for index, each in enumerate(inside or getattr(layer, "branches", ())):
        check_pixels(torch, each, f"{path}.{index}".lstrip("."), shape, dtype)
        shape = each.output_shape(shape) if inside else shape
    if hasattr(layer, "block"):
        check_pixels(torch, layer.block, f"{path}.block".lstrip("."), shape, dtype)
    if type(layer).__name__ != "Upsample":
        return
    scales: Any = layer.scale_factor or (None, None)
    new = layer.output_shape(shape)[1:]
    given = {"size": new} if layer.scale_factor is None else {"scale_factor": layer.scale_factor}
    corners = layer.align_corners if layer.mode == "bilinear" else None
    for axis, (side, count, scale) in enumerate(zip(shape[1:], new, scales, strict=True)):
        numbers = torch.arange(side, dtype=dtype).reshape(1, 1, *((side, 1) if axis == 0 else (1, side)))
        image = numbers.expand(1, min(shape[0], 2), *shape[1:]).contiguous()        # more channels would be alike
        theirs = torch.nn.functional.interpolate(image, mode=layer.mode, align_corners=corners, **given)
        low, high, fraction = image_tables.places(side, count, scale, layer.mode, layer.align_corners)
        ours = low if layer.mode == "nearest" else low + fraction * (high - low)
        if np.abs(theirs[0, 0].select(1 - axis, 0).numpy() - ours).max() > 1e-4 * side:
            fail(path, "Upsample", "the same pixels in PyTorch, which rounds in float32 and copies images whose size "
                 "stays", f"{count} from {side}" + ("" if scale is None else f" by {scale}"))


def built(torch: Any, part: Part, dtype: Any) -> Any:
    """The module of a part."""
    inside = {name: built(torch, each, dtype) for name, each in part.inside}
    if part.kind == "Sequential":
        return torch.nn.Sequential(*inside.values())
    found = importlib.import_module("fastnn.torch.modules") if part.kind in OWN else torch.nn
    more = {"dtype": dtype} if part.layer is not None else {}
    module = getattr(found, part.kind)(*inside.values(), **part.arguments, **more)
    if part.layer is not None and not part.layer.trainable:
        module.requires_grad_(False).train()        # so that a frozen BatchNorm is in its own mode at once
    return module


def from_torch(
    module: Any, *, package: ModuleType | None = None, input_shape: Sequence[int] | None = None, seed: int = 0,
    dtype: str | None = None,
) -> Any:
    """A ``Sequential`` of fastnn (or of ``package``) with copies of the values of ``module``, in ``dtype`` or its own.

    ``module`` is a ``torch.nn.Sequential``, nested if you like, or a single layer. A class with a ``forward`` of its
    own cannot be read: give its layers as a Sequential. ``input_shape`` is that of one example; with it
    ``Softmax(dim=1)`` of rows is ``Softmax()``. ``seed`` draws what training draws.

    A module whose parameters all have ``requires_grad=False`` is a frozen layer. Frozen BatchNorm keeps to its running
    statistics here, so PyTorch's must be in ``eval()``, or be a ``FrozenBatchNorm`` of ``fastnn.torch.modules``.

    Raises ValueError for a module that fastnn does not have, and for an option that it does not have (such as
    ``padding_mode="reflect"``, a momentum of None, a frozen weight with a bias that is not), with the path of the
    module; where the shape is known, for an ``Upsample`` that looks at other pixels here; TypeError if ``module`` is
    no module.

    >>> import torch
    >>> from fastnn.torch import from_torch
    >>> from_torch(torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.ReLU()))
    Sequential(Linear(4, 3), ReLU(), dtype='float32')
    """
    torch = optional("torch", extra="torch")
    if not isinstance(module, torch.nn.Module):
        raise TypeError(f"module: expected a torch.nn.Module, got {format_kind(module)}")
    if input_shape is not None:
        input_shape = checks.as_shape("input_shape", input_shape)
    reader = Reader(torch, as_package(package, "fastnn"), input_shape is not None)
    layers = reader.chain(module, "", input_shape)
    own = reader.dtype(module)
    model = reader.nn.Sequential(*layers, seed=seed, dtype=dtype or own, input_shape=input_shape)
    for layer, source in reader.pairs:
        turned = type(layer).__name__ in TRANSPOSED
        for name in layer.specs:
            value = getattr(source, name).detach().cpu().numpy()
            layer.set_parameter(name, value.T if turned and name == "weight" else value)
        if frozen(source) or type(source).__name__.startswith("Frozen"):
            layer.trainable = False
    return model


def frozen(module: Any) -> bool:
    """Does none of the parameters that it has require a gradient? (Some of them alone is an error before.)"""
    needs = [value.requires_grad for value in module.parameters(recurse=False)]
    return bool(needs) and not any(needs)


class Reader:
    """Makes layers of modules, and keeps the pairs whose values are to be copied."""

    def __init__(self, torch: Any, nn: ModuleType, given: bool) -> None:
        self.torch, self.nn = torch, nn
        self.given = given                          # did the user say the shape of an example?
        self.pairs: list[tuple[Any, Any]] = []
        self.seen: dict[int, str] = {}

    def dtype(self, module: Any) -> str | None:
        """The one dtype of the parameters, or where there are none of the running statistics; ValueError for two, and
        for another one than float32 and float64."""
        found: dict[str, str] = {}
        statistics = [(name, value) for name, value in module.named_buffers() if value.is_floating_point()]
        for name, value in (*module.named_parameters(), *statistics):
            if value.is_meta:
                fail(name, "device", "one that has values", "meta")
        for name, value in list(module.named_parameters()) or statistics:
            found.setdefault(str(value.dtype).removeprefix("torch."), name)
        for dtype, name in found.items():
            if dtype not in ("float32", "float64"):
                fail(name, "dtype", "float32 or float64 (module.float() converts)", dtype)
        if len(found) > 1:
            fail(next(iter(found.values())), "dtype", "one dtype for all parameters", " and ".join(found))
        return next(iter(found), None)

    def chain(self, module: Any, path: str, shape: Sequence[int] | None) -> list[Any]:
        """The layers of a Sequential, at least one, or of one module; ``shape`` is that of an example, where it is
        known."""
        self.check_plain(module, path)
        flat = list(self.children(module, path)) if self.is_sequential(module) else [(path, module)]
        layers: list[Any] = []
        position = 0
        known = None if shape is None else tuple(shape)
        while position < len(flat):
            place, each = flat[position]
            after = flat[position + 1][1] if position + 1 < len(flat) else None
            try:
                layer, taken = self.layer(each, place, known, after)
                before, known = known, self.shape_behind(layer, known, layers)
                if type(layer).__name__ == "Upsample":
                    check_pixels(self.torch, layer, place, before, self.torch.float32)
            except (ValueError, TypeError) as error:
                if checks.has_part(error, "place"):
                    raise
                raise misplaced(place, error) from error
            layers.append(layer)
            position += taken
        return layers or [self.nn.Identity()]

    def shape_behind(self, layer: Any, shape: Any, before: list[Any]) -> Any:
        """The shape of an example behind the layer, where that before it is known, or the layer tells it."""
        shape = shape or layer.input_shape
        try:
            return shape and layer.output_shape(shape)
        except ValueError as error:
            raise no_fit(str(error), layer, before, self.given) from None

    def check_plain(self, module: Any, path: str) -> None:
        """ValueError unless the module does what its class says."""
        kind = type(module).__name__
        if getattr(module, "has_uninitialized_params", bool)():
            fail(path, kind, "a module whose sizes are known, as they are once it was called", "one without values")
        if module._forward_hooks or module._forward_pre_hooks:
            fail(path, kind, "a module without hooks", "hooks")
        if "forward" in vars(module) and kind in ("Sequential", *SAME, *OWN):
            fail(path, f"{kind}.forward", "that of the class", vars(module)["forward"])

    def is_sequential(self, module: Any) -> bool:
        return type(module) is self.torch.nn.Sequential

    def children(self, module: Any, path: str) -> Iterator[tuple[str, Any]]:
        for name, each in module.named_children() if not module else module._modules.items():
            yield f"{path}.{name}".lstrip("."), each

    def layer(self, module: Any, path: str, shape: Any, after: Any) -> tuple[Any, int]:
        """(layer, how many modules of the row it stands for)."""
        kind, torch = type(module).__name__, self.torch.nn
        self.check_plain(module, path)
        if self.is_sequential(module):
            return inner_chain(self.nn.Sequential, self.chain(module, path, shape), shape), 1
        own = dict(module.named_parameters(recurse=False))
        for name, value in own.items():
            if not value.requires_grad and not frozen(module):
                fail(path, f"{kind}.{name}.requires_grad", "the same of all parameters of the module", False)
            if self.seen.setdefault(id(value), path) != path:
                raise misplaced(path, f"{kind}.{name}: expected a parameter of its own, got that of "
                                      f"{self.seen[id(value)]}")
        if frozen(module) and "BatchNorm" in kind and module.training:
            fail(path, f"{kind}.training", "False of a frozen one, which keeps to its running statistics here", True)
        if kind in OWN and type(module).__module__ == "fastnn.torch.modules":
            return self.own(module, path, shape), 1
        if type(module) is torch.AdaptiveAvgPool2d and module.output_size in (1, (1, 1)) and (
                type(after) is torch.Flatten and (after.start_dim, after.end_dim) in ((1, -1), (1, 3))):
            return self.nn.GlobalAvgPool2d(), 2
        if type(module) in (torch.InstanceNorm1d, torch.InstanceNorm2d):
            return self.instance_norm(module, path, shape), 1
        if type(module) in (torch.UpsamplingNearest2d, torch.UpsamplingBilinear2d):
            return self.same("Upsample", module, path, shape), 1
        if type(module) in (torch.ZeroPad2d, torch.ConstantPad2d):
            return self.padded(module, path, shape, after), 2
        if kind not in (*SAME, "Embedding") or type(module) is not getattr(torch, kind, None):
            kinds = ", ".join(("Sequential", "ZeroPad2d", "Embedding", "InstanceNorm2d", *SAME[:-1]))
            fail(path, kind, f"{kinds} or {SAME[-1]} of torch.nn", module)
        return self.same(kind, module, path, shape), 1

    def padded(self, module: Any, path: str, shape: Any, after: Any) -> Any:
        """The layer behind a module that pads, with this padding besides its own."""
        kind, value = type(after).__name__, getattr(module, "value", 0)
        if kind not in ("Conv2d", "AvgPool2d", "MaxPool2d") or value != (-math.inf if kind == "MaxPool2d" else 0):
            fail(path, type(module).__name__, "ZeroPad2d before a Conv2d or an AvgPool2d, or ConstantPad2d with -inf "
                 "before a MaxPool2d", module)
        if min(module.padding) < 0:             # pixels taken away, in whose place the layer's own padding has zeros
            fail(path, f"{type(module).__name__}.padding", "numbers >= 0", module.padding)
        layer, _ = self.layer(after, path, shape, None)
        left, right, top, bottom = module.padding
        own, named = checks.sides_of(layer.padding), arguments(layer)
        if not any(map(sum, own)) and "count_include_pad" in named:
            named["count_include_pad"] = True       # what the module pads counts
        for option, wanted in ("ceil_mode", False), ("count_include_pad", True):
            if named.get(option, wanted) != wanted:
                fail(path, f"{kind}.{option} behind {type(module).__name__}", repr(wanted), not wanted)
        named["padding"] = tuple((a + c, b + d) for (a, b), (c, d) in zip(
            own, ((top, bottom), (left, right)), strict=True))
        layer = type(layer)(**named)
        if layer.specs:
            self.pairs[-1] = layer, after
        return layer

    def same(self, kind: str, module: Any, path: str, shape: Any) -> Any:
        """A layer that both libraries have."""
        ours = getattr(self.nn, kind)
        named = {each.name: self.value(module, each.name) for each in signature(ours)
                 if each.name not in OURS_ALONE or (kind == "PReLU" and each.name == "init")}
        for option, declared in inspect.signature(type(module).__init__).parameters.items():
            if option in IGNORED or option.startswith("_") or is_argument(ours, option):
                continue
            found = self.value(module, option)
            if found not in (declared.default, (declared.default, declared.default)):
                fail(path, f"{kind}.{option}", repr(declared.default), found)
        axes = len(shape) if self.given else 0      # else a guess: a Linear takes examples of more axes, too
        if "dim" in named and (named["dim"] in (None, 0) or (axes and not -axes <= named["dim"] <= axes)):
            fail(path, f"{kind}.dim", "an axis of an example", named["dim"])
        if axes and named.get("dim") == axes:
            named["dim"] = -1
        if named.get("momentum", 0.0) is None:
            fail(path, f"{kind}.momentum", "a number, not the mean over all batches", None)
        layer = ours(**named)
        if layer.specs:
            self.pairs.append((layer, module))
        return layer

    def instance_norm(self, module: Any, path: str, shape: Any) -> Any:
        """A GroupNorm with a group for each channel."""
        kind = type(module).__name__
        if module.track_running_stats:
            fail(path, f"{kind}.track_running_stats", "False", True)
        axes = ("channels", "length") if kind == "InstanceNorm1d" else ("channels", "h", "w")
        if shape is not None and len(shape) != len(axes):       # PyTorch takes the whole batch for one example then
            hint = "" if self.given else " (input_shape= says if there are more axes)"
            fail(path, kind, f"({', '.join(axes)}) per example{hint}", shape)
        layer = self.nn.GroupNorm(module.num_features, module.num_features, module.eps, module.affine,
                                  module.bias is not None)
        self.pairs.append((layer, module))
        return layer

    def value(self, module: Any, option: str) -> Any:
        """An option of a module; of a parameter, whether it is there."""
        if option == "init":
            return float(module.init)
        value = getattr(module, option)
        if option == "align_corners":
            return bool(value)
        if option == "recompute_scale_factor":
            return value or None
        return value is not None if option == "bias" else value

    def own(self, module: Any, path: str, shape: Any) -> Any:
        """A layer of fastnn.torch.modules."""
        kind = type(module).__name__
        if kind == "GaussianNoise":
            return self.nn.GaussianNoise(module.std)
        if kind == "Select":
            return self.nn.Select(module.start, module.stop)
        if kind == "Parallel":
            branches = [self.block(each, place, shape) for place, each in self.children(module, path)]
            return self.nn.Parallel(*branches, merge=module.merge)
        if kind.startswith("Frozen") and module.affine and not frozen(module):
            fail(path, f"{kind}.weight.requires_grad", "False", True)
        if kind == "Embedding" or kind.startswith("Frozen"):
            return self.same(kind.removeprefix("Frozen"), module, path, shape)
        if kind == "DropConnect":
            layer = self.nn.DropConnect(
                module.in_features, module.out_features, module.p, module.mask, module.inference,
                "relu" if module.relu else None, module.bias is not None)
            self.pairs.append((layer, module))
            return layer
        block = self.block(module.block, f"{path}.block".lstrip("."), shape)
        return self.nn.Residual(block) if kind == "Residual" else self.nn.StochasticDepth(block, module.p, module.mode)

    def block(self, module: Any, path: str, shape: Any) -> Any:
        """The one layer that a module inside another one is."""
        layers = self.chain(module, path, shape)
        if self.is_sequential(module) or len(layers) > 1:
            return inner_chain(self.nn.Sequential, layers, shape)
        return layers[0]
