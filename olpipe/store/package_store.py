"""A store for looking at a model whose files lie here already: nothing is fetched, and nothing is kept."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path

from olpipe.interfaces import PartialBlob, ProgressCallback
from olpipe.model import Layer, ModelName


class PackageStore:
    """What a package never asks of an `olpipe.interfaces.ModelStore`. Subclasses take its files and its description."""

    def has(self, digest: str) -> bool:
        """Say that a blob has to be taken."""
        return False

    def partial(self, key: str) -> Path:
        """Refuse to fetch."""
        raise NotImplementedError("nothing is fetched here")

    def add_bytes(self, data: bytes) -> Layer:
        """Refuse texts."""
        raise NotImplementedError("a package consists of files")

    def receiving(
        self, digest: str, size: int, progress: ProgressCallback
    ) -> AbstractContextManager[PartialBlob | None]:
        """Refuse to fetch."""
        raise NotImplementedError("nothing is fetched here")

    def check_manifest(self, name: ModelName, manifest: bytes, beginnings: Mapping[str, Path] | None = None) -> None:
        """Refuse a manifest."""
        raise NotImplementedError("a package has no manifest")

    def commit_manifest(self, name: ModelName, manifest: bytes) -> None:
        """Refuse a manifest."""
        raise NotImplementedError("a package has no manifest")
