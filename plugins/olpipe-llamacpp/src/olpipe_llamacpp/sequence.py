"""A sequence of tokens on llama.cpp: one context with its KV cache."""

from __future__ import annotations

import ctypes
import weakref
from collections.abc import Sequence
from typing import Any

import numpy as np

from olpipe.decoding.model_sequence import Logits
from olpipe.decoding.prompt import Prompt
from olpipe.errors import GenerationError
from olpipe_llamacpp.eyes import View
from olpipe_llamacpp.library import BATCH, Batch
from olpipe_llamacpp.weights import Weights


class LlamaSequence:
    """One context of llama.cpp.

    Tokens and positions are counted apart: the tokens of an image may take fewer positions than there are tokens.

    Attributes:
        capacity: How many tokens the KV cache has room for.
    """

    def __init__(self, weights: Weights, *, capacity: int) -> None:
        """Make an empty sequence."""
        self.capacity = capacity
        self._weights = weights
        self._call = weights.library.call
        self._context: Any = weights.open_context(capacity)
        weakref.finalize(self, self._call.llama_free, self._context)
        self._position = 0  # of the next token
        self._saved: list[tuple[int, int]] = []  # for each image, where it ends: its token and its position

    def prefill(self, prompt: Prompt, start: int) -> Logits:
        """Run a prompt from the position `start` on; returns the logits after it, (vocab_size,).

        Raises:
            GenerationError: llama.cpp fails.
        """
        at = start
        for image in prompt.images:
            if image.end <= start:
                continue
            if image.start > at:
                self._run(prompt.tokens[at : image.start])
            assert isinstance(image.view, View)
            self._look(image.view)
            at = image.end
            self._saved.append((at, self._position))
        if at < len(prompt):
            self._run(prompt.tokens[at:])
        return self._logits()

    def decode(self, tokens: Sequence[int]) -> Logits:
        """Run tokens behind all others; returns the logits after the last one, (vocab_size,).

        Raises:
            GenerationError: llama.cpp fails.
        """
        self._run(tokens)
        return self._logits()

    def rewind(self, length: int) -> None:
        """Forget everything but the first `length` tokens.

        Raises:
            GenerationError: The model cannot forget a part.
        """
        self._saved = [(end, position) for end, position in self._saved if end <= length]
        end, position = self._saved[-1] if self._saved else (0, 0)
        self._position = position + length - end
        memory = self._call.llama_get_memory(self._context)
        if length == 0:
            self._call.llama_memory_clear(memory, False)
        elif not self._call.llama_memory_seq_rm(memory, 0, self._position, -1):
            raise GenerationError("this model cannot forget a part of what it has read")

    def _run(self, tokens: Sequence[int]) -> None:
        """Run tokens, in forwards of at most `BATCH` of them."""
        self._weights.library.told = ""
        for at in range(0, len(tokens), BATCH):
            part = tokens[at : at + BATCH]
            count = len(part)
            ids = (ctypes.c_int32 * count)(*part)
            positions = (ctypes.c_int32 * count)(*range(self._position, self._position + count))
            failed = self._call.llama_decode(self._context, Batch(count, ids, None, positions, None, None, None))
            if failed:
                raise GenerationError(f"llama.cpp failed in a forward: {self._weights.library.told or failed}")
            self._position += count

    def _look(self, view: View) -> None:
        """Run the vision encoder over an image, and its tokens through the model."""
        self._weights.library.told = ""
        reached = ctypes.c_int32(0)
        failed = self._call.mtmd_helper_eval_chunks(
            self._weights.projector, self._context, view.chunks, self._position, 0, BATCH, True, ctypes.byref(reached)
        )
        if failed:
            raise GenerationError(f"llama.cpp cannot look at the image: {self._weights.library.told or failed}")
        self._position = reached.value

    def _logits(self) -> Logits:
        """Return a copy of the logits after the last token, (vocab_size,)."""
        found = self._call.llama_get_logits_ith(self._context, -1)
        if not found:
            raise GenerationError("llama.cpp has no logits")
        logits: Logits = np.array(np.ctypeslib.as_array(found, (self._weights.vocab_size,)), dtype=np.float32)
        return logits
