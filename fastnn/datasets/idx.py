"""IDX, the format of the MNIST files: a magic number, the sizes, the values; big-endian, in C order.

    bytes 0-1   0 0
    byte  2     type of the values: 08 uint8, 09 int8, 0B int16, 0C int32, 0D float32, 0E float64
    byte  3     number of dimensions d
    4 + 4 d     the d sizes, uint32
    the rest    the values

Source: Y. LeCun, C. Cortes, C. Burges, "The MNIST database of handwritten digits", section "File formats".
"""

import math
import struct
from pathlib import Path

import numpy as np
import numpy.typing as npt

from . import files

TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
LONGEST_HEADER = 4 + 4 * 255


def read_idx(path: str | Path) -> npt.NDArray[np.generic]:
    """The array in an IDX file, plain or gzip; ValueError names the file, what it should be and what it is.

    No more is unpacked than the header says that there is.

    >>> from pathlib import Path
    >>> from fastnn.datasets.idx import read_idx
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "labels")
    ...     _ = path.write_bytes(bytes([0, 0, 8, 1, 0, 0, 0, 3, 7, 2, 1]))
    ...     read_idx(path)
    array([7, 2, 1], dtype=uint8)
    """
    with open(path, "rb") as stream:
        start, shape, dtype = parse_header(files.uncompressed(stream, str(path), LONGEST_HEADER), str(path))
        content = files.uncompressed(stream, str(path), start + math.prod(shape) * dtype.itemsize + 1)
    return parse_idx(content, str(path))


def parse_idx(content: bytes, name: str = "content") -> npt.NDArray[np.generic]:
    """The array in the bytes of an IDX file; ``name`` is for the message of the ValueError.

    >>> from fastnn.datasets.idx import parse_idx
    >>> parse_idx(bytes([0, 0, 8, 2, 0, 0, 0, 1, 0, 0, 0, 2, 5, 6]))
    array([[5, 6]], dtype=uint8)
    """
    start, shape, dtype = parse_header(content, name)
    size = math.prod(shape) * dtype.itemsize  # Python's integers: no overflow
    found = len(content) - start
    if found != size:
        said = "more" if found > size else f"{found:,}"
        raise ValueError(f"{name}: expected {size:,} bytes of values for shape {shape}, found {said}")
    try:
        return np.frombuffer(content, dtype, offset=start).reshape(shape).astype(dtype.newbyteorder("="))
    except ValueError as error:  # more dimensions, or larger ones, than NumPy has
        raise ValueError(f"{name}: expected a shape that NumPy can have, got {shape}: {error}") from error


def parse_header(content: bytes, name: str) -> tuple[int, tuple[int, ...], np.dtype[np.generic]]:
    """(where the values begin, their shape, their type); ValueError for what is no header."""
    magic = content[:4]
    if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] not in TYPES or magic[3] == 0:
        start_found = magic.hex(" ") or "an empty file"
        raise ValueError(f"{name}: expected an IDX file, which begins like 00 00 08 01, found {start_found}")
    dims, start = magic[3], 4 + 4 * magic[3]
    if len(content) < start:
        raise ValueError(f"{name}: expected {start} bytes of header for {dims} sizes, found {len(content)}")
    return start, struct.unpack(f">{dims}I", content[4:start]), np.dtype(TYPES[magic[2]])
