"""Names that a backend needs before a conversion. This module imports nothing, so that it costs no time."""

from __future__ import annotations

ARCHITECTURES = ("llama", "qwen2")
"""The architectures that can be converted, as GGUF files name them in `general.architecture`."""

FORMAT_VERSION = 8
"""The version of packages. It changes whenever the same file would be converted to a different package."""

ADAPTER_FILE = "adapter.safetensors"
"""The name of an adapter in its model's folder."""

EMBEDDING_CONFIG = "embedding_config.json"
"""The name of the description of an embedding model in its package."""
