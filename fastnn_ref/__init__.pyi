# Written by tools/stub_of_contents.py. ``as`` tells a type checker that a name is public.
import os
from collections.abc import Mapping
from typing import Any

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
    Activation as Activation, Identity as Identity, ReLU as ReLU, ReLU6 as ReLU6, LeakyReLU as LeakyReLU,
    ELU as ELU, CELU as CELU, SELU as SELU, SiLU as SiLU, Mish as Mish, Hardswish as Hardswish, GELU as GELU,
    Softplus as Softplus, Tanh as Tanh, Sigmoid as Sigmoid, Hardsigmoid as Hardsigmoid, LogSigmoid as LogSigmoid,
    Softsign as Softsign, Softshrink as Softshrink, Hardshrink as Hardshrink, Softmax as Softmax,
    LogSoftmax as LogSoftmax,
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
    Loss as Loss, MSELoss as MSELoss, L1Loss as L1Loss, HuberLoss as HuberLoss, PoissonNLLLoss as PoissonNLLLoss,
    HingeLoss as HingeLoss, BCEWithLogitsLoss as BCEWithLogitsLoss, NLLLoss as NLLLoss,
    CrossEntropyLoss as CrossEntropyLoss,
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
from .predictor import Predictor as Predictor
from .shared.schedule import (
    Schedule as Schedule, ConstantLR as ConstantLR, StepLR as StepLR, ExponentialLR as ExponentialLR,
    LinearLR as LinearLR, CosineLR as CosineLR, OneCycleLR as OneCycleLR, PerEpoch as PerEpoch,
    stochastic_depth_rates as stochastic_depth_rates,
)
from .shared.metrics import Metric as Metric
from .shared.callbacks import (
    Callback as Callback, ReduceLROnPlateau as ReduceLROnPlateau, LearningRateScheduler as LearningRateScheduler,
    TerminateOnNaN as TerminateOnNaN, LambdaCallback as LambdaCallback, StopTraining as StopTraining,
)
from .shared.history import History as History
from .shared.early_stopping import EarlyStopping as EarlyStopping
from .shared.loggers import CSVLogger as CSVLogger, TensorBoard as TensorBoard
from .shared.model_checkpoint import ModelCheckpoint as ModelCheckpoint
from .shared.recorder import UpdateRecorder as UpdateRecorder
from .shared.progress import ProgressBar as ProgressBar
from .shared.diagnosis import TrainingWarning as TrainingWarning
from .shared.custom import (
    CustomLayer as CustomLayer, CustomActivation as CustomActivation, CustomLoss as CustomLoss,
    CustomOptimizer as CustomOptimizer,
)
from .shared.copy_parameters import copy_parameters as copy_parameters
from .shared.state import training_state as training_state, load_training_state as load_training_state
from .shared.checkpoint import Training as Training, save_training as save_training
from .shared.lr_finder import find_lr as find_lr
from .shared.gradcheck import gradcheck as gradcheck
from .shared.text_noise import TextNoise as TextNoise
from .init import Init as Init
from .shared import metrics as metrics
from . import init as init, philox as philox
# isort: on

def from_config(record: Mapping[str, Any], classes: Mapping[str, type[Any]] | None = None) -> Any: ...
def load(path: str | os.PathLike[str], classes: Mapping[str, type[Any]] | None = None) -> Any: ...
def load_training(path: str | os.PathLike[str], classes: Mapping[str, type[Any]] | None = None) -> Training: ...
