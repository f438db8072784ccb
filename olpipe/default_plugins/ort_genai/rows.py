"""The sequences of a batch: who gets which row of the cache, and what a row's prompt may share with others'.

Sequences come and go; those at work are moved together into the first rows before a forward over all of them. A
row that nobody uses keeps its prompt for the next that begins alike, as `prefixes` does for single sequences and
with the same care: only what was prefilled is shared, and only where a cut prompt gives the same logits bit by bit.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from itertools import count

import numpy as np

from olpipe.decoding.logits_model import Logits, ModelLimits
from olpipe.default_plugins.ort_genai.cache import Cache
from olpipe.default_plugins.ort_genai.prefixes import NARROWEST, shareable

SMALLEST = 512
"""Tokens of a row at least; longer rows have twice, four times, … as many."""

logger = logging.getLogger(__name__)


class Row:
    """One sequence of a batch, as the decode loop sees it.

    The loop says what it will append before it does. A single token is run together with the other rows' by then,
    and `append` finds it done; a prompt, and tokens that were forced, are run here, for this row alone.

    Attributes:
        limits: What the running sequence can hold.
        prompt: Tokens at the beginning that were prefilled, not decoded.
        reused: Tokens of the prompt that were there already.
    """

    def __init__(self, cache: Cache, position: int) -> None:
        """Make an empty row that nobody uses."""
        self.cache, self.position = cache, position
        self.limits = ModelLimits(max_length=0)
        self.prompt: tuple[int, ...] = ()
        self.busy, self.released = False, -1
        self.reused = 0
        self._length, self._starting = 0, True
        self._ahead: int | None = None  # the token that was run together with other rows'

    @property
    def started(self) -> bool:
        """Whether the prompt is in."""
        return not self._starting

    @property
    def held(self) -> int:
        """Tokens in the cache that matter to anybody."""
        return max(self._length if self.busy else 0, len(self.prompt))

    def restart(self, present: int, *, max_length: int) -> None:
        """Begin another sequence whose first `present` tokens are here; `append` brings them all the same."""
        self.limits = ModelLimits(max_length=max_length)
        self.prompt = self.prompt[:present]
        self._length, self._starting, self._ahead, self.reused = present, True, None, present

    def run_ahead(self, token: int) -> int:
        """Note that the next token is run together with other rows'; returns how many tokens were here before."""
        self._ahead = token
        self._length += 1
        return self._length - 1

    def append(self, tokens: Sequence[int]) -> None:
        """Run tokens through the model, unless that was done."""
        ahead, self._ahead = self._ahead, None
        if ahead is not None:
            assert tuple(tokens) == (ahead,), "the loop appends what it announced"
            return
        prompt = tuple(tokens) if self._starting else self.prompt
        self.prompt = ()  # after a failure nothing here can be trusted
        new = tokens[self._length :] if self._starting else tokens
        self.cache.run(np.array([new], np.int64), [self._length], first=self.position)
        self.prompt, self._starting = prompt, False
        self._length += len(new)

    def logits(self) -> Logits:
        """Return (vocab_size,) float32."""
        return self.cache.logits(self.position)


class Rows:
    """The rows of one model."""

    def __init__(self, open_cache: Callable[[int, int], Cache], *, slots: int, context_length: int) -> None:
        """Allocate nothing yet.

        Args:
            open_cache: Makes an empty cache of so many rows and tokens a row.
            slots: Most rows.
            context_length: Most tokens of a row. All rows together hold no more, or as many of the smallest
                size as there are slots.
        """
        self._open = open_cache
        self._slots = slots
        self._context_length = context_length
        self._rows: list[Row] = []
        self._serial = count()
        self._exact: bool | None = None

    def take(self, prompt: Sequence[int], length: int) -> Row | None:
        """Return a row for a prompt, or None while the rows in use leave no room for it.

        The row's first `append` takes the whole prompt. It belongs to the caller until `release`.

        Args:
            prompt: Token ids.
            length: Tokens of prompt and answer that must fit.
        """
        idle = [row for row in self._rows if not row.busy]
        if not idle or idle[0].cache.length < length:
            if not self._rearrange(length):
                return None
            idle = [row for row in self._rows if not row.busy]
        row = max(idle, key=lambda row: shareable(prompt, row.prompt))
        if 2 * shareable(prompt, row.prompt) < len(row.prompt):  # leave that prompt to others of its kind
            row = min(idle, key=lambda row: row.released)
        present = self._share(prompt, row, length)
        row.restart(present, max_length=length)
        row.busy = True
        return row

    def release(self, row: Row) -> None:
        """Take a row back when its sequence has ended, in whatever way."""
        row.busy, row.released = False, next(self._serial)

    def forward(self, tokens: Sequence[tuple[Row, int]]) -> None:
        """Run one more token of every row in use through the model, all at once."""
        self._close_ranks()
        ordered = sorted(tokens, key=lambda one: one[0].position)
        lengths = [row.run_ahead(token) for row, token in ordered]
        self._rows[0].cache.run(np.array([[token] for _, token in ordered], np.int64), lengths)

    def close(self) -> None:
        """Free the cache."""
        self._rows.clear()

    def _close_ranks(self) -> None:
        """Move the rows in use to the front."""
        ahead = sum(row.busy for row in self._rows)
        idle = [row for row in self._rows[:ahead] if not row.busy]
        behind = [row for row in self._rows[ahead:] if row.busy]
        for one, other in zip(idle, behind, strict=True):
            one.cache.exchange(one.position, other.position, max(one.held, other.held))
            one.position, other.position = other.position, one.position
        self._rows.sort(key=lambda row: row.position)

    def _share(self, prompt: Sequence[int], row: Row, length: int) -> int:
        """Bring what another row shares with a prompt into a row; returns how much of the prompt the row holds."""
        if self._exact is False:
            return 0
        best = max(self._rows, key=lambda other: (shareable(prompt, other.prompt), other is row))
        present = shareable(prompt, best.prompt)
        if best is not row and present:
            row.cache.copy(best.position, row.position, present)
            row.prompt = best.prompt[:present]
        if present and self._exact is None:
            self._exact = self._is_exact(prompt, row, present, length)
            if not self._exact:
                logger.debug("cut prompts are not exact: every prompt is computed whole")
        return present if self._exact else 0

    def _is_exact(self, prompt: Sequence[int], row: Row, present: int, length: int) -> bool:
        """Compute a prompt whole and in the narrowest pieces, and compare bit by bit."""
        cut = max(present, len(prompt) - NARROWEST)
        row.restart(present, max_length=length)
        if cut > present:
            row.append(prompt[:cut])
            row.restart(cut, max_length=length)
        row.append(prompt)
        cut_short = row.logits()
        row.restart(0, max_length=length)
        row.append(prompt)
        return bool(np.array_equal(cut_short, row.logits()))

    def _rearrange(self, length: int) -> bool:
        """Make another cache in which there is room for one more sequence; False when there can be none now."""
        busy = [row for row in self._rows if row.busy]
        longest = max(length, *(row.limits.max_length for row in busy), SMALLEST)
        length = min(1 << (longest - 1).bit_length(), max(self._context_length, SMALLEST))
        most = max(self._context_length, self._slots * SMALLEST)
        rows = min(self._slots, most // length)
        if len(busy) >= rows:
            return False
        idle = sorted((row for row in self._rows if not row.busy), key=lambda row: row.released, reverse=True)
        kept = [*busy, *(row for row in idle if len(row.prompt) <= length)][:rows]
        cache = self._open(rows, length)
        if kept:
            cache.take(kept[0].cache, [(row.position, row.held) for row in kept])
        self._rows = kept + [Row(cache, 0) for _ in range(rows - len(kept))]
        for position, row in enumerate(self._rows):
            row.cache, row.position = cache, position
        return True
