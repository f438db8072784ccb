"""Look at every request: count it, and log it where that is wished for."""

from __future__ import annotations

import logging
import time
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from olpipe.errors import OlpipeError
from olpipe.generation import Timings, Usage
from olpipe.server.bodies.responses import CLIENT_CLOSED
from olpipe.server.bridge import LoopDelivery
from olpipe.server.edge.request_ids import present_request
from olpipe.server.metrics import Metrics

logger = logging.getLogger(__name__)


class Watching:
    """Counts each request when it is over, and logs its id, method, path, status and time. It never logs bodies."""

    def __init__(self, app: ASGIApp, *, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status = CLIENT_CLOSED

        async def send_noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        self._metrics.began()
        began = time.monotonic()
        try:
            await self._app(scope, receive, send_noting)
        finally:
            seconds = time.monotonic() - began
            self._metrics.ended(getattr(scope.get("route"), "path", ""), scope["method"], status, seconds)
            path = scope.get("raw_path", b"").decode("latin-1")  # as it was sent, so that it cannot break the line
            logger.info("%s %s %s: %d in %.3f s", present_request(), scope["method"], path, status, seconds)


class WatchedDelivery(LoopDelivery):
    """Counts and logs an answer when its end is taken out.

    It must not do so where the end is put in: that happens in any thread, even in the middle of a garbage collection.
    """

    def __init__(self, metrics: Metrics, model: str) -> None:
        """Make a delivery for the event loop that runs in this thread.

        Args:
            metrics: Where the answer is counted.
            model: The model, as the client spelled it.
        """
        super().__init__()
        self._metrics = metrics
        self._model = model

    async def take(self) -> Any:
        """Wait for the next item."""
        item = await super().take()
        if isinstance(item, OlpipeError):
            self._metrics.answered(self._model, item)
        elif item.finish_reason is not None:
            self._metrics.answered(self._model, item)
            usage, timings = item.usage or Usage(), item.timings or Timings()
            logger.info(
                "%s %r: %d tokens of prompt (%d from the cache), %d tokens of answer (%d forced), %s",
                present_request(),
                self._model,
                usage.prompt_tokens,
                timings.reused_tokens,
                usage.sampled_tokens + usage.forced_tokens,
                usage.forced_tokens,
                item.finish_reason.value,
            )
        return item
