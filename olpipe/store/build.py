"""Choose the backend that runs a model, and let it build what it needs, once for all processes."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import ExitStack

from filelock import FileLock

from olpipe.errors import ModelNotFound, ModelUnsupported, OlpipeError, PluginError
from olpipe.interfaces import Backend, Progress, ProgressCallback
from olpipe.model import ModelBundle
from olpipe.registry import Registry, blaming
from olpipe.store.locks import held
from olpipe.store.seal import write_seal
from olpipe.store.telling import letting_out
from olpipe.store.writing import READ_ONLY, writing

logger = logging.getLogger(__name__)


def backend_for(bundle: ModelBundle, backends: Registry[Backend], name: str = "") -> Backend:
    """Return the backend that runs a model.

    Args:
        bundle: The model.
        backends: All backends. The first one that does not refuse the model gets it.
        name: The backend that was asked for; empty if none was.

    Raises:
        ModelNotFound: Another process has removed it.
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
    _check_is_here(bundle)
    raise ModelUnsupported(
        f"no backend can run `{bundle.name}` ({'; '.join(reasons) or 'there is none'})",
        hint=f"`olpipe plugins` shows what is installed{backends.not_loaded}",
    )


def refusal(name: str, backends: Registry[Backend], bundle: ModelBundle) -> str | None:
    """Return why a backend cannot run a model, or None when it can. A backend whose own code fails cannot.

    Raises:
        UnknownName: No backend has that name.
    """
    backend = backends.get(name)
    try:
        with backends.blaming(name):
            reason = backend.refuses(bundle)
        if not (reason is None or isinstance(reason, str)):
            raise backends.fault(name, f"`refuses` gave {reason!r} where a text or None is expected")
    except PluginError as error:
        logger.warning("%s", error.message)
        return error.message
    # A reason stands in a line with others
    return reason if reason is None else " ".join(reason.split()) or "it does not say why"


def build(
    bundle: ModelBundle,
    backend: Backend,
    progress: ProgressCallback,
    *,
    building: Callable[[], None] | None = None,
) -> None:
    """Build a model in its cache folder. A process that comes second waits, and finds it built.

    In a store that is read-only, a model that is built already is left as it is.

    An exception that `progress` raises ends the call, even while it waits for another process.

    Args:
        bundle: The model.
        backend: The backend that builds it.
        progress: Told about every step.
        building: Called before the first step of the backend. It is not called where everything is there already.

    Raises:
        DiskFull: There was no space for the build; nothing half-built is left.
        ModelCorrupt: The model's files are damaged.
        ModelNotFound: Another process has removed it.
        PluginError: The backend failed in another way.
    """
    begun = False

    def tell(step: Progress) -> None:
        nonlocal begun
        if not begun and building is not None:
            building()
        begun = True
        progress(step)

    lock = FileLock(bundle.cache.with_name(f"{bundle.cache.name}.lock"))
    with ExitStack() as until_built:
        with writing(bundle.cache):
            try:
                bundle.cache.parent.mkdir(parents=True, exist_ok=True)
                until_built.enter_context(held(lock, f"waiting for another build of {bundle.name}", progress))
            except OSError as error:
                # Nobody builds in a store that is read-only. What is built there can be run all the same
                if error.errno not in READ_ONLY:
                    raise
        try:
            with letting_out(tell) as told, blaming(f"the backend `{backend.name}`"), writing(bundle.cache):
                backend.build(bundle, told)
        except OlpipeError:
            _check_is_here(bundle)
            raise
        if begun:
            write_seal(bundle.cache)


def _check_is_here(bundle: ModelBundle) -> None:
    """Check that the files of a model are still there, so that no other error hides that they are not.

    Raises:
        ModelNotFound: Another process has removed them.
    """
    if bundle.path.is_absolute() and bundle.path.parent.is_dir() and not bundle.path.is_dir():
        message = f"model `{bundle.name}` was removed by another process just now"
        raise ModelNotFound(message, hint=f"run `olpipe pull {bundle.name}`")
