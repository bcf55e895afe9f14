# The engine mirrors the reference in names, signatures and defaults, so the annotations there are the types here.
from fastnn_ref.optim import *  # noqa: F403
from fastnn_ref.optimizer import Optimizer as Optimizer
