"""What photos that were found are called, and in which order they come."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path

from olpipe.archives.opened import has_order
from olpipe.errors import ImageError
from olpipe.image import NO_ENTRY, ImageRef


def common_folder(roots: Sequence[str]) -> str:
    """Return the deepest folder that holds all of some absolute paths; an empty text where there is none."""
    try:
        return os.path.commonpath(roots)
    except ValueError:  # paths on different drives have no common folder: names are absolute then
        return ""


def named_files(found: Mapping[str, os.stat_result], root: str) -> Iterator[ImageRef]:
    """Yield files under the names that records show.

    Each path is made from that of its folder. To take every path apart would take longer than everything else.

    Args:
        found: What the system says of the files, by their absolute paths.
        root: The folder that names are relative to; empty where there is none.
    """
    folder, parent = "", Path()
    for path, status in found.items():
        above, file = os.path.split(path)
        if above != folder:
            folder, parent = above, Path(above)
        yield ImageRef(parent / file, name_below(path, root), status.st_size, status.st_mtime_ns)


def name_below(path: str, root: str) -> str:
    r"""Return the path as records show it. No two paths have the same name.

    In a path that is not UTF-8, such bytes appear as `\xNN`, and backslashes are doubled. Its name begins with `./`, as
    no other name does: a file may really be called `\xe9.jpg`.
    """
    below = os.path.join(root, "")
    relative = path[len(below) :] if root and path.startswith(below) else os.path.relpath(path, root) if root else path
    relative = relative.replace(os.sep, "/")
    if relative.isascii():
        return relative
    encoded = os.fsencode(relative)
    try:
        return encoded.decode("utf-8")
    except UnicodeDecodeError:
        return "./" + encoded.replace(b"\\", b"\\\\").decode("utf-8", "backslashreplace")


def order_below(root: str) -> Callable[[ImageRef], tuple[str, int]]:
    """Return what photos are sorted by: the name, or the place in an archive that can only be read in its order."""

    @cache
    def archive_name(archive: Path) -> str:
        with suppress(ImageError, OSError):  # it was removed in the meantime
            return f"{name_below(str(archive), root)}/" if has_order(archive) else ""
        return ""

    def key(image: ImageRef) -> tuple[str, int]:
        if image.archive is None or image.entry == NO_ENTRY:
            return image.name, 0
        folder = archive_name(image.archive)
        return (folder, image.entry) if folder else (image.name, 0)

    return key
