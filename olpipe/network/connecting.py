"""Find out whether something takes connections, without the libraries that a request needs."""

from __future__ import annotations

import socket
import sys

from olpipe.network.addresses import Address


def connects(address: Address, *, within_s: float) -> bool:
    """Say whether something takes connections at an address. Systems without sockets in files say no for those."""
    try:
        if not address.is_unix:
            socket.create_connection((address.name, address.port), within_s).close()
            return True
        if sys.platform == "win32":
            return False
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.settimeout(within_s)
            probe.connect(address.path)
    except OSError:
        return False
    return True
