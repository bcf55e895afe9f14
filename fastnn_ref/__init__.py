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

import importlib
import os
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .shared.checkpoint import Training

# The modules in reading order, each with its public names, which ``__init__.pyi`` gives to type checkers. A module is
# imported when one of its names is used first.
CONTENTS = {
    "layer": "Layer",
    "linear": "Linear",
    "embedding": "Embedding",
    "conv": "Conv2d",
    "winograd": "",
    "conv_transpose": "ConvTranspose2d",
    "pool": "MaxPool2d AvgPool2d AdaptiveMaxPool2d AdaptiveAvgPool2d GlobalAvgPool2d",
    "flatten": "Flatten Unflatten",
    "upsample": "Upsample",
    "activation": "Activation Identity ReLU ReLU6 LeakyReLU ELU CELU SELU SiLU Mish Hardswish GELU Softplus Tanh "
                  "Sigmoid Hardsigmoid LogSigmoid Softsign Softshrink Hardshrink Softmax LogSoftmax",
    "prelu": "PReLU",
    "norm": "",
    "batchnorm": "BatchNorm1d BatchNorm2d",
    "layernorm": "LayerNorm",
    "groupnorm": "GroupNorm",
    "rmsnorm": "RMSNorm",
    "dropout": "Dropout",
    "dropconnect": "DropConnect",
    "stochastic_depth": "Residual StochasticDepth",
    "parallel": "Parallel Select",
    "gaussian_noise": "GaussianNoise",
    "augment": "Augment",
    "loss": "Loss MSELoss L1Loss HuberLoss PoissonNLLLoss HingeLoss BCEWithLogitsLoss NLLLoss CrossEntropyLoss",
    "penalty": "Penalty L1 L2 ElasticNet MaxNorm clip_grad_norm clip_grad_value",
    "optimizer": "Optimizer",
    "optim": "SGD Adagrad RMSprop Adadelta Adam AdamW NAdam",
    "model": "",
    "sequential": "Sequential",
    "predictor": "Predictor",
    "custom": "",
    "shared.schedule": "Schedule ConstantLR StepLR ExponentialLR LinearLR CosineLR OneCycleLR PerEpoch "
                       "stochastic_depth_rates",
    "shared.metrics": "Metric",
    "shared.callbacks": "Callback ReduceLROnPlateau LearningRateScheduler TerminateOnNaN LambdaCallback StopTraining",
    "shared.history": "History",
    "shared.early_stopping": "EarlyStopping",
    "shared.loggers": "CSVLogger TensorBoard",
    "shared.model_checkpoint": "ModelCheckpoint",
    "shared.recorder": "UpdateRecorder",
    "shared.progress": "ProgressBar",
    "shared.diagnosis": "TrainingWarning",
    "shared.custom": "CustomLayer CustomActivation CustomLoss CustomOptimizer",
    "shared.copy_parameters": "copy_parameters",
    "shared.state": "training_state load_training_state",
    "shared.checkpoint": "Training save_training",
    "shared.lr_finder": "find_lr",
    "shared.gradcheck": "gradcheck",
    "shared.text_noise": "TextNoise",
    "network": "",
    "init": "Init",
    "philox": "",
}
HOMES = {name: module for module, names in CONTENTS.items() for name in names.split()}
__all__ = [*HOMES, "from_config", "load", "load_training", "init", "philox", "metrics"]     # the last three are modules


def from_config(record: Mapping[str, Any], classes: Mapping[str, type[Any]] | None = None) -> Any:
    """The object that a record describes: what ``config()`` of a layer, loss, optimizer, schedule or penalty returned.

    ``classes`` maps the names of your own classes to the classes. TypeError for something that is no record, ValueError
    for an unknown class or an argument that the class does not have. Weights are not in it: ``load_state_dict`` copies
    them.

    >>> import fastnn_ref as nn
    >>> nn.from_config(nn.Linear(2, 3, activation="relu").config())
    Linear(2, 3, activation=ReLU())
    """
    from .shared.config import from_record

    return from_record(sys.modules[__name__], record, classes)


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


def load_training(path: str | os.PathLike[str], classes: Mapping[str, type[Any]] | None = None) -> "Training":
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


def __getattr__(name: str) -> Any:
    if name == "metrics":
        found = importlib.import_module(f"{__name__}.shared.metrics")
    elif name in HOMES:
        found = getattr(importlib.import_module(f"{__name__}.{HOMES[name]}"), name)
    elif name in CONTENTS:
        found = importlib.import_module(f"{__name__}.{name}")
    else:
        from .shared.words import missing

        raise missing(__name__, name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return __all__
