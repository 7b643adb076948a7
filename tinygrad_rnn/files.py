"""Writing a file as a whole: the old one stays until all of the new one is written."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from .uninterrupted import Uninterrupted

PREFIX = ".tinygrad_rnn-"
"""Of the names of unfinished files and folders, each of which ends in random letters."""


def write(path: str | Path, data: str | bytes) -> Path:
    """Write a file that takes the place of `path` once it is whole; text as UTF-8.

    Raises OSError with the path in it, and leaves an older file as it was.
    """
    with replacing(path) as file:
        file.write(data.encode() if isinstance(data, str) else data)
    return Path(path)


@contextlib.contextmanager
def replacing(path: str | Path) -> Iterator[BinaryIO]:
    """A new file of a name of its own, which takes the place of `path` when the block has ended.

    A link is followed; an older file's permissions are kept. A device, as /dev/stdout, is
    written to directly.

    Raises OSError with the path in it.
    """
    target = Path(os.path.realpath(path))
    unfinished = target.with_name(PREFIX + secrets.token_hex(6))
    old = _mode(path, target)
    if old is not None and not stat.S_ISREG(old):
        with _named(path), open(path, "wb") as file:
            yield file
        return
    try:
        with _named(path, unfinished):
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
            with os.fdopen(os.open(unfinished, flags, 0o666), "wb") as file:
                yield file
            if old is not None:
                os.chmod(unfinished, stat.S_IMODE(old))
            os.replace(unfinished, target)
    finally:
        with contextlib.suppress(OSError):
            unfinished.unlink(missing_ok=True)


@contextlib.contextmanager
def together(folder: str | Path) -> Iterator[Path]:
    """A new folder inside `folder`, whose files are moved there when the block has ended.

    All of them or, after an error or Ctrl-C in the block, none.

    Raises OSError with the path in it.
    """
    folder = Path(folder)
    unfinished = folder / (PREFIX + secrets.token_hex(6))
    with _named(folder, unfinished):
        unfinished.mkdir()
    try:
        yield unfinished
        with Uninterrupted():
            for file in sorted(unfinished.iterdir()):
                with _named(folder / file.name, file):
                    os.replace(file, folder / file.name)
    except OSError as error:
        file = Path(str(error.filename))
        if error.errno is None or file.parent != unfinished:
            raise
        raise OSError(error.errno, error.strerror, str(folder / file.name)) from error
    finally:
        import shutil

        shutil.rmtree(unfinished, ignore_errors=True)


def _mode(path: str | Path, target: Path) -> int | None:
    """The kind and permissions of the old file; OSError if it is no place to write to."""
    try:
        mode = os.stat(path).st_mode
    except OSError:
        return None  # nothing is there, or nothing can be: opening will say which
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not os.access(target, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
    return mode


@contextlib.contextmanager
def _named(path: str | Path, unfinished: Path | None = None) -> Iterator[None]:
    """Put a path into errors that lack one, or that name the unfinished file."""
    try:
        yield
    except OSError as error:
        ours = error.filename is None or str(error.filename) == str(unfinished)
        if error.errno is None or not ours:
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error


def is_ours(path: str | Path, mark: bytes) -> bool:
    """Whether there is no file at a path, or one that begins with this library's mark."""
    try:
        with open(path, "rb") as file:
            return mark in file.read(4096)
    except FileNotFoundError:
        return True
