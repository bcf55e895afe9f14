# The engine mirrors the reference in names, signatures and defaults, so the annotations there are the types here.
from fastnn_ref.stochastic_depth import Residual as Residual
from fastnn_ref.stochastic_depth import StochasticDepth as StochasticDepth
