"""What `olpipe --version` says of a server that runs."""

from __future__ import annotations

import socket
import sys
from typing import TYPE_CHECKING

from olpipe import __version__

if TYPE_CHECKING:
    from olpipe.network.addresses import Address

_ANSWERS_WITHIN_S = 1.0


def other_server() -> str | None:
    """Return a warning about a server whose version is not that of the command line; None where none answers."""
    from olpipe.errors import OlpipeError
    from olpipe.settings import Settings

    try:
        settings = Settings.read()
        if not settings.uses_server or not _listens(settings.host):
            return None
        from olpipe.client.finding import PRODUCT, find_server

        server = find_server(settings)
        if server is None:
            return None
        with server:
            found = server.get("/api/version", within_s=_ANSWERS_WITHIN_S)
    except OlpipeError:
        return None
    version = found.get("version")
    if found.get("product") != PRODUCT:
        return f"the server at {server.address} is not olpipe, and has version {version}"
    return None if version == __version__ else f"the server at {server.address} has version {version}"


def _listens(host: Address) -> bool:
    """Say whether something listens at an address, without the libraries that a request needs."""
    try:
        if host.is_unix:
            if sys.platform == "win32":  # it has no such sockets
                return False
            with socket.socket(socket.AF_UNIX) as connection:
                connection.connect(host.path)
        else:
            socket.create_connection((host.name or "localhost", host.port), _ANSWERS_WITHIN_S).close()
    except OSError:
        return False
    return True
