"""A model's tokens: their ids, their bytes, and their texts. All requests of a model share one vocabulary."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Sequence
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import Any, Self

import llguidance

from olpipe.errors import ModelCorrupt, ModelUnsupported

STRUCTURE = '"]},:[{'
"""The characters of JSON's own structure."""

# Common characters, one of each kind first: a pattern that takes one digit mostly takes any, and 1111-11-11 is a date.
FILLERS = "1aA-.@:/ _+,0tfnTZWDMYHSPbcdeghijklmopqrsuvwxyzBCEFGIJKLNOQRUVX23456789"

# Marks a place in a text. Unicode reserves it for a program's own use, so no text from elsewhere should contain it.
_QUOTE = "\ufdd0"


class Vocabulary:
    """The tokens of one model.

    Attributes:
        size: How many logits the model gives. It may be more than the tokenizer has tokens, because of padding.
        end_tokens: The ids of tokens that end an answer.
        tokenizer: The tokens as the grammar engine takes them.
    """

    def __init__(self, tokenizer_json: str, *, size: int, end_tokens: Sequence[int]) -> None:
        """Read a tokenizer.

        Args:
            tokenizer_json: The text of a `tokenizer.json`.
            size: How many logits the model gives.
            end_tokens: The ids of tokens that end an answer.

        Raises:
            ModelUnsupported: The grammar engine cannot tokenise as this tokenizer does.
        """
        # 1. The added tokens, which have a spelling of their own. Most are special: they mark turns, images and so on.
        self.size = size
        self.end_tokens = frozenset(end_tokens)
        content = json.loads(tokenizer_json)
        added = content.get("added_tokens", ())
        self._spelling_of: dict[int, str] = {token["id"]: token["content"] for token in added}
        # The grammar engine takes every `<…>` for a special token. Some are text: Gemma has `<table>` and other HTML
        # tags.
        self._plain = frozenset(token["id"] for token in added if not token.get("special", True))
        # 2. The spellings that `quote` must look for. Gemma has tokens of white space only, which cannot end a turn.
        spellings = sorted((one for one in self._spelling_of.values() if one.strip()), key=len, reverse=True)
        self._special = re.compile("|".join(map(re.escape, spellings)) or "(?!)")
        self._beginnings = frozenset(one[:size] for one in spellings for size in range(1, len(one)))
        self._longest_beginning = max(map(len, self._beginnings), default=0)
        # 3. What the tokenizer puts before a text. The grammar engine leaves it out, because it goes on with texts.
        self._prefix = _prefix(content.get("normalizer"))
        self._cuts = _cuts(added)
        # 4. The grammar engine's tokenizer.
        self.tokenizer: Any = llguidance.LLTokenizer(
            tokenizer_json, n_vocab=size, eos_token=list(end_tokens), slices=llguidance.LLTokenizer.json_slices()
        )
        if not self.tokenizer.is_canonical:
            raise ModelUnsupported(
                "the grammar engine cannot reproduce the model's tokenizer",
                hint="convert the model again from its source",
            )

    @classmethod
    def read(cls, package: Path, *, size: int | None = None, end_tokens: Sequence[int] | None = None) -> Self:
        """Read `tokenizer.json` and `tokenizer_config.json`, as model makers write them.

        Args:
            package: The folder with the files.
            size: How many logits the model gives; None takes as many as the tokenizer has tokens.
            end_tokens: The ids of tokens that end an answer; None takes the `eos_token` of the configuration.

        Raises:
            ModelCorrupt: A file is missing or damaged.
            ModelUnsupported: The grammar engine cannot tokenise as this tokenizer does.
        """
        try:
            text = (package / "tokenizer.json").read_text(encoding="utf-8")
            tokenizer = json.loads(text)
            known = {**tokenizer["model"]["vocab"], **{one["content"]: one["id"] for one in tokenizer["added_tokens"]}}
            if end_tokens is None:
                config = json.loads((package / "tokenizer_config.json").read_text(encoding="utf-8"))
                named = config["eos_token"]
                end_tokens = [known[named["content"] if isinstance(named, dict) else named]]
            return cls(text, size=max(known.values()) + 1 if size is None else size, end_tokens=end_tokens)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            reason = f"`{error.args[0]}` is missing" if isinstance(error, KeyError) else error
            raise ModelCorrupt(f"the tokenizer in `{package}` cannot be read: {reason}") from error

    def encode(self, text: str) -> list[int]:
        """Return the tokens of a prompt, or of a part of one that stands between the places of images.

        The spelling of a special token becomes that token, unless `quote` marked it. Some models were trained with a
        space before each text: at the beginning, and behind each special token. Then it is put there.
        """
        if self._prefix:
            pieces = self._cuts.split(text)  # texts and special tokens, by turns
            pieces[::2] = map(self._begun, pieces[::2])
            text = "".join(pieces)
        return [token for piece in text.split(_QUOTE) for token in self.tokenizer.tokenize_str(piece)]

    def going_on(self, text: str) -> list[int]:
        """Return the tokens of a text that goes on with another one: nothing is put before it.

        The spelling of a special token becomes that token.
        """
        tokens: list[int] = self.tokenizer.tokenize_str(text)
        return tokens

    def plain(self, data: bytes) -> list[int]:
        """Return the tokens of a text that goes on with another one, without special tokens.

        Args:
            data: The text. Bytes at its end that are no whole character are left out.
        """
        pieces = self.quote(data.decode(errors="ignore")).split(_QUOTE)
        return [token for piece in pieces for token in self.tokenizer.tokenize_str(piece)]

    def _begun(self, text: str) -> str:
        """Return a text with what the tokenizer puts before it. The two must not spell a special token together."""
        mark = _QUOTE if self._cuts.match(self._prefix + text) else ""
        return self._prefix + mark + text if text else ""

    def quote(self, text: str) -> str:
        """Mark what looks like a special token, so that `encode` takes it for plain text.

        Without this, the text of a user could end a turn, begin another one, or add the place of an image. A text may
        also end with the first part of a spelling, which the text behind it would complete. So this is marked, too.
        """
        text = text.replace(_QUOTE, "")
        # 1. Whether the text ends with the first part of a spelling. Letters and digits alone are too common to count.
        ends = (text[-size:] for size in range(1, min(len(text), self._longest_beginning) + 1))
        opened = any(end in self._beginnings and not end.isalnum() for end in ends)
        # 2. Each whole spelling is cut behind its first character.
        quoted = self._special.sub(lambda match: match[0][0] + _QUOTE + match[0][1:], text)
        return quoted + _QUOTE if opened else quoted

    def bytes_of(self, tokens: Sequence[int], *, visible: Collection[int] = ()) -> bytes:
        """Return the bytes of tokens.

        Args:
            tokens: Token ids.
            visible: Special tokens that give the bytes of their spelling. All other special tokens give none.
        """
        return b"".join(self._bytes(token, visible) for token in tokens)

    def _bytes(self, token: int, visible: Collection[int]) -> bytes:
        if token in visible or (token in self._plain and token not in self.end_tokens):
            return self._spelling_of[token].encode()
        if token in self.end_tokens or self.tokenizer.is_special_token(token):
            return b""
        return bytes(self.tokenizer.decode_bytes([token]))

    def special_in(self, texts: Iterable[str]) -> frozenset[int]:
        """Return the added tokens whose spelling is in one of the texts."""
        joined = "\n".join(texts)
        return frozenset(token for token, spelling in self._spelling_of.items() if spelling in joined)

    @property
    def added_tokens(self) -> Collection[int]:
        """The tokens that have a spelling of their own. Most are special."""
        return self._spelling_of.keys()

    def token_of(self, spelling: str) -> int | None:
        """Return the added token that has a spelling, or None where there is none."""
        return next((token for token, known in self._spelling_of.items() if known == spelling), None)

    def spellings(self, words: Iterable[str]) -> frozenset[int]:
        """Return the tokens that are one of these words: after a space, or with a capital at the start of a text.

        A word that takes several tokens is left out, because its tokens are parts of other words, too.
        """
        forms = (form for word in words for form in (f" {word}", f" {word.capitalize()}", word.capitalize()))
        encoded = (self.tokenizer.tokenize_str(form) for form in forms)
        return frozenset(tokens[0] for tokens in encoded if len(tokens) == 1)

    @cached_property
    def enders(self) -> dict[int, str]:
        """The tokens that a short ending is looked for with, and their texts.

        First come one to three characters of JSON structure, the longest first, then single common characters.
        """
        structure = ("".join(run) for length in (3, 2, 1) for run in product(STRUCTURE, repeat=length))
        encoded = ((self.tokenizer.tokenize_str(text), text) for text in (*structure, *FILLERS))
        return {tokens[0]: text for tokens, text in encoded if len(tokens) == 1}

    @cached_property
    def tokens_with_text(self) -> dict[str, list[int]]:
        """The tokens of each text. Bytes beyond ASCII are one character each (Latin-1)."""
        found: dict[str, list[int]] = {}
        for token in range(self.tokenizer.vocab_size):
            text = self.bytes_of((token,)).decode("latin-1")
            if text:
                found.setdefault(text, []).append(token)
        return found

    @cached_property
    def closers(self) -> tuple[int, ...]:
        """The tokens that have a quotation mark, so that they may close a JSON string."""
        return self._with('"')

    @cached_property
    def separators(self) -> tuple[int, ...]:
        """The tokens that have a comma, so that another part of a JSON text may begin in them."""
        return self._with(",")

    def _with(self, character: str) -> tuple[int, ...]:
        return tuple(token for text, tokens in self.tokens_with_text.items() if character in text for token in tokens)


def _prefix(normalizer: Any) -> str:
    """Return what the normalizer of a `tokenizer.json` puts before a text; empty for nothing."""
    steps = (normalizer or {}).get("normalizers", (normalizer,))
    return "".join(step["prepend"] for step in steps if step and step["type"] == "Prepend")


def _cuts(added: Iterable[dict[str, Any]]) -> re.Pattern[str]:
    """Return the expression that finds added tokens in a text. Some take the white space behind them."""
    longest_first = sorted(added, key=lambda token: len(token["content"]), reverse=True)
    found = (re.escape(token["content"]) + (r"\s*" if token.get("rstrip") else "") for token in longest_first)
    return re.compile(f"({'|'.join(found) or '(?!)'})")
