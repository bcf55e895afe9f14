"""The file format: what the package of that name writes is read, what is written here it reads, all else is refused."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastnn_ref.shared.safetensors import DTYPES, METADATA, pack, unpack
from tests.check import same

TENSORS = {
    **{name: np.arange(6).reshape(2, 3).astype(code) for name, code in DTYPES.items()},
    "0.weight": np.linspace(-1, 1, 15, dtype=np.float32).reshape(3, 5).T,       # not contiguous
    "big-endian": np.array([1.5, -2.25], ">f8"), "number": np.array(7.0), "nothing": np.zeros((0, 3), np.float32),
    "Wörter": np.array([np.nan, -0.0, np.inf]),
}  # fmt: skip
WORDS = {"a": 'quotes " and \\', "": "ключ"}


def written(tensors, metadata=None):
    return b"".join(pack(tensors, metadata or {}))


def equal(found, wanted):
    assert found.keys() == wanted.keys()
    for name, array in wanted.items():
        same(np.asarray(found[name]), array.astype(array.dtype.newbyteorder("<")), name)


def test_round_trip():
    tensors, metadata = unpack(written(TENSORS, WORDS))
    equal(tensors, TENSORS)
    assert metadata == WORDS
    assert not any(array.flags.writeable for array in tensors.values())
    assert unpack(written({})) == ({}, {})


def test_the_other_library_reads_it(tmp_path):
    other = pytest.importorskip("safetensors.numpy")
    (tmp_path / "file").write_bytes(written(TENSORS, WORDS))
    equal(other.load_file(tmp_path / "file"), TENSORS)
    with other.safe_open(tmp_path / "file", "numpy") as file:
        assert file.metadata() == WORDS


def test_what_the_other_library_writes():
    other = pytest.importorskip("safetensors.numpy")
    plain = {name: np.require(array, array.dtype.newbyteorder("="), "C") for name, array in TENSORS.items()}
    tensors, metadata = unpack(other.save(plain, WORDS))
    equal(tensors, TENSORS)
    assert metadata == WORDS
    assert unpack(other.save(plain))[1] == {}


def test_values_are_aligned():
    """The header is a multiple of 8 bytes, and no value stands before one that is wider."""
    content = written({"a": np.zeros(3, np.uint8), "b": np.zeros(1), "c": np.zeros(1, np.float32)}, {"m": "x"})
    size = int.from_bytes(content[:8], "little")
    assert size % 8 == 0
    header = json.loads(content[8 : 8 + size])
    assert all(header[name]["data_offsets"][0] % width == 0 for name, width in (("a", 1), ("b", 8), ("c", 4)))


@pytest.mark.parametrize("array", [np.array([1j]), np.array(["a"]), np.array([None]), np.array([1], "M8[s]")])
def test_arrays_that_it_does_not_have(array):
    with pytest.raises(TypeError, match="x: expected an array of bools, integers or floats, got dtype"):
        pack({"x": array}, {})


# ---- files made to do harm ----


def made(header, values=b"", size=None):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return (len(text) if size is None else size).to_bytes(8, "little") + text + values


def entry(dtype="F32", shape=(2,), offsets=(0, 8), **more):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets), **more}


HOSTILE = [
    (b"", "does not begin like one"),
    (b"PK\x03\x04" + 60 * b"\x00", "does not begin like one"),                  # torch.save's, np.savez's
    (b"\x89HDF\r\n\x1a\n" + 60 * b"\x00", "does not begin like one"),           # Keras's .h5
    (made({}, size=2**63), "does not begin like one"),
    (made({}, size=100_000_001), "does not begin like one"),
    (made({}, size=9), "expected a header of 9 bytes, got 2: the file is cut short"),
    (made(b" {}"), "does not begin like one"),
    (made(b"{}x"), "expected a header in JSON"),
    (made(b'{"a": NaN}'), r"a: expected an object with data_offsets, dtype, shape, got nan"),
    (made(b'{"\xff": 1}'), "expected a header in JSON"),
    (made(b'{"a":' * 100_000), "nested too deeply"),
    (made(b'{"a":' + b"9" * 5000 + b"}"), "expected a header in JSON"),
    (made(b'{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"a":{"dtype":"F32","shape":[2],'
          b'"data_offsets":[0,8]}}', bytes(8)), "the key 'a' twice"),
    (made(b'{"a":{"dtype":"F32","dtype":"F64","shape":[2],"data_offsets":[0,8]}}', bytes(8)), "the key 'dtype' twice"),
    (made(b'{"__metadata__":{"x":"1","x":"2"}}'), "the key 'x' twice"),
    (made({METADATA: {"x": 1}}), "expected texts by name"),
    (made({METADATA: []}), "expected texts by name"),
    (made({"a": 3}), "a: expected an object with data_offsets, dtype, shape, got 3"),
    (made({"a": entry(more=1)}, bytes(8)), "a: expected an object with"),
    (made({"a": entry(dtype="F128")}, bytes(8)), "a: expected a dtype of BOOL, .*, got F128"),
    (made({"a": entry(dtype=["F32"])}, bytes(8)), "a: expected a dtype of"),
    (made({"a": entry(shape=(-2,))}, bytes(8)), r"a: expected a shape of .*, got \[-2\]"),
    (made({"a": entry(shape=(2.0,))}, bytes(8)), "a: expected a shape of"),
    (made({"a": entry(shape=(True, 2))}, bytes(8)), "a: expected a shape of"),
    (made({"a": entry(shape=(2**40, 2**40), offsets=(0, 2**82))}), "a: expected a shape of at most"),
    (made({"a": entry(shape=(0, 2**70), offsets=(0, 0))}), "a: expected a shape of at most"),
    (made({"a": entry(shape=[1] * 40, offsets=(0, 4))}, bytes(4)), "a: expected a shape of at most"),
    (made({"a": entry(shape=(2**30,), offsets=(0, 2**32))}, bytes(8)), f"expected {2**32} bytes of values, got 8"),
    (made({"a": entry(offsets=(8, 0))}, bytes(8)), "a: expected two offsets 8 bytes apart"),
    (made({"a": entry(offsets=(0, 7))}, bytes(7)), "a: expected two offsets 8 bytes apart"),
    (made({"a": entry(offsets=(-8, 0))}, bytes(8)), "a: expected two offsets"),
    (made({"a": entry(offsets=(0, 8, 16))}, bytes(8)), "a: expected two offsets"),
    (made({"a": entry(offsets=(4, 12))}, bytes(12)), "a: expected values from byte 0 on, .*, got 4"),
    (made({"a": entry(), "b": entry()}, bytes(8)), "b: expected values from byte 8 on, .*, got 0"),
    (made({"a": entry(), "b": entry(offsets=(4, 12))}, bytes(12)), "b: expected values from byte 8 on"),
    (made({"a": entry(), "b": entry(offsets=(12, 20))}, bytes(20)), "b: expected values from byte 8 on"),
    (made({"a": entry()}, bytes(7)), "expected 8 bytes of values, got 7"),
    (made({"a": entry()}, bytes(9)), "expected 8 bytes of values, got 9"),
]  # fmt: skip


@pytest.mark.parametrize(("content", "message"), HOSTILE, ids=[message[:30] for _, message in HOSTILE])
def test_hostile(content, message):
    with pytest.raises(ValueError, match=message):
        unpack(content)


VALID = written({"0.weight": np.arange(3.0), "b": np.array([True])}, WORDS)


@given(st.binary(max_size=200), st.integers(0, len(VALID) - 1), st.integers(0, 8))
def test_any_bytes(noise, place, gone):
    """A file, or a ValueError: nothing else comes out of bytes that are put anywhere into a file."""
    for content in (noise, VALID[:place] + noise + VALID[place + gone :], VALID[:8] + noise + VALID[8:]):
        try:
            tensors, _ = unpack(content)
        except ValueError:
            continue
        assert sum(array.nbytes for array in tensors.values()) <= len(content)
