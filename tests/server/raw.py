"""Requests with any headers, or as bytes on a connection: for what no well-behaved client sends."""

from __future__ import annotations

import http.client
import socket

from tests.server.started import Started

WAITS_S = 60.0


def ask(server: Started, path: str, method: str = "GET", **headers: str) -> tuple[int, dict[str, str], bytes]:
    """Return the status, the headers in lower case, and the body of an answer. `_` in a header stands for `-`."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=WAITS_S)
    try:
        connection.request(method, path, headers={name.replace("_", "-"): value for name, value in headers.items()})
        reply = connection.getresponse()
        return reply.status, {name.lower(): value for name, value in reply.getheaders()}, reply.read()
    finally:
        connection.close()


def connect(server: Started) -> socket.socket:
    """Open a connection to a server."""
    return socket.create_connection(("127.0.0.1", server.port), WAITS_S)


def exchange(server: Started, *parts: bytes) -> bytes:
    """Send some bytes and return everything that comes back until the server ends the connection."""
    with connect(server) as connection:
        for part in parts:
            connection.sendall(part)
        return rest(connection)


def rest(connection: socket.socket) -> bytes:
    """Return everything that still comes on a connection until the server ends it."""
    received = bytearray()
    while True:
        try:
            data = connection.recv(1 << 16)
        except ConnectionResetError:  # what was sent and not read is lost, which is an end as well
            data = b""
        if not data:
            return bytes(received)
        received += data


def status(answer: bytes) -> int:
    """Return the status of an answer; 0 where there is none."""
    return int(answer.split(b" ", 2)[1]) if answer.startswith(b"HTTP/") else 0


def head(path: str, *headers: str, method: str = "GET", host: str = "localhost") -> bytes:
    """Return the head of a request, whose connection ends with it."""
    lines = [f"{method} {path} HTTP/1.1", f"Host: {host}", "Connection: close", *headers]
    return "\r\n".join([*lines, "", ""]).encode()
