"""The estimators: what scikit-learn calls, around a fastnn model. training.py has the formulas."""

import importlib
import itertools
import math
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np

from fastnn_ref.shared import checks

from .._kernels import get_num_threads, set_num_threads
from ..extras import extra
from .training import (
    Convergence,
    Objective,
    as_activation,
    classifier_objective,
    make_optimizer,
    minimise_by_lbfgs,
    regressor_objective,
)

with extra("sklearn"):
    from scipy.sparse import issparse
    from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
    from sklearn.exceptions import ConvergenceWarning, DataConversionWarning
    from sklearn.metrics import accuracy_score, r2_score
    from sklearn.model_selection import train_test_split
    from sklearn.utils import check_random_state, compute_sample_weight
    from sklearn.utils.metaestimators import available_if
    from sklearn.utils.multiclass import check_classification_targets, type_of_target
    from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

PACKAGES = {"fast": "fastnn", "ref": "fastnn_ref"}
SOLVERS = ("adam", "sgd", "lbfgs")
RATES = ("constant", "invscaling", "adaptive")
LARGEST_BATCH = 200                 # of batch_size="auto", as in scikit-learn
ROWS = 1024                         # of a sparse X that are made dense at a time, to predict


class Rows(NamedTuple):
    """Inputs, targets as the loss wants them, targets as the user has them, and weights."""

    x: Any
    t: Any
    y: Any
    weights: Any


def keep(estimator: Any, arguments: Mapping[str, Any]) -> None:
    """Sets each argument of a constructor under its own name, unchanged."""
    vars(estimator).update({name: value for name, value in arguments.items() if name not in ("self", "__class__")})


@contextmanager
def threads(n: int | None) -> Iterator[None]:
    """At most ``n`` threads in this block; None leaves their number as it is."""
    if n is None:
        yield
        return
    before = get_num_threads()
    set_num_threads(checks.as_integer("n_threads", n, 1, 1024))
    try:
        yield
    finally:
        set_num_threads(before)


def is_stochastic(estimator: Any) -> bool:
    """Does its solver go from batch to batch?"""
    if estimator.solver == "lbfgs":
        raise AttributeError("partial_fit is only there for solver='adam' and 'sgd', not for 'lbfgs'")
    return True


def read_only(array: Any) -> Any:
    """A view that cannot be written to."""
    view = array.view()
    view.flags.writeable = False
    return view


class Estimator(BaseEstimator):
    """What the estimators share: checks, the model, training."""

    # ---- what a kind of estimator says ----

    def _encode(self, y: Any) -> Any:
        """Targets as the loss wants them."""
        raise NotImplementedError

    def _learn_targets(self, y: Any, classes: Any) -> None:
        """What targets there are, before a model is made."""
        raise NotImplementedError

    def _objective(self, nn: Any, outputs: int) -> Objective:
        raise NotImplementedError

    def _score_outputs(self, y: Any, t: Any, weights: Any) -> float:
        """Accuracy, or R²."""
        raise NotImplementedError

    def _front(self, nn: Any, features: int) -> tuple[list[Any], int]:
        """Layers before the hidden ones, and how many values they give."""
        return [], features

    def _reshape(self, x: Any, fitting: bool) -> Any:
        """Rows of features for what the user passed."""
        return x

    # ---- what the user passed ----

    def _check_parameters(self) -> list[int]:
        """ValueError or TypeError for a parameter that no layer and no optimizer checks; the hidden layers' sizes."""
        checks.as_choice("solver", self.solver, SOLVERS)
        checks.as_choice("learning_rate", self.learning_rate, RATES)
        checks.as_choice("backend", self.backend, PACKAGES)
        for name in "max_iter", "max_fun":
            checks.as_integer(name, getattr(self, name), 1)
        for name in "alpha", "tol", "power_t":
            checks.as_number(name, getattr(self, name), 0)
        for name in "learning_rate_init", "epsilon":
            checks.as_number(name, getattr(self, name), 0, low_open=True)
        for name in "momentum", "beta_1", "beta_2":
            checks.as_number(name, getattr(self, name), 0, 1, high_open=True)
        checks.as_number("validation_fraction", self.validation_fraction, 0, 1, high_open=True)
        checks.as_number("dropout", self.dropout, 0, 1)
        for name in "shuffle", "warm_start", "early_stopping", "nesterovs_momentum", "batch_norm":
            checks.as_flag(name, getattr(self, name))
        if self.n_iter_no_change != math.inf:
            checks.as_integer("n_iter_no_change", self.n_iter_no_change, 1)
        if not isinstance(self.batch_size, str) or self.batch_size != "auto":
            checks.as_integer("batch_size", self.batch_size, 1)
        if self.solver == "lbfgs":
            self._check_lbfgs()
        sizes = self.hidden_layer_sizes
        return [checks.as_integer("hidden_layer_sizes", size, 1) for size in
                (sizes if isinstance(sizes, Iterable) and not isinstance(sizes, str) else [sizes])]

    def _check_lbfgs(self) -> None:
        """It compares losses of the same weights, which random masks and batches change."""
        for name, without in ("dropout", 0), ("batch_norm", False):
            if getattr(self, name) != without:
                raise ValueError(f"{name}: expected {without} beside solver='lbfgs', got {getattr(self, name)!r}")
        if len(self.callbacks or ()):
            raise ValueError("callbacks: expected none beside solver='lbfgs', which has no epochs")

    def _validated(self, x: Any, y: Any = "no_validation", reset: bool = False, **options: Any) -> Any:
        """``validate_data`` with what all have in common."""
        if not isinstance(y, str):
            options |= {"multi_output": True}
        return validate_data(self, self._reshape(x, reset), y, accept_sparse=["csr", "csc"],
                             dtype=(np.float64, np.float32), reset=reset, **options)

    def _rows(self, x: Any, y: Any, sample_weight: Any) -> Rows:
        """Arrays for training."""
        weights = None
        if sample_weight is not None:
            weights = _check_sample_weight(sample_weight, x, dtype=np.float64, ensure_non_negative=True)
        return Rows(x, self._encode(y), y, weights)

    def _dense(self, x: Any) -> Any:
        """Rows in the model's dtype and shape."""
        x = np.ascontiguousarray(x.toarray() if issparse(x) else x, self.model_.dtype)
        return x.reshape(len(x), *self._input_shape)

    # ---- the model ----

    def _layers(self, nn: Any, features: int, sizes: list[int], outputs: int) -> list[Any]:
        """Layers from ``features`` values to ``outputs``."""
        layers, width = self._front(nn, features)
        for size in sizes:
            activation = as_activation(nn, self.activation)
            if self.batch_norm:
                apart = nn.Linear(1, 1, activation=activation).activation
                layers += [nn.Linear(width, size), nn.BatchNorm1d(size), apart]
            else:
                layers.append(nn.Linear(width, size, activation=activation))
            if self.dropout:
                layers.append(nn.Dropout(self.dropout))
            width = size
        return [*layers, nn.Linear(width, outputs)]

    def _initial(self, sizes: list[int], random: Any) -> list[tuple[Any, Any]]:
        """Weight and bias of each layer as scikit-learn draws them, in its order: Glorot's uniform law, also for
        biases."""
        found = []
        for fan_in, fan_out in itertools.pairwise(sizes):
            limit = math.sqrt((2 if self.activation == "logistic" else 6) / (fan_in + fan_out))
            found.append((random.uniform(-limit, limit, (fan_in, fan_out)), random.uniform(-limit, limit, fan_out)))
        return found

    def _make(self, sizes: list[int], strength: float, seed: int) -> Any:
        """A new model, with ``strength`` of its L2 penalty."""
        nn = self._package()
        dtype = self.dtype if self.dtype is not None else "float64" if self.solver == "lbfgs" else "float32"
        layers = self._layers(nn, self.n_features_in_, sizes, self.n_outputs_)
        return nn.Sequential(*layers, seed=seed, dtype=dtype, penalty=nn.L2(strength) if strength else None)

    def _package(self) -> Any:
        return importlib.import_module(PACKAGES[self.backend])

    def _weighted_layers(self) -> list[tuple[str, Any]]:
        """(name, layer) of each layer with a matrix or filters, the input's first."""
        nn = self._package()
        return [(str(index), layer) for index, layer in enumerate(self.model_.layers)
                if isinstance(layer, nn.Linear | nn.Conv2d)]

    def _has_model(self) -> Any:
        if "model_" not in vars(self):
            raise AttributeError(f"{type(self).__name__} is not fitted yet")
        return self._weighted_layers()

    @property
    def coefs_(self) -> list[Any]:
        """Weights of each layer, as read-only views: (inputs, outputs), and (out, in, height, width) of convolutions."""
        return [read_only(layer.weight) for _, layer in self._has_model()]

    @property
    def intercepts_(self) -> list[Any]:
        """Biases of each layer, as read-only views."""
        return [read_only(layer.bias) for _, layer in self._has_model()]

    @property
    def n_layers_(self) -> int:
        """Layers with weights, and the input."""
        return len(self._has_model()) + 1

    @property
    def out_activation_(self) -> str:
        """What makes a prediction of the last layer's output: identity, exp, softmax or logistic."""
        self._has_model()
        return self._objective(self._package(), self.n_outputs_).link

    # ---- training ----

    def _batch_size(self, rows: int) -> int:
        if self.batch_size == "auto":
            return min(LARGEST_BATCH, rows)
        if self.batch_size > rows:
            warnings.warn(f"batch_size: {self.batch_size} is more than the {rows} training rows; it is {rows} now",
                          stacklevel=5)
        return int(min(self.batch_size, rows))

    def _fit(self, X: Any, y: Any, sample_weight: Any, held_out: tuple[Any, Any, Any] = (None, None, None),
             incremental: bool = False, classes: Any = None) -> Any:
        """Trains; ``incremental`` is one epoch on."""
        sizes = self._check_parameters()
        fresh = "model_" not in vars(self) or not (self.warm_start or incremental)
        if self.early_stopping and incremental:
            raise ValueError("partial_fit does not support early_stopping=True")
        X, y = self._validated(X, y, reset=fresh, **self._target_options)
        self._learn_targets(y, classes) if fresh else self._check_targets(y, incremental)
        own = self._rows(X, y, self._weigh(sample_weight, y, X))
        random = check_random_state(self.random_state)
        if fresh:
            self._input_shape = self._shape_of_input()
            start = self._initial([self.n_features_in_, *sizes, self.n_outputs_], random)
        train, validation = self._split(own, held_out, random)
        nn = self._package()
        objective = self._objective(nn, self.n_outputs_)
        rows = train.x.shape[0]
        batch_size = rows if self.solver == "lbfgs" else self._batch_size(rows)
        total = rows if train.weights is None else train.weights.sum()
        strength = 0.0
        if self.solver != "lbfgs" and total > 0:
            strength = objective.factor * self.alpha * rows / (batch_size * float(total))
        if fresh:
            self.model_ = self._make(sizes, strength, int(random.randint(2**31 - 1)))
            self._optimizer = None
            self._set_initial(start)
            self._reset(validation is not None)
        else:
            self._change_penalty(sizes, strength)
        with threads(self.n_threads):
            if self.solver == "lbfgs":
                self._fit_lbfgs(train, objective)
            else:
                self._fit_stochastic(nn, train, validation, objective, batch_size, incremental)
        if not all(np.isfinite(array).all() for array in self.model_.params.values()):
            raise ValueError("Solver produced non-finite parameter weights. The input data may contain large values "
                             "and need to be preprocessed.")
        return self

    def _shape_of_input(self) -> tuple[int, ...]:
        return (self.n_features_in_,)

    def _set_initial(self, start: list[tuple[Any, Any]]) -> None:
        for (_, layer), (weight, bias) in zip(self._weighted_layers(), start, strict=True):
            layer.weight, layer.bias = weight, bias

    def _reset(self, validates: bool) -> None:
        """Attributes of a training that has not begun."""
        self.t_, self._no_improvement_count = 0, 0
        self.loss_curve_: list[float] = []
        self.best_loss_ = None if self.early_stopping else math.inf
        self.best_validation_score_ = -math.inf if self.early_stopping else None
        self.validation_scores_: list[float] | None = [] if validates else None
        self.validation_loss_curve_: list[float] | None = [] if validates else None

    def _change_penalty(self, sizes: list[int], strength: float) -> None:
        """The same training with another penalty, which follows from batches and weights."""
        nn, before = self._package(), self.model_
        if [penalty.l2 for penalty in before.penalty] != ([strength] if strength else []):
            self.model_ = self._make(sizes, strength, before.network.seed)
            state = nn.training_state(before, self._optimizer)
            if self._optimizer is not None:
                factor = self._objective(nn, self.n_outputs_).factor
                self._optimizer = make_optimizer(nn, self, factor)
            nn.load_training_state(state, self.model_, self._optimizer)

    def _split(self, own: Rows, held_out: tuple[Any, Any, Any], random: Any) -> tuple[Rows, Rows | None]:
        """Rows to train with and to validate with."""
        X_val, y_val, weights = held_out
        if (X_val is None) != (y_val is None):
            raise ValueError("X_val, y_val: expected both or neither, got one of them")
        if X_val is not None:
            if self.solver == "lbfgs":
                raise ValueError("X_val: expected None beside solver='lbfgs', which has no epochs")
            x, y = self._validated(X_val, y_val, **self._target_options)
            self._check_targets(y, True)
            return own, self._rows(x, y, weights)
        if not self.early_stopping or self.solver == "lbfgs":
            return own, None
        parts = [part for part in own if part is not None]
        parted = train_test_split(*parts, random_state=random, test_size=self.validation_fraction,
                                  stratify=own.y if self._stratifies else None)
        train, validation = (Rows(*parted[i::2], *[None] * (4 - len(parts))) for i in (0, 1))
        if validation.x.shape[0] < 2:
            raise ValueError("The validation set is too small. Increase 'validation_fraction' or the size of your "
                             "dataset.")
        return train, validation

    def _fit_lbfgs(self, rows: Rows, objective: Objective) -> None:
        decayed = [f"{name}.weight" for name, _ in self._weighted_layers()]
        self.loss_, self.n_iter_ = minimise_by_lbfgs(
            self.model_, decayed, self._dense(rows.x), rows.t, rows.weights, objective, self)

    def _fit_stochastic(self, nn: Any, train: Rows, validation: Rows | None, objective: Objective, batch_size: int,
                        incremental: bool) -> None:
        """Epochs of mini-batches."""
        model, x = self.model_, self._dense(train.x)
        if self._optimizer is None or not incremental:
            self._optimizer = make_optimizer(nn, self, objective.factor)
        score, given, held_out_constant = None, None, 0.0
        if validation is not None:
            xv = self._dense(validation.x)
            given = (xv, validation.t, validation.weights)
            held_out_constant = objective.constant(validation.t, validation.weights)

            def score() -> float:
                return self._score_outputs(model.predict(xv), validation.y, validation.weights)

        convergence = Convergence(self, objective, len(x), objective.constant(train.t, train.weights),
                                  held_out_constant, score)
        self.n_iter_ = 0
        history = model.fit(
            x, train.t, loss=objective.loss, optimizer=self._optimizer, epochs=1 if incremental else self.max_iter,
            batch_size=batch_size, shuffle=self.shuffle, sample_weight=train.weights, validation_data=given,
            callbacks=[convergence, *(self.callbacks or ())],
            drop_last=self.batch_norm and len(x) % batch_size == 1)
        if self.early_stopping and convergence.best_state is not None:
            model.load_state_dict(convergence.best_state)
        if history.interrupted:
            warnings.warn("Training interrupted by user.", stacklevel=4)
        elif self.n_iter_ == self.max_iter and not model.stop_training and not incremental:
            warnings.warn(f"Stochastic Optimizer: Maximum iterations ({self.max_iter}) reached and the optimization "
                          "hasn't converged yet.", ConvergenceWarning, stacklevel=4)

    # ---- prediction ----

    def _outputs(self, X: Any) -> Any:
        """The last layer's outputs (n, K), in the dtype of ``X``."""
        check_is_fitted(self)
        X = self._validated(X)
        with threads(self.n_threads):
            if issparse(X):
                X = X.tocsr()
                y = np.concatenate([self.model_.predict(self._dense(X[i:i + ROWS])) for i in range(0, X.shape[0], ROWS)])
            else:
                y = self.model_.predict(self._dense(X))
        return y.astype(X.dtype, copy=False)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags


def gives_probabilities(estimator: Any) -> bool:
    """Is the loss one whose outputs are logits?"""
    loss = estimator.loss
    if isinstance(loss, str) or type(loss).__name__ in ("CrossEntropyLoss", "BCEWithLogitsLoss"):
        return True
    raise AttributeError(f"predict_proba is there for loss='log_loss' and fastnn's entropies, not for {loss!r}")


def as_column(y: Any) -> Any:
    """(n,) for (n, 1), with scikit-learn's warning."""
    if y.ndim == 2 and y.shape[1] == 1:
        warnings.warn("A column-vector y was passed when a 1d array was expected. Please change the shape of y to "
                      "(n_samples, ), for example using ravel().", DataConversionWarning, stacklevel=6)
        return y.ravel()
    return y


class Classifier(ClassifierMixin, Estimator):
    """What the classifiers share: labels, probabilities."""

    _target_options: Mapping[str, Any] = {}

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
        return k if type(self.loss).__name__ == "CrossEntropyLoss" else 1

    def _check_targets(self, y: Any, incremental: bool) -> None:
        """Labels of the classes that are known; without ``incremental`` all of them."""
        check_classification_targets(y)
        multilabel = type_of_target(y, input_name="y") == "multilabel-indicator"
        if multilabel != self._multilabel or multilabel and y.shape[1] != len(self.classes_):
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
        return weights * _check_sample_weight(sample_weight, x, dtype=np.float64, ensure_non_negative=True)

    def _encode(self, y: Any) -> Any:
        if self._multilabel:
            return np.asarray(y.toarray() if issparse(y) else y, np.float32)
        numbers = np.searchsorted(self.classes_, as_column(y))
        if self._objective(self._package(), self.n_outputs_).takes_class_numbers:
            return numbers
        if self.n_outputs_ == 1:
            return numbers.astype(np.float32)[:, None]
        return np.equal(numbers[:, None], np.arange(self.n_outputs_)).astype(np.float32)

    def _objective(self, nn: Any, outputs: int) -> Objective:
        return classifier_objective(nn, self.loss, outputs, not self._multilabel, self.label_smoothing)

    def _decode(self, y: Any) -> Any:
        """Labels for outputs."""
        threshold = self._objective(self._package(), self.n_outputs_).threshold
        if self._multilabel:
            return (y > threshold).astype(int)
        if self.n_outputs_ == 1:
            numbers = (y[:, 0] > threshold).astype(int)
            return self.classes_[np.minimum(numbers, len(self.classes_) - 1)]       # there may be one class only
        return self.classes_[y.argmax(axis=1)]

    def _score_outputs(self, y: Any, t: Any, weights: Any) -> float:
        if not np.isfinite(y).all():
            return math.nan
        return float(accuracy_score(t, self._decode(y), sample_weight=weights))

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
        return self._fit(X, y, sample_weight, incremental=True, classes=classes)

    def predict(self, X: Any) -> Any:
        """The label of each row of ``X``, (n,); of an indicator matrix zeros and ones, (n, labels)."""
        return self._decode(self._outputs(X))

    @available_if(gives_probabilities)
    def predict_proba(self, X: Any) -> Any:
        """The probability of each class, in the order of ``classes_``: (n, classes)."""
        y = self._outputs(X)
        p = self._objective(self._package(), self.n_outputs_).probabilities(y)
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
    penalty is alpha/2·Σw² divided by the rows of a batch. One ``random_state`` gives the initial weights that
    scikit-learn draws; shuffles are fastnn's. Of ``solver="lbfgs"`` SciPy's L-BFGS takes the steps.

    ``activation`` may also be any of fastnn's, by name (``"gelu"``) or as an object. ``dropout`` is the probability of
    zeroing behind each hidden layer, ``batch_norm`` puts ``BatchNorm1d`` before each activation. ``loss``: "log_loss"
    or a loss of fastnn, which gets zeros and ones (n, outputs), ``CrossEntropyLoss`` class numbers; two classes have
    one output, and an object has the gradient that it says, beside that of ``alpha``. ``label_smoothing`` ε, 0 … 1,
    spreads ε over all classes. ``class_weight``: None, a dict from label to number, or "balanced". ``callbacks`` are
    those of ``fastnn``'s ``fit``. ``n_threads`` limits the threads of ``fit`` and ``predict``; None follows
    ``OMP_NUM_THREADS`` and threadpoolctl, so that each of joblib's workers has its share. ``dtype``: "float32" or
    "float64"; None is float32, and float64 for L-BFGS. ``backend="ref"`` trains the NumPy reference instead.

    Attributes are scikit-learn's (``loss_curve_``, ``best_loss_``, ``n_iter_``, ``validation_scores_``, …);
    ``coefs_`` and ``intercepts_`` are read-only views. ``validation_loss_curve_`` has no penalty; ``model_`` is the
    fastnn model. A sparse ``X`` is made dense, to predict some rows at a time. ValueError or TypeError names the
    argument that is wrong.

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

    >>> import numpy as np
    >>> X = np.linspace(-1, 1, 200)[:, None]
    >>> model = MLPRegressor(hidden_layer_sizes=(32,), activation="tanh", learning_rate_init=0.02, random_state=0)
    >>> model.fit(X, np.sin(3 * X[:, 0])).score(X, np.sin(3 * X[:, 0])) > 0.95
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
        if (1 if y.ndim == 1 else y.shape[1]) != self.n_outputs_:
            raise ValueError(f"y: expected {self.n_outputs_} outputs as before, got {checks.format_shape(y.shape)}")
        if isinstance(self.loss, str) and self.loss == "poisson" and (y < 0).any():
            raise ValueError(f"y: expected values >= 0 for loss='poisson', got {y[y < 0][0]}")

    def _weigh(self, sample_weight: Any, y: Any, x: Any) -> Any:
        return sample_weight

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
        return float(r2_score(t, found, sample_weight=weights)) if np.isfinite(found).all() else math.nan

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


class ConvClassifier(Classifier):
    """A convolutional network for images: ``MLPClassifier`` behind convolutions.

    For each of ``channels`` there is a convolution with windows of ``kernel_size``, padded to keep the size, an
    activation and a maximum over ``pool_size``; then the hidden layers. ``X`` is (n, height, width), (n, channels,
    height, width), or rows of all pixels, with ``image_shape`` (height, width) or (channels, height, width). None means
    square images of one channel; rows that are none are taken as images of one line, with a warning. Initial weights
    are fastnn's (He's, Glorot's). All else is as in ``MLPClassifier``.

    >>> from sklearn.datasets import load_digits
    >>> X, y = load_digits(return_X_y=True)
    >>> model = ConvClassifier((8,), max_iter=8, learning_rate_init=0.01, random_state=0, tol=0.1, n_iter_no_change=1)
    >>> model.fit(X[:500] / 16, y[:500]).score(X[500:700] / 16, y[500:700]) > 0.8
    True
    """

    def __init__(
        self, channels: Any = (16, 32), hidden_layer_sizes: Any = (100,), activation: Any = "relu", *,
        kernel_size: int = 3, pool_size: int = 2, image_shape: Any = None, solver: str = "adam",
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

    def _check_parameters(self) -> list[int]:
        for name in "kernel_size", "pool_size":
            checks.as_integer(name, getattr(self, name), 1)
        if self.kernel_size % 2 == 0:
            raise ValueError(f"kernel_size: expected an odd number, so that images keep their size, got "
                             f"{self.kernel_size}")
        return super()._check_parameters()

    def _reshape(self, x: Any, fitting: bool) -> Any:
        shape = () if issparse(x) else np.shape(x)
        if len(shape) not in (3, 4):
            if fitting:
                self._images = None
            return x
        image = shape[1:] if len(shape) == 4 else (1, *shape[1:])
        if fitting:
            self._images = image
        wanted = self._images if self.image_shape is None else self._asked()
        if wanted is None:
            wanted = self._input_shape
        if tuple(image) != tuple(wanted):
            hint = ("; pass X.transpose(0, 3, 1, 2)" if tuple(np.roll(image, 1)) == tuple(wanted) else "")
            raise ValueError(f"X: expected images {checks.format_shape(wanted)}, got {checks.format_shape(image)}{hint}")
        if fitting and image[-1] in (1, 3, 4) and image[0] > 4:
            raise ValueError(f"X: expected images (n, channels, height, width), got {checks.format_shape(shape)}, "
                             "where the channels seem to come last; pass X.transpose(0, 3, 1, 2)")
        return np.asarray(x).reshape(shape[0], math.prod(image))

    def _asked(self) -> tuple[int, ...]:
        """``image_shape`` as (channels, height, width)."""
        shape = checks.as_shape("image_shape", self.image_shape)
        if len(shape) not in (2, 3):
            raise ValueError(f"image_shape: expected (height, width) or (channels, height, width), got {shape}")
        return shape if len(shape) == 3 else (1, *shape)

    def _shape_of_input(self) -> tuple[int, ...]:
        features = self.n_features_in_
        if self.image_shape is not None:
            shape = self._asked()
            if math.prod(shape) != features:
                raise ValueError(f"image_shape: expected {features} pixels, as X has features, got {shape}")
            return shape
        if self._images is not None:
            return tuple(self._images)
        side = math.isqrt(features)
        if side * side == features:
            return 1, side, side
        warnings.warn(f"X: {features} features are no square image, and are taken as one line of {features} pixels; "
                      "image_shape=(height, width) or (channels, height, width) says what they are", stacklevel=4)
        return 1, 1, features

    def _front(self, nn: Any, features: int) -> tuple[list[Any], int]:
        inside, height, width = self._input_shape
        layers: list[Any] = []
        sizes = self.channels if isinstance(self.channels, Iterable) else [self.channels]
        for outside in sizes:
            outside = checks.as_integer("channels", outside, 1)
            activation, padding = as_activation(nn, self.activation), self.kernel_size // 2
            if self.batch_norm:
                apart = nn.Linear(1, 1, activation=activation).activation
                layers += [nn.Conv2d(inside, outside, self.kernel_size, padding=padding), nn.BatchNorm2d(outside), apart]
            else:
                layers.append(nn.Conv2d(inside, outside, self.kernel_size, padding=padding, activation=activation))
            pool = min(self.pool_size, height), min(self.pool_size, width)
            layers.append(nn.MaxPool2d(pool))
            inside, height, width = outside, height // pool[0], width // pool[1]
        return [*layers, nn.Flatten()], inside * height * width

    def _initial(self, sizes: list[int], random: Any) -> list[tuple[Any, Any]]:
        return []

    def _set_initial(self, start: list[tuple[Any, Any]]) -> None:
        """Each layer draws its own."""
