"""Pull a model: its manifest, then what tells whether it can be run, then everything else."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from olpipe.default_plugins.sources.registry.client import Registry
from olpipe.default_plugins.sources.transfer.download import bring
from olpipe.default_plugins.sources.transfer.headers import fetch_header
from olpipe.default_plugins.sources.transfer.trouble import trying
from olpipe.errors import ModelCorrupt, ModelUnsupported
from olpipe.interfaces import ModelStore, PartialBlob, Progress, ProgressCallback
from olpipe.model import MEDIA_TYPE, Layer, ModelName
from olpipe.store.manifest import MAX_BYTES, read_manifest, unusable

Check = Callable[[Mapping[str, Path]], None]
"""Refuses a model of which the beginnings of some files are here, by their digests."""


def pull_model(registry: Registry, name: ModelName, store: ModelStore, progress: ProgressCallback) -> None:
    """Bring a model into the store under a name.

    Raises:
        Trouble: The registry does not deliver it.
        Transient: It has failed too often.
        ModelCorrupt: It is no model, or damaged.
        ModelUnsupported: No backend can run it.
        DigestMismatch: Something that came has another digest than it should have.
    """
    # 1. What the model is made of
    progress(Progress("pulling manifest"))
    data = trying(registry.manifest, registry.options.patience, progress, reached=False)
    manifest = read_manifest(name, data)
    if manifest.config.size > MAX_BYTES:
        raise unusable(name, f"its config has {manifest.config.size} bytes")
    bring(registry, manifest.config, store, progress)
    # 2. Whether it can be run, as far as that can be told by now. The file that tells more comes first
    store.check_manifest(name, data)
    layers = {layer.digest: layer for layer in manifest.layers}.values()
    for layer in sorted(layers, key=_is_model, reverse=True):
        check = partial(store.check_manifest, name, data)
        first = partial(_check_header, registry, layer, progress=progress, check=check) if _is_model(layer) else None
        bring(registry, layer, store, progress, first=first)
    # 3. It is whole
    progress(Progress("writing manifest"))
    store.commit_manifest(name, data)


def _is_model(layer: Layer) -> bool:
    """Say whether a layer may be a GGUF file of a text model, which says what it is."""
    return layer.name.endswith(".gguf") if layer.name else layer.media_type == f"{MEDIA_TYPE}model"


def _check_header(
    registry: Registry, layer: Layer, blob: PartialBlob, *, progress: ProgressCallback, check: Check
) -> None:
    """Fetch the header of a GGUF file, and refuse the model if that shows that it cannot be run.

    Raises:
        ModelCorrupt: The header is damaged. Nothing of the file is kept.
        ModelUnsupported: No backend runs the model. Nothing of the file is kept.
    """
    if not fetch_header(registry, layer, blob, progress):
        return  # another kind of file: its backend looks at it when it is whole
    try:
        check({layer.digest: blob.path})
    except (ModelCorrupt, ModelUnsupported):
        blob.discard()
        raise
