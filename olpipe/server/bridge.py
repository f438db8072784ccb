"""From the engine's threads to the event loop: chunks arrive in a queue of the loop, and who leaves cancels."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeVar

import anyio
import anyio.to_thread
from starlette.requests import Request

from olpipe.engine.stream import VISIT, Stream, Visit
from olpipe.errors import OlpipeError
from olpipe.generation import Chunk, Completion

T = TypeVar("T")

WAITING_THREADS = 1024
"""How many requests may wait in threads at the same time: for a model to be loaded, a photo to be decoded."""


class LoopDelivery:
    """Takes the chunks of one answer from the engine's thread, and gives them to the event loop.

    Chunks that arrive while the loop is busy are taken together, so that a slow client costs the engine nothing.
    """

    def __init__(self) -> None:
        """Make a delivery for the event loop that runs in this thread."""
        self._loop = asyncio.get_running_loop()
        self._items: deque[Any] = deque()
        self._arrived = asyncio.Event()

    def put(self, item: Any) -> None:
        """Add an item; any thread may call this. Items for a loop that has ended are dropped."""
        self._items.append(item)
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._arrived.set)

    async def take(self) -> Any:
        """Wait for the next item."""
        while not self._items:
            self._arrived.clear()
            await self._arrived.wait()
        return self._items.popleft()


async def in_thread(call: Callable[..., T], *arguments: Any, **options: Any) -> T:
    """Run something that may wait in a thread. When this is cancelled, so is the reply that the thread waits for."""
    visit = Visit()

    def visiting() -> T:
        VISIT.set(visit)  # each call runs in a copy of this context, so no other call sees it
        return call(*arguments, **options)

    try:
        return await anyio.to_thread.run_sync(visiting, abandon_on_cancel=True, limiter=_limiter())
    except asyncio.CancelledError:
        visit.leave()
        raise


_limiters: dict[int, anyio.CapacityLimiter] = {}


def _limiter() -> anyio.CapacityLimiter:
    loop = id(asyncio.get_running_loop())
    if loop not in _limiters:
        _limiters.clear()
        _limiters[loop] = anyio.CapacityLimiter(WAITING_THREADS)
    return _limiters[loop]


async def chunks(stream: Stream, delivery: LoopDelivery) -> AsyncIterator[Chunk]:
    """Yield the chunks of a stream. Leaving early cancels the request.

    Raises:
        OlpipeError: What went wrong with the request.
    """
    try:
        while True:
            chunk = stream.took(await delivery.take())
            yield chunk
            if chunk.finish_reason is not None:
                return
    finally:
        stream.cancel()


async def completion(stream: Stream, delivery: LoopDelivery) -> Completion:
    """Wait for the whole answer.

    Raises:
        OlpipeError: What went wrong with the request.
    """
    async for _ in chunks(stream, delivery):
        pass
    return stream.completion()


async def unless_gone(request: Request, work: Awaitable[T]) -> T | None:
    """Wait for some work. When the client goes away first, the work is cancelled, and None is returned."""
    task = asyncio.ensure_future(work)
    watch = asyncio.ensure_future(_gone(request))
    try:
        await asyncio.wait({task, watch}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        return None
    finally:
        for one in (task, watch):
            if not one.done():
                one.cancel()
                with contextlib.suppress(asyncio.CancelledError, OlpipeError):
                    await one


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
