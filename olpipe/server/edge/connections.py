"""Connections that cost a bounded amount: their number, the size of what they send, and how slow they may be.

uvicorn reads requests as fast or as slowly as they come, and keeps headers of any size. Its protocol for a connection
is wrapped here. Bytes pass through as they are. What is watched is whether they make progress: whether they complete
the head of a request, or belong to its body.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from olpipe.server.edge.failing import refused
from olpipe.server.refusal import Refusal
from olpipe.settings import Settings

LEAST_RATE = 4096
"""Bytes a second of a body. A client that sends less is cut off after a while, even if it is never quite silent."""

_MOST_LEFT = 1 << 28
"""Most bytes of a body that are read and dropped after its request was refused, where bodies may have any size."""


class Connection(asyncio.Protocol):
    """One connection, with uvicorn's protocol inside."""

    def __init__(self, inner: Any, others: Any, settings: Settings) -> None:
        """Wrap a protocol.

        Args:
            inner: uvicorn's protocol.
            others: The set of uvicorn's protocols that are connected.
            settings: The limits.
        """
        self._inner = inner
        self._others = others
        self._settings = settings
        self._loop = asyncio.get_running_loop()
        self._transport: Any = None
        self._request: Any = None  # uvicorn's object for the request whose head came last
        self._idle_bytes = 0  # that came since the last progress
        self._until = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._stuck: asyncio.TimerHandle | None = None

    # --- what the event loop calls ----------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take a new connection, unless there are too many."""
        self._transport = transport
        if len(self._others) >= self._settings.max_connections:
            self._refuse(503, "too many connections")
            return
        self._inner.connection_made(transport)
        self._wait_for(self._settings.client_timeout_s)

    def data_received(self, data: bytes) -> None:
        """Pass on what came, and look whether it is any use."""
        if self._transport.is_closing():
            return
        before = self._body_bytes()
        self._inner.data_received(data)
        request = self._inner.cycle
        if request is not self._request:  # the head of a request is complete
            self._request, self._idle_bytes = request, 0
            self._until = self._loop.time() + self._settings.client_timeout_s
        elif (grown := self._body_bytes() - before) > 0:
            self._idle_bytes = 0
            latest = self._loop.time() + self._settings.client_timeout_s
            self._until = min(latest, self._until + grown / LEAST_RATE)
        else:
            self._idle_bytes += len(data)
            if self._idle_bytes > self._most_idle_bytes():
                self._refuse(431, _too_long(self._settings.max_header))
                return
        if self._is_owed():
            if self._timer is None:
                self._wait_for(self._settings.client_timeout_s)
        else:
            self._stop_waiting()

    def eof_received(self) -> bool | None:
        """Pass on that the client sends no more."""
        found: bool | None = self._inner.eof_received()
        return found

    def connection_lost(self, exc: Exception | None) -> None:
        """Pass on that the connection has ended."""
        self._stop_waiting()
        self.resume_writing()
        if self._inner.transport is not None:  # else it was refused at once
            self._inner.connection_lost(exc)

    def pause_writing(self) -> None:
        """Wait until the client takes what was sent. It has some time for that."""
        if self._inner.transport is not None:
            self._inner.pause_writing()
            self._stuck = self._loop.call_later(self._settings.client_timeout_s, self._transport.abort)

    def resume_writing(self) -> None:
        """Go on sending."""
        if self._stuck is not None:
            self._stuck.cancel()
            self._stuck = None
            self._inner.resume_writing()

    # --- what the client owes ---------------------------------------------------------------------

    def _is_owed(self) -> bool:
        """Say whether the client has to send something: the rest of a head or of a body."""
        request = self._request
        return request is None or request.response_complete or request.more_body

    def _body_bytes(self) -> int:
        return 0 if self._request is None else len(self._request.body)

    def _most_idle_bytes(self) -> int:
        """Return how many bytes may come without progress. The rest of a body that was refused is read and dropped."""
        request = self._request
        if request is not None and request.response_complete and request.more_body:
            return self._settings.max_body or _MOST_LEFT
        return self._settings.max_header

    def _wait_for(self, seconds: float) -> None:
        self._until = self._loop.time() + seconds
        self._timer = self._loop.call_later(seconds, self._look)

    def _stop_waiting(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        """Cut the client off if its time is over."""
        self._timer = None
        if self._inner.flow is not None and self._inner.flow.read_paused:  # it is us who do not read
            self._wait_for(self._settings.client_timeout_s)
        elif (left := self._until - self._loop.time()) > 0:
            self._timer = self._loop.call_later(left, self._look)
        elif self._request is None and not self._idle_bytes:
            self._transport.close()  # it never sent anything
        else:
            self._refuse(408, f"the request did not come within {self._settings.client_timeout_s:g} seconds")

    def _refuse(self, status: int, message: str) -> None:
        """Say why the connection ends, unless an answer has begun, and end it."""
        self._stop_waiting()
        request = self._request
        answered = request is not None and request.response_started
        if not answered or (request.response_complete and not request.more_body):
            self._transport.write(_response(status, message))
        self._transport.close()


def connection_class(inner: Callable[..., Any], settings: Settings) -> Callable[..., asyncio.Protocol]:
    """Return what uvicorn calls to make the protocol of a connection.

    Args:
        inner: uvicorn's own class for that.
        settings: The limits.
    """

    def make(**given: Any) -> Connection:
        return Connection(inner(**given), given["server_state"].connections, settings)

    return make


class Heads:
    """Refuses requests with too long heads. One that comes in one piece is complete before its length is known."""

    def __init__(self, app: ASGIApp, *, limit: int) -> None:
        self._app = app
        self._limit = limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request."""
        if scope["type"] == "http" and _length(scope) > self._limit:
            await refused(Request(scope), Refusal(431, _too_long(self._limit)))(scope, receive, send)
        else:
            await self._app(scope, receive, send)


def _length(scope: Scope) -> int:
    headers = sum(len(name) + len(value) for name, value in scope["headers"])
    return headers + len(scope["raw_path"]) + len(scope["query_string"])


def _too_long(limit: int) -> str:
    return f"the headers have more than {limit} bytes"


def _response(status: int, message: str) -> bytes:
    body = json.dumps({"error": message}).encode() + b"\n"
    head = (
        f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\ncontent-type: application/json; charset=utf-8\r\n"
        f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
    )
    return head.encode() + body
