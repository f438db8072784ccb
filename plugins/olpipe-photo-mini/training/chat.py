"""Pairs as the token ids that the runner makes of a conversation, and the decoder of an answer."""

from __future__ import annotations

from olpipe_photo_mini.source import SYSTEM

from olpipe.decoding.vocabulary import Vocabulary
from training.pairs import Pair


def encode(vocabulary: Vocabulary, pair: Pair) -> tuple[list[int], int]:
    """Return the ids of a whole conversation and the number of the answer's first."""
    prompt = vocabulary.encode(render(vocabulary.quote(pair.prompt)))
    answer = vocabulary.encode(vocabulary.quote(pair.answer))
    return [*prompt, *answer, *vocabulary.encode("<|im_end|>")], len(prompt)


def render(text: str) -> str:
    """Return what the model's chat template makes of a user's message, up to the answer."""
    return f"<|im_start|>system\n{SYSTEM}<|im_end|>\n<|im_start|>user\n{text}<|im_end|>\n<|im_start|>assistant\n"
