"""What a record has to say in XMP: texts, tags, and regions of the photo as it is stored."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from olpipe_xmp.names import TEXTS
from olpipe_xmp.xml_text import clean

_VERSION = 1  # raise it with every change after which the same record is written in another way


@dataclass(frozen=True, slots=True)
class Region:
    """A rectangle of the stored photo, in parts of its width and height.

    Attributes:
        name: What is there.
        x: The left edge, 0 to 1.
        y: The top edge, 0 to 1.
        w: The width.
        h: The height.
        score: The perceiver's confidence; None where it gave none.
    """

    name: str
    x: float
    y: float
    w: float
    h: float
    score: float | None = None


@dataclass(frozen=True, slots=True)
class Values:
    """What is to be written for one photo.

    Attributes:
        texts: The text of each property. What the record lacks is not there.
        tags: The tags, each once.
        regions: The objects that have a box.
        size: Width and height of the stored photo in pixels.
        language: The language of texts and tags as a BCP 47 tag; empty where it is not known.
        photo: Digest of the photo that was described; empty where the record has none.
    """

    texts: Mapping[str, str]
    tags: tuple[str, ...]
    regions: tuple[Region, ...]
    size: tuple[int, int]
    language: str
    photo: str

    @classmethod
    def of(cls, row: Mapping[str, Any], language: str) -> Values:
        """Return what a record says."""
        texts = {prop: clean(row[key]) for key, prop in TEXTS.items() if isinstance(row.get(key), str) and row[key]}
        width, height, orientation = _image(row)
        size = (height, width) if orientation >= 5 else (width, height)
        regions = tuple(_regions(row.get("objects"), width, height, orientation))
        return cls(texts, _tags(row.get("tags")), regions, size, language, str(row.get("sha256", "")))

    def digest(self, *options: str) -> str:
        """Return what tells these values from others, written with these options."""
        regions = [(one.name, one.x, one.y, one.w, one.h, one.score) for one in self.regions]
        said = [_VERSION, dict(self.texts), self.tags, regions, self.language, options]
        return text_digest(json.dumps(said, ensure_ascii=False))


def text_digest(text: str) -> str:
    """Return a short digest of a text."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:24]


def _tags(tags: Any) -> tuple[str, ...]:
    """Return each tag once. Tags that differ only in case are one."""
    found: dict[str, str] = {}
    for tag in tags if isinstance(tags, list) else ():
        if isinstance(tag, str) and tag.strip():
            found.setdefault(tag.strip().casefold(), clean(tag.strip()))
    return tuple(found.values())


def _image(row: Mapping[str, Any]) -> tuple[int, int, int]:
    image = row.get("image")
    found = [image.get(key) for key in ("width", "height", "orientation")] if isinstance(image, Mapping) else []
    width, height, orientation = (value if isinstance(value, int) else 0 for value in (*found, 0, 0, 0)[:3])
    return width, height, orientation if 1 <= orientation <= 8 else 1


def _regions(objects: Any, width: int, height: int, orientation: int) -> Iterator[Region]:
    for thing in objects if isinstance(objects, list) and width > 0 and height > 0 else ():
        if not isinstance(thing, Mapping) or not isinstance(thing.get("type"), str):
            continue
        sides: list[Any] = [thing.get(side) for side in ("x", "y", "w", "h")]
        if not all(isinstance(side, int | float) and not isinstance(side, bool) for side in sides):
            continue
        x, y, w, h = sides
        # 1. Cut the box at the edges of the photo
        left, top, right, bottom = max(x, 0), max(y, 0), min(x + w, width), min(y + h, height)
        if right <= left or bottom <= top:
            continue
        # 2. Bring it from the upright photo to the stored one
        corners = [as_stored(px / width, py / height, orientation) for px, py in ((left, top), (right, bottom))]
        (x0, x1), (y0, y1) = (sorted(values) for values in zip(*corners, strict=True))
        score = thing.get("score")
        known = isinstance(score, int | float) and not isinstance(score, bool)
        yield Region(clean(thing["type"]), x0, y0, x1 - x0, y1 - y0, score if known else None)


def as_stored(x: float, y: float, orientation: int) -> tuple[float, float]:
    """Return where a point of the upright photo lies in the stored one, both in parts of width and height.

    EXIF's orientation says where the stored photo's first row and first column belong: 6 means that its first row is
    the right-hand side of the upright photo, and its first column the top.
    """
    return {
        1: (x, y),
        2: (1 - x, y),
        3: (1 - x, 1 - y),
        4: (x, 1 - y),
        5: (y, x),
        6: (y, 1 - x),
        7: (1 - y, 1 - x),
        8: (1 - y, x),
    }[orientation]
