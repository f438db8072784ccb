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
"""The text that begins a part of an answer, and the text that ends it."""

_State = Literal["text", "thinking", "call"]
_ID_CHARACTERS = string.ascii_lowercase + string.digits
_ID_LENGTH = 8


@dataclass(frozen=True, slots=True)
class Markers:
    """How a model marks the parts of its answers.

    Attributes:
        thinking: The texts around what it thinks; None for a model that does not think.
        call: The texts around the JSON of one tool call; None for a model that calls no tools.
    """

    thinking: Span | None = None
    call: Span | None = None

    @property
    def texts(self) -> tuple[str, ...]:
        """All texts that begin or end a part."""
        return (*(self.thinking or ()), *(self.call or ()))


@dataclass(slots=True)
class Pieces:
    """The parts of an answer that became known.

    Attributes:
        text: What the answer says.
        thinking: What the model thinks.
        calls: The tool calls, in order.
    """

    text: str = ""
    thinking: str = ""
    calls: list[ToolCallPart] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.text or self.thinking or self.calls)


class AnswerReader:
    """Reads one answer piece by piece. Text that may be the beginning of a marker is held back.

    Attributes:
        called: Whether a tool call was read.
    """

    def __init__(self, markers: Markers, *, calls: bool, thinking: bool) -> None:
        """Begin with nothing.

        Args:
            markers: How the model marks the parts.
            calls: Whether there are tools to call. Without them, the markers of tool calls are text.
            thinking: Whether the prompt has opened the thinking already.
        """
        self._markers = markers
        self._calls = calls
        self._state: _State = "thinking" if thinking else "text"
        self._trims = thinking  # whether white space comes next that belongs to no part, as it does after a marker
        self._begun = thinking  # whether there was a marker or any text but white space
        self._held = ""
        self.called = False

    def feed(self, text: str) -> Pieces:
        """Take text and return what became known."""
        pieces = Pieces()
        text = self._held + text
        while text:
            # 1. Look for the markers that may come next.
            openers = list(self._openers())
            places = [(text.find(marker), marker, state) for marker, state in openers if marker in text]
            # 2. None is there. Hold back what may be the beginning of one, all of a tool call, and white space at the
            #    very start: a marker may follow it.
            if not places:
                keep = max((overlap(text, marker) for marker, _ in openers), default=0)
                if self._state == "call" or not (self._begun or text[: len(text) - keep].strip()):
                    keep = len(text)
                self._put(pieces, text[: len(text) - keep])
                self._held = text[len(text) - keep :]
                return pieces
            # 3. The first marker ends the present part and begins another.
            at, marker, state = min(places)
            self._trims = self._close(pieces, text[:at])
            self._state, self._begun = state, True
            text = text[at + len(marker) :]
        self._held = ""
        return pieces

    def finish(self) -> Pieces:
        """Return what was held back. A tool call that never ended is text."""
        pieces = Pieces()
        held, self._held = self._held, ""
        if self._state == "call" and self._markers.call:
            self._state = "text"
            held = self._markers.call[0] + held
        self._put(pieces, held)
        return pieces

    def _openers(self) -> Iterator[tuple[str, _State]]:
        """Yield the markers that may come next, each with the kind of part that follows it."""
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
        """Take the last text of the open part. Return whether white space after its marker belongs to no part."""
        if self._state != "call":
            self._put(pieces, text)
            return True
        call = read_call(text)
        if call is not None:
            pieces.calls.append(call)
            self.called = True
        elif self._markers.call:  # it is no tool call, so all of it is text, with its markers
            pieces.text += self._markers.call[0] + text + self._markers.call[1]
        return call is not None


def read_call(text: str) -> ToolCallPart | None:
    """Read `{"name": …, "arguments": {…}}`; returns None where the text is something else."""
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
