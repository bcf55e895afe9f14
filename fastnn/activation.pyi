# The engine mirrors the reference in names, signatures and defaults, so the annotations there are the types here.
from fastnn_ref.activation import ELU as ELU
from fastnn_ref.activation import GELU as GELU
from fastnn_ref.activation import Activation as Activation
from fastnn_ref.activation import Identity as Identity
from fastnn_ref.activation import LeakyReLU as LeakyReLU
from fastnn_ref.activation import LogSoftmax as LogSoftmax
from fastnn_ref.activation import ReLU as ReLU
from fastnn_ref.activation import Sigmoid as Sigmoid
from fastnn_ref.activation import SiLU as SiLU
from fastnn_ref.activation import Softmax as Softmax
from fastnn_ref.activation import Softplus as Softplus
from fastnn_ref.activation import Tanh as Tanh
