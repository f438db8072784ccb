"""Operations of the document: what is sent, what comes back, and which errors there are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from olpipe.server.openapi.schemas import Schema, ref

Operation = dict[str, Any]

JSON = "application/json"
NDJSON = "application/x-ndjson"
EVENTS = "text/event-stream"
PLAIN = "text/plain"

NATIVE, OPENAI, ANTHROPIC = "Error", "OpenAIError", "AnthropicError"

_ERRORS = {
    400: "A field is missing or cannot be used, or it asks for more than is allowed.",
    401: "The server has keys, and the request brings none of them.",
    403: "A page of another origin asked, or models may not be changed from there. In the first case there is no body.",
    404: "There is no such model.",
    408: "The request came too slowly.",
    413: "The body is too large.",
    415: "The body has a `Content-Encoding` that is not known.",
    431: "The headers are too large.",
    499: "The client went away.",
    500: "The server could not do it.",
    502: "Another server, from which something had to be fetched, does not answer.",
    503: "Too many requests wait already, or the machine failed.",
}


def body(schema: Schema, kind: str = JSON) -> Schema:
    """Return a request body that has to be sent."""
    return {"required": True, "content": {kind: {"schema": schema}}}


def content(description: str, **schemas: Schema) -> Schema:
    """Return a response in one or more media types: `json`, `ndjson`, `events` or `text`."""
    kinds = {"json": JSON, "ndjson": NDJSON, "events": EVENTS, "text": PLAIN}
    return {
        "description": description,
        "content": {kinds[name]: {"schema": schema} for name, schema in schemas.items()},
    }


def operation(
    name: str,
    summary: str,
    responses: Mapping[int, Schema],
    *,
    tag: str,
    error: str = NATIVE,
    description: str = "",
    **more: Any,
) -> Operation:
    """Return an operation.

    Args:
        name: Its id.
        summary: What it does, in one line.
        responses: What comes back where nothing goes wrong, by status.
        tag: The group that it belongs to.
        error: The schema of its errors.
        description: What the summary does not say.
        **more: Its body and its parameters.
    """
    failed = {"content": {JSON: {"schema": ref(error)}}}
    told = {str(status): {"description": text, **failed} for status, text in _ERRORS.items()}
    return {
        "operationId": name,
        "tags": [tag],
        "summary": summary,
        **({"description": description} if description else {}),
        **more,
        "responses": {**{str(status): response for status, response in responses.items()}, **told},
    }
