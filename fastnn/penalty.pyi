# The engine mirrors the book in names, signatures and defaults, so the annotations there are the types here.
from fastnn_ref.penalty import clip_grad_norm as clip_grad_norm
from fastnn_ref.penalty import clip_grad_value as clip_grad_value
