"""Turn errors of the file system into one clear line."""

from __future__ import annotations

import errno
import json
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from olpipe.errors import DiskFull, StoreError

# EFBIG: a file system or a limit of the process that takes no file of that size.
_FULL = frozenset({errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)})
READ_ONLY = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})
_REFUSED = READ_ONLY | {errno.ENOTDIR, errno.EEXIST}


@contextmanager
def writing(target: Path) -> Iterator[None]:
    """Run a block that writes below `target`.

    Raises:
        DiskFull: There was no space for it.
        StoreError: The folder may not be written.
    """
    with having_space(target):
        try:
            yield
        except OSError as error:
            if error.errno in _REFUSED:
                raise StoreError(
                    f"`{target}` cannot be written ({error.strerror})",
                    hint="set OLPIPE_HOME or OLLAMA_MODELS to a folder that you may write to",
                ) from error
            raise


@contextmanager
def having_space(target: Path) -> Iterator[None]:
    """Run a block that writes below `target` and reads elsewhere: only a full disk is told of `target`.

    Raises:
        DiskFull: There was no space for it.
    """
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise DiskFull(
                f"no space left to write `{target}` ({error.strerror})",
                hint="free some space, then run the command again: what is complete is kept",
            ) from error
        raise


def new_file(folder: Path, prefix: str) -> tuple[int, Path]:
    """Make a file with a name of its own, and return its handle and its path.

    Other users may read it as the umask says. Files of `tempfile` are for their user alone.
    """
    path = folder / f"{prefix}{uuid.uuid4().hex}"
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666), path


def replace_json(path: Path, value: Any, *, indent: int | None = None) -> None:
    """Write a value as JSON into a file, which is replaced as a whole. Its folder is made where it is missing.

    Raises:
        DiskFull: There was no space.
        StoreError: The store may not be written.
    """
    with writing(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, fresh = new_file(path.parent, ".new-")
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                json.dump(value, file, ensure_ascii=False, indent=indent)
            os.replace(fresh, path)
        finally:
            fresh.unlink(missing_ok=True)


def new_folder(folder: Path, prefix: str, suffix: str = "") -> Path:
    """Make a folder with a name of its own. Other users may read it as the umask says."""
    path = folder / f"{prefix}{uuid.uuid4().hex}{suffix}"
    path.mkdir()
    return path
