"""Break lines between words, as an answer comes in piece by piece."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache

from wcwidth import iter_graphemes, wcswidth

TAB = 8
_OPENING = frozenset("「『（《〈【〔［｛“‘([{")
_CLOSING = frozenset("」』）》〉】〕］｝”’、。，．：；！？…ー々")
"""Marks that do not begin a line. Between other wide characters, a line may break anywhere."""


class Wrapper:
    """Breaks lines at a width. Give the pieces of a text to `feed`, and call `end` after the last one.

    A word is held back until its end is known. So nothing that was shown has to be moved to the next line, and no
    control sequences are needed.
    """

    def __init__(self, width: Callable[[], int]) -> None:
        """Begin at the start of a line; `width` returns how many columns there are at the moment."""
        self._width = width
        self._column = 0
        self._tail = ""  # a character that may go on: an emoji may be followed by a joiner and another one
        self._spaces = ""
        self._word = ""
        self._columns = 0  # of the word
        self._is_wide = False

    def feed(self, text: str) -> str:
        """Return what can be shown now."""
        graphemes = list(iter_graphemes(self._tail + text))
        self._tail = graphemes.pop() if graphemes and graphemes[-1] not in (" ", "\n") else ""
        return "".join(self._shown(graphemes))

    def end(self) -> str:
        """Return the rest."""
        graphemes, self._tail = list(iter_graphemes(self._tail)), ""
        return "".join([*self._shown(graphemes), *self._end_word()])

    def _shown(self, graphemes: list[str]) -> Iterator[str]:
        for grapheme in graphemes:
            if grapheme == "\n":
                yield from self._end_word()
                yield "\n"
                self._column, self._spaces = 0, ""
            elif grapheme in (" ", "\t"):
                yield from self._end_word()
                self._spaces += grapheme
            else:
                columns = columns_of(grapheme)
                if self._begins_word(grapheme, columns):
                    yield from self._end_word()
                self._word += grapheme
                self._columns += columns
                self._is_wide = columns > 1
                if self._columns >= self._width():
                    yield from self._end_word()

    def _begins_word(self, grapheme: str, columns: int) -> bool:
        """Say whether a line may break before a character that no space precedes."""
        if not self._word or grapheme in _CLOSING or self._word[-1] in _OPENING:
            return False
        return columns > 1 or self._is_wide

    def _end_word(self) -> Iterator[str]:
        """Show the word, and the spaces before it where it stays on the line."""
        if not self._word:
            return
        width, spaces = self._width(), self._columns_of_spaces()
        if self._column and self._column + spaces + self._columns > width:
            yield "\n"
            self._column = spaces = 0
        elif self._spaces:
            yield self._spaces
        self._column += spaces
        if self._columns <= width - self._column:
            yield self._word
            self._column += self._columns
        else:
            yield from self._cut(width)
        self._word, self._spaces, self._columns = "", "", 0

    def _cut(self, width: int) -> Iterator[str]:
        """Show a word that is longer than a line."""
        for grapheme in iter_graphemes(self._word):
            columns = columns_of(grapheme)
            if self._column and self._column + columns > width:
                yield "\n"
                self._column = 0
            yield grapheme
            self._column += columns

    def _columns_of_spaces(self) -> int:
        column = self._column
        for space in self._spaces:
            column += TAB - column % TAB if space == "\t" else 1
        return column - self._column


@lru_cache(maxsize=4096)
def columns_of(grapheme: str) -> int:
    """Return how many columns a character takes, with the marks on it. Some take two, and some none."""
    return max(0, wcswidth(grapheme))
