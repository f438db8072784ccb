"""Decide which sequence gets which row of the cache, and what a row's prompt shares with earlier prompts.

Sequences start and end at any time. Before a forward over all of them, the rows in use are moved to the front. A row
that is not in use keeps its prompt for the next prompt that begins alike, as `olpipe.decoding.prefixes` does for single
sequences. The same holds here: only what was prefilled is shared, and only where a prompt that is computed in pieces
gives the same logits bit by bit.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from itertools import count

import numpy as np

from olpipe.decoding.model_sequence import Logits
from olpipe.decoding.prompt import NARROWEST, Identity, Prompt, shareable
from olpipe.default_plugins.onnx.cache import Cache
from olpipe.default_plugins.onnx.graph_inputs import PIECE, Inputs, pieces

SMALLEST = 512
"""Tokens of the shortest rows. Longer rows have twice as many, four times as many, and so on."""

TRIES = 16
"""So many tokens must have the same logits alone and among others before that is taken for granted.

A model rounds its values on the way. So a single token may have the same logits by chance, above all in a small model.
"""

logger = logging.getLogger(__name__)


class Row:
    """One row of the cache, with one sequence after another.

    Attributes:
        cache: The cache that it is a row of.
        position: Which row of the cache it is.
        room: How many tokens its present sequence may have.
        prefilled: What its first positions show, as far as they were prefilled and not decoded.
        reused: How many positions the present prompt takes over from an earlier one.
        length: How many tokens its present sequence has so far.
        ahead: How far the rotary position of its next token is ahead of `length`. An image may have more tokens than
            rows and columns, so this may be less than 0.
        busy: Whether a sequence is using it.
        released: A number that is larger the later its last sequence ended.
    """

    def __init__(self, cache: Cache, position: int) -> None:
        """Make an empty row that is not in use."""
        self.cache, self.position = cache, position
        self.room = 0
        self.prefilled: Identity = ()
        self.reused = self.length = self.ahead = 0
        self.busy, self.released = False, -1

    @property
    def held(self) -> int:
        """How many of its tokens in the cache are still needed: for its sequence, or to be shared."""
        return max(self.length if self.busy else 0, len(self.prefilled))

    def restart(self, reused: int) -> None:
        """Begin another sequence, which takes over the first `reused` positions."""
        self.prefilled = self.prefilled[:reused]
        self.reused = self.length = reused

    def prefill(self, prompt: Prompt) -> Logits:
        """Run the part of a prompt that is not in the cache; returns the logits after it, (vocab_size,)."""
        self.prefilled = ()  # if this fails, nobody may share what is half written
        size = PIECE if self.cache.inputs.mutual else len(prompt)
        for start, end in pieces(prompt, self.reused, size):
            self._run(prompt.tokens[start:end], self.cache.inputs.of_prompt(prompt, start, end))
        self.ahead = int(prompt.rotary_positions()[:, -1].max()) + 1 - len(prompt)
        self.prefilled = prompt.identity
        return self.cache.logits(self.position)

    def decode(self, tokens: Sequence[int]) -> Logits:
        """Run tokens of this row alone; returns the logits after them, (vocab_size,)."""
        prefilled, self.prefilled = self.prefilled, ()  # as in `prefill`
        self._run(tokens, self.cache.inputs.of_tokens([self.reached], [self.length], len(tokens)))
        self.prefilled = prefilled
        return self.cache.logits(self.position)

    @property
    def reached(self) -> int:
        """The rotary position of its next token."""
        return self.length + self.ahead

    def _run(self, tokens: Sequence[int], further: Inputs) -> None:
        self.cache.run(np.array([tokens], np.int64), [self.length], further=further, first=self.position)
        self.length += len(tokens)


class Rows:
    """The rows of one model."""

    def __init__(self, open_cache: Callable[[int, int], Cache], *, slots: int, context_length: int) -> None:
        """Set up without a cache.

        Args:
            open_cache: Makes an empty cache with a number of rows, and with a number of tokens for each row.
            slots: Most rows.
            context_length: Most tokens of a row, and of all rows together. Where this is less than one shortest row for
                each slot, all rows together may have that many.
        """
        self._open = open_cache
        self._slots = slots
        self._context_length = context_length
        self._rows: list[Row] = []
        self._serial = count()
        self._cuts_exactly: bool | None = None  # whether prompts in pieces give the same logits; None until tested
        self._tries = 0 if slots == 1 else TRIES  # how many more tokens must be the same alone and among others
        self._alone_exactly = True  # whether they all were so far

    def take(self, prompt: Prompt, length: int) -> Row | None:
        """Return a row for a prompt, or None while the rows in use leave no room for it.

        The row belongs to the caller until the caller gives it to `release`.

        Args:
            prompt: The prompt that will be prefilled.
            length: How many tokens of prompt and answer it must have room for.
        """
        # 1. A row that is free and long enough. Where there is none, the cache is made anew.
        idle = [row for row in self._rows if not row.busy]
        if not idle or idle[0].cache.length < length:
            if not self._rearrange(length):
                return None
            idle = [row for row in self._rows if not row.busy]
        # 2. Of the free rows the one that shares most. If it shares less than half of what it holds, it is left to
        #    prompts that are more like it, and the row that was free for the longest time is taken.
        row = max(idle, key=lambda row: shareable(prompt.identity, row.prefilled))
        if 2 * shareable(prompt.identity, row.prefilled) < len(row.prefilled):
            row = min(idle, key=lambda row: row.released)
        # 3. What any row shares with the prompt is taken over.
        row.restart(self._share(prompt, row))
        row.room, row.busy = length, True
        return row

    def release(self, row: Row) -> None:
        """Take a row back when its sequence has ended, whether it succeeded or failed."""
        row.busy, row.released = False, next(self._serial)

    def forward(self, tokens: Sequence[tuple[Row, int]]) -> list[Logits]:
        """Run one more token of every row in use, all in one forward.

        Args:
            tokens: Each row with its token.

        Returns:
            The logits after each token, (vocab_size,) each, in the order of `tokens`.
        """
        self._close_ranks()
        ordered = sorted(tokens, key=lambda one: one[0].position)
        if len(ordered) == 1:
            return [self._forward_alone(*ordered[0])]
        lengths = [row.length for row, _ in ordered]
        cache = self._rows[0].cache
        further = cache.inputs.of_tokens([row.reached for row, _ in ordered], lengths, 1)
        cache.run(np.array([[token] for _, token in ordered], np.int64), lengths, further=further)
        for row, _ in ordered:
            row.length += 1
        return [row.cache.logits(row.position) for row, _ in tokens]

    def close(self) -> None:
        """Free the cache."""
        self._rows.clear()

    def _forward_alone(self, row: Row, token: int) -> Logits:
        """Run one token of the only row in use, so that its logits are the same as among other rows.

        On some processors, matrix products of a single row are rounded differently than products of two or more rows.
        The first tokens test this. Where it is so, a second row is computed as well, and its result is ignored.
        """
        if self._alone_exactly and not self._tries:
            return row.decode((token,))
        # 1. For the test: the row alone. What it wrote is written again below.
        alone = row.decode((token,)) if self._alone_exactly else None
        row.length -= alone is not None
        # 2. The row with a second one. The token of the second row is written behind what it keeps to be shared.
        neighbour = self._rows[1] if len(self._rows) > 1 else Row(row.cache, 1)
        if len(neighbour.prefilled) == row.cache.length:  # its prompt fills the row, so it cannot be kept
            neighbour.prefilled = ()
        lengths = [row.length, len(neighbour.prefilled)]
        further = row.cache.inputs.of_tokens([row.reached, lengths[1]], lengths, 1)
        row.cache.run(np.array([[token], [token]], np.int64), lengths, further=further)
        row.length += 1
        logits = row.cache.logits(0)
        # 3. Whether the two results are the same.
        if alone is not None:
            self._alone_exactly = np.array_equal(alone, logits)
            self._tries -= 1
        return logits

    def _close_ranks(self) -> None:
        """Move the rows in use to the front. Each changes places with a free row there."""
        ahead = sum(row.busy for row in self._rows)
        idle = [row for row in self._rows[:ahead] if not row.busy]
        behind = [row for row in self._rows[ahead:] if row.busy]
        for one, other in zip(idle, behind, strict=True):
            one.cache.exchange(one.position, other.position, max(one.held, other.held))
            one.position, other.position = other.position, one.position
        self._rows.sort(key=lambda row: row.position)

    def _share(self, prompt: Prompt, row: Row) -> int:
        """Bring into a row what any row shares with a prompt; returns how many of the prompt's positions it holds."""
        if self._cuts_exactly is False:
            return 0
        # 1. The row that shares most with the prompt. If it is another one, its first positions are copied.
        best = max(self._rows, key=lambda other: (shareable(prompt.identity, other.prefilled), other is row))
        present = shareable(prompt.identity, best.prefilled)
        if best is not row and present:
            row.cache.copy(best.position, row.position, present)
            row.prefilled = best.prefilled[:present]
        # 2. The first prompt that could share something tests whether that is exact.
        if present and self._cuts_exactly is None:
            self._cuts_exactly = self._is_exact(prompt, row, present)
            if not self._cuts_exactly:
                logger.debug("prompts in pieces are not exact, so every prompt is computed as a whole")
        return present if self._cuts_exactly else 0

    def _is_exact(self, prompt: Prompt, row: Row, present: int) -> bool:
        """Say whether a prompt gives the same logits, bit by bit, as a whole and in pieces.

        Args:
            prompt: The prompt.
            row: A row. It is written to.
            present: How many positions of the prompt the row holds.
        """
        # 1. In pieces: what is present, all further tokens but the last few, and these last few.
        cut = max(present, prompt.whole(len(prompt) - NARROWEST))
        row.restart(present)
        if cut > present:
            row.prefill(prompt.beginning(cut))
            row.restart(cut)
        cut_short = row.prefill(prompt)
        # 2. As a whole.
        row.restart(0)
        return np.array_equal(cut_short, row.prefill(prompt))

    def _rearrange(self, length: int) -> bool:
        """Make another cache with room for one more sequence; returns False when that is not possible now.

        Args:
            length: How many tokens the sequence must have room for.
        """
        # 1. How long the rows must be, and how many there may be.
        busy = [row for row in self._rows if row.busy]
        longest = max(length, *(row.room for row in busy), SMALLEST)
        length = min(1 << (longest - 1).bit_length(), max(self._context_length, SMALLEST))
        most = max(self._context_length, self._slots * SMALLEST)
        rows = min(self._slots, most // length)
        if len(busy) >= rows:
            return False
        # 2. The rows in use are kept, and of the others those that were used last, as far as they fit.
        idle = sorted((row for row in self._rows if not row.busy), key=lambda row: row.released, reverse=True)
        kept = [*busy, *(row for row in idle if len(row.prefilled) <= length)][:rows]
        # 3. Their tokens are copied into the new cache. It has at least two rows, because a row alone may need another.
        cache = self._open(max(rows, min(self._slots, 2)), length)
        if kept:
            cache.take(kept[0].cache, [(row.position, row.held) for row in kept])
        self._rows = kept + [Row(cache, 0) for _ in range(rows - len(kept))]
        for position, row in enumerate(self._rows):
            row.cache, row.position = cache, position
        return True
