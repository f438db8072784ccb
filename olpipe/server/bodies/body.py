"""Read the bodies of requests: JSON of a limited size, whatever its content type says."""

from __future__ import annotations

import zlib
from typing import Any

import orjson
from starlette.requests import Request

from olpipe.server.bodies.fields import Fields
from olpipe.server.bridge import in_thread
from olpipe.server.refusal import Refusal

DEEPEST = 200
"""Most lists and objects within each other. The deepest schema that can be enforced nests less, and orjson, which
writes parts of bodies again, refuses more than 254."""

_LARGE = 1 << 20
"""A body of so many bytes is parsed in a thread."""
_ZIPPED = ("gzip", "x-gzip", "deflate")
_EITHER = 47
"""For zlib: find out from the first bytes whether they are gzip or deflate."""


_RAISE_IT = "raise OLPIPE_MAX_BODY, or send smaller images"


async def read_bytes(request: Request, *, limit: int, hint: str = _RAISE_IT) -> bytes:
    """Return the body of a request, unzipped.

    Args:
        request: The request.
        limit: Most bytes, zipped and unzipped; 0 allows any number.
        hint: What to do about a larger body.

    Raises:
        Refusal: The body is larger, or it is encoded in a way that is not known.
    """
    encoding = _encoding(request)
    declared = request.headers.get("content-length", "")
    if limit and declared.isdecimal() and int(declared) > limit:
        raise _too_large(limit, hint)
    data = bytearray()
    async for chunk in request.stream():
        data += chunk
        if limit and len(data) > limit:
            raise _too_large(limit, hint)
    return await in_thread(_unzipped, bytes(data), limit, hint) if encoding else bytes(data)


async def read_json(request: Request, *, limit: int, hint: str = _RAISE_IT) -> Fields:
    """Return the JSON object in the body of a request. `null` counts as an object without fields.

    Raises:
        Refusal: The body is empty, too large, too deep, or not a JSON object.
    """
    data = await read_bytes(request, limit=limit, hint=hint)
    return await in_thread(parse, data) if len(data) > _LARGE else parse(data)


def parse(data: bytes) -> Fields:
    """Return the JSON object of a body.

    Raises:
        Refusal: The body is empty, too deep, or not a JSON object.
    """
    if not data.strip():
        raise Refusal(400, "missing request body")
    try:
        value: Any = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        if "depth" in str(error) or "ecursion" in str(error):  # orjson has a limit of its own
            raise _too_deep() from error
        raise Refusal(400, f"the body is not valid JSON: {error}") from error
    if data.count(b"[") + data.count(b"{") > DEEPEST:
        _check_depth(value)
    if value is None:
        value = {}
    if not isinstance(value, dict):
        raise Refusal(400, "the body must be a JSON object")
    return Fields(value)


def _check_depth(value: Any) -> None:
    """Refuse what nests too deep. Whoever reads a body may then follow it down to its end."""
    level = [value]
    for _ in range(DEEPEST + 1):
        parts = (part.values() if isinstance(part, dict) else part for part in level if isinstance(part, dict | list))
        level = [inner for part in parts for inner in part if isinstance(inner, dict | list)]
        if not level:
            return
    raise _too_deep()


def _encoding(request: Request) -> str:
    """Return how a body is zipped; empty where it is not.

    Raises:
        Refusal: It is encoded in another way.
    """
    encoding = request.headers.get("content-encoding", "").strip().lower()
    if encoding in ("", "identity"):
        return ""
    if encoding not in _ZIPPED:
        hint = "send it as it is, or as gzip"
        raise Refusal(415, f"the body has the Content-Encoding `{encoding}`, which is not known", hint=hint)
    return encoding


def _unzipped(data: bytes, limit: int, hint: str) -> bytes:
    """Return the bytes of a zipped body.

    Raises:
        Refusal: They are more than `limit`, or the body is damaged.
    """
    reader = zlib.decompressobj(_EITHER)
    try:
        found = reader.decompress(data, limit + 1 if limit else 0)
    except zlib.error as error:
        raise Refusal(400, f"the body cannot be unzipped: {error}") from error
    if limit and len(found) > limit:
        raise _too_large(limit, hint)
    if not reader.eof:
        raise Refusal(400, "the body cannot be unzipped: it is cut short")
    return found


def _too_large(limit: int, hint: str) -> Refusal:
    return Refusal(413, f"the body has more than {limit} bytes", hint=hint)


def _too_deep() -> Refusal:
    return Refusal(400, f"the body has more than {DEEPEST} lists and objects within each other")
