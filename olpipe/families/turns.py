"""Turn messages and tools into what chat templates expect: plain values, under the names of the reference."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from olpipe.errors import UsageError
from olpipe.generation import Tool
from olpipe.messages import ImagePart, Message, Part, TextPart, ThinkingPart, ToolCallPart, ToolResultPart

if TYPE_CHECKING:
    from olpipe.families.template_shape import TemplateShape

IMAGE = "\ufdd1"
"""Marks the place of an image in a text. Unicode reserves it for a program's own use, so other texts do not have it."""

Turn = dict[str, Any]
"""A message as templates expect it: `role`, `content` and, where there are any, thinking and tool calls."""

Quote = Callable[[str], str]
"""Marks a text, so that nothing in it counts as a special token. Every text that the template did not write gets it."""


def turns_of(messages: Sequence[Message], shape: TemplateShape, quote: Quote) -> list[Turn]:
    """Return messages in the form that a template expects.

    Args:
        messages: The conversation.
        shape: The form.
        quote: Applied to every text.

    Raises:
        UsageError: The arguments of a tool call are not a JSON object.
    """
    return [_turn(message.role, parts, shape, quote) for message in messages for parts in _apart(message)]


def described(tool: Tool, quote: Quote) -> dict[str, Any]:
    """Return a tool as templates expect it.

    Raises:
        UsageError: Its parameters are not a JSON object.
    """
    parameters = _quoted(_object(tool.parameters, f"the parameters of the tool `{tool.name}`"), quote)
    function = {"name": quote(tool.name), "description": quote(tool.description), "parameters": parameters}
    return {"type": "function", "function": function}


def joined(parts: Sequence[Part], quote: Quote) -> str:
    """Return parts as one text, with `IMAGE` at the place of each image."""
    return "".join(IMAGE if item is None else quote(item) for item in _items(parts))


def _apart(message: Message) -> Iterator[Sequence[Part]]:
    """Yield the parts of each turn of a message. A message may have several results of tools, but a turn only one."""
    results = [at for at, part in enumerate(message.parts) if isinstance(part, ToolResultPart)]
    bounds = [0, *results[1:], len(message.parts)]
    for start, end in pairwise(bounds):
        yield message.parts[start:end]


def _turn(role: str, parts: Sequence[Part], shape: TemplateShape, quote: Quote) -> Turn:
    turn: Turn = {"role": role, "content": _content(parts, shape, quote)}
    if thoughts := [part.text for part in parts if isinstance(part, ThinkingPart)]:
        thinking = quote("\n".join(thoughts))
        turn |= {"reasoning_content": thinking, "thinking": thinking}
    if calls := [part for part in parts if isinstance(part, ToolCallPart)]:
        turn["tool_calls"] = [_called(part, shape, quote) for part in calls]
    for part in parts:
        if isinstance(part, ToolResultPart):
            turn |= {"name": quote(part.name), "tool_call_id": quote(part.call_id)}
    return turn


def _content(parts: Sequence[Part], shape: TemplateShape, quote: Quote) -> str | list[dict[str, str]]:
    items = _items(parts)
    if not shape.wants_parts(images=None in items):
        return joined(parts, quote)
    return [{"type": "image"} if item is None else {"type": "text", "text": quote(item)} for item in items or [""]]


def _items(parts: Sequence[Part]) -> list[str | None]:
    """Return the texts of parts, and None for each image.

    Texts side by side become one text with a line break between them. There is no line break around an image.
    """
    items: list[str | None] = []
    for part in parts:
        before = items[-1] if items else None
        if isinstance(part, ImagePart):
            items.append(None)
        elif isinstance(part, TextPart | ToolResultPart):
            if before is None:
                items.append(part.text)
            else:
                items[-1] = f"{before}\n{part.text}"
    return items


def _called(call: ToolCallPart, shape: TemplateShape, quote: Quote) -> dict[str, Any]:
    arguments = _object(call.arguments, f"the arguments of the call of `{call.name}`")
    given = quote(call.arguments or "{}") if shape.joins_arguments else _quoted(arguments, quote)
    return {"id": quote(call.call_id), "type": "function", "function": {"name": quote(call.name), "arguments": given}}


def _object(text: str, what: str) -> dict[str, Any]:
    """Return the JSON object of a text. An empty text gives an empty object.

    Args:
        text: The text.
        what: What it is, for the error message.

    Raises:
        UsageError: It is not a JSON object.
    """
    try:
        value = json.loads(text or "{}")
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise UsageError(f"{what} are not a JSON object")
    return value


def _quoted(value: Any, quote: Quote) -> Any:
    """Quote all texts of a JSON value, its keys included: the template writes them, too."""
    if isinstance(value, str):
        return quote(value)
    if isinstance(value, list):
        return [_quoted(item, quote) for item in value]
    if isinstance(value, dict):
        return {quote(key): _quoted(item, quote) for key, item in value.items()}
    return value
