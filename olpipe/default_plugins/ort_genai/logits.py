"""A sequence of an ONNX Runtime GenAI generator, as the decode loop sees it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from olpipe.decoding.logits_model import Logits, ModelLimits


class GeneratorLogits:
    """Logits of one generator.

    Only ever appends: `generate_next_token` followed by `append_tokens` would leave the sampled token
    out of the KV cache. The KV cache is allocated for `max_length`, so that is kept to what a request needs.
    """

    def __init__(self, runtime: Any, model: Any, *, max_length: int) -> None:
        params = runtime.GeneratorParams(model)
        params.set_search_options(max_length=max_length, do_sample=False)
        self._generator = runtime.Generator(model, params)
        self.limits = ModelLimits(max_length=max_length, can_rewind=True)

    def append(self, tokens: Sequence[int]) -> None:
        """Run one forward."""
        self._generator.append_tokens(np.asarray(tokens, dtype=np.int32))

    def logits(self) -> Logits:
        """Return (vocab_size,) float32."""
        logits: Logits = self._generator.get_logits().reshape(-1)
        return logits

    def rewind(self, length: int) -> None:
        """Shorten the sequence; exact for decoder-only packages with a shared KV buffer."""
        self._generator.rewind_to(length)
