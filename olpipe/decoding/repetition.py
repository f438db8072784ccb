"""Notice a model that says the same again and again inside one string."""

from __future__ import annotations

LONGEST_PERIOD = 24
LEAST_ROUNDS = 3
LEAST_TOKENS = 12


class Repetition:
    """Watches the tokens of one string at a time."""

    def __init__(self) -> None:
        self._string = -1
        self._tokens: list[int] = []

    def loops(self, token: int, string: int) -> bool:
        """Take a sampled token and say whether the string now ends in a loop.

        A loop is a run of up to 24 tokens, three times in a row or more, and twelve tokens long at
        least: text that a person would write does not do that.

        Args:
            token: The token.
            string: Which string of the document it belongs to.
        """
        if string != self._string:
            self._string, self._tokens = string, []
        self._tokens.append(token)
        return any(self._repeats(period) for period in range(1, LONGEST_PERIOD + 1))

    def _repeats(self, period: int) -> bool:
        rounds = max(LEAST_ROUNDS, -(-LEAST_TOKENS // period))
        tail = self._tokens[-period * rounds :]
        return len(tail) == period * rounds and tail[period:] == tail[:-period]
