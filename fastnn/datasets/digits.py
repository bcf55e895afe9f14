"""scikit-learn's handwritten digits: 1,797 images of 8x8 pixels that come with the package, no download."""

from ..extras import extra
from .dataset import Dataset, split


def load_digits(test_size: float = 0.25, seed: int = 0) -> Dataset:
    """Handwritten digits, pixels from 0 to 1, the share ``test_size`` held out.

    The images are the test part of UCI's optdigits (``load_optdigits``).

    >>> from fastnn.datasets import load_digits
    >>> data = load_digits()
    >>> data.x_train.shape, data.x_test.shape, data.image_shape
    ((1347, 64), (450, 64), (1, 8, 8))
    """
    with extra("train"):
        from sklearn import datasets
    x, t = datasets.load_digits(return_X_y=True)
    return split("scikit-learn's digits", x / 16, t, test_size, seed, (1, 8, 8))
