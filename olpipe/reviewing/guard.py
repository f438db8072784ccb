"""Who may ask a review: the browser that has the page's address, and nobody else.

The address of the page has a token that no other page, program or user knows. Without it, nothing is served. A page of
somebody else may still try what a browser lets it do, so each way is closed by itself, too:

- It lets its own name lead to this machine (DNS rebinding): the header `Host` must name this server.
- It sends a form or a request (CSRF): a change needs the token in a header, which only a page of this server can set.
- It shows what is here in an element or a frame of its own: headers forbid that.
"""

from __future__ import annotations

import hmac

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEADER = "x-olpipe-review"
"""A request that changes something has the token in this header."""

_HOSTS = ("127.0.0.1", "localhost", "[::1]")
_READING = ("GET", "HEAD")
_FROM_HERE = ("", "same-origin")
_HEADERS = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


class Guard:
    """Refuses requests that do not come from the page of the review."""

    def __init__(self, app: ASGIApp, *, token: str) -> None:
        self._app = app
        self._token = token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        refusal = self._refusal(scope)
        app = self._app if refusal is None else PlainTextResponse(refusal[1], refusal[0])
        await app(scope, receive, _telling(send))

    def _refusal(self, scope: Scope) -> tuple[int, str] | None:
        """Return the status and the text with which a request is refused; None where it is not."""
        headers = Headers(scope=scope)
        host, origin = headers.get("host", ""), headers.get("origin", "")
        if not _is_own(host, scope["server"][1]):
            return 403, "this host is not the one of the review"
        if not _same(scope["path"].split("/")[1], self._token):
            return 404, "not found: open the whole address that `olpipe review` has printed"
        if origin and origin != f"http://{host}":
            return 403, "requests of other pages are refused"
        if scope["method"] in _READING:
            return None
        if headers.get("sec-fetch-site", "") not in _FROM_HERE or not _same(headers.get(HEADER, ""), self._token):
            return 403, "requests of other pages are refused"
        if headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            return 415, "a change is sent as application/json"
        return None


def _is_own(host: str, port: int) -> bool:
    name, colon, number = host.strip().lower().rpartition(":")
    if not colon or not number.isdecimal():
        name, number = host.strip().lower(), "80"
    return name in _HOSTS and number == str(port)


def _same(given: str, token: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "surrogatepass"), token.encode())


def _telling(send: Send) -> Send:
    """Return a `send` that adds what browsers have to know."""

    async def send_telling(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            headers.update(_HEADERS)
            headers.setdefault("Cache-Control", "no-store")
            headers.setdefault("Content-Security-Policy", "default-src 'none'; sandbox; frame-ancestors 'none'")
        await send(message)

    return send_telling
