"""Say which tokens a grammar allows next in one text, and which it leaves no choice about."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from olpipe.decoding.model_sequence import Logits
from olpipe.decoding.names import Names
from olpipe.decoding.vocabulary import Vocabulary
from olpipe.errors import GrammarExceeded
from olpipe.guidance.outline import Outline

# A byte of a mask has the bits of eight tokens, the lowest bit first. Row b has what the byte b adds to their logits.
_BYTE_TO_BIAS = np.where(
    np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1, bitorder="little"), 0, -np.inf
).astype(np.float32)  # (256, 8)

# The bytes that end a JSON string, or give the next byte another meaning.
_STRUCTURE = frozenset(b'"\\')


class TokenRule(Protocol):
    """Says which tokens may come next."""

    @property
    def in_string(self) -> bool:
        """Whether the text is JSON and its end is inside a string."""

    def is_content(self, token: int) -> bool:
        """Say whether a token would only add to the string that is open."""

    def allows(self, token: int) -> bool:
        """Say whether a token may come next. This is much faster than computing the mask."""

    def bias(self) -> Logits:
        """Return what to add to logits, (vocab_size,) float32: 0 where a token may come next, else minus infinity."""


class Constraint:
    """The state of a grammar after the tokens of one text.

    Attributes:
        outline: What is open at the end of the text, when it is JSON; None for texts of other kinds.
    """

    def __init__(
        self, matcher: Any, vocabulary: Vocabulary, outline: Outline | None, names: Names | None = None
    ) -> None:
        """Set up for one text.

        Args:
            matcher: A matcher of the grammar engine, which follows this text only.
            vocabulary: The model's tokens.
            outline: An outline of the text when it is JSON; None for texts of other kinds.
            names: The names of the text's objects, where the model makes up names; None where it does not. The grammar
                does not remember names that were made up, so they are kept different here.
        """
        self._matcher = matcher
        self._vocabulary = vocabulary
        self.outline = outline
        self._names = names

    def copy(self) -> Constraint:
        """Return an independent constraint in the same state."""
        outline, names = self.outline and self.outline.copy(), self._names and self._names.copy()
        return Constraint(self._matcher.deep_copy(), self._vocabulary, outline, names)

    @property
    def complete(self) -> bool:
        """Whether the text is complete and nothing more may follow."""
        self._check()
        return bool(self._matcher.is_stopped())

    @property
    def acceptable(self) -> bool:
        """Whether the text could end here."""
        return bool(self._matcher.is_accepting())

    @property
    def in_string(self) -> bool:
        """Whether the text is JSON and its end is inside a string."""
        return self.outline is not None and self.outline.in_string

    def is_content(self, token: int) -> bool:
        """Say whether a token would only add to the string that is open."""
        return self.in_string and not _STRUCTURE.intersection(self._vocabulary.bytes_of((token,)))

    @property
    def strings(self) -> int:
        """How many strings of the JSON text are closed."""
        return self.outline.strings if self.outline is not None else 0

    def allows(self, token: int) -> bool:
        """Say whether a token may come next. This is much faster than computing the mask."""
        return bool(self._matcher.validate_tokens([token]) == 1) and not self._repeats(token, {})

    def consume(self, token: int) -> None:
        """Take the next token.

        Raises:
            GrammarExceeded: The grammar does not allow it, or the grammar engine is at a limit.
        """
        self._matcher.consume_token(token)
        self._check()
        self._note((token,))

    def take_forced(self) -> list[int]:
        """Take and return the tokens that must come next; often none.

        They are canonical, which means that the tokenizer makes the same tokens of the text. The model was trained on
        such tokens.
        """
        found: list[int] = self._matcher.compute_ff_tokens()
        tokens = found[: self._matcher.try_consume_tokens(found)] if found else []
        # A text that is certain may spell a special token. The engine finds that token, but the grammar refuses it.
        if len(tokens) < len(found):
            plain = self._vocabulary.plain(self._matcher.compute_ff_bytes())
            tokens += plain[: self._matcher.try_consume_tokens(plain)]
        self._check()
        self._note(tokens)
        return tokens

    def take_forced_bytes(self) -> list[int]:
        """Take and return tokens of the bytes that must come next; often none.

        Bytes may be certain where their canonical tokens are not, because a longer token may begin with them. So these
        tokens need not be canonical.
        """
        tokens: list[int] = self._vocabulary.tokenizer.tokenize_bytes(self._matcher.compute_ff_bytes())
        taken = tokens[: self._matcher.try_consume_tokens(tokens)] if tokens else []
        self._note(taken)
        return taken

    def bias(self) -> Logits:
        """Return what to add to logits, (vocab_size,) float32: 0 where a token may come next, else minus infinity."""
        return _BYTE_TO_BIAS[np.frombuffer(self.mask(), dtype=np.uint8)].reshape(-1)[: self._vocabulary.size]

    def mask(self) -> bytes:
        """Return one bit for each token, the lowest bit of a byte first. It is set where the token may come next."""
        mask: bytes = self._matcher.compute_bitmask()
        self._check()
        if self._names is None:
            return mask
        repeats = [token for token in self._suspects(mask) if self._repeats(token, {})]
        if not repeats:
            return mask
        left = bytearray(mask)
        for token in repeats:
            left[token >> 3] &= ~(1 << (token & 7))
        return bytes(left)

    def _suspects(self, mask: bytes) -> list[int]:
        """Return the tokens of a mask after which a name may stand twice, or may have to."""
        assert self._names is not None
        rests = self._names.rests()
        within = (rest[:end] for rest in rests for end in range(1, len(rest)))
        found = dict.fromkeys(token for text in within for token in self._vocabulary.tokens_with_text.get(text, ()))
        outside = self._names.pending is None
        found |= dict.fromkeys(self._vocabulary.separators if outside else self._vocabulary.closers)
        return [token for token in found if mask[token >> 3] >> (token & 7) & 1]

    def _repeats(self, token: int, known: dict[object, bool]) -> bool:
        """Say whether an object has a name twice after a token, or can only go on with such a name.

        Args:
            token: A token that the grammar allows.
            known: The answers for states that were looked at already; it is added to.
        """
        if self._names is None:
            return False
        # 1. A name that is there already. A new name, or the beginning of one, is fine.
        names = self._names.copy()
        names.advance(self._vocabulary.bytes_of((token,)).decode("latin-1"))
        if names.repeated or not names.rests():
            return names.repeated
        # 2. The beginning of a name that is there already: some other name must begin like this, too.
        if names.state not in known:
            after = Constraint(self._matcher.deep_copy(), self._vocabulary, None, names)
            after._matcher.consume_token(token)
            mask: bytes = after._matcher.compute_bitmask()
            suspects = after._suspects(mask)
            others = int.from_bytes(mask, "little").bit_count() > len(suspects)
            known[names.state] = not others and all(after._repeats(suspect, known) for suspect in suspects)
        return known[names.state]

    def _note(self, tokens: Sequence[int]) -> None:
        # A token may end within a character. Latin-1 takes every byte, and the outline looks at ASCII only.
        if self.outline is not None:
            text = self._vocabulary.bytes_of(tokens).decode("latin-1")
            self.outline.advance(text)
            if self._names is not None:
                self._names.advance(text)
                if self._names.repeated:
                    raise GrammarExceeded(
                        "the grammar cannot be followed any further: all names that an object may have are in it",
                        hint="allow more names, or give them under `properties`",
                    )

    def _check(self) -> None:
        if self._matcher.is_error():
            raise GrammarExceeded(
                f"the grammar cannot be followed any further: {self._matcher.get_error().splitlines()[0]}",
                hint="make the schema simpler or smaller",
            )


class OrToken:
    """Allows what a grammar allows at the beginning of a text, and one other token beside it."""

    def __init__(self, constraint: Constraint, token: int) -> None:
        """Add a token to what a grammar allows. The constraint is not changed."""
        self._constraint = constraint
        self._token = token

    @property
    def in_string(self) -> bool:
        """No string is open at the beginning."""
        return False

    def is_content(self, token: int) -> bool:
        """No token adds to a string at the beginning."""
        return False

    def allows(self, token: int) -> bool:
        """Say whether the grammar allows a token, or whether it is the other one."""
        return token == self._token or self._constraint.allows(token)

    def bias(self) -> Logits:
        """Return what to add to logits, as `Constraint.bias` does."""
        bias = self._constraint.bias()
        bias[self._token] = 0
        return bias
