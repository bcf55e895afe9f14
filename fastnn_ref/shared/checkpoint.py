"""Checkpoints: a model, or a whole training, in one safetensors file.

    tensors         each array of the state: weights under their dotted names (``0.weight``), and in a training's file
                    ``optimizer.momentum.0.weight`` and what else there is
    metadata
        fastnn      the version of this format
        content     JSON {"config": {…}, "state": {…}}: how the objects were made, and what training has changed, with
                    {"$tensor": name} in the place of an array, and {"$tuple": […]} in that of a tuple
        sha256      of the file, as it is with 64 zeros in the place of these digits

Both packages write and read the same files. A file names classes of the package, or the user's own that are given to
``load``, and no module to import.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from . import atomic, checks, safetensors
from .access import walk
from .arrays import as_state
from .config import SETTINGS, build, file_config
from .custom import CustomLoss, CustomOptimizer, check_loss
from .network import as_counters, check_resume
from .objects import as_classes, check_model, package_of
from .state import (
    KEYS,
    check_optimizer_state,
    check_trained,
    check_training_state,
    load_training_state,
    training_state,
)

if TYPE_CHECKING:
    from pathlib import Path

Array = npt.NDArray[Any]
PathLike = str | os.PathLike[str]

FORMAT = 1
METADATA = ("fastnn", "content", "sha256")
TENSOR, TUPLE = "$tensor", "$tuple"                 # what stands in JSON for an array and for a tuple
NO_DIGEST = "0" * 64
NO_RECORD = "no record"                             # key to the reason why there is none


@dataclass(frozen=True, eq=False)
class Training:
    """A training that ``load_training`` made anew.

    ``model``, ``optimizer`` and ``loss`` (None where none was saved) are as they were, and ``state`` is the record from
    which ``fit(resume=…)`` brings its history and callbacks up to date, too.
    """

    model: Any
    optimizer: Any
    loss: Any
    state: dict[str, Any]


# ---- models ----


def save(model: Any, path: PathLike) -> None:
    """Writes the model to ``path``, a safetensors file: how it was made, its weights and counters.

    ``load`` builds it again, in either package; an ``init`` that is an array or a function is left out, as the weights
    are there. The file appears whole or not at all: until the new one is on the disk,
    an old one stays as it is. Raises OSError if it cannot be written, TypeError for a layer of your own with an
    argument that no record can hold, such as a function.

    >>> import tempfile, numpy as np, fastnn_ref as nn
    >>> model = nn.Sequential(nn.Linear(2, 8, activation="relu"), nn.Linear(8, 1), seed=1)
    >>> model.save(path := f"{tempfile.mkdtemp()}/model.safetensors")
    >>> again, x = nn.load(path), np.ones((3, 2))
    >>> bool((again.predict(x) == model.predict(x)).all()), again
    (True, Sequential(Linear(2, 8, activation=ReLU()), Linear(8, 1), seed=1, dtype='float64'))
    """
    state = {"model": model.state_dict(), "counters": model.network.counters()}
    write(checks.as_path("path", path), {"model": file_config(model)}, state)


def load_model(package: ModuleType, path: PathLike, classes: Mapping[str, type[Any]] | None) -> Any:
    """The model in a file of ``save`` or ``save_training``."""
    found, classes = checks.as_path("path", path), as_classes(classes)
    document = read(found)
    with named(found):
        return build_model(package, document, classes)


def build_model(package: ModuleType, document: Mapping[str, Any], classes: Mapping[str, type[Any]] | None) -> Any:
    """A new model with the state that it had; shapes are compared before memory is taken."""
    model = build_part(package, document, "model", classes)
    state, counters = document["state"]["model"], as_counters(document["state"]["counters"])
    inside, dtype = list(walk(model)), model.dtype
    as_state("state", state, {
        prefix + name: np.broadcast_to(dtype.type(0), spec.shape)
        for prefix, layer in inside for name, spec in layer.specs.items()})
    for prefix, layer in inside:            # to draw initial values would take longer than all the rest
        layer._start_from({name: np.array(state[prefix + name], dtype) for name in layer.specs})
    model.load_state_dict(state)
    model.network.set_counters(counters)
    return model


# ---- trainings ----


def save_training(
    path: PathLike, model: Any, optimizer: Any, loss: Any = None, callbacks: Sequence[Any] = (),
) -> None:
    """Writes a whole training to ``path``: all that ``training_state`` collects, and how the objects were made.

    ``fit(resume=path)`` goes on from it to the same bits, with objects made as before; ``load_training`` makes model,
    optimizer and loss anew; ``load`` gives the model alone. For ``fit``, ``callbacks`` are the history and then those
    that were given, as ``Callback.callbacks`` has them. ``ModelCheckpoint`` calls this inside ``fit``.

    The file appears whole or not at all, as with ``model.save``. OSError if it cannot be written, TypeError for a state
    that holds something else than None, numbers, texts, arrays, and lists, tuples and dicts of them.

    >>> import tempfile, numpy as np, fastnn_ref as nn
    >>> x, t, loss = np.eye(2), np.array([0, 1]), nn.CrossEntropyLoss()
    >>> model, optimizer = nn.Sequential(nn.Linear(2, 4), nn.Dropout(0.5), nn.Linear(4, 2)), nn.Adam()
    >>> history = model.fit(x, t, loss=loss, optimizer=optimizer, epochs=3)
    >>> nn.save_training(path := f"{tempfile.mkdtemp()}/run.safetensors", model, optimizer, loss, [history])
    >>> run = nn.load_training(path)
    >>> more = run.model.fit(x, t, loss=run.loss, optimizer=run.optimizer, epochs=5, resume=path)
    >>> more.epoch, run.optimizer.steps
    ([0, 1, 2, 3, 4], 5)
    """
    check_trained(check_model("model", model), optimizer, callbacks)
    if loss is not None:
        check_loss(loss, package_of(model).Loss, reduced=False)
    parts = {"model": model, "optimizer": optimizer, **({} if loss is None else {"loss": loss})}
    config = {name: record_of(part) for name, part in parts.items()}
    write(checks.as_path("path", path), config, training_state(model, optimizer, callbacks))


def load_training(package: ModuleType, path: PathLike, classes: Mapping[str, type[Any]] | None) -> Training:
    """Model, optimizer and loss of a file of ``save_training``, made anew, and the state."""
    found, classes = checks.as_path("path", path), as_classes(classes)
    document = read_training(found)
    with named(found):
        model = build_model(package, document, classes)
        optimizer = build_part(package, document, "optimizer", classes)
        loss = build_part(package, document, "loss", classes)
        load_training_state({**document["state"], "callbacks": []}, model, optimizer)
        return Training(model, optimizer, loss, document["state"])


def as_training_state(resume: Any, model: Any, optimizer: Any, steps: int) -> Any:
    """What ``fit`` goes on from, in epochs of so many steps: a state, or that in a file of this model and of such an
    optimizer."""
    if isinstance(resume, str | os.PathLike):
        path = checks.as_path("resume", resume)
        document = read_training(path)
        with named(path):
            check_same("model", document["config"]["model"], record_of(model))
            check_same("optimizer", kind_of(document["config"]["optimizer"]), kind_of(record_of(optimizer)))
        resume = document["state"]
    elif not isinstance(resume, Mapping | None):
        raise TypeError(f"resume: expected a record of training_state or a path, got {resume!r}")
    if resume is not None:
        with named("resume"):
            check_training_state(resume)
            done = as_counters(resume["counters"])["batch"]
        check_optimizer_state(resume["optimizer"], optimizer)
        check_resume(done, steps)
    return resume


def read_training(path: Path) -> dict[str, Any]:
    """The document of a training."""
    document = read(path)
    if "optimizer" not in document["config"]:
        raise ValueError(f"{path}: expected a file of save_training, got one of a model's save")
    with named(path):
        check_training_state(document["state"])
        as_counters(document["state"]["counters"])
    return document


def check_same(name: str, saved: Any, own: Any, whose: str = "as when the file was written") -> None:
    """Two records say the same, or one of them says nothing."""
    if isinstance(saved, Mapping) and isinstance(own, Mapping):
        if NO_RECORD in saved or NO_RECORD in own:
            return
        for key in {**saved, **own}.keys() - SETTINGS.keys():       # these belong to the state, too
            check_same(f"{name}.{key}", saved.get(key), own.get(key), whose)
    elif isinstance(saved, list) and isinstance(own, list) and len(saved) == len(own):
        for index, (one, other) in enumerate(zip(saved, own, strict=True)):
            check_same(f"{name}[{index}]", one, other, whose)
    elif saved != own:
        raise ValueError(f"{name}: expected {saved!r}, {whose}, got {own!r}")


def kind_of(record: Any) -> Any:
    """The part of a record that names the class, or says why there is no record."""
    if not isinstance(record, Mapping):
        return record                               # of a file that somebody changed
    return {key: value for key, value in record.items() if key in ("class", NO_RECORD)}


def record_of(thing: Any) -> dict[str, Any]:
    """The record of an object, or why there is none."""
    try:
        return file_config(thing)
    except TypeError as error:
        return {NO_RECORD: str(error)}


def build_part(
    package: ModuleType, document: Mapping[str, Any], name: str, classes: Mapping[str, type[Any]] | None,
) -> Any:
    """The model, optimizer or loss that a file describes."""
    record = document["config"].get(name)
    if isinstance(record, Mapping) and NO_RECORD in record:
        raise ValueError(f"the {name} cannot be made anew from the file ({record[NO_RECORD]}); make it as it was, and "
                         f"give the file to fit(resume=…)")
    if record is None and name == "loss":
        return None
    parts: Any = Parts(package)
    part = build(parts, record, classes)
    kinds = {"model": (package.model.Model,), "optimizer": (package.Optimizer, CustomOptimizer),
             "loss": (package.Loss, CustomLoss)}
    if not isinstance(part, kinds[name]):
        raise ValueError(f"{name}: expected the record of one, got {str(record)[:100]}")
    return part


class Parts:
    """The classes of the package that models, losses and optimizers consist of: a file makes no others.

    Each is looked up when a file names it, as the first use of a name imports its module.
    """

    def __init__(self, package: ModuleType) -> None:
        self.package, self.__name__, self.__all__ = package, package.__name__, package.__all__

    def __getattr__(self, name: str) -> type[Any]:
        package, found = self.package, getattr(self.package, name)
        kinds = package.Layer, package.Loss, package.Optimizer, package.Penalty, package.Schedule, package.Init
        if not isinstance(found, type) or not issubclass(found, kinds):
            raise AttributeError(name)
        return found


# ---- documents and files ----


@contextmanager
def named(source: object) -> Iterator[None]:
    """Errors about what stands in a file, or in an argument that may be one, name it, unless they name a file."""
    try:
        yield
    except (TypeError, ValueError, RecursionError) as error:
        if checks.has_part(error, "path"):
            raise
        raise ValueError(f"{source}: {error}") from error


def write(path: Path, config: Mapping[str, Any], state: Mapping[str, Any]) -> None:
    """Writes a file of a model or of a training."""
    if not path.parent.is_dir():
        raise FileNotFoundError(f"path: expected a file in a folder that is there, got {str(path)!r}")
    tensors: dict[str, Array] = {}
    content = {"config": config, "state": {
        key: encode("" if key == "model" else key, value, tensors) for key, value in state.items()}}
    metadata = {"fastnn": str(FORMAT), "content": safetensors.format_json(content), "sha256": NO_DIGEST}
    head, *values = safetensors.pack(tensors, metadata)
    atomic.write(path, bytes(head).replace(stored(NO_DIGEST), stored(digest(head, *values)), 1), *values)


def read(path: Path) -> dict[str, Any]:
    """``{"config": …, "state": …}`` of a file, all of it checked but what only the objects know."""
    if path.exists() and not path.is_file() and not path.is_dir():
        raise ValueError(f"{path}: expected a file, got a device or a pipe")
    file = path.read_bytes()
    with named(path):
        tensors, metadata = safetensors.unpack(file)
        check_metadata(metadata)
        start = file.find(stored(metadata["sha256"]))
        after = memoryview(file)[start + len(stored(NO_DIGEST)):]
        if start < 0 or digest(file[:start], stored(NO_DIGEST), after) != metadata["sha256"]:
            raise ValueError("expected the sha256 that is written in it, got another one: the file is damaged")
        document = decode(safetensors.parse_json(metadata["content"]), tensors)
        if tensors:
            raise ValueError(f"expected arrays that belong to its state, got {', '.join(map(repr, tensors))}, too")
        check_document(document)
    return document


def check_metadata(metadata: Mapping[str, str]) -> None:
    """Is it a file of this library, and of a format that is known here?"""
    version = metadata.get("fastnn", "")
    if not version:
        raise ValueError("expected a file that fastnn has written, got a safetensors file without its metadata")
    if re.fullmatch("[1-9][0-9]{0,9}", version) and int(version) > FORMAT:
        raise ValueError(f"expected format {FORMAT}, got {version}: a later fastnn wrote the file")
    if version != str(FORMAT) or set(metadata) != set(METADATA) or not re.fullmatch("[0-9a-f]{64}", metadata["sha256"]):
        raise ValueError(f"expected the metadata of format {FORMAT}, {', '.join(METADATA)}, got "
                         f"{', '.join(sorted(metadata))[:200]}")


def check_document(document: Any) -> None:
    """The keys of a model's file or of a training's."""
    checks.check_keys("content", document, ("config", "state"))
    is_training = "optimizer" in document["config"] if isinstance(document["config"], dict) else False
    checks.check_keys("config", document["config"], ("model", "optimizer") if is_training else ("model",), ("loss",))
    checks.check_keys("state", document["state"], KEYS if is_training else ("model", "counters"))


def stored(sha256: str) -> bytes:
    """The digest as it stands in the header: nowhere else are quotes written without a backslash."""
    return f'"sha256":"{sha256}"'.encode()


def digest(*pieces: safetensors.Buffer) -> str:
    """The sha256 of a file in pieces."""
    import hashlib  # only where a file is written or read: import fastnn takes the less time

    found = hashlib.sha256()
    for piece in pieces:
        found.update(piece)
    return found.hexdigest()


def encode(name: str, value: Any, tensors: dict[str, Array]) -> Any:
    """``value`` as JSON has it; its arrays go to ``tensors``, under dotted names that begin with ``name``."""
    if isinstance(value, np.ndarray):
        if name in tensors:
            raise ValueError(f"{name}: expected one array of this name, got two")
        tensors[name] = value
        return {TENSOR: name}
    if isinstance(value, np.generic):
        return encode(name, value.item(), tensors)
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Mapping) and all(isinstance(key, str) and key[:1] != "$" for key in value):
        return {key: encode(f"{name}.{key}" if name else key, each, tensors) for key, each in value.items()}
    if isinstance(value, list | tuple):
        found = [encode(f"{name}.{index}", each, tensors) for index, each in enumerate(value)]
        return found if isinstance(value, list) else {TUPLE: found}
    raise TypeError(f"{name}: expected None, a number, a text, an array, or a list, a tuple or a dict (of names) of "
                    f"them, got {value!r}")


def decode(value: Any, tensors: dict[str, Array]) -> Any:
    """What ``encode`` was given; the arrays are taken out of ``tensors``."""
    if isinstance(value, list):
        return [decode(each, tensors) for each in value]
    if not isinstance(value, dict):
        return value
    if value.keys() == {TENSOR} and isinstance(value[TENSOR], str) and value[TENSOR] in tensors:
        return tensors.pop(value[TENSOR])
    if value.keys() == {TUPLE} and isinstance(value[TUPLE], list):
        return tuple(decode(value[TUPLE], tensors))
    if any(key[:1] == "$" for key in value):
        raise ValueError(f"expected {TENSOR} with the name of an array, once, or {TUPLE}, got {str(value)[:100]}")
    return {key: decode(each, tensors) for key, each in value.items()}
