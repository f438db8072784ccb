"""The models on this machine: a name stands for a manifest, and a manifest lists blobs.

    <models>/blobs/sha256-<64 hex digits>                       bytes
    <models>/manifests/<host>/<namespace>/<model>/<tag>         what a model is made of
    <models>/incoming/                                          what pulls have not finished
    <models>/{unfinished,findings,origins,linked,damaged}/      see the modules and `docs/store.md`
    <cache>/{views,builds}/<digest>/, <cache>/chat/<digest>.json    can be made again at any time

Several processes share a store without a server. A rename gives a file its final name, and a manifest comes after its
blobs. Files appear and disappear only under one lock, which is held for a short time. Manifests may come from
strangers, so each is checked when it is read.
"""

from __future__ import annotations

import io
import logging
import os
import time
from collections.abc import Iterator, Mapping, Sequence, Set
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from filelock import FileLock

from olpipe.errors import ModelNotFound, StoreError
from olpipe.interfaces import Backend, Progress, ProgressCallback
from olpipe.model import Layer, ModelBundle, ModelConfig, ModelName
from olpipe.registry import Registry
from olpipe.store import digests, early_checks, stored_model, views
from olpipe.store.blobs import Blobs, Incoming
from olpipe.store.chat_facts import ChatFacts, ChatFactsCache, with_template
from olpipe.store.findings import Findings
from olpipe.store.leftovers import TEMPORARY_KEPT_S, Parts, clean
from olpipe.store.locks import held
from olpipe.store.manifest import MAX_BYTES, Manifest, config_from_bytes, config_to_bytes, read_manifest, unusable
from olpipe.store.manifests import ManifestFile, Manifests, damaged
from olpipe.store.origins import Origins
from olpipe.store.partial_blob import PartialBlob, short
from olpipe.store.seal import discard_build
from olpipe.store.stored_model import StoredModel
from olpipe.store.unfinished import UnfinishedPull, UnfinishedPulls, blob_key, partial_name
from olpipe.store.writing import writing

logger = logging.getLogger(__name__)


class Library:
    """A model store and its cache. Implements `olpipe.interfaces.ModelStore`."""

    def __init__(self, folder: Path, *, cache: Path, keeps_blobs: bool = False) -> None:
        """Use a store. Nothing is created before something is added.

        Args:
            folder: Blobs and manifests.
            cache: Views and builds.
            keeps_blobs: Whether blobs stay when no model needs them any more.
        """
        self.keeps_blobs = keeps_blobs
        self.folder = folder
        self.findings = Findings(folder)
        self.incoming, self.cache = folder / "incoming", cache
        self.chat_cache = ChatFactsCache(cache)
        self._lock = FileLock(self.incoming / "store.lock")
        self.blobs = Blobs(folder / "blobs", incoming=self.incoming, lock=self._lock)
        self.manifests = Manifests(folder / "manifests", incoming=self.incoming)
        self.origins = Origins(folder)
        self.unfinished = UnfinishedPulls(folder)
        self.parts = Parts(folder, self.incoming, cache, self.manifests, self.blobs, self.chat_cache, self.unfinished)

    # --- putting models in --------------------------------------------------------------------

    def receive(self) -> Incoming:
        """Return a new blob, to which bytes can be written as they come in."""
        return self.blobs.receive()

    def has(self, digest: str) -> bool:
        """Say whether a blob is stored, and keep it until a manifest names it."""
        return self.blobs.claim(digest)

    def blob_path(self, digest: str) -> Path:
        """Return where the blob with a digest is or would be. Nobody may change it."""
        return self.blobs.path(digest)

    def partial(self, key: str) -> Path:
        """Return a folder that survives an interrupted pull, the same for the same key.

        Only one process should use it at a time; `olpipe.store.pull.pull` sees to that.
        """
        folder = self.incoming / partial_name(key)
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
            os.utime(folder)
        return folder

    def pull_lock(self, key: str) -> FileLock:
        """Return the lock that one process at a time holds while it pulls something."""
        path = self.incoming / f"{partial_name(key)}.lock"
        with writing(self.incoming):
            self.incoming.mkdir(parents=True, exist_ok=True)
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o644))
        return FileLock(path)

    @contextmanager
    def receiving(self, digest: str, size: int, progress: ProgressCallback) -> Iterator[PartialBlob | None]:
        """Hold the place of a blob that comes in part by part; None where it is here already."""
        key = blob_key(digest)
        with held(self.pull_lock(key), f"waiting for another pull of {short(digest)}", progress):
            if self.has(digest):
                yield None
                return
            with closing(PartialBlob(self.partial(key), digests.normalised(digest), size, self.blobs.settle)) as blob:
                yield blob

    def check_manifest(self, name: ModelName, manifest: bytes, beginnings: Mapping[str, Path] | None = None) -> None:
        """Refuse what could not be stored. A library knows no backends, so it does not look at the beginnings."""
        early_checks.check_sizes(name, read_manifest(name, manifest), self.blobs, self.incoming)

    def check_runs(
        self, name: ModelName, manifest: bytes, beginnings: Mapping[str, Path], backends: Registry[Backend]
    ) -> None:
        """Check that a backend runs a model of which only the config and the beginnings of GGUF files are here.

        Raises:
            ModelCorrupt: The config cannot be used.
            ModelUnsupported: No backend runs it.
        """
        read = read_manifest(name, manifest)
        early_checks.check_runs(name, read, beginnings, self.blobs, backends, folder=self.incoming)

    def add_file(
        self, path: Path, *, digest: str | None = None, move: bool = False, progress: ProgressCallback | None = None
    ) -> Layer:
        """Put a file in and return a layer for it; `move` lets the store take the file itself.

        Raises:
            DigestMismatch: The bytes do not have the digest `digest`.
            DiskFull: There was no space; nothing half-written is left under a final name.
        """
        total = path.stat().st_size
        expected = "" if digest is None else digests.normalised(digest)

        def report(done: int) -> None:
            if progress is not None:
                progress(Progress(f"storing {path.name}", done, total, digest=expected))

        found, size = self.blobs.add_file(path, digest=digest, move=move, report=report)
        if progress is not None:
            progress(Progress(f"storing {path.name}", size, size, digest=found))
        return Layer(found, size)

    def add_bytes(self, data: bytes) -> Layer:
        """Put bytes in and return a layer for them."""
        found, size = self.blobs.add(io.BytesIO(data), digest=None, what="bytes", report=lambda done: None)
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
        read = read_manifest(name, manifest)
        with self.changing():
            for layer in (read.config, *read.layers):
                if self.blobs.size(layer.digest) != layer.size:
                    raise StoreError(f"a part of `{name}` was removed while it was pulled", hint="pull it again")
            self._replace(name, manifest)

    def clean(self) -> None:
        """Remove what nobody needs, once it is too old to belong to a process at work. Unfinished pulls stay."""
        if self.incoming.is_dir():
            with self.changing():
                clean(self.parts, keeps_blobs=self.keeps_blobs)

    # --- taking models out --------------------------------------------------------------------

    def names(self) -> list[ModelName]:
        """Return every name that has a manifest, readable or not, in order."""
        return self.manifests.names()

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
        found = self.manifests.read(name)
        try:
            return self._described(found)
        except (OSError, ValueError) as error:
            raise damaged(found.name, error) from error

    def missing(self, model: StoredModel) -> list[Layer]:
        """Return the layers of a model whose blobs are not here, or are cut short."""
        return [layer for layer in model.manifest.layers if self.blobs.size(layer.digest) != layer.size]

    def get(self, name: ModelName) -> ModelBundle:
        """Return a model with its files laid out in a view. A view that is there already is used again.

        Raises:
            ModelNotFound: It is not on this machine.
            StoreError: It is damaged.
        """
        try:
            with suppress(FileNotFoundError):  # another process is just removing the model: see what is left of it
                return self._lay_out(self.describe(name))
            return self._lay_out(self.describe(name))
        except (FileNotFoundError, ValueError) as error:
            raise damaged(name, error) from error

    def stage(self, name: ModelName, manifest: bytes) -> ModelBundle:
        """Lay out a model that is not committed yet, to see whether it can be run.

        Raises:
            ModelCorrupt: The manifest cannot be used, or one of its blobs is not here.
        """
        found = ManifestFile(name, manifest, time.time(), read_manifest(name, manifest))
        try:
            return self._lay_out(self._described(found))
        except (FileNotFoundError, ValueError) as error:
            raise unusable(name, error) from error

    def share_build(self, source: ModelBundle, staged: ModelBundle) -> None:
        """Give a staged model what was built for a model with the same files, where it has nothing built yet.

        The files of the build get a second name, so this takes no space. Where that cannot be done, nothing is shared.
        """
        with self.changing():
            views.share(source.cache, staged.cache)

    def forget(self, staged: ModelBundle) -> None:
        """Remove the view and the build of a model that was staged and not committed."""
        with self.changing():
            try:
                models, _ = self.manifests.in_use()
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
        return self.manifests.read(name).digest

    def texts(self, model: StoredModel, kind: str) -> list[str]:
        """Return the texts of the layers of a kind, such as `license`, in their order.

        Raises:
            StoreError: One of them is damaged.
        """
        try:
            return stored_model.texts(model, kind, self.blobs)
        except (OSError, ValueError) as error:
            raise damaged(model.name, error) from error

    def chat_facts(self, model: StoredModel) -> ChatFacts:
        """Return what the files of a model say about how to talk with it. Weights are not read."""
        try:
            files = stored_model.files(model, self.blobs)
            facts = self.chat_cache.about(model.digest, model.config, files)
            return with_template(facts, stored_model.template(model, self.blobs))
        except (OSError, ValueError):
            return ChatFacts()  # `get` says what is wrong

    def _described(self, found: ManifestFile) -> StoredModel:
        written = self.blobs.read(found.manifest.config.digest, limit=MAX_BYTES)
        config = config_from_bytes(written, found.manifest.layers)
        model = StoredModel(found.name, found.data, found.modified_at, found.manifest, config, config)
        capabilities = self.chat_facts(model).capabilities(config.capabilities)
        return replace(model, config=replace(config, capabilities=capabilities))

    def _lay_out(self, model: StoredModel) -> ModelBundle:
        view, cache = self.made(model.digest)
        views.materialise(view, stored_model.files(model, self.blobs))
        return stored_model.bundle(model, self.blobs, view=view, cache=cache)

    def remove(self, name: ModelName) -> None:
        """Remove a model, and its files where no other model needs them. What unfinished pulls of it brought goes, too.

        Raises:
            ModelNotFound: It is not on this machine, and nothing of it is.
        """
        given_up = self.give_up(name)
        with self.changing():
            removed = self._read_or_none(name)
            try:
                self.manifests.remove(name)
            except ModelNotFound:
                if not given_up:
                    raise
            if removed is not None:
                self._release(removed)

    def give_up(self, name: ModelName | None = None) -> list[UnfinishedPull]:
        """Give up the unfinished pulls of a model, or all, with what they brought. Return them. One at work stays."""
        given_up = self.unfinished.give_up(name)
        if given_up:
            with self.changing():
                self._discard_blobs({digest for pull in given_up for digest in pull.blobs}, before=time.time())
        return given_up

    def copy(self, source: ModelName, destination: ModelName) -> None:
        """Give a model a second name; no file is copied.

        Raises:
            ModelNotFound: The source is not on this machine.
        """
        with self.changing():
            self._replace(destination, self.manifests.read(source).data)

    # --- within -------------------------------------------------------------------------------

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Hold the store's lock while a block runs. The block also reads what its changes depend on."""
        with writing(self.manifests.folder):
            self.incoming.mkdir(parents=True, exist_ok=True)
            with self._lock:
                yield

    def _replace(self, name: ModelName, data: bytes) -> None:
        replaced = self._read_or_none(name)
        self.manifests.write(name, data)
        if replaced is not None:
            self._release(replaced)

    def _read_or_none(self, name: ModelName) -> ManifestFile | None:
        try:
            return self.manifests.read(name)
        except (ModelNotFound, StoreError):
            return None

    def _release(self, removed: ManifestFile) -> None:
        """Delete what only this manifest named. A blob touched since then stays for an hour: a pull may count on it."""
        try:
            models, _ = self.manifests.in_use()
        except StoreError as error:
            logger.warning("no files were removed, because it is not known which are needed: %s", error.message)
            return
        if removed.digest not in models:
            self._discard_made(removed.digest)
            self.findings.discard(removed.digest)
            self.origins.discard(removed.digest)
        self._discard_blobs(removed.manifest.blob_digests, before=removed.modified_at)

    def _discard_blobs(self, unused: Set[str], *, before: float) -> None:
        """Delete blobs that no manifest and no unfinished pull names, where nobody has claimed them after a time.

        Nothing is deleted while another program, such as Ollama, brings a model into the same folder.
        """
        if not unused or self.keeps_blobs or self.blobs.has_foreign_partials():
            return
        try:
            _, named = self.manifests.in_use()
        except StoreError:
            return
        for digest in unused - named - self.unfinished.blobs():
            touched_at = self.blobs.touched_at(digest)
            if touched_at is not None and touched_at <= max(before, time.time() - TEMPORARY_KEPT_S):
                self.blobs.discard(digest)

    def made(self, digest: str) -> tuple[Path, Path]:
        """Return a model's view and the folder of its builds."""
        hex_digits = digests.hex_of(digest)
        return self.cache / "views" / hex_digits, self.cache / "builds" / hex_digits

    def _discard_made(self, digest: str) -> None:
        view, builds = self.made(digest)
        self.chat_cache.discard(digest)
        views.discard(view)
        discard_build(builds)
