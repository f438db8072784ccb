"""Server-sent events: an error at the start keeps its status, a later one is told, and who leaves cancels."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from typing import Any, TypeVar, cast

import orjson
from starlette.requests import Request
from starlette.responses import Response

from olpipe.errors import OlpipeError, first_line
from olpipe.server.bodies.responses import CLOSED, events
from olpipe.server.bridge import unless_gone
from olpipe.server.refusal import Refusal

T = TypeVar("T")

logger = logging.getLogger(__name__)

DONE = b"data: [DONE]\n\n"
"""What ends a stream of OpenAI's API."""


def event(body: Any, name: str = "") -> bytes:
    """Return one event. `name` is its type; empty leaves it out."""
    data = b"data: " + orjson.dumps(body) + b"\n\n"
    return b"event: " + name.encode() + b"\n" + data if name else data


async def stream(
    request: Request,
    items: AsyncIterator[T],
    write: Callable[[T], bytes],
    end: Callable[[], bytes],
    failed: Callable[[OlpipeError], bytes],
) -> Response:
    """Return a stream of events. It waits for the first item, so that what goes wrong before has a status of its own.

    Args:
        request: The request. When its client leaves, `items` are closed.
        items: What is written.
        write: Returns the events of one item.
        end: Returns the events after the last item.
        failed: Returns the events that end the stream because of an error.

    Raises:
        OlpipeError: What went wrong before the first item.
    """
    started = await unless_gone(request, begun(items))
    return CLOSED if started is None else events(_written(started, write, end, failed))


async def begun(items: AsyncIterator[T]) -> AsyncIterator[T]:
    """Wait for the first of some items, and return all of them.

    Raises:
        OlpipeError: What went wrong before the first item.
    """
    first = await anext(items)
    return _from(first, items)


async def _from(first: T, rest: AsyncIterator[T]) -> AsyncIterator[T]:
    async with aclosing(cast(Any, rest)):
        yield first
        async for item in rest:
            yield item


async def _written(
    items: AsyncIterator[T],
    write: Callable[[T], bytes],
    end: Callable[[], bytes],
    failed: Callable[[OlpipeError], bytes],
) -> AsyncIterator[bytes]:
    try:
        async with aclosing(cast(Any, items)):
            async for item in items:
                if written := write(item):
                    yield written
        if ended := end():
            yield ended
    except OlpipeError as error:
        yield failed(error)
    except Exception as error:  # the status is sent already, so only an event can tell of a fault
        logger.error("a stream failed", exc_info=error)
        yield failed(Refusal(500, f"olpipe has a fault: {type(error).__name__}: {first_line(error)}"))
