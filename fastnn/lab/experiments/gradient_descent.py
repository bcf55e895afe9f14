"""Gradient descent, and the largest step that it stands: 2 / λmax, λmax the largest curvature of the loss."""

import numpy as np

from .. import Check, Data, Experiment, Mutation, Text, curves, distance
from ..trial import DEVIATION, MEAN


def squares(trial):
    """(data, λmax): targets that a linear model explains, and the largest eigenvalue of the Hessian 2/n XᵀX."""
    x = trial.digits(trial.setup.n).x + MEAN / DEVIATION            # from 0 on: one direction is much the steepest
    t = x @ trial.random.random((64, 1), np.float32)
    return Data(x, t, x, t), np.linalg.eigvalsh(2 / len(x) * (x.T @ x).astype(np.float64))[-1]


def descend(trial, arm, data, lr, loss=None, steps=None):
    """Full batches: an epoch is a step."""
    layers = [trial.nn.Linear(data.x.shape[1], 1, bias=False, init="zeros")]
    return trial.train(arm, layers, data, epochs=steps or trial.setup.steps, lr=lr, momentum=0, decay=False,
                       batch_size=len(data.x), shuffle=False, loss=loss or trial.nn.MSELoss())


def trial(trial):
    data, curvature = squares(trial)
    factor = {"sum-for-mean": len(data.x), "uphill": -1, "half-gradient": 0.5}.get(trial.broken)

    class Wrong(trial.nn.CustomLoss):
        def value_and_gradient(self, y, t, weights):
            return float(((y - t) ** 2).mean()), factor * 2 * (y - t) / len(y)

    found = {}
    for arm, share in (("safe", trial.setup.safe), ("unsafe", trial.setup.unsafe)):
        run = descend(trial, arm, data, share * 2 / curvature, Wrong() if factor else None)
        losses = np.array(run.history["loss"])
        trial.curve(arm, losses)
        found[arm] = np.log10(losses[-1] / losses[0])
        found[f"{arm} rises"] = float((np.diff(losses) > 0).sum())
    return found


def control(trial):
    """A rate of 0 leaves the weights."""
    data, _ = squares(trial)
    arms = [descend(trial, "", data, 0.0, steps=steps) for steps in (1, 5)]
    return distance(*(arm.model for arm in arms))


experiment = Experiment(
    name="gradient_descent",
    claim=Text("Gradient descent converges below the learning rate 2/λmax and diverges above it.",
               "Градиентный спуск (gradient descent) сходится при скорости обучения (learning rate) меньше 2/λmax "
               "и расходится при большей."),
    question=Text("The loss after 200 steps at 0.95 · 2/λmax, as a power of ten of the loss at the start?",
                  "Какими станут потери после 200 шагов при 0,95 · 2/λmax: степень десяти от начальных?"),
    setup={"n": 500, "steps": 200, "safe": 0.95, "unsafe": 1.05},
    trial=trial,
    control=control,
    checks=[
        Check("safe", Text("log₁₀ of the last loss / the first, at 0.95 · 2/λmax",
                           "log₁₀ отношения последних потерь к первым при 0,95 · 2/λmax"), "safe", below=-1),
        Check("monotone", Text("steps in which the loss rises, at 0.95 · 2/λmax",
                               "шаги, на которых потери растут, при 0,95 · 2/λmax"),
              "safe rises", above=0, below=0, every=True),
        Check("unsafe", Text("log₁₀ of the last loss / the first, at 1.05 · 2/λmax",
                             "log₁₀ отношения последних потерь к первым при 1,05 · 2/λmax"),
              "unsafe", above=15.5, below=16.7, role="limit"),
    ],
    mutations={
        "sum-for-mean": Mutation(Text("the gradient is summed over the batch, not averaged",
                                      "градиент суммируется по пакету, а не усредняется"), "safe"),
        "uphill": Mutation(Text("the sign of the gradient is wrong", "у градиента неверный знак"), "monotone"),
        "half-gradient": Mutation(Text("the derivative of the square lost its factor 2",
                                       "в производной квадрата потерян множитель 2"), "unsafe"),
    },
    picture=curves({"safe": Text("0.95 · 2/λmax", "0,95 · 2/λmax"), "unsafe": Text("1.05 · 2/λmax", "1,05 · 2/λmax")},
                   x=Text("step", "шаг"),
                   y=Text("loss", "потери"), yscale="log"),
    alt=Text("The loss over 200 steps on a logarithmic scale: it falls at the smaller rate and rises by about sixteen "
             "powers of ten at the larger one.",
             "Потери за 200 шагов в логарифмическом масштабе: при меньшей скорости они падают, при большей растут "
             "примерно на шестнадцать порядков."),
    limits=Text("λmax belongs to this loss and these data: the same rate on other data may diverge.",
                "λmax зависит от функции потерь и данных: на других данных спуск с той же скоростью может разойтись."),
    sources=["Cauchy (1847)", "Goodfellow, Bengio and Courville, Deep Learning (2016), section 4.3"],
)
