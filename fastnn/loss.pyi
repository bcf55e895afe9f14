# The engine mirrors the reference in names, signatures and defaults, so the annotations there are the types here.
from fastnn_ref.loss import BCEWithLogitsLoss as BCEWithLogitsLoss
from fastnn_ref.loss import CrossEntropyLoss as CrossEntropyLoss
from fastnn_ref.loss import HingeLoss as HingeLoss
from fastnn_ref.loss import HuberLoss as HuberLoss
from fastnn_ref.loss import L1Loss as L1Loss
from fastnn_ref.loss import Loss as Loss
from fastnn_ref.loss import MSELoss as MSELoss
from fastnn_ref.loss import NLLLoss as NLLLoss
from fastnn_ref.loss import PoissonNLLLoss as PoissonNLLLoss
