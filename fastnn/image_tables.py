"""Where pools and upsampling find their pixels: index tables of the kernels, in plain NumPy, an axis at a time.

A window of a pool has the rows from … to − 1, in steps of the dilation, by the columns that a second table says. What
lies outside the image is left out of it, so padding, ceil_mode and the bins of an adaptive pool are only numbers here.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


class Windows(NamedTuple):
    """The windows of one axis."""

    begin: Array        # of the window's pixels, the first, and what is behind the last
    end: Array
    size: Array         # how many count where a sum is divided

    def tiles(self, side: int) -> bool:
        """Do they cover the image without gap, overlap or rest?"""
        return bool(self.begin[0] == 0 and self.end[-1] == side and (self.begin[1:] == self.end[:-1]).all())

    def are_pairs(self, side: int) -> bool:
        """Are they so, and each of two pixels? Padding and bins make unequal ones."""
        return self.tiles(side) and bool((self.end - self.begin == 2).all())


def windows(side: int, count: int, kernel: int, stride: int, padding: tuple[int, int], dilation: int,
            count_include_pad: bool) -> Windows:
    """``count`` windows of ``kernel`` pixels; they count those of the padded image, or of the image."""
    before, after = padding if count_include_pad else (0, 0)
    start = np.arange(count) * stride - padding[0]
    stop = start + (kernel - 1) * dilation + 1
    begin = start + np.maximum(-(start // dilation), 0) * dilation      # the first tap that is no padding
    return contiguous(begin, np.minimum(stop, side), np.minimum(stop, side + after) - np.maximum(start, -before))


def bins(side: int, count: int) -> Windows:
    """``count`` bins that cover the image."""
    i = np.arange(count)
    begin, end = i * side // count, -(-(i + 1) * side // count)
    return contiguous(begin, end, end - begin)


def contiguous(*tables: Array) -> Windows:
    return Windows(*(np.ascontiguousarray(table, np.int64) for table in tables))


class Places(NamedTuple):
    """Where the new rows, or columns, of a larger image look: at low, and for a fraction of high."""

    low: Array
    high: Array
    fraction: Array


def places(side: int, count: int, scale: float | None, mode: str, align_corners: bool) -> Places:
    """The places of ``count`` new rows, or columns, in ``side`` old ones, with a scale or from end to end."""
    i = np.arange(count)
    if mode == "nearest":
        place = i * side // count if scale is None else i / scale
    elif align_corners:
        place = i * (side - 1) / max(count - 1, 1)
    else:
        place = np.maximum((i + 0.5) * (side / count if scale is None else 1 / scale) - 0.5, 0)
    low = np.minimum(np.floor(place), side - 1)
    return Places(
        np.ascontiguousarray(low, np.int64), np.ascontiguousarray(np.minimum(low + 1, side - 1), np.int64),
        np.ascontiguousarray(np.minimum(place - low, 1), np.float64))
