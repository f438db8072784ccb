"""End a guided text legally, in as few tokens as a bounded search finds.

The closing tokens never run through the model, so a long ending costs no forwards.

Outside strings JSON leaves few choices, and the token that leaves least to close is nearly always
right: there the search follows the best token and remembers the others as detours. Inside a string (or in
a text that is not JSON) a pattern may ask for anything: there it looks breadth-first for the nearest
way out, and takes states that allow the same tokens after as many characters for the same state.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count

from olpipe.decoding.constraint import Constraint
from olpipe.decoding.vocabulary import STRUCTURE, Vocabulary
from olpipe.guidance.outline import Outline

MOST_WAYS = 2_000
"""States looked at before the search gives up."""

MOST_BRANCHES = 10
"""Tokens tried at one state."""


@dataclass(order=True, slots=True)
class _Way:
    """A beginning of an ending: how far it left the best choices, and where it stands.

    Attributes:
        detours: Sum of how far down the list of candidates each choice was.
        depth: Minus the number of choices, so that of equal ways the longer goes on first.
        serial: The order of discovery.
    """

    detours: int
    depth: int
    serial: int
    tokens: tuple[int, ...] = field(compare=False)
    state: Constraint = field(compare=False)


def shortest_ending(constraint: Constraint, vocabulary: Vocabulary) -> list[int] | None:
    """Return the tokens that complete the text, or None when the bounded search finds no way.

    The given constraint stays as it is.
    """
    serial = count()
    looked_at = 0
    frontier = [_Way(0, 0, next(serial), (), constraint.copy())]
    while frontier and looked_at < MOST_WAYS:
        way = heapq.heappop(frontier)
        looked_at += 1
        tokens = (*way.tokens, *_follow(way.state))
        if way.state.complete or way.state.acceptable:
            return list(tokens)
        if way.state.outline is None or way.state.in_string:
            out = _way_out(way.state, vocabulary)
            steps = iter(()) if out is None else iter((out,))
        else:
            steps = _steps(way.state, vocabulary)
        for rank, (added, state) in enumerate(steps):
            following = _Way(way.detours + rank, way.depth - 1, next(serial), (*tokens, *added), state)
            heapq.heappush(frontier, following)
    return None


def leave_string(constraint: Constraint, vocabulary: Vocabulary) -> list[int]:
    """Take and return the shortest tokens that end the string the text is in; none when there is no short way."""
    out = _way_out(constraint, vocabulary)
    if out is None:
        return []
    for token in out[0]:
        constraint.consume(token)
    return list(out[0])


def _way_out(start: Constraint, vocabulary: Vocabulary) -> tuple[tuple[int, ...], Constraint] | None:
    """Return the shortest tokens that leave the string (or end the text), and the state after them."""
    serial = count()
    frontier: list[tuple[int, int, tuple[int, ...], Constraint]] = [(0, next(serial), (), start)]
    seen: set[tuple[int, bytes]] = set()
    while frontier and len(seen) < MOST_WAYS:
        _, _, tokens, state = heapq.heappop(frontier)
        if state.strings > start.strings or state.complete or state.acceptable:
            return tokens, state
        if (len(tokens), state.mask()) in seen:
            continue
        seen.add((len(tokens), state.mask()))
        for added, after in _steps(state, vocabulary):
            taken = (*tokens, *added)
            heapq.heappush(frontier, (len(taken), next(serial), taken, after))
    return None


def _steps(state: Constraint, vocabulary: Vocabulary) -> Iterator[tuple[tuple[int, ...], Constraint]]:
    """Yield single tokens and the states after them, the likeliest to end the text first."""
    for token in _candidates(state, vocabulary):
        after = state.copy()
        after.consume(token)
        yield (token, *_follow(after)), after


def _follow(state: Constraint) -> list[int]:
    """Take what the grammar leaves no choice about, as canonical tokens and then as bytes."""
    taken: list[int] = []
    while not state.complete:
        tokens = state.take_forced() or state.take_forced_bytes()
        if not tokens:
            break
        taken += tokens
    return taken


def _candidates(state: Constraint, vocabulary: Vocabulary) -> list[int]:
    """Return a few allowed tokens, those that leave least to close first."""
    mask = state.mask()
    enders = [(token, text) for token, text in vocabulary.enders.items() if mask[token >> 3] >> (token & 7) & 1]
    if not enders:
        others = (8 * place + bit for place, byte in enumerate(mask) if byte for bit in range(8) if byte >> bit & 1)
        return [token for token, _ in zip(others, range(MOST_BRANCHES), strict=False)]
    inside = state.outline is None or state.outline.in_string
    if inside:  # structure is mere content here: ordinary characters are the better guess
        enders.sort(key=lambda ender: ender[1][0] in STRUCTURE)
    if state.outline is not None:
        left = {token: _left_open(state.outline, text) for token, text in enders}
        enders.sort(key=lambda ender: (left[ender[0]], len(ender[1])))
    return [token for token, _ in enders[:MOST_BRANCHES]]


def _left_open(outline: Outline, text: str) -> int:
    """Return how much is still to be closed after more text."""
    after = outline.copy()
    after.advance(text)
    return after.open
