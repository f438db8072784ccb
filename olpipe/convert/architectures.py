"""What can be converted; imports nothing, so that a backend may ask before any conversion."""

from __future__ import annotations

ARCHITECTURES = ("llama", "qwen2")
"""Those that can be converted, as `general.architecture` names them."""

FORMAT_VERSION = 8
"""Changes whenever the same file is converted to another package."""

ADAPTER_FILE = "adapter.safetensors"
"""What an adapter is called in its model's folder."""

EMBEDDING_CONFIG = "embedding_config.json"
"""What the description of a converted embedding model is called in its package."""
