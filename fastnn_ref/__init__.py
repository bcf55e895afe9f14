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

import os
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

# The order of these lines is the reading order, and ``__all__`` follows from it. ``as`` tells a type checker that a
# name is public.
# isort: off
from .layer import Layer as Layer
from .linear import Linear as Linear
from .embedding import Embedding as Embedding
from .conv import Conv2d as Conv2d
from .conv_transpose import ConvTranspose2d as ConvTranspose2d
from .pool import (
    MaxPool2d as MaxPool2d, AvgPool2d as AvgPool2d, AdaptiveMaxPool2d as AdaptiveMaxPool2d,
    AdaptiveAvgPool2d as AdaptiveAvgPool2d, GlobalAvgPool2d as GlobalAvgPool2d,
)
from .flatten import Flatten as Flatten, Unflatten as Unflatten
from .upsample import Upsample as Upsample
from .activation import (
    Activation as Activation, Identity as Identity, ReLU as ReLU, ReLU6 as ReLU6, LeakyReLU as LeakyReLU, ELU as ELU,
    CELU as CELU, SELU as SELU, SiLU as SiLU, Mish as Mish, Hardswish as Hardswish, GELU as GELU, Softplus as Softplus,
    Tanh as Tanh, Sigmoid as Sigmoid, Hardsigmoid as Hardsigmoid, LogSigmoid as LogSigmoid, Softsign as Softsign,
    Softshrink as Softshrink, Hardshrink as Hardshrink, Softmax as Softmax, LogSoftmax as LogSoftmax,
)
from .prelu import PReLU as PReLU
from .batchnorm import BatchNorm1d as BatchNorm1d, BatchNorm2d as BatchNorm2d
from .layernorm import LayerNorm as LayerNorm
from .groupnorm import GroupNorm as GroupNorm
from .rmsnorm import RMSNorm as RMSNorm
from .dropout import Dropout as Dropout
from .dropconnect import DropConnect as DropConnect
from .stochastic_depth import Residual as Residual, StochasticDepth as StochasticDepth
from .parallel import Parallel as Parallel, Select as Select
from .gaussian_noise import GaussianNoise as GaussianNoise
from .augment import Augment as Augment
from .loss import (
    Loss as Loss, MSELoss as MSELoss, L1Loss as L1Loss, HuberLoss as HuberLoss,
    PoissonNLLLoss as PoissonNLLLoss, HingeLoss as HingeLoss, BCEWithLogitsLoss as BCEWithLogitsLoss,
    NLLLoss as NLLLoss, CrossEntropyLoss as CrossEntropyLoss,
)
from .penalty import (
    Penalty as Penalty, L1 as L1, L2 as L2, ElasticNet as ElasticNet, MaxNorm as MaxNorm,
    clip_grad_norm as clip_grad_norm, clip_grad_value as clip_grad_value,
)
from .optimizer import Optimizer as Optimizer
from .optim import (
    SGD as SGD, Adagrad as Adagrad, RMSprop as RMSprop, Adadelta as Adadelta, Adam as Adam, AdamW as AdamW,
    NAdam as NAdam,
)
from .sequential import Sequential as Sequential
from .shared.public import *  # noqa: F403  schedules, metrics, callbacks, a user's own classes, states
from .shared import metrics as metrics
from .init import Init as Init
from . import init as init, philox as philox
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


def load(path: str | os.PathLike[str], classes: Mapping[str, type[Any]] | None = None) -> Any:
    """The model in a file of ``model.save``, ``save_training`` or ``ModelCheckpoint``, of either package.

    It has the weights, the seed, the dtype and the counters that it had. ``classes`` maps the names of your own layers
    to their classes; no module that a file names is ever imported. A file that is damaged, cut short, made by another
    program or by a later version is a ValueError that says so; OSError if it cannot be read.

    >>> import tempfile, fastnn_ref as nn
    >>> class Half(nn.CustomLayer):
    ...     def forward_pass(self, x, training):
    ...         return x / 2
    ...     def backward_pass(self, dy):
    ...         return dy / 2
    >>> nn.Sequential(nn.Linear(2, 3), Half()).save(path := f"{tempfile.mkdtemp()}/model.safetensors")
    >>> nn.load(path, classes={"Half": Half})
    Sequential(Linear(2, 3), Half(), dtype='float64')
    """
    from .shared.checkpoint import load_model

    return load_model(sys.modules[__name__], path, classes)


def load_training(path: str | os.PathLike[str], classes: Mapping[str, type[Any]] | None = None) -> "Training":  # noqa: F405
    """What ``save_training`` or ``ModelCheckpoint`` wrote, made anew: ``model``, ``optimizer``, ``loss``, ``state``.

    So a fresh process goes on without a word about the architecture: in a loop of its own, or by ``fit`` with ``state``
    or the path as ``resume`` and callbacks as they were. ``classes`` and errors are as for ``load``; ValueError, too,
    for an object that has no record, such as an optimizer whose ``lr`` is a function of your own: ``fit(resume=path)``
    goes on with one that you make.

    >>> import tempfile, numpy as np, fastnn_ref as nn
    >>> x, t, path = np.eye(2), np.array([0, 1]), f"{tempfile.mkdtemp()}/run.safetensors"
    >>> model = nn.Sequential(nn.Linear(2, 4, activation="relu"), nn.Linear(4, 2))
    >>> _ = model.fit(x, t, loss=nn.CrossEntropyLoss(), optimizer=nn.Adam(), epochs=3,
    ...               callbacks=[nn.ModelCheckpoint(path)])
    >>> run = nn.load_training(path)
    >>> history = run.model.fit(x, t, loss=run.loss, optimizer=run.optimizer, epochs=5, resume=run.state,
    ...                         callbacks=[nn.ModelCheckpoint(path)])
    >>> len(history.epoch), run.optimizer, run.loss
    (5, Adam(), CrossEntropyLoss())
    """
    from .shared import checkpoint

    return checkpoint.load_training(sys.modules[__name__], path, classes)


if not TYPE_CHECKING:   # no checker can compute this: it would take the last three names for all
    __all__ = [*(name for name, thing in globals().items() if getattr(thing, "__module__", "").startswith(__name__)),
               "init", "philox", "metrics"]


def __getattr__(name: str) -> Any:
    from .shared.words import missing

    raise missing(__name__, name)
