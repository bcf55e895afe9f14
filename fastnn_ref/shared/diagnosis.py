"""What is probably wrong with a training, in plain words: before the first step, and once its loss or its parameters
go astray."""

from __future__ import annotations

import itertools
import math
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np

from .access import walk
from .objects import PASS_THROUGH, PROBABILITIES, attributes_of, class_name, hosted, is_a, is_container, is_ours
from .schedule import PerEpoch, Schedule, latest_rate

LARGE = 100.0                       # inputs and targets beyond are called unscaled
RISE = 10.0                         # times the usual loss, and rising: training diverges
JUMP = 1000.0                       # times the usual loss at once
MOST_HELD = 100                     # of a list in a user's object are looked at
TINY = 1e-6                         # a rate below this share of the largest trains nothing
TWICE = {                           # (loss, last activation) → what is wrong
    ("CrossEntropyLoss", "Softmax"): "applies softmax itself: twice, it hardly learns",
    ("CrossEntropyLoss", "LogSoftmax"): "applies log_softmax itself: twice is the same as once",
    ("CrossEntropyLoss", "Sigmoid"): "takes logits of any size: the Sigmoid keeps them between 0 and 1",
    ("BCEWithLogitsLoss", "Sigmoid"): "applies sigmoid itself: twice, it hardly learns",
    ("BCEWithLogitsLoss", "Softmax"): "takes logits of any size: the Softmax keeps them between 0 and 1",
    ("BCEWithLogitsLoss", "LogSoftmax"): "takes logits of any size: the LogSoftmax keeps them below 0",
    ("HingeLoss", "Sigmoid"): "wants outputs of either sign: the Sigmoid keeps them above 0",
    ("HingeLoss", "Softmax"): "wants outputs of either sign: the Softmax keeps them above 0",
    ("HingeLoss", "LogSoftmax"): "wants outputs of either sign: the LogSoftmax keeps them below 0",
}


class TrainingWarning(UserWarning):
    """Something about a training is probably not as it was meant; it goes on."""


QUIET = ContextVar("QUIET", default=False)


@contextmanager
def quiet() -> Iterator[None]:
    """No TrainingWarning in this block, of this thread: a filter of warnings would be every thread's."""
    before = QUIET.set(True)
    try:
        yield
    finally:
        QUIET.reset(before)


def warn(text: str, kind: type[Warning] = TrainingWarning) -> None:
    """One warning, at the user's line that called ``fit``."""
    if QUIET.get():
        return
    frame, level = sys._getframe(1), 2
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith(("fastnn.", "fastnn_ref.")):
        frame, level = frame.f_back, level + 1
    warnings.warn(text, kind, stacklevel=level)


# ---- before the first step ----


def last_layer(layer: Any) -> Any:
    """The layer, or its activation, that a model's outputs come from."""
    inside = layer.layers if is_a(layer, "Sequential") else None
    if inside is not None:
        return next((found for found in map(last_layer, reversed(tuple(inside))) if found is not None), None)
    if is_a(layer, *PASS_THROUGH) or class_name(layer) in PASS_THROUGH:     # a user's own layer by its name
        return None
    own = None if hasattr(layer, "custom") else getattr(layer, "activation", None)
    return layer if own is None or is_a(own, "Identity") else own


def find_missing_logarithm(last: Any, loss: Any) -> str | None:
    """What to say of a ``last_layer`` whose outputs are no log-probabilities, where the loss takes them as such."""
    if last is None or not is_a(loss, "NLLLoss"):
        return None
    if is_a(last, "LogSoftmax") or hasattr(last, "custom") or is_container(last):
        return None                                         # it is, or it may be
    advice = "put a LogSoftmax in its place" if is_a(last, "Softmax") else "put a LogSoftmax behind it"
    return (f"the model ends in a {class_name(last)}, and {type(loss).__name__} takes log-probabilities: {advice}, or "
            "leave it to CrossEntropyLoss, which takes logits")


def find_double_activation(last: Any, loss: Any) -> str | None:
    """What to say of a ``last_layer`` that does what the loss applies, too."""
    for (applied_by, activation), reason in TWICE.items() if is_a(last, *PROBABILITIES) else ():
        if is_a(loss, applied_by) and is_a(last, activation):
            return (f"the model ends in a {class_name(last)}, and {type(loss).__name__} {reason}. Leave the "
                    f"{activation} out; predict then gives logits")
    return None


def outermost(layer: Any) -> Any:
    """The layer around all others."""
    while layer.parent is not None:
        layer = layer.parent
    return layer


def find_untrained(model: Any) -> str | None:
    """What to say of a layer that an object of a user's class holds as an attribute, and that no model trains."""
    for _, layer in walk(model):
        user = hosted(layer)
        if is_ours(type(user)):
            continue
        for name, value in attributes_of(user).items():
            several = value.values() if isinstance(value, dict) else value
            for each in itertools.islice(several, MOST_HELD) if isinstance(value, dict | list | tuple) else [value]:
                held = each._living_host() if is_a(each, "CustomLayer") else each
                if is_a(held, "Layer") and outermost(held) is not model and any(
                        inside.trainable and any(spec.trainable for spec in inside.specs.values())
                        for _, inside in walk(held)):
                    return (f"{type(user).__name__}.{name} has a {class_name(hosted(held))} that is not trained: "
                            "training knows the layers of a Sequential, Residual or Parallel, and what add declares. "
                            "Put it into one of these, or freeze it, trainable = False")
    return None


def l2_strength(penalty: Any) -> float:
    """λ₂ of a penalty, which ``MaxNorm`` has not."""
    return float(getattr(penalty, "l2", 0.0))


def find_strong_decay(model: Any, optimizer: Any, lr: float) -> str | None:
    """What to say when weight decay alone makes weights grow: a step of w ← w − lr·λ·w with lr·λ > 2 overshoots zero
    by more than |w|. With momentum μ the limit is 2(1 + μ), with Nesterov's 2(1 + μ)/(1 + 2μ); dampening τ
    divides it by 1 − τ."""
    strength = getattr(optimizer, "weight_decay", 0.0)
    if is_a(optimizer, "SGD"):
        penalties: dict[int, float] = {}
        for penalty, value, _ in model.network.constraints:
            penalties[id(value)] = penalties.get(id(value), 0.0) + l2_strength(penalty)
        strength += max(penalties.values(), default=0.0)
        limit = 2 * (1 + optimizer.momentum) / (1 + 2 * optimizer.momentum * optimizer.nesterov)
        limit /= 1 - optimizer.dampening
    elif is_a(optimizer, "AdamW") or getattr(optimizer, "decoupled_weight_decay", False):
        limit = 2.0
    else:
        return None
    if lr * strength <= limit:
        return None
    return (f"weight decay makes the weights grow: lr·λ = {lr:g} · {strength:g} = {lr * strength:.3g}, and beyond "
            f"{limit:.3g} each step overshoots zero. Make the learning rate or λ smaller")


def find_vanishing_rate(lr: Any, first: int, count: int) -> str | None:
    """What to say of a schedule that leaves most of the ``count`` steps from ``first`` on next to no learning rate."""
    if not isinstance(lr, Schedule) or count < 1:
        return None
    steps = np.unique(np.linspace(first, first + count - 1, min(count, 1000)).astype(np.int64))
    rates = np.broadcast_to(lr(steps), steps.shape)
    tiny = rates < TINY * rates.max()
    if not np.isfinite(rates).all() or tiny.mean() <= 0.5:
        return None
    advice = "" if isinstance(lr, PerEpoch) else f" It counts steps; PerEpoch({lr!r}) counts epochs"
    return (f"{lr!r} falls from {rates[0]:.3g} to {rates[-1]:.3g} in {count} steps, and is below {TINY:g} of its "
            f"largest value in most of them.{advice}")


def warn_of_bytes(model: Any, x: object, largest: float) -> None:
    """A TrainingWarning where images are bytes, as files have them, and the first layer takes values of about 1."""
    if largest > LARGE and str(getattr(x, "dtype", "")).endswith("uint8") and not is_a(
            model.layers[0], "Embedding", "BatchNorm1d", "BatchNorm2d"):
        warn(f"x holds bytes, up to {largest:g}, and is used as it is: x / 255 brings it to about 1, and predict then "
             "needs x / 255, too")


def warn_before(model: Any, loss: Any, optimizer: Any, steps: int) -> None:
    """Warnings about what can be seen without one of the ``steps``."""
    lr, last = optimizer.lr, last_layer(model)
    found = [find_untrained(model), find_double_activation(last, loss), find_missing_logarithm(last, loss),
             find_vanishing_rate(lr, optimizer.steps, steps)]
    if not callable(lr) or isinstance(lr, Schedule):            # a user's own function is asked by the steps alone
        found.append(find_strong_decay(model, optimizer, optimizer.current_lr))
    for text in found:
        if text:
            warn(text)


# ---- when the loss goes astray ----


def likely_causes(model: Any, optimizer: Any, largest: Mapping[str, float]) -> str:
    """A sentence of causes, the likeliest first; ``largest`` has the largest absolute value of each array of data."""
    lr = latest_rate(optimizer)
    causes = [f"{name} is not scaled, with values up to {value:.3g} (bring them to about 1)"
              for name, value in largest.items() if value > LARGE]
    strong = find_strong_decay(model, optimizer, lr)
    causes += [strong] if strong else []
    causes.append(f"the learning rate {lr:.3g} is too large (try {lr / 10:.3g})")
    return "Likely causes: " + "; ".join(causes)


def find_nonfinite(model: Any) -> str | None:
    """What to say of parameters that are NaN or infinite: the first one's name, and how many others."""
    if model.network.has_finite_parameters():
        return None
    bad = [(name, np.count_nonzero(~np.isfinite(value)), value.size) for name, value, _, _ in model.parameters()]
    bad = [each for each in bad if each[1]]
    (name, count, size), others = bad[0], len(bad) - 1
    beside = f", and {others} other parameter{'s' * (others > 1)} as well" if others else ""
    return f"the parameter {name} is NaN or infinite in {count} of its {size} values{beside}"


def warn_of_nonfinite(model: Any) -> None:
    """A TrainingWarning if a parameter is NaN or infinite."""
    text = find_nonfinite(model)
    if text:
        warn(f"{text}: nothing more can be learnt from here. Go back to an earlier state, with a smaller learning rate")


class LossWatch:
    """Says once that a loss has become NaN or infinite, or far larger than is usual for the data; and that training
    ends because a parameter has.

    ``usual`` is the loss of the untrained model, or of outputs that are all 0 where that is larger: what dropout and
    noise add to a small loss is no divergence.
    """

    def __init__(self, model: Any, optimizer: Any, largest: Mapping[str, float], usual: float) -> None:
        self.known = model, optimizer, largest
        self.usual = usual
        self.losses: list[float] = []
        self.silent = False

    def see(self, epoch: int, loss: float, ends: bool = False) -> None:
        """Looks at the loss of an epoch, after which training ``ends`` if a parameter is not finite any more."""
        self.losses.append(loss)
        if ends:
            causes = "" if self.silent else f". {likely_causes(*self.known)}"           # told once
            warn(f"training ends after epoch {epoch} (the first is 0) with a loss of {loss:.3g}: such parameters do "
                 f"not recover{causes}")
            return
        last = self.losses[-3:]
        rises = len(last) == 3 and last == sorted(last)
        if self.silent or not (loss > self.usual * (RISE if rises else JUMP) or not math.isfinite(loss)):
            return
        self.silent = True
        beside = f", where {self.usual:.3g} is what a model that knows nothing has" if math.isfinite(loss) else ""
        warn(f"the loss of epoch {epoch} (the first is 0) is {loss:.3g}{beside}: training diverges. "
             f"{likely_causes(*self.known)}")
