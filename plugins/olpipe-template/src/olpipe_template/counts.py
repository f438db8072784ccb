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
from olpipe.errors import ModelCorrupt
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
        self._tokens: list[int] = []
        self.capacity = capacity

    def prefill(self, prompt: Prompt, start: int) -> Logits:
        """Read a prompt from one of its tokens on."""
        return self.decode(prompt.tokens[start:])

    def decode(self, tokens: Sequence[int]) -> Logits:
        """Read tokens, and return how likely each is to come next: tokens that were read lately are likelier."""
        self._tokens += tokens
        ages = np.arange(len(self._tokens), dtype=np.float32)[::-1]
        lately = np.zeros(len(self._pairs), np.float32)  # (vocab_size,)
        np.add.at(lately, self._tokens, 0.98**ages)
        logits: Logits = self._pairs[self._tokens[-1]] + np.log1p(lately)
        return logits

    def rewind(self, length: int) -> None:
        """Forget everything behind the first tokens."""
        del self._tokens[length:]


def count(text: Path, package: Path, target: Path) -> None:
    """Count the pairs of tokens in a text, and write how likely each is."""
    vocabulary = Vocabulary.read(package)
    tokens = vocabulary.encode(vocabulary.quote(text.read_text(encoding="utf-8")))
    counts = np.full((vocabulary.size, vocabulary.size), UNSEEN, np.float32)
    np.add.at(counts, (tokens[:-1], tokens[1:]), 1)
    with target.open("wb") as file:
        np.savez(file, pairs=np.log(counts / counts.sum(axis=1, keepdims=True)))


def load(built: Path, bundle: ModelBundle, *, context_length: int) -> Runner:
    """Read what was counted. olpipe does the rest: sampling, schemas, stop texts, probabilities.

    Raises:
        ModelCorrupt: A file is missing or damaged.
    """
    try:
        pairs = np.load(built)["pairs"]
    except (OSError, ValueError, KeyError, BadZipFile) as error:
        raise ModelCorrupt(f"`{bundle.name}` cannot be loaded: {error}") from error
    vocabulary = Vocabulary.read(bundle.path)
    render = ChatRenderer(vocabulary, TemplateFiles.read(bundle.path), system=bundle.system)
    sequences = partial(CountsSequence, pairs)
    return LogitsRunner(vocabulary, sequences, render, context_length=context_length, markers=render.markers)
