"""Turn the tokens of an answer into chunks that can be shown, and count what they cost."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

from olpipe.decoding.reading import Pieces
from olpipe.decoding.steps import Step
from olpipe.decoding.text import StopTexts, TextStream
from olpipe.decoding.vocabulary import Vocabulary
from olpipe.generation import Chunk, FinishReason, Timings, TokenLogprobs, Usage
from olpipe.guidance.splice import Splicer
from olpipe.image import ShownImage


class Answer:
    """The answer to one request. It takes the steps of one sequence.

    Attributes:
        reused_tokens: How many tokens of the prompt were in the KV cache already.
    """

    def __init__(
        self,
        vocabulary: Vocabulary,
        *,
        prompt_tokens: int,
        prepared: Timings | None = None,
        shown: tuple[ShownImage, ...] = (),
        stop: Sequence[str] = (),
        splicer: Splicer | None = None,
    ) -> None:
        """Begin with nothing. The time of the answer is measured from here on.

        Args:
            vocabulary: The model's tokens.
            prompt_tokens: How many tokens the prompt has.
            prepared: How long it took to prepare the prompt.
            shown: The images of the prompt, as the model sees them.
            stop: Texts that end the answer. They are looked for in free text, not in thinking.
            splicer: Puts known values in; None where there are none.
        """
        self._vocabulary = vocabulary
        self._stops = StopTexts(stop)
        self._text = TextStream(vocabulary)
        self._splicer = splicer
        self._usage = Usage(prompt_tokens=prompt_tokens)
        self._prepared = prepared or Timings()
        self._shown = shown
        self.reused_tokens = 0
        self._started = self._prefilled = time.perf_counter_ns()  # the prefill ends with the first sampled token
        self._called = False  # whether there was a tool call
        self._logprobs: tuple[TokenLogprobs, ...] = ()  # of tokens whose text is still held back

    def take(self, step: Step) -> Chunk | None:
        """Take a step, and return the chunk that can be shown now, or None where there is nothing new to show.

        The last chunk has the finish reason, the usage and the timings.
        """
        # 1. What the step cost.
        if self._usage.sampled_tokens == 0 and step.sampled:
            self._prefilled = time.perf_counter_ns()
        self._usage += Usage(sampled_tokens=step.sampled, forced_tokens=step.forced, thinking_tokens=step.thinking)
        self._logprobs += tuple(step.logprobs)
        # 2. The parts that became known. Free text is shown up to a stop text.
        pieces = self._pieces(step)
        text = self._stops.feed(pieces.text)
        if step.finish_reason is not None or pieces.calls:
            text += self._stops.finish()
        reason = FinishReason.STOP if self._stops.stopped_by else step.finish_reason
        if reason is None and not (text or pieces.thinking or pieces.calls):
            return None
        # 3. A chunk of what is known, with the logprobs of all tokens since the chunk before it.
        logprobs, self._logprobs = self._logprobs, ()
        chunk = Chunk(self._spliced(text), pieces.thinking, tuple(pieces.calls), logprobs=logprobs)
        self._called = self._called or bool(pieces.calls)
        if reason is None:
            return chunk
        if self._called and reason is FinishReason.STOP:
            reason = FinishReason.TOOL_CALLS
        ended = replace(chunk, finish_reason=reason, usage=self._all_usage(), timings=self._timings())
        return replace(ended, shown=self._shown, stopped_by=self._stops.stopped_by)

    def _pieces(self, step: Step) -> Pieces:
        """Return what a step made known. The tokens of an answer with a single part are text."""
        if step.pieces is not None:
            return step.pieces
        text = self._text.feed(step.tokens)
        return Pieces(text if step.finish_reason is None else text + self._text.finish())

    def _spliced(self, text: str) -> str:
        return self._splicer.feed(text) if self._splicer else text

    def _all_usage(self) -> Usage:
        """Return the usage, with the tokens that the known values would have taken."""
        if not self._splicer:
            return self._usage
        return replace(self._usage, spliced_tokens=len(self._vocabulary.encode(self._splicer.spliced)))

    def _timings(self) -> Timings:
        return self._prepared + Timings(
            prompt_ns=self._prefilled - self._started,
            decode_ns=time.perf_counter_ns() - self._prefilled,
            reused_tokens=self.reused_tokens,
        )
