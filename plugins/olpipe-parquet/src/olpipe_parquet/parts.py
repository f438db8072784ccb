"""The files of a dataset: a folder with numbered parts, which change only at `commit`."""

from __future__ import annotations

import itertools
import logging
import os
import re
from pathlib import Path

from olpipe.errors import OutputUnavailable

logger = logging.getLogger(__name__)

MARKER = "_olpipe"
"""A file that says whose folder it is. Readers of datasets take no notice of names that begin with `_` or `.`."""

_MEANING = b"The Parquet files in this folder are written by olpipe, which replaces them.\n"
_PART = re.compile(r"part-(\d{5,})\.parquet")


class Parts:
    """The parts of one dataset, by number. New ones are staged beside them until they take their places."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._staged: dict[int, Path] = {}

    def numbers(self) -> list[int]:
        """Return the numbers of the parts that readers see."""
        try:
            names = os.listdir(self.folder)
        except (FileNotFoundError, NotADirectoryError):
            return []
        return sorted(int(found[1]) for name in names if (found := _PART.fullmatch(name)))

    def path(self, number: int) -> Path:
        """Return the path of a part."""
        return self.folder / f"part-{number:05}.parquet"

    def others(self) -> list[str]:
        """Return what else readers would see in the folder."""
        try:
            names = os.listdir(self.folder)
        except FileNotFoundError:
            return []
        return sorted(name for name in names if not name.startswith(("_", ".")) and not _PART.fullmatch(name))

    def refuse_others(self) -> None:
        """Refuse a folder that is not the sink's own. Only the marker decides, since parts may be damaged.

        Raises:
            OutputUnavailable: It is somebody else's.
        """
        if not os.path.lexists(self.folder):
            return
        what = "holds something else than records"
        if self.folder.is_dir():
            others = self.others()
            if not others and ((self.folder / MARKER).exists() or not self.numbers()):
                return
            what = f"holds `{others[0]}`, which is no part of the records" if others else what
        raise OutputUnavailable(
            f"`{self.folder}` {what}, and is not replaced",
            hint="move it away, or name another folder: `parquet:FOLDER`",
        )

    def stage(self, number: int, data: bytes) -> None:
        """Write a part to the disk, where no reader sees it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / f".part-{number:05}.parquet.new"
        self._staged[number] = path
        with path.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())

    def commit(self, kept: int) -> None:
        """Remove all parts but the first ones, and let the staged parts take their places.

        Where the process dies in between, every part is whole.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        if not (self.folder / MARKER).exists():
            (self.folder / MARKER).write_bytes(_MEANING)
        for number in reversed(self.numbers()):
            if number >= kept:
                self.path(number).unlink()
        for number, path in sorted(self._staged.items()):
            os.replace(path, self.path(number))
        self._staged = {}

    def set_aside(self) -> None:
        """Move all parts to a new folder beside this one: `NAME.1`, `NAME.2` and so on."""
        numbers = self.numbers()
        if not numbers:
            return
        names = (self.folder.with_name(f"{self.folder.name}.{number}") for number in itertools.count(1))
        aside = next(path for path in names if not os.path.lexists(path))
        aside.mkdir()
        for number in numbers:
            os.replace(self.path(number), aside / self.path(number).name)
        logger.warning("`%s` was not as the last run left it: what it held is kept as `%s`", self.folder, aside.name)

    def drop_staged(self) -> None:
        """Remove the parts that have not taken their places."""
        for path in self._staged.values():
            path.unlink(missing_ok=True)
        self._staged = {}
