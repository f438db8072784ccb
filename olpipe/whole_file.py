"""Put files in place as a whole: a sudden end leaves the old one or the new one."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

_DIGITS = 16


def put_whole(path: Path, data: bytes) -> None:
    """Put a file in place, in a folder that is made where it is missing. When this returns, it is on the disk.

    Raises:
        OSError: It cannot be written.
    """
    fresh = fresh_beside(path)
    with fresh.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.replace(fresh, path)


def fresh_beside(path: Path) -> Path:
    """Return where a file is written before it takes the place of another one. Its folder is there then.

    The name is short, however long that of the other file is, and always the same for it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.with_name(f".{hashlib.sha256(os.fsencode(path.name)).hexdigest()[:_DIGITS]}.new")
