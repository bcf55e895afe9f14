# The engine mirrors the book in names, signatures and defaults, so the annotations there are the types here.
from fastnn_ref.stochastic_depth import StochasticDepth as StochasticDepth
from fastnn_ref.stochastic_depth import linear_decay as linear_decay
