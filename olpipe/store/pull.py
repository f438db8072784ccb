"""Pull a model from a source into the library, one process at a time for the same thing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from olpipe.errors import DigestMismatch, ModelCorrupt, ModelUnsupported
from olpipe.interfaces import ProgressCallback
from olpipe.model import Layer, ModelBundle, ModelConfig, ModelName
from olpipe.plugins import Plugins
from olpipe.store import digests
from olpipe.store.build import backend_for, build
from olpipe.store.library import Library
from olpipe.store.locks import held
from olpipe.store.sources import Origin
from olpipe.store.telling import letting_out
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
    lock = library.pull_lock(f"{origin.source.scheme}:{origin.reference}")
    with held(lock, f"waiting for another pull of {origin.reference}", progress):
        if again or name not in library.names():
            library.clean()
            with letting_out(progress) as tell:
                store = _CheckedStore(origin, name, library, plugins, tell, building)
                _pull(origin, name, store, library, plugins, tell)
        bundle = library.get(name)
    build(bundle, backend_for(bundle, plugins.backends), progress, building=building)
    return bundle


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
    """

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
        self.has = library.has
        self.partial = library.partial
        self.add_bytes = library.add_bytes
        self.receiving = library.receiving

    def add_file(
        self, path: Path, *, digest: str | None = None, move: bool = False, progress: ProgressCallback | None = None
    ) -> Layer:
        return self._library.add_file(path, digest=digest, move=move, progress=progress)

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
            build(staged, backend_for(staged, self._plugins.backends), self._progress, building=self._building)
        except (ModelCorrupt, ModelUnsupported):
            self._library.forget(staged)
            raise
        self._library.commit_manifest(name, manifest)
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
