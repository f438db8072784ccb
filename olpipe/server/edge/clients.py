"""Tell clients apart, so that those whose requests wait have their turns one after the other."""

from __future__ import annotations

import hashlib
import ipaddress

from starlette.requests import Request

_TOLD = ("x-forwarded-for", "authorization", "x-api-key", "user-agent")
"""Headers that tell the programs of one machine apart: a proxy's word for whom it asks, the key, the program's name."""


def client_of(request: Request) -> str:
    """Return a name for the client of a request. Requests with the same name wait for each other.

    It is the address of the peer. All programs on this machine have the same address, and so have all clients of a
    proxy on it. So requests from this machine are told apart by their headers as well. Headers of other peers count for
    nothing: otherwise a peer could have more turns than others by sending another header with each request.
    """
    host = request.client.host if request.client else ""
    if host and not _is_loopback(host):
        return host
    told = "\n".join(request.headers.get(name, "") for name in _TOLD)
    return f"{host} {hashlib.sha256(told.encode('utf-8', 'surrogateescape')).hexdigest()[:16]}"


def _is_loopback(host: str) -> bool:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return (getattr(address, "ipv4_mapped", None) or address).is_loopback
