"""A language model that has counted which token follows which in a text. Numpy is all that it runs on.

Imported only when a model of the backend `counts` is built or loaded.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from olpipe.decoding.logits_runner import LogitsRunner
from olpipe.decoding.model_sequence import Logits
from olpipe.decoding.prompt import Prompt
from olpipe.decoding.vocabulary import Vocabulary
from olpipe.embedding import Embeddings, EmbedRequest
from olpipe.errors import ContextExceeded, ModelCorrupt, UsageError
from olpipe.families.chat_template import TemplateFiles
from olpipe.families.rendering import ChatRenderer
from olpipe.interfaces import Runner
from olpipe.model import ModelBundle

UNSEEN = 0.1
"""What counts for a pair of tokens that the text does not have."""


class CountsSequence:
    """One sequence of tokens, which is its whole state."""

    def __init__(self, pairs: Logits, capacity: int) -> None:
        self._pairs = pairs  # (vocab_size, vocab_size): how likely each token is behind each
        self.tokens: list[int] = []
        self.capacity = capacity

    def prefill(self, prompt: Prompt, start: int) -> Logits:
        """Read a prompt from one of its tokens on."""
        return self.decode(prompt.tokens[start:])

    def decode(self, tokens: Sequence[int]) -> Logits:
        """Read tokens, and return how likely each is to come next."""
        return forward(self._pairs, [(self, tokens)])[0]

    def rewind(self, length: int) -> None:
        """Forget everything behind the first tokens."""
        del self.tokens[length:]


def forward(pairs: Logits, rows: Sequence[tuple[CountsSequence, Sequence[int]]]) -> Sequence[Logits]:
    """Read the next tokens of each sequence. Returns the logits after each, (rows, vocab_size).

    A token is likelier where it often comes after the last one, and where it was read lately.
    """
    lately = np.zeros((len(rows), len(pairs)), np.float32)  # (rows, vocab_size)
    for row, (sequence, tokens) in enumerate(rows):
        sequence.tokens += tokens
        ages = np.arange(len(sequence.tokens), dtype=np.float32)[::-1]
        np.add.at(lately[row], sequence.tokens, 0.98**ages)
    last = [sequence.tokens[-1] for sequence, _ in rows]
    return list(pairs[last] + np.log1p(lately))


def count(text: Path, package: Path, target: Path) -> None:
    """Count the pairs of tokens in a text, and write how likely each is."""
    vocabulary = Vocabulary.read(package)
    tokens = vocabulary.encode(vocabulary.quote(text.read_text(encoding="utf-8")))
    counts = np.full((vocabulary.size, vocabulary.size), UNSEEN, np.float32)
    np.add.at(counts, (tokens[:-1], tokens[1:]), 1)
    with target.open("wb") as file:
        np.savez(file, pairs=np.log(counts / counts.sum(axis=1, keepdims=True)))


def embed(pairs: Logits, vocabulary: Vocabulary, request: EmbedRequest, *, context_length: int) -> Embeddings:
    """Return a vector for each text: how often each token comes after the tokens of the text.

    Raises:
        ContextExceeded: A text is too long, and the request does not allow cutting it.
        UsageError: The request asks for more dimensions than there are tokens.
    """
    texts = [vocabulary.encode(vocabulary.quote(text)) for text in request.texts]
    if not request.truncate and max(map(len, texts), default=0) > context_length:
        raise ContextExceeded(f"a text has more than the {context_length} tokens that `{request.model}` holds")
    if request.dimensions is not None and not 0 < request.dimensions <= len(pairs):
        raise UsageError(f"`{request.model}` has {len(pairs)} dimensions, not {request.dimensions}")
    texts = [tokens[:context_length] for tokens in texts]
    sums = [np.exp(pairs[tokens]).sum(axis=0) for tokens in texts]
    vectors = np.array(sums, np.float32).reshape(len(texts), len(pairs))  # (texts, vocab_size)
    vectors = vectors[:, : request.dimensions]
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors = np.divide(vectors, lengths, out=np.zeros_like(vectors), where=lengths > 0)  # zeros for an empty text
    return Embeddings(vectors, sum(map(len, texts)))


def read(built: Path, bundle: ModelBundle) -> Logits:
    """Read what was counted, (vocab_size, vocab_size).

    Raises:
        ModelCorrupt: The file is missing or damaged.
    """
    try:
        pairs: Logits = np.load(built)["pairs"]
    except (OSError, ValueError, KeyError, BadZipFile) as error:
        raise ModelCorrupt(f"`{bundle.name}` cannot be loaded: {error}") from error
    return pairs


def load(built: Path, bundle: ModelBundle, *, context_length: int) -> Runner:
    """Load what was counted. olpipe does the rest: sampling, schemas, stop texts, probabilities.

    Raises:
        ModelCorrupt: A file is missing or damaged.
    """
    pairs = read(built, bundle)
    vocabulary = Vocabulary.read(bundle.path)
    render = ChatRenderer(vocabulary, TemplateFiles.read(bundle.path), system=bundle.system)
    return LogitsRunner(
        vocabulary,
        partial(CountsSequence, pairs),
        render,
        context_length=context_length,
        markers=render.markers,
        embed=partial(embed, pairs, vocabulary, context_length=context_length),
    )
