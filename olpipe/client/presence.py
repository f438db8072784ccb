"""Whether a server is there, found out without the libraries that a request needs."""

from __future__ import annotations

import sys

from olpipe.errors import ServerUnreachable
from olpipe.network.addresses import Address
from olpipe.network.connecting import connects

PRODUCT = "olpipe"
"""What a server of olpipe says that it is, at `/api/version`."""

_ANSWERS_WITHIN_S = 2.0


def listens(address: Address) -> bool:
    """Say whether something listens at an address of this machine. Of other addresses, this is not found out."""
    if not address.is_local or (address.is_unix and sys.platform == "win32"):  # a request tells why it cannot be
        return True
    return connects(address, within_s=_ANSWERS_WITHIN_S)


def nobody(address: Address) -> ServerUnreachable:
    """Return the error for an address where nobody answers."""
    hint = "run `olpipe serve` in another window; or unset OLLAMA_HOST, and the command does its work itself"
    return ServerUnreachable(f"no server answers at {address}", hint=hint)
