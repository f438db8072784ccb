"""Notice when a stream has nothing to say for a while."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any, TypeVar, cast

from olpipe.errors import OlpipeError

T = TypeVar("T")


async def with_pauses(items: AsyncIterator[T], after_s: float) -> AsyncIterator[tuple[T, ...]]:
    """Yield each item in a tuple, and an empty tuple whenever no item has come for some seconds.

    Leaving early closes the items.
    """
    waiting: asyncio.Future[tuple[T, ...] | None] | None = None
    try:
        while True:
            waiting = waiting or asyncio.ensure_future(_next(items))
            await asyncio.wait({waiting}, timeout=after_s)
            if not waiting.done():
                yield ()
                continue
            found, waiting = waiting.result(), None
            if found is None:
                return
            yield found
    finally:
        if waiting is not None and not waiting.done():
            waiting.cancel()
            with contextlib.suppress(asyncio.CancelledError, OlpipeError):
                await waiting
        await cast(Any, items).aclose()


async def _next(items: AsyncIterator[T]) -> tuple[T, ...] | None:
    """Wait for the next item; None means that there is none."""
    async for item in items:
        return (item,)
    return None
