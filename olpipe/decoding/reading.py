"""Tell the thinking and the tool calls of an answer from its text, while the answer is being written."""

from __future__ import annotations

import random
import string
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

import orjson

from olpipe.decoding.text import overlap
from olpipe.messages import ToolCallPart

Span = tuple[str, str]
"""The texts that begin and end a part of an answer."""

_State = Literal["text", "thinking", "call"]
_ID_CHARACTERS = string.ascii_lowercase + string.digits
_ID_LENGTH = 8


@dataclass(frozen=True, slots=True)
class Markers:
    """How a model marks the parts of its answers.

    Attributes:
        thinking: Around what it thinks; None for a model that does not think.
        call: Around the JSON of one tool call; None for a model that calls no tools.
    """

    thinking: Span | None = None
    call: Span | None = None

    @property
    def texts(self) -> tuple[str, ...]:
        """All texts that mark something."""
        return (*(self.thinking or ()), *(self.call or ()))


@dataclass(slots=True)
class Pieces:
    """What became known of an answer."""

    text: str = ""
    thinking: str = ""
    calls: list[ToolCallPart] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.text or self.thinking or self.calls)


class AnswerReader:
    """Reads one answer piece by piece. What could be the beginning of a marker is held back."""

    def __init__(self, markers: Markers, *, calls: bool, thinking: bool) -> None:
        """Begin with nothing.

        Args:
            markers: How the model marks the parts.
            calls: Whether there are tools to call; without them, the markers of calls are text.
            thinking: Whether the prompt has opened the thinking already.
        """
        self._markers = markers
        self._calls = calls
        self._state: _State = "thinking" if thinking else "text"
        self._trims = thinking  # white space behind a marker belongs to no part
        self._begun = thinking
        self._held = ""
        self.called = False
        """Whether a call was read."""

    def feed(self, text: str) -> Pieces:
        """Take text and return what became known."""
        pieces = Pieces()
        text = self._held + text
        while text:
            openers = list(self._openers())
            places = [(text.find(marker), marker, state) for marker, state in openers if marker in text]
            if not places:
                keep = max((overlap(text, marker) for marker, _ in openers), default=0)
                if self._state == "call" or not (self._begun or text[: len(text) - keep].strip()):
                    keep = len(text)
                self._put(pieces, text[: len(text) - keep])
                self._held = text[len(text) - keep :]
                return pieces
            at, marker, state = min(places)
            self._trims = self._close(pieces, text[:at])
            self._state, self._begun = state, True
            text = text[at + len(marker) :]
        self._held = ""
        return pieces

    def finish(self) -> Pieces:
        """Return what was held back. A call that never ended is text."""
        pieces = Pieces()
        held, self._held = self._held, ""
        if self._state == "call" and self._markers.call:
            self._state = "text"
            held = self._markers.call[0] + held
        self._put(pieces, held)
        return pieces

    def _openers(self) -> Iterator[tuple[str, _State]]:
        """Yield the markers that may come next, each with the state behind it."""
        thinking, call = self._markers.thinking, self._markers.call
        if self._state == "thinking" and thinking:
            yield thinking[1], "text"
        elif self._state == "call" and call:
            yield call[1], "text"
        else:
            if thinking:
                yield thinking[0], "thinking"
            if call and self._calls:
                yield call[0], "call"

    def _put(self, pieces: Pieces, text: str) -> None:
        """Add text to the part that is open."""
        if self._trims:
            text = text.lstrip()
        if not text or not (self._begun or text.strip()):
            return
        self._trims, self._begun = False, True
        if self._state == "thinking":
            pieces.thinking += text
        else:
            pieces.text += text

    def _close(self, pieces: Pieces, text: str) -> bool:
        """Take the end of the part that is open; returns whether white space behind its marker belongs to no part."""
        if self._state != "call":
            self._put(pieces, text)
            return True
        call = read_call(text)
        if call is not None:
            pieces.calls.append(call)
            self.called = True
        elif self._markers.call:  # the model spoke of a call, or made it badly
            pieces.text += self._markers.call[0] + text + self._markers.call[1]
        return call is not None


def read_call(text: str) -> ToolCallPart | None:
    """Read `{"name": …, "arguments": {…}}`; None where the text is something else."""
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(value, dict) or not isinstance(value.get("name"), str):
        return None
    arguments = value.get("arguments", value.get("parameters", {}))
    if not isinstance(arguments, dict):
        return None
    try:
        return ToolCallPart(_call_id(), value["name"], orjson.dumps(arguments).decode())
    except orjson.JSONEncodeError:  # they are nested too deeply
        return None


def _call_id() -> str:
    return "call_" + "".join(random.choices(_ID_CHARACTERS, k=_ID_LENGTH))
