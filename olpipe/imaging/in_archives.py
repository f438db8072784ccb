"""Find the photos in an archive, by the same rules as in a folder."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from olpipe.archives import is_archive
from olpipe.archives.kept_listings import KeptListings
from olpipe.archives.opened import listing
from olpipe.errors import ImageError
from olpipe.image import NO_ENTRY, ImageRef

_TICKS = 1_000_000
"""Nanoseconds in a millisecond: the size of an archive moves the time of its files by less."""


@dataclass(slots=True)
class FoundInside:
    """What was found in an archive.

    Attributes:
        images: The photos, and the archive itself where it is damaged. Their names are not set yet.
        links: How many links are in it.
        archives: How many archives are in it. They are not opened.
        videos: How many videos are in it.
        excluded: How many files and folders were left out because the user said so.
        programs_folders: Folders that were left out because programs keep them for themselves.
    """

    images: list[ImageRef] = field(default_factory=list)
    links: int = 0
    archives: int = 0
    videos: int = 0
    excluded: set[str] = field(default_factory=set)
    programs_folders: set[str] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class Rules:
    """What counts, and what is left out.

    Attributes:
        is_wanted: Whether a file of this name may be a photo.
        is_video: Whether a file of this name is a video.
        is_excluded: Whether the user leaves out what has this name and this path.
        is_programs_folder: Whether programs keep a folder of this name for themselves.
    """

    is_wanted: Callable[[str], bool]
    is_video: Callable[[str], bool]
    is_excluded: Callable[[str, str], bool]
    is_programs_folder: Callable[[str], bool]


def look_into(archive: str, rules: Rules, kept: KeptListings | None = None) -> FoundInside:
    """Find the photos in an archive. Hidden files are left out, and so is what folders are searched without.

    An archive that cannot be opened, or whose end cannot be found, becomes an image itself: reading it says why.

    Args:
        archive: Its absolute path.
        rules: What counts.
        kept: Listings of earlier runs.
    """
    found = FoundInside()
    path = Path(archive)
    try:
        status = os.stat(archive)
        modified_ns = status.st_mtime_ns + status.st_size % _TICKS
        contents = listing(path, kept)
    except (ImageError, OSError):
        found.images.append(_damaged(path))
        return found
    found.links = contents.links
    for entry in contents.entries:
        parts = entry.name.split("/")
        if any(part.startswith(".") for part in parts) or _is_left_out(parts, archive, rules, found):
            continue
        name = parts[-1]
        if rules.is_wanted(name):
            inside = Path(archive, *parts)
            found.images.append(ImageRef(inside, "", entry.size_bytes, modified_ns, path, entry.number))
        else:
            found.videos += rules.is_video(name)
            found.archives += is_archive(name)
    if contents.damage:
        found.images.append(_damaged(path))
    return found


def _is_left_out(parts: list[str], archive: str, rules: Rules, found: FoundInside) -> bool:
    """Say whether a file, or a folder in which it lies, is left out, and take note of that."""
    for count, part in enumerate(parts, 1):
        path = "/".join(parts[:count])
        if rules.is_excluded(part, path):
            found.excluded.add(path)
            return True
        if count < len(parts) and rules.is_programs_folder(part):
            found.programs_folders.add(os.path.join(archive, *parts[:count]))
            return True
    return False


def _damaged(path: Path) -> ImageRef:
    try:
        status = os.lstat(path)
    except OSError:
        return ImageRef(path, "", 0, 0, path, NO_ENTRY)
    return ImageRef(path, "", status.st_size, status.st_mtime_ns, path, NO_ENTRY)
