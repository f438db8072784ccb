"""The tokens of a GGUF file that have a role: those that begin a text, end an answer, or fill up a row."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from olpipe.convert.gguf import GGUFHeader, shown
from olpipe.errors import ModelCorrupt


class TokenKind(IntEnum):
    """The kinds of tokens, as GGUF numbers them."""

    NORMAL = 1
    UNKNOWN = 2
    CONTROL = 3
    USER_DEFINED = 4
    UNUSED = 5
    BYTE = 6


# Many files name only one end token, and often the wrong one: Gemma 3 names `<eos>`, but ends its turns with
# `<end_of_turn>`. So a control token that is spelled like one of these ends an answer, too.
# Source: https://github.com/ggml-org/llama.cpp/blob/master/src/llama-vocab.cpp, `special_eog_ids`
END_SPELLINGS: tuple[str, ...] = (
    "</s>",  # Llama 2, LLaVA 1.5, Mistral
    "<eos>",  # Gemma
    "<end_of_turn>",  # Gemma 2 and 3
    "<|endoftext|>",  # GPT-2, Qwen, SmolLM, Phi
    "<|im_end|>",  # ChatML: Qwen, SmolLM
    "<|end|>",  # Phi-3, Phi-4
    "<|end_of_text|>",  # Llama 3, Granite
    "<|eot_id|>",  # Llama 3
    "<|eom_id|>",  # Llama 3
    "<end_of_utterance>",  # SmolVLM, Idefics, Granite Docling
    "<｜end▁of▁sentence｜>",  # DeepSeek
    "<EOT>",  # CodeLlama
    "_<EOT>",
    "[EOS]",  # Kimi K2
    "[EOT]",
    "<|return|>",  # gpt-oss
    "<|call|>",
)

_END_OF_A_PART = ("<|end|>", frozenset({"<|return|>", "<|call|>"}))
"""A spelling that ends only a part of an answer where the other control tokens are there, too, as in gpt-oss."""


@dataclass(frozen=True, slots=True)
class SpecialTokens:
    """The ids of tokens with a role; None where the file names no such token.

    Attributes:
        begin: The token that may be put before a text.
        ends: All tokens that end an answer, the file's own end token first.
        padding: The token that fills up shorter rows.
        add_begin: Whether `begin` is put before a text when it is tokenised.
        unknown: The token for what has no token.
        add_end: Whether the first of `ends` is put behind a text when it is tokenised.
    """

    begin: int | None
    ends: tuple[int, ...]
    padding: int | None
    add_begin: bool
    unknown: int | None = None
    add_end: bool = False


def read_special_tokens(
    header: GGUFHeader, tokens: Sequence[str], kinds: Sequence[int], *, defaults: Mapping[str, int], add_begin: bool
) -> SpecialTokens:
    """Read and check the tokens with a role.

    Args:
        header: What the file says.
        tokens: The text of each token, in the order of their ids.
        kinds: The kind of each token.
        defaults: The ids of roles that the file does not name, by their names in GGUF: `bos`, `eos`, …
        add_begin: Whether the begin token is put before a text where the file does not say it.

    Raises:
        ModelCorrupt: The file names a token that there is not, or no token that ends an answer.
    """
    # 1. The tokens that the file names.
    metadata = header.metadata
    named = {role: _named(header, role, len(tokens)) for role in ("bos", "eos", "eot", "eom", "padding", "unknown")}
    for role, token in defaults.items():
        if named[role] is None and token < len(tokens):
            named[role] = token
    # 2. All tokens that end an answer, without those that are there twice.
    found = (named["eos"], *_more_ends(header, len(tokens)), named["eot"], named["eom"], *_spelled_ends(tokens, kinds))
    ends = tuple(dict.fromkeys(end for end in found if end is not None))
    if not ends:
        raise ModelCorrupt(f"`{header.path}` does not say which token ends an answer")
    # 3. What is put around a text.
    begin = named["bos"]
    return SpecialTokens(
        begin,
        ends,
        named["padding"],
        add_begin=bool(metadata.get("tokenizer.ggml.add_bos_token", add_begin)) and begin is not None,
        unknown=named["unknown"],
        add_end=bool(metadata.get("tokenizer.ggml.add_eos_token", False)),
    )


def _named(header: GGUFHeader, role: str, size: int) -> int | None:
    """Return the id of the token with a role, or None where the file names none."""
    value = header.metadata.get(f"tokenizer.ggml.{role}_token_id")
    return None if value is None else _checked(header, role, value, size)


def _more_ends(header: GGUFHeader, size: int) -> Iterator[int]:
    """Yield the end tokens of a list that only Ollama writes."""
    values = header.metadata.get("tokenizer.ggml.eos_token_ids", ())
    for value in values if isinstance(values, tuple) else (values,):
        yield _checked(header, "eos", value, size)


def _checked(header: GGUFHeader, role: str, value: Any, size: int) -> int:
    if type(value) is not int or not 0 <= value < size:
        raise ModelCorrupt(f"`{header.path}` has no token {shown(str(value))}, its `{role}` token")
    return value


def _spelled_ends(tokens: Sequence[str], kinds: Sequence[int]) -> list[int]:
    """Return the control tokens that end an answer by their spelling, in the order of their ids."""
    control = {token: place for place, token in enumerate(tokens) if kinds[place] == TokenKind.CONTROL}
    spelling, others = _END_OF_A_PART
    left_out = {spelling} if others <= control.keys() else set()
    return sorted(control[end] for end in END_SPELLINGS if end in control and end not in left_out)
