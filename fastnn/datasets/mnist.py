"""MNIST: 60,000 + 10,000 handwritten digits of 28x28 pixels, in the four IDX files it is published as."""

import numpy as np

from . import files
from .dataset import Array, Dataset
from .idx import parse_idx

MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
)

# name, bytes and sha256 of the uncompressed content
FILES = (
    ("train-images-idx3-ubyte", 47040016, "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db"),
    ("train-labels-idx1-ubyte", 60008, "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5"),
    ("t10k-images-idx3-ubyte", 7840016, "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7"),
    ("t10k-labels-idx1-ubyte", 10008, "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2"),
)


def load_mnist(download: bool = False, progress: bool = False) -> Dataset:
    """MNIST with its own split, pixels from 0 to 1: x_train (60000, 784), x_test (10000, 784).

    The four files, plain or gzip, are looked for in $FASTNN_DATA/mnist, $FASTNN_DATA and the download cache;
    ``download=True`` fetches what is missing (11 MB), with a bar if ``progress=True``. Raises
    FileNotFoundError when a file is nowhere, ValueError when its content is not MNIST's, both saying how to
    get it.

    >>> load_mnist(download=True).x_test.shape  # doctest: +SKIP
    (10000, 784)
    """
    x_train, t_train, x_test, t_test = (_read(*file, download, progress) for file in FILES)
    t_train, t_test = t_train.astype(np.int64), t_test.astype(np.int64)
    return Dataset("MNIST", _rows(x_train), t_train, _rows(x_test), t_test, (1, *x_train.shape[1:]))


def _read(name: str, size: int, sha256: str, download: bool, progress: bool) -> Array:
    file = files.DataFile(name, size, sha256, tuple(f"{mirror}{name}.gz" for mirror in MIRRORS))
    return parse_idx(files.read("mnist", file, download, progress), name)


def _rows(images: Array) -> Array:
    """(n, 28, 28) bytes -> (n, 784) values from 0 to 1."""
    return images.reshape(len(images), -1).astype(np.float32) / np.float32(255)
