"""States of PyTorch: names, layouts, and safetensors files that PyTorch wrote."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fastnn_ref.shared import safetensors
from fastnn_ref.shared.foreign import as_numpy
from fastnn_ref.shared.objects import check_model

from .parts import names as names_of
from .parts import values_of, whole

Array = npt.NDArray[Any]
COUNTER = "num_batches_tracked"


def state_to_torch(model: Any) -> dict[str, Array]:
    """Copies of all values under PyTorch's names and in its layouts, with ``num_batches_tracked`` of each BatchNorm.

    ``to_torch(model).load_state_dict`` takes it once its arrays are tensors; ``safetensors.numpy.save_file`` writes it
    for PyTorch. ``num_batches_tracked`` is the number of the model's training passes, ``model.steps``. Raises
    ValueError for a layer that PyTorch does not have.

    >>> from fastnn.torch import state_to_torch
    >>> import fastnn as nn
    >>> list(state_to_torch(nn.Sequential(nn.Linear(2, 3, bias=False, activation="tanh"), nn.BatchNorm1d(3))))
    ['0.weight', '2.weight', '2.bias', '2.running_mean', '2.running_var', '2.num_batches_tracked']
    """
    own = check_model("model", model, or_layer=True).state_dict()
    found = {theirs: np.ascontiguousarray(own[ours].T) if turned else own[ours]
             for ours, theirs, turned in names_of(model)}
    counters = {f"{prefix}{COUNTER}": np.array(model.steps, np.int64)
                for prefix, layer in values_of(whole(model)) if "running_var" in layer.specs}
    return found | counters


def load_torch_state(
    model: Any, state: Mapping[str, Any] | str | os.PathLike[str], names: Mapping[str, str] | None = None,
) -> None:
    """Copies a state of PyTorch into ``model``: a ``state_dict``, or the path of a safetensors file of one.

    Its names are those of ``to_torch(model)``, or the model's own: a module that has ``Linear`` and ``ReLU`` apart and
    one that has them nested both fit a ``Linear(…, activation="relu")``. For other names, such as those of a class of
    your own, ``names`` says which of our layers each of their prefixes is: ``{"fc1": "0", "fc2": "1"}``. All weights
    are in PyTorch's layouts, and are transposed where ours differ. Values in float16 and bfloat16 are taken exactly.
    ``num_batches_tracked`` is not needed and is left out.

    Nothing changes unless all names and shapes are the model's: ValueError for others; TypeError for what is no state,
    OSError for a file that cannot be read.

    >>> from fastnn.torch import load_torch_state
    >>> import numpy as np, fastnn as nn
    >>> model = nn.Sequential(nn.Linear(2, 2, bias=False))
    >>> load_torch_state(model, {"fc.weight": np.array([[1.0, 2.0], [3.0, 4.0]])}, names={"fc": "0"})
    >>> model.layers[0].weight.tolist()
    [[1.0, 3.0], [2.0, 4.0]]
    """
    check_model("model", model, or_layer=True)
    given = read(state) if isinstance(state, str | os.PathLike) else state
    if not isinstance(given, Mapping):
        raise TypeError(f"state: expected a dict from name to array, or a path, got {type(given).__name__}")
    if names is not None and not (isinstance(names, Mapping) and all(isinstance(each, str) for each in names.values())):
        raise TypeError(f"names: expected a dict from a prefix of the state to a layer's name, got {names!r}")
    given = {key: value for key, value in given.items() if str(key).rpartition(".")[2] != COUNTER}
    entries = names_of(model)
    if names is not None:
        given = renamed(given, names)
        table = [(ours, ours, turned) for ours, _, turned in entries]
    else:
        table = entries if set(given) == {theirs for _, theirs, _ in entries} else [
            (ours, ours, turned) for ours, _, turned in entries]
    if set(given) != {theirs for _, theirs, _ in table}:
        raise ValueError(f"state: expected {shortened(theirs for _, theirs, _ in entries)}, got {shortened(given)}; "
                         "names= says which of our layers each of its prefixes is")
    own = model.state_dict()
    found = {}
    for ours, theirs, turned in table:
        value = as_array(f"state[{theirs!r}]", given[theirs])
        if turned and value.ndim == 2:
            value = value.T
        if value.shape != own[ours].shape:
            wanted = own[ours].shape[::-1] if turned else own[ours].shape
            got = value.shape[::-1] if turned else value.shape
            raise ValueError(f"state[{theirs!r}]: expected the shape {wanted} of PyTorch's layout, got {got}")
        found[ours] = value
    model.load_state_dict(found)


def renamed(given: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """The state under our names; a prefix that ``names`` does not have, or one that is not there, is a ValueError."""
    found, used = {}, set()
    for key, value in given.items():
        prefix, _, name = key.rpartition(".")
        if prefix not in names:
            raise ValueError(f"names: expected a layer for {prefix!r} of the state, got {dict(names)}")
        used.add(prefix)
        new = ".".join(filter(None, (names[prefix], name)))
        if new in found:
            raise ValueError(f"names: expected each of our layers once, got {names[prefix]!r} twice")
        found[new] = value
    if unused := [prefix for prefix in names if prefix not in used]:
        raise ValueError(f"names: expected prefixes of the state, got {unused[0]!r}, which it does not have")
    return found


def as_array(name: str, value: Any) -> Array:
    """A tensor or an array as an array of floats."""
    if hasattr(value, "detach"):
        value = value.detach().cpu()
    array = as_numpy(name, value)
    if array.dtype.kind != "f":
        raise TypeError(f"{name}: expected floats, got dtype {array.dtype}")
    return array


def shortened(keys: Any) -> str:
    """A few names, for a message."""
    found = sorted(map(str, keys))
    return ", ".join(found[:6]) + (f", … ({len(found)} names)" if len(found) > 6 else "") if found else "no names"


def read(path: str | os.PathLike[str]) -> Mapping[str, Any]:
    """The arrays of a safetensors file."""
    try:
        found, metadata = safetensors.unpack(Path(path).read_bytes(), bfloat16=True)
    except ValueError as error:
        raise ValueError(f"{os.fspath(path)}: {error}") from None
    if "fastnn" in metadata:
        raise ValueError(f"{os.fspath(path)}: expected a file that PyTorch wrote, got one of fastnn: load reads it")
    return found
