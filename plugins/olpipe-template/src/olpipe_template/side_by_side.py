"""A runner that answers several requests at once. `load` can return it in place of a `LogitsRunner`.

The backend `counts` does not use it: the tests do. Take it where your model can run several sequences in one forward.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from olpipe.decoding.cutting import fitting_prompt
from olpipe.decoding.decoder import Decoder, Run
from olpipe.decoding.model_sequence import Logits, ModelSequence
from olpipe.decoding.preparing import PreparedPrompt, Preparer
from olpipe.decoding.prompt import Prompt
from olpipe.decoding.reading import Markers
from olpipe.decoding.vocabulary import Vocabulary
from olpipe.errors import OlpipeError
from olpipe.generation import Chunk, GenerateRequest
from olpipe.interfaces import Prepared, Runner
from olpipe.model import RunnerInfo


@dataclass(slots=True)
class Answer:
    """One answer that is being written.

    Attributes:
        prompt: Its prompt.
        sequence: What the model has read: the prompt, and the answer so far.
        decoder: Says which tokens come next.
        tokens: The tokens that the model reads next.
        begun: Whether the prompt was prefilled.
    """

    prompt: Prompt
    sequence: ModelSequence
    decoder: Decoder
    tokens: Sequence[int] = ()
    begun: bool = False


class SideBySideRunner(Runner):
    """Keeps a sequence and a decoder for each answer, and runs all answers in one forward."""

    def __init__(
        self,
        vocabulary: Vocabulary,
        open_sequence: Callable[[int], ModelSequence],
        forward: Callable[[Sequence[tuple[Any, Sequence[int]]]], Sequence[Logits]],
        render: Callable[[GenerateRequest], Prompt],
        *,
        context_length: int,
        slots: int,
        markers: Markers | None = None,
    ) -> None:
        """Set up for one model. All but `forward` and `slots` is as in `LogitsRunner`.

        Args:
            vocabulary: The model's tokens.
            open_sequence: Makes an empty sequence that has room for a number of tokens.
            forward: Runs the next tokens of several sequences, and returns the logits after the last token of each.
            render: Turns a request's messages into a prompt.
            context_length: Most tokens of prompt plus answer.
            slots: How many requests are answered at once.
            markers: How the model marks thinking and tool calls; None where it does neither.
        """
        self.info = RunnerInfo(context_length, slots=slots)
        self._open, self._forward, self._render = open_sequence, forward, render
        self._vocabulary = vocabulary
        self._preparer = Preparer(vocabulary, context_length=context_length, markers=markers)
        self._answers: dict[int, Answer] = {}

    def prepare(self, request: GenerateRequest) -> PreparedPrompt:
        """Render the prompt, cut it where needed, and compile the grammar. Another thread calls this."""
        started_ns = time.perf_counter_ns()
        cut = fitting_prompt(request, self._render, self._vocabulary, context_length=self.info.context_length)
        return cut.told(self._preparer.prepare(request, cut.prompt, started_ns=started_ns))

    def start(self, sequence_id: int, prepared: Prepared) -> None:
        """Open a sequence with room for the prompt and the answer."""
        assert isinstance(prepared, PreparedPrompt)
        if len(self._answers) == self.info.slots:
            raise ValueError(f"this runner has {self.info.slots} slots, and all are taken")
        self._answers[sequence_id] = Answer(prepared.prompt, self._open(prepared.room), prepared.decoder())

    def step(self) -> Sequence[tuple[int, Chunk | OlpipeError]]:
        """Run one forward for each new answer, and one for all others together."""
        said: list[tuple[int, Chunk | OlpipeError]] = []
        after: dict[int, Logits] = {}  # the logits after the last token of each answer, (vocab_size,)
        # 1. A new answer prefills its prompt, together with what every answer to the request begins with
        for sequence_id, new in [entry for entry in self._answers.items() if not entry[1].begun]:
            new.begun = True
            said += self._decide(sequence_id, new.decoder.begin)
            if sequence_id in self._answers:
                after[sequence_id] = new.sequence.prefill(new.prompt.followed_by(new.tokens), 0)
        # 2. One forward runs the next tokens of all other answers
        others = {number: (one.sequence, one.tokens) for number, one in self._answers.items() if number not in after}
        if others:
            after.update(zip(others, self._forward([*others.values()]), strict=True))
        # 3. Each decoder says which tokens come next, and what can be shown
        for sequence_id, logits in after.items():
            said += self._decide(sequence_id, partial(self._answers[sequence_id].decoder.next, logits))
        return said

    def _decide(self, sequence_id: int, decide: Callable[[], Run]) -> list[tuple[int, Chunk | OlpipeError]]:
        """Take what a decoder decides, and return what can be shown. The last chunk or an error ends the answer."""
        try:
            run = decide()
        except OlpipeError as error:
            self.stop(sequence_id)
            return [(sequence_id, error)]
        self._answers[sequence_id].tokens = run.tokens
        if run.finished:
            self.stop(sequence_id)
        return [] if run.chunk is None else [(sequence_id, run.chunk)]

    def stop(self, sequence_id: int) -> None:
        """Forget an answer, and free its sequence."""
        self._answers.pop(sequence_id, None)
