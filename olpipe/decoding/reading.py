"""Tell the thinking and the tool calls of an answer from its text, while the answer is being written."""

from __future__ import annotations

import json
import random
import string
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from olpipe.guidance.outline import Outline
from olpipe.messages import ToolCallPart

State = Literal["text", "thinking", "call", "document"]
"""What an answer is at its end: free text, thinking, tool calls, or a document that is held to a format."""

_ID_CHARACTERS = string.ascii_lowercase + string.digits
_ID_LENGTH = 8


@dataclass(frozen=True, slots=True)
class ThinkingFormat:
    """How a model writes what it thinks.

    Attributes:
        begin: The marker before the thinking.
        end: The marker behind it.
        after_begin: The white space that the model writes behind the first marker.
        after_end: The white space that the model writes behind the second marker.
    """

    begin: str
    end: str
    after_begin: str = ""
    after_end: str = ""


@dataclass(frozen=True, slots=True)
class CallFormat:
    r"""How a model writes tool calls: in sections of one call or several.

    A section is `begin`, `before`, the calls with `between` between them, `after`, `end`. A call is a JSON object with
    a name and with arguments. A model that writes `<tool_call>\n{"name": …, "arguments": {…}}\n</tool_call>` has the
    format `CallFormat("<tool_call>", "</tool_call>", before="\n", after="\n", gap="\n")`.

    Attributes:
        begin: The marker before a section. It is empty for a model that writes the JSON alone. Such an answer is a
            single call, and it begins with `{`.
        end: The marker behind a section; empty where there is none.
        before: What stands between the first marker and the first call.
        after: What stands between the last call and the second marker.
        between: What stands between two calls of a section; empty where a section has one call.
        gap: What stands between two sections.
        name_key: The key of the tool's name.
        arguments_key: The key of its arguments.
        around_name: For a model that writes the name outside the JSON: what stands before the name, between the name
            and the object of arguments, and behind the object. None for a model that does not.
        tag: A special token that may stand before the JSON where `begin` is empty.
    """

    begin: str
    end: str = ""
    before: str = ""
    after: str = ""
    between: str = ""
    gap: str = ""
    name_key: str = "name"
    arguments_key: str = "arguments"
    around_name: tuple[str, str, str] | None = None
    tag: str = ""

    @property
    def marker(self) -> str:
        """What tells that calls come next, where anything but the JSON itself tells it."""
        return self.begin or self.tag

    @property
    def texts(self) -> tuple[str, ...]:
        """All texts that may have special tokens in them."""
        return (self.begin, self.end, self.before, self.after, self.between, self.tag, *(self.around_name or ()))


@dataclass(frozen=True, slots=True)
class Markers:
    """How a model marks the parts of its answers.

    Attributes:
        thinking: How it writes what it thinks; None for a model that does not think.
        call: How it writes tool calls; None for a model that calls no tools.
    """

    thinking: ThinkingFormat | None = None
    call: CallFormat | None = None

    @property
    def texts(self) -> tuple[str, ...]:
        """All texts that begin or end a part, or that stand within tool calls."""
        thinking = (self.thinking.begin, self.thinking.end) if self.thinking else ()
        return (*thinking, *(self.call.texts if self.call else ()))


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

    def add(self, later: Pieces) -> None:
        """Add parts that became known later."""
        self.text += later.text
        self.thinking += later.thinking
        self.calls += later.calls


class AnswerReader:
    """Reads one answer piece by piece. Text that may be the beginning of a marker is held back.

    The markers tell where thinking begins and ends, and where tool calls begin. Where tool calls end, and where a
    document begins, a grammar knows: `enter` is called there.

    Attributes:
        state: What the answer is at its end.
        silent: Whether there was nothing but white space so far.
    """

    def __init__(self, markers: Markers, *, calls: bool, thinking: bool) -> None:
        """Begin with nothing.

        Args:
            markers: How the model marks the parts.
            calls: Whether there are tools to call. Without them, the markers of tool calls are text.
            thinking: Whether the prompt has opened the thinking already.
        """
        self._markers = markers
        self._call_marker = markers.call.marker if markers.call is not None and calls else ""
        self._calls = CallReader(markers.call or CallFormat(""))
        self.state: State = "thinking" if thinking else "text"
        self.silent = not thinking
        self._trims = thinking  # whether white space comes next that belongs to no part, as it does after a marker
        self._held = ""

    def enter(self, state: State) -> None:
        """Go on with another kind of part. White space at its beginning belongs to no part, but for documents."""
        self.state, self.silent = state, False
        self._trims, self._held = True, ""

    def feed(self, text: str) -> Pieces:
        """Take text and return what became known."""
        pieces = Pieces()
        text = self._held + text
        while text and self.state in ("text", "thinking"):
            # 1. Look for the markers that may come next.
            found = self._first_marker(text)
            # 2. None is there. Hold back what may be the beginning of one, and white space at the very start: a marker
            #    may follow it.
            if found is None:
                keep = max((overlap(text, marker) for marker, _ in self._openers()), default=0)
                if self.silent and not text[: len(text) - keep].strip():
                    keep = len(text)
                self._put(pieces, text[: len(text) - keep])
                self._held = text[len(text) - keep :]
                return pieces
            # 3. The first marker ends the present part and begins another.
            at, marker, state = found
            self._put(pieces, text[:at])
            self.enter(state)
            text = text[at + len(marker) :]
        # 4. Tool calls are held back until they are whole, and a document is text as it is.
        self._held = ""
        if self.state == "call":
            pieces.calls += self._calls.feed(text)
        elif self.state == "document":
            pieces.text += text
        return pieces

    def marker_in(self, text: str) -> tuple[int, State] | None:
        """Say where the first marker that `feed` would meet ends in a text, and what it begins; None where none ends.

        Args:
            text: What would be given to `feed`.
        """
        found = self._first_marker(self._held + text) if self.state in ("text", "thinking") else None
        return None if found is None else (found[0] + len(found[1]) - len(self._held), found[2])

    def would_begin_with(self, character: str, text: str) -> bool:
        """Say whether a free text would begin with a character, if a text were given to `feed`."""
        begins = self.state == "text" and (self.silent or self._trims)
        return begins and (self._held + text).lstrip().startswith(character)

    def finish(self) -> Pieces:
        """Return what was held back. A tool call that never ended is left out."""
        pieces = Pieces()
        held, self._held = self._held, ""
        if self.state in ("text", "thinking"):
            self._put(pieces, held)
        return pieces

    def _first_marker(self, text: str) -> tuple[int, str, State] | None:
        """Return the place of the first marker that may come next, its text, and what it begins."""
        return min(((text.find(one), one, state) for one, state in self._openers() if one in text), default=None)

    def _openers(self) -> Iterator[tuple[str, State]]:
        """Yield the markers that may come next, each with what it begins."""
        thinking = self._markers.thinking
        if self.state == "thinking":
            if thinking is not None:
                yield thinking.end, "text"
            return
        if thinking is not None:
            yield thinking.begin, "thinking"
        if self._call_marker:
            yield self._call_marker, "call"

    def _put(self, pieces: Pieces, text: str) -> None:
        """Add text to the part that is open."""
        if self._trims:
            text = text.lstrip()
        if not text or (self.silent and not text.strip()):
            return
        self._trims = self.silent = False
        if self.state == "thinking":
            pieces.thinking += text
        else:
            pieces.text += text


class CallReader:
    """Reads tool calls piece by piece, and returns each of them once it is whole.

    The texts come from a model that is held to the grammar of its calls. So everything but names and JSON objects is
    passed over.
    """

    def __init__(self, format_: CallFormat) -> None:
        self._format = format_
        self._outside = ""  # what stands before the next object
        self._object = ""
        self._outline = Outline()

    def feed(self, text: str) -> list[ToolCallPart]:
        """Take text, and return the calls that it completes."""
        calls = []
        for character in text:
            if not self._object and character != "{":
                self._outside += character
                continue
            self._object += character
            self._outline.advance(character)
            if not self._outline.open:
                calls.append(self._call(json.loads(self._object)))
                self._outside = self._object = ""
        return calls

    def _call(self, value: dict[str, object]) -> ToolCallPart:
        name, arguments = value.get(self._format.name_key), value.get(self._format.arguments_key)
        if self._format.around_name is not None:
            before, between, _ = self._format.around_name
            name, arguments = self._outside.removesuffix(between), value
            for opener in filter(None, (self._format.begin, before)):
                name = name.rpartition(opener)[2]
        compact = json.dumps(arguments, ensure_ascii=False, separators=(",", ":"))
        return ToolCallPart(call_id(), str(name), compact)


def call_id() -> str:
    """Return a new id for a tool call."""
    return "call_" + "".join(random.choices(_ID_CHARACTERS, k=_ID_LENGTH))


def overlap(text: str, marker: str) -> int:
    """Return how many characters at the end of a text may begin a marker. A whole marker does not count."""
    longest = min(len(text), len(marker) - 1)
    return next((size for size in range(longest, 0, -1) if text.endswith(marker[:size])), 0)
