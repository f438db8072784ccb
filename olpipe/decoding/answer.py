"""Turn the tokens of an answer into chunks that can be shown, and count what they cost."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from dataclasses import replace

from olpipe.decoding.reading import AnswerReader, Pieces
from olpipe.decoding.steps import Step
from olpipe.decoding.text import TextStream
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
        visible: Collection[int] = (),
        splicer: Splicer | None = None,
        reader: AnswerReader | None = None,
    ) -> None:
        """Begin with nothing. The time of the answer is measured from here on.

        Args:
            vocabulary: The model's tokens.
            prompt_tokens: How many tokens the prompt has.
            prepared: How long it took to prepare the prompt.
            shown: The images of the prompt, as the model sees them.
            stop: Texts that end the answer.
            visible: Special tokens that become text, because they mark parts of the answer for the reader.
            splicer: Puts known values in; None where there are none.
            reader: Tells thinking and tool calls from text; None where all is text.
        """
        self._vocabulary = vocabulary
        self._text = TextStream(vocabulary, stop=stop, visible=visible)
        self._splicer = splicer
        self._reader = reader
        self._usage = Usage(prompt_tokens=prompt_tokens)
        self._prepared = prepared or Timings()
        self._shown = shown
        self.reused_tokens = 0
        self._started = self._prefilled = time.perf_counter_ns()  # the prefill ends with the first sampled token
        self._logprobs: tuple[TokenLogprobs, ...] = ()  # of tokens whose text is still held back

    def take(self, step: Step) -> Chunk | None:
        """Take a step, and return the chunk that can be shown now, or None where there is nothing new to show.

        The last chunk has the finish reason, the usage and the timings.
        """
        # 1. What the step cost.
        if self._usage.sampled_tokens == 0 and step.sampled:
            self._prefilled = time.perf_counter_ns()
        self._usage += Usage(sampled_tokens=step.sampled, forced_tokens=step.forced)
        self._logprobs += tuple(step.logprobs)
        # 2. Its tokens become text, and the text becomes parts of an answer.
        text = self._text.feed(step.tokens)
        reason = FinishReason.STOP if self._text.stopped else step.finish_reason
        if reason is not None:
            text += self._text.finish()
        pieces = self._read(text, last=reason is not None)
        if reason is None and not pieces:
            return None
        # 3. A chunk of what is known, with the logprobs of all tokens since the chunk before it.
        logprobs, self._logprobs = self._logprobs, ()
        chunk = Chunk(self._spliced(pieces.text), pieces.thinking, tuple(pieces.calls), logprobs=logprobs)
        if reason is None:
            return chunk
        if self._reader is not None and self._reader.called and reason is FinishReason.STOP:
            reason = FinishReason.TOOL_CALLS
        ended = replace(chunk, finish_reason=reason, usage=self._all_usage(), timings=self._timings())
        return replace(ended, shown=self._shown)

    def _read(self, text: str, *, last: bool) -> Pieces:
        """Return the parts that a text belongs to; with `last`, also what the reader held back."""
        if self._reader is None:
            return Pieces(text)
        pieces = self._reader.feed(text)
        if last:
            rest = self._reader.finish()
            pieces = Pieces(pieces.text + rest.text, pieces.thinking + rest.thinking, pieces.calls + rest.calls)
        return pieces

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
