"""What an experiment is: a claim, how one seed measures it, and the checks that its numbers must pass."""

import hashlib
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from fastnn_ref.shared import checks

LANGUAGES = ("en", "ru")
ROLES = ("claim", "limit", "control")
Draw = Callable[[Any, Any, str], object]            # of an Axes, a result, and a language


class Text(NamedTuple):
    """A sentence in English and in Russian.

    >>> from fastnn import lab
    >>> lab.Text("layer", "слой").to("ru")
    'слой'
    """

    en: str
    ru: str

    def to(self, language: str) -> str:
        """The sentence in ``language``, ``"en"`` or ``"ru"``."""
        return self.ru if language == "ru" else self.en


Said = Text | str | tuple[str, str]


def as_text(name: str, value: Said) -> Text:
    """A Text; one string serves both languages."""
    if isinstance(value, str):
        return Text(value, value)
    if isinstance(value, tuple) and len(value) == 2 and all(isinstance(each, str) for each in value):
        return Text(*value)
    raise TypeError(f"{name}: expected a string, or a pair (English, Russian), got {value!r}")


@dataclass(frozen=True)
class Check:
    """What the numbers of all seeds must show: ``value`` lies above, below, or between two thresholds.

    ``name`` is what mutations and files call it; ``text`` says what is measured, with ``unit``. ``value`` is the name
    of a measured number, or ``"a - b"``, the difference of two in the same seed. ``above`` and ``below`` are thresholds
    of its *mean*; with ``every=True`` each seed by itself has to lie within them, ends included, and there are no
    statistics (``above=0, below=0``: exactly 0). Without thresholds the value is only shown. ``role`` is ``"claim"``,
    ``"limit"`` (where the idea does not help) or ``"control"``.

    >>> from fastnn import lab
    >>> lab.Check("gain", "test accuracy", "dropout - plain", unit="points", above=0.3).names
    ['dropout', 'plain']
    """

    name: str
    text: Said
    value: str
    above: float | None = None
    below: float | None = None
    every: bool = False
    unit: Said = ""
    role: str = "claim"

    def __post_init__(self) -> None:
        object.__setattr__(self, "text", as_text("text", self.text))
        object.__setattr__(self, "unit", as_text("unit", self.unit))
        checks.as_choice("role", self.role, ROLES)
        if not isinstance(self.value, str) or len(self.names) > 2:
            raise ValueError(f'value: expected the name of a measured number, or "a - b" of two, got {self.value!r}')
        for name in ("above", "below"):
            if getattr(self, name) is not None:
                checks.as_number(name, getattr(self, name))
        if self.above is not None and self.below is not None and self.above > self.below:
            raise ValueError(f"above: expected at most below, {self.below}, got {self.above}")

    @property
    def names(self) -> list[str]:
        """The measured numbers that it needs."""
        return self.value.split(" - ")


class Mutation(NamedTuple):
    """A classic bug, put in on purpose by ``--break NAME``; the check ``caught_by`` must then FAIL."""

    text: Said
    caught_by: str


def as_mutation(name: str, value: object) -> Mutation:
    """A Mutation whose text is a Text."""
    if not isinstance(value, tuple) or len(value) != 2:
        raise TypeError(f"mutations[{name!r}]: expected a Mutation, got {value!r}")
    return Mutation(as_text(f"mutations[{name!r}].text", value[0]), value[1])


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """A claim of a textbook, measured over paired seeds.

    ``name``: as ``fastnn lab run`` calls it. ``claim``: the sentence that is tested. ``question``: what the reader is
    asked to predict, a number in the unit of the first check. ``setup``: the configuration, which ``trial.setup`` has
    as attributes and the report shows; a text in it may be a ``Text``, of which a trial has the English.
    ``trial(trial)``: measures one seed and returns names and numbers (``Trial``).
    ``checks``: what the numbers must show; the first one is the claim's main number. ``control(trial)``: how far the
    weights are apart at strength zero, which must be exactly 0; None where the idea has no strength. ``mutations``:
    name → ``Mutation``; ``trial.broken`` is the name of the one that is put in. ``picture(ax, result, language)`` draws
    what there is to see into an Axes of matplotlib (``curves`` and ``arms`` make one); ``alt`` describes it.
    ``limits``: when the idea does not help. ``sources``: papers. ``unequal``: measured numbers in which the packages
    differ, as rounding makes them. Texts are strings, or pairs (English, Russian). ValueError or TypeError for what
    does not fit.

    >>> from fastnn import lab
    >>> def trial(trial):
    ...     random = trial.random.normal(size=100)
    ...     return {"mean": random.mean(), "largest": random.max()}
    >>> experiment = lab.Experiment(name="normal", claim="The largest of 100 is above 1.", trial=trial, checks=[
    ...     lab.Check("largest", "the largest of 100 numbers", "largest", above=1)])
    >>> lab.run(experiment, seeds=8).verdict
    'PASS'
    """

    name: str
    claim: Said
    trial: Callable[[Any], Mapping[str, float]]
    checks: Sequence[Check]
    question: Said = ""
    setup: Mapping[str, Any] = field(default_factory=dict)
    control: Callable[[Any], float] | None = None
    mutations: Mapping[str, Mutation] = field(default_factory=dict)
    picture: Draw | None = None
    alt: Said = ""
    limits: Said = ""
    sources: Sequence[str] = ()
    unequal: Sequence[str] = ()
    source: str | None = None               # the file of a user's own; the lab fills it in

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name or "/" in self.name or "\0" in self.name:
            raise ValueError(f"name: expected a text that can name the file of the report, got {self.name!r}")
        for name in ("claim", "question", "alt", "limits"):
            object.__setattr__(self, name, as_text(name, getattr(self, name)))
        for name in ("trial", "control", "picture"):
            if not callable(found := getattr(self, name)) and (found is not None or name == "trial"):
                raise TypeError(f"{name}: expected a function, got {found!r}")
        for name in ("setup", "mutations"):
            if not isinstance(found := getattr(self, name), Mapping):
                raise TypeError(f"{name}: expected a dict, got {type(found).__name__}")
        if not isinstance(self.checks, Sequence) or not all(isinstance(each, Check) for each in self.checks):
            raise TypeError(f"checks: expected a list of Check, got {self.checks!r}")
        object.__setattr__(self, "mutations", {name: as_mutation(name, each) for name, each in self.mutations.items()})
        known = [each.name for each in self.checks]
        if not known or len(set(known)) < len(known):
            raise ValueError(f"checks: expected at least one, each of another name, got {known}")
        if taken := sorted(reserved(self) & set(known)):
            raise ValueError(f"checks: expected other names than {', '.join(taken)}, a check of the lab's own")
        for name, mutation in self.mutations.items():
            checks.as_choice(f"mutations[{name!r}].caught_by", mutation.caught_by, (*known, "control", "agreement"))

    @property
    def file_hash(self) -> str:
        """The sha256 of the file that ``trial`` stands in; "" if it stands in none, as in a notebook.

        A kept result whose record has another one was measured by another version of the experiment.
        """
        try:
            return hashlib.sha256(Path(inspect.getsourcefile(self.trial) or "").read_bytes()).hexdigest()
        except (OSError, TypeError):
            return ""


def reserved(experiment: Experiment) -> set[str]:
    """Names of the lab's own checks and numbers beside those of an experiment."""
    return {"agreement", *(["control"] if experiment.control else [])}


# ---- pictures that experiments choose; matplotlib is imported when one is drawn ----


def curves(names: Mapping[str, Said], x: Said, y: Said, **axes: Any) -> Draw:
    """Draws what ``trial.curve`` kept: a pale line for each seed, and their median; ``names``: name → label.

    ``axes`` are for ``Axes.set``, such as ``yscale="log"``.
    """

    def draw(ax: Any, result: Any, language: str) -> None:
        from .picture import draw_curves

        draw_curves(ax, result, language, names, x, y, **axes)

    return draw


def arms(names: Mapping[str, Said], y: Said, **axes: Any) -> Draw:
    """Draws measured numbers beside each other: a dot for each seed, a thin line from arm to arm, a bar at the mean."""

    def draw(ax: Any, result: Any, language: str) -> None:
        from .picture import draw_arms

        draw_arms(ax, result, language, names, y, **axes)

    return draw


def check_mutation(experiment: Experiment, name: str, called: str = "broken") -> None:
    """ValueError if the experiment has no such mutation; ``called`` is the argument's name in the message."""
    if not experiment.mutations:
        raise ValueError(f"{called}: {experiment.name} has no mutations, got {name!r}")
    checks.as_choice(called, name, tuple(experiment.mutations))
