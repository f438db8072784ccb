"""Pull a model from a source into the library, one process at a time for the same thing."""

from __future__ import annotations

from filelock import Timeout

from olpipe.interfaces import ModelSource, Progress, ProgressCallback
from olpipe.model import ModelBundle, ModelName
from olpipe.plugins import Plugins
from olpipe.store.build import build
from olpipe.store.library import Library


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
        plugins: Who may build it.
        progress: Told about every step.
        again: Whether to pull it when it is here already, perhaps since this call began.

    Raises:
        PullFailed: The source could not deliver.
        ModelUnsupported: It was pulled, and no backend can load it.
    """
    lock = library.pull_lock(f"{source.scheme}:{reference}")
    try:
        lock.acquire(blocking=False)
    except Timeout:
        progress(Progress(f"waiting for another pull of {reference}"))
        lock.acquire()
    try:
        if again or name not in library.names():
            library.clean()
            source.pull(reference, name, library, progress)
        bundle = library.get(name)
    finally:
        lock.release()
    build(bundle, plugins.backends, progress)
    return bundle
