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
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from olpipe.convert.architectures import VISION_CONFIG
from olpipe.decoding.cutting import fitting_prompt
from olpipe.decoding.decoder import Decoder, Run
from olpipe.decoding.model_sequence import Logits
from olpipe.decoding.preparing import PreparedPrompt, Preparer
from olpipe.decoding.prompt import Prompt
from olpipe.decoding.tokens import detokenize, tokenize
from olpipe.decoding.vocabulary import Vocabulary
from olpipe.default_plugins.onnx.cache import Cache
from olpipe.default_plugins.onnx.cache_types import open_decoder
from olpipe.default_plugins.onnx.eyes import Eyes
from olpipe.default_plugins.onnx.rows import Row, Rows
from olpipe.default_plugins.packages import TextPackage
from olpipe.embedding import Embeddings, EmbedRequest
from olpipe.errors import ModelCorrupt, OlpipeError
from olpipe.families.rendering import ChatRenderer
from olpipe.families.showing import prompt_with_room
from olpipe.families.table import Families
from olpipe.generation import Chunk, GenerateRequest, Timings
from olpipe.interfaces import Prepared, Runner
from olpipe.model import FULL_CACHE, LoadOptions, ModelBundle, RunnerInfo
from olpipe.sessions import session_errors
from olpipe.tokens import CountRequest, DetokenizeRequest, TokenizeRequest

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
    """The runner of a converted decoder.

    Attributes:
        vocabulary: The tokens of the model.
    """

    def __init__(
        self, package: Path, bundle: ModelBundle, options: LoadOptions, *, families: Families | None = None
    ) -> None:
        """Load a package.

        Args:
            package: Its folder.
            bundle: The model.
            options: Limits.
            families: All families of vision models; None stands for those that ship with olpipe.

        Raises:
            BackendMissing: ONNX Runtime is not installed.
            DiskFull: There is no space for the graph with the type of the cache that is asked for.
            ModelCorrupt: The package is damaged.
            StoreError: The folder of the package may not be written, and that graph is not there yet.
            ModelUnsupported: It has a vision encoder, and the plugin that brought its family is gone.
        """
        files = TextPackage.read(package, bundle)
        self.vocabulary = files.vocabulary()
        self._eyes: Eyes | None = None
        try:
            self._session, reason = open_decoder(
                package / files.decoder, options, self.vocabulary, context_length=files.context_length
            )
            if (package / VISION_CONFIG).is_file():
                self._eyes = Eyes(package, self.vocabulary, options, families=families)
        except session_errors() as error:
            raise ModelCorrupt(f"`{bundle.name}` cannot be loaded: {str(error).splitlines()[0]}") from error
        self.info = _info(files, options, self._eyes, reason)
        self._window = files.window
        self._render = _renderer(files, self.vocabulary, bundle.system, self._eyes)
        self._preparer = Preparer(
            self.vocabulary, context_length=self.info.context_length, markers=self._render.markers
        )
        self._rows = Rows(self._open, slots=self.info.slots, context_length=self.info.context_length)
        self._waiting: deque[tuple[int, PreparedPrompt, Decoder]] = deque()
        self._running: dict[int, _Sequence] = {}

    def _open(self, rows: int, length: int) -> Cache:
        """Make an empty cache."""
        return Cache(self._session, rows=rows, length=length, window=self._window)

    def prepare(self, request: GenerateRequest) -> PreparedPrompt:
        """Render the prompt, look at its images, and compile the grammar."""
        started_ns = time.perf_counter_ns()
        cut = fitting_prompt(request, self._prompt, self.vocabulary, context_length=self.info.context_length)
        prepared = cut.told(self._preparer.prepare(request, cut.prompt, started_ns=started_ns))
        if self._eyes is None or not prepared.prompt.images:
            return prepared
        prompt, looking = self._eyes.look(prepared.prompt)
        timings = prepared.timings + Timings(fit_ns=looking.fit_ns, encode_ns=looking.encode_ns)
        return replace(prepared, prompt=prompt, timings=timings)

    def _prompt(self, request: GenerateRequest) -> Prompt:
        """Return the prompt of a request. Its images get fewer tokens where there is no room for all of them."""
        eyes = self._eyes
        if eyes is None:
            return self._render(request)
        return prompt_with_room(
            lambda tokens: self._render(request, show_image=partial(eyes.span, tokens=tokens)),
            eyes.tokens,
            request,
            context_length=self.info.context_length,
        )

    def tokenize(self, request: TokenizeRequest) -> tuple[int, ...]:
        """Cut a text into tokens."""
        return tokenize(self.vocabulary, request)

    def detokenize(self, request: DetokenizeRequest) -> str:
        """Join tokens to a text."""
        return detokenize(self.vocabulary, request)

    def count_tokens(self, request: CountRequest) -> int:
        """Count the tokens of a prompt. Nobody looks at its images, and the grammar is not compiled."""
        return len(self._prompt(request.prompt))

    def start(self, sequence_id: int, prepared: Prepared) -> None:
        """Register a sequence. It may have to wait until other sequences have ended and there is room for it."""
        assert isinstance(prepared, PreparedPrompt)
        if len(self._waiting) + len(self._running) >= self.info.slots:
            raise ValueError(f"this runner has {self.info.slots} slots, and all are taken")
        # The decoder comes first: where it cannot begin, no row of the cache has been taken for it
        self._waiting.append((sequence_id, prepared, prepared.decoder()))

    def step(self) -> Sequence[Said]:
        """Prefill new sequences, then decode one token of every sequence."""
        said: list[Said] = []
        # 1. Sequences that wait get a row, in the order in which they were registered.
        while self._waiting:
            sequence_id, prepared, decoder = self._waiting[0]
            row = self._rows.take(prepared.prompt, prepared.room)
            if row is None:
                break
            self._waiting.popleft()
            sequence = self._running[sequence_id] = _Sequence(sequence_id, row, decoder)
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

        return embed_with_decoder(self._session, self.vocabulary, request, context_length=self.info.context_length)

    def close(self) -> None:
        """Free the model."""
        self._rows.close()
        self._session = None
        if self._eyes is not None:
            self._eyes.close()

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


def _info(files: TextPackage, options: LoadOptions, eyes: Eyes | None, reason: str) -> RunnerInfo:
    """Return what the runner can do, given why its cache is not of the type that was asked for."""
    return RunnerInfo(
        min(options.context_length or files.context_length, files.context_length),
        slots=options.slots or SLOTS,
        fit_pixels=0 if eyes is None else eyes.fit_pixels,
        embeds=True,
        boxes=None if eyes is None else eyes.family.boxes,
        cache_type=FULL_CACHE if reason else options.cache_type or FULL_CACHE,
        cache_reason=reason,
    )


def _renderer(files: TextPackage, vocabulary: Vocabulary, system: str, eyes: Eyes | None) -> ChatRenderer:
    """Return what renders prompts. A model that sees and has no chat template gets that of its family."""
    if eyes is None:
        return ChatRenderer(vocabulary, files.template, system=system)
    template = files.template.or_else(eyes.family.template)
    return ChatRenderer(
        vocabulary,
        template,
        system=system,
        show_image=partial(eyes.span, tokens=eyes.tokens),
        image_text=eyes.image_text,
    )


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
