"""Connections to the checked addresses of one host, for httpx.

Connections of httpx itself look up a host, read 64 KiB at a time, and let the headers of an answer trickle for ever.
These go to addresses that were checked, take what has come at once, and expect headers within a time.
"""

from __future__ import annotations

import http.client
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import httpx

from olpipe.default_plugins.sources.transfer.options import Patience

READ_BYTES = 512 << 10
"""Most bytes that are read at once."""

IDLE_S = 5.0
"""A connection that was idle for longer may have been closed by the other side, and is not used again."""

CUT_OFF = "cut_off"
"""The extension of an answer that ends its connection, so that a thread that waits for its next byte wakes up."""


class DirectTransport(httpx.BaseTransport):
    """Keeps connections to one host. Several threads may use it."""

    def __init__(
        self, host: str, port: int, addresses: Sequence[str], patience: Patience, tls: ssl.SSLContext | None
    ) -> None:
        """Connect to nothing yet.

        Args:
            host: The host's name, which its certificate has to have.
            port: Its port.
            addresses: Its addresses. The next one is tried where one does not answer.
            patience: How long to wait.
            tls: How certificates are verified; None speaks plain HTTP.
        """
        self._host = host
        self._port = port
        self._addresses = list(addresses)
        self._patience = patience
        self._tls = tls
        self._lock = threading.Lock()
        self._idle: list[tuple[http.client.HTTPConnection, float]] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request and return its answer with the body unread.

        Raises:
            httpx.ConnectError: No address answers, or the host cannot prove who it is.
            httpx.TransportError: The connection broke.
        """
        connection = self._idle_connection() or self._connected()
        response: http.client.HTTPResponse | None = None
        try:
            with _as_transport_errors():
                _write(connection, request)
                with _ending(connection, self._patience.answer_s):
                    response = connection.getresponse()
        except BaseException:
            if response is not None:  # it may be the only one that still holds the socket
                response.close()
            connection.close()
            raise
        body = _Body(response, connection, self._keep)
        cut_off = {CUT_OFF: lambda: _cut_off(connection)}
        return httpx.Response(response.status, headers=response.getheaders(), stream=body, extensions=cut_off)

    def close(self) -> None:
        """Close all connections that are idle."""
        with self._lock:
            idle, self._idle = self._idle, []
        for connection, _ in idle:
            connection.close()

    def _keep(self, connection: http.client.HTTPConnection) -> None:
        with self._lock:
            self._idle.append((connection, time.monotonic()))

    def _idle_connection(self) -> http.client.HTTPConnection | None:
        while True:
            with self._lock:
                if not self._idle:
                    return None
                connection, since = self._idle.pop()
            if time.monotonic() - since <= IDLE_S:
                return connection
            connection.close()

    def _connected(self) -> http.client.HTTPConnection:
        failure: Exception | None = None
        for address in list(self._addresses):
            try:
                opened = self._opened(address)
            except (OSError, OverflowError) as error:
                failure = error
                continue
            connection = http.client.HTTPConnection(self._host, self._port)
            connection.sock = opened
            if self._addresses[0] != address:  # where one address does not answer, the others come first from now on
                self._addresses = [address, *(other for other in self._addresses if other != address)]
            return connection
        timed_out = isinstance(failure, TimeoutError)
        raise (httpx.ConnectTimeout if timed_out else httpx.ConnectError)(str(failure)) from failure

    def _opened(self, address: str) -> socket.socket:
        opened = socket.create_connection((address, self._port), timeout=self._patience.connect_s)
        try:
            opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._tls is not None:
                opened = self._tls.wrap_socket(opened, server_hostname=self._host)
            opened.settimeout(self._patience.stall_s)
        except BaseException:
            opened.close()
            raise
        return opened


class _Body(httpx.SyncByteStream):
    """The body of an answer. When it was read to its end, its connection is kept for the next request."""

    def __init__(
        self,
        response: http.client.HTTPResponse,
        connection: http.client.HTTPConnection,
        keep: Callable[[http.client.HTTPConnection], None],
    ) -> None:
        self._response = response
        self._connection = connection
        self._keep = keep
        self._is_whole = False
        self._is_closed = False

    def __iter__(self) -> Iterator[bytes]:
        with _as_transport_errors():
            while data := self._response.read1(READ_BYTES):
                yield data
            if self._response.length:
                raise httpx.RemoteProtocolError(f"{self._response.length} bytes of the body are missing")
        self._is_whole = True

    def close(self) -> None:
        """Keep the connection, or close it."""
        if self._is_closed:
            return
        self._is_closed = True
        whole = self._is_whole or self._response.length == 0
        self._response.close()
        if whole and not self._response.will_close:
            self._keep(self._connection)
        else:
            self._connection.close()


def _write(connection: http.client.HTTPConnection, request: httpx.Request) -> None:
    """Write a request whose body has a known length."""
    connection.putrequest(
        request.method, request.url.raw_path.decode("ascii"), skip_host=True, skip_accept_encoding=True
    )
    for name, value in request.headers.raw:
        connection.putheader(name, value)
    connection.endheaders()
    assert isinstance(request.stream, httpx.SyncByteStream)
    for piece in request.stream:
        if piece:
            connection.send(piece)


@contextmanager
def _as_transport_errors() -> Iterator[None]:
    try:
        yield
    except TimeoutError as error:
        raise httpx.ReadTimeout(str(error)) from error
    except (OSError, http.client.HTTPException) as error:
        raise httpx.ReadError(str(error) or type(error).__name__) from error


@contextmanager
def _ending(connection: http.client.HTTPConnection, within_s: float) -> Iterator[None]:
    """Cut a connection off where a block takes too long: headers may trickle, or others come before them for ever.

    Raises:
        TimeoutError: It took too long.
    """
    is_late = threading.Event()

    def end() -> None:
        is_late.set()
        _cut_off(connection)

    timer = threading.Timer(within_s, end)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
    if is_late.is_set():  # the end of the connection may look like that of the headers
        raise TimeoutError(f"the headers have not come within {within_s:g} seconds")


def _cut_off(connection: http.client.HTTPConnection) -> None:
    opened: Any = connection.sock
    with suppress(OSError, ValueError, AttributeError):
        opened.shutdown(socket.SHUT_RDWR)
