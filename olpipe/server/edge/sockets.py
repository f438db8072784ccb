"""Open the sockets that a server listens at."""

from __future__ import annotations

import errno
import os
import socket
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from olpipe.errors import OlpipeError
from olpipe.network.addresses import Address

_KEEPALIVE = {"TCP_KEEPIDLE": 60, "TCP_KEEPINTVL": 15, "TCP_KEEPCNT": 4}
"""After how many seconds of silence the system asks whether a client is still there, how often, and how many times."""

_PRIVATE = 0o600


@contextmanager
def listening(address: Address) -> Iterator[list[socket.socket]]:
    """Listen at an address while a block runs.

    A name that has several addresses gets a socket for each. With an empty name, all addresses of the machine are
    listened at. Clients that vanish without a word are noticed.

    Raises:
        OlpipeError: The address is taken, or it cannot be had for another reason.
    """
    sockets: list[socket.socket] = []
    try:
        if address.is_unix:
            sockets.append(_unix_socket(address))
        else:
            _open_all(address, sockets)
        yield sockets
    finally:
        for one in sockets:
            one.close()
        if address.is_unix and sockets:
            with suppress(FileNotFoundError):
                os.unlink(address.path)


def _open_all(address: Address, sockets: list[socket.socket]) -> None:
    port = address.port
    for family, place in _places(address):
        one = socket.socket(family, socket.SOCK_STREAM)
        sockets.append(one)
        try:
            if os.name == "posix":  # elsewhere this would let two servers listen at one port
                one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0 if not address.name else 1)
            _keep_alive(one)
            one.bind((place, port))
        except OSError as error:
            if len(sockets) > 1 and error.errno == errno.EADDRNOTAVAIL:  # `localhost` without IPv6
                sockets.pop().close()
                continue
            raise _refused(address, error) from error
        port = one.getsockname()[1]


def _places(address: Address) -> list[tuple[socket.AddressFamily, str]]:
    """Return the addresses to listen at, IPv4 first."""
    if not address.name:
        return [(socket.AF_INET6, "::")] if _has_ipv6() else [(socket.AF_INET, "0.0.0.0")]
    try:
        found = socket.getaddrinfo(address.name, None, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        hint = "OLLAMA_HOST says where the server listens; use an address of this machine"
        raise OlpipeError(f"the host `{address.name}` has no address", hint=hint) from error
    places = {(family, str(place[0])) for family, _, _, _, place in found}
    return sorted(places, key=lambda place: (place[0] != socket.AF_INET, place[1]))


def _has_ipv6() -> bool:
    """Say whether one socket can listen at all addresses, those of IPv4 included."""
    if not socket.has_dualstack_ipv6():
        return False
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as probe:
            probe.bind(("::", 0))
    except OSError:  # IPv6 is switched off
        return False
    return True


def _keep_alive(one: socket.socket) -> None:
    """Have the system look whether clients are still there. Sockets of connections take this over."""
    one.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _KEEPALIVE.items():
        if hasattr(socket, name):
            one.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def _unix_socket(address: Address) -> socket.socket:
    """Listen at a path, which only this user may open. What a server that has ended left there is replaced."""
    if sys.platform == "win32":
        raise OlpipeError(f"this system has no sockets in the file system: {address}", hint="set OLLAMA_HOST")
    if not address.path.startswith("/"):
        raise OlpipeError(f"the path of `{address}` is not absolute", hint="write it with three slashes: unix:///path")
    _remove_stale(address)
    one = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o777 & ~_PRIVATE)
    try:
        one.bind(address.path)
    except OSError as error:
        one.close()
        raise _refused(address, error) from error
    finally:
        os.umask(before)
    return one


def _remove_stale(address: Address) -> None:
    """Remove a socket at which nobody listens.

    Raises:
        OlpipeError: Somebody listens there, or there is something that is no socket.
    """
    if sys.platform == "win32":  # it has none
        return
    try:
        kind = os.lstat(address.path).st_mode
    except OSError:
        return
    if not stat.S_ISSOCK(kind):
        raise OlpipeError(f"`{address.path}` is there already, and it is no socket", hint="choose another path")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(address.path)
        except ConnectionRefusedError:
            os.unlink(address.path)
        except OSError as error:
            raise _refused(address, error) from error
        else:
            raise _taken(address)


def _refused(address: Address, error: OSError) -> OlpipeError:
    if error.errno == errno.EADDRINUSE:
        return _taken(address)
    hint = "ports below 1024 need more rights; set OLLAMA_HOST to another" if error.errno == errno.EACCES else None
    reason = os.strerror(error.errno) if error.errno else str(error)
    return OlpipeError(f"the server cannot listen at {address}: {reason}", hint=hint)


def _taken(address: Address) -> OlpipeError:
    hint = "stop the server that runs there, perhaps Ollama or olpipe, or set OLLAMA_HOST to another address"
    return OlpipeError(f"the address {address} is taken by another program", hint=hint)
