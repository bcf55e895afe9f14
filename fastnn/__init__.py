"""fastnn: small neural networks, trained fast on a CPU. The engine; the readable reference is ``fastnn_ref``.

The public names are those of ``fastnn_ref``, in the same reading order: swap ``import fastnn_ref as nn`` for
``import fastnn as nn``. The default dtype is float32 here and float64 there; with the same ``dtype=`` the numbers are
the same up to rounding.

>>> import numpy as np, fastnn as nn
>>> model = nn.Sequential(nn.Linear(2, 16, activation="relu"), nn.Linear(16, 2), seed=0)
>>> x, t = np.array([[0, 0], [0, 1], [1, 0], [1, 1]]), np.array([0, 1, 1, 0])
>>> history = model.fit(x, t, loss=nn.CrossEntropyLoss(), optimizer=nn.Adam(lr=0.05), epochs=100)
>>> model.predict(x).argmax(axis=1).tolist()
[0, 1, 1, 0]
"""

import importlib
import sys
from collections.abc import Mapping
from typing import Any

from fastnn_ref import init, philox
from fastnn_ref.shared.callbacks import Callback, ReduceLROnPlateau
from fastnn_ref.shared.config import build
from fastnn_ref.shared.custom import CustomActivation, CustomLayer, CustomLoss, CustomOptimizer
from fastnn_ref.shared.early_stopping import EarlyStopping
from fastnn_ref.shared.gradcheck import gradcheck
from fastnn_ref.shared.history import History
from fastnn_ref.shared.schedule import (
    ConstantLR,
    CosineLR,
    ExponentialLR,
    OneCycleLR,
    Schedule,
    StepLR,
)
from fastnn_ref.shared.state import load_training_state, training_state
from fastnn_ref.shared.text_noise import TextNoise

from ._kernels import get_num_threads, isa, set_num_threads
from ._version import __version__ as __version__
from .activation import (
    ELU,
    GELU,
    Activation,
    Identity,
    LeakyReLU,
    LogSoftmax,
    ReLU,
    Sigmoid,
    SiLU,
    Softmax,
    Softplus,
    Tanh,
)
from .augment import Augment
from .batchnorm import BatchNorm1d, BatchNorm2d
from .compare import compare
from .config import show_config
from .conv import Conv2d
from .docs import attach
from .dropconnect import DropConnect
from .dropout import Dropout
from .gaussian_noise import GaussianNoise
from .layer import Layer
from .layernorm import LayerNorm
from .linear import Linear
from .loss import BCEWithLogitsLoss, CrossEntropyLoss, HuberLoss, L1Loss, Loss, MSELoss
from .optim import SGD, Adam, AdamW, Optimizer, RMSprop
from .penalty import L1, L2, ElasticNet, MaxNorm, Penalty, clip_grad_norm, clip_grad_value
from .pool import AvgPool2d, Flatten, GlobalAvgPool2d, MaxPool2d
from .sequential import Sequential
from .stochastic_depth import Residual, StochasticDepth, stochastic_depth_rates

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
    "compare", "get_num_threads", "set_num_threads", "show_config", "isa",
]


def from_config(record: Mapping[str, Any], classes: Mapping[str, type[Any]] | None = None) -> Any:
    return build(sys.modules[__name__], record, classes)


attach(sys.modules[__name__], importlib.import_module("fastnn_ref"))
