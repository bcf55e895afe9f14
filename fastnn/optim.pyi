# The engine mirrors the reference in names, signatures and defaults, so the annotations there are the types here.
from fastnn_ref.optim import SGD as SGD
from fastnn_ref.optim import Adam as Adam
from fastnn_ref.optim import AdamW as AdamW
from fastnn_ref.optim import RMSprop as RMSprop
from fastnn_ref.optimizer import Optimizer as Optimizer
