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

from olpipe.decoding.model_sequence import Logits
from olpipe.decoding.prompt import NARROWEST, Identity, Prompt, shareable
from olpipe.default_plugins.onnx.cache import Cache

SMALLEST = 512
"""Tokens of a row at least; longer rows have twice, four times, … as many."""

logger = logging.getLogger(__name__)


class Row:
    """One sequence of a batch.

    Attributes:
        cache: The arrays that it is a row of.
        position: Which row of them it is.
        room: Tokens that the running sequence may hold.
        prefilled: What its first positions show: those that were prefilled, not decoded.
        reused: How many positions the running prompt takes over from an earlier one.
        length: Tokens that it holds.
        busy: Whether a sequence runs in it.
        released: The larger, the later its last sequence ended.
    """

    def __init__(self, cache: Cache, position: int) -> None:
        """Make an empty row that nobody uses."""
        self.cache, self.position = cache, position
        self.room = 0
        self.prefilled: Identity = ()
        self.reused = self.length = 0
        self.busy, self.released = False, -1

    @property
    def held(self) -> int:
        """Tokens in the cache that matter to anybody."""
        return max(self.length if self.busy else 0, len(self.prefilled))

    def restart(self, reused: int) -> None:
        """Begin another sequence that takes over the first positions."""
        self.prefilled = self.prefilled[:reused]
        self.reused = self.length = reused

    def prefill(self, prompt: Prompt) -> Logits:
        """Run what the prompt does not share, and return the logits behind it."""
        self.prefilled = ()  # after a failure nothing here can be trusted
        logits = self.decode(prompt.tokens[self.reused :])
        self.prefilled = prompt.identity
        return logits

    def decode(self, tokens: Sequence[int]) -> Logits:
        """Run tokens of this row alone, and return the logits behind them."""
        prefilled, self.prefilled = self.prefilled, ()  # as in `prefill`
        self.cache.run(np.array([tokens], np.int64), [self.length], first=self.position)
        self.prefilled = prefilled
        self.length += len(tokens)
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
        self._cuts_exactly: bool | None = None
        self._alone_exactly: bool | None = True if slots == 1 else None

    def take(self, prompt: Prompt, length: int) -> Row | None:
        """Return a row for a prompt, or None while the rows in use leave no room for it.

        The row belongs to the caller until `release`.

        Args:
            prompt: What will be prefilled.
            length: Tokens of prompt and answer that must fit.
        """
        idle = [row for row in self._rows if not row.busy]
        if not idle or idle[0].cache.length < length:
            if not self._rearrange(length):
                return None
            idle = [row for row in self._rows if not row.busy]
        row = max(idle, key=lambda row: shareable(prompt.identity, row.prefilled))
        if 2 * shareable(prompt.identity, row.prefilled) < len(row.prefilled):  # leave it to prompts of its kind
            row = min(idle, key=lambda row: row.released)
        row.restart(self._share(prompt, row))
        row.room, row.busy = length, True
        return row

    def release(self, row: Row) -> None:
        """Take a row back when its sequence has ended, in whatever way."""
        row.busy, row.released = False, next(self._serial)

    def forward(self, tokens: Sequence[tuple[Row, int]]) -> list[Logits]:
        """Run one more token of every row in use, all at once, and return the logits behind each, in this order."""
        self._close_ranks()
        ordered = sorted(tokens, key=lambda one: one[0].position)
        if len(ordered) == 1:
            return [self._forward_alone(*ordered[0])]
        lengths = [row.length for row, _ in ordered]
        self._rows[0].cache.run(np.array([[token] for _, token in ordered], np.int64), lengths)
        for row, _ in ordered:
            row.length += 1
        return [row.cache.logits(row.position) for row, _ in tokens]

    def close(self) -> None:
        """Free the cache."""
        self._rows.clear()

    def _forward_alone(self, row: Row, token: int) -> Logits:
        """Run one token of the only row in use, so that its logits are those it would have among others.

        Products of a single row may be rounded otherwise than products of two rows and more; that depends on the
        processor, and is tried once. Where they are, an empty row goes along.
        """
        if self._alone_exactly:
            return row.decode((token,))
        alone = row.decode((token,)) if self._alone_exactly is None else None
        row.length -= alone is not None
        neighbour = self._rows[1] if len(self._rows) > 1 else Row(row.cache, 1)
        if len(neighbour.prefilled) == row.cache.length:  # nothing may be written behind a prompt that fills its row
            neighbour.prefilled = ()
        row.cache.run(np.array([[token], [token]], np.int64), [row.length, len(neighbour.prefilled)])
        row.length += 1
        logits = row.cache.logits(0)
        if alone is not None:
            self._alone_exactly = np.array_equal(alone, logits)
        return logits

    def _close_ranks(self) -> None:
        """Move the rows in use to the front."""
        ahead = sum(row.busy for row in self._rows)
        idle = [row for row in self._rows[:ahead] if not row.busy]
        behind = [row for row in self._rows[ahead:] if row.busy]
        for one, other in zip(idle, behind, strict=True):
            one.cache.exchange(one.position, other.position, max(one.held, other.held))
            one.position, other.position = other.position, one.position
        self._rows.sort(key=lambda row: row.position)

    def _share(self, prompt: Prompt, row: Row) -> int:
        """Bring what another row shares with a prompt into a row; returns how much of the prompt the row holds."""
        if self._cuts_exactly is False:
            return 0
        best = max(self._rows, key=lambda other: (shareable(prompt.identity, other.prefilled), other is row))
        present = shareable(prompt.identity, best.prefilled)
        if best is not row and present:
            row.cache.copy(best.position, row.position, present)
            row.prefilled = best.prefilled[:present]
        if present and self._cuts_exactly is None:
            self._cuts_exactly = self._is_exact(prompt, row, present)
            if not self._cuts_exactly:
                logger.debug("cut prompts are not exact: every prompt is computed whole")
        return present if self._cuts_exactly else 0

    def _is_exact(self, prompt: Prompt, row: Row, present: int) -> bool:
        """Compute a prompt whole and in the narrowest pieces, and compare bit by bit."""
        cut = max(present, len(prompt) - NARROWEST)
        row.restart(present)
        if cut > present:
            row.prefill(prompt.beginning(cut))
            row.restart(cut)
        cut_short = row.prefill(prompt)
        row.restart(0)
        return np.array_equal(cut_short, row.prefill(prompt))

    def _rearrange(self, length: int) -> bool:
        """Make another cache in which there is room for one more sequence; False when there can be none now."""
        busy = [row for row in self._rows if row.busy]
        longest = max(length, *(row.room for row in busy), SMALLEST)
        length = min(1 << (longest - 1).bit_length(), max(self._context_length, SMALLEST))
        most = max(self._context_length, self._slots * SMALLEST)
        rows = min(self._slots, most // length)
        if len(busy) >= rows:
            return False
        idle = sorted((row for row in self._rows if not row.busy), key=lambda row: row.released, reverse=True)
        kept = [*busy, *(row for row in idle if len(row.prefilled) <= length)][:rows]
        cache = self._open(max(rows, min(self._slots, 2)), length)  # a lone row may need a neighbour
        if kept:
            cache.take(kept[0].cache, [(row.position, row.held) for row in kept])
        self._rows = kept + [Row(cache, 0) for _ in range(rows - len(kept))]
        for position, row in enumerate(self._rows):
            row.cache, row.position = cache, position
        return True
