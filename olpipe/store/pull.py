"""Pull a model from a source into the library, one process at a time for the same thing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from olpipe.errors import DigestMismatch, ModelCorrupt, ModelUnsupported, NotAtSource
from olpipe.interfaces import PartialBlob, ProgressCallback
from olpipe.model import Layer, ModelBundle, ModelConfig, ModelName
from olpipe.plugins import Plugins
from olpipe.store import digests
from olpipe.store.build import backend_for, build
from olpipe.store.library import Library
from olpipe.store.locks import held
from olpipe.store.sources import Origin
from olpipe.store.telling import letting_out
from olpipe.store.templates import check_used
from olpipe.store.unfinished import Note, blob_key, partial_name
from olpipe.store.writing import having_space


def pull(
    origin: Origin,
    name: ModelName,
    library: Library,
    plugins: Plugins,
    *,
    progress: ProgressCallback,
    again: bool = True,
    building: Callable[[], None] | None = None,
) -> ModelBundle:
    """Bring a model onto this machine and build it.

    Args:
        origin: Where it comes from.
        name: What to call it here.
        library: Where it goes.
        plugins: The plugins; one of their backends builds it.
        progress: Told about every step. An exception that it raises ends the pull; what was fetched so far is kept.
        again: Whether to pull the model even where it is on this machine already.
        building: Called when a backend begins to build the model, which may take long.

    Raises:
        PullFailed: The source could not deliver the model.
        DigestMismatch: The model does not have the digest that was asked for. It is not in the library then.
        ModelUnsupported: No backend can run the model. It is not in the library then.
        PluginError: The source failed, or brought something else than it was asked for.
    """
    lock = library.pull_lock(origin.text)
    with held(lock, f"waiting for another pull of {origin.reference}", progress):
        if again or name not in library.names():
            library.clean()
            with letting_out(progress) as tell, noted(origin, name, library) as note:
                store = _CheckedStore(origin, name, library, plugins, tell, building)
                store.note = note
                _pull(origin, name, store, library, plugins, tell)
        bundle = library.get(name)
    build(bundle, backend_for(bundle, plugins.backends), progress, building=building)
    return bundle


@contextmanager
def noted(origin: Origin, name: ModelName, library: Library) -> Iterator[Note]:
    """Write down what a pull brings while a block runs, so that nothing of it is removed before it is finished.

    It is also finished where it turns out that the model cannot be used, or where nothing has come.
    """
    note = library.unfinished.begin(name, origin.text)
    try:
        yield note
    except (ModelCorrupt, ModelUnsupported, DigestMismatch, NotAtSource):
        library.unfinished.finish(name, origin.text)
        raise
    except BaseException:
        if note.is_empty:
            library.unfinished.finish(name, origin.text)
        raise
    library.unfinished.finish(name, origin.text)


def _pull(
    origin: Origin,
    name: ModelName,
    store: _CheckedStore,
    library: Library,
    plugins: Plugins,
    progress: ProgressCallback,
) -> None:
    """Have the source bring the model. An error of the source names it."""
    sources, scheme = plugins.model_sources, origin.source.scheme
    with sources.blaming(scheme), having_space(library.folder):
        origin.source.pull(origin.reference, name, store, progress)
    if not store.committed:
        raise sources.fault(scheme, "`pull` ended without a manifest, so there is no model")


class _CheckedStore:
    """A library that takes only the model that was asked for, and only if it can be run.

    The model is built before its manifest is written. Implements `olpipe.interfaces.ModelStore`.

    Attributes:
        committed: Whether the model is in the library.
        note: Where it is written down what has come.
    """

    note: Note

    def __init__(
        self,
        origin: Origin,
        name: ModelName,
        library: Library,
        plugins: Plugins,
        progress: ProgressCallback,
        building: Callable[[], None] | None,
    ) -> None:
        self._origin = origin
        self._name = name
        self._library = library
        self._plugins = plugins
        self._progress = progress
        self._building = building
        self.committed = False

    def add_bytes(self, data: bytes) -> Layer:
        self.note.add_blob(digests.of_bytes(data))
        return self._library.add_bytes(data)

    def has(self, digest: str) -> bool:
        self.note.add_blob(digests.normalised(digest))
        return self._library.has(digest)

    def partial(self, key: str) -> Path:
        self.note.add_partial(partial_name(key))
        return self._library.partial(key)

    def receiving(
        self, digest: str, size: int, progress: ProgressCallback
    ) -> AbstractContextManager[PartialBlob | None]:
        self.note.add_blob(digests.normalised(digest))
        self.note.add_partial(partial_name(blob_key(digest)))
        return self._library.receiving(digest, size, progress)

    def add_file(
        self, path: Path, *, digest: str | None = None, move: bool = False, progress: ProgressCallback | None = None
    ) -> Layer:
        layer = self._library.add_file(path, digest=digest, move=move, progress=progress)
        self.note.add_blob(layer.digest)
        return layer

    def check_manifest(self, name: ModelName, manifest: bytes, beginnings: Mapping[str, Path] | None = None) -> None:
        self._check(name, digests.of_bytes(manifest))
        self._library.check_manifest(name, manifest)
        self._library.check_runs(name, manifest, beginnings or {}, self._plugins.backends)

    def commit(self, name: ModelName, config: ModelConfig, layers: Sequence[Layer]) -> None:
        self.commit_manifest(name, self._library.compose(config, layers))

    def commit_manifest(self, name: ModelName, manifest: bytes) -> None:
        self._check(name, digests.of_bytes(manifest))
        staged = self._library.stage(name, manifest)
        try:
            check_used(staged)
            build(staged, backend_for(staged, self._plugins.backends), self._progress, building=self._building)
        except (ModelCorrupt, ModelUnsupported):
            self._library.forget(staged)
            raise
        self._library.commit_manifest(name, manifest)
        self._library.origins.keep(digests.of_bytes(manifest), self._origin.text)
        self.committed = True

    def _check(self, name: ModelName, digest: str) -> None:
        """Refuse a model that is not the one that was asked for."""
        origin = self._origin
        if name != self._name:
            wrong = f"`pull` stored `{name}`, but was asked for `{self._name}`"
            raise self._plugins.model_sources.fault(origin.source.scheme, wrong)
        if origin.digest is not None and digest != origin.digest:
            raise DigestMismatch(
                f"`{origin.reference}` has the digest {digest}, not {origin.digest}",
                hint="its source has another version of it: pull it without `@sha256:…` to take that one",
            )
