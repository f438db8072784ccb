"""Make a Hugging Face `tokenizer.json` from the tokenizer in a GGUF file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from olpipe.convert.gguf import GGUFHeader, shown
from olpipe.errors import ModelCorrupt, ModelUnsupported

# The kinds of tokens, as GGUF numbers them.
_NORMAL, _UNKNOWN, _CONTROL, _USER_DEFINED, _UNUSED, _BYTE = 1, 2, 3, 4, 5, 6

_GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
_CONTRACTIONS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_WORDS = r"[^\r\n\p{L}\p{N}]?\p{L}+"
_REST = r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_LLAMA3 = rf"{_CONTRACTIONS}|{_WORDS}|\p{{N}}{{1,3}}|{_REST}"
_QWEN2 = rf"{_CONTRACTIONS}|{_WORDS}|\p{{N}}|{_REST}"

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
    "llama-bpe": (_LLAMA3,),
    "llama-v3": (_LLAMA3,),
    "llama3": (_LLAMA3,),
    "qwen2": (_QWEN2,),
    "smollm": (r"\p{N}", _GPT2),
}
_WHOLE_WORDS_FIRST = frozenset({"llama-bpe", "llama-v3", "llama3"})
"""Rules where a word that is a token is taken as a whole, and not merged from its parts."""

_BEGINS_BY_DEFAULT = _WHOLE_WORDS_FIRST
"""Rules where the begin token is put before a text unless the file says otherwise."""


@dataclass(frozen=True, slots=True)
class SpecialTokens:
    """The ids of tokens with a role; None where the file names no such token.

    Attributes:
        begin: The token that may be put before a text.
        ends: All tokens that end an answer, the file's own end token first.
        padding: The token that fills up shorter rows.
        add_begin: Whether `begin` is put before a text when it is tokenised.
    """

    begin: int | None
    ends: tuple[int, ...]
    padding: int | None
    add_begin: bool


@dataclass(frozen=True, slots=True)
class GGUFTokenizer:
    """The tokenizer of a GGUF file, checked.

    Attributes:
        tokens: The text of each token, in the order of their ids.
        kinds: The kind of each token, as GGUF numbers it.
        merges: The pairs of tokens to merge, the first ones first.
        pre_tokenizer: The name of the rule that cuts a text into words before tokens are merged.
        special: The tokens with a role.
        chat_template: A Jinja template; empty where there is none.
    """

    tokens: Sequence[str]
    kinds: Sequence[int]
    merges: Sequence[tuple[str, str]]
    pre_tokenizer: str
    special: SpecialTokens
    chat_template: str


def read_tokenizer(header: GGUFHeader) -> GGUFTokenizer:
    """Read and check the tokenizer of a GGUF file.

    Raises:
        ModelCorrupt: A part is missing, or two parts contradict each other.
        ModelUnsupported: The tokenizer is of a kind that cannot be converted.
    """
    # 1. The kind of tokenizer, and the rule that cuts texts.
    metadata = header.metadata
    model = metadata.get("tokenizer.ggml.model")
    if model != "gpt2":
        raise ModelUnsupported(
            f"`{header.path}` has a tokenizer of kind `{shown(str(model))}`, which cannot be converted",
            hint="use a model with a byte-level BPE tokenizer (`gpt2` in GGUF files)",
        )
    pre_tokenizer = metadata.get("tokenizer.ggml.pre", "default")
    if pre_tokenizer not in PRE_TOKENIZERS:
        raise ModelUnsupported(
            f"`{header.path}` cuts texts by the rule `{shown(str(pre_tokenizer))}`, which is not known",
            hint=f"known rules are {', '.join(PRE_TOKENIZERS)}",
        )
    # 2. The tokens, each with its kind.
    tokens = _texts(header, "tokenizer.ggml.tokens")
    kinds = metadata.get("tokenizer.ggml.token_type", (_NORMAL,) * len(tokens))
    if not isinstance(kinds, tuple) or len(kinds) != len(tokens):
        raise ModelCorrupt(f"`{header.path}` has {len(tokens)} tokens, but not as many token types")
    if len(set(tokens)) != len(tokens):
        raise ModelCorrupt(f"`{header.path}` has the same token twice")
    # 3. The chat template, the merges, and the tokens with a role.
    template = metadata.get("tokenizer.chat_template", "")
    if not isinstance(template, str):
        raise ModelCorrupt(f"`{header.path}` has a chat template that is not a text")
    merges = _merges(header, frozenset(tokens))
    return GGUFTokenizer(tokens, kinds, merges, pre_tokenizer, _special(header, tokens, pre_tokenizer), template)


def tokenizer_json(tokenizer: GGUFTokenizer) -> dict[str, Any]:
    """Return the content of `tokenizer.json`."""
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            _added(token_id, token, special=kind != _USER_DEFINED)
            for token_id, (token, kind) in enumerate(zip(tokenizer.tokens, tokenizer.kinds, strict=True))
            if kind in (_CONTROL, _USER_DEFINED, _UNKNOWN)
        ],
        "normalizer": None,
        "pre_tokenizer": _pre_tokenizer(PRE_TOKENIZERS[tokenizer.pre_tokenizer]),
        "post_processor": _post_processor(tokenizer),
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
            "vocab": {token: token_id for token_id, token in enumerate(tokenizer.tokens)},
            "merges": [list(pair) for pair in tokenizer.merges],
        },
    }


def tokenizer_config(tokenizer: GGUFTokenizer, context_length: int) -> dict[str, Any]:
    """Return the content of `tokenizer_config.json`, with the chat template in it."""
    special = tokenizer.special
    named = {"bos_token": special.begin, "eos_token": special.ends[0], "pad_token": special.padding}
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": context_length,
        "clean_up_tokenization_spaces": False,
        "add_bos_token": special.add_begin,
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


def _special(header: GGUFHeader, tokens: Sequence[str], pre_tokenizer: str) -> SpecialTokens:
    """Return the tokens with a role."""

    def token_id(role: str) -> int | None:
        value = header.metadata.get(f"tokenizer.ggml.{role}_token_id")
        if value is not None and (type(value) is not int or not 0 <= value < len(tokens)):
            raise ModelCorrupt(f"`{header.path}` has no token {shown(str(value))}, its `{role}` token")
        return value

    ends = dict.fromkeys(end for role in ("eos", "eot", "eom") if (end := token_id(role)) is not None)
    if not ends:
        raise ModelCorrupt(f"`{header.path}` does not say which token ends an answer")
    begin = token_id("bos")
    wanted = header.metadata.get("tokenizer.ggml.add_bos_token", pre_tokenizer in _BEGINS_BY_DEFAULT)
    return SpecialTokens(begin, tuple(ends), token_id("padding"), bool(wanted) and begin is not None)


def _added(token_id: int, content: str, *, special: bool) -> dict[str, Any]:
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    return {"id": token_id, "content": content, **flags, "special": special}


def _pre_tokenizer(expressions: Sequence[str]) -> dict[str, Any]:
    """Return the part of `tokenizer.json` that cuts a text into words and turns their bytes into characters."""
    splits = [
        {"type": "Split", "pattern": {"Regex": expression}, "behavior": "Isolated", "invert": False}
        for expression in expressions
    ]
    return {"type": "Sequence", "pretokenizers": [*splits, _BYTE_LEVEL | {"use_regex": False}]}


def _post_processor(tokenizer: GGUFTokenizer) -> dict[str, Any]:
    """Return the part of `tokenizer.json` that puts the begin token before a text, if it is to be put there."""
    begin = tokenizer.special.begin
    byte_level = _BYTE_LEVEL | {"use_regex": True}
    if begin is None or not tokenizer.special.add_begin:
        return byte_level
    token = tokenizer.tokens[begin]
    first: list[dict[str, Any]] = [{"SpecialToken": {"id": token, "type_id": 0}}]
    template = {
        "type": "TemplateProcessing",
        "single": [*first, {"Sequence": {"id": "A", "type_id": 0}}],
        "pair": [*first, {"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
        "special_tokens": {token: {"id": token, "ids": [begin], "tokens": [token]}},
    }
    return {"type": "Sequence", "processors": [byte_level, template]}
