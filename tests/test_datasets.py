"""Data sets: what they hold, and what a missing, truncated, corrupt or foreign file is answered with."""

import gzip
import hashlib
import http.server
import io
import os
import struct
import sys
import tarfile
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from fastnn import datasets
from fastnn.datasets import cifar10, files, mnist, optdigits
from fastnn.datasets.idx import parse_idx, read_idx
from fastnn_ref.shared import atomic

pytestmark = pytest.mark.slow
needs_data = pytest.mark.skipif(
    not os.environ.get("FASTNN_DATA"),
    reason="FASTNN_DATA is not set: the real MNIST and optdigits are NOT tested",
)


def idx(array: np.ndarray, code: int = 0x08) -> bytes:
    """The bytes of an IDX file, written from the format's description, not with the reader's table."""
    big_endian = array.astype(array.dtype.newbyteorder(">")).tobytes()
    return bytes([0, 0, code, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + big_endian


IMAGES = np.arange(5 * 4 * 3, dtype=np.uint8).reshape(5, 4, 3)
TINY = {
    "train-images-idx3-ubyte": idx(IMAGES),
    "train-labels-idx1-ubyte": idx(np.array([0, 1, 2, 1, 0], np.uint8)),
    "t10k-images-idx3-ubyte": idx(IMAGES[:2]),
    "t10k-labels-idx1-ubyte": idx(np.array([2, 1], np.uint8)),
}


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty download cache; MNIST is the tiny one above; FASTNN_DATA is not set."""
    expected = tuple((name, len(raw), hashlib.sha256(raw).hexdigest()) for name, raw in TINY.items())
    monkeypatch.setattr(mnist, "FILES", expected)
    monkeypatch.setattr(mnist, "MIRRORS", ())
    monkeypatch.setattr("pooch.os_cache", lambda name: tmp_path / "cache" / name)
    monkeypatch.delenv("FASTNN_DATA", raising=False)
    return tmp_path / "cache" / "fastnn" / "mnist"


def write_tiny(folder: Path, pack: Callable[[bytes], bytes] = gzip.compress, ending: str = ".gz") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, raw in TINY.items():
        (folder / f"{name}{ending}").write_bytes(pack(raw))
    return folder


X8 = np.arange(8.0)[:, None]

# -- the sets


def test_digits_are_scikit_learns_split_by_class() -> None:
    data = datasets.load_digits()
    assert (data.x_train.shape, data.x_test.shape) == ((1347, 64), (450, 64))
    assert data.x_train.dtype == np.float32 and data.t_train.dtype == np.int64
    assert (data.x_train.min(), data.x_train.max()) == (0, 1)
    assert data.outputs == 10 and np.bincount(data.t_test).min() >= 43
    np.testing.assert_array_equal(data.x_test, datasets.load_digits().x_test)
    assert not np.array_equal(data.x_test, datasets.load_digits(seed=1).x_test)


@pytest.mark.parametrize("make", [datasets.make_spirals, datasets.make_moons])
def test_plane_figures_are_balanced_and_seeded(make: Callable[..., datasets.Dataset]) -> None:
    data = make(n=200)
    assert data.x_train.shape == (150, 2) and data.image_shape is None
    np.testing.assert_array_equal(np.bincount(data.t_train), [75, 75])
    np.testing.assert_array_equal(data.x_train, make(n=200).x_train)


def test_spirals_lie_where_the_formula_says() -> None:
    data = datasets.make_spirals(n=100, noise=0)
    r = np.hypot(*data.x_train.T)
    angle = np.arctan2(data.x_train[:, 1], data.x_train[:, 0])
    turned = angle - 2 * np.pi * 1.75 * r - np.pi * data.t_train
    np.testing.assert_allclose(np.cos(turned), 1, atol=1e-5)


def test_spirals_do_without_numpys_cosine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its last bits are others on a CPU with AVX-512."""
    want = datasets.make_spirals(n=100)
    for name in ("cos", "sin"):
        monkeypatch.setattr(np, name, None)
    np.testing.assert_array_equal(datasets.make_spirals(n=100).x_train, want.x_train)


def test_standardise_measures_the_training_part_only() -> None:
    data = datasets.standardise(datasets.make_moons(n=200))
    np.testing.assert_allclose(data.x_train.mean(axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(data.x_train.std(axis=0), 1, atol=1e-6)
    assert np.abs(data.x_test.mean(axis=0)).max() > 1e-3


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        # Not cut to 0 and 1: values of a regression are no classes.
        (lambda: datasets.split("", X8, [0.5, 1.5] * 4), ValueError, "t: expected class numbers from 0, got 0.5 at"),
        (lambda: datasets.split("", X8, [0, -1] * 4), ValueError, "t: expected class numbers from 0, got -1 at row 1"),
        (lambda: datasets.split("", X8, [0, np.nan] * 4), ValueError, "t: expected class numbers from 0, got nan"),
        (lambda: datasets.split("", X8, [0, np.inf] * 4), ValueError, "t: expected class numbers from 0, got inf"),
        (lambda: datasets.split("", X8, ["a", "b"] * 4), TypeError, "t: expected numbers, got text"),
        (lambda: datasets.split("", X8, [0, 1] * 3), ValueError, r"t: expected \(8,\), one class number for each row"),
        (lambda: datasets.split("", X8, np.eye(2)[[0, 1] * 4]), ValueError, r"t: expected \(8,\), .*, got \(8, 2\)"),
        (lambda: datasets.split("", np.arange(8), [0, 1] * 4), ValueError, r"x: expected \(n, features\), got \(8,\)"),
        (lambda: datasets.split("", X8, [0, 1] * 4, image_shape=(1, 2, 2)), ValueError, r"x: expected \(n, 4\), got"),
        (lambda: datasets.split("", X8, [0, 1] * 4, seed=-1), ValueError, "seed: expected an integer >= 0 and <= "),
        (lambda: datasets.load_digits(seed=-1), ValueError, "seed: expected an integer >= 0 and <= 4294967295, got -1"),
        (lambda: datasets.make_moons(seed=-1), ValueError, "seed: expected an integer"),
        (lambda: datasets.make_moons(noise=-1), ValueError, "noise: expected a finite number >= 0, got -1"),
        (lambda: datasets.make_moons(n=0), ValueError, "n: expected an integer >= 1, got 0"),
        (lambda: datasets.make_spirals(noise=np.nan), ValueError, "noise: expected a finite number >= 0, got nan"),
        (lambda: datasets.make_spirals(turns=np.inf), ValueError, "turns: expected a finite number, got inf"),
        (lambda: datasets.make_spirals(n=-3), ValueError, "n: expected an integer >= 1, got -3"),
        (lambda: datasets.make_spirals(seed="a"), TypeError, "seed: expected an integer"),
        (lambda: datasets.mislabel(datasets.make_moons(n=20), 0.5, seed=-1), ValueError, "seed: expected an integer"),
    ],
)
def test_mistakes(call: Callable[[], object], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=f"^{message}"):
        call()


def test_split_takes_whole_numbers_of_any_kind() -> None:
    for kind in (np.uint8, np.float64, bool):
        data = datasets.split("", X8, np.array([0, 1] * 4, kind))
        assert data.t_train.dtype == np.int64 and data.outputs == 2


# -- where MNIST is looked for


@pytest.mark.parametrize("below", ["mnist", "."])
@pytest.mark.parametrize(("pack", "ending"), [(gzip.compress, ".gz"), (bytes, "")], ids=["gzip", "plain"])
def test_mnist_from_fastnn_data(
    cache: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    below: str,
    pack: Callable[[bytes], bytes],
    ending: str,
) -> None:
    write_tiny(tmp_path / "data" / below, pack, ending)
    monkeypatch.setenv("FASTNN_DATA", str(tmp_path / "data"))
    data = datasets.load_mnist()
    np.testing.assert_array_equal(data.x_train, IMAGES.reshape(5, 12).astype(np.float32) / np.float32(255))
    np.testing.assert_array_equal(data.t_test, [2, 1])
    assert data.image_shape == (1, 4, 3) and data.t_train.dtype == np.int64


def test_mnist_from_the_cache(cache: Path) -> None:
    write_tiny(cache)
    assert datasets.load_mnist().x_test.shape == (2, 12)


def test_missing_file_says_where_it_was_looked_for_and_how_to_get_it(cache: Path) -> None:
    with pytest.raises(
        FileNotFoundError, match=r"no file train-images-idx3-ubyte.*--data mnist --download"
    ) as caught:
        datasets.load_mnist()
    assert str(cache) in str(caught.value)


def test_fastnn_data_that_is_no_folder(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_tiny(cache)
    monkeypatch.setenv("FASTNN_DATA", "/no/such/folder")
    with pytest.raises(FileNotFoundError, match="FASTNN_DATA: expected a folder, got '/no/such/folder'"):
        datasets.load_mnist()


def flip_last(raw: bytes) -> bytes:
    return raw[:-1] + bytes([raw[-1] ^ 1])


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda raw: gzip.compress(raw[:-1]), "expected 76 bytes of content, found 75"),
        (lambda raw: gzip.compress(flip_last(raw)), "expected sha256 [0-9a-f]{64}, found [0-9a-f]{64}"),
        (lambda raw: gzip.compress(raw)[:-12], "expected a whole gzip file"),
        (lambda raw: gzip.compress(raw)[:30] + b"\xff" * 9, "expected a whole gzip file"),
        (lambda raw: b"", "expected 76 bytes of content, found 0"),
        (lambda raw: b"<html>moved</html>", "expected 76 bytes of content, found 18"),
    ],
    ids=["truncated", "one bit", "truncated gzip", "broken gzip", "empty", "a web page"],
)
def test_damaged_file_is_named(cache: Path, damage: Callable[[bytes], bytes], message: str) -> None:
    path = write_tiny(cache) / "train-images-idx3-ubyte.gz"
    path.write_bytes(damage(TINY["train-images-idx3-ubyte"]))
    with pytest.raises(ValueError, match=f"{path}: .*{message}.*--download"):
        datasets.load_mnist()


def test_optdigits_reads_pixels_and_labels(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = ",".join(["16"] + ["0"] * 62 + ["8", "7"]) + "\n"
    raw = line.encode()
    monkeypatch.setattr(
        optdigits,
        "FILES",
        [(name, len(raw), hashlib.sha256(raw).hexdigest()) for name, *_ in optdigits.FILES],
    )
    for name, *_ in optdigits.FILES:
        (tmp_path / name).write_bytes(raw)
    monkeypatch.setenv("FASTNN_DATA", str(tmp_path))
    for extra in ("pooch", "sklearn"):                      # files that are there need neither
        monkeypatch.setitem(sys.modules, extra, None)
    data = datasets.load_optdigits()
    assert data.x_train[0, [0, 1, 63]].tolist() == [1, 0, 0.5] and data.t_test.tolist() == [7]


# -- downloads


class Silent(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """A web server on this machine: its address and the folder it serves."""
    folder = tmp_path / "web"
    folder.mkdir()
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Silent, directory=str(folder))) as web:
        web.handle_error = lambda *args: None  # type: ignore[method-assign]  # a client that hangs up
        threading.Thread(target=web.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{web.server_port}/", folder
        web.shutdown()


def test_download_takes_the_second_mirror_and_keeps_the_files(
    cache: Path, server: tuple[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    address, folder = server
    write_tiny(folder)
    monkeypatch.setattr(mnist, "MIRRORS", (f"{address}nothing-here/", address))
    assert datasets.load_mnist(download=True).x_train.shape == (5, 12)
    assert sorted(path.name for path in cache.iterdir()) == sorted(f"{name}.gz" for name in TINY)
    monkeypatch.setattr(mnist, "MIRRORS", ())
    assert datasets.load_mnist().x_train.shape == (5, 12)


def test_download_replaces_a_damaged_file_in_the_cache(
    cache: Path, server: tuple[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    address, folder = server
    write_tiny(folder)
    (write_tiny(cache) / "t10k-labels-idx1-ubyte.gz").write_bytes(b"half")
    monkeypatch.setattr(mnist, "MIRRORS", (address,))
    assert datasets.load_mnist(download=True).t_test.tolist() == [2, 1]


def test_download_of_something_else_is_refused_and_leaves_nothing(
    cache: Path, server: tuple[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    address, folder = server
    (write_tiny(folder) / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(flip_last(idx(IMAGES))))
    monkeypatch.setattr(mnist, "MIRRORS", (address,))
    with pytest.raises(OSError, match=r"could not download train-images-idx3-ubyte.*sha256"):
        datasets.load_mnist(download=True)
    assert list(cache.iterdir()) == []


def test_download_without_network(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mnist, "MIRRORS", ("http://127.0.0.1:9/",))
    with pytest.raises(
        OSError,
        match=r"could not download train-images-idx3-ubyte: http://127.0.0.1:9/train.*: no connection",
    ):
        datasets.load_mnist(download=True)


def test_download_onto_a_full_disk(
    cache: Path, server: tuple[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_room(*args: object) -> None:
        raise OSError(28, "No space left on device")

    address, folder = server
    write_tiny(folder)
    monkeypatch.setattr(mnist, "MIRRORS", (address,))
    monkeypatch.setattr(atomic.os, "replace", no_room)
    with pytest.raises(OSError, match="No space left on device"):
        datasets.load_mnist(download=True)
    assert list(cache.iterdir()) == []


PHOTOS = np.random.default_rng(0).integers(0, 256, (6, 2, 1 + 3072), np.uint8)      # a file of two each


def write_photos(folder: Path) -> bytes:
    """The archive of CIFAR-10 with two examples a file."""
    folder.mkdir(parents=True, exist_ok=True)
    with tarfile.open(folder / "cifar-10-binary.tar.gz", "w:gz") as archive:
        for name, examples in zip((*cifar10.TRAIN, *cifar10.TEST), PHOTOS, strict=True):
            entry = tarfile.TarInfo(name)
            entry.size = examples.nbytes
            archive.addfile(entry, io.BytesIO(examples.tobytes()))
    return (folder / "cifar-10-binary.tar.gz").read_bytes()


@pytest.fixture
def photos(cache: Path, server: tuple[str, Path], monkeypatch: pytest.MonkeyPatch) -> Path:
    """CIFAR-10 is the tiny one above, on the server; returns the server's folder."""
    address, folder = server
    packed = write_photos(folder)
    monkeypatch.setattr(cifar10, "FILE", ("cifar-10-binary.tar", len(packed), hashlib.sha256(packed).hexdigest()))
    monkeypatch.setattr(cifar10, "MIRRORS", (address,))
    monkeypatch.setattr(cifar10, "EXAMPLES", 2)
    return folder


def test_cifar10(photos: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(FileNotFoundError, match=r"no file cifar-10-binary.tar.gz in .*--data cifar10 --download"):
        datasets.load_cifar10()
    data = datasets.load_cifar10(download=True)
    assert data.x_train.dtype == np.float32 and data.image_shape == (3, 32, 32)
    np.testing.assert_array_equal(data.t_train, PHOTOS[:5, :, 0].ravel())
    np.testing.assert_array_equal(data.t_test, PHOTOS[5, :, 0])
    np.testing.assert_allclose(data.x_test * 255, PHOTOS[5, :, 1:], rtol=1e-6)
    assert [path.name for path in (cache.parent / "cifar10").iterdir()] == ["cifar-10-binary.tar.gz"]
    monkeypatch.setattr(cifar10, "MIRRORS", ())
    np.testing.assert_array_equal(datasets.load_cifar10().x_train, data.x_train)
    monkeypatch.setenv("FASTNN_DATA", str(photos))
    np.testing.assert_array_equal(datasets.load_cifar10().x_train, data.x_train)


@pytest.mark.parametrize("damage", [b"", b"half", "flipped", "longer"])
def test_a_damaged_archive_is_refused(
    photos: Path, monkeypatch: pytest.MonkeyPatch, damage: bytes | str
) -> None:
    path = photos / "cifar-10-binary.tar.gz"
    packed = path.read_bytes()
    path.write_bytes({"flipped": flip_last(packed), "longer": packed + b"x"}.get(damage, damage))  # type: ignore[arg-type]
    monkeypatch.setenv("FASTNN_DATA", str(photos))
    with pytest.raises(ValueError, match=r"cifar-10-binary.tar.gz: (expected [\d,]+ bytes, found|damaged).*delete it"):
        datasets.load_cifar10()


def test_fashion_mnist(cache: Path, server: tuple[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    address, folder = server
    write_tiny(folder)
    packed = {name: (folder / f"{name}.gz").read_bytes() for name in TINY}
    monkeypatch.setattr(mnist, "FASHION_FILES", [
        (name, len(raw), hashlib.sha256(raw).hexdigest()) for name, raw in packed.items()])
    monkeypatch.setattr(mnist, "FASHION_MIRRORS", (address,))
    data = datasets.load_fashion_mnist(download=True)
    assert data.title == "Fashion-MNIST" and data.image_shape == (1, 4, 3) and data.t_test.tolist() == [2, 1]
    assert len(list((cache.parent / "fashion-mnist").iterdir())) == 4
    with pytest.raises(ValueError, match=r"damaged|bytes"):     # the digits have other sums
        monkeypatch.setattr(mnist, "FASHION_FILES", [(name, len(raw), "0" * 64) for name, raw in packed.items()])
        datasets.load_fashion_mnist()


def test_mislabel() -> None:
    data = datasets.load_digits()
    for share in (0.0, 0.2, 1.0):
        wrong = datasets.mislabel(data, share, seed=3)
        changed = wrong.t_train != data.t_train
        assert changed.sum() == round(share * len(changed))
        np.testing.assert_array_equal(wrong.t_test, data.t_test)
        assert set(wrong.t_train) == set(range(10))
    counts = np.bincount((wrong.t_train - data.t_train) % 10, minlength=10)
    assert counts[0] == 0 and counts[1:].min() > 0.7 * len(changed) / 9      # each other class equally likely
    with pytest.raises(ValueError, match="share: expected"):
        datasets.mislabel(data, 1.5)


# -- IDX


@pytest.mark.parametrize(
    ("code", "dtype"),
    [(0x08, "u1"), (0x09, "i1"), (0x0B, "i2"), (0x0C, "i4"), (0x0D, "f4"), (0x0E, "f8")],
)
@pytest.mark.parametrize("shape", [(7,), (2, 3), (1, 5, 2), (0, 3)])
def test_idx_round_trip(code: int, dtype: str, shape: tuple[int, ...]) -> None:
    array = (np.arange(np.prod(shape)) * 3 - 5).astype(np.int16).astype(dtype).reshape(shape)
    found = parse_idx(idx(array, code))
    np.testing.assert_array_equal(found, array)
    assert found.dtype == np.dtype(dtype) and found.dtype.isnative and found.flags.writeable


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "expected an IDX file.*found an empty file"),
        (b"\x89PNG\r\n", "expected an IDX file.*found 89 50 4e 47"),
        (b"\0\0\x07\x01\0\0\0\0", "expected an IDX file.*found 00 00 07 01"),
        (b"\0\0\x08\0", "expected an IDX file.*found 00 00 08 00"),
        (b"\0\0\x08\x03\0\0\0\x05", "expected 16 bytes of header for 3 sizes, found 8"),
        (idx(IMAGES)[:-1], r"expected 60 bytes of values for shape \(5, 4, 3\), found 59"),
        (idx(IMAGES) + b"\0", r"expected 60 bytes of values for shape \(5, 4, 3\), found more"),
        (b"\0\0\x0e\x03" + b"\xff" * 12, r"expected [\d,]{30,} bytes of values"),
        (b"\0\0\x08\x03" + b"\xff" * 8 + b"\0" * 4, r"expected a shape that NumPy can have, got \(4294967295, "),
        (b"\0\0\x08\xff" + b"\0\0\0\x01" * 255 + b"7", r"expected a shape that NumPy can have, got \(1, "),
    ],
    ids=["empty", "png", "type", "no dimensions", "header", "short", "long", "gigantic", "too large", "too many"],
)
def test_idx_that_is_none(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=f"{path}: {message}"):
        read_idx(path)


# -- files that are larger than they say


@pytest.fixture
def bomb() -> bytes:
    """64 KB that unpack to 64 MB: an IDX file of 60 values with zeros behind it."""
    return gzip.compress(idx(IMAGES) + bytes(64 * 2**20))


def peak(work: Callable[[], object]) -> int:
    """The most bytes that Python and NumPy held at a time while ``work`` ran."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("most", [0, 1, 76, 2**20, 2**20 + 1])
def test_so_many_bytes_are_taken_and_no_more(bomb: bytes, most: int) -> None:
    whole = idx(IMAGES) + bytes(2**21)
    assert files.uncompressed(io.BytesIO(bomb), "bomb", most) == whole[:most]
    assert files.uncompressed(io.BytesIO(whole), "plain", most) == whole[:most]


def test_no_more_is_unpacked_than_the_header_says(tmp_path: Path, bomb: bytes) -> None:
    path = tmp_path / "bomb.gz"
    path.write_bytes(bomb)

    def read() -> None:
        with pytest.raises(ValueError, match=r"bomb.gz: expected 60 bytes of values .*, found more"):
            read_idx(path)

    assert peak(read) < 8 * 2**20


@pytest.mark.parametrize("pack", [gzip.compress, bytes], ids=["gzip", "plain"])
def test_no_more_is_read_than_the_file_should_hold(cache: Path, pack: Callable[[bytes], bytes]) -> None:
    path = write_tiny(cache) / "train-images-idx3-ubyte.gz"
    path.write_bytes(pack(idx(IMAGES) + bytes(64 * 2**20)))

    def read() -> None:
        with pytest.raises(ValueError, match="expected 76 bytes of content, found more"):
            datasets.load_mnist()

    assert peak(read) < 8 * 2**20


def test_a_download_ends_where_the_file_should(
    cache: Path, server: tuple[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server has 64 MB where some bytes are expected; little more than those are taken."""
    address, folder = server
    (write_tiny(folder) / "train-images-idx3-ubyte.gz").write_bytes(bytes(64 * 2**20))
    monkeypatch.setattr(mnist, "MIRRORS", (address,))
    written = 0
    write = files.Capped.write

    def counted(self: files.Capped, data: bytes) -> int:
        nonlocal written
        done = write(self, data)
        written += done
        return done

    monkeypatch.setattr(files.Capped, "write", counted)
    with pytest.raises(OSError, match=r"ubyte.gz: expected at most 65,612 bytes, the server sends more"):
        datasets.load_mnist(download=True)
    assert written <= 65_612 and list(cache.iterdir()) == []


def test_a_download_of_a_bomb_is_refused(
    cache: Path, server: tuple[str, Path], monkeypatch: pytest.MonkeyPatch, bomb: bytes
) -> None:
    address, folder = server
    (write_tiny(folder) / "train-images-idx3-ubyte.gz").write_bytes(bomb)
    monkeypatch.setattr(mnist, "MIRRORS", (address,))
    monkeypatch.setattr(files, "OVERHEAD", 2**20)
    with pytest.raises(OSError, match="expected 76 bytes of content, found more"):
        datasets.load_mnist(download=True)
    assert list(cache.iterdir()) == []


# -- what stands beside a file


def test_a_link_at_the_temporary_name_is_not_followed(
    cache: Path, server: tuple[str, Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Neither at the name that was used before (NAME.part) nor at the one that is drawn."""
    address, folder = server
    write_tiny(folder)
    monkeypatch.setattr(mnist, "MIRRORS", (address,))
    victim = tmp_path / "victim"
    victim.write_bytes(b"mine")
    cache.mkdir(parents=True)
    monkeypatch.setattr(atomic.os, "urandom", bytes)
    name = "train-images-idx3-ubyte"
    for link in (f"{name}.part", f".{name}.gz.{bytes(8).hex()}.part"):
        (cache / link).symlink_to(victim)
    with pytest.raises(OSError, match="File exists"):
        datasets.load_mnist(download=True)
    assert victim.read_bytes() == b"mine"
    (cache / f".{name}.gz.{bytes(8).hex()}.part").unlink()
    datasets.load_mnist(download=True)
    assert victim.read_bytes() == b"mine" and (cache / f"{name}.part").is_symlink()


def test_replacing_is_all_or_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with pytest.raises(KeyboardInterrupt), atomic.replacing(path) as file:
        file.write(b"half")
        raise KeyboardInterrupt
    synced = []
    fsync = os.fsync
    monkeypatch.setattr(atomic.os, "fsync", lambda fd: synced.append(os.fstat(fd).st_size) or fsync(fd))
    assert path.read_bytes() == b"old" and os.listdir(tmp_path) == ["file"]
    with atomic.replacing(path) as file:
        file.write(b"whole")
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"whole" and os.listdir(tmp_path) == ["file"]
    assert synced[0] == 5


def test_ctrl_c_as_soon_as_the_temporary_file_is_there(tmp_path: Path) -> None:
    """It comes when a call of the system returns, before anybody knows the file's descriptor."""
    def press(frame, event, argument):
        if event == "c_return" and argument is os.open:
            sys.setprofile(None)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sys.setprofile(press)
        try:
            atomic.write(tmp_path / "model", b"new")
        finally:
            sys.setprofile(None)
    assert os.listdir(tmp_path) == []


def test_write_keeps_a_link_of_the_user(tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "far" / "file")
    atomic.write(tmp_path / "link", b"new")
    assert (tmp_path / "link").is_symlink() and (tmp_path / "far" / "file").read_bytes() == b"new"


def test_a_new_file_has_the_usual_rights(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        atomic.write(tmp_path / "file", b"")
    finally:
        os.umask(before)
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o640


# -- without pooch


def test_files_that_are_there_need_no_pooch(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_tiny(tmp_path / "data")
    monkeypatch.setenv("FASTNN_DATA", str(tmp_path / "data"))
    monkeypatch.setitem(sys.modules, "pooch", None)
    assert datasets.load_mnist().x_test.shape == (2, 12)
    (tmp_path / "data" / "t10k-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(ModuleNotFoundError, match=r'pooch is missing: pip install "fastnn\[train\]"'):
        datasets.load_mnist()


# -- the real files


@needs_data
def test_real_mnist() -> None:
    data = datasets.load_mnist()
    assert data.x_train.shape == (60000, 784) and data.x_test.shape == (10000, 784)
    assert data.t_train[:5].tolist() == [5, 0, 4, 1, 9] and data.outputs == 10
    assert data.x_train.mean() == pytest.approx(0.1307, abs=1e-4)  # the mean that everybody normalises with


@needs_data
def test_real_optdigits() -> None:
    data = datasets.load_optdigits()
    assert data.x_train.shape == (3823, 64) and data.x_test.shape == (1797, 64)
    everything = datasets.load_digits(test_size=0.5)  # scikit-learn's digits are the test part
    np.testing.assert_allclose(
        data.x_test.sum(), everything.x_train.sum() + everything.x_test.sum(), rtol=1e-6
    )
