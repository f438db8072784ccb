"""Read the bodies of requests: JSON of a limited size, whatever its content type says."""

from __future__ import annotations

from typing import Any

import orjson
from starlette.requests import Request

from olpipe.server.fields import Fields
from olpipe.server.refusal import Refusal


async def read_bytes(request: Request, *, limit: int) -> bytes:
    """Return the body of a request.

    Args:
        request: The request.
        limit: Most bytes; 0 allows any number.

    Raises:
        Refusal: The body is larger.
    """
    declared = request.headers.get("content-length", "")
    if limit and declared.isdecimal() and int(declared) > limit:
        raise _too_large(limit)
    data = bytearray()
    async for chunk in request.stream():
        data += chunk
        if limit and len(data) > limit:
            raise _too_large(limit)
    return bytes(data)


async def read_json(request: Request, *, limit: int) -> Fields:
    """Return the JSON object in the body of a request. `null` counts as an object without fields.

    Raises:
        Refusal: The body is empty, too large, or not a JSON object.
    """
    return parse(await read_bytes(request, limit=limit))


def parse(data: bytes) -> Fields:
    """Return the JSON object of a body.

    Raises:
        Refusal: The body is empty or not a JSON object.
    """
    if not data.strip():
        raise Refusal(400, "missing request body")
    try:
        value: Any = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise Refusal(400, f"the body is not valid JSON: {error}") from error
    if value is None:
        value = {}
    if not isinstance(value, dict):
        raise Refusal(400, "the body must be a JSON object")
    return Fields(value)


def _too_large(limit: int) -> Refusal:
    return Refusal(413, f"the body has more than {limit} bytes", hint="raise OLPIPE_MAX_BODY, or send smaller images")
