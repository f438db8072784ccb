"""The photos of a data set: their names in its folder, and how they come there."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from pathlib import Path

from olpipe.row_file import set_aside
from olpipe.whole_file import fresh_beside

_PLAIN = re.compile(r"[^\W_](?:[\w.-]|(?<=\w) )*\.\w{1,10}")
_DIGEST_AT_END = re.compile(r"-[0-9a-f]{16}\.\w{1,10}$")
_SUFFIX = re.compile(r"\.[A-Za-z0-9]{1,10}$")
_LONGEST = 180  # bytes; most systems take names of up to 255


def flat_name(file: str) -> str:
    """Return the name of a photo in a folder without folders in it. Different photos have different names.

    `datasets` takes a folder called `test` or `val`, wherever it is, for a part of the data set. So the folders of the
    photos become part of the name, as in `trip--cat-0123456789abcdef.jpg`.
    """
    if _PLAIN.fullmatch(file) and not _DIGEST_AT_END.search(file) and len(file.encode("utf-8", "replace")) <= _LONGEST:
        return file
    match = _SUFFIX.search(file)
    suffix = match.group() if match else ""
    path = file.removesuffix(suffix).replace("/", "--")
    readable = re.sub(r"[^\w-]+", "_", path).strip("-_").encode("utf-8", "replace")[:_LONGEST].decode("utf-8", "ignore")
    digest = hashlib.sha256(file.encode("utf-8", "surrogateescape")).hexdigest()[:16]
    return f"{readable or 'photo'}-{digest}{suffix}"


def take_away(source: Path, target: Path, sha256: str) -> None:
    """Remove a photo from the folder, where the photo itself is still there and this is a link to it or a copy of it.

    Args:
        source: The photo.
        target: What is to be removed.
        sha256: The digest of the photo when it was described. It may have got keywords since.
    """
    if not (source.is_file() and target.is_file()):
        return
    if os.path.samefile(source, target) or hashlib.sha256(target.read_bytes()).hexdigest() == sha256:
        target.unlink()


def place(source: Path, target: Path) -> None:
    """Put a photo into the folder: as a hard link, or as a copy where the system makes no link between the folders.

    A link takes no space, and it is the photo itself: `datasets` only reads it.
    """
    if target.exists():
        if os.path.samefile(source, target) or target.read_bytes() == source.read_bytes():
            return
        set_aside(target)
    fresh = _beside(target)
    try:
        os.link(source.resolve(), fresh)
    except OSError:
        shutil.copyfile(source, fresh)
    os.replace(fresh, target)


def put(data: bytes, target: Path) -> None:
    """Write a photo into the folder, from its bytes."""
    if target.exists():
        if target.read_bytes() == data:
            return
        set_aside(target)
    fresh = _beside(target)
    fresh.write_bytes(data)
    os.replace(fresh, target)


def _beside(target: Path) -> Path:
    """Return a path for a file that takes the place of another one as a whole."""
    fresh = fresh_beside(target)
    fresh.unlink(missing_ok=True)
    return fresh
