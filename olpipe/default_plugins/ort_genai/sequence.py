"""A sequence of an ONNX Runtime GenAI generator, as olpipe decodes it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from olpipe.decoding.model_sequence import Logits
from olpipe.decoding.prompt import Prompt


class GeneratorSequence:
    """One generator.

    It only ever appends: `generate_next_token` followed by `append_tokens` would leave the sampled token out of the KV
    cache. The KV cache is allocated for `capacity` tokens, so it is kept to what requests need.

    Attributes:
        capacity: Tokens that the KV cache has room for.
    """

    def __init__(self, runtime: Any, model: Any, *, max_length: int) -> None:
        """Make an empty sequence.

        Args:
            runtime: The module `onnxruntime_genai`.
            model: Its loaded model.
            max_length: Tokens of prompt and answer to have room for.
        """
        params = runtime.GeneratorParams(model)
        params.set_search_options(max_length=max_length, do_sample=False)
        self._generator = runtime.Generator(model, params)
        self.capacity = max_length

    def prefill(self, prompt: Prompt, start: int) -> Logits:
        """Run a prompt from one of its tokens on."""
        return self.decode(prompt.tokens[start:])

    def decode(self, tokens: Sequence[int]) -> Logits:
        """Run one forward."""
        self._generator.append_tokens(np.asarray(tokens, dtype=np.int32))
        logits: Logits = self._generator.get_logits().reshape(-1)
        return logits

    def rewind(self, length: int) -> None:
        """Forget everything behind the first tokens."""
        self._generator.rewind_to(length)
