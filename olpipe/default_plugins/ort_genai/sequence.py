"""A sequence on an ONNX Runtime GenAI generator."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from olpipe.decoding.model_sequence import Logits
from olpipe.decoding.prompt import Prompt
from olpipe.default_plugins.ort_genai.runtime import new_generator


class GeneratorSequence:
    """One generator of the runtime, with its KV cache.

    Tokens are only appended. The runtime's `generate_next_token` is never used, because a following `append_tokens`
    would leave its token out of the KV cache. The KV cache is allocated for `capacity` tokens at once, so a sequence
    should have no more room than its request needs.

    Attributes:
        capacity: How many tokens the KV cache has room for.
    """

    def __init__(self, runtime: Any, model: Any, *, max_length: int) -> None:
        """Make an empty sequence.

        Args:
            runtime: The module `onnxruntime_genai`.
            model: Its loaded model.
            max_length: How many tokens of prompt and answer to have room for.
        """
        self._generator = new_generator(runtime, model, max_length)
        self.capacity = max_length

    def prefill(self, prompt: Prompt, start: int) -> Logits:
        """Run a prompt from the position `start` on; returns the logits after it, (vocab_size,)."""
        return self.decode(prompt.tokens[start:])

    def decode(self, tokens: Sequence[int]) -> Logits:
        """Run tokens in one forward; returns the logits after the last one, (vocab_size,)."""
        self._generator.append_tokens(np.asarray(tokens, dtype=np.int32))
        logits: Logits = self._generator.get_logits().reshape(-1)
        return logits

    def rewind(self, length: int) -> None:
        """Forget everything but the first `length` tokens."""
        self._generator.rewind_to(length)
