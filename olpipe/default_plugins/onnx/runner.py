"""Run a converted decoder on plain ONNX Runtime: several sequences side by side, with one forward for all of them.

Each sequence has a row of the cache, and rows may have different lengths. The attention operator has a limit: where
rows have a past, it takes several new tokens for a single row only. So a forward over all rows runs one token of each.
The forced tokens of a sequence are run in a forward of their own. In this way a sequence gets the same logits as in a
runner that has no other sequence.
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
"""How many sequences run side by side. On few cores, more bring little, and each takes a row of the cache."""

Said = tuple[int, Chunk | OlpipeError]
"""The number of a sequence, and what it has to say: a chunk of its answer, or the error that ended it."""


@dataclass(slots=True)
class _Sequence:
    """One sequence that is running.

    Attributes:
        sequence_id: Its number.
        row: Its row of the cache.
        decoder: The decoder of its answer.
        token: Its token for the next forward over all rows.
    """

    sequence_id: int
    row: Row
    decoder: Decoder
    token: int = 0


class BatchedRunner(Runner):
    """The runner of a converted decoder."""

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
        """Make an empty cache."""
        return Cache(self._session, rows=rows, length=length)

    def prepare(self, request: GenerateRequest) -> PreparedPrompt:
        """Render the prompt and compile the grammar."""
        started_ns = time.perf_counter_ns()
        return self._preparer.prepare(request, self._render(request), started_ns=started_ns)

    def start(self, sequence_id: int, prepared: Prepared) -> None:
        """Register a sequence. It may have to wait until other sequences have ended and there is room for it."""
        assert isinstance(prepared, PreparedPrompt)
        if len(self._waiting) + len(self._running) >= self.info.slots:
            raise ValueError(f"this runner has {self.info.slots} slots, and all are taken")
        self._waiting.append((sequence_id, prepared))

    def step(self) -> Sequence[Said]:
        """Prefill new sequences, then decode one token of every sequence."""
        said: list[Said] = []
        # 1. Sequences that wait get a row, in the order in which they were registered.
        while self._waiting:
            sequence_id, prepared = self._waiting[0]
            row = self._rows.take(prepared.prompt, prepared.room)
            if row is None:
                break
            self._waiting.popleft()
            sequence = self._running[sequence_id] = _Sequence(sequence_id, row, prepared.decoder())
            said += self._said(sequence, _begin(sequence, prepared.prompt))
        # 2. One forward runs one token of every sequence.
        if self._running:
            sequences = list(self._running.values())
            logits = self._rows.forward([(sequence.row, sequence.token) for sequence in sequences])
            for sequence, after in zip(sequences, logits, strict=True):
                said += self._said(sequence, _decode(sequence, after))
        return said

    def stop(self, sequence_id: int) -> None:
        """Forget a sequence, whether it is running or waiting."""
        if sequence_id in self._running:
            self._end(self._running[sequence_id])
        else:
            self._waiting = deque(one for one in self._waiting if one[0] != sequence_id)

    def embed(self, request: EmbedRequest) -> Embeddings:
        """Return a vector for each text: the mean of the last layer's hidden states."""
        from olpipe.default_plugins.onnx.embedding import embed_with_decoder

        return embed_with_decoder(self._session, self._vocabulary, request, context_length=self.info.context_length)

    def close(self) -> None:
        """Free the model."""
        self._rows.close()
        self._session = None

    def _said(self, sequence: _Sequence, runs: Iterator[Run]) -> Iterator[Said]:
        """Yield what a sequence has to say. It ends with its last run, or with an error of its own."""
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
    """Prefill a prompt together with what every answer begins with, and go on as `_decode` does."""
    run = sequence.decoder.begin()
    sequence.decoder.reused(sequence.row.reused)
    yield run
    if not run.finished:
        yield from _decode(sequence, sequence.row.prefill(prompt.followed_by(run.tokens)))


def _decode(sequence: _Sequence, logits: Logits) -> Iterator[Run]:
    """Decode a sequence until a single token has to be run. That token waits for the forward over all rows.

    Args:
        sequence: The sequence.
        logits: The logits after its last token, (vocab_size,).
    """
    while True:
        run = sequence.decoder.next(logits)
        yield run
        if run.finished:
            return
        if len(run.tokens) == 1:
            (sequence.token,) = run.tokens
            return
        logits = sequence.row.decode(run.tokens)
