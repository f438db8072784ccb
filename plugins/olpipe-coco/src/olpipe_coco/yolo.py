"""The sink `yolo`: a data set as Ultralytics reads it, with a text file of boxes for each photo."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NoReturn

from olpipe.errors import ImageError, OutputUnavailable
from olpipe.interfaces import RunInfo, SinkFactory
from olpipe.row_file import set_aside
from olpipe.whole_file import fresh_beside, put_whole
from olpipe_coco.files_sink import Entry, FilesSink
from olpipe_coco.names import one_line, yaml_text
from olpipe_coco.things import Numbers, closed_names, size_of, things_of

logger = logging.getLogger(__name__)

PHOTOS = "images"
"""The folder with the photos. A trainer looks for the boxes of `images/a.jpg` in `labels/a.txt`."""

CLASSES, DATA = "classes.txt", "data.yaml"

Text = Callable[[list[str]], bytes]
"""Returns a file that lists classes."""

HEAD = """\
# The folder is the data set: it can be moved. `val` is the same as `train` until you part the photos.
train: images
val: images
names:
"""


class YoloSink(FilesSink):
    """Writes `labels/NAME.txt` for each photo, copies the photo to `images`, and lists the classes."""

    folder_name = "labels"
    suffix = ".txt"

    def __init__(self, folder: Path, run: RunInfo, hint: str) -> None:
        super().__init__(folder, hint)
        self._run = run
        self._first = closed_names(run.schema)
        self._classes = Numbers(self._first)
        self._listed_before: list[list[str]] = []  # classes that earlier files may list
        self._photos: list[tuple[str, str]] = []  # photos to copy, each with its name in the folder
        self._finished: list[str] | None = None
        self._own_photos: set[str] = set()  # photos in the folder that earlier runs have copied

    def begin(self, entries: list[Entry], stale: list[Entry]) -> None:
        """Give the classes their numbers again."""
        self._classes = Numbers([*self._first, *_classes(entries)])
        self._listed_before = [self._classes.names, [*self._classes.names, *_classes(stale)], _classes(stale)]
        self._listed_before.append([*self._first, *_classes(stale)])
        self._photos, self._finished = [], None
        self._own_photos = {entry.get("photo", "") for entry in (*entries, *stale)}
        if not entries and not stale:
            for name, text in ((CLASSES, _classes_text), (DATA, _data_text)):
                path = self.folder / name
                if path.exists() and not self._is_ours(path.read_bytes(), text):
                    self._refuse(path)

    def render(self, row: Mapping[str, Any], stem: str) -> tuple[bytes, dict[str, Any]]:
        """Return the lines of a photo: class, centre, width and height, as parts of the photo's sides."""
        width, height = size_of(row)
        before = len(self._classes.names)
        lines = []
        for thing in things_of(row):
            number = self._classes[thing.name]
            centre = ((thing.x + thing.w / 2) / width, (thing.y + thing.h / 2) / height)
            sides = (thing.w / width, thing.h / height)
            lines.append(" ".join([str(number), *(f"{part:.6f}" for part in (*centre, *sides))]) + "\n")
        suffix = Path(row["file"]).suffix
        self._photos.append((row["file"], f"{stem}{suffix}"))
        return "".join(lines).encode("ascii"), {"photo": f"{stem}{suffix}", "classes": self._classes.names[before:]}

    def finish(self) -> None:
        """Copy the photos of the new rows, and list the classes where they have changed."""
        for file, name in self._photos:
            self._copy(file, name)
        self._photos = []
        names = self._classes.names
        if self._finished != names:
            self._list(CLASSES, _classes_text)
            self._list(DATA, _data_text)
            self._finished = names
            self._listed_before = [names]

    def remove(self, entry: Entry) -> None:
        """Remove the boxes of a photo that does not count any more, and the copy of the photo."""
        super().remove(entry)
        if name := entry.get("photo"):
            (self.folder / PHOTOS / name).unlink(missing_ok=True)

    def close(self) -> None:
        """Close the index. Rows after the last `flush` are lost."""
        self._photos = []
        super().close()

    def _list(self, name: str, text: Text) -> None:
        """Write a file that lists the classes. Where somebody has changed the old one, a copy is kept."""
        path = self.folder / name
        data = text(self._classes.names)
        if path.exists():
            old = path.read_bytes()
            if old == data:
                return
            if not self._is_ours(old, text):
                logger.warning("`%s` was changed by hand: what it held is kept as `%s`", path, set_aside(path).name)
        put_whole(path, data)

    def _is_ours(self, data: bytes, text: Text) -> bool:
        """Say whether a list of classes is one that this sink may have written before."""
        return any(data == text(names[:count]) for names in self._listed_before for count in range(len(names) + 1))

    def _copy(self, file: str, name: str) -> None:
        source, target = self._run.photo(file), self.folder / PHOTOS / name
        packed = self._packed(file)
        if source is None or (packed is None and not source.is_file()):
            logger.warning("`%s` is not there, so it was not copied into the data set", file)
            return
        if target.exists():
            if target.stat().st_size == (source.stat().st_size if packed is None else len(packed)):
                return
            if name not in self._own_photos:
                self._refuse(target)
        fresh = fresh_beside(target)
        if packed is None:
            shutil.copyfile(source, fresh)
        else:
            fresh.write_bytes(packed)
        os.replace(fresh, target)

    def _packed(self, file: str) -> bytes | None:
        """Return the bytes of a photo in an archive; None where it lies in none, or cannot be read any more."""
        if self._run.archive(file) is None:
            return None
        try:
            return self._run.read_photo(file)
        except (OSError, ImageError):
            return None

    def _refuse(self, path: Path) -> NoReturn:
        raise OutputUnavailable(f"`{path}` was not written by this sink, and is not replaced", hint=self._hint)


def _classes(entries: list[Entry]) -> list[str]:
    return [name for entry in entries for name in entry.get("classes", ())]


def _classes_text(names: list[str]) -> bytes:
    return "".join(f"{one_line(name)}\n" for name in names).encode("utf-8")


def _data_text(names: list[str]) -> bytes:
    lines = [f"  {number}: {yaml_text(name)}\n" for number, name in enumerate(names)]
    text = HEAD + "".join(lines) if lines else HEAD.replace("names:\n", "names: {}\n")
    return text.encode("utf-8")


class YoloSinkFactory(SinkFactory):
    """Opens folders with data sets for YOLO. They take records of any schema."""

    scheme = "yolo"
    usual_target = "yolo"

    def open(self, target: str, run: RunInfo) -> YoloSink:
        """Return a sink for a folder; a relative one lies below the output folder."""
        return YoloSink(run.output / target, run, "move it away, or name another folder: `yolo:FOLDER`")
