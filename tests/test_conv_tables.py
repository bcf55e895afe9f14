"""The index tables of the convolution, every pair of a window and a tap against the definition."""

import itertools

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fastnn import conv_tables

SIDE = st.integers(1, 6)
SMALL = st.integers(1, 3)


def geometry(image, kernel, stride, padding, dilation, behind=None):
    """The number of windows of each axis; None where the kernel does not fit. ``behind``: padding of the other side."""
    span = [size + pad + more - step * (taps - 1) for size, pad, more, step, taps in zip(
        image, padding, behind or padding, dilation, kernel, strict=True)]
    return None if min(span) < 1 else tuple((left - 1) // step + 1 for left, step in zip(span, stride, strict=True))


def copied(tables, image, channels, channel_size):
    """Each pixel's number, from 1, at its place in the planes; 0 where there is no pixel."""
    memory = np.zeros(channels * channel_size, int)
    number = np.arange(1, channels * image[0] * image[1] + 1).reshape(channels, *image)
    for c in range(channels):
        places = c * channel_size + tables.row_offset[:, None] + tables.col_offset
        assert len(np.unique(places)) == places.size
        memory[places] = number[c]
    return memory, number


def check(planes, image, channels, piece, met):
    """What the kernels would read at every window and tap is what met(window, tap) says: a pixel, or None."""
    tables = planes.tables(channels, piece)
    memory, number = copied(tables, image, channels, planes.channel_size)
    kernel = [len(taps) for taps in planes.taps]
    rows, cols = planes.windows
    taps = list(itertools.product(range(channels), *map(range, kernel)))
    assert len(tables.tap_offset) == len(taps)
    full = tables.taps[tables.tap_set_begin[tables.full_set] : tables.tap_set_begin[tables.full_set + 1]]
    assert full.tolist() == list(range(len(taps)))
    # In each piece, every window of it once, and those of one set side by side.
    assert len(tables.order) == len(tables.window_begin) == len(tables.tap_set) == rows * cols
    for begin in range(0, rows * cols, piece):
        part = slice(begin, begin + piece)
        assert sorted(tables.order[part]) == list(range(begin, min(begin + piece, rows * cols)))
        assert (np.diff(tables.tap_set[part]) >= 0).all()
    unpadded = planes.unpadded(channels, tables)
    assert (unpadded is None) == (tables.full_set == 0)
    # A single image is worked out row by row.
    assert (len(tables.row_set), len(tables.col_set)) == (rows, cols)
    of_row = [tables.taps[tables.tap_set_begin[k] : tables.tap_set_begin[k + 1]] for k in tables.row_set]
    assert all((np.diff(seen) > 0).all() for seen in of_row)
    for e, (order, begin, tap_set) in enumerate(zip(
            tables.order, tables.window_begin, tables.tap_set, strict=True)):
        i, j = divmod(int(order), cols)
        seen = tables.taps[tables.tap_set_begin[tap_set] : tables.tap_set_begin[tap_set + 1]]
        assert (np.diff(seen) > 0).all()                    # the chain of a sum keeps its order
        assert begin == i * planes.pitch + j
        for t, (c, r, s) in enumerate(taps):
            pixel = met((i, j), (r, s))
            want = number[c][pixel] if pixel is not None else 0
            assert memory[begin + tables.tap_offset[t]] == want, ((i, j), (c, r, s))
            assert want == 0 or t in seen, "a tap that sees a pixel is left out"
            assert want == 0 or t in of_row[i], "a tap that sees a pixel is left out of its row"
        if unpadded is not None:                            # just the pixels that it meets, in an image without planes
            part = slice(tables.tap_set_begin[tap_set], tables.tap_set_begin[tap_set + 1])
            places = unpadded.begin[e] + unpadded.taps[part]
            met_there = [number[c][met((i, j), (r, s))] for c, r, s in (taps[t] for t in seen)]
            assert number.ravel()[places].tolist() == met_there
            assert 0 <= unpadded.begin[e] < image[0] * image[1]
    assert tables.contiguous == (
        all(b - a == 1 for a, b in itertools.pairwise(tables.col_offset.tolist()))
        and all(b > a for a, b in itertools.pairwise(tables.row_offset.tolist())))


def check_both(image, kernel, stride, padding, dilation, channels, piece, behind=None):
    windows = geometry(image, kernel, stride, padding, dilation, behind)
    if windows is None:
        return
    arguments = image, kernel, stride, padding, dilation, windows

    def inside(places, shape):
        return tuple(places) if all(0 <= at < size for at, size in zip(places, shape, strict=True)) else None

    def of_input(window, tap):
        """Window i meets pixel i·stride + r·dilation − padding."""
        return inside([i * step + r * far - pad for i, step, r, far, pad in zip(
            window, stride, tap, dilation, padding, strict=True)], image)

    def of_gradient(pixel, flipped):
        """Pixel y meets du of the window i that reads y through tap r: y = i·stride + r·dilation − padding."""
        places = []
        for y, r, taps, step, far, pad in zip(pixel, flipped, kernel, stride, dilation, padding, strict=True):
            i, rest = divmod(y + pad - (taps - 1 - r) * far, step)
            places.append(-1 if rest else i)
        return inside(places, windows)

    check(conv_tables.input_planes(*arguments), image, channels, piece, of_input)
    check(conv_tables.gradient_planes(*arguments), windows, channels, piece, of_gradient)


@given(
    image=st.tuples(SIDE, SIDE), kernel=st.tuples(SMALL, SMALL), stride=st.tuples(SMALL, SMALL),
    padding=st.tuples(*[st.integers(0, 3)] * 2), dilation=st.tuples(SMALL, SMALL), channels=st.integers(1, 2),
    piece=st.integers(1, 9), behind=st.tuples(*[st.integers(0, 3)] * 2),
)  # fmt: skip
@example(image=(3, 4), kernel=(3, 3), stride=(2, 2), padding=(1, 1), dilation=(1, 1), channels=1, piece=96,
         behind=(1, 1))
@example(image=(9, 8), kernel=(3, 2), stride=(4, 5), padding=(2, 0), dilation=(1, 2), channels=3, piece=4,
         behind=(1, 3))
def test_every_window_and_tap(image, kernel, stride, padding, dilation, channels, piece, behind):
    check_both(image, kernel, stride, padding, dilation, channels, piece, behind)


def test_where_too_many_taps_would_be_listed(monkeypatch):
    """Then there is one set, which has every tap."""
    monkeypatch.setattr(conv_tables, "MAX_LISTED_TAPS", 0)
    arguments = (5, 6), (3, 3), (2, 1), (1, 2), (1, 1)
    check_both(*arguments, channels=2, piece=7)
    tables = conv_tables.input_planes(*arguments, geometry(*arguments)).tables(2, 7)
    assert tables.full_set == 0
    assert (tables.tap_set == 0).all()


def test_what_padding_and_gaps_spare():
    """A sixth of the products of 5 × 5 windows on 14 × 14 pixels meets padding; a stride of 2 spares 3/4 of dx."""
    def share(planes, which):
        tables = planes.tables(1, 96)
        lengths = np.diff(tables.tap_set_begin)[getattr(tables, which)]
        return lengths.mean() / len(tables.tap_offset)

    same = (14, 14), (5, 5), (1, 1), (2, 2), (1, 1), (14, 14)
    assert share(conv_tables.input_planes(*same), "tap_set") == pytest.approx((64 / 70) ** 2)
    assert share(conv_tables.input_planes(*same), "row_set") == pytest.approx(64 / 70)
    halved = (13, 13), (3, 3), (2, 2), (1, 1), (1, 1), (7, 7)
    assert share(conv_tables.gradient_planes(*halved), "tap_set") < 0.25
    assert share(conv_tables.gradient_planes(*halved), "row_set") < 0.5


@pytest.mark.parametrize("side", [4, 8, 12, 16, 28, 32])
def test_channels_stand_in_different_sets(side):
    """64 sets of a first-level cache take turns by lines, and a pixel of interleaved images is a line."""
    one = (side, side), (1, 1), (1, 1), (0, 0), (1, 1), (side, side)
    for planes in (conv_tables.input_planes(*one), conv_tables.gradient_planes(*one)):
        begins = planes.tables(64, 96).tap_offset
        assert len(np.unique(begins % 64)) >= 16


def test_the_drawing():
    """The example at the head of the module."""
    planes = conv_tables.input_planes((3, 4), (3, 3), (2, 2), (1, 1), (1, 1), (2, 2))
    assert (planes.height, planes.pitch, planes.channel_size) == (3, 3, 36)
    tables = planes.tables(1, 96)
    memory, _ = copied(tables, (3, 4), 1, planes.channel_size)
    letters = np.array(list(".abcdefghijkl"))[memory]
    for row in letters.reshape(4, 3, 3).transpose(1, 0, 2):
        assert "    ".join(" ".join(phase) for phase in row) in conv_tables.__doc__
    assert tables.tap_offset[5] == 19
    assert "".join(letters[19 + tables.window_begin[tables.order.argsort()]]) == "bdjl"


def test_no_interleaved_images_no_windows():
    """Fewer images than one block: the windows' tables would never be read."""
    tables = conv_tables.input_planes((9, 9), (3, 3), (1, 1), (1, 1), (1, 1), (9, 9)).tables(2, None)
    assert len(tables.order) == len(tables.tap_set) == len(tables.window_begin) == 0
    top, inside, bottom = (tables.taps[tables.tap_set_begin[k] : tables.tap_set_begin[k + 1]].tolist()
                           for k in tables.row_set[[0, 4, 8]])
    assert top == [3, 4, 5, 6, 7, 8, 12, 13, 14, 15, 16, 17]
    assert inside == list(range(18))
    assert bottom == [0, 1, 2, 3, 4, 5, 9, 10, 11, 12, 13, 14]
    corner = tables.tap_set_begin[tables.row_set[0] + tables.col_set[8] :]
    assert tables.taps[corner[0] : corner[1]].tolist() == [3, 4, 6, 7, 12, 13, 15, 16]
    assert tables.full_set == 3 * 4
