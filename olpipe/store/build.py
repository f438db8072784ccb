"""Choose the backend that runs a model, and let it build what it needs, once for all processes."""

from __future__ import annotations

import logging

from filelock import FileLock

from olpipe.errors import ModelUnsupported, PluginError
from olpipe.interfaces import Backend, ProgressCallback
from olpipe.model import ModelBundle
from olpipe.registry import Registry, blaming
from olpipe.store.locks import held
from olpipe.store.writing import writing

logger = logging.getLogger(__name__)


def backend_for(bundle: ModelBundle, backends: Registry[Backend], name: str = "") -> Backend:
    """Return the backend that runs a model.

    Args:
        bundle: The model.
        backends: All backends. The first one that does not refuse the model gets it.
        name: The backend that was asked for; empty if none was.

    Raises:
        ModelUnsupported: No backend can run it, or the one that was asked for cannot. The message says why.
        UnknownName: No backend has that name.
    """
    if name:
        reason = refusal(name, backends, bundle)
        if reason is None:
            return backends.get(name)
        able = [f"`{other}`" for other in backends.names() if refusal(other, backends, bundle) is None]
        hint = f"it runs on {', '.join(able)}" if able else "no other backend here runs it either"
        raise ModelUnsupported(f"the backend `{name}` cannot run `{bundle.name}`: {reason}", hint=hint)
    reasons = []
    for other in backends.names():
        reason = refusal(other, backends, bundle)
        if reason is None:
            return backends.get(other)
        reasons.append(f"`{other}`: {reason}")
    raise ModelUnsupported(
        f"no backend can run `{bundle.name}` ({'; '.join(reasons) or 'there is none'})",
        hint="`olpipe plugins` shows what is installed",
    )


def refusal(name: str, backends: Registry[Backend], bundle: ModelBundle) -> str | None:
    """Return why a backend cannot run a model, or None when it can. A backend whose own code fails cannot.

    Raises:
        UnknownName: No backend has that name.
    """
    backend = backends.get(name)
    try:
        with backends.blaming(name):
            return backend.refuses(bundle)
    except PluginError as error:
        logger.warning("%s", error.message)
        return error.message


def build(bundle: ModelBundle, backend: Backend, progress: ProgressCallback) -> None:
    """Build a model in its cache folder. A process that comes second waits, and finds it built.

    An exception that `progress` raises ends the call, even while it waits for another process.

    Raises:
        DiskFull: There was no space for the build; nothing half-built is left.
        ModelCorrupt: The model's files are damaged.
        PluginError: The backend failed in another way.
    """
    with writing(bundle.cache):
        bundle.cache.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(bundle.cache.with_name(f"{bundle.cache.name}.lock"))
        build_once = held(lock, f"waiting for another build of {bundle.name}", progress)
        with build_once, blaming(f"the backend `{backend.name}`", but=(OSError,)):
            backend.build(bundle, progress)
