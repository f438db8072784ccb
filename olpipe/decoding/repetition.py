"""Notice when a model repeats itself within one string."""

from __future__ import annotations

LONGEST_PERIOD = 24
"""Most tokens of what is repeated."""

LEAST_ROUNDS = 3
"""How many times in a row it must stand there."""

LEAST_TOKENS = 12
"""How many tokens all its repeats must have together."""


class Repetition:
    """Watches the tokens of one string at a time."""

    def __init__(self) -> None:
        self._string = -1
        self._tokens: list[int] = []

    def loops(self, token: int, string: int) -> bool:
        """Take a sampled token, and say whether the string now ends with a loop.

        In a loop, the same one to 24 tokens stand there at least three times in a row, and for at least twelve tokens
        in all. A person would not write such a text.

        Args:
            token: The token.
            string: The number of the string in its document.
        """
        if string != self._string:
            self._string, self._tokens = string, []
        self._tokens.append(token)
        return any(self._repeats(period) for period in range(1, LONGEST_PERIOD + 1))

    def _repeats(self, period: int) -> bool:
        """Say whether the string ends with repeats of its last `period` tokens."""
        rounds = max(LEAST_ROUNDS, -(-LEAST_TOKENS // period))
        tail = self._tokens[-period * rounds :]
        return len(tail) == period * rounds and tail[period:] == tail[:-period]
