"""End a guided text legally, in as few tokens as a bounded search finds.

The closing tokens never run through the model, so even a long ending costs no forwards. There are two searches.

Outside strings, JSON leaves few choices. The token that leaves the least to close is nearly always right. So this
search goes on with the best token, and remembers the other tokens as detours that it may take later.

Inside a string, or in a text that is not JSON, a pattern may ask for anything. So this search is breadth-first: it
looks for the nearest way out. It must not look at the same state twice, but the grammar engine does not say whether two
states are the same. So two states count as the same when they have the same number of tokens and when the grammar
allowed the same tokens at the last steps. This is a guess, and it may be wrong: a text that must contain a word
somewhere allows the same tokens whether it contains the word or not. So where no way out is found, the search is done
again, and the last tokens have to be the same, too.
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
"""States that the search outside strings looks at before it gives up."""

MOST_BRANCHES = 12
"""Most tokens that are tried at one state."""

REMEMBERED = 2
"""At how many last steps the grammar must have allowed the same tokens for two states to count as the same."""

SEARCHES = ((0, 80, 12), (2, 200, 12), (0, 500, 12), (3, 2_000, 6))
"""The searches for a way out of a string, one after the other until one finds a way.

Each is given by how many last tokens are compared, how many states are looked at, and how many tokens are tried at each
state.
"""


@dataclass(order=True, slots=True)
class _Way:
    """The beginning of an ending, and how it may go on. The search goes on with the way that is the least.

    Attributes:
        detours: How far down its list of candidates each choice was, added up. The choice to be made next counts, too.
        depth: Minus the number of choices. So of ways with the same detours, the longest is the least.
        serial: When the way was found. No two ways are equal.
        tokens: The tokens of the ending so far.
        steps: The choices that were not tried yet, the best first: tokens, and the state after them.
    """

    detours: int
    depth: int
    serial: int
    tokens: tuple[int, ...] = field(compare=False)
    steps: Iterator[tuple[tuple[int, ...], Constraint]] = field(compare=False)


def shortest_ending(constraint: Constraint, vocabulary: Vocabulary) -> list[int] | None:
    """Return the tokens that complete a text, or None when the bounded search finds no ending.

    The constraint is not changed.
    """
    # 1. What the grammar leaves no choice about may complete the text.
    state = constraint.copy()
    tokens = tuple(_follow(state))
    if state.complete or state.acceptable:
        return list(tokens)
    serial = count()
    frontier = [_Way(0, 0, next(serial), tokens, _ways_on(state, vocabulary))]
    for _ in range(MOST_WAYS):
        if not frontier:
            break
        # 2. The best way takes its best choice.
        way = heapq.heappop(frontier)
        step = next(way.steps, None)
        if step is None:
            continue
        added, state = step
        tokens = (*way.tokens, *added, *_follow(state))
        if state.complete or state.acceptable:
            return list(tokens)
        # 3. The longer way goes on from there. The way before it waits with its next choice, which is one detour more.
        on = _ways_on(state, vocabulary)
        heapq.heappush(frontier, _Way(way.detours, way.depth - 1, next(serial), tokens, on))
        way.detours += 1
        heapq.heappush(frontier, way)
    return None


def _ways_on(state: Constraint, vocabulary: Vocabulary) -> Iterator[tuple[tuple[int, ...], Constraint]]:
    """Yield how a text may go on, as tokens and the state after them: out of its string, or by one token."""
    if state.outline is None or state.in_string:
        out = _way_out(state, vocabulary)
        if out is not None:
            yield out
    else:
        yield from _steps(state, vocabulary)


def leave_string(constraint: Constraint, vocabulary: Vocabulary) -> list[int]:
    """Take and return as few tokens as end the string that the text is in; none where the search finds no way."""
    out = _way_out(constraint, vocabulary)
    if out is None:
        return []
    for token in out[0]:
        constraint.consume(token)
    return list(out[0])


def _way_out(start: Constraint, vocabulary: Vocabulary) -> tuple[tuple[int, ...], Constraint] | None:
    """Return as few tokens as leave the string or end the text, and the state after them."""
    for told_apart, most, branches in SEARCHES:
        found = _search_out(start, vocabulary, told_apart=told_apart, most=most, branches=branches)
        if found is not None:
            return found
    return None


def _search_out(
    start: Constraint, vocabulary: Vocabulary, *, told_apart: int, most: int, branches: int
) -> tuple[tuple[int, ...], Constraint] | None:
    """Search a way out breadth-first.

    Args:
        start: The state to begin with. It is not changed.
        vocabulary: The model's tokens.
        told_apart: How many last tokens must be the same for two states to count as the same.
        most: How many states to look at.
        branches: How many tokens to try at each state.
    """
    serial = count()
    # Each item: number of tokens, order of discovery, tokens, hashes of the last masks, state.
    frontier: list[tuple[int, int, tuple[int, ...], tuple[int, ...], Constraint]] = [(0, next(serial), (), (), start)]
    seen: set[tuple[int, tuple[int, ...], tuple[int, ...]]] = set()
    while frontier and len(seen) < most:
        _, _, tokens, masks, state = heapq.heappop(frontier)
        if state.complete or state.acceptable:
            return tokens, state
        # 1. A state that counts as one that was seen is left out.
        masks = (*masks, hash(state.mask()))[-REMEMBERED:]
        known = (len(tokens), masks, tokens[-told_apart:] if told_apart else ())
        if known in seen:
            continue
        seen.add(known)
        # 2. A token that closes the string is the way out. All others are tried later, the shortest ways first.
        for added, after in islice(_steps(state, vocabulary), branches):
            taken = (*tokens, *added)
            if after.strings > start.strings:
                return taken, after
            heapq.heappush(frontier, (len(taken), next(serial), taken, masks, after))
    return None


def _steps(state: Constraint, vocabulary: Vocabulary) -> Iterator[tuple[tuple[int, ...], Constraint]]:
    """Yield each candidate with the tokens that are forced after it, and the state after them. The best comes first."""
    for token in _candidates(state, vocabulary):
        after = state.copy()
        after.consume(token)
        yield (token, *_follow(after)), after


def _follow(state: Constraint) -> list[int]:
    """Take and return all tokens that the grammar leaves no choice about.

    First come canonical tokens. Where there are none, the next bytes may still be certain.
    """
    taken: list[int] = []
    while not state.complete:
        tokens = state.take_forced() or state.take_forced_bytes()
        if not tokens:
            break
        taken += tokens
    return taken


def _candidates(state: Constraint, vocabulary: Vocabulary) -> list[int]:
    """Return up to `MOST_BRANCHES` allowed tokens. Those that leave the least to close come first."""
    # 1. Tokens that often end a text. Where none is allowed, any other tokens.
    mask = state.mask()  # one bit for each token, the lowest bit of a byte first
    enders = [(token, text) for token, text in vocabulary.enders.items() if mask[token >> 3] >> (token & 7) & 1]
    if not enders:
        others = (8 * place + bit for place, byte in enumerate(mask) if byte for bit in range(8) if byte >> bit & 1)
        return [token for token, _ in zip(others, range(MOST_BRANCHES), strict=False)]
    # 2. Inside a string, brackets and commas close nothing, and a pattern rather takes ordinary characters.
    inside = state.outline is None or state.outline.in_string
    if inside:
        enders.sort(key=lambda ender: _RANKS.get(ender[1], len(_RANKS)))
    # 3. In JSON, what leaves the least to close. Sorting is stable, so the order so far stays where this is equal.
    if state.outline is not None:
        left = {token: _left_open(state.outline, text) for token, text in enders}
        enders.sort(key=lambda ender: (left[ender[0]], len(ender[1])))
    return [token for token, _ in enders[:MOST_BRANCHES]]


def _left_open(outline: Outline, text: str) -> int:
    """Return how many objects, arrays and strings would still be open after more text."""
    after = outline.copy()
    after.advance(text)
    return after.open
