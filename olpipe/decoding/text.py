"""Turn tokens into text that can be shown: complete UTF-8 only, and nothing past a stop text."""

from __future__ import annotations

import codecs
from collections.abc import Collection, Sequence

from olpipe.decoding.vocabulary import Vocabulary


class TextStream:
    """The text of one sequence, piece by piece.

    A piece that could be the beginning of a stop text is held back until it is known not to be.
    """

    def __init__(self, vocabulary: Vocabulary, *, stop: Sequence[str] = (), visible: Collection[int] = ()) -> None:
        """Begin with nothing.

        Args:
            vocabulary: The model's tokens.
            stop: Texts that end the stream.
            visible: Special tokens that show as their spelling. All others show as nothing.
        """
        self._vocabulary = vocabulary
        self._visible = visible
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._stop = tuple(text for text in stop if text)
        self._held = ""
        self.stopped = False

    def feed(self, tokens: Sequence[int]) -> str:
        """Take tokens and return what became showable; empty once a stop text was met."""
        return self._take(self._decoder.decode(self._vocabulary.bytes_of(tokens, visible=self._visible)))

    def finish(self) -> str:
        """Return what was held back; a torn character at the end becomes U+FFFD."""
        text = self._take(self._decoder.decode(b"", final=True))
        rest, self._held = self._held, ""
        return text if self.stopped else text + rest

    def _take(self, text: str) -> str:
        if self.stopped:
            return ""
        text = self._held + text
        found = [index for index in (text.find(stop) for stop in self._stop) if index >= 0]
        if found:
            self.stopped, self._held = True, ""
            return text[: min(found)]
        keep = max((overlap(text, stop) for stop in self._stop), default=0)
        self._held = text[len(text) - keep :]
        return text[: len(text) - keep]


def overlap(text: str, marker: str) -> int:
    """Return the length of the longest end of a text that a marker begins with, short of the whole marker."""
    longest = min(len(text), len(marker) - 1)
    return next((size for size in range(longest, 0, -1) if text.endswith(marker[:size])), 0)
