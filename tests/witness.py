"""PyTorch as a witness from outside: its own layers (by `fastnn.torch`), losses and optimizers, made from ours.

All in float64. `torch` is an argument, so that nothing here needs it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fastnn.torch import to_torch
from fastnn.torch.parts import TRANSPOSED
from fastnn_ref.shared.access import walk
from fastnn_ref.shared.config import arguments
from tests.cases import Array, LossCase, Named


def tensor(torch: Any, values: Any) -> Any:
    return torch.tensor(np.array(values))


def twin(torch: Any, layer: Any) -> Any:
    """The module that PyTorch has for a layer, in float64; None where there is none with our masks and noise."""
    if any(0 < getattr(each, "p", 0) < 1 or getattr(each, "std", 0) > 0 for _, each in walk(layer)):
        return None
    try:
        return to_torch(layer).double()
    except ValueError:
        return None


def turned(module: Any) -> bool:
    """Is its weight our transpose? (A bias is its own.)"""
    return type(module).__name__ in TRANSPOSED


def parameters(module: Any, gradients: bool = False) -> list[Array]:
    """Its parameters, or their gradients, in our order and our shapes."""
    found = []
    for part in module.modules():
        for value in part.parameters(recurse=False):
            values = (value.grad if gradients else value.detach())
            values = np.zeros(value.shape) if values is None else values.numpy()
            found.append(values.T if turned(part) else values)
    return found


def criterion(torch: Any, case: LossCase, outputs: int, dtype: Any) -> Any:
    """PyTorch's loss, a function of (y, t); None where it has none in one call."""
    arguments, nn = dict(case.arguments), torch.nn
    weights = arguments.pop("class_weight", None)
    if case.cls == "HingeLoss":
        return lambda y, t: (1 - y * t).relu().mean()
    if case.cls == "NLLLoss" and weights:                       # of rows, which theirs does not take
        factors = torch.tensor([weights.get(k, 1.0) for k in range(outputs)], dtype=dtype)
        return lambda y, t: -(y * factors * t).sum(dim=1).mean()
    if case.cls == "BCEWithLogitsLoss" and (weights is not None or "label_smoothing" in arguments):
        return None
    if case.cls == "CrossEntropyLoss" and weights:
        arguments["weight"] = torch.tensor([weights.get(k, 1.0) for k in range(outputs)], dtype=dtype)
    if "pos_weight" in arguments:
        arguments["pos_weight"] = torch.tensor(arguments["pos_weight"], dtype=dtype)
    return getattr(nn, case.cls)(**arguments)


def loss(torch: Any, case: LossCase, y: Any, t: Array) -> Any:
    """PyTorch's value of a loss; its binary one takes smoothed targets, and has pos_weight for class weights."""
    found = criterion(torch, case, y.shape[1], y.dtype)
    if found is not None:
        return found(y, tensor(torch, t))
    smoothing = case.arguments.get("label_smoothing", 0.0)
    no, yes = case.arguments.get("class_weight", (1.0, 1.0))
    binary = torch.nn.BCEWithLogitsLoss(pos_weight=torch.tensor(yes / no, dtype=y.dtype))
    return no * binary(y, tensor(torch, (1 - smoothing) * t + smoothing / 2))


def in_float64(torch: Any, optimizer: Any) -> Any:
    """An optimizer of PyTorch before its first step; NAdam would keep its product of momenta in float32."""
    for group in optimizer.param_groups if type(optimizer).__name__ == "NAdam" else ():
        for value in group["params"]:
            optimizer.state[value].update(
                step=torch.tensor(0.0), mu_product=torch.ones((), dtype=torch.float64),
                exp_avg=torch.zeros_like(value), exp_avg_sq=torch.zeros_like(value))
    return optimizer


def optimizer(torch: Any, case: Named, module: Any) -> Any:
    """The optimizer that PyTorch has, weight decay for weights only."""
    arguments = dict(case.arguments)
    decay = arguments.pop("weight_decay", 0.01 if case.cls == "AdamW" else 0.0)
    named = list(module.named_parameters())
    groups = [{"params": [value for name, value in named if ("weight" in name) == weights], "weight_decay": strength}
              for weights, strength in ((True, decay), (False, 0.0))]
    return in_float64(torch, getattr(torch.optim, case.cls)(groups, **arguments))


def penalty(torch: Any, ours: Any, module: Any) -> Any:
    """What one of our penalties adds to the loss, as a tensor: but for L1 by proximal steps, which has no slope."""
    named = arguments(ours)
    l1, l2 = (named.get(name, 0.0) for name in ("l1", "l2"))
    if type(ours).__name__ in ("L1", "L2"):
        l1, l2 = (named["strength"], 0.0) if type(ours).__name__ == "L1" else (0.0, named["strength"])
    if named.get("mode") == "proximal":
        l1 = 0.0
    return sum((l1 * w.abs().sum() + l2 / 2 * (w**2).sum() for w in covered(ours, module)), torch.zeros(()))


def restrain(torch: Any, ours: Any, module: Any, lr: float) -> None:
    """What it does after the update: PyTorch's soft threshold, or rows of its weights made shorter."""
    named = arguments(ours)
    with torch.no_grad():
        for w in covered(ours, module):
            if named.get("mode") == "proximal":
                w.copy_(torch.nn.functional.softshrink(w, lr * named.get("strength", named.get("l1", 0.0))))
            if "limit" in named:
                w.mul_((named["limit"] / w.flatten(1).norm(dim=1, keepdim=True)).clamp(max=1))


def covered(ours: Any, module: Any) -> list[Any]:
    """Weights; biases, too, if asked."""
    return [value for name, value in module.named_parameters() if "weight" in name or arguments(ours).get("biases")]
