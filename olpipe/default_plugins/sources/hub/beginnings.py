"""The headers of GGUF files, fetched before the rest of them: they say what the model is."""

from __future__ import annotations

from pathlib import Path

from olpipe.default_plugins.sources.transfer.headers import fetch_header
from olpipe.default_plugins.sources.transfer.ranges import BlobHost
from olpipe.default_plugins.sources.transfer.trouble import Trouble
from olpipe.interfaces import PartialBlob, ProgressCallback
from olpipe.model import Layer
from olpipe.store import digests, partial_blob
from olpipe.store.early_checks import second_name

_COPIED_BYTES = 1 << 20


class Beginnings:
    """Fetches the headers of GGUF files into a folder that survives an interrupted pull.

    They do not go into the store at once, because a file that is in the store already has to be read, too.
    """

    def __init__(self, host: BlobHost, folder: Path, progress: ProgressCallback) -> None:
        """Fetch nothing yet.

        Args:
            host: Where the files come from.
            folder: Where the headers go.
            progress: Told how much of a file is here.
        """
        self._host = host
        self._folder = folder
        self._progress = progress
        self._fetched: dict[str, tuple[Path, int]] = {}

    def fetch(self, layer: Layer, name: str) -> Path:
        """Return a file that is as long as a GGUF file and begins as it does, with the whole header.

        Args:
            layer: The file's layer.
            name: What the file is called in errors.

        Raises:
            Trouble: It is no GGUF file, or cannot be had.
            Transient: It has failed too often.
        """
        place = self._folder / digests.hex_of(layer.digest)[:16]
        place.mkdir(parents=True, exist_ok=True)
        blob = partial_blob.PartialBlob(place, layer.digest, layer.size, _unsettled)
        try:
            is_gguf = fetch_header(self._host, layer, blob, self._progress)
            gaps = blob.missing()
            self._fetched[layer.digest] = blob.path, gaps[0][0] if gaps else layer.size
        finally:
            blob.close()
        if not is_gguf:
            raise Trouble(f"`{name}` is no GGUF file, though its name says so")
        named = place / "named" / name
        named.parent.mkdir(exist_ok=True)
        named.unlink(missing_ok=True)
        second_name(blob.path, named)
        return named

    def give(self, layer: Layer, blob: PartialBlob) -> None:
        """Write what was fetched of a file into the blob that it becomes, so that it does not come twice."""
        path, ends = self._fetched[layer.digest]
        with path.open("rb") as file:
            for at in range(0, ends, _COPIED_BYTES):
                blob.write(at, file.read(min(_COPIED_BYTES, ends - at)))


def _unsettled(path: Path, digest: str) -> None:
    """Make nothing of a header: it is never kept as a blob."""
