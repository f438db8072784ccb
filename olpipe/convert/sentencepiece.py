"""Turn a SentencePiece BPE vocabulary (`llama` in GGUF files) into the parts of a Hugging Face `tokenizer.json`.

SentencePiece cuts a text into characters, and then joins the two neighbours whose joined text is the token with the
highest score, again and again. It has no list of merges, so this module makes one from the scores. A space is written
as `▁`. A character that is no token becomes the tokens of its bytes in UTF-8, such as `<0x0A>`.
Source: https://github.com/ggml-org/llama.cpp/blob/master/src/llama-vocab.cpp, `llm_tokenizer_spm_session`
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from olpipe.convert.gguf import GGUFHeader, shown
from olpipe.convert.special_tokens import TokenKind
from olpipe.errors import ModelCorrupt, ModelUnsupported

DEFAULT_ROLES: Mapping[str, int] = {"unknown": 0, "bos": 1, "eos": 2}
"""The ids of tokens with a role where a file does not name them."""

_SPACE = "▁"
_MARK = re.compile(r"<[^<>]+>|\[[^\[\]]+\]")  # how an added token looks, such as `<start_of_image>` or `[INST]`
_LOOKS_LIKE_A_BYTE = "<0x"
_BYTES = tuple(f"<0x{byte:02X}>" for byte in range(256))
_NOT_JOINED = frozenset({TokenKind.UNKNOWN, TokenKind.CONTROL, TokenKind.USER_DEFINED, TokenKind.BYTE})

# In Phi-3, a special token takes the white space behind it, save for these.
# Source: https://huggingface.co/microsoft/Phi-3-mini-4k-instruct/blob/main/tokenizer.json, `added_tokens`
_KEEPS_BLANKS = frozenset({"<unk>", "<s>", "<|endoftext|>"})


@dataclass(frozen=True, slots=True)
class SentencePiece:
    """What a SentencePiece vocabulary has beside its tokens and their kinds.

    Attributes:
        scores: The score of each token. Higher scores are joined first.
        space_prefix: Whether a space is put before a text, and before a text behind a special token.
        takes_blanks: The ids of special tokens that take the white space behind them.
    """

    scores: Sequence[float]
    space_prefix: bool
    takes_blanks: frozenset[int] = frozenset()


def read_sentencepiece(header: GGUFHeader, tokens: Sequence[str], kinds: Sequence[int]) -> SentencePiece:
    """Read and check what a SentencePiece vocabulary has beside its tokens.

    Raises:
        ModelCorrupt: The scores are missing or are not numbers.
        ModelUnsupported: Some text cannot be written in this vocabulary, or the grammar engine cannot read it.
    """
    # 1. Each token has a score.
    scores = header.metadata.get("tokenizer.ggml.scores", ())
    if not isinstance(scores, tuple) or len(scores) != len(tokens):
        raise ModelCorrupt(f"`{header.path}` has {len(tokens)} tokens, but not as many scores")
    if not all(isinstance(score, int | float) and not math.isnan(score) for score in scores):
        raise ModelCorrupt(f"`{header.path}` has a score that is not a number")
    # 2. Each byte has a token. No other token that may stand in a text looks like one.
    known = frozenset(tokens)
    missing = next((byte for byte in _BYTES if byte not in known), None)
    if missing:
        raise ModelUnsupported(f"`{header.path}` has no token `{missing}`, so it cannot write every text")
    strange = next((one for one in tokens if one.startswith(_LOOKS_LIKE_A_BYTE) and one not in _BYTES), None)
    if strange:
        raise ModelUnsupported(f"`{header.path}` has the token `{shown(strange)}`, which is not a byte")
    # 3. Gemma takes texts as they are. Files that Ollama has made do not say so.
    prefix = header.metadata.get("tokenizer.ggml.add_space_prefix", not header.architecture.startswith("gemma"))
    takes = frozenset[int]()
    if header.architecture == "phi3":
        special = (place for place, kind in enumerate(kinds) if kind == TokenKind.CONTROL)
        takes = frozenset(place for place in special if tokens[place] not in _KEEPS_BLANKS)
    return SentencePiece(scores, bool(prefix), takes)


def as_llama_cpp_writes(tokens: Sequence[str], kinds: Sequence[int]) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Return the tokens and their kinds as the converter of llama.cpp would have written them.

    Ollama's converter writes user-defined tokens as normal ones. A mark such as `<table>` that cannot be joined from
    two tokens would never come out of a text, so it must have been user-defined. Other converters leave user-defined
    runs of spaces as runs of `▁`, which no text contains.
    """
    known = frozenset(tokens)

    def is_mark(token: str) -> bool:
        return _MARK.fullmatch(token) is not None and not _splits(token, known)

    def is_run(token: str) -> bool:
        return not token.strip(_SPACE) and token.replace(_SPACE, " ") not in known

    numbers = tuple(
        TokenKind.USER_DEFINED if kind == TokenKind.NORMAL and is_mark(token) else kind
        for token, kind in zip(tokens, kinds, strict=True)
    )
    written = tuple(
        token.replace(_SPACE, " ") if kind == TokenKind.USER_DEFINED and is_run(token) else token
        for token, kind in zip(tokens, numbers, strict=True)
    )
    return written, numbers


def merges_of_scores(tokens: Sequence[str], kinds: Sequence[int], scores: Sequence[float]) -> list[tuple[str, str]]:
    """Return the pairs to merge, the first ones first.

    Two tokens merge where their joined text is a token. The pairs of the token with the highest score come first. Where
    scores are equal, SentencePiece joins the leftmost pair of a text, which no list of merges can say. There the longer
    token comes first, then the token with the lower id. So a run of spaces still becomes the longest token at the left.
    Among the pairs of one token, the pair with the longer left part comes first.
    """
    joined = {token for place, token in enumerate(tokens) if kinds[place] not in _NOT_JOINED}
    ranked = sorted(
        (place for place, token in enumerate(tokens) if len(token) > 1 and token in joined),
        key=lambda place: (-scores[place], -len(tokens[place]), place),
    )
    return [pair for place in ranked for pair in _splits(tokens[place], joined)]


def parts(tokens: Sequence[str], kinds: Sequence[int], rules: SentencePiece, *, unknown: int | None) -> dict[str, Any]:
    """Return the parts `normalizer`, `pre_tokenizer`, `decoder` and `model` of a `tokenizer.json`."""
    prefix = [{"type": "Prepend", "prepend": _SPACE}] if rules.space_prefix else []
    spaces = {"type": "Replace", "pattern": {"String": " "}, "content": _SPACE}
    stripped = [{"type": "Strip", "content": " ", "start": 1, "stop": 0}] if rules.space_prefix else []
    return {
        "normalizer": {"type": "Sequence", "normalizers": [*prefix, spaces]},
        "pre_tokenizer": None,
        "decoder": {
            "type": "Sequence",
            "decoders": [
                {"type": "Replace", "pattern": {"String": _SPACE}, "content": " "},
                {"type": "ByteFallback"},
                {"type": "Fuse"},
                *stripped,
            ],
        },
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None if unknown is None else tokens[unknown],
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": True,
            "byte_fallback": True,
            "ignore_merges": False,
            "vocab": {token: place for place, token in enumerate(tokens)},
            "merges": merges_of_scores(tokens, kinds, rules.scores),
        },
    }


def _splits(token: str, known: set[str] | frozenset[str]) -> list[tuple[str, str]]:
    """Return the pairs of tokens whose joined text is a token, the longest left part first."""
    cuts = range(len(token) - 1, 0, -1)
    return [(token[:cut], token[cut:]) for cut in cuts if token[:cut] in known and token[cut:] in known]
