"""The answer to one request, from the tokens that were decoded to chunks that can be shown."""

from __future__ import annotations

import time
from dataclasses import replace

from olpipe.decoding.loop import Run
from olpipe.decoding.text import TextStream
from olpipe.decoding.vocabulary import Vocabulary
from olpipe.default_plugins.ort_genai.prompts import TextPrompt
from olpipe.generation import Chunk, FinishReason, Timings, TokenLogprobs, Usage


class Answer:
    """Takes the runs of one sequence and counts what they cost.

    Attributes:
        reused_tokens: Tokens of the prompt that were in the KV cache already.
    """

    def __init__(self, prompt: TextPrompt, vocabulary: Vocabulary) -> None:
        """Begin; from here on time counts."""
        self._prompt = prompt
        self._vocabulary = vocabulary
        # A stop text would cut a document in two, so a guided text has none.
        self._text = TextStream(vocabulary, stop=() if prompt.constraint else prompt.request.sampling.stop)
        self._usage = Usage(prompt_tokens=prompt.prompt_tokens)
        self._started = self._prefilled = time.perf_counter_ns()
        self._logprobs: tuple[TokenLogprobs, ...] = ()  # of tokens whose text is still held back
        self.reused_tokens = 0

    def take(self, run: Run) -> Chunk | None:
        """Return what became showable, if anything did; the last chunk carries finish reason and usage."""
        if self._usage.sampled_tokens == 0 and run.sampled:
            self._prefilled = time.perf_counter_ns()
        self._usage += Usage(sampled_tokens=run.sampled, forced_tokens=run.forced)
        self._logprobs += run.logprobs
        piece = self._text.feed(run.tokens)
        reason = FinishReason.STOP if self._text.stopped else run.finish_reason
        if reason is None and not piece:
            return None
        logprobs, self._logprobs = self._logprobs, ()
        if reason is None:
            return Chunk(self._spliced(piece), logprobs=logprobs)
        rest = self._spliced(piece + self._text.finish())
        return Chunk(rest, reason, self._all_usage(), self._timings(), logprobs)

    def _spliced(self, text: str) -> str:
        return self._prompt.splicer.feed(text) if self._prompt.splicer else text

    def _all_usage(self) -> Usage:
        if not self._prompt.splicer:
            return self._usage
        return replace(self._usage, spliced_tokens=len(self._vocabulary.encode(self._prompt.splicer.spliced)))

    def _timings(self) -> Timings:
        return Timings(
            prompt_ns=self._prompt.prepare_ns + self._prefilled - self._started,
            decode_ns=time.perf_counter_ns() - self._prefilled,
            reused_tokens=self.reused_tokens,
        )
