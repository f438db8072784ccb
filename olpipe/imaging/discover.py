"""Find the photos that folders, files and glob patterns name. None is outside of what was given."""

from __future__ import annotations

import fnmatch
import glob
import os
import stat
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from olpipe.archives import is_archive
from olpipe.archives.kept_listings import KeptListings
from olpipe.errors import UsageError, nearest
from olpipe.image import ImageRef
from olpipe.imaging.in_archives import Rules, look_into
from olpipe.imaging.photo_names import common_folder, name_below, named_files, order_below

CAMERA_RAW = (
    ".3fr .arw .cr2 .cr3 .crw .dcr .dng .erf .fff .iiq .kdc .mef .mos .mrw .nef .nrw .orf .pef .raf .raw .rw2 .rwl "
    ".sr2 .srf .srw .x3f"
)
DRAWINGS = ".ai .eps .exr .hdr .icns .ico .jxl .jxr .pict .psb .psd .svg .svgz .wdp .xcf"
UNREAD_SUFFIXES = frozenset((CAMERA_RAW + " " + DRAWINGS).split())
"""Images that people keep beside photos. One that no loader reads becomes a failure, so that nobody misses it."""


_VIDEOS = ".3gp .avi .flv .m2ts .m4v .mkv .mov .mp4 .mpeg .mpg .mts .ogv .webm .wmv"
VIDEOS = frozenset(_VIDEOS.split())
"""They are counted, so that nobody takes them for described."""

PROGRAMS_FOLDERS = (
    *("@eaDir", "#recycle", "#snapshot", "$RECYCLE.BIN", "System Volume Information", "lost+found", "__MACOSX"),
    *("*.photoslibrary", "*.photolibrary", "*.aplibrary", "*.lrdata", "*.lrcat-data", "*.cocatalog"),
)
"""Folders that storage devices and photo programs keep for themselves: thumbnails, previews, deleted files.

Each is the name of a folder or a pattern, in which capitals mean nothing. One that is given itself is searched.
"""


@dataclass(frozen=True, slots=True)
class Discovery:
    """What was found.

    Attributes:
        root: The deepest folder that holds everything given; names are relative to it.
        images: Every photo once, sorted by name. Those in a compressed tar archive come in the order in which they lie
            in it, where the first of them would come: they can only be read in that order.
        links_skipped: How many links were not followed because they lead out of what was given, or to a folder.
        unopened: Folders that could not be looked into, each with the reason: `photos/private: Permission denied`.
        programs_folders: Folders that were left out because programs keep them for themselves.
        videos: How many videos were passed by.
        excluded: How many files and folders were left out because the user said so.
        missing: Names in a list of files that nothing has.
        archives: How many archives were passed by: in the folders, and in other archives.
        links_in_archives: How many links are in the archives. They are not followed.
    """

    root: Path
    images: tuple[ImageRef, ...]
    links_skipped: int = 0
    unopened: tuple[str, ...] = ()
    programs_folders: tuple[str, ...] = ()
    videos: int = 0
    excluded: int = 0
    missing: tuple[str, ...] = ()
    archives: int = 0
    links_in_archives: int = 0


def discover(
    inputs: Sequence[str],
    suffixes: Collection[str],
    *,
    leave_out: Path | None = None,
    exclude: Sequence[str] = (),
    listed: Sequence[str] = (),
    root: str | None = None,
    kept_listings: Path | None = None,
) -> Discovery:
    """Find every photo in folders (recursively), files, archives and globs.

    Names are relative to the deepest folder that holds everything given; for one folder, that is the folder itself. So
    two photos never have the same name. Hidden files and folders are left out, and so are `PROGRAMS_FOLDERS`, unless
    they were given themselves. Links to folders are not followed: what is inside a folder that was given is found
    without them. A folder below a given one that cannot be looked into is listed, and the others are searched.

    An archive is searched like a folder where it is given itself, by a pattern or in a list. In a folder that is
    searched, it is passed by: its photos often lie beside it already.

    Args:
        inputs: Folders, files and glob patterns (`**` for any depth) as the user wrote them.
        suffixes: Lower-case suffixes, with their dot, that loaders read.
        leave_out: A folder to leave out, such as the output folder inside the input.
        exclude: Names and patterns of files and folders to leave out. One with a `/` is held against the path below the
            folder that was given, the others against the name.
        listed: More folders and files, each as it is called and never a pattern. One that is not there is noted.
        root: Names are relative to this folder, and it is no error that there is no photo.
        kept_listings: The folder where it is kept what compressed archives hold, so that the next search is faster.

    Raises:
        UsageError: An input is empty or not there, a given folder cannot be looked into, a pattern matches nothing, or
            there is no photo at all.
    """
    wanted = frozenset(suffixes) | UNREAD_SUFFIXES
    walk = _Walk(wanted, leave_out, exclude, kept_listings)
    roots = [root for text in inputs for root in walk.add(text)]
    roots += [root for name in listed for root in walk.add_listed(name)]
    if not walk.found and not walk.in_archives and root is None:
        where = " ".join([*(f"`{text}`" for text in inputs), *(["the list"] if listed else [])])
        raise UsageError(f"no photos in {where}{walk.passed_by()}", hint=f"looked for {' '.join(sorted(suffixes))}")
    root = common_folder(roots) if root is None else root
    images = [*named_files(walk.found, root)]
    images += [replace(image, name=name_below(path, root)) for path, image in walk.in_archives.items()]
    return Discovery(
        Path(root),
        tuple(sorted(images, key=order_below(root))),
        walk.links_skipped,
        tuple(walk.unopened),
        tuple(walk.programs_folders),
        walk.videos,
        walk.excluded,
        tuple(walk.missing),
        walk.archives,
        walk.links_in_archives,
    )


class _Walk:
    """Collects files by their absolute paths, so that each file counts once."""

    def __init__(
        self, wanted: frozenset[str], leave_out: Path | None, exclude: Sequence[str], kept_listings: Path | None
    ) -> None:
        self.found: dict[str, os.stat_result] = {}
        self.in_archives: dict[str, ImageRef] = {}
        self.links_skipped = self.links_in_archives = self.videos = self.excluded = self.archives = 0
        self.unopened: list[str] = []
        self.missing: list[str] = []
        self.programs_folders: list[str] = []
        self._wanted = wanted
        self._leave_out = _identity(leave_out) if leave_out else None
        self._exclude = exclude
        self._kept_listings = KeptListings(kept_listings) if kept_listings else None

    def passed_by(self) -> str:
        """Return what was passed by, as the end of a message that there are no photos."""
        parts = [f"cannot look into {folder}" for folder in self.unopened]
        parts += [f"left out `{folder}`" for folder in self.programs_folders]
        parts += [f"{self.videos} videos"] if self.videos else []
        parts += [f"{self.archives} archives"] if self.archives else []
        parts += [f"{self.excluded} excluded"] if self.excluded else []
        parts += [f"{len(self.missing)} that are not there"] if self.missing else []
        return f" ({'; '.join(parts)})" if parts else ""

    def add(self, text: str) -> Iterator[str]:
        """Take one input and yield the folders that names are relative to."""
        if not text.strip():
            raise UsageError("an input is empty", hint="a variable in the command may be unset; `.` is this folder")
        path = os.path.abspath(os.path.expanduser(text))
        if os.path.isdir(path):
            self._folder(path)
            yield path
        elif os.path.lexists(path):
            self._given(path)
            yield os.path.dirname(path)
        elif glob.has_magic(text):
            yield from self._pattern(text, path)
        else:
            raise _missing(text, path)

    def add_listed(self, name: str) -> Iterator[str]:
        """Take one name of a list and yield the folder that names are relative to."""
        path = os.path.abspath(name)
        if os.path.isdir(path):
            self._folder(path)
            yield path
        elif not os.path.lexists(path):
            self.missing.append(name)
        else:
            folder, file = os.path.split(path)
            if self._is_excluded(file, file):
                self.excluded += 1
            elif self._is_wanted(file) or is_archive(file):
                self._given(path)
                yield folder
            elif _is_video(file):
                self.videos += 1

    def _pattern(self, text: str, path: str) -> Iterator[str]:
        fixed, pattern = _without_literals(path)
        matches = sorted(glob.iglob(pattern, recursive=True))
        if not matches:
            raise UsageError(f"nothing matches `{text}`", hint="`**` matches folders of any depth: `photos/**/*.jpg`")
        for match in matches:
            if os.path.isdir(match):
                if not path.endswith("**"):
                    self._folder(match)
            elif self._is_excluded(os.path.basename(match), os.path.relpath(match, fixed)):
                self.excluded += 1
            elif self._is_wanted(match) or is_archive(match):
                self._given(match)
        yield fixed

    def _folder(self, root: str) -> None:
        inside = os.path.realpath(root)
        folders = [root]
        while folders:
            folder = folders.pop()
            try:
                with os.scandir(folder) as entries:
                    found = list(entries)
            except OSError as error:
                if folder == root:
                    raise UsageError(f"cannot look into `{folder}`: {error.strerror}") from error
                self.unopened.append(f"`{folder}`: {error.strerror}")
                continue
            folders += [entry.path for entry in found if self._take(entry, root, inside)]

    def _take(self, entry: os.DirEntry[str], root: str, inside: str) -> bool:
        """Take one entry of a folder; returns whether it is a folder to be searched."""
        if entry.name.startswith("."):
            return False
        if self._exclude and self._is_excluded(entry.name, os.path.relpath(entry.path, root)):
            self.excluded += 1
            return False
        if _is_folder(entry, follow_symlinks=False):
            if _is_programs_folder(entry.name):
                self.programs_folders.append(entry.path)
                return False
            return _identity(entry.path) != self._leave_out
        if entry.is_symlink() and (_is_folder(entry) or not _is_inside(entry.path, inside)):
            self.links_skipped += 1
        elif self._is_wanted(entry.name):
            self._keep(entry.path)
        elif _is_video(entry.name):
            self.videos += 1
        elif is_archive(entry.name):
            self.archives += 1
        return False

    def _is_excluded(self, name: str, path: str) -> bool:
        return any(
            _matches(path.replace(os.sep, "/") if "/" in pattern else name, pattern.strip("/"))
            for pattern in self._exclude
        )

    def _is_wanted(self, name: str) -> bool:
        return os.path.splitext(name)[1].lower() in self._wanted

    def _given(self, path: str) -> None:
        """Take a file that was given itself."""
        if not is_archive(path):
            self._keep(path)
            return
        rules = Rules(self._is_wanted, _is_video, self._is_excluded, _is_programs_folder)
        found = look_into(path, rules, self._kept_listings)
        self.in_archives.update((str(image.path), image) for image in found.images)
        self.links_in_archives += found.links
        self.archives += found.archives
        self.videos += found.videos
        self.excluded += len(found.excluded)
        self.programs_folders += sorted(found.programs_folders)

    def _keep(self, path: str) -> None:
        try:
            self.found[path] = os.stat(path)
        except OSError:  # for example a link to nothing: reading it will fail later, and become a failure
            with suppress(FileNotFoundError):  # it was removed in the meantime
                self.found[path] = os.lstat(path)


def read(ref: ImageRef, *, most: int = -1) -> tuple[ImageRef, bytes]:
    """Read a file, and return it with the size and time that it has now. So a later change will be noticed.

    Args:
        ref: Where it was found.
        most: Read only this many bytes; all when negative.

    Raises:
        ImageError: It lies in an archive, and it or the archive is damaged, encrypted or too large.
        OSError: It cannot be opened or read, or is not a regular file.
    """
    if ref.archive is not None:  # it is read as it was found, or not at all
        return ref, ref.read_file(most=most)
    # O_NONBLOCK, because opening a named pipe must not wait for a writer
    descriptor = os.open(ref.path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    with open(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise OSError("not a regular file")
        return ImageRef(ref.path, ref.name, status.st_size, status.st_mtime_ns), file.read(most)


def _is_video(name: str) -> bool:
    return os.path.splitext(name)[1].lower() in VIDEOS


def _is_programs_folder(name: str) -> bool:
    return any(_matches(name, pattern) for pattern in PROGRAMS_FOLDERS)


def _is_folder(entry: os.DirEntry[str], *, follow_symlinks: bool = True) -> bool:
    """Say whether an entry is a folder. A link that leads to itself, or to where nobody may look, is none."""
    try:
        return entry.is_dir(follow_symlinks=follow_symlinks)
    except OSError:
        return False


def _matches(name: str, pattern: str) -> bool:
    return fnmatch.fnmatchcase(name.lower(), pattern.lower())


def _without_literals(path: str) -> tuple[str, str]:
    """Split a pattern at its first part that is a pattern: the folder before it, and what is to be searched for.

    A part that names something as it is written is a name, even if it looks like a pattern: `trip [2024]`.
    """
    done, *parts = Path(path).parts
    pattern, fixed = glob.escape(done), done
    is_fixed = True
    for part in parts:
        is_name = not glob.has_magic(part) or (is_fixed and os.path.lexists(os.path.join(fixed, part)))
        is_fixed = is_fixed and is_name
        fixed = os.path.join(fixed, part) if is_fixed else fixed
        pattern = os.path.join(pattern, glob.escape(part) if is_name else part)
    return fixed, pattern


def _identity(path: Path | str) -> tuple[int, int] | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _is_inside(link: str, folder: str) -> bool:
    """Say whether a link leads to something in a folder. One that leads to nothing readable counts as a file in it."""
    try:
        target = os.path.realpath(link)
    except OSError:
        return True
    return target.startswith(os.path.join(folder, ""))


def _missing(text: str, path: str) -> UsageError:
    if "://" in text:
        return UsageError(f"`{text}` is an address, and photos are read from files", hint="download it first")
    parent, name = os.path.split(path)
    try:
        close = nearest(name, os.listdir(parent))
    except OSError:
        close = []
    offers = " or ".join(f"`{os.path.join(os.path.dirname(text), match)}`" for match in close)
    return UsageError(f"`{text}` is not there", hint=f"did you mean {offers}?" if offers else None)
