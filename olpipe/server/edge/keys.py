"""Who may use the server: whoever has a key, where there are keys; and who may change its models."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
from collections.abc import Sequence

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from olpipe.server.edge.failing import refused
from olpipe.server.refusal import Refusal

OPEN = ("/", "/api/version")
"""Paths that can be read without a key. Clients look there to see whether the server is running."""

MANAGEMENT = ("/api/create", "/api/copy", "/api/delete", "/api/pull", "/api/push", "/api/blobs/")
"""Paths that change the models. One that ends in a slash stands for all that begin with it."""

_READING = ("GET", "HEAD")


class Keys:
    """Lets in who has a key. Where there are no keys, everybody may come in."""

    def __init__(self, app: ASGIApp, *, keys: Sequence[str]) -> None:
        self._app = app
        self._digests = [_digest(key) for key in keys]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request."""
        if scope["type"] != "http" or not self._digests or _is_open(scope) or any(map(self._is_known, _given(scope))):
            await self._app(scope, receive, send)
            return
        hint = "send one of OLPIPE_API_KEY as `Authorization: Bearer KEY` or `x-api-key: KEY`"
        error = Refusal(401, "a valid API key is needed", hint=hint)
        response = refused(Request(scope), error)
        response.headers["WWW-Authenticate"] = "Bearer"
        await response(scope, receive, send)

    def _is_known(self, key: str) -> bool:
        """Compare a key with all keys. The time that this takes tells nothing about them."""
        digest, known = _digest(key), False
        for one in self._digests:
            known |= hmac.compare_digest(one, digest)
        return known


class Management:
    """Refuses changes of the models, where the settings say so."""

    def __init__(self, app: ASGIApp, *, allowed: str, is_unix: bool) -> None:
        """Stand before an application.

        Args:
            app: The application.
            allowed: `any`, `local` or `off`, as OLPIPE_MANAGEMENT.
            is_unix: Whether the server listens at a socket in the file system, so that every client is on this machine.
        """
        self._app = app
        self._allowed = allowed
        self._is_unix = is_unix

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request."""
        if scope["type"] != "http" or not is_management(scope["path"]) or self._lets_in(scope):
            await self._app(scope, receive, send)
            return
        where = "on this server" if self._allowed == "off" else "from another machine"
        error = Refusal(403, f"models cannot be changed {where}", hint=f"OLPIPE_MANAGEMENT is `{self._allowed}` there")
        await refused(Request(scope), error)(scope, receive, send)

    def _lets_in(self, scope: Scope) -> bool:
        if self._allowed == "local":
            return self._is_unix or _is_local(scope)
        return self._allowed == "any"


def is_management(path: str) -> bool:
    """Say whether requests to a path change the models."""
    return any(path == one or (one.endswith("/") and path.startswith(one)) for one in MANAGEMENT)


def _is_open(scope: Scope) -> bool:
    return scope["path"] in OPEN and scope["method"] in _READING


def _is_local(scope: Scope) -> bool:
    """Say whether the client is on this machine. One whose address is not known is not."""
    try:
        address = ipaddress.ip_address((scope.get("client") or ("",))[0])
    except ValueError:
        return False
    return (getattr(address, "ipv4_mapped", None) or address).is_loopback


def _given(scope: Scope) -> list[str]:
    """Return the keys that a request brings."""
    headers = Headers(scope=scope)
    scheme, _, key = headers.get("authorization", "").partition(" ")
    return [key.strip() if scheme.lower() == "bearer" else "", headers.get("x-api-key", "")]


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()
