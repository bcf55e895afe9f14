"""copy_parameters: the weights of one model in another one of another architecture, by the order of the layers.

Two models that differ by dropout, normalisation or residual connections draw other initial values from the same seed,
as each parameter draws by its place. So their Linear and Conv2d layers, in order, are made equal.
"""

from __future__ import annotations

from typing import Any

from . import checks
from .access import copy_into, walk
from .objects import check_model, is_a

WEIGHTED = "Linear", "Conv2d"           # and what derives from them, such as DropConnect


def weighted(layer: Any) -> list[tuple[str, Any]]:
    """(dotted name, layer) of each Linear and Conv2d, in order."""
    return [(prefix.rstrip("."), each) for prefix, each in walk(layer) if any(is_a(each, k) for k in WEIGHTED)]


def described(name: str, layer: Any) -> str:
    """A layer as messages call it."""
    return f"{name} ({layer!r})" if name else repr(layer)


def copy_parameters(source: Any, target: Any) -> dict[str, str]:
    """Copies weights and biases of the ``Linear`` and ``Conv2d`` layers of ``source`` to those of ``target``, in order.

    ``DropConnect`` is a ``Linear`` here. All other layers stay as they are. ``source`` and ``target`` are models, or
    layers, of either package and of any dtype. Returns the name of each layer of the target with the name of the
    layer that its values come from. Raises ValueError, before anything changes, if there are more layers in one than in
    the other, or if two that belong together have other shapes or only one of them a bias.

    >>> import numpy as np, fastnn_ref as nn
    >>> plain = nn.Sequential(nn.Linear(4, 8, activation="relu"), nn.Linear(8, 2), seed=1)
    >>> other = nn.Sequential(nn.Dropout(0.5), nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 2), seed=1)
    >>> nn.copy_parameters(plain, other)
    {'1': '0', '4': '1'}
    >>> bool((other[4].weight == plain[1].weight).all())
    True
    """
    for name, model in (("source", source), ("target", target)):
        check_model(name, model, or_layer=True)
    one, other = weighted(source), weighted(target)
    if len(one) != len(other):
        raise ValueError(f"target: expected {len(one)} Linear and Conv2d layers, as source has, got {len(other)}")
    source.network.wake()
    target.network.wake()
    target.network.check_unused()
    own, given = {}, {}
    for (name, layer), (target_name, fitting) in zip(one, other, strict=True):
        what = f"target layer {described(target_name, fitting)}"
        if layer.values.keys() != fitting.values.keys():
            wanted = "a bias" if "bias" in layer.values else "no bias"
            raise ValueError(f"{what}: expected {wanted}, as source layer {described(name, layer)} has")
        for key, values in layer.values.items():
            if values.shape != fitting.values[key].shape:
                raise ValueError(
                    f"{what}: expected {key} {checks.format_shape(values.shape)}, as source layer "
                    f"{described(name, layer)} has, got {checks.format_shape(fitting.values[key].shape)}")
            own[f"{target_name}.{key}"], given[f"{target_name}.{key}"] = fitting.values[key], values
    copy_into(own, given)
    return {target_name: name for (name, _), (target_name, _) in zip(one, other, strict=True)}
