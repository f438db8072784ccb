"""Thumbnails: small upright JPEG files in the output folder, one for the bytes of each photo."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Collection, Iterable
from contextlib import suppress
from pathlib import Path

from olpipe.archives.opened import read_photo
from olpipe.errors import ImageError, PluginError
from olpipe.image import DecodedImage
from olpipe.imaging.decode import decode
from olpipe.interfaces import ImageLoader
from olpipe.pipeline.output import writing

SIDE = 320
"""Pixels of the longer side. A smaller photo keeps its size."""

QUALITY = 80
SUFFIX = ".jpg"
NAME_DIGITS = 32
"""How many digits of the photo's SHA-256 digest make the thumbnail's name. The first two are a folder's name."""


def make_thumbnail(image: DecodedImage) -> bytes:
    """Return a JPEG file of a photo that is decoded already."""
    from PIL import Image

    enough = [pixels for pixels in (image.pixels, *image.smaller) if max(pixels.shape[:2]) >= SIDE]
    shown = Image.fromarray((enough or [image.pixels])[-1])
    scale = min(1.0, SIDE / max(shown.size))
    size = max(1, round(shown.width * scale)), max(1, round(shown.height * scale))
    if size != shown.size:
        shown = shown.resize(size, Image.Resampling.BICUBIC, reducing_gap=2.0)
    file = io.BytesIO()
    shown.save(file, "JPEG", quality=QUALITY)
    return file.getvalue()


def read_thumbnail(path: Path, sha256: str, loaders: Iterable[ImageLoader]) -> bytes | None:
    """Return the thumbnail of a photo that was described earlier; None if it is gone, changed, or not readable.

    Pillow decodes a JPEG to an eighth of its size for this.
    """
    try:
        data = read_photo(path)
        if hashlib.sha256(data).hexdigest() != sha256:
            return None
        return make_thumbnail(decode(data, path.suffix, loaders, sizes=(SIDE * SIDE,)))
    except (OSError, ImageError, PluginError):
        return None


class Thumbnails:
    """The folder of thumbnails. It is hidden, so that nobody takes them for photos to describe."""

    def __init__(self, output: Path, folder: Path) -> None:
        """Make an object for a folder below the output folder. Nothing is written yet."""
        self._output = output
        self._folder = folder

    def keep(self, sha256: str, data: bytes) -> None:
        """Write the thumbnail of a photo, by the digest of the photo's bytes."""
        path = self._path(sha256[:NAME_DIGITS])
        fresh = path.with_name(path.name + ".new")
        with writing(self._output):
            path.parent.mkdir(parents=True, exist_ok=True)
            fresh.write_bytes(data)
            os.replace(fresh, path)

    def missing(self, digests: Iterable[str]) -> list[str]:
        """Return the digests of photos that have no thumbnail. An empty file, as a power cut leaves it, is none."""
        there = {name for name, size_bytes in self._files() if size_bytes}
        return [sha256 for sha256 in digests if sha256[:NAME_DIGITS] not in there]

    def remove_others(self, digests: Collection[str]) -> None:
        """Remove the thumbnails of photos that are not among these."""
        names = {sha256[:NAME_DIGITS] for sha256 in digests}
        for name, _ in self._files():
            if name not in names:
                with suppress(OSError):
                    self._path(name).unlink()

    def _path(self, name: str) -> Path:
        return self._folder / name[:2] / f"{name[2:]}{SUFFIX}"

    def _files(self) -> list[tuple[str, int]]:
        """Return the name of each thumbnail, with the size of its file."""
        found = []
        with suppress(OSError):
            for folder in os.scandir(self._folder):
                for file in os.scandir(folder.path):
                    if file.name.endswith(SUFFIX):
                        found.append((folder.name + file.name.removesuffix(SUFFIX), file.stat().st_size))
        return found
