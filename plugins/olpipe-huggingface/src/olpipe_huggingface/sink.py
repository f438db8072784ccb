"""The sinks `huggingface`, whose folder holds the photos, and `huggingface-paths`, which says where they lie."""

from __future__ import annotations

import logging
import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from olpipe.errors import ImageError
from olpipe.interfaces import RunInfo, Sink, SinkFactory
from olpipe.row_documents import RowDocuments, Rows

logger = logging.getLogger(__name__)

PHOTOS = "train"
"""The folder of the photos. Its name makes the whole data set the part `train`."""

WITH_PHOTOS, WITH_PATHS = f"{PHOTOS}/metadata.parquet", "data/train-00000-of-00001.parquet"
"""The table, where `datasets` looks for it."""

CARD = "README.md"

_CARD_TEXT = """\
---
# Say under which licence the photos and the texts may be used, for example `license: cc-by-4.0`.
configs:
- config_name: default
  data_files:
  - split: train
    path: {files}
tags:
- olpipe
---

# Photos with descriptions

A model wrote the descriptions. It is named in the column `model`. Where a person has checked one, the column `other`
has `review`. Boxes are `[x, y, width, height]` in pixels of the upright photo.
"""


class HuggingFaceSink(Sink):
    """Keeps rows, and writes the table of all of them. The photos become part of the folder, if it should hold them."""

    takes_rejected = False

    def __init__(self, folder: Path, run: RunInfo, *, scheme: str, with_photos: bool) -> None:
        self._folder, self._run, self._with_photos = folder, run, with_photos
        table = WITH_PHOTOS if with_photos else WITH_PATHS
        hint = f"move it away, or name another folder: `{scheme}:FOLDER`"
        self._rows = RowDocuments(folder, {table: self._table}, hint=hint)
        self._waiting: list[str] = []  # photos that are not in the folder yet
        self._stale: dict[str, str] = {}  # photos of rows that no longer count, with their digests

    def recover(self, position: int) -> bool:
        """Go on behind a position; 0 begins anew."""
        self._waiting = []
        self._stale = self._rows.photos() if position == 0 else {}
        return self._rows.recover(position)

    def keep(self, files: Collection[str]) -> bool:
        """Go on behind rows that somebody has changed, where each is still the row of one of these photos."""
        return self._rows.keep(files)

    def write(self, row: Mapping[str, Any]) -> None:
        """Take one row."""
        self._rows.append(row)
        self._waiting.append(row["file"])

    def flush(self) -> int:
        """Put the photos in place, write every row to the disk, and return the position."""
        from olpipe_huggingface.photos import flat_name, place, put, take_away

        for file in self._waiting if self._with_photos else ():
            source, target = self._run.photo(file), self._folder / PHOTOS / flat_name(file)
            if source is not None and source.is_file():
                place(source, target)
            elif (data := self._packed(file)) is not None:
                put(data, target)
            else:
                logger.warning("`%s` is not there, so the data set lacks it", file)
        for file in self._stale.keys() - set(self._waiting) if self._with_photos else ():
            source = self._run.photo(file)
            if source is not None:
                take_away(source, self._folder / PHOTOS / flat_name(file), self._stale[file])
        self._waiting, self._stale = [], {}
        self._folder.mkdir(parents=True, exist_ok=True)
        if not (self._folder / CARD).exists():
            files = f"{PHOTOS}/**" if self._with_photos else WITH_PATHS
            (self._folder / CARD).write_text(_CARD_TEXT.format(files=files), encoding="utf-8")
        return self._rows.flush()

    def close(self) -> None:
        """Finish the table."""
        self._waiting = []
        self._rows.close()

    def _packed(self, file: str) -> bytes | None:
        """Return the bytes of a photo in an archive; None where it lies in none, or cannot be read any more."""
        if self._run.archive(file) is None:
            return None
        try:
            return self._run.read_photo(file)
        except (OSError, ImageError):
            return None

    def _table(self, file: BinaryIO, rows: Rows) -> None:
        import pyarrow as pa

        from olpipe_huggingface.photos import flat_name
        from olpipe_huggingface.table import image_type, write_table

        if self._with_photos:
            write_table(file, rows, ("file_name", pa.string()), flat_name)
        else:
            write_table(file, rows, ("image", image_type()), self._image)

    def _image(self, file: str) -> dict[str, Any] | None:
        """Return where a photo lies, as `datasets` stores it.

        It is None where the path is not UTF-8, or leads elsewhere. `datasets` cannot read photos in archives, either.
        """
        path = self._run.photo(file)
        if path is None or self._run.archive(file) is not None:
            return None
        text = os.path.abspath(path)
        return {"bytes": None, "path": text} if text.isprintable() else None


class HuggingFaceSinkFactory(SinkFactory):
    """Opens folders with data sets. They take records of any schema."""

    scheme = "huggingface"
    usual_target = "huggingface"

    def open(self, target: str, run: RunInfo) -> HuggingFaceSink:
        """Return a sink for a folder; a relative one lies below the output folder."""
        return HuggingFaceSink(run.output / target, run, scheme=self.scheme, with_photos=True)


class HuggingFacePathsSinkFactory(SinkFactory):
    """Opens folders with data sets that leave the photos where they are. They take records of any schema."""

    scheme = "huggingface-paths"
    usual_target = "huggingface-paths"

    def open(self, target: str, run: RunInfo) -> HuggingFaceSink:
        """Return a sink for a folder; a relative one lies below the output folder."""
        return HuggingFaceSink(run.output / target, run, scheme=self.scheme, with_photos=False)
