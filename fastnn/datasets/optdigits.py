"""UCI optdigits: 3,823 + 1,797 handwritten digits of 8x8 pixels; nobody wrote for both parts.

Source: E. Alpaydin, C. Kaynak, "Optical Recognition of Handwritten Digits", UCI Machine Learning Repository.
"""

import numpy as np

from . import files
from .dataset import Array, Dataset

MIRRORS = ("https://archive.ics.uci.edu/ml/machine-learning-databases/optdigits/",)

# name, bytes and sha256
FILES = (
    ("optdigits.tra", 563_639, "e1b683cc211604fe8fd8c4417e6a69f31380e0c61d4af22e93cc21e9257ffedd"),
    ("optdigits.tes", 264_712, "6ebb3d2fee246a4e99363262ddf8a00a3c41bee6014c373ed9d9216ba7f651b8"),
)


def load_optdigits(download: bool = False, progress: bool = False) -> Dataset:
    """optdigits with its own split, pixels from 0 to 1: x_train (3823, 64), x_test (1797, 64).

    ``optdigits.tra`` and ``optdigits.tes`` are looked for in $FASTNN_DATA/optdigits, $FASTNN_DATA and the
    download cache; for ``download``, ``progress`` and the errors see ``load_mnist``.

    >>> load_optdigits(download=True).x_test.shape  # doctest: +SKIP
    (1797, 64)
    """
    train, test = (_read(*file, download, progress) for file in FILES)
    return Dataset("UCI optdigits", _pixels(train), train[:, 64], _pixels(test), test[:, 64], (1, 8, 8))


def _read(name: str, size: int, sha256: str, download: bool, progress: bool) -> Array:
    """One image a line: 64 pixels from 0 to 16, then the label -> (n, 65)."""
    file = files.DataFile(name, size, sha256, tuple(mirror + name for mirror in MIRRORS))
    lines = files.read("optdigits", file, download, progress).decode("ascii").splitlines()
    return np.loadtxt(lines, np.int64, delimiter=",", ndmin=2)


def _pixels(rows: Array) -> Array:
    return rows[:, :64].astype(np.float32) / np.float32(16)
