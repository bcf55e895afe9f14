"""PyTorch, eager and compiled: the modules are those of `fastnn.torch`, with the same values in them."""

import functools
from typing import Any

import numpy as np

from bench.nets import COMPILED, Net, Work, package
from bench.peers.ours import Make, Size, alone, loss_data, one_weight, operands
from fastnn.torch import to_torch
from fastnn.torch.parts import OWN
from fastnn_ref.shared.access import walk
from tests import witness
from tests.cases import LossCase, Named

torch: Any = package("torch")       # not `import`: the types are checked where it is missing, too
torch._dynamo.config.recompile_limit = 64               # a compilation for each network and number of threads
torch._dynamo.config.fail_on_recompile_limit_hit = True         # never the eager step under another name


def module(model: Any) -> Any:
    """A Sequential's module in float32 and in training; Dropout draws masks of its own."""
    if any(type(layer).__name__ in OWN for _, layer in walk(model)):        # no modules of PyTorch's own
        return None
    try:
        return to_torch(model).float()
    except ValueError:
        return None


def step(net: Net, compiled: bool = False, channels_last: bool = False) -> Work | None:
    """A training step with the fused Adam: eager, or with forward and backward compiled; NCHW or channels last."""
    if (compiled and net.name not in COMPILED) or (channels_last and len(net.shape) == 1):
        return None
    layout = torch.channels_last if channels_last else torch.contiguous_format
    x, t = (torch.from_numpy(part) for part in net.data())
    x = x.to(memory_format=layout)
    model = module(net.build(package("fastnn_ref"))).to(memory_format=layout)
    loss = torch.nn.CrossEntropyLoss()
    adam = torch.optim.Adam(model.parameters(), fused=True)

    def forward(x: Any, t: Any) -> Any:
        return loss(model(x), t)

    if compiled:
        forward = torch.compile(forward)
        forward(x, t).backward()        # compiles both; the gradients are dropped by the first step

    def work() -> Any:
        adam.zero_grad(set_to_none=True)
        value = forward(x, t)
        value.backward()
        adam.step()
        return value

    return work


def predict(net: Net, compiled: bool = False) -> Work | None:
    """One batch, forward only: eager, or compiled; that takes a quarter of a minute, so only 32 examples are."""
    if compiled and net.batch != 32:
        return None
    model, x = module(net.build(package("fastnn_ref"))).eval(), torch.from_numpy(net.data()[0])
    forward = torch.compile(model) if compiled else model
    work: Work = torch.inference_mode()(lambda: forward(x))
    if compiled:
        work()                              # compiles
    return work


def product(size: Size, dtype: str, back: bool) -> Work:
    """addmm and relu; the gradients from autograd."""
    x, w, b, dy = (torch.from_numpy(part) for part in operands(size, dtype))
    leaves = [part.requires_grad_(back) for part in (x, w, b)]

    def forward() -> Any:
        with torch.inference_mode():
            return torch.addmm(b, x, w).relu_()

    def work() -> Any:
        y = torch.addmm(b, x, w).relu_()
        dx, dw, db = torch.autograd.grad(y, leaves, dy)
        return y, dx, dw, db

    return work if back else forward


def layer(make: Make, shape: tuple[int, ...]) -> Work | None:
    """A layer forward and backward: y and dx, and the parameters' gradients."""
    model, x, dy = alone(package("fastnn_ref"), make, shape)
    found, start, gradient = module(model), torch.from_numpy(x), torch.from_numpy(dy)
    if found is None:
        return None
    wanted = [start.requires_grad_(), *found.parameters()]

    def work() -> Any:
        y = found(start)
        return y, torch.autograd.grad(y, wanted, gradient)[0]

    return work


def loss(case: LossCase) -> Work | None:
    """Value and gradient, where PyTorch has the loss in one call."""
    y, t = (torch.from_numpy(part) for part in loss_data(case))
    found = witness.criterion(torch, case, y.shape[1], y.dtype)
    if found is None:
        return None
    y.requires_grad_()

    def work() -> Any:
        value = found(y, t)
        return value, torch.autograd.grad(value, y)[0]

    return work


def optimizer(case: Named) -> Work:
    """An update of one large weight; fused where PyTorch has that."""
    weight = one_weight(package("fastnn_ref")).layers[0].weight
    parameter = torch.nn.Parameter(torch.from_numpy(weight.copy()))
    parameter.grad = torch.from_numpy(np.full_like(weight, 0.01))
    fused = {"fused": True} if case.cls in ("SGD", "Adagrad", "Adam", "AdamW") else {}
    found = getattr(torch.optim, case.cls)([parameter], **case.arguments, **fused)

    return lambda: (found.step(), parameter)[1]


CANDIDATES: dict[str, Any] = {
    function.__name__: {"torch": function} for function in (step, predict, product, layer, loss, optimizer)
} | {"hand": {"torch": step}}
CANDIDATES["predict"]["torch.compile"] = functools.partial(predict, compiled=True)
CANDIDATES["step"] |= {"torch channels_last": functools.partial(step, channels_last=True),
                       "torch.compile": functools.partial(step, compiled=True)}
