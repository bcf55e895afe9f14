"""Bytes of every file format, damaged at random: each file is read, or refused by a message.

    python -m tests.fuzz --files --seconds 60       from seed 0 on; exit code 1 if something was found

A finding is another exception, a warning, or more memory or time than a small file may take. Files of a run folder
carry sha256 sums or are looked at key by key, so most damage there is a message.
"""

import gzip
import hashlib
import io
import json
import random
import re
import struct
import tempfile
import time
import tracemalloc
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import fastnn
import fastnn_ref
from fastnn.cli import options, rows, train
from fastnn.cli.encoding import Encoding
from fastnn.cli.folder import Folder
from fastnn.cli.session import Failure, UsageError
from fastnn.datasets.idx import read_idx

MEMORY = 256 << 20  # bytes that reading a file of some kilobytes may take
BEST = 40           # damaged copies of one file before the next one has its turn


class Format(NamedTuple):
    """A whole file, what its name ends in, and what reads it."""

    content: bytes
    ending: str
    read: Callable[[Path], object]
    repair: Callable[[bytes], bytes] = bytes    # of a damaged file, so that what stands behind a sum is reached, too


def table(rng: random.Random) -> bytes:
    head = ["a,b,class"] if rng.random() < 0.7 else []
    lines = [f"{rng.gauss(0, 1):.3f},{rng.randrange(9)},{'no' if i % 2 else 'yes'}" for i in range(12)]
    return "\n".join([*head, *lines, ""]).encode()


def idx(shape: tuple[int, ...]) -> bytes:
    values = np.arange(np.prod(shape), dtype=np.uint8)
    return bytes([0, 0, 8, len(shape)]) + struct.pack(f">{len(shape)}I", *shape) + values.tobytes()


def numpy_file(packed: bool) -> bytes:
    file, x = io.BytesIO(), np.arange(24.0).reshape(8, 3)
    if packed:
        np.savez_compressed(file, x=x, t=np.arange(8) % 2)
    else:
        np.save(file, x)
    return file.getvalue()


def model_file(nn: object, training: bool) -> bytes:
    model = nn.Sequential(nn.Linear(3, 4, activation="relu"), nn.BatchNorm1d(4), nn.Linear(4, 2))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model")
        if training:
            optimizer, x = nn.Adam(), np.ones((2, 3), model.dtype)
            model.fit(x, np.array([0, 1]), loss=nn.CrossEntropyLoss(), optimizer=optimizer, epochs=1)
            nn.save_training(path, model, optimizer, nn.CrossEntropyLoss())
        else:
            model.save(path)
        return path.read_bytes()


def signed(content: bytes) -> bytes:
    """The file with the sha256 that belongs to its bytes, if it still has the place of one."""
    place = re.search(rb'"sha256":"([0-9a-f]{64})"', content)
    if place is None:
        return content
    start, end = place.span(1)
    digest = hashlib.sha256(content[:start] + b"0" * 64 + content[end:]).hexdigest().encode()
    return content[:start] + digest + content[end:]


def run_record(regression: bool) -> bytes:
    """run.json, as `fastnn train --run` writes it: of a classifier of a table, or of a regression on images."""
    encoding = Encoding(("no", "yes"), 2, columns=("a", "b"), targets=("t",), mean=(1.0, 2.0), deviation=(1.0, 0.5))
    if regression:
        encoding = Encoding((), 6, image_shape=(3, 1, 2), resized=True, from_bytes=True, target_mean=(1.0,),
                            target_deviation=(2.0,))
    return json.dumps({"data_sha256": "0" * 64, "encoding": encoding.to_json()}).encode()


def read_record(path: Path) -> object:
    """What a run folder's record says, and rows encoded by it."""
    path.rename(path.with_name("run.json"))
    encoding = Folder(path.parent).read()["encoding"]
    if encoding.regression:
        encoding.values(np.ones((2, 1)))
    return encoding.reading(), encoding.inputs(np.ones((2, encoding.features)))


def picture(kind: str, shape: tuple[int, ...] = (8, 8)) -> bytes:
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(np.arange(np.prod(shape), dtype=np.uint8).reshape(shape)).save(file, kind)
    return file.getvalue()


def parquet() -> bytes:
    import pandas

    return bytes(pandas.DataFrame({"a": np.arange(8.0), "b": np.arange(8), "class": ["x", "y"] * 4}).to_parquet())


def labelled(path: Path) -> object:
    return rows.read(path, True)


def resized(path: Path) -> object:
    return rows.read(path, False, images=rows.Images("auto", (5, 3), True))


def values(path: Path) -> object:
    return rows.read(path, True, target="2", regression=True)


def unlabelled(path: Path) -> object:
    return rows.read(path, False)


def formats(rng: random.Random) -> list[Format]:
    """One file of each kind; those whose package is not installed are left out."""
    found = [
        Format(table(rng), ".csv", labelled),
        Format(table(rng), ".csv", values),
        Format(idx((4, 3, 2)), ".idx", read_idx),
        Format(gzip.compress(idx((40, 3, 2))), ".gz", read_idx),
        Format(numpy_file(False), ".npy", unlabelled),
        Format(numpy_file(True), ".npz", labelled),
        Format(options.to_toml(train.Config()).encode(), ".toml", lambda path: options.read_toml(train.Config, path)),
        Format(run_record(False), ".json", read_record),
        Format(run_record(True), ".json", read_record),
    ]  # fmt: skip
    for nn in (fastnn, fastnn_ref):
        for training, read in ((False, nn.load), (True, nn.load_training)):
            whole = model_file(nn, training)
            found += [Format(whole, ".safetensors", read), Format(whole, ".safetensors", read, signed)]
    for make, ending, read in (
        (lambda: picture("PNG"), ".png", unlabelled), (lambda: picture("PNG", (8, 8, 3)), ".png", resized),
        (lambda: picture("GIF"), ".gif", unlabelled),
        (parquet, ".parquet", labelled),
    ):
        try:
            found.append(Format(make(), ending, read))
        except ImportError:
            continue
    return found


WORDS = [b"-1", b"0", b"1e999", b"nan", b"99999999999999999999", b"\x00", b"\xff\xff\xff\xff", b'"', b",", b"\n", b"{",
         b"]", b"[[[[[[[[", b"null", b"true", "ж".encode()]  # fmt: skip
VALUES = [None, True, -1, 0, 2.5, float("nan"), "", "a", [], ["a"], [1], [None], {}, 10**400]


def damaged(rng: random.Random, content: bytes) -> bytes:
    """The bytes with one to four faults: flipped, lost, doubled, swapped, or replaced by what means something."""
    data = bytearray(content)
    for _ in range(rng.choice([1, 1, 2, 4])):
        start = rng.randrange(len(data) + 1) if rng.random() < 0.5 else rng.randrange(min(len(data), 64) + 1)
        end = min(len(data), start + rng.choice([1, 2, 4, 8, 40]))
        fault = rng.randrange(7)
        if fault == 0 and start < len(data):
            data[start] ^= 1 << rng.randrange(8)
        elif fault == 1:
            del data[start:]
        elif fault == 2:
            del data[start:end]
        elif fault == 3:
            data[start:start] = data[start:end] * rng.choice([1, 2, 50])
        elif fault == 4:
            data[start:end] = rng.randbytes(end - start)
        elif fault == 5:
            data[start:end] = rng.choice([b"\xff", b"\x00", b"\x7f", b"\x80"]) * (end - start)
        else:
            data[start:end] = rng.choice(WORDS)
    return bytes(data)


def replace_a_value(rng: random.Random, document: Any) -> None:
    """One value of a JSON document becomes another one, at any depth."""
    place, key = document, rng.choice(list(document))
    while isinstance(place[key], dict | list) and place[key] and rng.random() < 0.8:
        place = place[key]
        key = rng.choice(list(place)) if isinstance(place, dict) else rng.randrange(len(place))
    place[key] = rng.choice(VALUES)


def with_another_value(rng: random.Random, content: bytes) -> bytes:
    """A JSON document, or a checkpoint's, with one value that is another one."""
    if content.startswith(b"{"):
        document = json.loads(content)
        replace_a_value(rng, document)
        return json.dumps(document).encode()
    (size,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8:8 + size])
    document = json.loads(header["__metadata__"]["content"])
    replace_a_value(rng, document)
    header["__metadata__"]["content"] = json.dumps(document)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + content[8 + size:]


def verdict(each: Format, content: bytes, folder: Path) -> str:
    """What is wrong with the answer to this file; "" if nothing is."""
    path = folder / f"file{each.ending}"
    path.write_bytes(content)
    tracemalloc.start()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            each.read(path)
    except (ValueError, OSError, UsageError, Failure) as error:
        if not str(error).strip():
            return f"{type(error).__name__} without a message"
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    finally:
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    return f"{most:,} bytes of memory for a file of {len(content):,}" if most > MEMORY else ""


def check(seed: int, folder: Path) -> tuple[int, list[str]]:
    """(files read, findings) of one round: every format, some damaged copies each."""
    rng, ran, findings = random.Random(seed), 0, []
    for each in formats(rng):
        if said := verdict(each, each.content, folder):
            findings.append(f"{each.ending} whole: {said}")
        for _ in range(BEST):
            has_values = each.ending == ".json" or each.repair is signed
            damage = with_another_value if has_values and rng.random() < 0.7 else damaged
            content = each.repair(damage(rng, each.content))
            ran += 1
            if said := verdict(each, content, folder):
                findings.append(f"{each.ending} seed {seed}: {said}\n    {content[:300]!r}")
    return ran, findings


def hunt(first: int, seconds: float) -> tuple[int, list[str]]:
    """(files read, findings) of rounds until the time is over."""
    end, seed, ran, findings = time.monotonic() + seconds, first, 0, []
    with tempfile.TemporaryDirectory() as folder:
        while time.monotonic() < end:
            more, found = check(seed, Path(folder))
            ran, seed, findings = ran + more, seed + 1, findings + found
            print(*found, sep="\n", end="\n" if found else "", flush=True)
    return ran, findings
