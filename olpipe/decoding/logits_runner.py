"""The door for backends that can show logits: give a vocabulary, a renderer and sequences, and get a runner."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from olpipe.decoding.model_sequence import ModelSequence
from olpipe.decoding.prefixes import Prefixes
from olpipe.decoding.preparing import PreparedPrompt, Preparer
from olpipe.decoding.prompt import Prompt
from olpipe.decoding.reading import Markers
from olpipe.decoding.vocabulary import Vocabulary
from olpipe.generation import Chunk, GenerateRequest
from olpipe.interfaces import Prepared, SingleSequenceRunner
from olpipe.model import RunnerInfo


class LogitsRunner(SingleSequenceRunner):
    """A runner that answers one request after the other, decoded by olpipe.

    Sampling, schemas and grammars, known values, stop texts, words to avoid, probabilities, thinking and tool calls all
    work. Prompts that begin like earlier ones are prefilled from where they differ, where sequences can rewind.
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
    ) -> None:
        """Set up for one loaded model.

        Args:
            vocabulary: The model's tokens.
            open_sequence: Makes an empty sequence with room for so many tokens.
            render: Turns a request's messages into a prompt; `olpipe.families.rendering` has one for chat templates.
                It raises `UsageError` for what the model does not take.
            context_length: Tokens of prompt plus answer.
            fit_pixels: Pixels of a photo that the model can use; 0 for a model that does not see.
            markers: How the model marks thinking and tool calls; None where it does neither.
        """
        super().__init__()
        self.info = RunnerInfo(context_length, fit_pixels=fit_pixels)
        self._render = render
        self._preparer = Preparer(vocabulary, context_length=context_length, markers=markers)
        self._prefixes = Prefixes(open_sequence, context_length=context_length)

    def prepare(self, request: GenerateRequest) -> PreparedPrompt:
        """Render the prompt and compile the grammar."""
        started_ns = time.perf_counter_ns()
        return self._preparer.prepare(request, self._render(request), started_ns=started_ns)

    def generate(self, prepared: Prepared) -> Iterator[Chunk]:
        """Decode, yielding a chunk whenever something becomes showable."""
        assert isinstance(prepared, PreparedPrompt)
        decoder = prepared.decoder()
        run = decoder.begin()
        prompt = prepared.prompt.followed_by(run.tokens)
        sequence = self._prefixes.take(prepared.prompt, prepared.room)
        decoder.reused(sequence.reused)
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

    def close(self) -> None:
        """Free what is kept of earlier requests."""
        self._prefixes.close()
