"""What all estimators share: what scikit-learn calls, around a fastnn model. training.py has the formulas."""

import copy
import dataclasses
import importlib
import itertools
import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np

from fastnn_ref.shared import checks
from fastnn_ref.shared.batches import check_targets
from fastnn_ref.shared.class_weight import resolve_class_weight
from fastnn_ref.shared.data import Data, largest_value
from fastnn_ref.shared.diagnosis import warn
from fastnn_ref.shared.foreign import check_undated, check_unmasked
from fastnn_ref.shared.objects import package_of

from .._kernels import limit_threads
from ..extras import extra
from .training import Convergence, Objective, as_activation, make_optimizer, minimise_by_lbfgs

with extra("sklearn"):
    from scipy.sparse import issparse
    from sklearn.base import BaseEstimator
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.model_selection import train_test_split
    from sklearn.utils import check_random_state
    from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

PACKAGES = {"fast": "fastnn", "ref": "fastnn_ref"}
SOLVERS = ("adam", "sgd", "lbfgs")
RATES = ("constant", "invscaling", "adaptive")
LARGEST_BATCH = 200                 # of batch_size="auto", as in scikit-learn
MADE_WITH = (                       # arguments that say which parameters a model has: one that goes on keeps them
    "hidden_layer_sizes", "batch_norm", "channels", "kernel_size", "pool_size", "image_shape", "dtype", "backend")
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
    """At most ``n`` threads in this block, whatever other Python threads do meanwhile; None is no limit of its own."""
    if n is None:
        yield
        return
    before = limit_threads(checks.as_integer("n_threads", n, 1, 1024))
    try:
        yield
    finally:
        limit_threads(before)


def read_only(array: Any) -> Any:
    """A view that cannot be written to."""
    view = array.view()
    view.flags.writeable = False
    return view


class Estimator(BaseEstimator):
    """What the estimators share: checks, the model, training."""

    # ---- what a kind of estimator says ----

    _target_options: Mapping[str, Any] = {}
    """What ``validate_data`` has to know of y."""

    _stratifies: Any
    """Are classes to be in proportion in the rows that ``early_stopping`` sets apart?"""

    def _check_targets(self, y: Any, incremental: bool) -> None:
        """ValueError unless ``y`` is as it was when the model was made."""
        raise NotImplementedError

    def _weigh(self, sample_weight: Any, y: Any, x: Any) -> Any:
        """Sample weights, with those of the classes."""
        return sample_weight

    def _decode(self, y: Any) -> Any:
        """Predictions for the last layer's outputs."""
        raise NotImplementedError

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
        if isinstance(self.solver, str):
            checks.as_choice("solver", self.solver, SOLVERS)
        else:
            make_optimizer(self._package(), self, 1.0)
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
        if self._callbacks():
            raise ValueError("callbacks: expected none beside solver='lbfgs', which has no epochs")

    def _callbacks(self) -> list[Any]:
        """Those that were given."""
        if not isinstance(self.callbacks, Iterable | None):
            raise TypeError(f"callbacks: expected a sequence of Callback objects, got {self.callbacks!r}")
        return list(self.callbacks or ())

    def _validated(self, x: Any, y: Any = "no_validation", reset: bool = False, **options: Any) -> Any:
        """``validate_data`` with what all have in common."""
        if not isinstance(y, str):
            options |= {"multi_output": True}
        check_unmasked("X", x)
        check_unmasked("y", y)
        check_undated("X", x)
        return validate_data(self, self._reshape(x, reset), y, accept_sparse=["csr", "csc"],
                             dtype=(np.float64, np.float32), reset=reset, **options)

    def _rows(self, x: Any, y: Any, sample_weight: Any) -> Rows:
        """Arrays for training."""
        weights = None
        if sample_weight is not None:
            check_unmasked("sample_weight", sample_weight)
            weights = _check_sample_weight(sample_weight, x, dtype=np.float64, ensure_non_negative=True)
        return Rows(x, self._encode(y), y, weights)

    def _check_range(self, name: str, x: Any) -> None:
        """ValueError for a number that the model's dtype makes infinite."""
        values, dtype = x.data if issparse(x) else x, self.model_.dtype
        if values.size and x.dtype.itemsize > dtype.itemsize and largest_value(values) > float(np.finfo(dtype).max):
            raise ValueError(f"{name}: expected values within the range of {dtype}, got {largest_value(values):g}")

    def _check_values(self, names: tuple[str, str, str], rows: Any, loss: Any) -> Any:
        """ValueError, by the user's ``names``, for inputs beyond the model's dtype and targets that the loss does not
        take; returns the loss with the class weights of these rows, if they are to be balanced."""
        self._check_range(names[0], rows.x)
        x = np.broadcast_to(np.float32(0), (len(rows.t), *self._input_shape))       # only its shape matters
        data = Data(x, rows.t, rows.weights, names)
        loss = resolve_class_weight(loss, self.model_, data)
        with data.as_given():
            check_targets(self.model_, data, loss)
        return loss

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
        layers = self._layers(nn, self.n_features_in_, sizes, self.n_outputs_)
        return nn.Sequential(*layers, seed=seed, dtype=self._dtype, penalty=nn.L2(strength) if strength else None)

    def _package(self) -> Any:
        return importlib.import_module(PACKAGES[self.backend])

    def _weighted_layers(self) -> list[tuple[str, Any]]:
        """(name, layer) of each layer with a matrix or filters, the input's first."""
        nn = package_of(self.model_)
        return [(str(index), layer) for index, layer in enumerate(self.model_.layers)
                if isinstance(layer, nn.Linear | nn.Conv2d)]

    def _has_model(self) -> list[tuple[str, Any]]:
        """The same; AttributeError before ``fit``."""
        if "model_" not in vars(self):
            raise AttributeError(f"{type(self).__name__} is not fitted yet")
        return self._weighted_layers()

    @property
    def coefs_(self) -> list[Any]:
        """Weights of each layer, as read-only views: (inputs, outputs); of convolutions (out, in, height, width)."""
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
        return self._trained_with.link

    # ---- training ----

    _optimizer: Any
    _trained_with: Objective
    loss_curve_: list[float]
    best_loss_: float | None
    best_validation_score_: float | None
    validation_scores_: list[float] | None
    validation_loss_curve_: list[float] | None

    def _batch_size(self, rows: int) -> int:
        if self.batch_size == "auto":
            return min(LARGEST_BATCH, rows)
        if self.batch_size > rows:
            warn(f"batch_size: {self.batch_size} is more than the {rows} training rows; it is {rows} now", UserWarning)
        return int(min(self.batch_size, rows))

    def _fit(self, X: Any, y: Any, sample_weight: Any, held_out: tuple[Any, Any, Any] = (None, None, None),
             incremental: bool = False, classes: Any = None) -> Any:
        """Trains; ``incremental`` is one epoch on. An error before the first step leaves the estimator as it was."""
        sizes = self._check_parameters()
        fresh = "model_" not in vars(self) or not (self.warm_start or incremental)
        if self.early_stopping and incremental:
            raise ValueError("partial_fit does not support early_stopping=True")
        if not fresh:
            self._check_structure()
        with self._undone_before_the_first_step(fresh):
            X, y = self._validated(X, y, reset=fresh, **self._target_options)
            if fresh:
                self._learn_targets(y, classes)
            else:
                self._check_targets(y, incremental)
            nn = self._package()
            objective = self._trained_with = self._objective(nn, self.n_outputs_)
            own = self._rows(X, y, self._weigh(sample_weight, y, X))
            random = check_random_state(self.random_state)
            if fresh:
                self._input_shape = self._shape_of_input()
                self._dtype = X.dtype.name if self.dtype is None else self.dtype
                start = self._initial([self.n_features_in_, *sizes, self.n_outputs_], random)
            train, validation = self._split(own, held_out, random)
            batch_size = self._prepare_model(sizes, train, random, start if fresh else None)
            loss = self._check_values(("X", "y", "sample_weight"), own, objective.loss)
            if held_out[0] is not None:
                self._check_values(("X_val", "y_val", "sample_weight_val"), validation, loss)
            self._prepare_records(fresh, validation is not None)
            with threads(self.n_threads):
                if self.solver == "lbfgs":
                    self._fit_lbfgs(train, dataclasses.replace(objective, loss=loss))
                else:
                    self._fit_stochastic(nn, train, validation, objective, batch_size, incremental)
        if not all(np.isfinite(array).all() for array in self.model_.params.values()):
            raise ValueError("Solver produced non-finite parameter weights. The input data may contain large values "
                             "and need to be preprocessed.")
        return self

    def _prepare_model(self, sizes: list[int], train: Rows, random: Any, start: Any) -> int:
        """Makes the model, from ``start``, or changes the one that goes on; returns the size of a batch."""
        rows = train.x.shape[0]
        batch_size = rows if self.solver == "lbfgs" else self._batch_size(rows)
        total = rows if train.weights is None else train.weights.sum()
        strength = self._trained_with.factor * self.alpha * rows / (batch_size * float(total)) if total > 0 else 0.0
        if start is None:
            self._change_model(sizes, strength)
        else:
            self.model_ = self._make(sizes, strength, int(random.randint(2**31 - 1)))
            self._optimizer, self._made_with = None, self._structure()
            self._set_initial(start)
            self.t_, self._no_improvement_count, self.loss_curve_ = 0, 0, []
        if rows < (least := self.model_.min_batch_size(self._input_shape)):
            raise ValueError(f"X: expected at least {least} samples to train with, which batch_norm=True "
                             f"normalises over, got {rows} sample{'s' * (rows > 1)}")
        return batch_size

    @contextmanager
    def _undone_before_the_first_step(self, fresh: bool) -> Iterator[None]:
        """An error in this block before a model has taken a step brings all attributes back: a fitted estimator
        predicts as before."""
        before, old = dict(vars(self)), vars(self).get("model_")
        steps = 0 if old is None else old.steps
        try:
            yield
        except BaseException:
            new = vars(self).get("model_")
            if new is None or new.steps <= (0 if fresh and new is not old else steps):
                self.__dict__.clear()
                self.__dict__.update(before)
            raise

    def _shape_of_input(self) -> tuple[int, ...]:
        return (self.n_features_in_,)

    def _set_initial(self, start: list[tuple[Any, Any]]) -> None:
        for (_, layer), (weight, bias) in zip(self._weighted_layers(), start, strict=True):
            layer.weight, layer.bias = weight, bias

    def _prepare_records(self, fresh: bool, validates: bool) -> None:
        """Attributes that a training fills; one that goes on keeps what it has."""
        if fresh or (validates and self.validation_scores_ is None):
            self.validation_scores_ = [] if validates else None
            self.validation_loss_curve_ = [] if validates else None
        if fresh or (self.early_stopping and self.best_validation_score_ is None):
            self.best_validation_score_ = -math.inf if self.early_stopping else None
        if fresh or (not self.early_stopping and self.best_loss_ is None):
            self.best_loss_ = None if self.early_stopping else math.inf

    def _structure(self) -> dict[str, Any]:
        """The arguments of ``MADE_WITH`` as they are now, written alike where they say the same."""
        found: dict[str, Any] = {}
        for name in MADE_WITH:
            value = getattr(self, name, None)
            if isinstance(value, Iterable) and not isinstance(value, str):
                found[name] = tuple(value)
            elif name in ("hidden_layer_sizes", "channels"):
                found[name] = (value,)
            else:
                found[name] = np.dtype(value).name if name == "dtype" and value is not None else value
        return found

    def _check_structure(self) -> None:
        """ValueError for an argument that was changed and asks for other parameters than the model has."""
        for name, value in self._structure().items():
            before = vars(self).get("_made_with", {}).get(name, value)
            if name == "dtype":
                before, value = self.model_.dtype.name, value or self.model_.dtype.name
            if value != before:
                raise ValueError(f"{name}: expected {before!r}, as when the model was made with which warm_start and "
                                 f"partial_fit go on, got {value!r}")

    def _change_model(self, sizes: list[int], strength: float) -> None:
        """The same training with what may change: the penalty, which follows from batches and weights, and layers
        without parameters."""
        nn, before = self._package(), self.model_
        after = self._make(sizes, strength, before.network.seed)
        if after.config() == before.config():
            return
        values, wanted = before.state_dict(), after.state_dict()
        if [value.shape for value in values.values()] != [value.shape for value in wanted.values()]:
            raise ValueError("activation: expected one with the parameters of that before, with which warm_start and "
                             f"partial_fit go on, got {self.activation!r}")
        names = dict(zip(values, wanted, strict=True))
        layers = {old.rpartition(".")[0]: new.rpartition(".")[0] for old, new in names.items()}

        def renamed(arrays: Any) -> Any:
            return {names[name]: array for name, array in arrays.items()}

        if self._optimizer is None:                     # L-BFGS has no state of its own
            after.load_state_dict(renamed(values))
        else:
            state = nn.training_state(before, self._optimizer)
            state |= {
                "model": renamed(state["model"]),
                "settings": {layers[name]: each for name, each in state["settings"].items() if name in layers},
                "optimizer": {key: renamed(each) if isinstance(each, dict) and key != "lr" else each
                              for key, each in state["optimizer"].items()},
            }
            optimizer = copy.deepcopy(self._optimizer)
            nn.load_training_state(state, after, optimizer)
            self._optimizer = optimizer
        self.model_ = after

    def _split(self, own: Rows, held_out: tuple[Any, Any, Any], random: Any) -> tuple[Rows, Rows | None]:
        """Rows to train with and to validate with."""
        X_val, y_val, weights = held_out
        if (X_val is None) != (y_val is None):
            raise ValueError("X_val, y_val: expected both or neither, got one of them")
        if X_val is not None:
            if self.solver == "lbfgs":
                raise ValueError("X_val: expected None beside solver='lbfgs', which has no epochs")
            try:
                x, y = self._validated(X_val, y_val, **self._target_options)
                self._check_targets(y, True)
                return own, self._rows(x, y, weights)
            except (TypeError, ValueError) as error:
                raise type(error)(f"X_val, y_val: {error}") from None
        if not self.early_stopping or self.solver == "lbfgs":
            return own, None
        parts = [part for part in own if part is not None]
        parted = train_test_split(*parts, random_state=random, test_size=self.validation_fraction,
                                  stratify=own.y if self._stratifies else None)
        train, validation = (Rows(*parted[i::2], *[None] * (4 - len(parts))) for i in (0, 1))
        if validation.x.shape[0] < 2:
            raise ValueError("The validation set is too small. Increase 'validation_fraction' or the size of your "
                             "dataset.")
        for part, what in (train, "trains with"), (validation, "sets apart"):
            if part.weights is not None and not part.weights.any():
                raise ValueError("sample_weight: expected one above 0, times class_weight, among the rows that "
                                 f"early_stopping {what}, got only 0")
        return train, validation

    def _fit_lbfgs(self, rows: Rows, objective: Objective) -> None:
        self.loss_, self.n_iter_ = minimise_by_lbfgs(
            self.model_, self._dense(rows.x), rows.t, rows.weights, objective, self)
        self.loss_curve_.append(self.loss_)
        self.best_loss_ = self.loss_

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
            callbacks=[convergence, *self._callbacks()],
            drop_last=self.batch_norm and len(x) % batch_size == 1)
        if self.early_stopping and convergence.best_state is not None:
            model.load_state_dict(convergence.best_state)
        if history.interrupted:
            warn("Training interrupted by user.", UserWarning)
        elif self.n_iter_ == self.max_iter and not model.stop_training and not incremental:
            warn(f"Stochastic Optimizer: Maximum iterations ({self.max_iter}) reached and the optimization hasn't "
                 "converged yet.", ConvergenceWarning)

    # ---- prediction ----

    def _outputs(self, X: Any) -> Any:
        """The last layer's outputs (n, K), in the dtype of ``X``."""
        check_is_fitted(self)
        X = self._validated(X)
        self._check_range("X", X)
        with threads(self.n_threads):
            if issparse(X):
                X = X.tocsr()
                parts = (X[i:i + ROWS] for i in range(0, X.shape[0], ROWS))
                y = np.concatenate([self.model_.predict(self._dense(part)) for part in parts])
            else:
                y = self.model_.predict(self._dense(X))
        return y.astype(X.dtype, copy=False)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags
