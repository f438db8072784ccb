"""Find photos that look nearly like one that was described, for `--near`.

Which photo is the first one depends on the order of names alone. So it is decided here, in the thread that hands photos
out, before a photo goes to the executor. Each photo is compared with photos that have a record of their own, never with
copies: so no copy is further from its first photo than the user allows.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, TypeVar

from olpipe.errors import OlpipeError
from olpipe.image import ImageFile, ImageRef
from olpipe.imaging.decode import decode
from olpipe.imaging.likeness import SKETCH_PIXELS, Sketch, distances, sketch
from olpipe.interfaces import ImageLoader
from olpipe.pipeline.ledger import RECORD, Ledger
from olpipe.record import Failure, ImageInfo

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

AHEAD = 4
"""How many photos are decoded for their sketches before it is their turn."""

THREADS = 2

_TABLE = (
    "CREATE TABLE IF NOT EXISTS sketches(id INTEGER PRIMARY KEY AUTOINCREMENT, recipe_key TEXT NOT NULL,"
    " identity TEXT NOT NULL, told TEXT NOT NULL, sketch BLOB NOT NULL, UNIQUE(recipe_key, identity))"
)

Opened = ImageFile | Failure
Item = TypeVar("Item")
Found = TypeVar("Found")


@dataclass(frozen=True, slots=True)
class Look:
    """How a photo looks, and what is told of it.

    Attributes:
        sketch: Its sketch.
        told: Digest of what the prompt tells of it.
        image: What its record says of it.
    """

    sketch: Sketch
    told: str
    image: ImageInfo


@dataclass(frozen=True, slots=True)
class Match:
    """A photo that looks nearly the same.

    Attributes:
        identity: What its outcome belongs to.
        distance: In how many of 64 bits the sketches differ.
    """

    identity: str
    distance: int


class Looker:
    """Makes sketches of photos. Any thread may call it."""

    def __init__(self, loaders: Iterable[ImageLoader], told: Callable[[ImageFile], str]) -> None:
        """Make one.

        Args:
            loaders: They decode the photos.
            told: What the prompt tells of a photo.
        """
        self._loaders = loaders
        self._told = told

    def look(self, file: Opened) -> Look | None:
        """Return how a photo looks; None where it cannot be read or is too flat. It is not compared then."""
        if isinstance(file, Failure):
            return None
        try:
            decoded = decode(file.read(), file.ref.path.suffix, self._loaders, sizes=(SKETCH_PIXELS,))
            told = hashlib.sha256(self._told(file).encode()).hexdigest()[:16]
        except (OlpipeError, OSError):
            return None
        found = sketch(decoded)
        info = ImageInfo(decoded.width, decoded.height, decoded.orientation, decoded.format)
        return None if found is None else Look(found, told, info)


class Near:
    """The photos that others may get their record from. It is used where the ledger is, in one thread.

    Of each photo, 16 bytes are kept in memory.
    """

    def __init__(self, ledger: Ledger, most: int) -> None:
        """Read from a ledger, after the survey, which photos have a record of their own.

        Args:
            ledger: The ledger.
            most: In how many of 64 bits sketches may differ.
        """
        import numpy as np

        self._ledger = ledger
        self._most = most
        self._count = 0
        self._hashes: npt.NDArray[np.uint64] = np.zeros(1024, np.uint64)
        self._numbers: npt.NDArray[np.int64] = np.zeros(1024, np.int64)
        ledger.run(_TABLE)
        key = ledger.recipe_key
        known = (
            "SELECT sketches.id FROM sketches JOIN outcomes ON outcomes.recipe_key = sketches.recipe_key"
            " AND outcomes.sha256 = identity JOIN rows ON outcome = outcomes.id"
            " WHERE sketches.recipe_key = ? AND outcomes.kind = ?"
        )
        ledger.run(f"DELETE FROM sketches WHERE recipe_key = ? AND id NOT IN ({known})", (key, key, RECORD))
        for number, data in ledger.run("SELECT id, sketch FROM sketches WHERE recipe_key = ? ORDER BY id", (key,)):
            self._append(number, Sketch.from_bytes(data).hash)

    def match(self, look: Look) -> Match | None:
        """Return the photo that looks most like another one; the earlier one where two look the same. None if none."""
        import numpy as np

        apart = distances(self._hashes[: self._count], look.sketch.hash)
        candidates = np.flatnonzero(apart <= self._most)
        for place in candidates[np.argsort(apart[candidates], kind="stable")]:
            found = self._ledger.run(
                "SELECT identity, told, sketch FROM sketches WHERE id = ?", (int(self._numbers[place]),)
            ).fetchone()
            if found is not None and found[1] == look.told and look.sketch.is_like(Sketch.from_bytes(found[2])):
                return Match(found[0], int(apart[place]))
        return None

    def lead(self, identity: str, look: Look) -> None:
        """Take note that a photo is described, so that others may get its record."""
        values = (self._ledger.recipe_key, identity, look.told, look.sketch.to_bytes())
        added = self._ledger.run(
            "INSERT OR REPLACE INTO sketches(recipe_key, identity, told, sketch) VALUES (?, ?, ?, ?)", values
        )
        self._append(added.lastrowid or 0, look.sketch.hash)

    def forget(self, identity: str) -> None:
        """Take note that a photo could not be described."""
        self._ledger.run(
            "DELETE FROM sketches WHERE recipe_key = ? AND identity = ?", (self._ledger.recipe_key, identity)
        )

    def _append(self, number: int, bits: int) -> None:
        import numpy as np

        if self._count == len(self._hashes):
            self._hashes = np.concatenate([self._hashes, np.zeros_like(self._hashes)])
            self._numbers = np.concatenate([self._numbers, np.zeros_like(self._numbers)])
        self._hashes[self._count], self._numbers[self._count] = bits, number
        self._count += 1


def opened(
    files: Iterable[tuple[ImageRef, Opened]], looker: Looker | None
) -> Iterator[tuple[ImageRef, Opened, Look | None]]:
    """Yield photos that are opened one after the other, and how they look where they are compared."""
    if looker is None:
        yield from ((image, file, None) for image, file in files)
    else:
        for (image, file), look in ahead(files, lambda item: looker.look(item[1])):
            yield image, file, look


def ahead(items: Iterable[Item], work: Callable[[Item], Found]) -> Iterator[tuple[Item, Found]]:
    """Yield each item with what becomes of it, in their order. A few are worked on ahead, in threads.

    Items are taken in the thread that calls.
    """
    items = iter(items)
    with ThreadPoolExecutor(THREADS, thread_name_prefix="look") as pool:
        window: deque[tuple[Item, Future[Found]]] = deque()
        try:
            while True:
                window.extend((item, pool.submit(work, item)) for item in islice(items, AHEAD - len(window)))
                if not window:
                    return
                item, future = window.popleft()
                yield item, future.result()
        finally:
            for _, future in window:
                future.cancel()
