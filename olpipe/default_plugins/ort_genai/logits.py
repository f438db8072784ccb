"""A sequence of an ONNX Runtime GenAI generator, as the decode loop sees it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from olpipe.decoding.logits_model import Logits, ModelLimits


class GeneratorLogits:
    """Logits of one generator.

    Only ever appends: `generate_next_token` followed by `append_tokens` would leave the sampled token
    out of the KV cache. That is allocated for `max_length` tokens, so it is kept to what requests need.

    Attributes:
        capacity: Tokens the KV cache has room for.
        prompt: Tokens at the beginning of the KV cache that were prefilled, not decoded. A next prompt may
            share them; one-token forwards round differently, so what was decoded is never shared.
        limits: What the running sequence can hold; its length may be less than `capacity`.
    """

    def __init__(self, runtime: Any, model: Any, *, max_length: int) -> None:
        params = runtime.GeneratorParams(model)
        params.set_search_options(max_length=max_length, do_sample=False)
        self._generator = runtime.Generator(model, params)
        self.capacity = max_length
        self.limits = ModelLimits(max_length=max_length)
        self.prompt: tuple[int, ...] = ()
        self._used = False
        self._present, self._starting = 0, True

    def restart(self, present: int, *, max_length: int) -> None:
        """Begin another sequence whose first `present` tokens are the prompt's that is here.

        The next `append` brings the whole new prompt all the same.
        """
        if self._used:
            self._generator.rewind_to(present)
        self.limits = replace(self.limits, max_length=max_length)
        self.prompt, self._present, self._starting = self.prompt[:present], present, True

    def append(self, tokens: Sequence[int]) -> None:
        """Run one forward."""
        self._used = True
        prompt = tuple(tokens) if self._starting else self.prompt
        self.prompt = ()  # after a failure nothing here can be trusted
        self._generator.append_tokens(np.asarray(tokens[self._present :], dtype=np.int32))
        self.prompt, self._present, self._starting = prompt, 0, False

    def logits(self) -> Logits:
        """Return (vocab_size,) float32."""
        logits: Logits = self._generator.get_logits().reshape(-1)
        return logits
