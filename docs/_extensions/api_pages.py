"""The reference of the API, a page for each kind of object, from the docstrings.

Which names are of which kind follows from the classes, so a new layer appears by itself; a public name of no kind, or
of two, stops the build. The pages are docs/api/*.rst, which are not kept.
"""

import importlib
import inspect
import itertools
import operator
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pages import write
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError

import fastnn as nn

API = Path(__file__).parents[1] / "api"


def derived(*bases: type, but: tuple[type, ...] = ()) -> list[str]:
    """The public classes that derive from one of these, and from none of the others."""
    return [name for name in nn.__all__ if inspect.isclass(thing := getattr(nn, name))
            and issubclass(thing, bases) and not issubclass(thing, but)]


OWN = [name for name in nn.__all__ if name.startswith("Custom")]
CUSTOM = tuple(getattr(nn, name) for name in OWN)

# page → title, sentence, names in fastnn
KINDS: dict[str, tuple[str, str, list[str]]] = {
    "models": ("Models", "A network is a ``Sequential``; it is trained, saved, and rebuilt from a record.",
               ["Sequential", "Predictor", "load", "from_config", "training_state", "load_training_state",
                "save_training", "load_training", "Training", "copy_parameters"]),
    "layers": ("Layers", "Everything with a forward and a backward pass.",
               derived(nn.Layer, but=(nn.Activation, nn.Sequential, *CUSTOM))),
    "activations": ("Activations", "Also arguments of ``Linear`` and ``Conv2d``: ``activation=\"relu\"``.",
                    derived(nn.Activation, but=CUSTOM)),
    "losses": ("Losses", "What training makes small.", derived(nn.Loss, but=CUSTOM)),
    "optimizers": ("Optimizers", "How a step follows from the gradients.", derived(nn.Optimizer, but=CUSTOM)),
    "penalties": ("Penalties and clipping", "What weights cost, and limits on weights and gradients.",
                  [*derived(nn.Penalty), "clip_grad_norm", "clip_grad_value"]),
    "schedules": ("Schedules", "The learning rate over a training: ``Adam(lr=CosineLR(…))``.",
                  [*derived(nn.Schedule), "stochastic_depth_rates"]),
    "callbacks": ("Callbacks", "What ``fit`` calls between steps and epochs, and the history it returns.",
                  [*derived(nn.Callback), "StopTraining", "TrainingWarning"]),
    "metrics": ("Metrics", "What ``fit`` and ``evaluate`` measure beside the loss, by name or as functions.",
                ["Metric"]),
    "data": ("Data and text", "Data sets to learn from, and typing errors as augmentation.", ["TextNoise"]),
    "custom": ("Your own classes", "Layers, activations, losses and optimizers in NumPy, for both packages.", OWN),
    "checks": ("Checks and tools", "Gradients against differences, one package against the other, the learning rate.",
               ["gradcheck", "compare", "find_lr", "show_config", "isa", "get_num_threads", "set_num_threads"]),
    "random": ("Random numbers and initial values", "The counter-based generator, and what parameters start from.",
               ["Init"]),
}
MODULES = {"metrics": ["fastnn_ref.shared.metrics"], "data": ["fastnn.datasets"],
           "random": ["fastnn_ref.init", "fastnn_ref.philox"]}
PACKAGES = {                                            # page → title, module
    "plot": ("fastnn.plot", "fastnn.plot"), "sklearn": ("fastnn.sklearn", "fastnn.sklearn"),
    "torch": ("fastnn.torch", "fastnn.torch"), "onnx": ("fastnn.onnx", "fastnn.onnx"),
    "lab": ("fastnn.lab", "fastnn.lab"),
}
WHOLE = ("Sequential", "Layer", "Loss", "Penalty", "Optimizer")         # show what they inherit
WITHIN = ("init", "philox", "metrics")                  # modules among the public names


def check() -> None:
    """Every public name stands on one page."""
    shown = [name for _, _, names in KINDS.values() for name in names]
    wrong = [name for name in nn.__all__ if name not in WITHIN and shown.count(name) != 1]
    if wrong:
        raise ExtensionError(f"api_pages.KINDS: expected each public name once, got {', '.join(wrong)} otherwise")


def public(module: str) -> list[str]:
    """What a module says is public, or the functions and classes that it defines."""
    found = importlib.import_module(module)
    return getattr(found, "__all__", None) or [
        name for name, thing in vars(found).items()
        if name[0] != "_" and (inspect.isfunction(thing) or inspect.isclass(thing)) and thing.__module__ == module
        and inspect.getdoc(thing)]


def entry(module: str, name: str) -> str:
    """The directive that shows one object."""
    thing = getattr(importlib.import_module(module), name)
    if inspect.isclass(thing):
        more = "\n   :inherited-members: object" if name in WHOLE else ""
        return f".. autoclass:: {module}.{name}{more}\n"
    if callable(thing):
        return f".. autofunction:: {module}.{name}\n"
    return ""


def title(text: str, mark: str = "=") -> str:
    return f"{text}\n{mark * len(text)}\n"


def pages() -> Iterator[tuple[str, str]]:
    """(name, text) of each page."""
    for page, (head, sentence, names) in KINDS.items():
        parts = [title(head), sentence, *(entry("fastnn", name) for name in names)]
        for module in MODULES.get(page, []):
            shown = [name for name in public(module) if name not in names]
            parts += [title(module, "-"), *(entry(module, name) for name in shown)]
        yield page, "\n\n".join(parts)
    for page, (head, module) in PACKAGES.items():
        text = inspect.getdoc(importlib.import_module(module)) or ""
        yield page, "\n\n".join([title(head), "\n".join(escaped(text.split("\n"))),
                                *(entry(module, name) for name in public(module))])
    yield "reference", reference()


def reference() -> str:
    """The formulas, as the files of the reference begin with them, and the files themselves."""
    parts = [title("The reference, file by file"),
             "The files of ``fastnn_ref``, whole: each begins with its formulas, forward and backward."]
    folder = Path(importlib.import_module("fastnn_ref").__file__ or "").parent
    text = (folder / "__init__.py").read_text("utf-8")
    names = dict.fromkeys([*re.findall(r"^from \.(\w+) import", text, re.M), "model", "network", "init", "philox"])
    for name in names:
        if not (folder / f"{name}.py").is_file():
            continue
        parts += [title(name, "-"), f".. literalinclude:: ../../fastnn_ref/{name}.py\n   :language: python"]
    return "\n\n".join(parts)


# ---- docstrings are plain text with literals and examples; the marks of reStructuredText in the rest are escaped ----

LITERAL = re.compile(r"(``(?:(?!\n\n).)+?``)", re.DOTALL)


def escaped(lines: list[str]) -> list[str]:
    """The lines, so that reStructuredText shows them as they are; a literal may go over the end of one."""
    text: list[str] = []
    examples, example = [], False
    for line in lines:
        example = line.lstrip().startswith(">>>") or (example and bool(line.strip()))
        examples.append(example)
    for example, group in itertools.groupby(zip(examples, lines, strict=True), operator.itemgetter(0)):
        found = "\n".join(line for _, line in group)
        text += (found if example else "".join(
            part if part.startswith("``") else re.sub(r"([*|`\\]|(?<=\w)_(?!\w))", r"\\\1", part)
            for part in LITERAL.split(found))).split("\n")
    return text


def process(app: Sphinx, what: str, name: str, thing: Any, options: Any, lines: list[str]) -> None:
    lines[:] = escaped([line.replace("fastnn_ref as nn", "fastnn as nn") for line in lines])


def write_pages(app: Sphinx, config: Any) -> None:
    check()
    names = []
    for name, text in pages():
        write(API / f"{name}.rst", text.rstrip() + "\n")
        names.append(name)
    listed = "".join(f"   {name}\n" for name in names)
    write(API / "index.rst", f"{title('API reference')}\nThe docstrings. ``fastnn_ref`` has the same names, but for "
          f"``compare``, ``show_config`` and what concerns threads.\n\n.. toctree::\n\n{listed}")


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("config-inited", write_pages)
    app.connect("autodoc-process-docstring", process)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
