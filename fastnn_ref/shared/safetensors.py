"""The file format safetensors: named arrays and a few texts in one file, which nothing in it can make run code.

    8 bytes     length N of the header, little-endian
    N bytes     the header, JSON: {"0.weight": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}, …,
                "__metadata__": {name: text}}, and spaces up to a multiple of 8
    the rest    the values of all arrays, little-endian, without holes; offsets count from here

Every file is read as one that somebody may have made to do harm: nothing in it is believed before it is checked.

Source: https://github.com/huggingface/safetensors, section "Format". It is read and written here, not by the package of
that name, so that saving needs NumPy alone; tests/test_checkpoint.py holds the two against each other.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Never

import numpy as np
import numpy.typing as npt

from .checks import LARGEST

Array = npt.NDArray[Any]
Buffer = bytes | memoryview

DTYPES = {
    "BOOL": "?", "U8": "u1", "I8": "i1", "U16": "<u2", "I16": "<i2", "U32": "<u4", "I32": "<i4", "U64": "<u8",
    "I64": "<i8", "F16": "<f2", "F32": "<f4", "F64": "<f8",
}
BFLOAT16 = {"BF16": "<u2"}                          # the upper half of a float32, which NumPy does not have
NAMES = {np.dtype(code): name for name, code in DTYPES.items()}
METADATA = "__metadata__"
LARGEST_HEADER = 100_000_000                        # bytes; the other readers' limit, too
FIELDS = {"dtype", "shape", "data_offsets"}


# ---- writing ----


def pack(tensors: Mapping[str, Array], metadata: Mapping[str, str]) -> list[Buffer]:
    """The file as pieces to be written one after the other: the header, and each array's own memory.

    TypeError for an array that the format does not have, such as one of complex numbers or objects.

    >>> import numpy as np
    >>> from fastnn_ref.shared.safetensors import pack
    >>> pack({"a": np.array([1.5])}, {})[0][8:]
    b'{"a":{"dtype":"F64","shape":[1],"data_offsets":[0,8]}}  '
    """
    arrays = {name: as_stored(name, array) for name, array in tensors.items()}
    header: dict[str, Any] = {METADATA: dict(metadata)} if metadata else {}
    pieces, end = [], 0
    for name, array in sorted(arrays.items(), key=lambda item: -item[1].itemsize):      # so that all are aligned
        start, end = end, end + array.nbytes
        header[name] = {"dtype": NAMES[array.dtype], "shape": list(array.shape), "data_offsets": [start, end]}
        pieces.append(array.reshape(-1).view(np.uint8).data)
    text = format_json(header).encode()
    text += b" " * (-len(text) % 8)
    if len(text) > LARGEST_HEADER:
        raise ValueError(f"header: expected at most {LARGEST_HEADER} bytes, got {len(text)}")
    return [len(text).to_bytes(8, "little") + text, *pieces]


def as_stored(name: str, array: Array) -> Array:
    """Contiguous and little-endian."""
    dtype = array.dtype.newbyteorder("<")
    if dtype not in NAMES:
        raise TypeError(f"{name}: expected an array of bools, integers or floats, got dtype {array.dtype}")
    return np.require(array, dtype, "C")


# ---- reading ----


def unpack(content: bytes, *, bfloat16: bool = False) -> tuple[dict[str, Array], dict[str, str]]:
    """The arrays, which are read-only and stand in ``content``, and the metadata; ValueError for any other file.

    With ``bfloat16``, arrays of that type are read, too, as float32 of the same values.
    """
    codes = DTYPES | BFLOAT16 if bfloat16 else DTYPES
    header, start = read_header(content)
    metadata = as_metadata(header.pop(METADATA, {}))
    places = {name: as_place(name, entry, codes) for name, entry in header.items()}
    end = 0
    for name, (_, _, (first, last)) in sorted(places.items(), key=lambda item: item[1][2]):
        if first != end:
            raise ValueError(f"{name}: expected values from byte {end} on, where the array before ends, got {first}")
        end = last
    if len(content) - start != end:
        raise ValueError(f"expected {end} bytes of values, got {len(content) - start}")
    tensors = {name: np.frombuffer(content, dtype, math.prod(shape), start + first).reshape(shape)
               for name, (dtype, shape, (first, _)) in places.items()}
    return {name: widened(array) if header[name]["dtype"] in BFLOAT16 else array
            for name, array in tensors.items()}, metadata


def widened(halves: Array) -> Array:
    """The float32 whose upper halves these are."""
    return (halves.astype(np.uint32) << 16).view(np.float32)


def read_header(content: bytes) -> tuple[dict[str, Any], int]:
    """The header, and where it ends."""
    size = int.from_bytes(content[:8], "little")
    if len(content) < 8 or size > LARGEST_HEADER or content[8:9] != b"{":
        raise ValueError("expected a safetensors file, got one that does not begin like one")
    if 8 + size > len(content):
        raise ValueError(f"expected a header of {size} bytes, got {len(content) - 8}: the file is cut short")
    try:
        header = parse_json(content[8:8 + size].decode())
    except ValueError as error:
        raise ValueError(f"expected a header in JSON, got {error}") from None
    if not isinstance(header, dict):
        raise ValueError(f"expected a header that is an object, got {type(header).__name__}")
    return header, 8 + size


def format_json(value: Any) -> str:
    """JSON in ASCII."""
    import json  # only where a file is written or read: import fastnn takes the less time

    return json.dumps(value, separators=(",", ":"))


def parse_json(text: str) -> Any:
    """JSON without repeated keys; ValueError, too, for what is nested too deeply."""
    import json

    try:
        return json.loads(text, object_pairs_hook=without_repeats)
    except RecursionError:
        raise ValueError("one that is nested too deeply") from None


def without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A dict; readers would not agree on which of two values counts."""
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"the key {key[:100]!r} twice")
        found[key] = value
    return found


def as_metadata(value: Any) -> dict[str, str]:
    """A dict of texts."""
    if not isinstance(value, dict) or not all(isinstance(text, str) for text in value.values()):
        raise ValueError(f"{METADATA}: expected texts by name, got something else")
    return value


def as_place(name: str, entry: Any, codes: Mapping[str, str]) -> tuple[np.dtype[Any], tuple[int, ...], tuple[int, int]]:
    """dtype, shape and offsets of one array, which agree."""
    def fail(wanted: str, got: object) -> Never:
        raise ValueError(f"{name[:100]}: expected {wanted}, got {str(got)[:100]}")

    if not isinstance(entry, dict) or set(entry) != FIELDS:
        fail(f"an object with {', '.join(sorted(FIELDS))}", entry)
    code, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(code, str) or code not in codes:
        fail(f"a dtype of {', '.join(codes)}", code)
    if not are_sizes(shape) or math.prod(max(dim, 1) for dim in shape) > LARGEST or len(shape) > 32:
        fail("a shape of at most 2**40 values", shape)
    dtype = np.dtype(codes[code])
    if not are_sizes(offsets) or len(offsets) != 2 or offsets[1] - offsets[0] != math.prod(shape) * dtype.itemsize:
        fail(f"two offsets {math.prod(shape) * dtype.itemsize} bytes apart", offsets)
    return dtype, tuple(shape), (offsets[0], offsets[1])


def are_sizes(value: Any) -> bool:
    """A list of whole numbers >= 0; bools are none."""
    return isinstance(value, list) and all(type(each) is int and each >= 0 for each in value)
