"""Where each model was pulled from, so that what is damaged can be fetched again.

    <models>/origins/<64 hex digits>.json

It is not in the manifest: a manifest that changed would be another model.
"""

from __future__ import annotations

import json
from pathlib import Path

from olpipe.store import digests
from olpipe.store.file_reference import SCHEME, SEPARATOR, FileReference
from olpipe.store.writing import replace_json


class Origins:
    """The origins of the models of one store."""

    def __init__(self, models: Path) -> None:
        """Use a store. Nothing is created before something is kept.

        Args:
            models: The folder of the store.
        """
        self.folder = models / "origins"

    def get(self, digest: str) -> str:
        """Return where a model came from, `SCHEME:REFERENCE`; empty where that is not known.

        Args:
            digest: `sha256:…` of its manifest.
        """
        try:
            value = json.loads(self._path(digest).read_bytes())
            return str(value["source"])
        except (OSError, ValueError, KeyError, TypeError):
            return ""

    def keep(self, digest: str, source: str) -> None:
        """Write down where a model came from, in place of what was known before.

        Raises:
            DiskFull: There was no space.
            StoreError: The store may not be written.
        """
        replace_json(self._path(digest), {"source": _lasting(source)})

    def discard(self, digest: str) -> None:
        """Forget where a model came from."""
        self._path(digest).unlink(missing_ok=True)

    def _path(self, digest: str) -> Path:
        return self.folder / f"{digests.hex_of(digest)}.json"


def _lasting(source: str) -> str:
    """Return a source that means the same in every working folder."""
    scheme, _, reference = source.partition(":")
    if scheme != SCHEME:
        return source
    read = FileReference.parse(reference)
    paths = [str(path) for path in (read.model, read.projector) if path is not None]
    return f"{scheme}:{SEPARATOR.join(paths)}"
