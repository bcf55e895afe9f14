"""What every data set here is: examples to train on, examples held out, and how to draw one."""

import math
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from fastnn_ref.shared import checks
from fastnn_ref.shared.arrays import as_number_array, check_values

from ..extras import extra

Array = npt.NDArray[np.generic]


@dataclass(frozen=True)
class Dataset:
    """Training and held-out examples of one task.

    x_train (n, features) and x_test (m, features) are float32; t_train (n,) and t_test (m,) are int64 class
    numbers from 0, or float64 values of a regression, (n,) or (n, outputs). ``image_shape`` (channels, height, width)
    says how to fold a row into a picture, None when it is not one.

    >>> import numpy as np
    >>> from fastnn.datasets import Dataset
    >>> data = Dataset("toy", np.zeros((3, 2)), np.array([0, 1, 1]), np.zeros((1, 2)), np.array([0]))
    >>> data.features, data.outputs
    (2, 2)
    """

    title: str
    x_train: Array
    t_train: Array
    x_test: Array
    t_test: Array
    image_shape: tuple[int, int, int] | None = None

    @property
    def features(self) -> int:
        """Numbers per example."""
        return int(self.x_train.shape[1])

    @property
    def regression(self) -> bool:
        """Are the targets values, not classes?"""
        return self.t_train.dtype.kind == "f"

    @property
    def outputs(self) -> int:
        """What a network for it ends in: an output for each class, or for each value of a regression."""
        return int(np.prod(self.t_train.shape[1:])) if self.regression else int(self.t_train.max()) + 1


def split(
    title: str,
    x: npt.ArrayLike,
    t: npt.ArrayLike,
    test_size: float = 0.25,
    seed: int = 0,
    image_shape: tuple[int, int, int] | None = None,
) -> Dataset:
    """Hold out the share ``test_size`` of the examples, each class in proportion (scikit-learn's split).

    ``x`` (n, features), ``t`` (n,) class numbers; with ``image_shape`` a row has as many features as an image values.

    >>> from fastnn.datasets import split
    >>> data = split("toy", [[0.0], [1.0]] * 4, [0, 1] * 4)
    >>> data.x_train.shape, data.x_test.shape
    ((6, 1), (2, 1))
    """
    with extra("train"):
        from sklearn.model_selection import train_test_split
    rows, classes = as_number_array("x", x), as_number_array("t", t)
    if rows.ndim != 2 or (image_shape is not None and rows.shape[1] != math.prod(image_shape)):
        features = "features" if image_shape is None else math.prod(image_shape)
        raise ValueError(f"x: expected (n, {features}), got {checks.format_shape(rows.shape)}")
    if classes.shape != (len(rows),):
        raise ValueError(f"t: expected ({len(rows)},), one class number for each row of x, "
                         f"got {checks.format_shape(classes.shape)}")
    is_class = (classes >= 0) & (classes == np.floor(classes)) & np.isfinite(classes)
    check_values("t", classes, ~is_class, "class numbers from 0")
    x, t = rows.astype(np.float32), classes.astype(np.int64)
    parts = train_test_split(x, t, test_size=test_size, random_state=as_seed(seed), stratify=t)
    x_train, x_test, t_train, t_test = parts
    return Dataset(title, x_train, t_train, x_test, t_test, image_shape)


def as_seed(value: object) -> int:
    """A seed of scikit-learn's, or of NumPy's generators."""
    return checks.as_integer("seed", value, 0, 2**32 - 1)


def mislabel(data: Dataset, share: float, seed: int = 0) -> Dataset:
    """The same data with another class, each equally likely, in a share of the training labels, 0 <= share <= 1.

    The held-out labels stay right. So one sees what a method makes of labels that are wrong.

    >>> from fastnn.datasets import mislabel, split
    >>> data = split("toy", [[0.0], [1.0]] * 8, [0, 1] * 8)
    >>> int((mislabel(data, 0.25).t_train != data.t_train).sum())
    3
    """
    share = checks.as_number("share", share, 0, 1)
    if data.regression or data.outputs < 2:
        raise ValueError(f"data: expected at least two classes, got {data.title}")
    random = np.random.default_rng(as_seed(seed))
    t = data.t_train.astype(np.int64)
    rows = random.permutation(len(t))[:round(share * len(t))]
    t[rows] = (t[rows] + random.integers(1, data.outputs, len(rows))) % data.outputs
    return replace(data, t_train=t)


def standardise(data: Dataset) -> Dataset:
    """The same data with mean 0 and deviation 1 in each feature, both measured on the training part only.

    A feature that never changes becomes 0.

    >>> from fastnn.datasets import split, standardise
    >>> standardised = standardise(split("toy", [[0.0], [2.0]] * 4, [0, 1] * 4))
    >>> float(standardised.x_train.min()), float(standardised.x_train.max())
    (-1.0, 1.0)
    """
    with extra("train"):
        from sklearn.preprocessing import StandardScaler
    scaler = StandardScaler().fit(data.x_train)
    return replace(data, x_train=scaler.transform(data.x_train), x_test=scaler.transform(data.x_test))
