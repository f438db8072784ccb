"""Turn tokens into text that can be shown: complete characters only, and nothing from a stop text on."""

from __future__ import annotations

import codecs
from collections.abc import Collection, Sequence

from olpipe.decoding.vocabulary import Vocabulary


class TextStream:
    """The text of one sequence, piece by piece.

    Text that may be the beginning of a stop text is held back until more is known.

    Attributes:
        stopped: Whether a stop text was met.
    """

    def __init__(self, vocabulary: Vocabulary, *, stop: Sequence[str] = (), visible: Collection[int] = ()) -> None:
        """Begin with nothing.

        Args:
            vocabulary: The model's tokens.
            stop: Texts that end the stream.
            visible: Special tokens that become text. All other special tokens become nothing.
        """
        self._vocabulary = vocabulary
        self._visible = visible
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._stop = tuple(text for text in stop if text)
        self._held = ""
        self.stopped = False

    def feed(self, tokens: Sequence[int]) -> str:
        """Take tokens, and return the text that can be shown now; empty once a stop text was met."""
        return self._take(self._decoder.decode(self._vocabulary.bytes_of(tokens, visible=self._visible)))

    def finish(self) -> str:
        """Return what was held back. An incomplete character at the end becomes U+FFFD."""
        text = self._take(self._decoder.decode(b"", final=True))
        rest, self._held = self._held, ""
        return text if self.stopped else text + rest

    def _take(self, text: str) -> str:
        """Take text, and return what can be shown now."""
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
    """Return how many characters at the end of a text may begin a marker. A whole marker does not count."""
    longest = min(len(text), len(marker) - 1)
    return next((size for size in range(longest, 0, -1) if text.endswith(marker[:size])), 0)
