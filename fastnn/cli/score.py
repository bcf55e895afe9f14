"""How good a trained model is on the test examples: the measures of a classifier, and those of a regression."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from fastnn_ref.shared import metrics

Array = npt.NDArray[Any]


@dataclass(frozen=True, kw_only=True)
class Classified:
    """What a classifier says of the test examples.

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
        return (f"the accuracy is not above that of a guess ({self.before:,}/{total:,} before training,\n"
                f"{self.frequent:,}/{total:,} for the most frequent class)")

    def record(self) -> dict[str, Any]:
        """The measures, for JSON."""
        return {"correct": self.correct, "rows": len(self.t), "accuracy": self.correct / len(self.t)}


@dataclass(frozen=True, kw_only=True)
class Estimated:
    """What a regression says of the test examples; everything is in the unit of the target.

    >>> score = Estimated(t=np.array([1.0, 3.0]), values=np.array([1.0, 4.0]), before=np.zeros(2), mean=2.0)
    >>> score.sentence()
    'R² 0.5000, RMSE 0.707107'
    """

    t: Array  # (test examples,)
    values: Array  # (test examples,), predicted
    before: Array  # (test examples,), predicted before the training
    mean: float  # of the targets that were trained on

    def rows(self) -> list[tuple[str, str]]:
        """(name, value) of each measure."""
        found = self.record()
        return [("test R²", f"{found['r2']:.4f}"), ("test RMSE", f"{found['rmse']:.6g}")]

    def difference(self, other: Any) -> str:
        """How much the predictions of two models differ."""
        return f"predictions differ by up to {np.abs(self.values - other.values).max():.1e}"

    def sentence(self) -> str:
        """The measures in words."""
        return ", ".join(f"{name.removeprefix('test ')} {value}" for name, value in self.rows())

    def learnt_nothing(self) -> bool:
        """Are the squared errors no smaller than those of the better of two guesses, by two standard errors of the mean
        difference, example by example?

        The guesses are those of the network before training, and the mean of the training targets for every example:
        R² = 0 but for the difference between the means.
        """
        guesses = [(guess - self.t) ** 2 for guess in (self.before, np.full_like(self.t, self.mean))]
        gain = min(guesses, key=np.mean) - (self.values - self.t) ** 2
        return bool(gain.mean() <= 2 * gain.std() / len(gain) ** 0.5)

    def guess(self) -> str:
        """What a run that learnt nothing is compared with, in words."""
        guesses = self.values, self.before, np.full_like(self.t, self.mean)
        after, before, mean = (metrics.r2(guess, self.t) for guess in guesses)
        return (f"R² {after:.3g} is not above that of a guess by more than chance ({before:.3g} before training,\n"
                f"{mean:.3g} for the mean of the training targets)")

    def record(self) -> dict[str, Any]:
        """The measures, for JSON."""
        found = {name: metrics.METRICS[name](self.values, self.t) for name in ("r2", "rmse", "mae")}
        return {"rows": len(self.t), **found}


Score = Classified | Estimated
