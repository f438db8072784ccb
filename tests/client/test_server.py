"""What the client sends to a server, and what it makes of the answers."""

import io
import socket

import pytest

from olpipe.client.server import Server, error_of
from olpipe.errors import ModelCorrupt, ModelNotFound, OlpipeError, ServerUnreachable, UsageError
from olpipe.network.addresses import Address
from tests.client.http_server import HttpServer
from tests.server.started import free_port

GONE = ServerUnreachable


@pytest.fixture
def client():
    """Return a function that makes the client of a server."""
    clients = []

    def client(server, **options):
        clients.append(Server(Address("http", "127.0.0.1", server.port), **options))
        return clients[-1]

    yield client
    for one in clients:
        one.close()


def test_json_goes_there_and_comes_back(client):
    with HttpServer({"models": []}) as server:
        assert client(server).get("/api/tags") == {"models": []}
        client(server).post("/api/delete", {"model": "ü"}, method="DELETE")
    assert [(method, path) for method, path, _ in server.requests] == [("GET", "/api/tags"), ("DELETE", "/api/delete")]
    assert '{"model":"ü"}'.encode() in server.bodies


def test_an_empty_answer_is_an_empty_object(client):
    with HttpServer(b"") as server:
        assert client(server).post("/api/copy", {}) == {}


def test_the_path_before_every_route_is_kept():
    with HttpServer({}) as server, Server(Address("http", "127.0.0.1", server.port, "/models")) as client:
        client.get("/api/tags")
    assert server.requests[0][1] == "/models/api/tags"


def test_the_bytes_of_a_file_are_sent_and_asked_for(client):
    with HttpServer(b"", status=201) as server:
        client(server).send("/api/blobs/x", io.BytesIO(b"GGUF" * 1000))
        assert client(server).has("/api/blobs/x")
    assert [method for method, _, _ in server.requests] == ["POST", "HEAD"]
    with HttpServer(b"", status=404) as server:
        assert not client(server).has("/api/blobs/x")


def test_lines_come_one_by_one(client):
    with HttpServer(b'{"a":1}\n\n{"b":"\xc3\xbc"}\n') as server:
        assert list(client(server).lines("/api/pull", {})) == [{"a": 1}, {"b": "ü"}]


def test_an_error_in_a_line_ends_the_answer(client):
    with HttpServer(b'{"a":1}\n{"error":"no","hint":"try","kind":"ModelCorrupt"}\n{"b":2}\n') as server:
        lines = client(server).lines("/api/pull", {})
        assert next(lines) == {"a": 1}
        with pytest.raises(ModelCorrupt, match=r"^no$") as caught:
            next(lines)
    assert caught.value.hint == "try"


@pytest.mark.parametrize(
    ("body", "status", "kind"),
    [
        ({"error": "no", "kind": "ModelCorrupt"}, 500, ModelCorrupt),
        ({"error": "no", "kind": "ModelNotFound"}, 500, ModelNotFound),
        ({"error": "no", "kind": "NobodyKnowsIt"}, 500, OlpipeError),
        ({"error": "no"}, 404, ModelNotFound),
        ({"error": "no"}, 400, UsageError),
        ({"error": "no"}, 403, OlpipeError),
        ({"error": "no", "hint": 7}, 503, OlpipeError),
    ],
)
def test_errors_are_of_the_kind_that_the_server_says_or_that_their_status_means(client, body, status, kind):
    with HttpServer(body, status=status) as server, pytest.raises(OlpipeError, match=r"^no$") as caught:
        client(server).get("/api/tags")
    assert type(caught.value) is kind
    assert caught.value.hint is None


def test_an_error_without_a_text_says_its_status():
    assert error_of({"error": {}}, 418).message == "the server answered with status 418"


@pytest.mark.parametrize(("answer", "status"), [(b"<html>", 200), (b"7", 200), (b"<html>", 404), (b'{"x": 1}', 500)])
def test_what_is_no_server_of_models_is_one_clear_line(client, answer, status):
    with HttpServer(answer, status=status) as server, pytest.raises(ServerUnreachable) as caught:
        client(server).get("/api/tags")
    assert caught.value.message == f"what answers at http://127.0.0.1:{server.port} is no server of models"
    assert caught.value.hint == "look at OLLAMA_HOST"


@pytest.mark.parametrize(
    ("status", "key", "problem"),
    [
        (401, "", "lets nobody in without a key"),
        (401, "x", "does not know the key"),
        (403, "", "does not know that name of its machine"),
    ],
)
def test_who_is_not_let_in_learns_why(client, status, key, problem):
    with HttpServer(b"", status=status) as server, pytest.raises(UsageError) as caught:
        client(server, key=key).get("/api/tags")
    assert caught.value.message == f"the server at http://127.0.0.1:{server.port} {problem}"


def cut(handler):
    """Send a line and the beginning of another one, then hang up."""
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    handler.wfile.write(b'{"status":"pulling"}\n{"sta')
    handler.wfile.flush()
    handler.connection.shutdown(socket.SHUT_RDWR)


def hang_up(handler):
    handler.connection.shutdown(socket.SHUT_RDWR)


def test_a_server_that_goes_away_in_the_middle_is_one_clear_line(client):
    with HttpServer(handle=cut) as server:
        lines = client(server).lines("/api/pull", {})
        assert next(lines) == {"status": "pulling"}
        with pytest.raises(GONE, match=f"^the server at http://127.0.0.1:{server.port} went away$"):
            next(lines)
    with HttpServer(handle=hang_up) as server, pytest.raises(GONE, match=r"went away$"):
        client(server).get("/api/tags")


def test_a_server_that_does_not_answer_in_time_is_one_clear_line():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        with Server(Address("http", "127.0.0.1", port)) as client, pytest.raises(GONE, match=r"does not answer$"):
            client.get("/api/version", within_s=0.1)


def test_what_a_server_says_of_itself_is_asked_once(client):
    with HttpServer({"version": "1", "product": "olpipe"}) as server:
        one = client(server)
        assert one.is_olpipe
        assert one.is_olpipe
        assert one.version["version"] == "1"
    assert len(server.requests) == 1


def test_a_port_where_nobody_listens_is_one_clear_line():
    port = free_port()
    with Server(Address("http", "127.0.0.1", port)) as client, pytest.raises(GONE, match=r"^no server answers at "):
        client.get("/")
