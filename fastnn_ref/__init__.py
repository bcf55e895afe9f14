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

# The order of these lines is the reading order, and ``__all__`` follows from it. ``as`` tells a type checker that a
# name is public.
# isort: off
from .layer import Layer as Layer
from .linear import Linear as Linear
from .conv import Conv2d as Conv2d
from .pool import (
    MaxPool2d as MaxPool2d, AvgPool2d as AvgPool2d, GlobalAvgPool2d as GlobalAvgPool2d, Flatten as Flatten,
)
from .activation import (
    Activation as Activation, Identity as Identity, ReLU as ReLU, LeakyReLU as LeakyReLU, ELU as ELU, SiLU as SiLU,
    Mish as Mish, Hardswish as Hardswish, GELU as GELU, Softplus as Softplus, Tanh as Tanh, Sigmoid as Sigmoid,
    Softmax as Softmax, LogSoftmax as LogSoftmax,
)
from .prelu import PReLU as PReLU
from .batchnorm import BatchNorm1d as BatchNorm1d, BatchNorm2d as BatchNorm2d
from .layernorm import LayerNorm as LayerNorm
from .rmsnorm import RMSNorm as RMSNorm
from .dropout import Dropout as Dropout
from .dropconnect import DropConnect as DropConnect
from .stochastic_depth import (
    Residual as Residual, StochasticDepth as StochasticDepth, stochastic_depth_rates as stochastic_depth_rates,
)
from .gaussian_noise import GaussianNoise as GaussianNoise
from .augment import Augment as Augment
from .loss import (
    Loss as Loss, MSELoss as MSELoss, L1Loss as L1Loss, HuberLoss as HuberLoss, CrossEntropyLoss as CrossEntropyLoss,
    BCEWithLogitsLoss as BCEWithLogitsLoss,
)
from .penalty import (
    Penalty as Penalty, L1 as L1, L2 as L2, ElasticNet as ElasticNet, MaxNorm as MaxNorm,
    clip_grad_norm as clip_grad_norm, clip_grad_value as clip_grad_value,
)
from .optimizer import Optimizer as Optimizer
from .optim import SGD as SGD, Adagrad as Adagrad, RMSprop as RMSprop, Adam as Adam, AdamW as AdamW
from .shared.schedule import (
    Schedule as Schedule, ConstantLR as ConstantLR, StepLR as StepLR, ExponentialLR as ExponentialLR,
    LinearLR as LinearLR, CosineLR as CosineLR, OneCycleLR as OneCycleLR, PerEpoch as PerEpoch,
)
from .shared.metrics import Metric as Metric
from .shared.callbacks import Callback as Callback
from .shared.history import History as History
from .shared.early_stopping import EarlyStopping as EarlyStopping
from .shared.callbacks import (
    ReduceLROnPlateau as ReduceLROnPlateau, LearningRateScheduler as LearningRateScheduler,
    TerminateOnNaN as TerminateOnNaN, LambdaCallback as LambdaCallback, StopTraining as StopTraining,
)
from .shared.loggers import CSVLogger as CSVLogger, TensorBoard as TensorBoard
from .shared.recorder import UpdateRecorder as UpdateRecorder
from .shared.progress import ProgressBar as ProgressBar
from .shared.diagnosis import TrainingWarning as TrainingWarning
from .sequential import Sequential as Sequential
from .shared.custom import (
    CustomLayer as CustomLayer, CustomActivation as CustomActivation, CustomLoss as CustomLoss,
    CustomOptimizer as CustomOptimizer,
)
from .shared.state import training_state as training_state, load_training_state as load_training_state
from .shared.lr_finder import find_lr as find_lr
from .shared.gradcheck import gradcheck as gradcheck
from .shared.text_noise import TextNoise as TextNoise
from . import init as init, philox as philox
from .shared import metrics as metrics
# isort: on


def from_config(record: Mapping[str, Any], classes: Mapping[str, type[Any]] | None = None) -> Any:
    """The object that a record describes: what ``config()`` of a layer, loss, optimizer, schedule or penalty returned.

    ``classes`` maps the names of your own classes to the classes. TypeError for something that is no record, ValueError
    for an unknown class or an argument that the class does not have. Weights are not in it: ``load_state_dict`` copies
    them.

    >>> import fastnn_ref as nn
    >>> nn.from_config(nn.Linear(2, 3, activation="relu").config())
    Linear(2, 3, activation=ReLU())
    """
    from .shared.config import build

    return build(sys.modules[__name__], record, classes)


__all__ = [*(name for name, thing in globals().items() if getattr(thing, "__module__", "").startswith(__name__)),
           "init", "philox", "metrics"]
