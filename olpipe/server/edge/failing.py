"""What a client is told when its request fails."""

from __future__ import annotations

import logging

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from olpipe.errors import OlpipeError, first_line
from olpipe.server.bodies.responses import json_response
from olpipe.server.edge.request_ids import request_id
from olpipe.server.refusal import Refusal, status_of
from olpipe.server.wire import failures

logger = logging.getLogger(__name__)


def refused(request: Request, error: OlpipeError) -> Response:
    """Return the response to a request that failed, as the API has it whose path it has."""
    path = request.scope["path"]
    if path.startswith("/v1/messages"):
        body = failures.anthropic(error, request_id(request))
    else:
        body = failures.openai(error) if path.startswith("/v1/") else failures.native(error)
    return json_response(body, status_of(error))


class Faults:
    """Answers with the status 500 where our own code fails, and logs the traceback."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request."""
        started = False

        async def send_noting(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self._app(scope, receive, send_noting)
        except Exception as error:  # a fault in one request must not end the others
            if scope["type"] != "http":
                raise
            logger.error("%s %s failed", scope["method"], scope["path"], exc_info=error)
            if started:
                raise  # the answer cannot be changed any more; the connection is closed
            told = Refusal(500, f"olpipe has a fault: {type(error).__name__}: {first_line(error)}")
            await refused(Request(scope), told)(scope, receive, send)
