"""Whether a server is there, found out without the libraries that a request needs."""

from __future__ import annotations

import socket
import sys
from contextlib import closing

from olpipe.errors import ServerUnreachable
from olpipe.network.addresses import Address

PRODUCT = "olpipe"
"""What a server of olpipe says that it is, at `/api/version`."""

_ANSWERS_WITHIN_S = 2.0


def listens(address: Address) -> bool:
    """Say whether something listens at an address of this machine. Of other addresses, this is not found out."""
    if not address.is_local:
        return True
    try:
        if address.is_unix:
            if sys.platform == "win32":  # it has no such sockets
                return True
            with closing(socket.socket(socket.AF_UNIX)) as connection:
                connection.settimeout(_ANSWERS_WITHIN_S)
                connection.connect(address.path)
        else:
            socket.create_connection((address.name, address.port), _ANSWERS_WITHIN_S).close()
    except OSError:
        return False
    return True


def nobody(address: Address) -> ServerUnreachable:
    """Return the error for an address where nobody answers."""
    hint = "run `olpipe serve` in another window; or unset OLLAMA_HOST, and the command does its work itself"
    return ServerUnreachable(f"no server answers at {address}", hint=hint)
