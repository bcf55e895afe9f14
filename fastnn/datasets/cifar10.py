"""CIFAR-10: 50,000 + 10,000 colour photographs of 32x32 pixels, in the archive of binary files that it is published as.

An example is a byte with the class and 3,072 bytes of pixels: red, green, blue, each plane row by row.

Source: A. Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009.
"""

import io
import tarfile

import numpy as np

from . import files
from .dataset import Array, Dataset

MIRRORS = ("https://www.cs.toronto.edu/~kriz/",)
SHAPE = (3, 32, 32)
CLASSES = 10
EXAMPLES = 10_000               # in a file of the archive
TRAIN = tuple(f"cifar-10-batches-bin/data_batch_{number}.bin" for number in range(1, 6))
TEST = ("cifar-10-batches-bin/test_batch.bin",)

# name, bytes and sha256 of the gzip file
FILE = ("cifar-10-binary.tar", 170_052_171, "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd")


def load_cifar10(download: bool = False, progress: bool = False) -> Dataset:
    """CIFAR-10 with its own split, values from 0 to 1: x_train (50000, 3072), 614 MB, x_test (10000, 3072).

    ``cifar-10-binary.tar.gz`` is looked for in $FASTNN_DATA/cifar10, $FASTNN_DATA and the download cache (170 MB); for
    ``download``, ``progress`` and the errors see ``load_mnist``. The classes: airplane, automobile, bird, cat, deer,
    dog, frog, horse, ship, truck.

    >>> load_cifar10(download=True).x_test.shape  # doctest: +SKIP
    (10000, 3072)
    """
    name, size, sha256 = FILE
    file = files.DataFile(name, size, sha256, tuple(f"{mirror}{name}.gz" for mirror in MIRRORS), packed=True)
    with tarfile.open(fileobj=io.BytesIO(files.read("cifar10", file, download, progress))) as archive:
        train, test = (np.concatenate([_examples(archive, member) for member in members]) for members in (TRAIN, TEST))
    return Dataset("CIFAR-10", _pixels(train), _labels(train), _pixels(test), _labels(test), SHAPE)


def _examples(archive: tarfile.TarFile, member: str) -> Array:
    """(examples, 1 + 3072) bytes of one file; nothing is written to disk."""
    content = archive.extractfile(member)
    assert content is not None  # the archive is the published one: its sum was checked
    return np.frombuffer(content.read(), np.uint8).reshape(EXAMPLES, 1 + int(np.prod(SHAPE)))


def _labels(examples: Array) -> Array:
    return examples[:, 0].astype(np.int64)


def _pixels(examples: Array) -> Array:
    return examples[:, 1:].astype(np.float32) / np.float32(255)
