"""End a guided text legally, in as few tokens as a bounded search finds.

The closing tokens never run through the model, so a long ending costs no forwards.

Outside strings JSON leaves few choices, and the token that leaves least to close is nearly always
right: there the search follows the best token and remembers the others as detours. Inside a string (or in
a text that is not JSON) a pattern may ask for anything: there it looks breadth-first for the nearest
way out. The grammar does not tell its states apart, so states that are as far in and allowed the same tokens
at the last steps count as one; where that leads nowhere (a text that has to contain something somewhere
allows the same tokens whatever it contains so far) the last tokens themselves tell them apart too.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count, islice

from olpipe.decoding.constraint import Constraint
from olpipe.decoding.vocabulary import FILLERS, Vocabulary
from olpipe.guidance.outline import Outline

_RANKS = {character: rank for rank, character in enumerate(FILLERS)}

MOST_WAYS = 2_000
"""States looked at before the search gives up."""

MOST_BRANCHES = 12
"""Tokens tried at one state."""

REMEMBERED = 2
"""Steps that must have allowed the same tokens for two ways out of a string to count as one."""

SEARCHES = ((0, 80, 12), (2, 200, 12), (0, 500, 12), (3, 2_000, 6))
"""How a way out of a string is looked for: the last tokens that tell states apart, states and tokens at each."""


@dataclass(order=True, slots=True)
class _Way:
    """A beginning of an ending: how far it left the best choices, and how it may go on.

    Attributes:
        detours: Sum of how far down the list of candidates each choice was, the next one included.
        depth: Minus the number of choices, so that of equal ways the longer goes on first.
        serial: The order of discovery.
        steps: The ways on that were not tried yet, the best first.
    """

    detours: int
    depth: int
    serial: int
    tokens: tuple[int, ...] = field(compare=False)
    steps: Iterator[tuple[tuple[int, ...], Constraint]] = field(compare=False)


def shortest_ending(constraint: Constraint, vocabulary: Vocabulary) -> list[int] | None:
    """Return the tokens that complete the text, or None when the bounded search finds no way.

    The given constraint stays as it is.
    """
    state = constraint.copy()
    tokens = tuple(_follow(state))
    if state.complete or state.acceptable:
        return list(tokens)
    serial = count()
    frontier = [_Way(0, 0, next(serial), tokens, _ways_on(state, vocabulary))]
    for _ in range(MOST_WAYS):
        if not frontier:
            break
        way = heapq.heappop(frontier)
        step = next(way.steps, None)
        if step is None:
            continue
        added, state = step
        tokens = (*way.tokens, *added, *_follow(state))
        if state.complete or state.acceptable:
            return list(tokens)
        on = _ways_on(state, vocabulary)
        heapq.heappush(frontier, _Way(way.detours, way.depth - 1, next(serial), tokens, on))
        way.detours += 1
        heapq.heappush(frontier, way)
    return None


def _ways_on(state: Constraint, vocabulary: Vocabulary) -> Iterator[tuple[tuple[int, ...], Constraint]]:
    """Yield ways on from a state: out of the string it is in, or single tokens."""
    if state.outline is None or state.in_string:
        out = _way_out(state, vocabulary)
        if out is not None:
            yield out
    else:
        yield from _steps(state, vocabulary)


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
    for told_apart, most, branches in SEARCHES:
        found = _search_out(start, vocabulary, told_apart=told_apart, most=most, branches=branches)
        if found is not None:
            return found
    return None


def _search_out(
    start: Constraint, vocabulary: Vocabulary, *, told_apart: int, most: int, branches: int
) -> tuple[tuple[int, ...], Constraint] | None:
    serial = count()
    frontier: list[tuple[int, int, tuple[int, ...], tuple[int, ...], Constraint]] = [(0, next(serial), (), (), start)]
    seen: set[tuple[int, tuple[int, ...], tuple[int, ...]]] = set()
    while frontier and len(seen) < most:
        _, _, tokens, masks, state = heapq.heappop(frontier)
        if state.complete or state.acceptable:
            return tokens, state
        masks = (*masks, hash(state.mask()))[-REMEMBERED:]
        known = (len(tokens), masks, tokens[-told_apart:] if told_apart else ())
        if known in seen:
            continue
        seen.add(known)
        for added, after in islice(_steps(state, vocabulary), branches):
            taken = (*tokens, *added)
            if after.strings > start.strings:
                return taken, after
            heapq.heappush(frontier, (len(taken), next(serial), taken, masks, after))
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
        enders.sort(key=lambda ender: _RANKS.get(ender[1], len(_RANKS)))
    if state.outline is not None:
        left = {token: _left_open(state.outline, text) for token, text in enders}
        enders.sort(key=lambda ender: (left[ender[0]], len(ender[1])))
    return [token for token, _ in enders[:MOST_BRANCHES]]


def _left_open(outline: Outline, text: str) -> int:
    """Return how much is still to be closed after more text."""
    after = outline.copy()
    after.advance(text)
    return after.open
