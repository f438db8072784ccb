"""Names that a backend needs without a conversion. This module imports nothing, so that it costs no time."""

from __future__ import annotations

ARCHITECTURES = ("llama", "qwen2", "qwen2vl", "qwen25vl", "qwen3", "qwen3vl", "gemma3", "phi3")
"""The architectures of decoders that can be converted, as GGUF files name them in `general.architecture`.

`qwen25vl` is what Ollama calls `qwen2vl`. Mistral's models have the architecture `llama`.
"""

ENCODERS = ("bert",)
"""The architectures of embedding models that can be converted."""

FORMAT_VERSION = 9
"""The version of packages. It changes whenever the same file would be converted to a different package."""

ADAPTER_FILE = "adapter.safetensors"
"""The name of an adapter in its model's folder."""

GGUF_ADAPTER_FILE = "adapter"
"""The name of an adapter that came as a GGUF file. Nothing here applies such a file."""

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

FEATURES = "features"
"""A decoder's input with the features of images, (rows, hidden_size)."""

FEATURE_ROWS = "feature_rows"
"""A decoder's input that says which features stand where, (batch, length): a row's number from 1 on, or 0 for text."""

DEEPSTACK = "deepstack"
"""A decoder's input with features for its first layers, (layers, rows, hidden_size). They stand at the same places."""

POSITIONS = "position_ids"
"""A decoder's input with positions of three axes, (3, batch, length)."""

BIASES = ("bias_local", "bias_global")
"""A decoder's inputs that say which tokens attend to which, for layers with a window and for other layers.

They are (1 or batch, 1, length, total length), with 0 or a very low number for each pair. A graph has them where all
tokens of an image attend to each other.
"""

TILES = "tiles"
"""The name of the first size of a vision encoder's only input, where it sees square tiles."""
