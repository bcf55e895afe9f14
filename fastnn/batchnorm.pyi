# The engine mirrors the reference in names, signatures and defaults, so the annotations there are the types here.
from fastnn_ref.batchnorm import BatchNorm1d as BatchNorm1d
from fastnn_ref.batchnorm import BatchNorm2d as BatchNorm2d
