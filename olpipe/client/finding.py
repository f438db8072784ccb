"""Find the server that commands use."""

from __future__ import annotations

import socket
from dataclasses import replace

from olpipe.client.server import Server
from olpipe.errors import ServerUnreachable
from olpipe.network.addresses import DEFAULT_NAME, Address
from olpipe.settings import Settings, look_up

PRODUCT = "olpipe"
_ALL = ("", "0.0.0.0", "::")
_LOCAL = (*_ALL, "localhost", "127.0.0.1", "::1")
_ANSWERS_WITHIN_S = 2.0


def find_server(settings: Settings) -> Server | None:
    """Return the server that commands use; None where each command has to do its work itself.

    A server at the usual address is used if it says that it is olpipe. One at an address that was chosen with
    OLLAMA_HOST is used whatever it is: Ollama itself can be one. An address that only says where to listen, such as
    `0.0.0.0`, chooses nothing.

    Raises:
        ServerUnreachable: An address was chosen, and nobody answers there.
    """
    if not settings.uses_server:
        return None
    address = reachable(settings.host)
    chosen = _is_chosen(settings.host)
    if not chosen and not _listens(address):
        return None  # without the libraries that a request needs
    server = Server(address, key=next(iter(settings.api_keys), ""))
    try:
        product = server.get("/api/version", within_s=_ANSWERS_WITHIN_S).get("product")
    except ServerUnreachable:
        server.close()
        if not chosen:
            return None
        raise
    if chosen or product == PRODUCT:
        return server
    server.close()
    return None


def reachable(host: Address) -> Address:
    """Return where a client finds the server that listens at an address."""
    return replace(host, name=DEFAULT_NAME) if host.name in _ALL and not host.is_unix else host


def _is_chosen(host: Address) -> bool:
    """Say whether somebody chose a server with OLLAMA_HOST, and not only where one listens."""
    is_set = any(found.source != "default" for found in look_up() if found.name == "OLLAMA_HOST")
    return is_set and (host.name not in _ALL or host.is_unix) and host != Address()


def _listens(address: Address) -> bool:
    """Say whether something listens at an address of this machine."""
    if address.is_unix or address.name not in _LOCAL:
        return True
    try:
        socket.create_connection((address.name, address.port), _ANSWERS_WITHIN_S).close()
    except OSError:
        return False
    return True
