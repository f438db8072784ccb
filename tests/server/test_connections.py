"""Connections under either of uvicorn's parsers of HTTP: they differ in what they limit themselves."""

import contextlib
import socket
import threading

import pytest
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from olpipe.server.edge.connections import Heads, connection_class
from olpipe.server.edge.request_ids import RequestIds
from olpipe.settings import Settings
from tests.server.raw import head, rest, status

PARSERS = [H11Protocol]
try:
    from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

    PARSERS.append(HttpToolsProtocol)
except ImportError:
    pass


async def read_all(scope, receive, send):
    """Read the body of a request, and say how long it is. A body that is longer than 10,000 bytes is refused."""
    size, more = 0, True
    while more and size <= 10_000:
        message = await receive()
        size, more = size + len(message.get("body", b"")), message.get("more_body", False)
    code = 200 if size <= 10_000 else 413
    await send(
        {"type": "http.response.start", "status": code, "headers": [(b"content-length", b"%d" % len(str(size)))]}
    )
    await send({"type": "http.response.body", "body": str(size).encode()})


@pytest.fixture(scope="module", params=PARSERS, ids=lambda parser: parser.__name__)
def address(request, tmp_path_factory):
    """Serve an application with low limits, and return where."""
    settings = Settings(
        home=tmp_path_factory.mktemp("home"), max_header=2048, max_connections=4, client_timeout_s=1.0, max_body=20_000
    )
    config = uvicorn.Config(
        RequestIds(Heads(read_all, limit=settings.max_header)),
        http=connection_class(request.param, settings),
        ws="none",
        lifespan="off",
        log_config=None,
        timeout_keep_alive=2,
        h11_max_incomplete_event_size=2 * settings.max_header,
    )
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=server.run, args=([listening],))
        thread.start()
        yield listening.getsockname()
        server.should_exit = True
        thread.join()


def exchange(address, *parts):
    with socket.create_connection(address, 60) as connection:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # it may have been refused by now
            for part in parts:
                connection.sendall(part)
        return rest(connection)


@pytest.mark.parametrize("coding", ["Content-Length: 5", "Transfer-Encoding: chunked"])
def test_a_body_comes_through(address, coding):
    data = b"hello" if "Length" in coding else b"5\r\nhello\r\n0\r\n\r\n"
    answer = exchange(address, head("/", coding, method="POST"), data)
    assert status(answer) == 200
    assert answer.endswith(b"\r\n\r\n5")


def test_two_requests_share_a_connection(address):
    first = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"
    answer = exchange(address, first, head("/", "Content-Length: 2", method="POST") + b"ab")
    assert answer.count(b"HTTP/1.1 200") == 2


@pytest.mark.parametrize("pieces", [1, 50])
def test_a_long_head_is_refused_however_it_comes(address, pieces):
    data = head("/", *(f"X-{number}: {'y' * 50}" for number in range(60)))
    size = len(data) // pieces + 1
    answer = exchange(address, *(data[start : start + size] for start in range(0, len(data), size)))
    assert status(answer) == 431


def test_a_head_that_stops_is_given_up(address):
    assert status(exchange(address, b"GET / HTTP/1.1\r\nHost: a\r\n")) == 408


def test_a_body_that_stops_is_given_up(address):
    assert status(exchange(address, head("/", "Content-Length: 50", method="POST"), b"abc")) == 408


def test_a_connection_that_says_nothing_is_closed(address):
    assert exchange(address) == b""


def test_the_rest_of_a_refused_body_is_dropped_and_the_answer_can_be_read(address):
    answer = exchange(address, head("/", "Content-Length: 18000", method="POST"), b"x" * 11_000, b"x" * 7000)
    assert status(answer) == 413


def test_an_endless_rest_of_a_refused_body_ends_the_connection(address):
    with socket.create_connection(address, 60) as connection:
        connection.sendall(head("/", "Transfer-Encoding: chunked", method="POST"))
        try:
            for _ in range(10_000):
                connection.sendall(b"2710\r\n" + b"x" * 10_000 + b"\r\n")
        except OSError:
            return
    pytest.fail("the server took it all")


def test_connections_have_a_limit(address):
    before = [socket.create_connection(address, 60) for _ in range(4)]
    try:
        assert status(exchange(address)) == 503
    finally:
        for connection in before:
            connection.close()
