# The engine mirrors the reference in names, signatures and defaults, so the annotations there are the types here.
from fastnn_ref.rmsnorm import RMSNorm as RMSNorm
