"""A sequence of tokens on a package that sees. All images of its prompt are looked at when the prompt is prefilled."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from olpipe.decoding.model_sequence import Logits
from olpipe.decoding.prompt import Prompt
from olpipe.default_plugins.ort_genai.package_eyes import PackageEyes
from olpipe.errors import GenerationError

NEVER = -1e9
"""The logit of the placeholder. A model that wrote it would ask for features that are not there."""

_MOST_OF_A_MESSAGE = 300  # characters of the runtime's message in an error


class SeeingSequence:
    """One generator of the runtime, with its KV cache.

    The runtime takes images only together with the first tokens of a generator, and it counts positions from then on.
    So a prompt with images is prefilled as a whole by a new generator.

    Attributes:
        capacity: How many tokens the KV cache has room for.
    """

    def __init__(
        self,
        open_generator: Callable[[int], Any],
        tensors: Callable[[], Any],
        eyes: PackageEyes,
        *,
        max_length: int,
    ) -> None:
        """Make an empty sequence.

        Args:
            open_generator: Makes a generator that has room for a number of tokens.
            tensors: Makes an empty collection of the runtime's named tensors.
            eyes: What prepared the images of the prompts.
            max_length: How many tokens of prompt and answer to have room for.
        """
        self._open_generator = open_generator
        self._tensors = tensors
        self._eyes = eyes
        self._generator: Any = None
        self._images_end = 0  # of the last image that the generator has seen: nothing before it can be changed
        self.capacity = max_length

    def prefill(self, prompt: Prompt, start: int) -> Logits:
        """Run a prompt from the position `start` on; returns the logits after it, (vocab_size,).

        Raises:
            GenerationError: The package cannot look at the images.
        """
        images_end = max((image.end for image in prompt.images), default=0)
        if start and start >= max(images_end, self._images_end):
            return self.decode(prompt.tokens[start:])
        # A new generator. The old one is freed first, because both have a KV cache.
        self._generator = None
        self._generator = self._open_generator(self.capacity)
        self._images_end = images_end
        tensors = self._tensors()
        for name, values in self._eyes.inputs(prompt).items():
            tensors[name] = np.ascontiguousarray(values)
        try:
            self._generator.set_inputs(tensors)
        except RuntimeError as error:
            if not prompt.images:
                raise
            reason = (str(error).splitlines() or ["no reason"])[0][:_MOST_OF_A_MESSAGE]
            hint = "export the package again, or use a GGUF file of the model"
            raise GenerationError(f"the model cannot look at the images: {reason}", hint=hint) from error
        return self._logits()

    def decode(self, tokens: Sequence[int]) -> Logits:
        """Run tokens in one forward; returns the logits after the last one, (vocab_size,)."""
        self._generator.append_tokens(np.asarray(tokens, dtype=np.int32))
        return self._logits()

    def _logits(self) -> Logits:
        logits: Logits = self._generator.get_logits().reshape(-1)
        if self._eyes.placeholder is not None:
            logits[self._eyes.placeholder] = NEVER
        return logits


class RewindableSeeingSequence(SeeingSequence):
    """A sequence that can forget its last tokens."""

    def rewind(self, length: int) -> None:
        """Forget everything but the first `length` tokens. Where this forgets images, `prefill` runs all of them."""
        if length >= self._images_end:
            self._generator.rewind_to(length)
