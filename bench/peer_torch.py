"""PyTorch's twins: of a model, a loss and an optimizer, made by walking over ours, with the same values in them."""

from __future__ import annotations

from typing import Any

import numpy as np

from bench.nets import Net, package

torch: Any = package("torch")       # not `import`: the types are checked where it is missing, too
torch._dynamo.config.recompile_limit = 64               # a compilation a net and number of threads
torch._dynamo.config.fail_on_recompile_limit_hit = True         # never the eager step under another name

ACTIVATIONS: dict[str, Any] = {
    "Identity": lambda _: torch.nn.Identity(),
    "ReLU": lambda _: torch.nn.ReLU(),
    "LeakyReLU": lambda a: torch.nn.LeakyReLU(a.negative_slope),
    "ELU": lambda a: torch.nn.ELU(a.alpha),
    "SiLU": lambda _: torch.nn.SiLU(),
    "GELU": lambda a: torch.nn.GELU(a.approximate),
    "Softplus": lambda _: torch.nn.Softplus(),
    "Tanh": lambda _: torch.nn.Tanh(),
    "Sigmoid": lambda _: torch.nn.Sigmoid(),
    "Softmax": lambda _: torch.nn.Softmax(dim=-1),
    "LogSoftmax": lambda _: torch.nn.LogSoftmax(dim=-1),
}
LAYERS: dict[str, Any] = {
    **ACTIVATIONS,
    "Linear": lambda a: torch.nn.Linear(a.in_features, a.out_features, bias=a.bias is not None),
    "Conv2d": lambda a: torch.nn.Conv2d(a.in_channels, a.out_channels, a.kernel_size, a.stride, a.padding, a.dilation,
                                        a.groups, bias=a.bias is not None),
    "MaxPool2d": lambda a: torch.nn.MaxPool2d(a.kernel_size, a.stride, a.padding),
    "AvgPool2d": lambda a: torch.nn.AvgPool2d(a.kernel_size, a.stride, a.padding),
    "Flatten": lambda _: torch.nn.Flatten(),
    "BatchNorm1d": lambda a: torch.nn.BatchNorm1d(a.num_features, a.eps, a.momentum),
    "BatchNorm2d": lambda a: torch.nn.BatchNorm2d(a.num_features, a.eps, a.momentum),
    "LayerNorm": lambda a: torch.nn.LayerNorm(a.normalized_shape, a.eps),
    "Dropout": lambda a: torch.nn.Dropout(a.p),
}


def modules(layer: Any) -> list[Any]:
    """The modules that do what ``layer`` does, and start where it starts."""
    module = LAYERS[type(layer).__name__](layer)
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            value = np.array(layer.params[name])
            parameter.copy_(torch.from_numpy(value.T if type(layer).__name__ == "Linear" else value))
    activation = getattr(layer, "activation", None)
    if activation is None or type(activation).__name__ == "Identity":
        return [module]
    return [module, *modules(activation)]


def twin(model: Any) -> Any:
    """A Sequential's twin in float32 and in training."""
    return torch.nn.Sequential(*(module for layer in model.layers for module in modules(layer)))


LOSSES: dict[str, Any] = {
    "MSELoss": lambda _: torch.nn.MSELoss(),
    "L1Loss": lambda _: torch.nn.L1Loss(),
    "HuberLoss": lambda a: torch.nn.HuberLoss(delta=a.delta),
    "BCEWithLogitsLoss": lambda a: None if a.label_smoothing else torch.nn.BCEWithLogitsLoss(),
    "CrossEntropyLoss": lambda a: torch.nn.CrossEntropyLoss(label_smoothing=a.label_smoothing),
}
OPTIMIZERS: dict[str, Any] = {
    "SGD": lambda a, p: torch.optim.SGD(p, a.lr, a.momentum, weight_decay=a.weight_decay, nesterov=a.nesterov,
                                        fused=True),
    "RMSprop": lambda a, p: torch.optim.RMSprop(p, a.lr, a.alpha, a.eps, a.weight_decay),
    "Adam": lambda a, p: torch.optim.Adam(p, a.lr, a.betas, a.eps, a.weight_decay, fused=True),
    "AdamW": lambda a, p: torch.optim.AdamW(p, a.lr, a.betas, a.eps, a.weight_decay, fused=True),
}


def there_and_back(layer: Any, x: np.ndarray[Any, Any], dy: np.ndarray[Any, Any]) -> Any:
    """A layer forward and backward; returns y and dx. ``layer`` is ours, in a model of float32."""
    module, start, gradient = torch.nn.Sequential(*modules(layer)), torch.from_numpy(x), torch.from_numpy(dy)
    wanted = [start.requires_grad_(), *module.parameters()]

    def work() -> Any:
        y = module(start)
        return y, torch.autograd.grad(y, wanted, gradient)[0]

    return work


def loss(ours: Any, y: np.ndarray[Any, Any], t: np.ndarray[Any, Any]) -> Any:
    """A loss and its gradient, or None where PyTorch has no such thing."""
    theirs, y, t = LOSSES[type(ours).__name__](ours), torch.from_numpy(y).requires_grad_(), torch.from_numpy(t)
    if theirs is None:
        return None

    def work() -> Any:
        value = theirs(y, t)
        return value, torch.autograd.grad(value, y)[0]

    return work


def optimizer(ours: Any, weight: np.ndarray[Any, Any], gradient: np.ndarray[Any, Any]) -> Any:
    """A step for one parameter, returned."""
    parameter = torch.nn.Parameter(torch.from_numpy(weight.copy()))
    parameter.grad = torch.from_numpy(gradient)
    theirs = OPTIMIZERS[type(ours).__name__](ours, [parameter])

    def work() -> Any:
        theirs.step()
        return parameter

    return work


def step(net: Net, compiled: bool = False, channels_last: bool = False) -> Any:
    """A training step with the fused Adam: eager, or with forward and backward compiled; NCHW or channels last."""
    layout = torch.channels_last if channels_last else torch.contiguous_format
    x, t = (torch.from_numpy(part) for part in net.data())
    x = x.to(memory_format=layout)
    model = twin(net.build(package("fastnn_ref"))).to(memory_format=layout)
    loss = torch.nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(model.parameters(), fused=True)

    def forward(x: Any, t: Any) -> Any:
        return loss(model(x), t)

    if compiled:
        forward = torch.compile(forward)
        forward(x, t).backward()        # compiles both; what it leaves in grad is dropped by the first step

    def work() -> Any:
        optimizer.zero_grad(set_to_none=True)
        value = forward(x, t)
        value.backward()
        optimizer.step()
        return value

    return work
