"""Names that a backend needs before a conversion. This module imports nothing, so that it costs no time."""

from __future__ import annotations

ARCHITECTURES = ("llama", "qwen2", "qwen2vl", "qwen25vl", "qwen3", "qwen3vl", "gemma3", "phi3")
"""The architectures of decoders that can be converted, as GGUF files name them in `general.architecture`.

`qwen25vl` is what Ollama calls `qwen2vl`. Mistral's models have the architecture `llama`.
"""

FORMAT_VERSION = 9
"""The version of packages. It changes whenever the same file would be converted to a different package."""

ADAPTER_FILE = "adapter.safetensors"
"""The name of an adapter in its model's folder."""

EMBEDDING_CONFIG = "embedding_config.json"
"""The name of the description of an embedding model in its package."""

VISION_CONFIG = "vision_config.json"
"""The name of the description of a vision encoder in its model's package."""

FAMILY_VERSION = "family_version"
"""What that description calls the version of the family that has written the vision encoder."""

VISION_ENCODER = "vision.onnx"
"""The name of the graph of a vision encoder in its model's package."""

PROJECTOR_FILE = "projector.gguf"
"""The name of the file with a model's vision encoder in the model's folder, where it is a file of its own."""
