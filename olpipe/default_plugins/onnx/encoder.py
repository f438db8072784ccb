"""Run a converted embedding model: it turns texts into vectors, several texts in one forward."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from olpipe.convert.architectures import EMBEDDING_CONFIG
from olpipe.convert.model_folder import ConfigFile
from olpipe.default_plugins.onnx.vectors import Floats, check_length, normalised
from olpipe.embedding import Embeddings, EmbedRequest
from olpipe.errors import ModelCorrupt, UsageError
from olpipe.generation import Chunk, GenerateRequest, Timings
from olpipe.interfaces import Prepared, Runner
from olpipe.model import LoadOptions, ModelBundle, RunnerInfo
from olpipe.sessions import open_session, session_errors
from olpipe.tokens import DetokenizeRequest, TokenizeRequest

BATCH_TOKENS = 1024
"""Most tokens of one forward, padding included. A longer text has a forward of its own."""

MULTIPLE = 8
"""Texts are padded to a multiple of this many tokens.

So no matrix product has a single row. A single row may be rounded differently than several rows.
"""


class EncoderRunner(Runner):
    """A BERT encoder and its pooling. It makes vectors, and writes no answers."""

    def __init__(self, package: Path, bundle: ModelBundle, options: LoadOptions) -> None:
        """Load a package that `olpipe.convert.encoder_package` wrote.

        Raises:
            UsageError: The context is too short for any text.
            BackendMissing: ONNX Runtime is not installed, or it does not compute on the device.
            ModelCorrupt: The package is damaged.
        """
        config = ConfigFile.read(package / EMBEDDING_CONFIG)
        longest = config.size("context_length")
        self.info = RunnerInfo(
            min(options.context_length or longest, longest), generates=False, guidance=False, embeds=True
        )
        self._width = config.size("dimensions")
        self._prompt = config.text("prompt")
        self._tokenizer = _tokenizer(package / "tokenizer.json")
        self._spelling = _tokenizer(package / "tokenizer.json")  # for another thread: it cuts texts of any length
        self._longest = longest
        self._special = self._tokenizer.num_special_tokens_to_add(False)
        if self._special >= self.info.context_length:
            raise UsageError(
                f"a context of {self.info.context_length} tokens leaves `{bundle.name}` no room for a word"
            )
        self._tokenizer.enable_truncation(self.info.context_length)
        try:
            graph = package / config.text("graph")
            self._session = open_session(graph, threads=options.threads, device=options.device)
        except session_errors() as error:
            raise ModelCorrupt(f"`{bundle.name}` cannot be loaded: {str(error).splitlines()[0]}") from error

    def embed(self, request: EmbedRequest) -> Embeddings:
        """Return a vector for each text. It does not depend on the other texts."""
        started_ns = time.perf_counter_ns()
        texts = self._tokenised(request)
        vectors = np.zeros((len(texts), self._width), np.float32)
        for batch in batches([len(text) for text in texts]):
            vectors[batch] = self._forward([texts[index] for index in batch])
        spent_ns = time.perf_counter_ns() - started_ns
        return Embeddings(normalised(vectors, request), sum(map(len, texts)), Timings(prompt_ns=spent_ns))

    def tokenize(self, request: TokenizeRequest) -> tuple[int, ...]:
        """Cut a text into tokens, without those that stand around each text for its vector."""
        self._spelling.encode_special_tokens = not request.special
        return tuple(self._spelling.encode(request.text, add_special_tokens=False).ids)

    def detokenize(self, request: DetokenizeRequest) -> str:
        """Join tokens to a text. Many embedding models keep no capitals, so these do not come back."""
        size = self._spelling.get_vocab_size()
        unknown = [token for token in request.tokens if not 0 <= token < size]
        if unknown:
            raise UsageError(f"`{request.model}` has the tokens 0 to {size - 1}, and no token {unknown[0]}")
        text: str = self._spelling.decode(list(request.tokens), skip_special_tokens=not request.special)
        return text

    def prepare(self, request: GenerateRequest) -> Prepared:
        """Refuse the request, because the model does not write answers."""
        raise UsageError(f"`{request.model}` does not write answers, it makes embeddings")

    def start(self, sequence_id: int, prepared: Prepared) -> None:
        """Refuse to start, because nothing can be prepared."""
        raise ValueError("this runner makes embeddings only")

    def step(self) -> Sequence[tuple[int, Chunk]]:
        """Return nothing, because no sequence runs."""
        return ()

    def stop(self, sequence_id: int) -> None:
        """Do nothing, because no sequence runs."""

    def close(self) -> None:
        """Free the model."""
        self._session = None

    def _tokenised(self, request: EmbedRequest) -> list[list[int]]:
        """Return the tokens of each text, with special tokens, and cut where the request allows it.

        Raises:
            ContextExceeded: A text is too long, and the request does not allow cutting it.
        """
        longest = self.info.context_length
        tokens: list[list[int]] = []
        for encoding in self._tokenizer.encode_batch_fast([self._prompt + text for text in request.texts]):
            # The tokenizer gives what it cut off in pieces. Each piece has special tokens, too, which do not count.
            cut = sum(len(piece) - self._special for piece in encoding.overflowing)
            check_length(len(encoding) + cut, request, context_length=longest)
            tokens.append(encoding.ids)
        return tokens

    def _forward(self, texts: Sequence[Sequence[int]]) -> Floats:
        """Run some texts through the model; returns their vectors, (texts, width)."""
        lengths = np.array([len(text) for text in texts], np.int32)  # (texts,)
        length = min(_padded(int(lengths.max())), self._longest)  # the model has no more positions than `_longest`
        ids = np.zeros((len(texts), length), np.int32)  # (texts, length): the graph masks the padding
        for row, text in zip(ids, texts, strict=True):
            row[: len(text)] = text
        vectors: Floats = self._session.run(["vectors"], {"input_ids": ids, "lengths": lengths})[0]
        return vectors


def batches(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Yield the indices of texts that share a forward. They have similar lengths, so that there is little padding.

    Args:
        lengths: How many tokens each text has. Texts without tokens are left out.
    """
    batch: list[int] = []
    for index in sorted(range(len(lengths)), key=lengths.__getitem__, reverse=True):
        if not lengths[index]:
            break
        if batch and (len(batch) + 1) * _padded(lengths[batch[0]]) > BATCH_TOKENS:
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch


def _padded(length: int) -> int:
    """Return a length, rounded up to a multiple of `MULTIPLE`."""
    return -(-length // MULTIPLE) * MULTIPLE


def _tokenizer(path: Path) -> Any:
    from tokenizers import Tokenizer

    try:
        return Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises nothing narrower
        raise ModelCorrupt(f"the tokenizer in `{path.parent}` cannot be read: {error}") from error
