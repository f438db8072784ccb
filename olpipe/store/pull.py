"""Pull a model from a source into the library, one process at a time for the same thing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from olpipe.errors import ModelCorrupt, ModelUnsupported, PluginError
from olpipe.interfaces import Backend, ModelSource, Progress, ProgressCallback
from olpipe.model import Layer, ModelBundle, ModelConfig, ModelName
from olpipe.plugins import Plugins
from olpipe.registry import Registry
from olpipe.store.build import backend_for, build
from olpipe.store.library import Library
from olpipe.store.locks import held


def pull(
    source: ModelSource,
    reference: str,
    name: ModelName,
    library: Library,
    plugins: Plugins,
    *,
    progress: ProgressCallback,
    again: bool = True,
) -> ModelBundle:
    """Bring a model onto this machine and build it.

    Args:
        source: Where it comes from.
        reference: What the source calls it.
        name: What to call it here.
        library: Where it goes.
        plugins: The plugins; one of their backends builds it.
        progress: Told about every step. An exception that it raises ends the pull; what was fetched so far is kept.
        again: Whether to pull the model even where it is on this machine already.

    Raises:
        PullFailed: The source could not deliver the model.
        ModelUnsupported: No backend can run the model. It is not in the library then.
    """
    lock = library.pull_lock(f"{source.scheme}:{reference}")
    with held(lock, f"waiting for another pull of {reference}", progress):
        if again or name not in library.names():
            library.clean()
            _pull(source, reference, name, library, plugins, progress)
        bundle = library.get(name)
    build(bundle, backend_for(bundle, plugins.backends), progress)
    return bundle


def _pull(
    source: ModelSource,
    reference: str,
    name: ModelName,
    library: Library,
    plugins: Plugins,
    progress: ProgressCallback,
) -> None:
    """Have the source bring the model. An error of the source names it; what `progress` raises comes out unchanged."""
    raised: list[Exception] = []

    def tell(step: Progress) -> None:
        try:
            progress(step)
        except Exception as error:
            raised.append(error)
            raise

    try:
        with plugins.model_sources.blaming(source.scheme, but=(OSError,)):
            source.pull(reference, name, _RunnableOnly(library, plugins.backends, tell), tell)
    except PluginError as error:
        if raised and error.__cause__ is raised[-1]:
            raise raised[-1] from None
        raise


class _RunnableOnly:
    """A library that takes only models that can be run: each is built before its manifest is written.

    Implements `olpipe.interfaces.ModelStore`.
    """

    def __init__(self, library: Library, backends: Registry[Backend], progress: ProgressCallback) -> None:
        self._library = library
        self._backends = backends
        self._progress = progress
        self.has = library.has
        self.partial = library.partial
        self.add_bytes = library.add_bytes

    def add_file(
        self, path: Path, *, digest: str | None = None, move: bool = False, progress: ProgressCallback | None = None
    ) -> Layer:
        return self._library.add_file(path, digest=digest, move=move, progress=progress)

    def commit(self, name: ModelName, config: ModelConfig, layers: Sequence[Layer]) -> None:
        self.commit_manifest(name, self._library.compose(config, layers))

    def commit_manifest(self, name: ModelName, manifest: bytes) -> None:
        staged = self._library.stage(name, manifest)
        try:
            build(staged, backend_for(staged, self._backends), self._progress)
        except (ModelCorrupt, ModelUnsupported):
            self._library.forget(staged)
            raise
        self._library.commit_manifest(name, manifest)
