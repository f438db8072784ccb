"""Pull a model: its manifest, then what tells whether it can be run, then everything else."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from olpipe.default_plugins.sources.registry.client import Registry
from olpipe.default_plugins.sources.registry.download import download, hash_rest, told
from olpipe.default_plugins.sources.registry.trouble import trying
from olpipe.errors import DigestMismatch, ModelCorrupt, ModelUnsupported
from olpipe.interfaces import ModelStore, PartialBlob, Progress, ProgressCallback
from olpipe.model import MEDIA_TYPE, Layer, ModelName
from olpipe.store.manifest import MAX_BYTES, read_manifest, unusable

HEADER_STEPS = (1 << 20, 4 << 20, 16 << 20, 64 << 20)
"""How many bytes of a GGUF file are fetched, until they have the whole header. Vocabularies make headers long."""

_GGUF = b"GGUF"

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
    _bring(registry, manifest.config, store, progress)
    # 2. Whether it can be run, as far as that can be told by now. The file that tells more comes first
    store.check_manifest(name, data)
    layers = {layer.digest: layer for layer in manifest.layers}.values()
    for layer in sorted(layers, key=_is_model, reverse=True):
        check = partial(store.check_manifest, name, data) if _is_model(layer) else None
        _bring(registry, layer, store, progress, check)
    # 3. It is whole
    progress(Progress("writing manifest"))
    store.commit_manifest(name, data)


def _is_model(layer: Layer) -> bool:
    """Say whether a layer may be a GGUF file of a text model, which says what it is."""
    return layer.name.endswith(".gguf") if layer.name else layer.media_type == f"{MEDIA_TYPE}model"


def _bring(
    registry: Registry, layer: Layer, store: ModelStore, progress: ProgressCallback, check: Check | None = None
) -> None:
    """Bring a blob into the store, unless it is there."""
    while True:
        with store.receiving(layer.digest, layer.size, progress) as blob:
            if blob is None:
                progress(told(layer, layer.size))
                return
            is_new = sum(ends - begins for begins, ends in blob.missing()) == layer.size
            if check is not None:
                _check_header(registry, layer, blob, progress, check)
            download(registry, layer, blob, progress)
            hash_rest(layer, blob, progress)
            try:
                blob.keep()
            except DigestMismatch:
                if is_new:
                    raise
                continue  # what had come before was damaged, perhaps by a power cut: begin anew
            progress(told(layer, layer.size))
            return


def _check_header(
    registry: Registry, layer: Layer, blob: PartialBlob, progress: ProgressCallback, check: Check
) -> None:
    """Fetch the header of a GGUF file, and refuse the model if that shows that it cannot be run.

    Raises:
        ModelCorrupt: The header is damaged. Nothing of the file is kept.
        ModelUnsupported: No backend runs the model. Nothing of the file is kept.
    """
    for until in HEADER_STEPS:
        download(registry, layer, blob, progress, until=min(until, layer.size))
        with blob.path.open("rb") as file:
            if file.read(len(_GGUF)) != _GGUF:
                return  # another kind of file: its backend looks at it when it is whole
        if _has_header(blob.path):
            break
    try:
        check({layer.digest: blob.path})
    except (ModelCorrupt, ModelUnsupported):
        blob.discard()
        raise


def _has_header(path: Path) -> bool:
    from olpipe.convert.gguf import read_header

    try:
        read_header(path)
    except ModelCorrupt:
        return False
    except ModelUnsupported:
        pass
    return True
