"""Put files in place as a whole, and keep the first state of those that are somebody's own."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path

from olpipe.row_file import set_aside
from olpipe.whole_file import fresh_beside


def replace(path: Path, data: bytes, *, like: Path | None = None, times: bool = True) -> None:
    """Put a file in place as a whole. A sudden end leaves the old one or the new one.

    Args:
        path: The file; where it is a link, the file that it leads to.
        data: What it will hold.
        like: The new file gets this one's owner, permissions and extended attributes.
        times: It gets the time of its last change, too.
    """
    path = Path(os.path.realpath(path))
    fresh = fresh_beside(path)
    try:
        with fresh.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if like is not None:
            _make_like(fresh, like, times=times)
        os.replace(fresh, path)
    except BaseException:
        fresh.unlink(missing_ok=True)
        raise


def _make_like(path: Path, like: Path, *, times: bool) -> None:
    status = path.stat()
    shutil.copystat(like, path)
    if not times:
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    if hasattr(os, "chown"):
        with suppress(PermissionError):  # only an administrator can give files away, and only they have to
            os.chown(path, like.stat().st_uid, like.stat().st_gid)


def keep_original(path: Path, data: bytes, kept: Path, *, untouched: bool) -> None:
    """Copy a file that is about to change, unless its first state is kept already.

    Args:
        path: The file.
        data: What it holds.
        kept: Where the copy goes.
        untouched: Nothing of ours is in the file. Another file under the same name may have a copy there: it stays,
            with a number behind its name.
    """
    if kept.exists():
        if not untouched or kept.read_bytes() == data:
            return
        set_aside(kept)
    replace(kept, data, like=path)
