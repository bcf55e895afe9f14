"""fastnn_ref: neural networks in the words of their formulas. Read this first; ``fastnn`` computes the same, faster.

The names below are a table of contents, in reading order.

>>> import numpy as np, fastnn_ref as nn
>>> model = nn.Sequential(nn.Linear(2, 16, activation="relu"), nn.Linear(16, 2), seed=0)
>>> x, t = np.array([[0, 0], [0, 1], [1, 0], [1, 1]]), np.array([0, 1, 1, 0])
>>> history = model.fit(x, t, loss=nn.CrossEntropyLoss(), optimizer=nn.Adam(lr=0.05), epochs=100)
>>> model.predict(x).argmax(axis=1).tolist()
[0, 1, 1, 0]
"""

# isort: off
from .layer import Layer
from .linear import Linear
from .conv import Conv2d
from .pool import MaxPool2d, AvgPool2d, GlobalAvgPool2d, Flatten
from .activation import (
    Identity, ReLU, LeakyReLU, ELU, SiLU, GELU, Softplus, Tanh, Sigmoid, Softmax, LogSoftmax,
)
from .batchnorm import BatchNorm1d, BatchNorm2d
from .layernorm import LayerNorm
from .dropout import Dropout
from .dropconnect import DropConnect
from .stochastic_depth import StochasticDepth, stochastic_depth_rates
from .gaussian_noise import GaussianNoise
from .augment import Augment
from .loss import Loss, MSELoss, L1Loss, HuberLoss, CrossEntropyLoss, BCEWithLogitsLoss
from .penalty import L1, L2, ElasticNet, MaxNorm, clip_grad_norm, clip_grad_value
from .optim import Optimizer, SGD, RMSprop, Adam, AdamW
from .shared.schedule import Schedule, ConstantLR, StepLR, ExponentialLR, CosineLR, OneCycleLR
from .shared.callbacks import ReduceLROnPlateau
from .shared.early_stopping import EarlyStopping
from .model import Sequential
from .shared.history import History
from .shared.callbacks import Callback
from .shared.gradcheck import gradcheck
from .shared.text_noise import TextNoise
from . import init, philox
# isort: on

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
]
