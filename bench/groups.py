"""The groups of cases by name, in the order of the report."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from bench import kernels
from bench.candidates import instruction_sets, loops, steps
from bench.cases import Case, fastnn_and_torch, of_epoch, of_net, product_cases
from bench.nets import BATCHES, CONVOLUTIONAL, DEPTHS, MLPS, WIDTHS

GROUPS: dict[str, Callable[[], Iterable[Case]]] = {
    "steps": lambda: (of_net("steps", steps, net) for net in MLPS),
    "conv": lambda: (of_net("conv", steps, net) for net in CONVOLUTIONAL),
    "hand": lambda: (of_net("hand", loops, net) for net in [*MLPS[:5], CONVOLUTIONAL[0]]),
    "epochs": lambda: (of_epoch(net) for net in MLPS[:5]),
    "products": lambda: product_cases(back=False),
    "backward": lambda: product_cases(back=True),
    "isa": lambda: (of_net("isa", instruction_sets, net) for net in [*MLPS[1:6], *CONVOLUTIONAL]),
    "optimizers": kernels.optimizers,
    "activations": kernels.activations,
    "losses": kernels.losses,
    "norms": kernels.norms,
    "noise": kernels.noises,
    "pools": kernels.pools,
    "convolutions": kernels.convolutions,
    "batch": lambda: (of_net("batch", fastnn_and_torch, net) for net in BATCHES),
    "width": lambda: (of_net("width", fastnn_and_torch, net) for net in WIDTHS),
    "depth": lambda: (of_net("depth", fastnn_and_torch, net) for net in DEPTHS),
}
TITLES = {
    "steps": "training step", "conv": "training step, images", "hand": "step by hand", "epochs": "epoch of 20 batches",
    "products": "relu(x @ W + b)", "backward": "relu(x @ W + b), there and back",
    "isa": "training step by instruction set",
    "optimizers": "optimizer's step", "activations": "activation, there and back", "losses": "loss and its gradient",
    "norms": "norm, there and back", "noise": "masks and noise, there and back", "pools": "pool, there and back",
    "convolutions": "convolution, there and back", "batch": "growth in batch", "width": "growth in width",
    "depth": "growth in depth", "import": "import", "memory": "memory of a step", "allocation": "1,000 steps more",
}  # fmt: skip
