# The engine mirrors the book, names, signatures and defaults (tests/test_mirror.py), so the book's annotations are the types.
from fastnn_ref.linear import Linear as Linear
