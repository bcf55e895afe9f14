"""fastnn: small neural networks, trained fast on a CPU. The engine; its readable twin is ``fastnn_ref``.

The public names are those of ``fastnn_ref``, in the same reading order: swap ``import fastnn_ref as nn`` for
``import fastnn as nn`` and get the same numbers, faster.

>>> import numpy as np, fastnn as nn
>>> model = nn.Sequential(nn.Linear(2, 16, activation="relu"), nn.Linear(16, 2), seed=0)
>>> x, t = np.array([[0, 0], [0, 1], [1, 0], [1, 1]]), np.array([0, 1, 1, 0])
>>> history = model.fit(x, t, loss=nn.CrossEntropyLoss(), optimizer=nn.Adam(lr=0.05), epochs=100)
>>> model.predict(x).argmax(axis=1).tolist()
[0, 1, 1, 0]
"""

from fastnn_ref import init, philox
from fastnn_ref.shared.callbacks import Callback, ReduceLROnPlateau
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
from fastnn_ref.shared.text_noise import TextNoise

from ._kernels import get_num_threads, isa, set_num_threads
from ._version import __version__ as __version__
from .activation import (
    ELU,
    GELU,
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
from .dropconnect import DropConnect
from .dropout import Dropout
from .gaussian_noise import GaussianNoise
from .layer import Layer
from .layernorm import LayerNorm
from .linear import Linear
from .loss import BCEWithLogitsLoss, CrossEntropyLoss, HuberLoss, L1Loss, Loss, MSELoss
from .sequential import Sequential
from .optim import SGD, Adam, AdamW, Optimizer, RMSprop
from .penalty import L1, L2, ElasticNet, MaxNorm, clip_grad_norm, clip_grad_value
from .pool import AvgPool2d, Flatten, GlobalAvgPool2d, MaxPool2d
from .stochastic_depth import StochasticDepth, stochastic_depth_rates

__all__ = [  # noqa: RUF022 — reading order, not the alphabet
    "Layer", "Linear", "Conv2d", "MaxPool2d", "AvgPool2d", "GlobalAvgPool2d", "Flatten",
    "Identity", "ReLU", "LeakyReLU", "ELU", "SiLU", "GELU", "Softplus", "Tanh", "Sigmoid", "Softmax", "LogSoftmax",
    "BatchNorm1d", "BatchNorm2d", "LayerNorm", "Dropout", "DropConnect", "StochasticDepth", "stochastic_depth_rates",
    "GaussianNoise", "Augment",
    "Loss", "MSELoss", "L1Loss", "HuberLoss", "CrossEntropyLoss", "BCEWithLogitsLoss",
    "L1", "L2", "ElasticNet", "MaxNorm", "clip_grad_norm", "clip_grad_value",
    "Optimizer", "SGD", "RMSprop", "Adam", "AdamW",
    "Schedule", "ConstantLR", "StepLR", "ExponentialLR", "CosineLR", "OneCycleLR", "ReduceLROnPlateau",
    "EarlyStopping",
    "Sequential", "History", "Callback", "gradcheck", "TextNoise",
    "init", "philox",
    "compare", "get_num_threads", "set_num_threads", "show_config", "isa",
]
