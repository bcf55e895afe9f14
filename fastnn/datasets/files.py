"""Data files: looked for in FASTNN_DATA and in the download cache, fetched on request, checked on every load.

The check is the sha256 of the *uncompressed* content, so that any gzip wrapping of the published bytes does.
"""

import gzip
import hashlib
import os
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ..extras import extra


@dataclass(frozen=True)
class DataFile:
    """One published file: its name without .gz, what its uncompressed content must be, where it can be had.

    >>> DataFile("a.txt", 0, "e3b0c442...", ("https://example.org/a.txt.gz",)).name
    'a.txt'
    """

    name: str
    size: int  # bytes, uncompressed
    sha256: str  # of the uncompressed content
    urls: tuple[str, ...]


def read(folder: str, file: DataFile, download: bool = False, progress: bool = False) -> bytes:
    """The content of ``file``, plain or gzip, from $FASTNN_DATA/folder, $FASTNN_DATA or the download cache.

    ``download=True`` fetches it into the cache when it is nowhere or the cache's copy is damaged, with a bar
    if ``progress=True``. Raises FileNotFoundError or ValueError, which say how to get the file.
    """
    searched = list(_folders(folder))
    for where in searched:
        for path in (where / f"{file.name}.gz", where / file.name):
            if path.is_file():
                try:
                    return check(path, file)
                except ValueError as error:
                    if download and where == searched[-1]:
                        break
                    raise ValueError(f"{error}; delete it and {_how_to_get(folder)}") from error
    if download:
        return _fetch(searched[-1], file, progress)
    places = ", ".join(map(str, searched))
    raise FileNotFoundError(f"{folder}: no file {file.name} (or .gz) in {places}; {_how_to_get(folder)}")


def check(path: Path, file: DataFile) -> bytes:
    """The uncompressed content of ``path``; ValueError when it is not what ``file`` says."""
    content = uncompressed(path)
    if len(content) != file.size:
        raise ValueError(f"{path}: expected {file.size:,} bytes of content, found {len(content):,}")
    found = hashlib.sha256(content).hexdigest()
    if found != file.sha256:
        raise ValueError(f"{path}: damaged: expected sha256 {file.sha256}, found {found}")
    return content


def uncompressed(path: Path) -> bytes:
    """The bytes of ``path``, unpacked if they are gzip (told by their first two bytes, not by the name)."""
    content = path.read_bytes()
    if content[:2] != b"\x1f\x8b":
        return content
    try:
        return gzip.decompress(content)
    except (EOFError, OSError, zlib.error) as error:
        raise ValueError(f"{path}: expected a whole gzip file, found a damaged one ({error})") from error


def _folders(folder: str) -> Iterator[Path]:
    """Where to look, in this order; the last one is the download cache."""
    if root := os.environ.get("FASTNN_DATA"):
        if not Path(root).is_dir():
            raise FileNotFoundError(f"FASTNN_DATA: expected a folder, got {root!r}")
        yield Path(root, folder)
        yield Path(root)
    with extra("train"):
        import pooch
    yield Path(pooch.os_cache("fastnn"), folder)


def _how_to_get(folder: str) -> str:
    return (
        f"get it with `fastnn train --data {folder} --download`, or set FASTNN_DATA to a folder that has it"
    )


def _fetch(cache: Path, file: DataFile, progress: bool) -> bytes:
    """Download into the cache under a passing name, check, and only then give it its own."""
    with extra("train"):
        import pooch
        import requests
        from tqdm.auto import tqdm
    cache.mkdir(parents=True, exist_ok=True)
    part = cache / f"{file.name}.part"
    failures = []
    for url in file.urls:
        try:
            with tqdm(
                total=file.size, desc=file.name, unit="B", unit_scale=True, leave=False, disable=not progress
            ) as bar:
                pooch.HTTPDownloader(progressbar=bar, timeout=30)(url, str(part), None)
            content = check(part, file)
            os.replace(part, cache / f"{file.name}.gz")
            return content
        except requests.ConnectionError:
            failures.append(f"{url}: no connection")
        except (OSError, ValueError) as error:  # no such page, no room, not the file
            failures.append(f"{url}: {error}")
        finally:
            part.unlink(missing_ok=True)
    raise OSError(f"could not download {file.name}: " + "; ".join(failures))
