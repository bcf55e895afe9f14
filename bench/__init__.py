"""Times, in turns. OpenBLAS's threads go to sleep soon after their work, so that they do not run in another's turn."""

import os

os.environ.setdefault("OPENBLAS_THREAD_TIMEOUT", "20")         # 2^20 cycles instead of 2^26; read when NumPy is loaded
