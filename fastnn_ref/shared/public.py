"""The public names of the shared room, which both packages have. The order is the reading order."""

# isort: off
from .schedule import (
    Schedule as Schedule, ConstantLR as ConstantLR, StepLR as StepLR, ExponentialLR as ExponentialLR,
    LinearLR as LinearLR, CosineLR as CosineLR, OneCycleLR as OneCycleLR, PerEpoch as PerEpoch,
    stochastic_depth_rates as stochastic_depth_rates,
)
from .metrics import Metric as Metric
from .callbacks import Callback as Callback
from .history import History as History
from .early_stopping import EarlyStopping as EarlyStopping
from .callbacks import (
    ReduceLROnPlateau as ReduceLROnPlateau, LearningRateScheduler as LearningRateScheduler,
    TerminateOnNaN as TerminateOnNaN, LambdaCallback as LambdaCallback, StopTraining as StopTraining,
)
from .loggers import CSVLogger as CSVLogger, TensorBoard as TensorBoard
from .model_checkpoint import ModelCheckpoint as ModelCheckpoint
from .recorder import UpdateRecorder as UpdateRecorder
from .progress import ProgressBar as ProgressBar
from .diagnosis import TrainingWarning as TrainingWarning
from .custom import (
    CustomLayer as CustomLayer, CustomActivation as CustomActivation, CustomLoss as CustomLoss,
    CustomOptimizer as CustomOptimizer,
)
from .copy_parameters import copy_parameters as copy_parameters
from .state import training_state as training_state, load_training_state as load_training_state
from .checkpoint import Training as Training, save_training as save_training
from .lr_finder import find_lr as find_lr
from .gradcheck import gradcheck as gradcheck
from .text_noise import TextNoise as TextNoise
