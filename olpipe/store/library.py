"""The models on this machine: a name stands for a manifest, and a manifest lists blobs.

    <models>/blobs/sha256-<64 hex digits>                       bytes
    <models>/manifests/<host>/<namespace>/<model>/<tag>         what a model is made of
    <models>/incoming/                                          what pulls have not finished
    <models>/findings/<digest>.json                             what `olpipe doctor` found out about a model
    <cache>/views/<digest>/, <cache>/builds/<digest>/           can be made again at any time

Several processes share a store without a server. A rename gives a file its final name, and a manifest comes after its
blobs. Files appear and disappear only under one lock, which is held for a short time. Manifests may come from
strangers, so each is checked when it is read.
"""

from __future__ import annotations

import hashlib
import io
import json
import logging
import os
import shutil
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock

from olpipe.errors import ModelCorrupt, ModelNotFound, StoreError
from olpipe.interfaces import Progress, ProgressCallback
from olpipe.model import MEDIA_TYPE, Layer, ModelBundle, ModelConfig, ModelName
from olpipe.store import digests, views
from olpipe.store.blobs import Blobs
from olpipe.store.findings import Findings
from olpipe.store.layer_names import check_layer_name
from olpipe.store.manifest import MAX_BYTES, Manifest, config_from_bytes, config_to_bytes
from olpipe.store.manifests import ManifestFile, Manifests, damaged
from olpipe.store.writing import writing

logger = logging.getLogger(__name__)

HOUR_S = 3600
TEMPORARY_KEPT_S = HOUR_S
"""A temporary file that nobody has written to for so long belongs to a process that has ended."""
UNNAMED_BLOB_KEPT_S = 24 * HOUR_S
"""How long a blob may wait for its manifest."""
PARTIAL_KEPT_S = 7 * 24 * HOUR_S
"""How long an interrupted pull can be continued."""

_UNNAMED_FILES = ("model", "projector")


@dataclass(frozen=True, slots=True)
class StoredModel(ManifestFile):
    """A model as its manifest and config layer describe it, before its files are laid out."""

    config: ModelConfig


class Library:
    """A model store and its cache. Implements `olpipe.interfaces.ModelStore`."""

    def __init__(self, folder: Path, *, cache: Path) -> None:
        """Use a store. Nothing is created before something is added.

        Args:
            folder: Blobs and manifests.
            cache: Views and builds.
        """
        self.folder = folder
        self.findings = Findings(folder)
        self._incoming = folder / "incoming"
        self._cache = cache
        self._lock = FileLock(self._incoming / "store.lock")
        self._blobs = Blobs(folder / "blobs", incoming=self._incoming, lock=self._lock)
        self._manifests = Manifests(folder / "manifests", incoming=self._incoming)

    # --- putting models in --------------------------------------------------------------------

    def has(self, digest: str) -> bool:
        """Say whether a blob is stored, and keep it until a manifest names it."""
        return self._blobs.claim(digest)

    def partial(self, key: str) -> Path:
        """Return a folder that survives an interrupted pull, the same for the same key.

        Only one process should use it at a time; `olpipe.store.pull.pull` sees to that.
        """
        folder = self._incoming / f"pull-{_short(key)}"
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
            os.utime(folder)
        return folder

    def pull_lock(self, key: str) -> FileLock:
        """Return the lock that one process at a time holds while it pulls something."""
        with writing(self._incoming):
            self._incoming.mkdir(parents=True, exist_ok=True)
        return FileLock(self._incoming / f"pull-{_short(key)}.lock")

    def add_file(
        self, path: Path, *, digest: str | None = None, move: bool = False, progress: ProgressCallback | None = None
    ) -> Layer:
        """Put a file in and return a layer for it; `move` lets the store take the file itself.

        Raises:
            DigestMismatch: The bytes do not have the digest `digest`.
            DiskFull: There was no space; nothing half-written is left under a final name.
        """
        total = path.stat().st_size

        def report(done: int) -> None:
            if progress is not None:
                progress(Progress(f"storing {path.name}", done, total))

        found, size = self._blobs.add_file(path, digest=digest, move=move, report=report)
        return Layer(found, size)

    def add_bytes(self, data: bytes) -> Layer:
        """Put bytes in and return a layer for them."""
        found, size = self._blobs.add(io.BytesIO(data), digest=None, what="bytes", report=lambda done: None)
        return Layer(found, size)

    def commit(self, name: ModelName, config: ModelConfig, layers: Sequence[Layer]) -> None:
        """Write a manifest of these layers; as `commit_manifest`."""
        self.commit_manifest(name, self.compose(config, layers))

    def compose(self, config: ModelConfig, layers: Sequence[Layer]) -> bytes:
        """Return the manifest of some layers; equal layers give equal bytes."""
        return Manifest(self.add_bytes(config_to_bytes(config, layers)), tuple(layers)).to_bytes()

    def commit_manifest(self, name: ModelName, manifest: bytes) -> None:
        """Keep a manifest byte for byte, atomically, and remove what only the manifest that it replaces needed.

        Raises:
            ModelCorrupt: It is not a manifest, or one of its names could lead out of the model's folder.
            StoreError: A blob is missing: it was removed since it was added.
        """
        read = _read_manifest(name, manifest)
        with self._changing():
            for layer in (read.config, *read.layers):
                if self._blobs.size(layer.digest) != layer.size:
                    raise StoreError(f"a part of `{name}` was removed while it was pulled", hint="pull it again")
            self._replace(name, manifest)

    def clean(self) -> None:
        """Remove what abandoned pulls left, once it is too old to belong to a pull in progress."""
        if not self._incoming.is_dir():
            return
        now = time.time()
        with self._changing():
            for path in self._incoming.iterdir():
                age_s = now - path.lstat().st_mtime
                if path.is_dir() and age_s > PARTIAL_KEPT_S:
                    shutil.rmtree(path, ignore_errors=True)
                elif path.suffix != ".lock" and path.is_file() and age_s > TEMPORARY_KEPT_S:
                    path.unlink(missing_ok=True)
            try:
                models, named = self._manifests.in_use()
            except StoreError:
                return  # `list` warns of it
            self._clean_cache(models, now)
            for digest, touched_at in list(self._blobs.entries()):
                if digest not in named and now - touched_at > UNNAMED_BLOB_KEPT_S:
                    self._blobs.discard(digest)

    def _clean_cache(self, models: Collection[str], now: float) -> None:
        """Remove the views and builds of models that were never committed: their pulls were cancelled or killed."""
        for folder in (self._cache / "views", self._cache / "builds"):
            for path in folder.iterdir() if folder.is_dir() else ():
                age_s = now - path.lstat().st_mtime
                if path.name.startswith((".new-", ".old-")) and age_s > TEMPORARY_KEPT_S:
                    shutil.rmtree(path, ignore_errors=True)
                elif path.is_dir() and age_s > UNNAMED_BLOB_KEPT_S and f"sha256:{path.name}" not in models:
                    views.discard(path)

    # --- taking models out --------------------------------------------------------------------

    def names(self) -> list[ModelName]:
        """Return every name that has a manifest, readable or not, in order."""
        return self._manifests.names()

    def stored(self) -> list[StoredModel]:
        """Return every readable model, newest first. Each damaged one causes a warning."""
        found = []
        for name in self.names():
            try:
                found.append(self.describe(name))
            except ModelNotFound:
                continue  # removed since it was listed
            except StoreError as error:
                logger.warning("%s", error.message)
        return sorted(found, key=lambda model: model.modified_at, reverse=True)

    def describe(self, name: ModelName) -> StoredModel:
        """Return a model's description without laying out its files.

        Raises:
            ModelNotFound: It is not on this machine.
            StoreError: It is damaged.
        """
        found = self._manifests.read(name)
        try:
            return self._described(found)
        except (OSError, ValueError) as error:
            raise damaged(found.name, error) from error

    def missing(self, model: StoredModel) -> list[Layer]:
        """Return the layers of a model whose blobs are not here, or are cut short."""
        return [layer for layer in model.manifest.layers if self._blobs.size(layer.digest) != layer.size]

    def get(self, name: ModelName) -> ModelBundle:
        """Return a model with its files laid out in a view. A view that is there already is used again.

        Raises:
            ModelNotFound: It is not on this machine.
            StoreError: It is damaged.
        """
        model = self.describe(name)
        try:
            return self._lay_out(model)
        except (FileNotFoundError, ValueError) as error:
            raise damaged(model.name, error) from error

    def stage(self, name: ModelName, manifest: bytes) -> ModelBundle:
        """Lay out a model that is not committed yet, to see whether it can be run.

        Raises:
            ModelCorrupt: The manifest cannot be used, or one of its blobs is not here.
        """
        found = ManifestFile(name, manifest, time.time(), _read_manifest(name, manifest))
        try:
            return self._lay_out(self._described(found))
        except (FileNotFoundError, ValueError) as error:
            raise _unusable(name, error) from error

    def forget(self, staged: ModelBundle) -> None:
        """Remove the view and the build of a model that was staged and not committed."""
        with self._changing():
            try:
                models, _ = self._manifests.in_use()
            except StoreError:
                return  # `list` warns of it
            if staged.digest not in models:
                self._discard_made(staged.digest)

    def digest(self, name: ModelName) -> str:
        """Return the digest of a model's manifest. It changes when the name is given to another model.

        Raises:
            ModelNotFound: It is not on this machine.
            StoreError: It is damaged.
        """
        return self._manifests.read(name).digest

    def _described(self, found: ManifestFile) -> StoredModel:
        config = config_from_bytes(self._blobs.read(found.manifest.config.digest, limit=MAX_BYTES))
        return StoredModel(found.name, found.data, found.modified_at, found.manifest, config)

    def _lay_out(self, model: StoredModel) -> ModelBundle:
        view, cache = self._made(model.digest)
        views.materialise(view, self._files(model))
        system, licenses, card = (self._texts(model, kind) for kind in ("system", "license", "card"))
        parameters = _parameters(self._texts(model, "params"))
        return ModelBundle(
            name=model.name,
            digest=model.digest,
            path=view,
            cache=cache,
            config=model.config,
            system="\n".join(system),
            parameters=parameters,
            licenses=tuple(licenses),
            card="\n".join(card),
            size_bytes=model.size_bytes,
        )

    def remove(self, name: ModelName) -> None:
        """Remove a model, and its files where no other model needs them.

        Raises:
            ModelNotFound: It is not on this machine.
        """
        with self._changing():
            removed = self._read_or_none(name)
            self._manifests.remove(name)
            if removed is not None:
                self._release(removed)

    def copy(self, source: ModelName, destination: ModelName) -> None:
        """Give a model a second name; no file is copied.

        Raises:
            ModelNotFound: The source is not on this machine.
        """
        with self._changing():
            self._replace(destination, self._manifests.read(source).data)

    # --- within -------------------------------------------------------------------------------

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """Hold the store's lock while a block runs. The block also reads what its changes depend on."""
        with writing(self._manifests.folder):
            self._incoming.mkdir(parents=True, exist_ok=True)
            with self._lock:
                yield

    def _replace(self, name: ModelName, data: bytes) -> None:
        replaced = self._read_or_none(name)
        self._manifests.write(name, data)
        if replaced is not None:
            self._release(replaced)

    def _read_or_none(self, name: ModelName) -> ManifestFile | None:
        try:
            return self._manifests.read(name)
        except (ModelNotFound, StoreError):
            return None

    def _release(self, removed: ManifestFile) -> None:
        """Delete what only this manifest named. A blob touched since then stays: a pull in progress counts on it."""
        try:
            models, blobs = self._manifests.in_use()
        except StoreError as error:
            logger.warning("no files were removed, because it is not known which are needed: %s", error.message)
            return
        if removed.digest not in models:
            self._discard_made(removed.digest)
            self.findings.discard(removed.digest)
        for digest in removed.manifest.blob_digests - blobs:
            touched_at = self._blobs.touched_at(digest)
            if touched_at is not None and touched_at <= removed.modified_at:
                self._blobs.discard(digest)

    def _made(self, digest: str) -> tuple[Path, Path]:
        """Return a model's view and the folder of its builds."""
        hex_digits = digests.hex_of(digest)
        return self._cache / "views" / hex_digits, self._cache / "builds" / hex_digits

    def _discard_made(self, digest: str) -> None:
        view, builds = self._made(digest)
        views.discard(view)
        views.discard(builds)
        builds.with_name(f"{builds.name}.lock").unlink(missing_ok=True)

    def _files(self, model: StoredModel) -> dict[str, tuple[Path, int]]:
        files: dict[str, tuple[Path, int]] = {}
        for layer in model.manifest.layers:
            kind = layer.media_type.removeprefix(MEDIA_TYPE)
            # Ollama's own weights carry no name.
            name = layer.name or (f"{kind}.{model.config.model_format}" if kind in _UNNAMED_FILES else "")
            if not name:
                continue
            if self._blobs.size(layer.digest) != layer.size:
                raise ValueError(f"the file `{name}` is missing or cut short")
            files[check_layer_name(name)] = (self._blobs.path(layer.digest), layer.size)
        return files

    def _texts(self, model: StoredModel, kind: str) -> list[str]:
        layers = [layer for layer in model.manifest.layers if layer.media_type == MEDIA_TYPE + kind]
        return [self._blobs.read(layer.digest, limit=MAX_BYTES).decode() for layer in layers]


def _read_manifest(name: ModelName, data: bytes) -> Manifest:
    try:
        return Manifest.from_bytes(data)
    except ValueError as error:
        raise _unusable(name, error) from error


def _unusable(name: ModelName, reason: object) -> ModelCorrupt:
    """Return the error for a model that was pulled and cannot be kept."""
    return ModelCorrupt(f"`{name}` cannot be used: {reason}", hint="it was not kept; pull it again, or from elsewhere")


def _short(key: str) -> str:
    """Return a file name for any text; equal texts give equal names."""
    return hashlib.sha256(key.encode()).hexdigest()[:32]


def _parameters(texts: Sequence[str]) -> dict[str, Any]:
    merged: dict[str, Any] = {}
    for text in texts:
        value = json.loads(text)
        if not isinstance(value, dict):
            raise ValueError("its parameters are not a JSON object")
        merged |= value
    return merged
