"""Tiny text models of other architectures than llama."""

from __future__ import annotations

from olpipe.testing.vision import gemma3
from olpipe.testing.vision.content import Content
from olpipe.testing.vision.decoders import Decoder, text_model
from olpipe.testing.vision.tokens import Words

_HALF_HEAD = 8
"""How many rotary frequencies a head of 16 values has."""

_WORDS = Words(
    special=(),
    begin="<|endoftext|>",
    end="<|im_end|>",
    padding="<|endoftext|>",
    chat_template=(
        "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n"
        "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    ),
    pre_tokenizer="qwen2",
)
_MODELS: dict[str, tuple[Decoder, Words]] = {
    "qwen3": (
        Decoder("qwen3", layers=3, head_size=32, head_norms=True, metadata={"rope.freq_base": 1000000.0}),
        _WORDS,
    ),
    "gemma3_text": (gemma3.DECODER, gemma3.WORDS),
    "phi3": (
        Decoder(
            "phi3",
            layers=3,
            fused=True,
            metadata={
                "rope.freq_base": 10000.0,
                "rope.dimension_count": 16,
                "rope.scaling.original_context_length": 2048,
                "attention.sliding_window": 16,
            },
        ),
        _WORDS,
    ),
    # It was made for 256 tokens first, and for 2048 later.
    "phi3_long": (
        Decoder(
            "phi3",
            layers=3,
            fused=True,
            rotary_factors=(
                tuple(1.0 + 2.0 * number for number in range(_HALF_HEAD)),
                tuple(1.0 + 0.25 * number for number in range(_HALF_HEAD)),
            ),
            metadata={
                "rope.freq_base": 10000.0,
                "rope.dimension_count": 16,
                "rope.scaling.original_context_length": 256,
                "rope.scaling.attn_factor": (1 + 3 / 8) ** 0.5,  # 1 + ln(2048 / 256) / ln(256)
                "attention.sliding_window": 0,
            },
        ),
        _WORDS,
    ),
}

NAMES = tuple(_MODELS)


def content(name: str, seed: int) -> Content:
    """Return the file of a text model."""
    decoder, words = _MODELS[name]
    return text_model(decoder, words, seed)
