"""Models on the Hugging Face hub: GGUF files with their projectors, and packages of ONNX Runtime GenAI."""

from __future__ import annotations

from collections.abc import Iterable

from olpipe.default_plugins.sources.hub.source import HubSource
from olpipe.hookspecs import hookimpl
from olpipe.interfaces import ModelSource


@hookimpl
def register_model_sources() -> Iterable[ModelSource]:
    """Return the source `hf:`."""
    return (HubSource(),)
