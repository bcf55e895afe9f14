"""Rows of examples from files of one's own: CSV, NPY, NPZ, IDX, Parquet, or a folder of images.

    .csv .tsv .txt  a line an example, split by commas, semicolons or tabs; the first line is a header if no cell of it
                    is a number
    .parquet        by pandas, as with a header
    .npy            the inputs (n, …); the targets in a file of their own
    .npz            the arrays x and t
    IDX, plain or gzip (-ubyte, .idx, .gz)          as .npy
    folder          a folder for each class with its images; or images alone, where no classes are needed

Errors name the file and, in tables, the line and the column.
"""

import csv
import io
import os
import re
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from fastnn_ref.shared import checks
from fastnn_ref.shared.arrays import first_row

from ..datasets.idx import read_idx
from ..extras import extra

Array = npt.NDArray[Any]
TABLES = (".csv", ".tsv", ".txt", ".parquet")
NUMBERS = "; --task regression learns numbers"      # where classes are expected
IMAGES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".pgm", ".tif", ".tiff", ".webp")
QUOTED = re.compile(r'(?:^|(?<=[,;\t])) *"(?:[^"]|"")*(?:"|$)')      # a cell; a sign for inches is no quote
LONGEST = 2**16                                     # characters that a delimiter is looked for in
GREY_MODES = ("1", "L", "LA", "La", "I", "I;16", "I;16B", "I;16L")


@dataclass(frozen=True)
class Rows:
    """What a file has."""

    x: Array  # (n, …)
    labels: list[str] | None = None  # of each row
    values: Array | None = None  # (n, targets), those of each row where they are numbers
    columns: tuple[str, ...] | None = None  # names of the inputs
    targets: tuple[str, ...] | None = None  # the columns of the targets, by name or number from 1
    places: list[str] | None = None  # of the label of each row, for messages


@dataclass(frozen=True)
class Images:
    """How images are read."""

    colors: str = "auto"  # grey, rgb, or auto: rgb if any pixel of any image has a colour
    size: tuple[int, int] | None = None  # (width, height) that they must have, or get
    resize: bool = False


AS_THEY_ARE = Images()
LARGEST = 4096  # pixels of a side of an image that is resized


@dataclass(frozen=True)
class Table:
    """Cells of a file, all of them texts or numbers."""

    path: Path
    names: tuple[str, ...] | None
    cells: Sequence[Sequence[Any]]
    lines: Sequence[int]  # where each row stands

    @property
    def width(self) -> int:
        """Number of columns."""
        return len(self.cells[0])

    def targets(self, wanted: str | Sequence[str] | None) -> list[int]:
        """The indices of the targets' columns: of one name, several between commas, or a tuple; None: the last."""
        if wanted is None:
            return [self.width - 1]
        if isinstance(wanted, str):
            wanted = [wanted] if self.names is not None and wanted in self.names else wanted.split(",")
        found = [self.column(each.strip(), "target") for each in wanted]
        for index, column in enumerate(found):
            if column in found[:index]:
                raise ValueError(f"target: expected each column once, got {self.called(column)} twice")
        return found

    def column(self, target: str, name: str) -> int:
        """The index of the column that ``target`` names, or counts from 1; ``name`` is the argument's."""
        if self.names is not None and target in self.names:
            return self.names.index(target)
        if target.isdecimal() and 1 <= int(target) <= self.width:
            return int(target) - 1
        known = f"one of {', '.join(self.names)}, or a number" if self.names else "a number"
        raise ValueError(f"{name}: expected {known} from 1 to {self.width}, a column of {self.path}, got {target!r}")

    def called(self, column: int) -> str:
        """What messages call a column."""
        return repr(self.names[column]) if self.names else str(column + 1)

    def numbers(self, columns: Sequence[int]) -> Array:
        """These columns as finite numbers (n, columns)."""
        cells = [[row[column] for column in columns] for row in self.cells]
        try:
            if any("_" in cell for row in cells for cell in row if type(cell) is str):
                raise ValueError("1_000 is a number for float() alone")
            found = np.array(cells, np.float64)
            bad = ~np.isfinite(found)
        except (ValueError, TypeError):
            bad = np.array([[not is_number(cell) for cell in row] for row in cells])
        if bad.any():
            row, column = np.argwhere(bad)[0]
            raise ValueError(f"{self.path}: line {self.lines[row]}, column {self.called(columns[column])}: expected a "
                             f"finite number, got {self.cells[row][columns[column]]!r}")
        return found

    def labels(self, column: int) -> list[str]:
        """This column as texts."""
        found = []
        for row, line in zip(self.cells, self.lines, strict=True):
            cell = row[column]
            if isinstance(cell, bytes):             # a text of a Parquet file that does not say that it is one
                try:
                    cell = cell.decode()
                except UnicodeDecodeError:
                    raise ValueError(f"{self.path}: line {line}, column {self.called(column)}: expected a label in "
                                     f"UTF-8, got {cell!r}") from None
            found.append("" if cell is None else str(cell).strip())
            if found[-1] in ("", "nan"):
                raise ValueError(f"{self.path}: line {line}, column {self.called(column)}: expected a label, got "
                                 + (repr(found[-1]) if found[-1] else "an empty cell"))
        return found


def is_number(cell: Any) -> bool:
    """Is it a finite number, or the text of one?"""
    try:
        return bool(np.isfinite(float(cell))) and not (isinstance(cell, str) and "_" in cell)      # 2020_01 is a name
    except (ValueError, TypeError):
        return False


# ---- files ----


def read(
    path: Path, labelled: bool, target: str | Sequence[str] | None = None, targets: str | None = None,
    columns: tuple[str, ...] | None = None, width: int | None = None, images: Images = AS_THEY_ARE,
    regression: bool = False,
) -> Rows:
    """The rows of a file or folder, with targets if ``labelled``: labels, or numbers of a ``regression``.

    ``target``: the column of the targets in a table, by default the last one; of a regression there may be several,
    between commas or in a tuple. ``targets``: the file of the targets beside .npy and IDX. ``columns`` and ``width``:
    names and number of the inputs, where they are known from a training: a table may have others, too. ValueError for
    what does not fit.
    """
    kind = kind_of(path)
    if kind == "table":
        return from_table(read_table(path), labelled, target, columns, width, regression)
    if kind == "folder":
        if labelled and regression:
            raise ValueError(f"task: expected classification for {path}, as images in folders have classes, got "
                             "regression; NPZ has the arrays x and t")
        return read_images(path, labelled, images)
    arrays = read_arrays(path)
    if "x" not in arrays:
        raise ValueError(f"{path}: expected the arrays x and t, got {', '.join(arrays) or 'none'}")
    x = as_inputs(arrays["x"], str(path))
    if not labelled:
        return Rows(x)
    if kind == "npz" and targets is None:
        if "t" not in arrays:
            raise ValueError(f"{path}: expected the arrays x and t, got {', '.join(arrays)}")
        t = arrays["t"]
    elif targets is None:
        raise ValueError(f"targets: expected the file with the targets of {path}, got none")
    else:
        found = read_arrays(Path(targets))
        t = found.get("t", found.get("x", np.empty(0)))
    known: Any = (as_values if regression else as_labels)(t, targets or str(path))
    if len(known) != len(x):
        raise ValueError(f"{targets or path}: expected {len(x)} targets, one for each row of x, got {len(known)}")
    return Rows(x, values=known) if regression else Rows(x, known)


def kind_of(path: Path) -> str:
    """"table", "folder", "npz" or "array"; ValueError for another ending, OSError if it is not there."""
    path.stat()
    if path.is_dir():
        return "folder"
    ending = path.suffix.lower()
    if ending == ".gz" and Path(path.stem).suffix.lower() in (*TABLES, ".npy", ".npz"):
        raise ValueError(f"{path}: expected an unpacked file, as only IDX is read from .gz")
    if ending in TABLES:
        return "table"
    if ending in (".npy", ".npz"):
        return "npz" if ending == ".npz" else "array"
    if ending in IMAGES:
        return "folder"
    if ending in (".idx", ".gz") or path.name.endswith("ubyte"):
        return "array"
    raise ValueError(f"{path}: expected a folder of images or a file ending in {', '.join(TABLES)}, .npy, .npz, .idx, "
                     f"-ubyte or .gz (IDX), or {', '.join(IMAGES)}")


def read_arrays(path: Path) -> dict[str, Array]:
    """The arrays of an NPZ file; of NPY or IDX the one as x."""
    if path.suffix.lower() not in (".npy", ".npz"):
        return {"x": read_idx(path)}
    try:
        with open(path, "rb") as file:
            check_header_length(file)
            found = np.load(file)
            return {"x": found} if isinstance(found, np.ndarray) else dict(found)
    except Exception as error:          # of a damaged file there are many kinds; objects are never unpickled
        if isinstance(error, OSError):
            raise
        raise ValueError(f"{path}: expected a whole {path.suffix} file of numbers or texts ({error})") from error


def check_header_length(file: BinaryIO) -> None:
    """ValueError for an NPY file of version 2 or 3 whose header is longer than the file: NumPy would set as much memory
    aside."""
    start, size = file.read(12), file.seek(0, os.SEEK_END)
    file.seek(0)
    if start.startswith(b"\x93NUMPY") and start[6:7] > b"\x01" and int.from_bytes(start[8:], "little") > size:
        raise ValueError(f"its header has {int.from_bytes(start[8:], 'little')} bytes, the file {size}")


def as_inputs(x: Array, name: str) -> Array:
    """Inputs (n, …) of finite numbers, at least one."""
    if x.dtype.kind not in "biuf" or x.ndim < 2 or not x.size:
        raise ValueError(f"{name}: expected inputs (n, …) that are numbers, got {x.dtype} "
                         f"{checks.format_shape(x.shape)}")
    if x.dtype.kind == "f" and not np.isfinite(x).all():
        bad = np.asarray(~np.isfinite(x.reshape(len(x), -1)).all(axis=1))
        raise ValueError(f"{name}: expected finite numbers, got NaN or ∞ at row {first_row(bad)}")
    return x


def as_labels(t: Array, name: str) -> list[str]:
    """Targets (n,) as texts: whole numbers, or texts."""
    if t.ndim != 1 or t.dtype.kind not in "biufU":
        raise ValueError(f"{name}: expected targets (n,), whole numbers or texts, got {t.dtype} "
                         f"{checks.format_shape(t.shape)}")
    if t.dtype.kind == "f":
        if (bad := (t != np.round(t)) | (np.abs(t) >= 2.0**63)).any():     # NaN differs, ∞ is beyond any int64
            raise ValueError(f"{name}: expected classes, whole numbers or texts, got {t[bad][0]} at row "
                             f"{first_row(bad)}{NUMBERS}")
        t = t.astype(np.int64)
    return [str(each) for each in t.tolist()]


def as_values(t: Array, name: str) -> Array:
    """Targets (n,) or (n, targets) as finite numbers (n, targets) float64."""
    if t.dtype.kind not in "biuf" or t.ndim not in (1, 2) or 0 in t.shape[1:]:
        raise ValueError(f"{name}: expected targets (n,) or (n, targets) that are numbers, got {t.dtype} "
                         f"{checks.format_shape(t.shape)}")
    t = t.reshape(len(t), -1).astype(np.float64)
    if (bad := ~np.isfinite(t)).any():
        raise ValueError(f"{name}: expected finite targets, got {t[bad][0]} at row "
                         f"{first_row(np.asarray(bad.any(axis=1)))}")
    return t


# ---- tables ----


def read_table(path: Path) -> Table:
    """The cells of a CSV or Parquet file."""
    if path.suffix.lower() == ".parquet":
        return read_parquet(path)
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            unquoted = QUOTED.sub("", file.read(LONGEST).lstrip("\r\n"))    # in quotes nothing is a delimiter
            start = re.split(r"[\r\n]", unquoted, maxsplit=1)[0]
            file.seek(0)
            reader = csv.reader(file, delimiter=max(",;\t", key=start.count), skipinitialspace=True, strict=True)
            found = [(reader.line_num, row) for row in reader if "".join(row).strip() or len(row) > 1]
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{path}: expected a table of UTF-8 text ({error})") from error
    names = None
    if found and not any(is_number(cell) for cell in found[0][1]):
        names = tuple(name.strip() for name in found.pop(0)[1])
        if len(set(names)) < len(names):
            raise ValueError(f"{path}: expected columns with a name each, got one twice: {', '.join(names)}")
    if not found:
        raise ValueError(f"{path}: expected rows, got none")
    width = len(names or found[0][1])
    for line, row in found:
        if len(row) != width:
            raise ValueError(f"{path}: line {line}: expected {width} columns, got {len(row)}")
    return Table(path, names, [row for _, row in found], [line for line, _ in found])


def read_parquet(path: Path) -> Table:
    """A Parquet file, as far as pandas reads it."""
    with extra("data"):
        import pandas
    try:
        frame = pandas.read_parquet(path)
    except ImportError as error:                            # pandas without pyarrow
        raise ModuleNotFoundError('pyarrow is missing: pip install "fastnn[data]"', name="pyarrow") from error
    except Exception as error:          # of a damaged file there are many kinds
        raise ValueError(f"{path}: expected a Parquet file ({error})") from error
    if frame.empty:
        raise ValueError(f"{path}: expected rows, got none")
    cells = list(zip(*(
        [None if absent else cell for cell, absent in zip(column.tolist(), column.isna().tolist(), strict=True)]
        if column.hasnans else column.tolist() for _, column in frame.items()), strict=True))
    return Table(path, tuple(map(str, frame.columns)), cells, range(1, len(frame) + 1))


def from_table(
    table: Table, labelled: bool, target: str | Sequence[str] | None, columns: tuple[str, ...] | None,
    width: int | None, regression: bool,
) -> Rows:
    """Inputs and targets of a table; columns of targets that nobody asked for are left out."""
    several = 1 if target is None or isinstance(target, str) else len(target)
    labels: list[int] = []
    if labelled or (columns is None and width is not None and table.width == width + several):
        labels = table.targets(target)
    if len(labels) > 1 and not regression and labelled:
        raise ValueError(f"target: expected one column of classes, got {', '.join(map(table.called, labels))}; --task "
                         "regression learns several columns of numbers")
    inputs = [column for column in range(table.width) if column not in labels]
    if columns is not None and table.names is not None:
        absent = [name for name in columns if name not in table.names]
        if absent:
            raise ValueError(f"{table.path}: expected the columns {', '.join(columns)}, found no {', '.join(absent)}")
        inputs = [table.names.index(name) for name in columns]
    if not inputs or (width is not None and len(inputs) != width):
        raise ValueError(f"{table.path}: expected {width or 'some'} columns of inputs, got {len(inputs)}")
    return Rows(
        table.numbers(inputs),
        table.labels(labels[0]) if labelled and not regression else None,
        table.numbers(labels) if labelled and regression else None,
        None if table.names is None else tuple(table.names[column] for column in inputs),
        tuple(table.names[each] if table.names else str(each + 1) for each in labels) or None,
        [f"line {line}, column {table.called(labels[0])}" for line in table.lines] if labels else None,
    )


# ---- images ----


def as_size(name: str, value: str | None) -> tuple[int, int] | None:
    """(width, height) of a size as it is typed, 1 to ``LARGEST`` pixels each."""
    if value is None:
        return None
    found = re.fullmatch(r"(\d{1,5})(?:x(\d{1,5}))?", value)
    size = (int(found[1]), int(found[2] or found[1])) if found else (0, 0)
    if not 1 <= min(size) <= max(size) <= LARGEST:
        raise ValueError(f"{name}: expected a size such as 32 or 32x24 (width x height), each from 1 to {LARGEST}, got "
                         f"{value!r}")
    return size


def read_images(path: Path, labelled: bool, how: Images) -> Rows:
    """Images (n, height, width), grey, or (n, 3, height, width), RGB, one byte each; the label of an image is the name
    of the folder of ``path`` that it is in."""
    with extra("images"):
        import PIL  # noqa: F401
    files = [path] if path.is_file() else sorted(files_of_classes(path) if labelled else files_in(path))
    if not files:
        where = "folders with images, one for each class" if labelled else "images"
        raise ValueError(f"{path}: expected {where}, got none")
    images: list[Array] = []
    size, like = how.size, "like those of the training"
    for file in files:
        images.append(read_image(file, how))
        found = images[-1].shape[1], images[-1].shape[0]
        if size is None:
            size, like = found, f"like {file}"
        if found != size:
            wanted, got = (f"{width}x{height}" for width, height in (size, found))
            raise ValueError(f"{file}: expected an image of {wanted} pixels, {like}, got {got}; "
                             f"fastnn train --image-size {wanted} resizes images")
    if how.colors == "auto" and any(image.ndim == 3 for image in images):
        images = [image if image.ndim == 3 else np.repeat(image[:, :, None], 3, axis=2) for image in images]
    x = np.stack(images)
    if labelled and not x.any():
        raise ValueError(f"{path}: expected images that are not all black, got none; of 16 bits for each pixel the "
                         "upper 8 are read: save smaller numbers with 8 bits; transparency is not read: put what is "
                         "drawn with it alone onto a colour")
    if x.ndim == 4:
        x = np.ascontiguousarray(x.transpose(0, 3, 1, 2))
    return Rows(x, [class_of(file, path) for file in files] if labelled else None)


def class_of(file: Path, path: Path) -> str:
    """The name of the folder of ``path`` that a file is in, or of the folder of a single file."""
    return file.parent.name if file == path else file.relative_to(path).parts[0]


def files_of_classes(path: Path) -> list[Path]:
    """The images in the folders of ``path``, at any depth; ValueError for a folder that has none, whose class would be
    left out."""
    found: list[Path] = []
    for folder in filter(Path.is_dir, listed(path)):
        files = list(files_in(folder, (os.path.realpath(path),)))
        if not files:
            raise ValueError(f"{folder}: expected images of a class ({', '.join(IMAGES)}), got none")
        found += files
    return found


def files_in(path: Path, above: tuple[str, ...] = ()) -> Iterator[Path]:
    """The images in a folder, at any depth; ``above`` are the folders that it is in, to which links may lead."""
    real = os.path.realpath(path)
    if real in above:
        return
    for each in listed(path):
        if each.is_dir():
            yield from files_in(each, (*above, real))
        elif is_image(each):
            yield each


def listed(folder: Path) -> list[Path]:
    """What is in a folder, without names that begin with a dot, such as .ipynb_checkpoints, and without runs, whose
    picture is no example; OSError if it cannot be read."""
    return [each for each in folder.iterdir() if not each.name.startswith(".") and not (each / "run.json").is_file()]


def is_image(file: Path) -> bool:
    """Is it a file, or a link to one, with the ending of an image?"""
    return file.suffix.lower() in IMAGES and file.is_file()


def as_bytes(image: Any, file: Path) -> Any:
    """The image with a byte for each pixel and colour; of 16 bits the upper 8, as Pillow's ``convert`` cuts at 255."""
    if image.mode != "F" and not image.mode.startswith("I"):
        return image
    from PIL import Image

    pixels = np.asarray(image)
    if pixels.dtype.kind == "f" or pixels.min() < 0 or pixels.max() >= 2**16:
        raise ValueError(f"{file}: expected an image of 8 or 16 bits for each pixel, got {pixels.dtype} from "
                         f"{pixels.min():g} to {pixels.max():g}")
    if image.format == "TIFF" and image.mode == "I" and 0 < pixels.max() < 256:     # bytes in integers of 32 bits?
        raise ValueError(f"{file}: expected an image of 8 or 16 bits for each pixel, got integers up to "
                         f"{pixels.max()}, whose upper 8 of 16 bits are all 0; save them with 8 bits")
    return Image.fromarray((pixels >> 8).astype(np.uint8))


def read_image(file: Path, how: Images) -> Array:
    """The pixels of an image: (height, width) bytes, or (height, width, 3) in colour."""
    from PIL import Image, UnidentifiedImageError

    try:
        with warnings.catch_warnings():
            # From memory: of a file, Pillow sets as much aside as a damaged header asks for.
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            image = Image.open(io.BytesIO(file.read_bytes()))
            image.load()
    except Exception as error:          # of a damaged file there are many kinds
        unknown = isinstance(error, UnidentifiedImageError)     # whose text names the memory
        raise ValueError(f"{file}: expected an image ({'an unknown format' if unknown else error})") from error
    grey = how.colors == "grey" or (how.colors == "auto" and image.mode in GREY_MODES)
    pixels = as_bytes(image, file).convert("L" if grey else "RGB")
    if how.resize and how.size is not None:
        pixels = pixels.resize(how.size, Image.Resampling.BILINEAR)     # averages where it makes smaller
    found = np.asarray(pixels)
    if how.colors == "auto" and not grey and (found == found[:, :, :1]).all():
        return found[:, :, 0]
    return found
