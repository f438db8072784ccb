"""Look into the same folders again and again. One that is not there is waited for."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

from olpipe.errors import UsageError
from olpipe.image import ImageRef
from olpipe.imaging.discover import Discovery, common_folder, discover


class WatchedFolders:
    """Some folders, and what was in them when they were last looked into.

    Attributes:
        root: Names are relative to it: the deepest folder that holds all of them, whether they are there or not.
        missing: Those that were not there, or could not be looked into, in the order in which they were given.
    """

    def __init__(
        self, folders: Sequence[str], suffixes: Collection[str], *, leave_out: Path, exclude: Sequence[str] = ()
    ) -> None:
        """Remember the folders, and look into none.

        Args:
            folders: As the user wrote them.
            suffixes: Lower-case suffixes, with their dot, that loaders read.
            leave_out: A folder to leave out, such as the output folder.
            exclude: Names and patterns of files and folders to leave out.

        Raises:
            UsageError: No folder is given, or what is given is no folder.
        """
        if not folders:
            raise UsageError("no folder is named", hint="name one: `olpipe watch photos -o out`")
        for text in folders:
            if not os.path.isdir(os.path.expanduser(text)):
                what = "is not there" if not os.path.exists(os.path.expanduser(text)) else "is no folder"
                raise UsageError(f"`{text}` {what}", hint="only folders can be watched; `olpipe batch` takes files")
        self._folders = list(dict.fromkeys(folders))
        self._suffixes = suffixes
        self._leave_out = leave_out
        self._exclude = exclude
        self.root = common_folder([os.path.abspath(os.path.expanduser(text)) for text in self._folders])
        self.missing: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self._folders)

    def look(self) -> Discovery:
        """Return what is in the folders now. `missing` says which of them were not there."""
        found: list[Discovery] = []
        missing: list[str] = []
        for folder in self._folders:
            try:
                found.append(self._in(folder))
            except UsageError:
                missing.append(folder)
        self.missing = tuple(missing)
        return Discovery(
            Path(self.root),
            _sorted(image for one in found for image in one.images),
            sum(one.links_skipped for one in found),
            tuple(line for one in found for line in one.unopened),
            tuple(name for one in found for name in one.programs_folders),
            sum(one.videos for one in found),
            sum(one.excluded for one in found),
        )

    def _in(self, folder: str) -> Discovery:
        if not os.path.isdir(os.path.expanduser(folder)):  # a pattern may have its name, or a file by now
            raise UsageError(f"`{folder}` is not there")
        return discover([folder], self._suffixes, leave_out=self._leave_out, exclude=self._exclude, root=self.root)


def _sorted(images: Iterable[ImageRef]) -> tuple[ImageRef, ...]:
    """Return each photo once, by name: one folder may lie in another."""
    return tuple(sorted({image.path: image for image in images}.values(), key=lambda image: image.name))
