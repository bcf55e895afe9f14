"""MNIST and Fashion-MNIST: 60,000 + 10,000 pictures of 28x28 pixels, in the four IDX files that each is published as.

Sources: Y. LeCun, C. Cortes, C. Burges, "The MNIST database of handwritten digits"; H. Xiao, K. Rasul, R. Vollgraf,
"Fashion-MNIST: a Novel Image Dataset for Benchmarking Machine Learning Algorithms", arXiv:1708.07747.
"""

from collections.abc import Sequence

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

FASHION_MIRRORS = (
    "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
    "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
)

# name, bytes and sha256 of the gzip file
FASHION_FILES = (
    ("train-images-idx3-ubyte", 26421880, "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84"),
    ("train-labels-idx1-ubyte", 29515, "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845"),
    ("t10k-images-idx3-ubyte", 4422102, "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073"),
    ("t10k-labels-idx1-ubyte", 5148, "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5"),
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
    found = [files.DataFile(name, size, sha256, tuple(f"{mirror}{name}.gz" for mirror in MIRRORS))
             for name, size, sha256 in FILES]
    return _load("MNIST", "mnist", found, download, progress)


def load_fashion_mnist(download: bool = False, progress: bool = False) -> Dataset:
    """Fashion-MNIST with its own split, pictures of ten kinds of clothes: x_train (60000, 784), x_test (10000, 784).

    The four gzip files are looked for in $FASTNN_DATA/fashion-mnist, $FASTNN_DATA and the download cache (31 MB); for
    ``download``, ``progress`` and the errors see ``load_mnist``. The classes: T-shirt, trouser, pullover, dress, coat,
    sandal, shirt, sneaker, bag, ankle boot.

    >>> load_fashion_mnist(download=True).x_test.shape  # doctest: +SKIP
    (10000, 784)
    """
    found = [files.DataFile(name, size, sha256, tuple(f"{mirror}{name}.gz" for mirror in FASHION_MIRRORS), packed=True)
             for name, size, sha256 in FASHION_FILES]
    return _load("Fashion-MNIST", "fashion-mnist", found, download, progress)


def _load(title: str, folder: str, found: Sequence[files.DataFile], download: bool, progress: bool) -> Dataset:
    """Images and labels to train on, then those held out."""
    x_train, t_train, x_test, t_test = (
        parse_idx(files.read(folder, file, download, progress), file.name) for file in found)
    t_train, t_test = t_train.astype(np.int64), t_test.astype(np.int64)
    return Dataset(title, _rows(x_train), t_train, _rows(x_test), t_test, (1, *x_train.shape[1:]))


def _rows(images: Array) -> Array:
    """(n, 28, 28) bytes -> (n, 784) values from 0 to 1."""
    return images.reshape(len(images), -1).astype(np.float32) / np.float32(255)
