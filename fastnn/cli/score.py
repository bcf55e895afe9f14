"""How good a trained model is on the test examples: the measures of a classifier, and those of a regression."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from fastnn_ref.shared import metrics

from .encoding import Encoding

Array = npt.NDArray[Any]
SHOWN = 8  # targets of a regression at most that a table lists


@dataclass(frozen=True, kw_only=True)
class Classified:
    """What a classifier says of the test examples.

    >>> import numpy as np
    >>> from fastnn.cli.score import Classified
    >>> score = Classified(t=np.array([0, 1]), probabilities=np.array([[0.9, 0.1], [0.8, 0.2]]), before=0)
    >>> score.correct, score.sentence()
    (1, 'accuracy 1/2 (50.0%)')
    """

    t: Array  # (test examples,), class numbers
    probabilities: Array  # (test examples, classes)
    before: int  # examples that were right before the training

    @property
    def correct(self) -> int:
        """Examples that are right."""
        return int(np.sum(self.probabilities.argmax(axis=1) == self.t))

    @property
    def frequent(self) -> int:
        """Examples of the most frequent class."""
        return int(np.bincount(self.t).max())

    def rows(self) -> list[tuple[str, str]]:
        """(name, value) of each measure."""
        return [("test accuracy", f"{self.correct:,}/{len(self.t):,}")]

    def difference(self, other: Any) -> str:
        """How much the predictions of two models differ."""
        differ = int(np.sum(self.probabilities.argmax(axis=1) != other.probabilities.argmax(axis=1)))
        return f"{differ:,} of {len(self.t):,} predictions differ"

    def sentence(self) -> str:
        """The measures in words."""
        return f"accuracy {self.correct:,}/{len(self.t):,} ({self.correct / len(self.t):.1%})"

    def learnt_nothing(self) -> bool:
        """Is what was learnt no more than chance: two standard deviations above the better of two guesses?

        The guesses are those of the network before training, and the most frequent class for every example.
        """
        total, guess = len(self.t), max(self.before, self.frequent)
        return self.correct <= guess + 2 * (guess * (total - guess) / total) ** 0.5

    def guess(self) -> str:
        """What a run that learnt nothing is compared with, in words."""
        total = len(self.t)
        return ("the accuracy is not above that of a guess by more than chance\n"
                f"({self.before:,}/{total:,} before training, {self.frequent:,}/{total:,} for the most frequent class)")

    def record(self) -> dict[str, Any]:
        """The measures, for JSON."""
        return {"correct": self.correct, "rows": len(self.t), "accuracy": self.correct / len(self.t)}


def measured(
    y: Array, t: Array, names: Sequence[str], measures: Sequence[str] = ("r2", "rmse", "mae")
) -> dict[str, Any]:
    """These measures of a regression, values ``y`` and targets ``t`` (n, targets); of several targets R² is the mean,
    and ``targets`` has all of each one, in its own unit.

    >>> import numpy as np
    >>> from fastnn.cli.score import measured
    >>> t = np.array([[1.0, 10.0], [2.0, 30.0]])
    >>> measured(t, t, ("a", "b"), ("r2", "mae"))
    {'r2': 1.0, 'targets': {'a': {'r2': 1.0, 'mae': 0.0}, 'b': {'r2': 1.0, 'mae': 0.0}}}
    """
    each = {name: {measure: metrics.METRICS[measure](y[:, column], t[:, column]) for measure in measures}
            for column, name in enumerate(names)}  # fmt: skip
    if len(names) == 1:
        return each[names[0]]
    return {**({"r2": metrics.r2(y, t)} if "r2" in measures else {}), "targets": each}


@dataclass(frozen=True, kw_only=True)
class Estimated:
    """What a regression says of the test examples; everything is in the units of the targets.

    >>> import numpy as np
    >>> from fastnn.cli.encoding import Encoding
    >>> from fastnn.cli.score import Estimated
    >>> score = Estimated(t=np.array([[1.0], [3.0]]), values=np.array([[1.0], [4.0]]), before=np.zeros((2, 1)),
    ...                   encoding=Encoding((), 1, target_mean=(2.0,), target_deviation=(1.0,)))
    >>> score.sentence()
    'R² 0.5000, RMSE 0.707107'
    """

    t: Array  # (test examples, targets)
    values: Array  # (test examples, targets), predicted
    before: Array  # (test examples, targets), predicted before the training
    encoding: Encoding  # mean and deviation of the targets that were trained on, and their names

    def rows(self) -> list[tuple[str, str]]:
        """(name, value) of each measure."""
        found = self.record()
        each = dict(list(found.get("targets", {"": found}).items())[:SHOWN])
        mean = [("test R², mean", f"{found['r2']:.4f}")] if "targets" in found else []
        return mean + [(f"test {title} {name}".rstrip(), format(measures[measure], how))
                       for name, measures in each.items()
                       for measure, title, how in (("r2", "R²", ".4f"), ("rmse", "RMSE", ".6g"))]  # fmt: skip

    def difference(self, other: Any) -> str:
        """How much the predictions of two models differ."""
        off = np.abs(self.values - other.values)
        if off.shape[1] == 1:
            return f"predictions differ by up to {off.max():.1e}"
        return f"predictions differ by up to {(off / self.encoding.target_deviation).max():.1e} deviations"

    def sentence(self) -> str:
        """The measures in words."""
        if (targets := self.t.shape[1]) > 1:
            return f"R² {self.record()['r2']:.4f}, the mean of {targets} targets"
        return ", ".join(f"{name.removeprefix('test ')} {value}" for name, value in self.rows())

    def learnt_nothing(self) -> bool:
        """Are the squared errors no smaller than those of the better of two guesses, by two standard errors of the mean
        difference, example by example? An error counts in deviations of its target.

        The guesses are those of the network before training, and the means of the training targets for every example:
        R² = 0 but for the difference between the means.
        """
        guesses = [self.squared_errors(guess) for guess in (self.before, self.means)]
        gain = min(guesses, key=np.mean) - self.squared_errors(self.values)
        return bool(gain.mean() <= 2 * gain.std() / len(gain) ** 0.5)

    @property
    def means(self) -> Array:
        """The guess of the means of the training targets (test examples, targets)."""
        return np.tile(np.array(self.encoding.target_mean), (len(self.t), 1))

    def squared_errors(self, values: Array) -> Array:
        """(test examples,)."""
        return np.asarray((((values - self.t) / np.array(self.encoding.target_deviation)) ** 2).mean(axis=1))

    def guess(self) -> str:
        """What a run that learnt nothing is compared with, in words."""
        after, before, mean = (metrics.r2(guess, self.t) for guess in (self.values, self.before, self.means))
        return (f"R² {after:.3g} is not above that of a guess by more than chance ({before:.3g} before training,\n"
                f"{mean:.3g} for the mean of the training targets)")

    def record(self) -> dict[str, Any]:
        """The measures, for JSON."""
        return {"rows": len(self.t), **measured(self.values, self.t, self.encoding.target_names)}


Score = Classified | Estimated
