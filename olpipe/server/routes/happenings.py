"""Events about the models in memory: they are loaded, they have requests, they leave."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from olpipe.server.bodies.event_streams import event
from olpipe.server.bodies.responses import events
from olpipe.server.bridge import in_thread
from olpipe.server.routes.models import loaded_models
from olpipe.server.service import Service

LOOKS_EVERY_S = 0.25
"""How often it is looked whether anything has changed."""

SILENT_S = 15.0
"""After so long without a change, a line that means nothing keeps the connection open."""

_CHANGES_ALL_THE_TIME = ("size", "expires_at")


def routes(service: Service) -> list[Route]:
    """Return the routes."""

    async def happenings(request: Request) -> Response:
        return events(_changes(service))

    return [Route("/api/events", happenings, methods=["GET"])]


async def _changes(service: Service) -> AsyncIterator[bytes]:
    """Yield what /api/ps says, at first and after each change. Memory and times alone are no change."""
    before: list[dict[str, Any]] | None = None
    told_at = time.monotonic()
    while True:
        models = await in_thread(loaded_models, service)
        now = [{name: value for name, value in one.items() if name not in _CHANGES_ALL_THE_TIME} for one in models]
        if now != before:
            yield event({"models": models}, "models")
            before, told_at = now, time.monotonic()
        elif time.monotonic() - told_at > SILENT_S:
            yield b": \n\n"
            told_at = time.monotonic()
        await asyncio.sleep(LOOKS_EVERY_S)
