"""Models in registries: those of Ollama's library, and those of any registry that speaks OCI's protocol.

Source: https://github.com/opencontainers/distribution-spec/blob/main/spec.md
"""

from __future__ import annotations

from collections.abc import Iterable

from olpipe.default_plugins.sources.registry.source import RegistrySource
from olpipe.hookspecs import hookimpl
from olpipe.interfaces import ModelSource


@hookimpl
def register_model_sources() -> Iterable[ModelSource]:
    """Return the source `oci:`."""
    return (RegistrySource(),)
