"""Let the backend that will run a model build what it needs, once, whoever comes first."""

from __future__ import annotations

from filelock import FileLock

from olpipe.errors import ModelUnsupported
from olpipe.interfaces import Backend, ProgressCallback
from olpipe.model import ModelBundle
from olpipe.registry import Registry
from olpipe.store.writing import writing


def backend_for(bundle: ModelBundle, backends: Registry[Backend]) -> Backend:
    """Return the first backend that can load a model.

    Raises:
        ModelUnsupported: There is none.
    """
    for backend in backends:
        if backend.can_load(bundle):
            return backend
    kind, family = bundle.config.model_format or "unknown", bundle.config.model_family or "unknown"
    known = ", ".join(f"`{name}`" for name in backends.names()) or "none"
    raise ModelUnsupported(
        f"no backend can load `{bundle.name}` (format `{kind}`, architecture `{family}`)",
        hint=f"backends here: {known}; `olpipe plugins` shows what is installed",
    )


def build(bundle: ModelBundle, backends: Registry[Backend], progress: ProgressCallback) -> None:
    """Build a model in its cache folder; a process that comes second waits and finds it built.

    Raises:
        ModelUnsupported: No backend can load it.
        DiskFull: There was no space for what is built; nothing half-built is left.
    """
    backend = backend_for(bundle, backends)
    with writing(bundle.cache):
        bundle.cache.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(bundle.cache.with_name(f"{bundle.cache.name}.lock")):
            backend.build(bundle, progress)
