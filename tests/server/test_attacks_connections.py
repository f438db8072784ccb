"""Attacks on the connection itself: floods, slow clients, vanished clients, and requests that mean two things."""

import gzip
import http.client
import json
import socket
import time
import zlib

import pytest

from tests.server.raw import connect, exchange, head, rest, status
from tests.server.started import Started

MOST_BODY, MOST_HEADER, MOST_CONNECTIONS = 100_000, 4096, 8
CHAT = {"model": "tiny", "messages": [{"role": "user", "content": "the cat"}], "options": {"num_predict": 2}}


@pytest.fixture(scope="module")
def small(server_home, tmp_path_factory):
    """Return a server with low limits, for all tests of this file."""
    with Started(
        server_home,
        tmp_path_factory.mktemp("small") / "log",
        OLPIPE_MAX_BODY=str(MOST_BODY),
        OLPIPE_MAX_HEADER=str(MOST_HEADER),
        OLPIPE_MAX_CONNECTIONS=str(MOST_CONNECTIONS),
        OLPIPE_CLIENT_TIMEOUT="1",
        OLPIPE_IDLE_TIMEOUT="2",
    ) as started:
        yield started


@pytest.fixture(autouse=True)
def still_answers(small):
    """After each attack, the server answers others."""
    yield
    assert small.post("/api/chat", {**CHAT, "stream": False})[0] == 200


def body_of(answer):
    return json.loads(answer.partition(b"\r\n\r\n")[2])


# --- floods ---------------------------------------------------------------------------------------


def test_a_body_that_says_it_is_too_large_is_refused_before_it_is_read(small):
    answer = exchange(small, head("/api/chat", f"Content-Length: {MOST_BODY + 1}", method="POST"), b"x" * 10)
    assert status(answer) == 413
    assert body_of(answer)["error"] == f"the body has more than {MOST_BODY} bytes"


def test_a_body_that_does_not_say_how_long_it_is_is_refused_at_the_limit(small):
    chunk = b"2710\r\n" + b"x" * 10_000 + b"\r\n"
    with connect(small) as connection:
        connection.sendall(head("/api/chat", "Transfer-Encoding: chunked", method="POST"))
        for _ in range(11):
            connection.sendall(chunk)
        assert status(connection.recv(4096)) == 413


def test_who_keeps_the_connection_may_send_the_whole_of_a_large_body_and_reads_the_refusal(small):
    connection = http.client.HTTPConnection("127.0.0.1", small.port, timeout=60)
    connection.request("POST", "/api/chat", b" " * (MOST_BODY * 20))
    assert connection.getresponse().status == 413
    connection.close()


@pytest.mark.parametrize(
    "flood",
    [
        [f"X-{number}: {'y' * 90}" for number in range(60)],
        [f"X-Long: {'y' * MOST_HEADER}"],
        [f"{'X' * MOST_HEADER}: y"],
    ],
)
def test_headers_without_end_are_refused(small, flood):
    assert status(exchange(small, head("/api/version", *flood))) == 431


def test_a_line_without_end_is_refused(small):
    answer = exchange(small, b"GET /" + b"a" * MOST_HEADER * 2)
    assert status(answer) == 431
    assert body_of(answer)["error"] == f"the headers have more than {MOST_HEADER} bytes"


@pytest.mark.parametrize("kind", ["trailers", "extensions"])
def test_what_stands_around_chunks_cannot_flood_either(small, kind):
    start = head("/api/chat", "Transfer-Encoding: chunked", method="POST")
    flood = b"0\r\nX-Long: " if kind == "trailers" else b"1;x="
    with connect(small) as connection:
        connection.sendall(start + flood)
        try:
            for _ in range(1000):
                connection.sendall(b"y" * 4096)
        except OSError:
            return  # the server has ended the connection
        assert status(rest(connection)) in (400, 431)


def test_too_many_connections_are_refused_and_the_others_go_on(small):
    before = [connect(small) for _ in range(MOST_CONNECTIONS)]
    try:
        answers = [exchange(small) for _ in range(3)]
        assert {status(answer) for answer in answers} == {503}
        before[0].sendall(head("/api/version"))
        assert status(rest(before[0])) == 200
    finally:
        for connection in before:
            connection.close()


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_a_small_body_cannot_become_a_large_one(small, encoding):
    data = b" " * (MOST_BODY * 100)
    packed = gzip.compress(data) if encoding == "gzip" else zlib.compress(data)
    assert len(packed) < MOST_BODY
    assert small.post("/api/chat", packed, Content_Encoding=encoding)[0] == 413


def test_a_zipped_body_is_read(small):
    packed = gzip.compress(json.dumps({**CHAT, "stream": False}).encode())
    assert small.post("/api/chat", packed, Content_Encoding="gzip")[0] == 200
    assert small.post("/api/chat", packed[:-9], Content_Encoding="gzip") == (
        400,
        {"error": "the body cannot be unzipped: it is cut short"},
    )


@pytest.mark.parametrize("encoding", ["zstd", "br", "gzip, gzip"])
def test_a_body_that_cannot_be_unzipped_is_refused_by_its_name(small, encoding):
    code, answer = small.post("/api/chat", b"(\xb5/\xfd", Content_Encoding=encoding)
    assert (code, answer["error"]) == (415, f"the body has the Content-Encoding `{encoding}`, which is not known")


# --- slow clients ---------------------------------------------------------------------------------


def drip(connection, data):
    """Send bytes one by one until the server has had enough, and return what it says."""
    connection.settimeout(0.2)
    for byte in data:
        try:
            connection.sendall(bytes((byte,)))
            received = connection.recv(4096)
        except TimeoutError:
            continue
        except OSError:
            return b""
        connection.settimeout(30)
        return received
    raise AssertionError("the server took it all")


def test_a_head_that_comes_byte_by_byte_is_given_up(small):
    with connect(small) as connection:
        assert status(drip(connection, b"GET /api/version HTTP/1.1\r\nX-Slow: " + b"y" * 100)) in (0, 408)


def test_a_body_that_comes_byte_by_byte_is_given_up(small):
    with connect(small) as connection:
        connection.sendall(head("/api/chat", "Content-Length: 1000", method="POST"))
        assert status(drip(connection, b" " * 1000)) in (0, 408)


def test_a_client_that_says_nothing_is_given_up(small):
    assert exchange(small) == b""


def test_a_body_that_stops_is_given_up_and_told(small):
    answer = exchange(small, head("/api/chat", "Content-Length: 1000", method="POST"), b'{"model": ')
    assert (status(answer), body_of(answer)["error"]) == (408, "the request did not come within 1 seconds")


def test_a_connection_without_a_request_is_closed(small):
    request = b"GET /api/version HTTP/1.1\r\nHost: localhost\r\n\r\n"
    answer = exchange(small, request)
    assert status(answer) == 200
    with connect(small) as connection:  # the next request may come slowly only once
        connection.sendall(request)
        assert status(connection.recv(4096)) == 200
        assert status(drip(connection, request.replace(b"\r\n\r\n", b"\r\nX: " + b"y" * 100))) in (0, 408)


def test_a_client_that_reads_nothing_is_given_up(small):
    """It asks again and again, and takes none of the answers, until the server has no more room for them."""
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(("127.0.0.1", small.port))
        connection.settimeout(0.5)
        request, left = b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n" * 1000, 60
        while left:
            try:
                connection.sendall(request)
            except TimeoutError:  # nobody reads any more: all buffers are full
                left -= 1
            except OSError:
                break
        assert left, "the server still waits"


# --- clients that vanish --------------------------------------------------------------------------


def test_the_system_is_asked_to_notice_clients_that_vanish():
    from olpipe.network.addresses import Address
    from olpipe.server.edge.sockets import listening

    with listening(Address.parse("127.0.0.1:0")) as (one,):
        one.listen()
        with socket.create_connection(one.getsockname()), one.accept()[0] as accepted:
            assert accepted.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
            if hasattr(socket, "TCP_KEEPIDLE"):
                assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 60


@pytest.mark.parametrize("part", [b"", b"POST /api/chat HT", b"POST /api/chat HTTP/1.1\r\nContent-Length: 99\r\n\r\n{"])
def test_a_client_may_hang_up_at_any_moment(small, part):
    before = small.log.read_text()
    with connect(small) as connection:
        connection.sendall(part)
    with connect(small) as connection:
        connection.sendall(part)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")  # a reset instead of an end
    time.sleep(0.2)
    assert "Traceback" not in small.log.read_text().removeprefix(before)


# --- requests that mean two things ----------------------------------------------------------------


@pytest.mark.parametrize(
    "headers",
    [
        ["Content-Length: 5", "Transfer-Encoding: chunked"],
        ["Content-Length: 5", "Content-Length: 6"],
        ["Content-Length: -1"],
        ["Content-Length: 0x10"],
        ["Content-Length: 99999999999999999999999999"],
        ["Transfer-Encoding: chunked, identity"],
        ["X: a\rContent-Length: 4"],
        ["X : a"],
        ["X\x00: a"],
    ],
)
def test_a_request_whose_length_is_in_doubt_is_refused(small, headers):
    smuggled = b"0\r\n\r\nGET /api/tags HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    answer = exchange(small, head("/api/chat", *headers, method="POST"), smuggled)
    assert status(answer) in (400, 413)
    assert b'"models"' not in answer


@pytest.mark.parametrize(
    "line",
    [b"\x16\x03\x01\x02\x00", b"GET / HTTP/9.9\r\n\r\n", b"G\xc3\xa9T / HTTP/1.1\r\n\r\n", b"\r\n" * 3, b"\0" * 99],
)
def test_what_is_no_request_is_refused(small, line):
    assert status(exchange(small, line)) in (0, 400, 408)


def test_parts_of_an_answer_are_not_served(small):
    """Who asks for a range gets the whole answer, and not one that says it is a part."""
    assert status(exchange(small, head("/api/version", "Range: bytes=0-4"))) == 200
