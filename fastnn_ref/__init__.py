"""fastnn_ref: neural networks in the words of their formulas. Read this first; ``fastnn`` computes the same, faster.

Five stations, each a file or two:

1. ``linear``: a formula and its gradient, first as functions, then as a layer; ``activation`` belongs to it.
2. ``loss`` and ``optim``: what is to be made small, and how a step is taken.
3. ``layer``, ``model`` and ``sequential``: layers in a row, and ``Model.step_pass``, in which everything meets.
4. ``dropout``, ``batchnorm``, ``stochastic_depth``, ``penalty``, ``augment``: against learning by heart.
5. ``network``, ``init`` and ``philox``: what a model has once, initial values, random numbers without a state.

``shared`` holds what is no maths and serves both packages: checks, the training loop, callbacks, schedules. The
parameters and activations of a model are float64 here by default, and float32 in ``fastnn``; either takes both.

>>> import numpy as np, fastnn_ref as nn
>>> model = nn.Sequential(nn.Linear(2, 16, activation="relu"), nn.Linear(16, 2), seed=0)
>>> x, t = np.array([[0, 0], [0, 1], [1, 0], [1, 1]]), np.array([0, 1, 1, 0])
>>> history = model.fit(x, t, loss=nn.CrossEntropyLoss(), optimizer=nn.Adam(lr=0.05), epochs=100)
>>> model.predict(x).argmax(axis=1).tolist()
[0, 1, 1, 0]
"""

import sys
from collections.abc import Mapping
from typing import Any

# isort: off
from .layer import Layer
from .linear import Linear
from .conv import Conv2d
from .pool import MaxPool2d, AvgPool2d, GlobalAvgPool2d, Flatten
from .activation import (
    Activation, Identity, ReLU, LeakyReLU, ELU, SiLU, GELU, Softplus, Tanh, Sigmoid, Softmax, LogSoftmax,
)
from .batchnorm import BatchNorm1d, BatchNorm2d
from .layernorm import LayerNorm
from .dropout import Dropout
from .dropconnect import DropConnect
from .stochastic_depth import Residual, StochasticDepth, stochastic_depth_rates
from .gaussian_noise import GaussianNoise
from .augment import Augment
from .loss import Loss, MSELoss, L1Loss, HuberLoss, CrossEntropyLoss, BCEWithLogitsLoss
from .penalty import Penalty, L1, L2, ElasticNet, MaxNorm, clip_grad_norm, clip_grad_value
from .optimizer import Optimizer
from .optim import SGD, RMSprop, Adam, AdamW
from .shared.schedule import Schedule, ConstantLR, StepLR, ExponentialLR, CosineLR, OneCycleLR
from .shared.callbacks import ReduceLROnPlateau
from .shared.early_stopping import EarlyStopping
from .sequential import Sequential
from .shared.history import History
from .shared.callbacks import Callback
from .shared.custom import CustomLayer, CustomActivation, CustomLoss, CustomOptimizer
from .shared.config import build
from .shared.state import training_state, load_training_state
from .shared.gradcheck import gradcheck
from .shared.text_noise import TextNoise
from . import init, philox
# isort: on

__all__ = [  # noqa: RUF022 — reading order, not the alphabet
    "Layer", "Linear", "Conv2d", "MaxPool2d", "AvgPool2d", "GlobalAvgPool2d", "Flatten",
    "Activation", "Identity", "ReLU", "LeakyReLU", "ELU", "SiLU", "GELU", "Softplus", "Tanh", "Sigmoid", "Softmax",
    "LogSoftmax", "BatchNorm1d", "BatchNorm2d", "LayerNorm", "Dropout", "DropConnect",
    "Residual", "StochasticDepth", "stochastic_depth_rates", "GaussianNoise", "Augment",
    "Loss", "MSELoss", "L1Loss", "HuberLoss", "CrossEntropyLoss", "BCEWithLogitsLoss",
    "Penalty", "L1", "L2", "ElasticNet", "MaxNorm", "clip_grad_norm", "clip_grad_value",
    "Optimizer", "SGD", "RMSprop", "Adam", "AdamW",
    "Schedule", "ConstantLR", "StepLR", "ExponentialLR", "CosineLR", "OneCycleLR", "ReduceLROnPlateau",
    "EarlyStopping", "Sequential", "History", "Callback",
    "CustomLayer", "CustomActivation", "CustomLoss", "CustomOptimizer",
    "from_config", "training_state", "load_training_state", "gradcheck", "TextNoise",
    "init", "philox",
]


def from_config(record: Mapping[str, Any], classes: Mapping[str, type[Any]] | None = None) -> Any:
    """The object that a record describes: what ``config()`` of a layer, loss, optimizer, schedule or penalty returned.

    ``classes`` maps the names of your own classes to the classes. TypeError for something that is no record, ValueError
    for an unknown class or an argument that the class does not have. Weights are not in it: ``load_state_dict`` copies
    them.

    >>> import fastnn_ref as nn
    >>> nn.from_config(nn.Linear(2, 3, activation="relu").config())
    Linear(2, 3, activation=ReLU())
    """
    return build(sys.modules[__name__], record, classes)
