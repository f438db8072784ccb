"""Check bodies and events with the types of OpenAI's own client, which takes them unseen otherwise."""

from __future__ import annotations

import base64
import json
import urllib.request
from typing import Any

import pydantic
from openai.types.responses import ResponseStreamEvent

from olpipe.testing.images import photo

_EVENTS: pydantic.TypeAdapter[Any] = pydantic.TypeAdapter(ResponseStreamEvent)

OURS = {
    "capabilities",
    "context_length",
    "frequency_penalty",
    "presence_penalty",
    "reasoning",
    "store",
    "truncated",
    "truncated_messages",
    "truncated_tokens",
}
"""Fields that OpenAI's types do not have: Ollama's, and our own."""


def checked(kind: Any, body: Any) -> Any:
    """Validate a body as a type says, and return it as that type. A field that nobody knows fails."""
    found = kind.model_validate(body)
    assert unknown(found) - OURS == set()
    return found


def checked_event(body: Any) -> Any:
    """Validate an event of a response, and return it as its type."""
    found = _EVENTS.validate_python(body)
    assert found.type == body["type"]
    assert unknown(found) - OURS == set()
    return found


def unknown(value: Any) -> set[str]:
    """Return the names of the fields that a type does not have, at any depth."""
    if isinstance(value, pydantic.BaseModel):
        inner = set().union(*(unknown(getattr(value, name)) for name in type(value).model_fields))
        return inner | set(value.model_extra or ())
    return set().union(*map(unknown, value)) if isinstance(value, list) else set()


def events(server: Any, path: str, body: Any) -> list[tuple[str, Any]]:
    """Return the events of a stream: the name of each, or an empty text, and its data; `[DONE]` stays a text."""
    request = urllib.request.Request(server.url + path, json.dumps({**body, "stream": True}).encode(), method="POST")
    found = []
    with urllib.request.urlopen(request, timeout=120) as reply:
        assert reply.headers["Content-Type"] == "text/event-stream"
        for block in reply.read().decode().removesuffix("\n\n").split("\n\n"):
            lines = dict(line.split(": ", 1) for line in block.split("\n"))
            data = lines["data"]
            found.append((lines.get("event", ""), data if data == "[DONE]" else json.loads(data)))
    return found


def data_url(width: int, height: int) -> str:
    """Return a photo as a data URL."""
    return "data:image/jpeg;base64," + base64.b64encode(photo(width, height)).decode()
