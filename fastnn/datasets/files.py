"""Data files: looked for in FASTNN_DATA and in the download cache, fetched on request, checked on every load.

The check is the sha256 of the *uncompressed* content, so that any gzip wrapping of the published bytes does; of data
whose publishers give the sum of the gzip file, it is that one. No file is read, unpacked or downloaded beyond what it
is expected to hold.
"""

import gzip
import hashlib
import os
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from fastnn_ref.shared.atomic import replacing
from fastnn_ref.shared.progress import bars
from fastnn_ref.shared.terminal import bar

from ..extras import extra

CHUNK = 2**20               # bytes unpacked at a time
OVERHEAD = 2**16            # bytes by which a packed file may be longer than its content


@dataclass(frozen=True)
class DataFile:
    """One published file: its name without .gz, what its uncompressed content must be, where it can be had.

    With ``packed`` size and sha256 are of the gzip file as it is published.

    >>> from fastnn.datasets.files import DataFile
    >>> DataFile("a.txt", 0, "e3b0c442...", ("https://example.org/a.txt.gz",)).name
    'a.txt'
    """

    name: str
    size: int  # bytes, uncompressed
    sha256: str  # of the uncompressed content
    urls: tuple[str, ...]
    packed: bool = False


def read(folder: str, file: DataFile, download: bool = False, progress: bool = False) -> bytes:
    """The content of ``file``, plain or gzip, from $FASTNN_DATA/folder, $FASTNN_DATA or the download cache.

    ``download=True`` fetches it into the cache when it is nowhere or the cache's copy is damaged, with a bar
    if ``progress=True``. Raises FileNotFoundError or ValueError, which say how to get the file. The cache needs the
    package pooch; it is looked for only where $FASTNN_DATA has no such file.
    """
    searched = []
    for where, is_cache in folders(folder):
        searched.append(where)
        for path in (where / f"{file.name}.gz", *([] if file.packed else [where / file.name])):
            if path.is_file():
                try:
                    return check(path, file)
                except ValueError as error:
                    if download and is_cache:
                        break
                    raise ValueError(f"{error}; delete it and {how_to_get(folder)}") from error
    if download:
        return fetch(searched[-1], file, progress)
    places = ", ".join(map(str, searched))
    name = f"{file.name}.gz" if file.packed else f"{file.name} (or .gz)"
    raise FileNotFoundError(f"{folder}: no file {name} in {places}; {how_to_get(folder)}")


def check(path: Path, file: DataFile) -> bytes:
    """The uncompressed content of ``path``; ValueError when it is not what ``file`` says."""
    with path.open("rb") as stream:
        return check_stream(stream, str(path), file)


def check_stream(stream: BinaryIO, name: str, file: DataFile) -> bytes:
    """The uncompressed content of an open file that messages call ``name``."""
    stream.seek(0)
    content = stream.read(file.size + 1) if file.packed else uncompressed(stream, name, file.size + 1)
    if len(content) != file.size:
        found = "more" if len(content) > file.size else f"{len(content):,}"
        raise ValueError(f"{name}: expected {file.size:,} bytes{'' if file.packed else ' of content'}, found {found}")
    digest = hashlib.sha256(content).hexdigest()
    if digest != file.sha256:
        raise ValueError(f"{name}: damaged: expected sha256 {file.sha256}, found {digest}")
    return gzip.decompress(content) if file.packed else content


def uncompressed(stream: BinaryIO, name: str, most: int) -> bytes:
    """The first bytes of an open file, ``most`` at most, unpacked if it is gzip (told by its first two bytes)."""
    content = bytearray()
    for piece in pieces(stream, name):
        content += piece[:most - len(content)]
        if len(content) >= most:
            break
    return bytes(content)


def pieces(stream: BinaryIO, name: str) -> Iterator[bytes]:
    """The bytes of an open file from its start, unpacked if they are gzip, ``CHUNK`` at a time."""
    stream.seek(0)
    packed = stream.read(2) == b"\x1f\x8b"
    stream.seek(0)
    source = gzip.GzipFile(fileobj=stream) if packed else stream
    try:
        while piece := source.read(CHUNK):
            yield piece
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(f"{name}: expected a whole gzip file, found a damaged one ({error})") from error


def folders(folder: str) -> Iterator[tuple[Path, bool]]:
    """Where to look, in this order, and whether it is the download cache, which is the last one."""
    if root := os.environ.get("FASTNN_DATA"):
        if not Path(root).is_dir():
            raise FileNotFoundError(f"FASTNN_DATA: expected a folder, got {root!r}")
        yield Path(root, folder), False
        yield Path(root), False
    with extra("train"):
        import pooch
    yield Path(pooch.os_cache("fastnn"), folder), True


def how_to_get(folder: str) -> str:
    """What a user can do about a missing file."""
    return (
        f"get it with `fastnn train --data {folder} --download`, or set FASTNN_DATA to a folder that has it"
    )


def fetch(cache: Path, file: DataFile, progress: bool) -> bytes:
    """Download into the cache under a passing name, check, and only then give it its own."""
    with extra("train"):
        import pooch
        import requests
    tqdm = bars()
    cache.mkdir(parents=True, exist_ok=True)
    failures = []
    for url in file.urls:
        try:
            with bar(
                tqdm, total=file.size, desc=file.name, unit="B", unit_scale=True, leave=False, disable=not progress
            ) as filling, replacing(cache / f"{file.name}.gz") as part:
                pooch.HTTPDownloader(progressbar=filling, timeout=30)(url, Capped(part, file.size + OVERHEAD), None)
                return check_stream(part, "what came", file)
        except requests.ConnectionError:
            failures.append(f"{url}: no connection")
        except (OSError, ValueError) as error:  # no such page, no room, not the file
            failures.append(f"{url}: {error}")
    raise OSError(f"could not download {file.name}: " + "; ".join(failures))


class Capped:
    """A file that takes ``most`` bytes; ValueError for more."""

    def __init__(self, file: BinaryIO, most: int) -> None:
        self.file, self.most, self.size = file, most, 0

    def write(self, data: bytes) -> int:
        self.size += len(data)
        if self.size > self.most:
            raise ValueError(f"expected at most {self.most:,} bytes, the server sends more")
        return self.file.write(data)

    def flush(self) -> None:
        self.file.flush()
