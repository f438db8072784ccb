"""Turn tokens into text that can be shown: complete characters only, and nothing from a stop text on."""

from __future__ import annotations

import codecs
from collections.abc import Collection, Sequence

from olpipe.decoding.reading import overlap
from olpipe.decoding.vocabulary import Vocabulary


class StopTexts:
    """Ends a text where a stop text begins.

    Text that may be the beginning of a stop text is held back until more is known.

    Attributes:
        stopped_by: The stop text that was met; empty while none was.
    """

    def __init__(self, texts: Sequence[str]) -> None:
        """Begin with nothing."""
        self._texts = tuple(text for text in texts if text)
        self._held = ""
        self.stopped_by = ""

    def feed(self, text: str) -> str:
        """Take text, and return what can be shown now; empty once a stop text was met."""
        if self.stopped_by:
            return ""
        text = self._held + text
        found = [(text.index(stop), stop) for stop in self._texts if stop in text]
        if found:
            at, self.stopped_by = min(found)
            self._held = ""
            return text[:at]
        keep = max((overlap(text, stop) for stop in self._texts), default=0)
        self._held = text[len(text) - keep :]
        return text[: len(text) - keep]

    def finish(self) -> str:
        """Return what was held back. What comes next does not follow it directly."""
        rest, self._held = self._held, ""
        return rest


class TextStream:
    """The text of one sequence, piece by piece."""

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
        self._stops = StopTexts(stop)

    @property
    def stopped_by(self) -> str:
        """The stop text that was met; empty while none was."""
        return self._stops.stopped_by

    @property
    def stopped(self) -> bool:
        """Whether a stop text was met."""
        return bool(self.stopped_by)

    def feed(self, tokens: Sequence[int]) -> str:
        """Take tokens, and return the text that can be shown now; empty once a stop text was met."""
        return self._stops.feed(self._decoder.decode(self._vocabulary.bytes_of(tokens, visible=self._visible)))

    def finish(self) -> str:
        """Return what was held back. An incomplete character at the end becomes U+FFFD."""
        return self._stops.feed(self._decoder.decode(b"", final=True)) + self._stops.finish()
