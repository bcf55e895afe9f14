# The engine mirrors the book, names, signatures and defaults (tests/test_mirror.py), so the book's annotations are the types.
from fastnn_ref.loss import BCEWithLogitsLoss as BCEWithLogitsLoss
from fastnn_ref.loss import CrossEntropyLoss as CrossEntropyLoss
from fastnn_ref.loss import HuberLoss as HuberLoss
from fastnn_ref.loss import L1Loss as L1Loss
from fastnn_ref.loss import Loss as Loss
from fastnn_ref.loss import MSELoss as MSELoss
