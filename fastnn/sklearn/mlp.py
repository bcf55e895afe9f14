"""Multilayer perceptrons: labels and numbers around what base.py trains."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from fastnn_ref.shared import checks
from fastnn_ref.shared.diagnosis import warn
from fastnn_ref.shared.foreign import check_undated, check_unmasked
from fastnn_ref.shared.objects import is_a

from ..extras import extra
from .base import Estimator, keep
from .training import Objective, accuracy, classifier_objective, r2, regressor_objective

with extra("sklearn"):
    from scipy.sparse import issparse
    from sklearn.base import ClassifierMixin, RegressorMixin
    from sklearn.exceptions import DataConversionWarning
    from sklearn.utils import compute_sample_weight
    from sklearn.utils.metaestimators import available_if
    from sklearn.utils.multiclass import check_classification_targets, type_of_target
    from sklearn.utils.validation import _check_sample_weight


def is_stochastic(estimator: Any) -> bool:
    """Does its solver go from batch to batch?"""
    if estimator.solver == "lbfgs":
        raise AttributeError("partial_fit is only there for solver='adam' and 'sgd', not for 'lbfgs'")
    return True


def gives_probabilities(estimator: Any) -> bool:
    """Is the loss one whose outputs are logits?"""
    loss = estimator.loss
    if isinstance(loss, str) or is_a(loss, "CrossEntropyLoss", "BCEWithLogitsLoss"):
        return True
    raise AttributeError(f"predict_proba is there for loss='log_loss' and fastnn's entropies, not for {loss!r}")


def as_column(y: Any) -> Any:
    """(n,) for (n, 1), with scikit-learn's warning."""
    if y.ndim == 2 and y.shape[1] == 1:
        warn("A column-vector y was passed when a 1d array was expected. Please change the shape of y to "
             "(n_samples, ), for example using ravel().", DataConversionWarning)
        return y.ravel()
    return y


class Classifier(ClassifierMixin, Estimator):
    """What the classifiers share: labels, probabilities."""

    @property
    def _stratifies(self) -> bool:
        return self.n_outputs_ == 1         # as in scikit-learn, whose indicators of K classes cannot be stratified

    def _learn_targets(self, y: Any, classes: Any) -> None:
        check_classification_targets(y)
        kind = type_of_target(y, input_name="y")
        if kind == "multiclass-multioutput":
            raise ValueError("y: expected labels (n,) or an indicator matrix of zeros and ones (n, labels), got rows "
                             "of several classes: multioutput target data is not supported")
        self._multilabel = kind == "multilabel-indicator"
        if self._multilabel:
            self.classes_ = np.arange(y.shape[1])
        else:
            self.classes_ = np.unique(y if classes is None else classes)
        self.n_outputs_ = self._count_outputs()
        self._check_targets(y, True)

    def _count_outputs(self) -> int:
        """One for two classes, unless the loss wants one for each."""
        k = len(self.classes_)
        if self._multilabel or k > 2:
            return k
        return k if is_a(self.loss, "CrossEntropyLoss") else 1

    def _check_targets(self, y: Any, incremental: bool) -> None:
        """Labels of the classes that are known; without ``incremental`` all of them."""
        check_classification_targets(y)
        if self._count_outputs() > self.n_outputs_:
            raise ValueError(f"loss: expected one for the {self.n_outputs_} output that the model was made with, got "
                             f"{self.loss!r}")
        multilabel = type_of_target(y, input_name="y") == "multilabel-indicator"
        if multilabel != self._multilabel or (multilabel and y.shape[1] != len(self.classes_)):
            raise ValueError(f"y: expected {'an indicator matrix' if self._multilabel else 'labels'} as before, for "
                             f"{len(self.classes_)} classes")
        if multilabel:
            return
        found = np.unique(y)
        unknown = np.setdiff1d(found, self.classes_)
        if len(unknown):
            raise ValueError(f"`y` has classes not in `self.classes_`. `self.classes_` has {self.classes_}. 'y' has "
                             f"{unknown}.")
        if not incremental and len(found) != len(self.classes_):
            raise ValueError("warm_start can only be used where `y` has the same classes as in the previous call to "
                             f"fit. Previously got {self.classes_}, `y` has {found}")

    def _weigh(self, sample_weight: Any, y: Any, x: Any) -> Any:
        """Sample weights times class weights."""
        if self.class_weight is None:
            return sample_weight
        weights = compute_sample_weight(self.class_weight, y.toarray() if issparse(y) else y)
        if sample_weight is None:
            return weights
        check_unmasked("sample_weight", sample_weight)
        return weights * _check_sample_weight(sample_weight, x, dtype=np.float64, ensure_non_negative=True)

    def _encode(self, y: Any) -> Any:
        if self._multilabel:
            t = np.asarray(y.toarray() if issparse(y) else y, np.float32)
            counts = t.sum(axis=1)
            if self._trained_with.takes_class_numbers and (counts != 1).any():
                row = int((counts != 1).argmax())
                raise ValueError(f"y: expected one label in each row for loss={self.loss!r}, whose classes exclude "
                                 f"each other, got {counts[row]:.0f} in row {row}; loss='log_loss' takes any number")
            return t
        numbers = np.searchsorted(self.classes_, as_column(y))
        if self._trained_with.takes_class_numbers:
            return numbers
        if self.n_outputs_ == 1:
            return numbers.astype(np.float32)[:, None]
        return np.equal(numbers[:, None], np.arange(self.n_outputs_)).astype(np.float32)

    def _objective(self, nn: Any, outputs: int) -> Objective:
        return classifier_objective(nn, self.loss, outputs, not self._multilabel, self.label_smoothing)

    def _decode(self, y: Any) -> Any:
        """Labels for outputs."""
        threshold = self._trained_with.threshold
        if self._multilabel and self._trained_with.takes_class_numbers:     # one label in each row
            return np.equal(y.argmax(axis=1)[:, None], self.classes_).astype(int)
        if self._multilabel:
            return (y > threshold).astype(int)
        if self.n_outputs_ == 1:
            numbers = (y[:, 0] > threshold).astype(int)
            return self.classes_[np.minimum(numbers, len(self.classes_) - 1)]       # there may be one class only
        return self.classes_[y.argmax(axis=1)]

    def _score_outputs(self, y: Any, t: Any, weights: Any) -> float:
        if not np.isfinite(y).all():
            return math.nan
        return accuracy(t.toarray() if issparse(t) else t, self._decode(y), weights)

    def fit(self, X: Any, y: Any, sample_weight: Any = None, *, X_val: Any = None, y_val: Any = None,
            sample_weight_val: Any = None) -> Any:
        """Trains on ``X`` (n, features), array, DataFrame or sparse, and labels ``y`` (n,), or an indicator matrix
        (n, labels) of zeros and ones for several labels at a time; ``sample_weight`` n numbers >= 0.

        ``X_val`` and ``y_val`` are validation data in place of those that ``early_stopping`` would set apart; without
        it they only give ``validation_loss_curve_`` and ``validation_scores_``. Returns the estimator.
        """
        return self._fit(X, y, sample_weight, (X_val, y_val, sample_weight_val))

    @available_if(is_stochastic)
    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None, classes: Any = None) -> Any:
        """One epoch on. The first call needs ``classes``, all labels that there will be."""
        if "model_" not in vars(self) and classes is None:
            raise ValueError("classes must be passed on the first call to partial_fit.")
        if "model_" in vars(self) and classes is not None and not np.array_equal(np.unique(classes), self.classes_):
            raise ValueError(f"`classes={classes!r}` is not the same as on last call to partial_fit, was: "
                             f"{self.classes_!r}")
        if isinstance(self.class_weight, str):
            raise ValueError(f"class_weight: expected a dict or None for partial_fit, got {self.class_weight!r}, which "
                             "needs all labels at once")
        return self._fit(X, y, sample_weight, incremental=True, classes=classes)

    def predict(self, X: Any) -> Any:
        """The label of each row of ``X``, (n,); of an indicator matrix zeros and ones, (n, labels)."""
        return self._decode(self._outputs(X))

    @available_if(gives_probabilities)
    def predict_proba(self, X: Any) -> Any:
        """The probability of each class, in the order of ``classes_``: (n, classes)."""
        y = self._outputs(X)
        p = self._trained_with.probabilities(y)
        if self._multilabel:
            return p
        if len(self.classes_) == 1:
            return np.ones_like(p)
        if self.n_outputs_ == 1:
            return np.hstack([1 - p, p])
        return p / p.sum(axis=1, keepdims=True)         # of logistic functions of each class, too

    @available_if(gives_probabilities)
    def predict_log_proba(self, X: Any) -> Any:
        """The logarithms of ``predict_proba``."""
        with np.errstate(divide="ignore"):
            return np.log(self.predict_proba(X))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags


class MLPClassifier(Classifier):
    """scikit-learn's ``MLPClassifier``, trained by fastnn.

    The arguments up to ``max_fun`` are scikit-learn's (1.9), with its defaults and meanings, also of ``alpha``: the
    penalty is alpha/2·Σw² divided by the rows of a batch, of a full one also in a last one with fewer. One
    ``random_state`` gives the initial weights that scikit-learn draws; shuffles are fastnn's. Of ``solver="lbfgs"``
    SciPy's L-BFGS takes the steps. ``solver`` may also be an optimizer of fastnn, ``NAdam(lr=0.01)``, which has the
    gradient and the learning rate that it says.

    ``activation`` may also be any of fastnn's, by name (``"gelu"``) or as an object. ``dropout`` is the probability of
    zeroing behind each hidden layer, ``batch_norm`` puts ``BatchNorm1d`` before each activation. ``loss``: "log_loss"
    or a loss of fastnn, which gets zeros and ones (n, outputs), ``CrossEntropyLoss`` class numbers (an indicator matrix
    has one label in each row then); two classes have one output, and an object has the gradient that it says, beside
    that of ``alpha``. ``label_smoothing`` ε, 0 … 1, spreads ε over all classes. ``class_weight``: None, a dict from
    label to number, or "balanced". ``callbacks`` are those of ``fastnn``'s ``fit``. ``n_threads`` limits the threads of
    ``fit`` and ``predict``; None follows ``OMP_NUM_THREADS`` and threadpoolctl, so that each of joblib's workers has
    its share. ``dtype`` is the model's, "float32" (the faster) or "float64"; None is that of ``X``, as in scikit-learn.
    ``backend="ref"`` trains the NumPy reference instead.

    Attributes are scikit-learn's (``loss_curve_``, ``best_loss_``, ``n_iter_``, ``validation_scores_``, …);
    ``coefs_`` and ``intercepts_`` are read-only views. ``validation_loss_curve_`` has no penalty; ``model_`` is the
    fastnn model. Where ``warm_start`` or ``partial_fit`` goes on, ``activation`` and ``dropout`` may be others than
    before; what would change the parameters, such as ``hidden_layer_sizes``, is a ValueError then. A sparse ``X`` is
    made dense, to predict some rows at a time. ValueError or TypeError names the argument that is wrong.

    >>> from fastnn.sklearn import MLPClassifier
    >>> from sklearn.datasets import make_classification
    >>> X, y = make_classification(n_samples=200, random_state=1)
    >>> classifier = MLPClassifier((32,), dropout=0.2, learning_rate_init=0.02, tol=1e-3, random_state=1).fit(X, y)
    >>> classifier.score(X, y) > 0.9, classifier.predict_proba(X[:3]).shape, classifier.coefs_[0].shape
    (True, (3, 2), (20, 32))
    """

    def __init__(
        self, hidden_layer_sizes: Any = (100,), activation: Any = "relu", *, solver: str = "adam",
        alpha: float = 0.0001, batch_size: Any = "auto", learning_rate: str = "constant",
        learning_rate_init: float = 0.001, power_t: float = 0.5, max_iter: int = 200, shuffle: bool = True,
        random_state: Any = None, tol: float = 1e-4, verbose: bool = False, warm_start: bool = False,
        momentum: float = 0.9, nesterovs_momentum: bool = True, early_stopping: bool = False,
        validation_fraction: float = 0.1, beta_1: float = 0.9, beta_2: float = 0.999, epsilon: float = 1e-8,
        n_iter_no_change: float = 10, max_fun: int = 15000, loss: Any = "log_loss", dropout: float = 0.0,
        batch_norm: bool = False, label_smoothing: float = 0.0, class_weight: Any = None, callbacks: Any = None,
        n_threads: int | None = None, dtype: Any = None, backend: str = "fast",
    ) -> None:
        keep(self, locals())


class MLPRegressor(RegressorMixin, Estimator):
    """scikit-learn's ``MLPRegressor``, trained by fastnn; ``y`` (n,) or (n, outputs).

    ``loss`` is "squared_error" or "poisson", as there, "absolute_error", "huber" or a loss of fastnn. All else is as in
    ``MLPClassifier``. Predictions have the dtype of ``X``.

    >>> from fastnn.sklearn import MLPRegressor
    >>> import numpy as np
    >>> X = np.linspace(-1, 1, 200)[:, None]
    >>> model = MLPRegressor(hidden_layer_sizes=(32,), activation="tanh", solver="lbfgs", random_state=0)
    >>> model.fit(X, np.sin(3 * X[:, 0])).score(X, np.sin(3 * X[:, 0])) > 0.99
    True
    """

    _target_options: Mapping[str, Any] = {"y_numeric": True}
    _stratifies = False

    def __init__(
        self, loss: Any = "squared_error", hidden_layer_sizes: Any = (100,), activation: Any = "relu", *,
        solver: str = "adam", alpha: float = 0.0001, batch_size: Any = "auto", learning_rate: str = "constant",
        learning_rate_init: float = 0.001, power_t: float = 0.5, max_iter: int = 200, shuffle: bool = True,
        random_state: Any = None, tol: float = 1e-4, verbose: bool = False, warm_start: bool = False,
        momentum: float = 0.9, nesterovs_momentum: bool = True, early_stopping: bool = False,
        validation_fraction: float = 0.1, beta_1: float = 0.9, beta_2: float = 0.999, epsilon: float = 1e-8,
        n_iter_no_change: float = 10, max_fun: int = 15000, dropout: float = 0.0, batch_norm: bool = False,
        callbacks: Any = None, n_threads: int | None = None, dtype: Any = None, backend: str = "fast",
    ) -> None:
        keep(self, locals())

    def _learn_targets(self, y: Any, classes: Any) -> None:
        self.n_outputs_ = 1 if y.ndim == 1 else y.shape[1]
        self._check_targets(y, True)

    def _check_targets(self, y: Any, incremental: bool) -> None:
        check_undated("y", y)
        if (1 if y.ndim == 1 else y.shape[1]) != self.n_outputs_:
            raise ValueError(f"y: expected {self.n_outputs_} outputs as before, got {checks.format_shape(y.shape)}")
        if isinstance(self.loss, str) and self.loss == "poisson" and (y < 0).any():
            raise ValueError(f"y: expected values >= 0 for loss='poisson', got {y[y < 0][0]}")

    def _encode(self, y: Any) -> Any:
        return np.asarray(as_column(y), np.float64).reshape(len(y), -1)

    def _objective(self, nn: Any, outputs: int) -> Objective:
        return regressor_objective(nn, self.loss, outputs)

    def _decode(self, y: Any) -> Any:
        """Predictions for outputs."""
        if self.out_activation_ == "exp":
            y = np.exp(y)
        return y[:, 0] if self.n_outputs_ == 1 else y

    def _score_outputs(self, y: Any, t: Any, weights: Any) -> float:
        found = self._decode(y)
        return r2(t, found, weights) if np.isfinite(found).all() else math.nan

    def fit(self, X: Any, y: Any, sample_weight: Any = None, *, X_val: Any = None, y_val: Any = None,
            sample_weight_val: Any = None) -> Any:
        """Trains on ``X`` (n, features), array, DataFrame or sparse, and numbers ``y`` (n,) or (n, outputs);
        ``sample_weight`` n numbers >= 0. ``X_val``, ``y_val``: as in ``MLPClassifier``. Returns the estimator.
        """
        return self._fit(X, y, sample_weight, (X_val, y_val, sample_weight_val))

    @available_if(is_stochastic)
    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> Any:
        """One epoch on."""
        return self._fit(X, y, sample_weight, incremental=True)

    def predict(self, X: Any) -> Any:
        """Numbers for each row of ``X``: (n,) or (n, outputs)."""
        return self._decode(self._outputs(X))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags
