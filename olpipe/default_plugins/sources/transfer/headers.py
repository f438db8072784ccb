"""Fetch the header of a GGUF file before the rest of it: it says what the model is."""

from __future__ import annotations

from pathlib import Path

from olpipe.default_plugins.sources.transfer.download import download
from olpipe.default_plugins.sources.transfer.ranges import BlobHost
from olpipe.errors import ModelCorrupt, ModelUnsupported
from olpipe.interfaces import PartialBlob, ProgressCallback
from olpipe.model import Layer

HEADER_STEPS = (1 << 20, 4 << 20, 16 << 20, 64 << 20)
"""How many bytes of a GGUF file are fetched, until they have the whole header. Vocabularies make headers long."""

_GGUF = b"GGUF"


def fetch_header(host: BlobHost, layer: Layer, blob: PartialBlob, progress: ProgressCallback) -> bool:
    """Fetch the header of a file; return whether it is a GGUF file at all.

    Args:
        host: Where it comes from.
        layer: The file's layer.
        blob: What is here of it.
        progress: Told how much is here.

    Raises:
        Trouble: The host does not deliver it.
        Transient: It has failed too often.
    """
    for until in HEADER_STEPS:
        download(host, layer, blob, progress, until=min(until, layer.size))
        with blob.path.open("rb") as file:
            if file.read(len(_GGUF)) != _GGUF:
                return False
        if _has_header(blob.path):
            break
    return True


def _has_header(path: Path) -> bool:
    from olpipe.convert.gguf import read_header

    try:
        read_header(path)
    except ModelCorrupt:
        return False
    except ModelUnsupported:
        pass
    return True
