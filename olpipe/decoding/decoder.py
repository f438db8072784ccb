"""The decoder: it takes logits, and says which tokens come next and what can be shown.

It runs no model and knows no runtime. A runner calls it like this::

    run = decoder.begin()
    logits = sequence.prefill(prompt.followed_by(run.tokens), 0)
    while not (run := decoder.next(logits)).finished:
        logits = sequence.decode(run.tokens)
"""

from __future__ import annotations

from dataclasses import dataclass

from olpipe.decoding.answer import Answer
from olpipe.decoding.model_sequence import Logits
from olpipe.decoding.steps import Step, Steps
from olpipe.generation import Chunk


@dataclass(frozen=True, slots=True)
class Run:
    """What the decoder decides after one forward.

    Attributes:
        tokens: The tokens to run through the model next: the sampled token, then the forced ones. When the answer is
            over, they need not be run.
        chunk: What can be shown now; None where there is nothing new to show.
    """

    tokens: tuple[int, ...]
    chunk: Chunk | None

    @property
    def finished(self) -> bool:
        """Whether the answer is over."""
        return self.chunk is not None and self.chunk.finish_reason is not None


class Decoder:
    """Decides the tokens of one answer."""

    def __init__(self, steps: Steps, answer: Answer) -> None:
        """Begin an answer; `olpipe.decoding.preparing` makes decoders for requests."""
        self._steps = steps
        self._answer = answer

    def begin(self) -> Run:
        """Return what every answer to the request begins with; often nothing. Its tokens are prefilled with the prompt.

        Raises:
            GenerationError: The grammar cannot be followed.
        """
        return self._run(self._steps.begin())

    def next(self, logits: Logits) -> Run:
        """Return the next tokens.

        Args:
            logits: The logits after the last token that was run, (vocab_size,) float32. They may be overwritten.

        Raises:
            GenerationError: The grammar cannot be followed, or the context is full before a document is complete.
        """
        return self._run(self._steps.next(logits))

    def reused(self, tokens: int) -> None:
        """Note how many tokens of the prompt were in the KV cache already."""
        self._answer.reused_tokens = tokens

    def _run(self, step: Step) -> Run:
        return Run(tuple(step.tokens), self._answer.take(step))
