# The engine mirrors the book, names, signatures and defaults (tests/test_mirror.py), so the book's annotations are the types.
from fastnn_ref.optim import SGD as SGD
from fastnn_ref.optim import Adam as Adam
from fastnn_ref.optim import AdamW as AdamW
from fastnn_ref.optim import Optimizer as Optimizer
from fastnn_ref.optim import RMSprop as RMSprop
