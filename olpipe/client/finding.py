"""Find the server that commands use."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from olpipe.client.presence import PRODUCT as PRODUCT
from olpipe.client.presence import listens, nobody
from olpipe.errors import OlpipeError
from olpipe.network.addresses import DEFAULT_NAME, Address
from olpipe.settings import Settings, look_up

if TYPE_CHECKING:
    from olpipe.client.server import Server

_ALL = ("", "0.0.0.0", "::")


def find_server(settings: Settings) -> Server | None:
    """Return the server that commands use; None where each command has to do its work itself.

    A server at the usual address is used if it says that it is olpipe. One at an address that was chosen with
    OLLAMA_HOST is used whatever it is: Ollama itself can be one. An address that only says where to listen, such as
    `0.0.0.0`, chooses nothing.

    Raises:
        ServerUnreachable: An address was chosen, and nobody answers there, or something that is no server of models.
        UsageError: An address was chosen, and the server there lets nobody in.
    """
    if not settings.uses_server:
        return None
    address = reachable(settings.host)
    chosen = _is_chosen(settings.host)
    if not listens(address):
        if chosen:
            raise nobody(address)
        return None
    from olpipe.client.server import Server

    server = Server(address, key=next(iter(settings.api_keys), ""))
    try:
        if server.is_olpipe or chosen:
            return server
    except OlpipeError:
        server.close()
        if chosen:
            raise
        return None  # something else answers there
    server.close()
    return None


def reachable(host: Address) -> Address:
    """Return where a client finds the server that listens at an address."""
    return replace(host, name=DEFAULT_NAME) if host.name in _ALL and not host.is_unix else host


def _is_chosen(host: Address) -> bool:
    """Say whether somebody chose a server with OLLAMA_HOST, and not only where one listens."""
    is_set = any(found.source != "default" for found in look_up() if found.name == "OLLAMA_HOST")
    return is_set and (host.name not in _ALL or host.is_unix) and host != Address()
