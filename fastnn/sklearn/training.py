"""How scikit-learn's multilayer perceptron trains, said to fastnn: its losses, its penalty, its rule for stopping.

scikit-learn minimises, for a batch of n rows with the weights w of all layers and K outputs,

    J = (1/n)·Σ_rows Σ_outputs l(y, t) + (alpha / 2n)·Σ w²        l: ½(y − t)², log loss, Poisson deviance

where fastnn's losses are means over rows and outputs. So fastnn's loss is c·J's first part, with c = ``factor``: 2/K
for squared errors, 1/K for log losses of K labels, 1 for the cross-entropy. With c times the penalty, SGD's rate
divided by c and Adam's epsilon multiplied by c, the weights move as scikit-learn's do.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from fastnn_ref.shared import lbfgs
from fastnn_ref.shared.callbacks import Callback
from fastnn_ref.shared.custom import CustomActivation, CustomLoss, CustomOptimizer
from fastnn_ref.shared.data import Data
from fastnn_ref.shared.diagnosis import warn
from fastnn_ref.shared.objects import format_kind, hint_for, is_a, one_of_kind

from ..extras import extra

with extra("sklearn"):
    from sklearn.exceptions import ConvergenceWarning
with extra("sklearn"):                  # SciPy comes with scikit-learn, which is the name to say if it is missing
    from scipy.special import expit, softmax, xlogy

SMALLEST_RATE = 1e-6                # scikit-learn's "adaptive" does not go on below it


# ---- what is minimised ----


@dataclass(frozen=True)
class Objective:
    """A loss, and how its numbers and those of scikit-learn belong together."""

    loss: Any
    factor: float = 1.0             # gradient of fastnn's loss / gradient of scikit-learn's
    report: float = 1.0             # value that scikit-learn reports / value of fastnn's loss
    link: str = "none"              # from outputs to what is predicted: identity, exp, softmax, logistic; none is known
    threshold: float = 0.0          # of one output, from which the answer is yes

    @property
    def takes_class_numbers(self) -> bool:
        """Are targets class numbers, one output for each class?"""
        return is_a(self.loss, "CrossEntropyLoss")

    def probabilities(self, y: Any) -> Any:
        """softmax or logistic function of the outputs."""
        return softmax(y, axis=1) if self.link == "softmax" else expit(y)

    def constant(self, t: Any, weights: Any) -> float:
        """What a Poisson deviance has beside fastnn's loss, which leaves out what does not depend on the outputs."""
        return float(np.average((xlogy(t, t) - t).sum(axis=1), weights=weights)) if self.link == "exp" else 0.0

    def value(self, data_loss: float, penalty: float, constant: float) -> float:
        """The loss as scikit-learn reports it."""
        return self.report * data_loss + penalty / self.factor + constant


def of_package(nn: Any, name: str, thing: Any, custom: type[Any]) -> Any:
    """An object of the package ``nn`` like ``thing``, which may be of the other one; a user's own stays."""
    if isinstance(thing, custom):
        return thing
    kind = getattr(nn, custom.__name__.removeprefix("Custom"))
    record = getattr(thing, "config", None)
    found = nn.from_config(record()) if callable(record) and not isinstance(thing, type) else None
    if not isinstance(found, kind):
        raise TypeError(f"{name}: expected a name, {one_of_kind(kind)} or {one_of_kind(custom)}, got "
                        f"{format_kind(thing)}{hint_for(thing, kind)}")
    return found


def as_activation(nn: Any, value: Any) -> Any:
    """What ``Linear`` takes: a name of fastnn or of scikit-learn, or an object, made anew for each layer."""
    if isinstance(value, str):
        return {"logistic": "sigmoid"}.get(value, value)
    return of_package(nn, "activation", value, CustomActivation)


def one_of(names: Mapping[str, Callable[[], Objective]], loss: str) -> Objective:
    """The objective of that name."""
    if loss not in names:
        raise ValueError(f"loss: expected {', '.join(map(repr, names))} or a loss of fastnn, got {loss!r}")
    return names[loss]()


def classifier_objective(nn: Any, loss: Any, outputs: int, exclusive: bool, smoothing: float) -> Objective:
    """For ``outputs`` labels: one of them (``exclusive``), or any number."""
    if isinstance(loss, str):
        return one_of({
            "log_loss": lambda: Objective(nn.CrossEntropyLoss(smoothing), link="softmax") if exclusive and outputs > 1
            else Objective(nn.BCEWithLogitsLoss(smoothing), 1 / outputs, outputs, "logistic"),
        }, loss)
    if smoothing:
        raise ValueError(f"label_smoothing: expected 0 beside a loss object, which may have its own, got {smoothing}")
    found = of_package(nn, "loss", loss, CustomLoss)
    if is_a(found, "NLLLoss"):
        raise ValueError(f"loss: expected one that takes any numbers, such as CrossEntropyLoss(), got {loss!r}, which "
                         "wants log-probabilities")
    link = "softmax" if is_a(found, "CrossEntropyLoss") else "logistic" if is_a(found, "BCEWithLogitsLoss") else "none"
    threshold = 0.5 if is_a(found, "MSELoss", "L1Loss", "HuberLoss", "PoissonNLLLoss") else 0.0
    if is_a(found, "PoissonNLLLoss") and found.log_input:
        threshold = math.log(threshold)
    return Objective(found, link=link, threshold=threshold)


def regressor_objective(nn: Any, loss: Any, outputs: int) -> Objective:
    """For ``outputs`` numbers."""
    if isinstance(loss, str):
        return one_of({
            "squared_error": lambda: Objective(nn.MSELoss(), 2 / outputs, 0.5, "identity"),
            "absolute_error": lambda: Objective(nn.L1Loss(), link="identity"),
            "huber": lambda: Objective(nn.HuberLoss(), link="identity"),
            "poisson": lambda: Objective(nn.PoissonNLLLoss(), 1 / outputs, outputs, "exp"),
        }, loss)
    found = of_package(nn, "loss", loss, CustomLoss)
    log_input = is_a(found, "PoissonNLLLoss") and found.log_input
    return Objective(found, link="exp" if log_input else "identity")


# ---- scores after each epoch: scikit-learn's own functions take longer than an epoch of a small network ----


def accuracy(t: Any, found: Any, weights: Any) -> float:
    """The share of rows that are all right."""
    hit = t == found
    return float(np.average(hit.all(axis=1) if hit.ndim == 2 else hit, weights=weights))


def r2(t: Any, found: Any, weights: Any) -> float:
    """1 − Σ(t − y)² / Σ(t − mean)², the mean over outputs; of targets that are all equal 1 or 0."""
    t, found = t.reshape(len(t), -1), found.reshape(len(t), -1)
    missed = np.average((t - found) ** 2, axis=0, weights=weights)
    spread = np.average((t - np.average(t, axis=0, weights=weights)) ** 2, axis=0, weights=weights)
    scores = np.where(missed == 0, 1.0, 0.0)
    np.divide(spread - missed, spread, out=scores, where=spread > 0)
    return float(scores.mean())


# ---- how ----


def make_optimizer(nn: Any, estimator: Any, factor: float) -> Any:
    """SGD or Adam that moves weights as scikit-learn's does with its own loss; or the user's optimizer, made anew."""
    e = estimator
    if not isinstance(e.solver, str):
        return of_package(nn, "solver", e.solver, CustomOptimizer)
    if e.solver == "adam":
        return nn.Adam(lr=e.learning_rate_init, betas=(e.beta_1, e.beta_2), eps=e.epsilon * factor)
    return nn.SGD(lr=e.learning_rate_init / factor, momentum=e.momentum,
                  nesterov=bool(e.nesterovs_momentum and e.momentum > 0))


class Convergence(Callback):
    """After each epoch: scikit-learn's attributes of ``estimator``, its schedules, and its rule for stopping.

    Training has not improved when the loss has not fallen by ``tol`` below the best one, or with ``early_stopping`` the
    score has not risen by it; ``n_iter_no_change`` epochs may pass so. ``score`` gives the score on the validation
    data, of which ``held_out_constant`` is ``Objective.constant``; None without such data.
    """

    def __init__(self, estimator: Any, objective: Objective, rows: int, constant: float, held_out_constant: float,
                 score: Callable[[], float] | None) -> None:
        self.estimator, self.objective, self.rows = estimator, objective, rows
        self.constant, self.held_out_constant, self.score = constant, held_out_constant, score
        self.best_state: dict[str, Any] | None = None
        self.converged = False

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        e, logs = self.estimator, logs or {}
        e.n_iter_ += 1
        e.t_ += self.rows
        e.loss_ = self.objective.value(logs.get("data_loss", logs["loss"]), logs.get("penalty", 0.0), self.constant)
        e.loss_curve_.append(e.loss_)
        self.say(f"Iteration {e.n_iter_}, loss = {e.loss_:.8f}")
        if self.score is not None:
            e.validation_loss_curve_.append(self.objective.value(logs["val_loss"], 0.0, self.held_out_constant))
            e.validation_scores_.append(self.score())
            self.say(f"Validation score: {e.validation_scores_[-1]:.6f}")
        no_improvement = not (self.score_improves() if e.early_stopping else self.loss_improves())
        e._no_improvement_count = e._no_improvement_count + 1 if no_improvement else 0
        if e.solver == "sgd" and e.learning_rate == "invscaling":
            self.change_rate(e.learning_rate_init / self.objective.factor / (e.t_ + 1) ** e.power_t)
        if e._no_improvement_count > e.n_iter_no_change:
            self.stop_or_slow_down()

    def loss_improves(self) -> bool:
        """Has the loss fallen by ``tol``?"""
        e = self.estimator
        enough = e.loss_ <= e.best_loss_ - e.tol
        e.best_loss_ = min(e.best_loss_, e.loss_)
        return enough

    def score_improves(self) -> bool:
        """Has the score risen by ``tol``? The best model so far is kept."""
        e = self.estimator
        score = e.validation_scores_[-1]
        enough = score >= e.best_validation_score_ + e.tol
        if score > e.best_validation_score_:
            e.best_validation_score_, self.best_state = score, self.model.state_dict()
        return enough

    def stop_or_slow_down(self) -> None:
        """Ends training; with an "adaptive" rate only when that has become too small."""
        e = self.estimator
        what = "Validation score" if e.early_stopping else "Training loss"
        because = f"{what} did not improve more than tol={e.tol:f} for {e.n_iter_no_change} consecutive epochs."
        rate = self.optimizer.current_lr * self.objective.factor
        if e.solver == "sgd" and e.learning_rate == "adaptive" and rate > SMALLEST_RATE:
            self.change_rate(self.optimizer.current_lr / 5)
            e._no_improvement_count = 0
            self.say(f"{because} Setting learning rate to {rate / 5:f}")
        else:
            self.model.stop_training = self.converged = True
            self.say(f"{because} Stopping.")

    def change_rate(self, rate: float) -> None:
        """SGD's from here on. Earlier gradients keep the rate of their step: scikit-learn's momentum holds it, too."""
        before, self.optimizer.lr = self.optimizer.current_lr, rate
        state = self.optimizer.state_dict()
        if "momentum" in state and before < 1e12 * rate:        # a rate that falls further has ended training anyway
            scaled = {name: value * (before / rate) for name, value in state["momentum"].items()}
            self.optimizer.load_state_dict(state | {"momentum": scaled})

    def say(self, text: str) -> None:
        """A line for a user who asked for it, on stdout as from scikit-learn."""
        if self.estimator.verbose:
            print(text)


def minimise_by_lbfgs(
    model: Any, x: Any, t: Any, weights: Any, objective: Objective, estimator: Any,
) -> tuple[float, int]:
    """Minimises J over all rows, the model's penalty included; returns the loss that is reported, which is J but for
    squared errors of several outputs, of which it has the mean, and the number of iterations."""
    e = estimator
    whole = lbfgs.Objective(model, Data(x, t, weights), objective.loss, len(x), objective.factor)
    found = lbfgs.minimise(whole, e.max_iter, e.tol, max_evaluations=e.max_fun)
    data_loss = whole(found.x)[0] * objective.factor - whole.penalty
    value = objective.value(data_loss, whole.penalty, objective.constant(t, weights))
    if found.status != 0:
        warn(f"lbfgs has not converged after {found.nit} iterations: {found.message}", ConvergenceWarning)
    return value, min(int(found.nit), e.max_iter)
