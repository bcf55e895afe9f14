"""Models to PyTorch and back: the same layers in the same order, with the same values.

    from_torch(module)              a Sequential of fastnn that computes what the module computes
    to_torch(model)                 a torch.nn.Sequential that computes what the model computes
    state_to_torch(model)           the values under the names, and in the layouts, of to_torch(model)'s state_dict
    load_torch_state(model, state)  values from such a state, or from a safetensors file that PyTorch wrote

Both libraries call most layers and options alike. What differs is converted: PyTorch's ``Linear.weight`` is the
transpose of ours; an activation inside a ``Linear`` or ``Conv2d`` is a module of its own behind it; ``GlobalAvgPool2d``
is ``AdaptiveAvgPool2d(1)`` and ``Flatten``; BatchNorm has ``num_batches_tracked``. What cannot be said on the other
side is a ValueError that names the layer's path and the option. ``to_torch`` and ``from_torch`` need ``pip install
"fastnn[torch]"``; the two functions for states do without, so a file that PyTorch wrote can be read where there is no
PyTorch.

>>> import numpy as np, fastnn as nn
>>> from fastnn.torch import load_torch_state, state_to_torch
>>> model = nn.Sequential(nn.Linear(3, 2, activation="relu"), nn.Linear(2, 4))
>>> state = state_to_torch(model)
>>> {name: value.shape for name, value in state.items()}
{'0.weight': (2, 3), '0.bias': (2,), '2.weight': (4, 2), '2.bias': (4,)}
>>> load_torch_state(model, state)
"""

from .module import from_torch, to_torch
from .state import load_torch_state, state_to_torch

__all__ = ["from_torch", "load_torch_state", "state_to_torch", "to_torch"]
