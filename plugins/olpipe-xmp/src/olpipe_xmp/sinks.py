"""The sinks: `xmp` writes sidecars into a folder, `xmp-beside` beside the photos, `xmp-embed` into the photos."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from olpipe.archives.opened import archive_of
from olpipe.errors import ImageError
from olpipe.interfaces import RunInfo, SinkFactory
from olpipe_xmp.errors import LeftOut
from olpipe_xmp.files import keep_original, replace
from olpipe_xmp.listed_sink import Entry, ListedSink
from olpipe_xmp.merge import forget, holds, is_ours, merge
from olpipe_xmp.names import PHOTO
from olpipe_xmp.options import Options, parse_target
from olpipe_xmp.packet import Packet
from olpipe_xmp.photos import read_bytes, read_photo, write_bytes
from olpipe_xmp.values import Values

SUFFIX = ".xmp"
"""It comes behind the photo's own suffix: the sidecar of `cat.jpg` is `cat.jpg.xmp`."""

ORIGINALS = ".olpipe-originals"
"""The folder, in that of the sink, with the first state of files that the sink has changed."""


class SidecarsSink(ListedSink):
    """Writes a sidecar for each photo. One that is there already is completed, whoever wrote it."""

    def __init__(self, folder: Path, run: RunInfo, options: Options, *, sidecars: Path) -> None:
        """Open nothing yet: `recover` comes first.

        Args:
            folder: The sink's own folder.
            run: The run that writes.
            options: How values go to what is there already.
            sidecars: The folder in which the sidecars lie as the photos do in theirs.
        """
        super().__init__(folder, "move it away, or name another folder")
        self._run, self._options, self._sidecars = run, options, sidecars

    def apply(self, row: Mapping[str, Any]) -> Entry:
        """Write the sidecar of a row."""
        photo = photo_of(self._run, row)
        below = photo.relative_to(self._run.root)
        path = self._path(below)
        if archive_of(path) is not None:
            raise LeftOut("it lies in an archive; `xmp` writes sidecars into a folder of their own")
        values = Values.of(row, self._run.language)
        fresh = self._fresh(row["file"], photo, values)
        there = _read(path)
        if there is None or digest(there) == self.made.get(row["file"]):
            data = fresh
        else:
            packet = Packet.read(there)
            data = there
            if not holds(packet, values, self._options):
                if not is_ours(packet):
                    kept = self._folder / ORIGINALS / below.with_name(path.name)
                    keep_original(path, there, kept, untouched=True)
                merge(packet, values, self._options)
                data = packet.to_bytes()
        if data != there:
            # Programs look at a sidecar's time to see whether it has changed
            replace(path, data, like=None if there is None else path, times=False)
        return {"sha256": digest(data)} if data == fresh else {}

    def is_there(self, entry: Entry) -> bool:
        """Say whether the sidecar is still there."""
        photo = self._run.photo(entry["file"])
        return photo is None or "left_out" in entry or self._path(photo.relative_to(self._run.root)).is_file()

    def remove(self, entry: Entry) -> None:
        """Remove the sidecar of a row that is no longer true, where it is as the sink has made it."""
        photo = self._run.photo(entry["file"])
        if photo is None or "sha256" not in entry:
            return
        path = self._path(photo.relative_to(self._run.root))
        data = _read(path)
        if data is not None and digest(data) == entry["sha256"]:
            path.unlink()

    def _fresh(self, file: str, photo: Path, values: Values) -> bytes:
        """Return a new sidecar. It begins with what the photo itself holds, because programs read it in its place."""
        packet = (read_photo(photo) if self._run.archive(file) is None else self._packed(file)) or Packet.new()
        forget(packet)
        merge(packet, values, self._options)
        return packet.to_bytes()

    def _packed(self, file: str) -> Packet | None:
        """Return the packet of a photo in an archive; None where it cannot be read."""
        try:
            return read_bytes(self._run.read_photo(file))
        except (OSError, ImageError, LeftOut):
            return None

    def _path(self, below: Path) -> Path:
        return self._sidecars / below.with_name(below.name + SUFFIX)


class EmbeddingSink(ListedSink):
    """Writes into the photos themselves: JPEG and PNG. The pixels stay byte for byte as they are."""

    def __init__(self, folder: Path, run: RunInfo, options: Options) -> None:
        """Open nothing yet: `recover` comes first."""
        super().__init__(folder, "move it away, or name another folder: `xmp-embed:FOLDER`")
        self._run, self._options = run, options
        self._changed: list[str] = []

    def flush(self) -> int:
        """Bring all rows to their photos, and return the position."""
        self._changed = []
        return super().flush()

    def changed_photos(self) -> Collection[str]:
        """Return the photos that the last `flush` has changed."""
        return tuple(self._changed)

    def apply(self, row: Mapping[str, Any]) -> Entry:
        """Write into the photo of a row."""
        path = photo_of(self._run, row)
        if self._run.archive(row["file"]) is not None:
            raise LeftOut("it lies in an archive, which stays as it is; `xmp` writes sidecars")
        data = _read(path)
        if data is None:
            raise LeftOut("it is not there any more")
        packet = read_bytes(data)
        values = Values.of(row, self._run.language)
        if holds(packet, values, self._options):
            return {}
        if values.photo not in ("", packet.text(PHOTO), digest(data)):
            raise LeftOut("it has changed since it was described")
        untouched = not is_ours(packet)
        merge(packet, values, self._options)
        new = write_bytes(data, packet)
        keep_original(path, data, self._folder / ORIGINALS / path.relative_to(self._run.root), untouched=untouched)
        replace(path, new, like=path)
        self._changed.append(row["file"])
        return {}


def photo_of(run: RunInfo, row: Mapping[str, Any]) -> Path:
    """Return where the photo of a row lies.

    Raises:
        LeftOut: Its name leads out of the folder of the photos.
    """
    path = run.photo(row["file"])
    if path is None:
        raise LeftOut("its name leads out of the folder of the photos")
    return path


def digest(data: bytes) -> str:
    """Return the SHA-256 digest of bytes."""
    return hashlib.sha256(data).hexdigest()


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


class XmpFactory(SinkFactory):
    """Opens folders of sidecars. They take records of any schema."""

    scheme = "xmp"
    usual_target = "xmp"

    def open(self, target: str, run: RunInfo) -> SidecarsSink:
        """Return a sink for a folder; a relative one lies below the output folder."""
        folder, options = parse_target(target, self.usual_target)
        return SidecarsSink(run.output / folder, run, options, sidecars=run.output / folder)


class XmpBesideFactory(SinkFactory):
    """Opens sinks whose sidecars lie beside the photos. They take records of any schema."""

    scheme = "xmp-beside"
    usual_target = "xmp-beside"

    def open(self, target: str, run: RunInfo) -> SidecarsSink:
        """Return a sink; its own folder, below the output folder, has a list and the first states of files."""
        folder, options = parse_target(target, self.usual_target)
        return SidecarsSink(run.output / folder, run, options, sidecars=run.root)


class XmpEmbedFactory(SinkFactory):
    """Opens sinks that write into the photos themselves. They take records of any schema."""

    scheme = "xmp-embed"
    usual_target = "xmp-embed"

    def open(self, target: str, run: RunInfo) -> EmbeddingSink:
        """Return a sink; its own folder, below the output folder, has a list and the originals."""
        folder, options = parse_target(target, self.usual_target)
        return EmbeddingSink(run.output / folder, run, options)
