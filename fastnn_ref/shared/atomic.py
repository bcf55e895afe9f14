"""Files that appear whole or not at all: written under another name in the same folder, then renamed.

    .NAME.0123456789abcdef.part     the temporary file

A process that is killed in between leaves it behind. While a process lives it holds a lock (flock) on its temporary
file, so the next one that writes the same file can tell a leftover, and removes it.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from fcntl import LOCK_EX, LOCK_NB, flock
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from pathlib import Path

CANNOT = (errno.EINVAL, errno.EBADF, errno.ENOTSUP, errno.EACCES, errno.EPERM, errno.EISDIR)    # of folders: no fsync

MOUNTS = "/proc/self/mountinfo"     # of Linux: in its fifth column, where something is mounted


@contextlib.contextmanager
def about(path: object) -> Iterator[None]:
    """Any OSError is about ``path``: it may name no file, as of a full disk, or one that the user never heard of."""
    try:
        yield
    except OSError as error:
        if error.errno is None:
            raise
        raise type(error)(error.errno, error.strerror, str(path)) from None


@contextlib.contextmanager
def replacing(path: Path, given: Path | None = None) -> Iterator[BinaryIO]:
    """A file to write (and read back); it takes the place of ``path`` when the block ends without an exception.

    Until then, and if the block or the disk fails, ``path`` stays as it was and nothing is left beside it. The file is
    new, so a link that somebody put at its name is not followed; a link at ``path`` itself is replaced. It keeps the
    permissions of the one before. The content is on the disk (fsync) before the rename, and the rename is on the disk
    at the end. OSError if it cannot be written, about the path that the user has ``given``, if that is another one.

    >>> from fastnn_ref.shared.atomic import replacing
    >>> import tempfile
    >>> from pathlib import Path
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "numbers")
    ...     with replacing(path) as file:
    ...         _ = file.write(b"1 2 3")
    ...         path.exists()
    ...     path.read_bytes()
    False
    b'1 2 3'
    """
    remove_leftovers(path)
    with about(given or path):
        temporary, descriptor = open_temporary(path)
    try:
        with open(descriptor, "w+b") as file:
            keep_mode(path, file.fileno())
            yield file
            file.flush()
            os.fsync(file.fileno())
            os.replace(temporary, path)                 # locked until it has its name
    except BaseException as error:                      # Ctrl-C, too
        with contextlib.suppress(OSError):
            temporary.unlink()
        if isinstance(error, OSError) and error.errno is not None and error.filename in (None, str(temporary)):
            raise type(error)(error.errno, error.strerror, str(given or path)) from None
        raise
    remember(path.parent)


def open_temporary(path: Path) -> tuple[Path, int]:
    """A new temporary file for ``path`` and its descriptor, locked."""
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    while True:
        temporary = path.with_name(f"{prefix_of(path)}{os.urandom(8).hex()}.part")
        descriptor = None
        try:                                            # Ctrl-C may come as soon as the file is there
            descriptor = os.open(temporary, flags, 0o666)   # less what the umask takes away
            with contextlib.suppress(OSError):          # some file systems have no locks
                flock(descriptor, LOCK_EX)
            if os.fstat(descriptor).st_nlink:           # nobody took it for a leftover before it was locked
                return temporary, descriptor
        except FileExistsError:                         # another one's
            raise
        except BaseException:
            with contextlib.suppress(OSError):
                temporary.unlink()
            if descriptor is not None:
                os.close(descriptor)
            raise
        os.close(descriptor)


def keep_mode(path: Path, descriptor: int) -> None:
    """Who may read and write the file at ``path`` may do so with the one that takes its place: nobody else, either."""
    with contextlib.suppress(OSError):                  # there is none; some file systems have no such bits
        old, new = os.lstat(path), os.stat(descriptor)
        if stat.S_ISREG(old.st_mode) and (old.st_mode, old.st_uid, old.st_gid) != (new.st_mode, new.st_uid, new.st_gid):
            with contextlib.suppress(OSError):          # for root alone
                os.fchown(descriptor, old.st_uid, old.st_gid)
            os.fchmod(descriptor, old.st_mode & 0o777)


def prefix_of(path: Path) -> str:
    """What the names of all temporary files for ``path`` begin with: a file system counts their bytes."""
    return f".{os.fsencode(path.name)[:100].decode('ascii', 'ignore')}."        # which every locale can write


def remove_leftovers(path: Path) -> None:
    """Removes the temporary files for ``path`` that nobody writes any more."""
    prefix = prefix_of(path)
    with contextlib.suppress(OSError):
        for name in os.listdir(path.parent):
            if name.startswith(prefix) and name.endswith(".part") and len(name) == len(prefix) + 16 + len(".part"):
                remove_unlocked(path.with_name(name))


def remove_unlocked(temporary: Path) -> None:
    """Removes a temporary file, unless a process writes it."""
    with contextlib.suppress(OSError):
        how = os.O_RDWR if os.access(temporary, os.W_OK) else os.O_RDONLY      # as the file that it was to replace
        descriptor = os.open(temporary, how | os.O_NOFOLLOW)
        try:
            flock(descriptor, LOCK_EX | LOCK_NB)
            temporary.unlink()
        finally:
            os.close(descriptor)


def write(path: Path, *pieces: bytes | memoryview) -> None:
    """Write ``pieces`` to ``path`` at once, or into it if it is a device or a pipe; OSError if it cannot."""
    if path.exists() and not path.is_file():
        path.write_bytes(b"".join(pieces))
        return
    place = type(path)(os.path.realpath(path))          # a link the user made is kept, and what it points to replaced
    if place.is_symlink():                              # it leads back to itself
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))
    with replacing(place, path) as file:
        file.writelines(pieces)


def can_write_in(folder: Path, made: bool = False) -> bool:
    """Is it a folder in which files can be made; with ``made``, or one that can be made itself?"""
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists() or not made)
    return there.is_dir() and os.access(there, os.W_OK)


def can_write(path: Path) -> bool:
    """Could ``write`` put a file there? It is asked before work that takes long: where a link leads to, and in a folder
    such as /tmp, in which nobody replaces the file of another user; no file that is mounted by itself has another one
    put in its place."""
    if path.exists() and not path.is_file():            # a device or a pipe is written into
        return not path.is_dir() and os.access(path, os.W_OK)
    place = type(path)(os.path.realpath(path))
    if place.is_symlink() or not can_write_in(place.parent) or is_mounted(place):
        return False
    folder = place.parent.stat()
    mine = not place.exists() or os.geteuid() in (0, folder.st_uid, place.stat().st_uid)
    return mine or not folder.st_mode & stat.S_ISVTX


def is_mounted(path: Path) -> bool:
    """Is this very file mounted, as ``docker run -v FILE:FILE`` does it? False where the system has no list."""
    try:
        with open(MOUNTS, "rb") as file:
            points = [line.split()[4] for line in file]
    except (OSError, IndexError):
        return False
    name = os.fsencode(path)
    for character in b"\\ \t\n":                       # written as octal numbers there; the backslash first
        name = name.replace(bytes([character]), b"\\%03o" % character)
    return name in points


def remember(path: Path) -> None:
    """Make the names in a folder, or what stands in a file, outlast a power cut, where the system can; OSError if the
    disk fails."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        if error.errno not in CANNOT:
            raise
