"""Which web pages may use the server, and under which names of its host.

A page that a browser shows can send requests to this machine. Its origin tells which page that is. A page can also
let the name of its own host lead to this machine (DNS rebinding). Then its origin looks like the server's own, and only
the name in the header `Host` gives it away.

Source: https://github.com/ollama/ollama/blob/main/server/routes.go
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Iterable
from functools import cache

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from olpipe.network.addresses import Address

_LOCAL_HOSTS = ("localhost", "127.0.0.1", "0.0.0.0")
_APPS = ("app://*", "file://*", "tauri://*", "vscode-webview://*", "vscode-file://*")
USUAL_ORIGINS = (
    *(f"{scheme}://{host}{port}" for host in _LOCAL_HOSTS for scheme in ("http", "https") for port in ("", ":*")),
    *_APPS,
)
"""Origins that are always allowed, as in Ollama: pages from this machine, and applications on it."""

_METHODS = "GET,POST,PUT,PATCH,DELETE,HEAD,OPTIONS"
_HEADERS = (
    *("authorization", "content-type", "user-agent", "accept", "x-requested-with", "openai-beta", "x-api-key"),
    *("x-request-id", "anthropic-version", "anthropic-beta", "anthropic-dangerous-direct-browser-access"),
)
_HEADERS_OF_CLIENTS = re.compile(r"x-stainless-[a-z-]{1,64}")
_MAX_AGE_S = 43200
_LOCAL_ENDINGS = (".localhost", ".local", ".internal")


class Origins:
    """Refuses requests of pages from other origins, and tells browsers which origins are allowed."""

    def __init__(self, app: ASGIApp, *, allowed: Iterable[str] = ()) -> None:
        """Stand before an application.

        Args:
            app: The application.
            allowed: Origins beside the usual ones. `*` stands for any text.
        """
        allowed = tuple(allowed)
        self._app = app
        self._all = "*" in allowed
        self._allowed = re.compile("|".join(_expression(origin.lower()) for origin in (*allowed, *USUAL_ORIGINS)))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request."""
        headers = Headers(scope=scope) if scope["type"] == "http" else Headers()
        origin = headers.get("origin", "")
        if not origin or origin in (f"http://{headers.get('host')}", f"https://{headers.get('host')}"):
            await self._app(scope, receive, send)
        elif not self._all and not self._allowed.fullmatch(origin.lower()):
            await Response(status_code=403)(scope, receive, send)
        elif scope["method"] == "OPTIONS":
            await self._answer_preflight(headers, origin)(scope, receive, send)
        else:
            await self._app(scope, receive, self._telling(origin, send))

    def _answer_preflight(self, asked: Headers, origin: str) -> Response:
        """Return the answer to the question whether a page may send a request."""
        wanted = [name.strip().lower() for name in asked.get("access-control-request-headers", "").split(",")]
        names = [*_HEADERS, *(name for name in wanted if _HEADERS_OF_CLIENTS.fullmatch(name))]
        return Response(
            status_code=204,
            headers={
                "Access-Control-Allow-Origin": "*" if self._all else origin,
                "Access-Control-Allow-Methods": _METHODS,
                "Access-Control-Allow-Headers": ",".join(names),
                "Access-Control-Max-Age": str(_MAX_AGE_S),
                "Vary": "Origin, Access-Control-Request-Method, Access-Control-Request-Headers",
            },
        )

    def _telling(self, origin: str, send: Send) -> Send:
        """Return a `send` that adds which origin may read the response."""

        async def send_telling(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["Access-Control-Allow-Origin"] = "*" if self._all else origin
                if not self._all:
                    headers.add_vary_header("Origin")
            await send(message)

        return send_telling


class Hosts:
    """Refuses requests whose `Host` is not a name of this machine, where the server listens for this machine only."""

    def __init__(self, app: ASGIApp, *, address: Address) -> None:
        self._app = app
        self._checks = is_loopback(address)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request."""
        if scope["type"] != "http" or not self._checks:
            await self._app(scope, receive, send)
        elif not is_own_name(Headers(scope=scope).get("host", "")):
            await Response(status_code=403)(scope, receive, send)
        elif scope["method"] == "OPTIONS":
            await Response(status_code=204)(scope, receive, send)
        else:
            await self._app(scope, receive, send)


def is_loopback(address: Address) -> bool:
    """Say whether an address can be reached from this machine only, over IP."""
    if address.is_unix or not address.name:
        return False
    try:
        found = {str(entry[4][0]) for entry in socket.getaddrinfo(address.name, None)}
    except OSError:
        return False
    return all(ipaddress.ip_address(one).is_loopback for one in found)


def is_own_name(header: str) -> bool:
    """Say whether a header `Host` may name this machine.

    That is so for names that no public name server knows, and for addresses that cannot lead to another machine on
    the internet.
    """
    name = _without_port(header.strip().lower())
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return name in ("", "localhost", socket.gethostname().lower()) or name.endswith(_LOCAL_ENDINGS)
    return address.is_loopback or address.is_private or address.is_unspecified or str(address) in _own_addresses()


def _without_port(header: str) -> str:
    if header.startswith("["):
        return header[1:].partition("]")[0]
    return header.partition(":")[0] if header.count(":") == 1 else header


@cache
def _own_addresses() -> frozenset[str]:
    import psutil

    return frozenset(one.address.partition("%")[0] for given in psutil.net_if_addrs().values() for one in given)


def _expression(origin: str) -> str:
    """Return an expression for an allowed origin. A `*` at the end of a port stands for digits only."""
    if origin.endswith(":*"):
        return re.escape(origin[:-1]) + r"\d{1,5}"
    return ".*".join(map(re.escape, origin.split("*")))
