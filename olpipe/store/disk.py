"""How much of a disk files take. A file with several names counts once."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from pathlib import Path

_BLOCK_BYTES = 512


class Counted:
    """Counts files, each of them once, however many names it has."""

    def __init__(self) -> None:
        self._seen: set[tuple[int, int]] = set()

    def used(self, path: Path) -> int:
        """Return how many bytes a file or a folder takes, as far as it was not counted before. Links take nothing."""
        return sum(map(self._one, [path, *_within(path)]))

    def _one(self, path: Path) -> int:
        try:
            found = path.lstat()
        except OSError:
            return 0  # it has gone
        key = (found.st_dev, found.st_ino)
        if not stat.S_ISREG(found.st_mode) or key in self._seen:
            return 0
        self._seen.add(key)
        # The file of a blob that comes in is as long as the blob will be, so only what was written of it counts
        return getattr(found, "st_blocks", -(-found.st_size // _BLOCK_BYTES)) * _BLOCK_BYTES


def used(path: Path) -> int:
    """Return how many bytes a file or a folder takes."""
    return Counted().used(path)


def freed_by(paths: Iterable[Path]) -> int:
    """Return how many bytes the removal of files frees: nothing for a file that has another name elsewhere."""
    names: dict[tuple[int, int], int] = {}
    sizes: dict[tuple[int, int], int] = {}
    links: dict[tuple[int, int], int] = {}
    for path in paths:
        for one in [path, *_within(path)]:
            try:
                found = one.lstat()
            except OSError:
                continue
            if stat.S_ISREG(found.st_mode):
                key = (found.st_dev, found.st_ino)
                names[key] = names.get(key, 0) + 1
                links[key] = found.st_nlink
                sizes[key] = getattr(found, "st_blocks", -(-found.st_size // _BLOCK_BYTES)) * _BLOCK_BYTES
    return sum(sizes[key] for key in sizes if names[key] >= links[key])


def _within(path: Path) -> list[Path]:
    """Return the files in a folder and below."""
    if not path.is_dir() or path.is_symlink():
        return []
    return [Path(folder, file) for folder, _, files in os.walk(path) for file in files]
