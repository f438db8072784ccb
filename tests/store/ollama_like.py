"""A folder as Ollama lays it out, written by hand, and a naive reader and pruner of such folders.

Nothing here uses olpipe's own code: it stands for the other program.
"""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

OLLAMA = "application/vnd.ollama.image."
GRACE_S = 3600
"""Ollama removes blobs that no manifest names only where they are older than this."""


class OllamaLike:
    """The other program."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "blobs").mkdir(parents=True)
        (folder / "manifests").mkdir()

    def blob(self, data: bytes) -> tuple[str, int]:
        digest = hashlib.sha256(data).hexdigest()
        (self.folder / "blobs" / f"sha256-{digest}").write_bytes(data)
        return f"sha256:{digest}", len(data)

    def put(self, name: str, layers: Mapping[str, bytes], **config: Any) -> Path:
        """Store a model. The keys of the layers are Ollama's kinds: `model`, `projector`, `system` and others."""
        described = {"model_format": "gguf", "model_family": "llama", "architecture": "amd64", "os": "linux"} | config
        entries = []
        for kind, data in layers.items():
            digest, size = self.blob(data)
            entries.append({"mediaType": OLLAMA + kind, "digest": digest, "size": size})
        digest, size = self.blob(json.dumps(described).encode())
        head = {"mediaType": "application/vnd.docker.container.image.v1+json", "digest": digest, "size": size}
        value = {
            "schemaVersion": 2,
            "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
            "config": head,
            "layers": entries,
        }
        path = self.folder / "manifests" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(value))
        return path

    def readable(self) -> dict[str, dict[str, Any]]:
        """Return the configs of all models by name, as Ollama's list reads them. It fails on what it cannot read."""
        found = {}
        for path, value in self._manifests():
            for layer in [value["config"], *value["layers"]]:
                assert re.fullmatch(r"sha256[:-][0-9a-fA-F]{64}", layer["digest"])
                blob = self._path(layer["digest"])
                assert blob.stat().st_size == layer["size"]
                assert hashlib.sha256(blob.read_bytes()).hexdigest() == layer["digest"][7:]
            config = json.loads(self._path(value["config"]["digest"]).read_bytes())
            for key in ("model_format", "model_family", "model_type", "file_type"):
                assert isinstance(config.get(key, ""), str)
            assert isinstance(config.get("model_families") or [], list)
            assert isinstance(config.get("context_length", 0), int)
            found["/".join(path.relative_to(self.folder / "manifests").parts)] = config
        return found

    def prune(self, now: float | None = None) -> list[str]:
        """Remove blobs that no manifest names and that are old, as Ollama does when it starts."""
        needed = {
            layer["digest"].replace(":", "-")
            for _, value in self._manifests()
            for layer in [value["config"], *value["layers"]]
        }
        removed = []
        for path in (self.folder / "blobs").iterdir():
            if path.name not in needed and (now or time.time()) - path.stat().st_mtime > GRACE_S:
                path.unlink()
                removed.append(path.name)
        return removed

    def delete(self, name: str) -> None:
        """Delete a model, and its blobs that no other manifest names."""
        path = self.folder / "manifests" / name
        value = json.loads(path.read_bytes())
        path.unlink()
        needed = {layer["digest"] for _, other in self._manifests() for layer in [other["config"], *other["layers"]]}
        for layer in [value["config"], *value["layers"]]:
            if layer["digest"] not in needed:
                self._path(layer["digest"]).unlink(missing_ok=True)

    def _path(self, digest: str) -> Path:
        return self.folder / "blobs" / digest.replace(":", "-")

    def _manifests(self) -> Iterator[tuple[Path, dict[str, Any]]]:
        for path in sorted((self.folder / "manifests").glob("*/*/*/*")):
            if path.is_file():
                yield path, json.loads(path.read_bytes())
