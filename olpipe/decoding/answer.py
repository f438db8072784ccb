"""The answer to one request, from the tokens that were taken to chunks that can be shown."""

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


class Answer:
    """Takes the steps of one sequence and counts what they cost.

    Attributes:
        reused_tokens: Tokens of the prompt that were in the KV cache already.
    """

    def __init__(
        self,
        vocabulary: Vocabulary,
        *,
        prompt_tokens: int,
        prepare_ns: int = 0,
        stop: Sequence[str] = (),
        visible: Collection[int] = (),
        splicer: Splicer | None = None,
        reader: AnswerReader | None = None,
    ) -> None:
        """Begin; from here on time counts.

        Args:
            vocabulary: The model's tokens.
            prompt_tokens: Tokens of the prompt.
            prepare_ns: Time that it took to prepare the prompt.
            stop: Texts that end the answer.
            visible: Special tokens that the reader goes by.
            splicer: Puts known values in.
            reader: Tells thinking and tool calls from text; None where all is text.
        """
        self._vocabulary = vocabulary
        self._text = TextStream(vocabulary, stop=stop, visible=visible)
        self._splicer = splicer
        self._reader = reader
        self._usage = Usage(prompt_tokens=prompt_tokens)
        self._prepare_ns = prepare_ns
        self.reused_tokens = 0
        self._started = self._prefilled = time.perf_counter_ns()
        self._logprobs: tuple[TokenLogprobs, ...] = ()  # of tokens whose text is still held back

    def take(self, step: Step) -> Chunk | None:
        """Return what became showable, if anything did; the last chunk carries finish reason and usage."""
        if self._usage.sampled_tokens == 0 and step.sampled:
            self._prefilled = time.perf_counter_ns()
        self._usage += Usage(sampled_tokens=step.sampled, forced_tokens=step.forced)
        self._logprobs += tuple(step.logprobs)
        text = self._text.feed(step.tokens)
        reason = FinishReason.STOP if self._text.stopped else step.finish_reason
        if reason is not None:
            text += self._text.finish()
        pieces = self._read(text, last=reason is not None)
        if reason is None and not pieces:
            return None
        logprobs, self._logprobs = self._logprobs, ()
        chunk = Chunk(self._spliced(pieces.text), pieces.thinking, tuple(pieces.calls), logprobs=logprobs)
        if reason is None:
            return chunk
        if self._reader is not None and self._reader.called and reason is FinishReason.STOP:
            reason = FinishReason.TOOL_CALLS
        return replace(chunk, finish_reason=reason, usage=self._all_usage(), timings=self._timings())

    def _read(self, text: str, *, last: bool) -> Pieces:
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
        if not self._splicer:
            return self._usage
        return replace(self._usage, spliced_tokens=len(self._vocabulary.encode(self._splicer.spliced)))

    def _timings(self) -> Timings:
        return Timings(
            prompt_ns=self._prepare_ns + self._prefilled - self._started,
            decode_ns=time.perf_counter_ns() - self._prefilled,
            reused_tokens=self.reused_tokens,
        )
