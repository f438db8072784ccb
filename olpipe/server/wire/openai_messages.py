"""OpenAI's messages and their parts, in the shapes of chat completions and of responses.

Source: https://github.com/ollama/ollama/blob/main/openai/openai.go
"""

from __future__ import annotations

from typing import Any, get_args

import orjson

from olpipe.messages import Part, Role, TextPart, ThinkingPart, ToolCallPart, ToolResultPart
from olpipe.server.bodies.fields import Fields
from olpipe.server.question import EncodedImage, Turn
from olpipe.server.refusal import Refusal
from olpipe.server.wire.images import from_url

_ROLES = frozenset(get_args(Role))
_OTHER_ROLES: dict[str, Role] = {"developer": "system", "function": "tool"}
_TEXTS = frozenset(("text", "input_text", "output_text"))
_IMAGES = frozenset(("image_url", "input_image"))
_UNSUPPORTED = {"file": "file", "input_file": "file", "input_audio": "audio"}

Parts = list[Part | EncodedImage]


def read_messages(fields: Fields) -> tuple[Turn, ...]:
    """Read the messages of a chat completion. All parts of a message stay one message.

    Raises:
        Refusal: There are none, or one of them cannot be used.
    """
    names: dict[str, str] = {}  # of the functions, by the ids of their calls
    turns = tuple(_turn(message, names) for message in fields.each("messages"))
    if not turns:
        raise Refusal(400, "[] is too short - 'messages'")
    return turns


def read_role(fields: Fields) -> Role:
    """Return who speaks. Ollama takes any role; chat templates know only these, so any other one is a user's."""
    role = fields.text("role").lower()
    return _OTHER_ROLES.get(role) or (role if role in _ROLES else "user")  # type: ignore[return-value]


def read_parts(fields: Fields, name: str = "content") -> Parts:
    """Read a text, or a list of texts and images.

    Raises:
        Refusal: It is missing, or a part cannot be used.
    """
    value = fields.any(name)
    if isinstance(value, str):
        return [TextPart(value)]
    if value is None:
        raise Refusal(400, f"`{fields.place(name)}` is missing")
    if not isinstance(value, list):
        raise Refusal(400, f"`{fields.place(name)}` must be a text, or a list of texts and images")
    return [_part(part) for part in fields.each(name)]


def read_result(fields: Fields, name: str, *, call_id: str, function: str) -> Parts:
    """Read what a function returned: its texts as one result, then its images.

    Args:
        fields: The message, or the item.
        name: The field that holds the result.
        call_id: The id of the call that is answered.
        function: The function's name.

    Raises:
        Refusal: A part cannot be used.
    """
    parts = read_parts(fields, name)
    text = "".join(part.text for part in parts if isinstance(part, TextPart))
    images = [part for part in parts if isinstance(part, EncodedImage)]
    return [ToolResultPart(call_id, function, text), *images]


def read_arguments(fields: Fields, name: str = "arguments") -> str:
    """Return the arguments of a call, as the text of a JSON object.

    Raises:
        Refusal: They are not a JSON object.
    """
    value = fields.any(name)
    if isinstance(value, str):
        try:
            parsed: Any = orjson.loads(value or "{}")
        except orjson.JSONDecodeError as error:
            raise Refusal(400, f"`{fields.place(name)}` is not valid JSON: {error}") from error
        if isinstance(parsed, dict):
            return value or "{}"
    elif isinstance(value, dict):
        return orjson.dumps(value).decode()
    elif value is None:
        return "{}"
    raise Refusal(400, f"`{fields.place(name)}` must be the text of a JSON object")


def _turn(message: Fields, names: dict[str, str]) -> Turn:
    role = read_role(message)
    if role == "tool":
        call_id = message.text("tool_call_id")
        name = message.text("name") or names.get(call_id, "")
        return Turn(role, tuple(read_result(message, "content", call_id=call_id, function=name)))
    calls = [_call(call) for call in message.each("tool_calls")]
    names |= {call.call_id: call.name for call in calls}
    parts: Parts = []
    if thinking := message.text("reasoning") or message.text("reasoning_content"):
        parts.append(ThinkingPart(thinking))
    if "content" in message or not (calls or parts):
        parts += read_parts(message)
    return Turn(role, (*parts, *calls))


def _call(call: Fields) -> ToolCallPart:
    function = call.inner("function")
    if function is None or not function.text("name"):
        raise Refusal(400, f"`{call.place('function.name')}` is missing")
    return ToolCallPart(call.text("id"), function.text("name"), read_arguments(function))


def _part(part: Fields) -> TextPart | EncodedImage:
    kind = part.text("type")
    if kind in _TEXTS:
        return TextPart(part.text("text"))
    if kind == "refusal":
        return TextPart(part.text("refusal"))
    if kind in _IMAGES:
        return _image(part)
    if kind in _UNSUPPORTED:
        raise Refusal(400, f"{_UNSUPPORTED[kind]} inputs are not currently supported (`{part.place('type')}`)")
    raise Refusal(400, f"`{part.place('type')}` cannot be `{kind}`: a part is a text or an image")


def _image(part: Fields) -> EncodedImage:
    value = part.any("image_url")
    if isinstance(value, str):
        return from_url(value, part.place("image_url"))
    inner = part.inner("image_url")
    url = "" if inner is None else inner.text("url")
    if not url:
        told = f"`{part.place('image_url')}` is missing"
        hint = "files are not stored here: send the image as a data URL" if "file_id" in part else None
        raise Refusal(400, told, hint=hint)
    return from_url(url, part.place("image_url.url"))
