# The engine mirrors the reference in names, signatures and defaults, so the annotations there are the types here.
from fastnn_ref.penalty import L1 as L1
from fastnn_ref.penalty import L2 as L2
from fastnn_ref.penalty import ElasticNet as ElasticNet
from fastnn_ref.penalty import MaxNorm as MaxNorm
from fastnn_ref.penalty import Penalty as Penalty
from fastnn_ref.penalty import clip_grad_norm as clip_grad_norm
from fastnn_ref.penalty import clip_grad_value as clip_grad_value
