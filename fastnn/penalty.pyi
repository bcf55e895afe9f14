# The engine mirrors the book, names, signatures and defaults (tests/test_mirror.py), so the book's annotations are the types.
from fastnn_ref.penalty import clip_grad_norm as clip_grad_norm
from fastnn_ref.penalty import clip_grad_value as clip_grad_value
