"""What compressed tar archives hold, kept from run to run: to find that out takes as long as unpacking them.

A listing is used only where the archive has the size and the time that it had, and begins and ends with the same bytes.
What ends such a file holds checksums of all that is in it.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from pathlib import Path
from typing import Any

from olpipe.archives.names import inside
from olpipe.archives.reader import Entry, Listing
from olpipe.whole_file import put_whole

logger = logging.getLogger(__name__)

_VERSION = 1
_EDGE_BYTES = 1 << 16
_MOST_KEPT = 100
"""So many listings are kept. The oldest one goes first."""

State = dict[str, Any]
"""What an archive looks like from outside. It is another one when the archive has changed."""


def state_of(archive: Path) -> State:
    """Return what an archive looks like.

    Raises:
        OSError: It cannot be read.
    """
    with archive.open("rb") as file:
        status = os.fstat(file.fileno())
        edges = hashlib.sha256(file.read(_EDGE_BYTES))
        file.seek(max(0, status.st_size - _EDGE_BYTES))
        edges.update(file.read(_EDGE_BYTES))
    path = os.path.abspath(archive)
    facts = {"path": path, "size_bytes": status.st_size, "modified_ns": status.st_mtime_ns}
    return {"version": _VERSION, **facts, "edges": edges.hexdigest()}


class KeptListings:
    """The listings in one folder, a file for each archive. What is wrong with one is no error: it is made anew."""

    def __init__(self, folder: Path) -> None:
        """Make an object for a folder, which is made when the first listing is kept."""
        self._folder = folder

    def read(self, state: State) -> Listing | None:
        """Return the listing of an archive that looks like this; None where there is none."""
        try:
            kept = json.loads(self._path(state).read_bytes())
            if kept["state"] != state:
                return None
            entries = tuple(Entry(int(number), inside(name), int(size)) for number, name, size in kept["entries"])
            return Listing(entries, int(kept["links"]))
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return None

    def write(self, state: State, listing: Listing) -> None:
        """Keep the listing of an archive that is whole. Where that fails, the next run makes it again."""
        if listing.damage:
            return
        entries = [(entry.number, entry.name, entry.size_bytes) for entry in listing.entries]
        kept = {"state": state, "entries": entries, "links": listing.links}
        try:
            put_whole(self._path(state), json.dumps(kept).encode())
            others = sorted(self._folder.glob("*.json"), key=lambda path: path.stat().st_mtime_ns)
            for path in others[:-_MOST_KEPT]:
                path.unlink()
        except OSError as error:
            logger.debug("the listing of an archive could not be kept: %s", error)

    def _path(self, state: State) -> Path:
        name = hashlib.sha256(os.fsencode(state["path"])).hexdigest()
        return self._folder / f"{name}.json"
