"""A text model on plain ONNX Runtime: several sequences side by side, one forward for all of them.

It runs what our own converter wrote, whose graphs give the last logits of every row. Rows may be of any length.
The attention operator takes several new tokens only of a single row that has a past: so every row moves by one token
with the others, and forced runs are done alone. A row's logits are then those of a runner that has but this sequence.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from olpipe.decoding.loop import Run
from olpipe.default_plugins.ort_genai.answer import Answer
from olpipe.default_plugins.ort_genai.cache import Cache
from olpipe.default_plugins.ort_genai.prompts import Prompts, TextPrompt, read_settings
from olpipe.default_plugins.ort_genai.rows import Row, Rows
from olpipe.default_plugins.ort_genai.runtime import import_runtime, session_errors
from olpipe.errors import ModelCorrupt, OlpipeError
from olpipe.generation import Chunk, GenerateRequest
from olpipe.interfaces import Prepared, Runner
from olpipe.model import LoadOptions, ModelBundle, RunnerInfo
from olpipe.perception.session import open_session

SLOTS = 8
"""Sequences side by side: more bring little on few cores, and each keeps a row of the cache."""

Said = tuple[int, Chunk | OlpipeError]


@dataclass(slots=True)
class _Sequence:
    """One request at work; `token` is what it wants to have run next."""

    sequence_id: int
    row: Row
    answer: Answer
    runs: Iterator[Run]
    token: int = 0


class BatchedRunner(Runner):
    """A decoder that was converted here."""

    def __init__(self, package: Path, bundle: ModelBundle, options: LoadOptions) -> None:
        settings = read_settings(package, bundle)
        self._session, tokenizer = _load(package, settings, bundle, options)
        self._prompts = Prompts(package, bundle, options, tokenizer)
        self.info = RunnerInfo(context_length=self._prompts.context_length, slots=SLOTS)
        self._rows = Rows(self._open, slots=SLOTS, context_length=self.info.context_length)
        self._waiting: deque[tuple[int, TextPrompt]] = deque()
        self._running: dict[int, _Sequence] = {}

    def _open(self, rows: int, length: int) -> Cache:
        return Cache(self._session, rows=rows, length=length)

    def prepare(self, request: GenerateRequest) -> TextPrompt:
        """Render the chat template, tokenise, and compile the grammar."""
        return self._prompts.prepare(request)

    def start(self, sequence_id: int, prepared: Prepared) -> None:
        """Register a sequence; a long one may have to wait until others have ended and left it room."""
        assert isinstance(prepared, TextPrompt)
        if len(self._waiting) + len(self._running) >= self.info.slots:
            raise ValueError(f"this runner has {self.info.slots} slots, and all are taken")
        self._waiting.append((sequence_id, prepared))

    def step(self) -> Sequence[Said]:
        """Prefill what is new, then advance every sequence by a token."""
        said: list[Said] = []
        while self._waiting:
            sequence = self._admit(*self._waiting[0])
            if sequence is None:
                break
            self._waiting.popleft()
            said += self._advance(sequence)
        if self._running:
            sequences = list(self._running.values())
            self._rows.forward([(sequence.row, sequence.token) for sequence in sequences])
            for sequence in sequences:
                said += self._advance(sequence)
        return said

    def stop(self, sequence_id: int) -> None:
        """Forget a sequence, wherever it is."""
        if sequence_id in self._running:
            self._end(self._running[sequence_id])
        else:
            self._waiting = deque(one for one in self._waiting if one[0] != sequence_id)

    def close(self) -> None:
        """Free the model."""
        self._rows.close()
        self._session = None

    def _admit(self, sequence_id: int, prompt: TextPrompt) -> _Sequence | None:
        """Give a request a row; None while there is no room for it."""
        row = self._rows.take(prompt.tokens, self._prompts.room(prompt))
        if row is None:
            return None
        answer = Answer(prompt, self._prompts.vocabulary)
        answer.reused_tokens = row.reused
        runs = self._prompts.decode(row, prompt)
        sequence = self._running[sequence_id] = _Sequence(sequence_id, row, answer, runs)
        return sequence

    def _advance(self, sequence: _Sequence) -> Iterator[Said]:
        """Decode until a single token has to be run, which is then done together with the others'."""
        try:
            for run in sequence.runs:
                chunk = sequence.answer.take(run)
                if chunk is not None:
                    yield sequence.sequence_id, chunk
                    if chunk.finish_reason is not None:
                        self._end(sequence)
                        return
                if sequence.row.started and len(run.tokens) == 1:
                    sequence.token = run.tokens[0]
                    return
        except OlpipeError as error:
            self._end(sequence)
            yield sequence.sequence_id, error

    def _end(self, sequence: _Sequence) -> None:
        del self._running[sequence.sequence_id]
        self._rows.release(sequence.row)


def _load(package: Path, settings: dict[str, Any], bundle: ModelBundle, options: LoadOptions) -> tuple[Any, Any]:
    """Return the session and the tokenizer."""
    runtime = import_runtime()
    troubles: tuple[type[Exception], ...] = (KeyError, RuntimeError, *session_errors())
    try:
        session = open_session(package / settings["decoder"]["filename"], threads=options.threads)
        return session, runtime.Tokenizer(runtime.Config(str(package)))
    except troubles as error:
        raise ModelCorrupt(f"`{bundle.name}` cannot be loaded: {str(error).splitlines()[0]}") from error
