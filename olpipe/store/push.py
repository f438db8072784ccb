"""Push a model to where others can pull it."""

from __future__ import annotations

from dataclasses import replace

from olpipe.errors import PushFailed
from olpipe.interfaces import Outgoing, ProgressCallback
from olpipe.model import ModelName
from olpipe.plugins import Plugins
from olpipe.store.library import Library
from olpipe.store.manifests import damaged
from olpipe.store.sources import Origin, last_resort, offers
from olpipe.store.telling import letting_out


def find_target(name: ModelName, plugins: Plugins, *, insecure: bool = False) -> Origin:
    """Return where `olpipe push` sends a model: to the source that claims its host, else to a registry.

    Args:
        name: The model's name, which says where it goes.
        plugins: The plugins that bring sources.
        insecure: Whether a connection that others can read is allowed.

    Raises:
        PushFailed: No source takes it.
    """
    name = replace(name, host=name.host.lower())
    claimed = offers(plugins).hosts.get(name.host)
    if claimed is not None:
        source, host = claimed
        return Origin(source, f"{host}/{name.namespace}/{name.model}:{name.tag}")
    target = last_resort(name, plugins, insecure=insecure)
    if target is None:
        message = f"`{name}` cannot be pushed: registries are switched off, and no other source takes it"
        raise PushFailed(message, hint="`olpipe env` shows OLPIPE_REGISTRY")
    return target


def push(target: Origin, name: ModelName, library: Library, plugins: Plugins, *, progress: ProgressCallback) -> None:
    """Send a model to where others can pull it.

    Args:
        target: Where it goes.
        name: Its name here.
        library: Where it is.
        plugins: The plugins that bring sources.
        progress: Told about every step. An exception that it raises ends the push.

    Raises:
        ModelNotFound: It is not on this machine.
        StoreError: It is damaged.
        PushFailed: It could not be sent.
        PluginError: The source failed.
    """
    model = library.describe(name)
    if missing := library.missing(model):
        raise damaged(model.name, f"{missing[0].digest} is missing or cut short")
    outgoing = Outgoing(model.name, model.data, model.manifest.config, model.manifest.layers, library.blob_path)
    with letting_out(progress) as tell, plugins.model_sources.blaming(target.source.scheme):
        target.source.push(target.reference, outgoing, tell)
