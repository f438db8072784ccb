"""Make a Hugging Face `tokenizer.json` from the tokenizer in a GGUF file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from olpipe.convert.gguf import GGUFHeader, shown
from olpipe.convert.sentencepiece import (
    DEFAULT_ROLES,
    SentencePiece,
    as_llama_cpp_writes,
    parts,
    read_sentencepiece,
)
from olpipe.convert.special_tokens import SpecialTokens, TokenKind, read_special_tokens
from olpipe.errors import ModelCorrupt, ModelUnsupported

__all__ = [
    "PRE_TOKENIZERS",
    "GGUFTokenizer",
    "SpecialTokens",
    "read_tokenizer",
    "tokenizer_config",
    "tokenizer_json",
]

_GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
_CONTRACTIONS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_WORDS = r"[^\r\n\p{L}\p{N}]?\p{L}+"
_REST = r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_LLAMA3 = rf"{_CONTRACTIONS}|{_WORDS}|\p{{N}}{{1,3}}|{_REST}"
_QWEN2 = rf"{_CONTRACTIONS}|{_WORDS}|\p{{N}}|{_REST}"
_QWEN35 = (
    rf"{_CONTRACTIONS}|[^\r\n\p{{L}}\p{{N}}]?[\p{{L}}\p{{M}}]+|\p{{N}}"
    r"| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)

# These rules cut a word between a small letter and a capital letter: `fooBar` is `foo` and `Bar`. Words that end with
# small letters are looked for first, then words that begin with capital letters.
_CAPITALS, _SMALL = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
_ENDS_SMALL, _BEGINS_LARGE = (
    rf"[^\r\n\p{{L}}\p{{N}}]?{letters}" for letters in (f"{_CAPITALS}*{_SMALL}+", f"{_CAPITALS}+{_SMALL}*")
)
_REST_WITH_SLASHES = r" ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_TEKKEN = rf"{_ENDS_SMALL}|{_BEGINS_LARGE}|\p{{N}}|{_REST_WITH_SLASHES}"
_GPT4O = rf"{_ENDS_SMALL}{_CONTRACTIONS}?|{_BEGINS_LARGE}{_CONTRACTIONS}?|\p{{N}}{{1,3}}|{_REST_WITH_SLASHES}"

# For each rule (`tokenizer.ggml.pre`), the expressions that cut a text into words before tokens are merged. They are
# applied one after the other.
# Source: https://github.com/ggml-org/llama.cpp/blob/master/src/llama-vocab.cpp, `llm_tokenizer_bpe`
PRE_TOKENIZERS: dict[str, tuple[str, ...]] = {
    "default": (
        r"[\p{P}\$\+<=>\^~\|]+",
        r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)",
        r"\p{N}+",
        r"[0-9][0-9][0-9]",
    ),
    "gpt-2": (_GPT2,),
    "gpt-4o": (_GPT4O,),
    "granite-docling": (_GPT2,),
    "lfm2": (_LLAMA3,),
    "llama-bpe": (_LLAMA3,),
    "llama-v3": (_LLAMA3,),
    "llama3": (_LLAMA3,),
    "llama4": (_GPT4O,),
    "pixtral": (_LLAMA3,),
    "qwen2": (_QWEN2,),
    "qwen35": (_QWEN35,),
    "smollm": (r"\p{N}", _GPT2),
    "tekken": (_TEKKEN,),
}
_WHOLE_WORDS_FIRST = frozenset({"lfm2", "llama-bpe", "llama-v3", "llama3", "pixtral", "tekken"})
"""Rules where a word that is a token is taken as a whole, and not merged from its parts."""

_BEGINS_BY_DEFAULT = _WHOLE_WORDS_FIRST
"""Rules where the begin token is put before a text unless the file says otherwise."""


@dataclass(frozen=True, slots=True)
class GGUFTokenizer:
    """The tokenizer of a GGUF file, checked.

    Attributes:
        tokens: The text of each token, in the order of their ids.
        kinds: The kind of each token, as GGUF numbers it.
        merges: The pairs of tokens to merge, the first ones first. None with SentencePiece, which has scores.
        pre_tokenizer: The name of the rule that cuts a text into words before tokens are merged. SentencePiece has no
            such rule.
        special: The tokens with a role.
        chat_template: A Jinja template; empty where there is none.
        sentencepiece: What only a SentencePiece vocabulary has; None for byte-level BPE.
    """

    tokens: Sequence[str]
    kinds: Sequence[int]
    merges: Sequence[tuple[str, str]]
    pre_tokenizer: str
    special: SpecialTokens
    chat_template: str
    sentencepiece: SentencePiece | None = None

    def cut(self, size: int) -> GGUFTokenizer:
        """Return the same without the tokens from an id on. No merge and no role may need them."""
        if len(self.tokens) <= size:
            return self
        scores = self.sentencepiece and replace(self.sentencepiece, scores=self.sentencepiece.scores[:size])
        return replace(self, tokens=self.tokens[:size], kinds=self.kinds[:size], sentencepiece=scores)


def read_tokenizer(header: GGUFHeader) -> GGUFTokenizer:
    """Read and check the tokenizer of a GGUF file.

    Raises:
        ModelCorrupt: A part is missing, or two parts contradict each other.
        ModelUnsupported: The tokenizer is of a kind that cannot be converted.
    """
    # 1. The kind of tokenizer.
    model = header.metadata.get("tokenizer.ggml.model")
    if model not in ("gpt2", "llama"):
        raise ModelUnsupported(
            f"`{header.path}` has a tokenizer of kind `{shown(str(model))}`, which cannot be converted",
            hint="use a model with a tokenizer of kind `gpt2` (byte-level BPE) or `llama` (SentencePiece BPE)",
        )
    # 2. The tokens, each with its kind.
    tokens = _texts(header, "tokenizer.ggml.tokens")
    kinds = header.metadata.get("tokenizer.ggml.token_type", (TokenKind.NORMAL,) * len(tokens))
    if not isinstance(kinds, tuple) or len(kinds) != len(tokens):
        raise ModelCorrupt(f"`{header.path}` has {len(tokens)} tokens, but not as many token types")
    if len(set(tokens)) != len(tokens):
        raise ModelCorrupt(f"`{header.path}` has the same token twice")
    # 3. The chat template, and how texts are cut and tokens are merged.
    template = header.metadata.get("tokenizer.chat_template", "")
    if not isinstance(template, str):
        raise ModelCorrupt(f"`{header.path}` has a chat template that is not a text")
    read = _read_sentencepiece if model == "llama" else _read_byte_level
    return read(header, tokens, kinds, template)


def _read_byte_level(
    header: GGUFHeader, tokens: tuple[str, ...], kinds: tuple[int, ...], template: str
) -> GGUFTokenizer:
    """Return a tokenizer with merges and with a rule that cuts texts."""
    rule = header.metadata.get("tokenizer.ggml.pre", "default")
    if rule not in PRE_TOKENIZERS:
        raise ModelUnsupported(
            f"`{header.path}` cuts texts by the rule `{shown(str(rule))}`, which is not known",
            hint=f"known rules are {', '.join(PRE_TOKENIZERS)}",
        )
    merges = _merges(header, frozenset(tokens))
    special = read_special_tokens(header, tokens, kinds, defaults={}, add_begin=rule in _BEGINS_BY_DEFAULT)
    return GGUFTokenizer(tokens, kinds, merges, rule, special, template)


def _read_sentencepiece(
    header: GGUFHeader, tokens: tuple[str, ...], kinds: tuple[int, ...], template: str
) -> GGUFTokenizer:
    """Return a tokenizer with scores. Some files have merges, too, which say the same."""
    tokens, kinds = as_llama_cpp_writes(tokens, kinds)
    rules = read_sentencepiece(header, tokens, kinds)
    special = read_special_tokens(header, tokens, kinds, defaults=DEFAULT_ROLES, add_begin=True)
    return GGUFTokenizer(tokens, kinds, (), "", special, template, rules)


def tokenizer_json(tokenizer: GGUFTokenizer) -> dict[str, Any]:
    """Return the content of `tokenizer.json`."""
    rules = tokenizer.sentencepiece
    takes_blanks = frozenset[int]() if rules is None else rules.takes_blanks
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            _added(place, token, special=kind != TokenKind.USER_DEFINED, takes_blanks=place in takes_blanks)
            for place, (token, kind) in enumerate(zip(tokenizer.tokens, tokenizer.kinds, strict=True))
            if kind in (TokenKind.CONTROL, TokenKind.USER_DEFINED, TokenKind.UNKNOWN)
        ],
        **(
            _byte_level_parts(tokenizer)
            if rules is None
            else parts(tokenizer.tokens, tokenizer.kinds, rules, unknown=tokenizer.special.unknown)
        ),
        "post_processor": _post_processor(tokenizer),
    }


def tokenizer_config(tokenizer: GGUFTokenizer, context_length: int) -> dict[str, Any]:
    """Return the content of `tokenizer_config.json`, with the chat template in it."""
    special = tokenizer.special
    named = {"bos_token": special.begin, "eos_token": special.ends[0], "pad_token": special.padding}
    if tokenizer.sentencepiece:  # byte-level BPE knows every text
        named["unk_token"] = special.unknown
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": context_length,
        "clean_up_tokenization_spaces": False,
        "add_bos_token": special.add_begin,
        "add_eos_token": special.add_end,
        **{name: tokenizer.tokens[token_id] for name, token_id in named.items() if token_id is not None},
        **({"chat_template": tokenizer.chat_template} if tokenizer.chat_template else {}),
    }


_BYTE_LEVEL: dict[str, Any] = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True}


def _texts(header: GGUFHeader, key: str) -> tuple[str, ...]:
    """Return a list of texts from the metadata. All items of a list have the same type, so the first one tells it."""
    value = header.metadata.get(key)
    if not isinstance(value, tuple) or not value or not isinstance(value[0], str):
        raise ModelCorrupt(f"`{header.path}` has no list of texts `{key}`")
    return value


def _merges(header: GGUFHeader, tokens: frozenset[str]) -> list[tuple[str, str]]:
    """Return the pairs to merge. Both parts and the merged text must be tokens."""
    merges = []
    for line in _texts(header, "tokenizer.ggml.merges"):
        left, _, right = line.partition(" ")
        if left not in tokens or right not in tokens or left + right not in tokens:
            raise ModelCorrupt(f"`{header.path}` merges `{shown(line)}`, which its vocabulary does not have")
        merges.append((left, right))
    return merges


def _added(place: int, content: str, *, special: bool, takes_blanks: bool) -> dict[str, Any]:
    flags = {"single_word": False, "lstrip": False, "rstrip": takes_blanks, "normalized": False}
    return {"id": place, "content": content, **flags, "special": special}


def _byte_level_parts(tokenizer: GGUFTokenizer) -> dict[str, Any]:
    """Return the parts of `tokenizer.json` that cut texts, merge tokens, and join them again."""
    return {
        "normalizer": None,
        "pre_tokenizer": _pre_tokenizer(PRE_TOKENIZERS[tokenizer.pre_tokenizer]),
        "decoder": _BYTE_LEVEL | {"use_regex": True},
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": tokenizer.pre_tokenizer in _WHOLE_WORDS_FIRST,
            "vocab": {token: place for place, token in enumerate(tokenizer.tokens)},
            "merges": [list(pair) for pair in tokenizer.merges],
        },
    }


def _pre_tokenizer(expressions: Sequence[str]) -> dict[str, Any]:
    """Return the part of `tokenizer.json` that cuts a text into words and turns their bytes into characters."""
    splits = [
        {"type": "Split", "pattern": {"Regex": expression}, "behavior": "Isolated", "invert": False}
        for expression in expressions
    ]
    return {"type": "Sequence", "pretokenizers": [*splits, _BYTE_LEVEL | {"use_regex": False}]}


def _post_processor(tokenizer: GGUFTokenizer) -> dict[str, Any] | None:
    """Return the part of `tokenizer.json` that puts tokens around a text, where the file wants them."""
    special = tokenizer.special
    first = special.begin if special.add_begin else None
    last = special.ends[0] if special.add_end else None
    around = {place: tokenizer.tokens[place] for place in (first, last) if place is not None}
    byte_level = None if tokenizer.sentencepiece else _BYTE_LEVEL | {"use_regex": True}
    if not around:
        return byte_level

    def one(place: int | None) -> list[dict[str, Any]]:
        return [] if place is None else [{"SpecialToken": {"id": around[place], "type_id": 0}}]

    text, other = ({"Sequence": {"id": name, "type_id": number}} for number, name in enumerate("AB"))
    template = {
        "type": "TemplateProcessing",
        "single": [*one(first), text, *one(last)],
        "pair": [*one(first), text, other, *one(last)],
        "special_tokens": {token: {"id": token, "ids": [place], "tokens": [token]} for place, token in around.items()},
    }
    return template if byte_level is None else {"type": "Sequence", "processors": [byte_level, template]}
