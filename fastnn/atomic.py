"""Files that appear whole or not at all: written under another name in the same folder, then renamed."""

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A file to write (and read back); it takes the place of ``path`` when the block ends without an exception.

    Until then, and if the block or the disk fails, ``path`` stays as it was and nothing is left beside it. The file is
    new, so a link that somebody put at its name is not followed; a link at ``path`` itself is replaced. The content is
    on the disk (fsync) before the rename. OSError if it cannot be written.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "numbers")
    ...     with replacing(path) as file:
    ...         _ = file.write(b"1 2 3")
    ...         path.exists()
    ...     path.read_bytes()
    False
    b'1 2 3'
    """
    part = path.with_name(f".{path.name[:100]}.{secrets.token_hex(8)}.part")
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
    descriptor = os.open(part, flags, 0o666)            # less what the umask takes away
    try:
        with open(descriptor, "w+b") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except BaseException:                               # Ctrl-C, too
        with contextlib.suppress(OSError):
            part.unlink()
        raise
    remember(path.parent)


def write(path: Path, content: bytes | memoryview) -> None:
    """Write ``content`` to ``path`` at once, or into it if it is a device or a pipe; OSError if it cannot."""
    if path.exists() and not path.is_file():
        path.write_bytes(content)
        return
    with replacing(path.resolve()) as file:             # a link the user made is kept, and what it points to replaced
        file.write(content)


def remember(folder: Path) -> None:
    """Make the names in ``folder`` outlast a power cut, where the system can."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
