"""A language model on plain ONNX Runtime: several sequences side by side, one forward for all of them.

It runs what our own converter wrote, whose graphs give the last logits of every row. Rows may be of any length.
The attention operator takes several new tokens only of a single row that has a past: so every row moves by one token
with the others, and forced runs are done alone. A row's logits are then those of a runner that has but this sequence.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from olpipe.decoding.decoder import Decoder, Run
from olpipe.decoding.model_sequence import Logits
from olpipe.decoding.preparing import PreparedPrompt, Preparer
from olpipe.decoding.prompt import Prompt
from olpipe.default_plugins.onnx.cache import Cache
from olpipe.default_plugins.onnx.rows import Row, Rows
from olpipe.default_plugins.packages import TextPackage
from olpipe.embedding import Embeddings, EmbedRequest
from olpipe.errors import ModelCorrupt, OlpipeError
from olpipe.families.rendering import ChatRenderer
from olpipe.generation import Chunk, GenerateRequest
from olpipe.interfaces import Prepared, Runner
from olpipe.model import LoadOptions, ModelBundle, RunnerInfo
from olpipe.sessions import open_session, session_errors

SLOTS = 8
"""Sequences side by side: more bring little on few cores, and each keeps a row of the cache."""

Said = tuple[int, Chunk | OlpipeError]


@dataclass(slots=True)
class _Sequence:
    """One request at work.

    Attributes:
        sequence_id: Its number.
        row: Its row of the cache.
        decoder: What decides its tokens.
        token: The token that it wants to have run with the others'.
    """

    sequence_id: int
    row: Row
    decoder: Decoder
    token: int = 0


class BatchedRunner(Runner):
    """A decoder that was converted here."""

    def __init__(self, package: Path, bundle: ModelBundle, options: LoadOptions) -> None:
        """Load a package.

        Raises:
            BackendMissing: ONNX Runtime is not installed.
            ModelCorrupt: The package is damaged.
        """
        files = TextPackage.read(package, bundle)
        try:
            self._session = open_session(package / files.decoder, threads=options.threads)
        except session_errors() as error:
            raise ModelCorrupt(f"`{bundle.name}` cannot be loaded: {str(error).splitlines()[0]}") from error
        context_length = min(options.context_length or files.context_length, files.context_length)
        self.info = RunnerInfo(context_length, slots=options.slots or SLOTS, embeds=True)
        self._vocabulary = files.vocabulary()
        self._render = ChatRenderer(self._vocabulary, files.template, system=bundle.system)
        self._preparer = Preparer(self._vocabulary, context_length=context_length, markers=self._render.markers)
        self._rows = Rows(self._open, slots=self.info.slots, context_length=context_length)
        self._waiting: deque[tuple[int, PreparedPrompt]] = deque()
        self._running: dict[int, _Sequence] = {}

    def _open(self, rows: int, length: int) -> Cache:
        return Cache(self._session, rows=rows, length=length)

    def prepare(self, request: GenerateRequest) -> PreparedPrompt:
        """Render the chat template, tokenise, and compile the grammar."""
        started_ns = time.perf_counter_ns()
        return self._preparer.prepare(request, self._render(request), started_ns=started_ns)

    def start(self, sequence_id: int, prepared: Prepared) -> None:
        """Register a sequence; a long one may have to wait until others have ended and left it room."""
        assert isinstance(prepared, PreparedPrompt)
        if len(self._waiting) + len(self._running) >= self.info.slots:
            raise ValueError(f"this runner has {self.info.slots} slots, and all are taken")
        self._waiting.append((sequence_id, prepared))

    def step(self) -> Sequence[Said]:
        """Prefill what is new, then advance every sequence by a token."""
        said: list[Said] = []
        # 1. Whoever waits gets a row, in the order of arrival.
        while self._waiting:
            sequence_id, prepared = self._waiting[0]
            row = self._rows.take(prepared.prompt, prepared.room)
            if row is None:
                break
            self._waiting.popleft()
            sequence = self._running[sequence_id] = _Sequence(sequence_id, row, prepared.decoder())
            said += self._said(sequence, _begin(sequence, prepared.prompt))
        # 2. One forward for all.
        if self._running:
            sequences = list(self._running.values())
            logits = self._rows.forward([(sequence.row, sequence.token) for sequence in sequences])
            for sequence, after in zip(sequences, logits, strict=True):
                said += self._said(sequence, _decode(sequence, after))
        return said

    def stop(self, sequence_id: int) -> None:
        """Forget a sequence, wherever it is."""
        if sequence_id in self._running:
            self._end(self._running[sequence_id])
        else:
            self._waiting = deque(one for one in self._waiting if one[0] != sequence_id)

    def embed(self, request: EmbedRequest) -> Embeddings:
        """Return the mean of each text's last hidden states."""
        from olpipe.default_plugins.onnx.embedding import embed_with_decoder

        return embed_with_decoder(self._session, self._vocabulary, request, context_length=self.info.context_length)

    def close(self) -> None:
        """Free the model."""
        self._rows.close()
        self._session = None

    def _said(self, sequence: _Sequence, runs: Iterator[Run]) -> Iterator[Said]:
        """Hand on what became showable. A sequence ends with its last run, or with an error of its own."""
        try:
            for run in runs:
                if run.chunk is not None:
                    yield sequence.sequence_id, run.chunk
                if run.finished:
                    self._end(sequence)
        except OlpipeError as error:
            self._end(sequence)
            yield sequence.sequence_id, error

    def _end(self, sequence: _Sequence) -> None:
        del self._running[sequence.sequence_id]
        self._rows.release(sequence.row)


def _begin(sequence: _Sequence, prompt: Prompt) -> Iterator[Run]:
    """Prefill a sequence's prompt, with what its answer begins with, and decode as far as `_decode`."""
    run = sequence.decoder.begin()
    sequence.decoder.reused(sequence.row.reused)
    yield run
    if not run.finished:
        yield from _decode(sequence, sequence.row.prefill(prompt.followed_by(run.tokens)))


def _decode(sequence: _Sequence, logits: Logits) -> Iterator[Run]:
    """Decode until a single token has to be run, which is then done together with the others'."""
    while True:
        run = sequence.decoder.next(logits)
        yield run
        if run.finished:
            return
        if len(run.tokens) == 1:
            (sequence.token,) = run.tokens
            return
        logits = sequence.row.decode(run.tokens)
