"""Make a runner for a backend that can show logits. The backend gives a vocabulary, a renderer and sequences."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from olpipe.decoding.cutting import fitting_prompt
from olpipe.decoding.model_sequence import ModelSequence
from olpipe.decoding.prefixes import Prefixes
from olpipe.decoding.preparing import PreparedPrompt, Preparer
from olpipe.decoding.prompt import Prompt
from olpipe.decoding.reading import Markers
from olpipe.decoding.tokens import detokenize, tokenize
from olpipe.decoding.vocabulary import Vocabulary
from olpipe.embedding import Embeddings, EmbedRequest
from olpipe.generation import Chunk, GenerateRequest
from olpipe.interfaces import Prepared, SingleSequenceRunner
from olpipe.model import RunnerInfo
from olpipe.tokens import CountRequest, DetokenizeRequest, TokenizeRequest


class LogitsRunner(SingleSequenceRunner):
    """A runner that answers one request after the other.

    Sampling, schemas and grammars, known values, stop texts, words to avoid, logprobs, thinking and tool calls all
    work. Where sequences can rewind, a prompt that begins like an earlier one is prefilled only from where it differs.
    """

    def __init__(
        self,
        vocabulary: Vocabulary,
        open_sequence: Callable[[int], ModelSequence],
        render: Callable[[GenerateRequest], Prompt],
        *,
        context_length: int,
        fit_pixels: int = 0,
        markers: Markers | None = None,
        embed: Callable[[EmbedRequest], Embeddings] | None = None,
        images_first: bool = False,
    ) -> None:
        """Set up for one loaded model.

        Args:
            vocabulary: The model's tokens.
            open_sequence: Makes an empty sequence that has room for a number of tokens.
            render: Turns a request's messages into a prompt. `olpipe.families.rendering` has a renderer for chat
                templates. It raises `UsageError` for a request that the model does not take.
            context_length: Most tokens of prompt plus answer.
            fit_pixels: How many pixels of a photo the model can use; 0 for a model that does not see.
            markers: How the model marks thinking and tool calls; None where it does neither.
            embed: Turns texts into vectors, as `Runner.embed` describes it; None where the model makes none.
            images_first: Whether sequences take images only together with the first tokens of a prompt. Then a prompt
                with images is prefilled as a whole, unless an earlier one had the same images.
        """
        super().__init__()
        self.info = RunnerInfo(context_length, fit_pixels=fit_pixels, embeds=embed is not None)
        self._embed = embed
        self._render = render
        self._vocabulary = vocabulary
        self._preparer = Preparer(vocabulary, context_length=context_length, markers=markers)
        self._prefixes = Prefixes(open_sequence, context_length=context_length, images_first=images_first)

    def prepare(self, request: GenerateRequest) -> PreparedPrompt:
        """Render the prompt, cut it where it is too long and that is allowed, and compile the grammar."""
        started_ns = time.perf_counter_ns()
        cut = fitting_prompt(request, self._render, self._vocabulary, context_length=self.info.context_length)
        return cut.told(self._preparer.prepare(request, cut.prompt, started_ns=started_ns))

    def tokenize(self, request: TokenizeRequest) -> tuple[int, ...]:
        """Cut a text into tokens."""
        return tokenize(self._vocabulary, request)

    def detokenize(self, request: DetokenizeRequest) -> str:
        """Join tokens to a text."""
        return detokenize(self._vocabulary, request)

    def count_tokens(self, request: CountRequest) -> int:
        """Count the tokens of a prompt. The grammar is not compiled for this."""
        return len(self._render(request.prompt))

    def generate(self, prepared: Prepared) -> Iterator[Chunk]:
        """Decode an answer, and yield a chunk whenever there is something new to show."""
        assert isinstance(prepared, PreparedPrompt)
        # 1. What every answer begins with is prefilled together with the prompt.
        decoder = prepared.decoder()
        run = decoder.begin()
        prompt = prepared.prompt.followed_by(run.tokens)
        sequence = self._prefixes.take(prepared.prompt, prepared.room)
        decoder.reused(sequence.reused)
        # 2. Forward by forward. The sequence is kept whatever ends this: the answer, an error, or a caller that stops.
        try:
            logits = None
            while True:
                if run.chunk is not None:
                    yield run.chunk
                if run.finished:
                    return
                logits = sequence.prefill(prompt) if logits is None else sequence.decode(run.tokens)
                run = decoder.next(logits)
        finally:
            self._prefixes.keep(sequence)

    def embed(self, request: EmbedRequest) -> Embeddings:
        """Turn texts into vectors with the function that was given."""
        return super().embed(request) if self._embed is None else self._embed(request)

    def close(self) -> None:
        """Free the sequences that were kept from earlier requests."""
        self._prefixes.close()
