"""Every request has an id. It stands in the response's header `X-Request-Id` and in the log."""

from __future__ import annotations

import re
import secrets
from contextvars import ContextVar

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_GIVEN = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_present: ContextVar[str] = ContextVar("request_id", default="")


class RequestIds:
    """Gives each request an id: the client's own, where it sends one that can be used, else a new one."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).get("x-request-id", "")
        found = given if _GIVEN.fullmatch(given) else f"req_{secrets.token_hex(12)}"
        scope.setdefault("state", {})["request_id"] = found
        _present.set(found)  # each request is handled in a context of its own

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["X-Request-Id"] = found
                headers["Request-Id"] = found  # Anthropic's clients read this one
            await send(message)

        await self._app(scope, receive, send_with_id)


def request_id(request: Request) -> str:
    """Return the id of a request."""
    return str(request.scope["state"]["request_id"])


def present_request() -> str:
    """Return the id of the request that is being handled in this context; empty where there is none."""
    return _present.get()
