"""Responses: JSON, lines of JSON, and server-sent events."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import orjson
from starlette.responses import Response, StreamingResponse

CLIENT_CLOSED = 499
CLOSED = Response(status_code=CLIENT_CLOSED)
"""The response to a client that has gone."""

_NOT_KEPT = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}


def json_response(body: Any, status: int = 200) -> Response:
    """Return a JSON response."""
    return Response(orjson.dumps(body) + b"\n", status, media_type="application/json; charset=utf-8")


def ndjson(lines: AsyncIterator[bytes]) -> Response:
    """Return a stream of lines, each of which is JSON."""
    return StreamingResponse(lines, headers={"Content-Type": "application/x-ndjson"})


def events(lines: AsyncIterator[bytes]) -> Response:
    """Return a stream of server-sent events."""
    return StreamingResponse(lines, headers={"Content-Type": "text/event-stream", **_NOT_KEPT})
