"""Turn pairs into token ids, as the runner does for a conversation and the decoder for an answer."""

from __future__ import annotations

from olpipe_photo_mini.source import SYSTEM

from olpipe.decoding.vocabulary import Vocabulary
from training.pairs import Pair


def encode(vocabulary: Vocabulary, pair: Pair) -> tuple[list[int], int]:
    """Return the token ids of a whole conversation, and the index of the answer's first token."""
    prompt = vocabulary.encode(render(vocabulary.quote(pair.prompt)))
    answer = vocabulary.encode(vocabulary.quote(pair.answer))
    return [*prompt, *answer, *vocabulary.encode("<|im_end|>")], len(prompt)


def render(text: str) -> str:
    """Return what the model's chat template makes from a user's message, up to the answer."""
    return f"<|im_start|>system\n{SYSTEM}<|im_end|>\n<|im_start|>user\n{text}<|im_end|>\n<|im_start|>assistant\n"
