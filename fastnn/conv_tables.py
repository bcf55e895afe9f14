"""Where a convolution finds its pixels: the index tables of the kernels, in plain NumPy.

A correlation is a sum over taps. With stride (sh, sw), window (i, j) and tap (r, s) meet pixel (i·sh + r, j·sw + s) of
the padded image. The kernels never build the matrix of these pixels. They copy each channel once into *planes*, one for
each phase of the stride: padded pixel (y, x) goes to plane (y mod sh, x mod sw), row y // sh, column x // sw. For 3 × 4
pixels a … l with padding 1, stride 2 and a 3 × 3 kernel:

    padded image        planes, 3 rows of pitch 3
      x 0 1 2 3 4 5       (0, 0)   (0, 1)   (1, 0)   (1, 1)
    y                     starts   starts   starts   starts
    0   . . . . . .       at 0     at 9     at 18    at 27
    1   . a b c d .
    2   . e f g h .        . . .    . . .    . b d    a c .
    3   . i j k l .        . f h    e g .    . j l    i k .
    4   . . . . . .        . . .    . . .    . . .    . . .

Now a tap is one distance for all windows: window (i, j) begins at place i·pitch + j, and its tap (r, s) stands
``tap_offset`` further, which is where padded pixel (r, s) is. Tap (1, 2) stands in plane (1, 0), column 1, at 19: the
windows (0, 0), (0, 1), (1, 0), (1, 1) find b, d, j, l at 19, 20, 22, 23. So neighbouring windows read neighbouring
values, whatever the stride is. Dilation only moves the taps apart.

A channel takes ``channel_size`` values, at least sh · sw · height · pitch; tap t counts over (channel of the group, r,
s). Taps that meet nothing but zeros (padding, the gaps of a stride) can be left out: windows that see the same taps are
sorted together, and each *tap set* lists what such windows see. Of single images, whose neighbouring windows are worked
out together, only the rows are told apart: such a set has the taps that some window of the row sees. The last set has
every tap.

The way back is such a correlation, too: dx = du, spread by the stride and padded, correlated with the flipped filters.
``input_planes`` and ``gradient_planes`` are the two. Interleaved images whose windows have no tap but those that meet a
pixel can be read where they stand: ``unpadded`` says where. kernels/conv_layout.inc.c and its neighbours read the
tables.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Pair = tuple[int, int]

MAX_LISTED_TAPS = 2**18     # entries of all tap sets together; where there would be more, every window gets every tap


class Tables(NamedTuple):
    """What the kernels read. Places count values of one image from the begin of a channel's first plane."""

    row_offset: Array       # pixel (p, q) of the image stands at row_offset[p] + col_offset[q]
    col_offset: Array
    tap_offset: Array       # tap t of a window stands tap_offset[t] behind the window's begin
    order: Array            # windows by number i · columns + j, piece by piece, those of one tap set together
    window_begin: Array     # where window order[e] begins
    tap_set: Array          # which set window order[e] has
    row_set: Array          # which set holds all that the windows of each row see, in a single image
    col_set: Array          # and how many sets further that of each column stands
    taps: Array             # the sets, one after the other, taps in their order
    tap_set_begin: Array    # set k is taps[tap_set_begin[k] : tap_set_begin[k + 1]]

    @property
    def full_set(self) -> int:
        """The set with every tap."""
        return len(self.tap_set_begin) - 2

    @property
    def contiguous(self) -> bool:
        """Whether each row of the image stands side by side, one row behind the other: it can be copied row by row."""
        return bool((np.diff(self.col_offset) == 1).all() and (np.diff(self.row_offset) > 0).all())


class Unpadded(NamedTuple):
    """Where windows find their pixels in the image as it came, without planes."""

    begin: Array            # window order[e] meets its first pixel here
    taps: Array             # and that of entry k of ``taps`` so much further


class Planes(NamedTuple):
    """The geometry of a correlation; each pair is (rows, columns)."""

    windows: Pair
    stride: Pair
    pixels: tuple[Array, Array]     # the rows and columns of the padded image where those of the image stand
    taps: tuple[Array, Array]       # the rows and columns of the taps, from the window's begin

    @property
    def height(self) -> int:
        """Rows of each plane."""
        return self._length(0)

    @property
    def pitch(self) -> int:
        """Values from one row of a plane to the next."""
        return self._length(1)

    def _length(self, axis: int) -> int:
        """Far enough for the last tap of the last window and for the last pixel."""
        stride = self.stride[axis]
        last_tap, last_pixel = int(self.taps[axis].max()) // stride, int(self.pixels[axis].max()) // stride
        return max(self.windows[axis] + last_tap, last_pixel + 1)

    @property
    def channel_size(self) -> int:
        """Values from one channel to the next: all its planes, and some more where few sets would hold all channels."""
        size = self.stride[0] * self.stride[1] * self.height * self.pitch
        return size + 4 * _share_sets(size)

    def row_place(self, y: Array) -> Array:
        """Where row y of the padded image begins."""
        stride_h, stride_w = self.stride
        return (y % stride_h * stride_w * self.height + y // stride_h) * self.pitch

    def col_place(self, x: Array) -> Array:
        """How much further its column x stands."""
        stride_w = self.stride[1]
        return x % stride_w * self.height * self.pitch + x // stride_w

    def sees(self, axis: int) -> Array:
        """(window, tap) → does the tap's row, or column, meet one of the image?"""
        return np.isin(self._reached(axis), self.pixels[axis])

    def _reached(self, axis: int) -> Array:
        """(window, tap) → the row, or column, of the padded image."""
        return np.arange(self.windows[axis])[:, None] * self.stride[axis] + self.taps[axis]

    def tables(self, channels: int, piece: int | None) -> Tables:
        """The tables for groups of ``channels`` channels, sorted within pieces of ``piece`` windows.

        ``piece=None``: no images are interleaved, so nobody asks for windows one by one; their tables stay empty.
        """
        (tap_rows, tap_cols), (rows, cols) = self.taps, self.windows
        in_channel = self.row_place(tap_rows)[:, None] + self.col_place(tap_cols)
        tap_offset = (np.arange(channels)[:, None, None] * self.channel_size + in_channel).ravel()
        row_set, col_set, sets = self._tap_sets(channels)
        # By piece, in a piece by set, in a set by number.
        number = np.arange(0 if piece is None else rows * cols)
        set_of_window = row_set[number // cols] + col_set[number % cols]
        order = np.lexsort((number % cols, set_of_window, number // (piece or 1)))
        found = Tables(
            row_offset=self.row_place(self.pixels[0]), col_offset=self.col_place(self.pixels[1]), tap_offset=tap_offset,
            order=order, window_begin=order // cols * self.pitch + order % cols,
            tap_set=set_of_window[order], row_set=row_set, col_set=col_set,
            taps=np.concatenate(sets), tap_set_begin=np.cumsum([0, *map(len, sets)]),
        )  # fmt: skip
        return Tables(*(np.ascontiguousarray(table, np.int64) for table in found))

    def unpadded(self, channels: int, tables: Tables) -> Unpadded | None:
        """For the windows of ``tables``, which has some; None if they have taps that meet no pixel."""
        height, width = map(len, self.pixels)
        if tables.full_set == 0:
            return None
        (rows, row), (cols, col) = self._met(0), self._met(1)
        down, across = np.divmod(tables.order, self.windows[1])
        taps = np.zeros_like(tables.taps)
        for tap_set, e in zip(*np.unique(tables.tap_set, return_index=True), strict=True):
            i, j = down[e], across[e]
            distance = (np.arange(channels)[:, None, None] * height + (rows[i] - row[i])[:, None]) * width + (
                cols[j] - col[j])
            part = slice(tables.tap_set_begin[tap_set], tables.tap_set_begin[tap_set + 1])
            taps[part] = distance.ravel()[tables.taps[part]]
        return Unpadded(row[down] * width + col[across], taps)

    def _met(self, axis: int) -> tuple[Array, Array]:
        """(window, tap) → the row, or column, of the image that it meets, if it meets one; each window's first one."""
        met, seen = np.searchsorted(self.pixels[axis], self._reached(axis)), self.sees(axis)
        return met, np.where(seen.any(axis=1), met[np.arange(len(met)), seen.argmax(axis=1)], 0)

    def _tap_sets(self, channels: int) -> tuple[Array, Array, list[Array]]:
        """(set of each row of windows, how much further each column's is, the taps of each set).

        A window sees tap (r, s) if its rows see r and its columns see s. So there is a set for each pair of a different
        row of ``sees(0)`` and a different row of ``sees(1)``; in front of each row's there is what some window sees.
        The last set has every tap.
        """
        row_patterns, row_pattern = np.unique(self.sees(0), axis=0, return_inverse=True)
        col_patterns, col_pattern = np.unique(self.sees(1), axis=0, return_inverse=True)
        columns = [self.sees(1).any(axis=0), *col_patterns]
        every = np.arange(channels * len(self.taps[0]) * len(self.taps[1]))
        if len(row_patterns) * len(columns) * len(every) > MAX_LISTED_TAPS:
            return np.zeros(self.windows[0], np.int64), np.zeros(self.windows[1], np.int64), [every]
        sets = [np.flatnonzero(np.tile(np.outer(row, col).ravel(), channels))
                for row in row_patterns for col in columns]
        return row_pattern.ravel() * len(columns), 1 + col_pattern.ravel(), [*sets, every]


def _share_sets(size: int) -> bool:
    """Do channels so many values, or interleaved images' lines, apart stand in few sets of the caches?

    A set holds eight lines, and 64 sets of a first-level cache take turns. Convolutions of 1 × 1 over 64 and more
    channels of 8 × 8 to 32 × 32 pixels take 0.6 to 0.9 of the time, their steps 0.75 to 0.9, if this is avoided.
    """
    return size % 16 == 0


def input_planes(image: Pair, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair, windows: Pair) -> Planes:
    """Forward, and dW: each of the ``windows`` windows of the padded image meets the kernel's taps."""
    return Planes(
        windows, stride,
        _pair(np.arange(size) + pad for size, pad in zip(image, padding, strict=True)),
        _pair(np.arange(size) * step for size, step in zip(kernel, dilation, strict=True)),
    )  # fmt: skip


def gradient_planes(image: Pair, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair, windows: Pair) -> Planes:
    """Backward, and dx: a window for each pixel of the image, over du with its rows and columns ``stride`` apart.

    Pixel y of the image got du at i through tap r where i·stride + r·dilation − padding = y. So the window of y begins
    (kernel − 1)·dilation − padding before y, and its taps are the kernel's, flipped. ``edge`` is the border that the
    first windows need; where the padding is larger than the kernel, the taps are moved instead.
    """
    before = [(size - 1) * step - pad for size, pad, step in zip(kernel, padding, dilation, strict=True)]
    edge = [max(rows, 0) for rows in before]
    return Planes(
        image, (1, 1),
        _pair(np.arange(size) * step + border for size, step, border in zip(windows, stride, edge, strict=True)),
        _pair(np.arange(size) * step + border - rows
              for size, step, border, rows in zip(kernel, dilation, edge, before, strict=True)),
    )  # fmt: skip


def _pair(axes: Any) -> tuple[Array, Array]:
    rows, cols = axes
    return rows, cols
