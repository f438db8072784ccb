"""Find the photos that folders, files and glob patterns name. None is outside of what was given."""

from __future__ import annotations

import glob
import os
import stat
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from olpipe.errors import UsageError, nearest
from olpipe.image import ImageRef

CAMERA_RAW = (
    ".3fr .arw .cr2 .cr3 .crw .dcr .dng .erf .fff .iiq .kdc .mef .mos .mrw .nef .nrw .orf .pef .raf .raw .rw2 .rwl "
    ".sr2 .srf .srw .x3f"
)
DRAWINGS = ".ai .eps .exr .hdr .icns .ico .jxl .jxr .pict .psb .psd .svg .svgz .wdp .xcf"
UNREAD_SUFFIXES = frozenset((CAMERA_RAW + " " + DRAWINGS).split())
"""Images that people keep beside photos. One that no loader reads becomes a failure, so that nobody misses it."""


@dataclass(frozen=True, slots=True)
class Discovery:
    """What was found.

    Attributes:
        root: The deepest folder that holds everything given; names are relative to it.
        images: Every photo once, sorted by name.
        links_skipped: How many links were not followed because they lead out of what was given, or to a folder.
    """

    root: Path
    images: tuple[ImageRef, ...]
    links_skipped: int


def discover(inputs: Sequence[str], suffixes: Collection[str], *, leave_out: Path | None = None) -> Discovery:
    """Find every photo in folders (recursively), files and globs.

    Names are relative to the deepest folder that holds everything given; for one folder, that is the folder itself. So
    two photos never have the same name. Hidden files and folders are left out, unless they were given themselves. Links
    to folders are not followed: what is inside a folder that was given is found without them.

    Args:
        inputs: Folders, files and glob patterns (`**` for any depth) as the user wrote them.
        suffixes: Lower-case suffixes, with their dot, that loaders read.
        leave_out: A folder to leave out, such as the output folder inside the input.

    Raises:
        UsageError: A path is not there, a pattern matches nothing, or there is no photo at all.
    """
    wanted = frozenset(suffixes) | UNREAD_SUFFIXES
    walk = _Walk(wanted, leave_out)
    roots = [root for text in inputs for root in walk.add(text)]
    if not walk.found:
        where = " ".join(f"`{text}`" for text in inputs)
        raise UsageError(f"no photos in {where}", hint=f"looked for {' '.join(sorted(suffixes))}")
    root = _common_folder(roots)
    images = [
        ImageRef(Path(path), _name(path, root), status.st_size, status.st_mtime_ns)
        for path, status in walk.found.items()
    ]
    return Discovery(Path(root), tuple(sorted(images, key=lambda image: image.name)), walk.links_skipped)


class _Walk:
    """Collects files by their absolute paths, so that each file counts once."""

    def __init__(self, wanted: frozenset[str], leave_out: Path | None) -> None:
        self.found: dict[str, os.stat_result] = {}
        self.links_skipped = 0
        self._wanted = wanted
        self._leave_out = _identity(leave_out) if leave_out else None

    def add(self, text: str) -> Iterator[str]:
        """Take one input and yield the folders that names are relative to."""
        path = os.path.abspath(os.path.expanduser(text))
        if os.path.isdir(path):
            self._folder(path)
            yield path
        elif os.path.lexists(path):
            self._keep(path)
            yield os.path.dirname(path)
        elif glob.has_magic(text):
            yield from self._pattern(text, path)
        else:
            raise _missing(text, path)

    def _pattern(self, text: str, path: str) -> Iterator[str]:
        matches = sorted(glob.iglob(path, recursive=True))
        if not matches:
            raise UsageError(f"nothing matches `{text}`", hint="`**` matches folders of any depth: `photos/**/*.jpg`")
        for match in matches:
            if os.path.isdir(match):
                if not path.endswith("**"):
                    self._folder(match)
            elif self._is_wanted(match):
                self._keep(match)
        parts = Path(path).parts
        fixed = next(index for index, part in enumerate(parts) if glob.has_magic(part))
        yield str(Path(*parts[:fixed]))

    def _folder(self, root: str) -> None:
        inside = os.path.realpath(root)
        folders = [root]
        while folders:
            for entry in _entries(folders.pop()):
                if entry.name.startswith("."):
                    continue
                if entry.is_dir(follow_symlinks=False):
                    if _identity(entry.path) != self._leave_out:
                        folders.append(entry.path)
                elif entry.is_symlink() and (entry.is_dir() or not _is_inside(entry.path, inside)):
                    self.links_skipped += 1
                elif self._is_wanted(entry.name):
                    self._keep(entry.path)

    def _is_wanted(self, name: str) -> bool:
        return os.path.splitext(name)[1].lower() in self._wanted

    def _keep(self, path: str) -> None:
        try:
            self.found[path] = os.stat(path)
        except OSError:  # for example a link to nothing: reading it will fail later, and become a failure
            self.found[path] = os.lstat(path)


def read(ref: ImageRef, *, most: int = -1) -> tuple[ImageRef, bytes]:
    """Read a file, and return it with the size and time that it has now. So a later change will be noticed.

    Args:
        ref: Where it was found.
        most: Read only this many bytes; all when negative.

    Raises:
        OSError: It cannot be opened or read, or is not a regular file.
    """
    # O_NONBLOCK, because opening a named pipe must not wait for a writer
    descriptor = os.open(ref.path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    with open(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise OSError("not a regular file")
        return ImageRef(ref.path, ref.name, status.st_size, status.st_mtime_ns), file.read(most)


def _entries(folder: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError as error:
        raise UsageError(f"cannot look into `{folder}`: {error.strerror}") from error


def _identity(path: Path | str) -> tuple[int, int] | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _is_inside(link: str, folder: str) -> bool:
    target = os.path.realpath(link)
    return target.startswith(os.path.join(folder, ""))


def _common_folder(roots: Sequence[str]) -> str:
    try:
        return os.path.commonpath(roots)
    except ValueError:  # paths on different drives have no common folder: names are absolute then
        return ""


def _name(path: str, root: str) -> str:
    r"""Return the path as records show it; bytes that are not UTF-8 appear as `\xNN`."""
    relative = os.path.relpath(path, root) if root else path
    return os.fsencode(relative.replace(os.sep, "/")).decode("utf-8", "backslashreplace")


def _missing(text: str, path: str) -> UsageError:
    parent, name = os.path.split(path)
    try:
        close = nearest(name, os.listdir(parent))
    except OSError:
        close = []
    offers = " or ".join(f"`{os.path.join(os.path.dirname(text), match)}`" for match in close)
    return UsageError(f"`{text}` is not there", hint=f"did you mean {offers}?" if offers else None)
