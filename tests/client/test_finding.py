"""Which server commands use."""

import os
import shutil
import subprocess
import sys
import tempfile
from contextlib import closing, nullcontext
from pathlib import Path

import pytest

from olpipe.client.finding import find_server
from olpipe.errors import ServerUnreachable, UsageError
from olpipe.settings import Settings
from tests.client.http_server import CERTIFICATE, OLLAMA, OLPIPE, HttpServer
from tests.server.started import Started, free_port


@pytest.fixture
def find(monkeypatch):
    """Return a function that finds the server for settings of the environment; it returns the address, or None."""
    monkeypatch.delenv("OLPIPE_SERVER")

    def find(**environment):
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        server = find_server(Settings.read())
        with nullcontext() if server is None else closing(server):
            return None if server is None else str(server.address)

    return find


def test_a_chosen_server_is_used_whatever_it_is(find):
    with HttpServer(OLLAMA) as server:
        assert find(OLLAMA_HOST=f"127.0.0.1:{server.port}") == f"http://127.0.0.1:{server.port}"
        assert find(OLLAMA_HOST=f"http://localhost:{server.port}/") == f"http://localhost:{server.port}"


@pytest.mark.parametrize("everywhere", ["0.0.0.0", "[::]", ""])
def test_an_address_that_only_says_where_to_listen_chooses_nothing(find, everywhere):
    with HttpServer(OLLAMA) as server:
        assert find(OLLAMA_HOST=f"{everywhere}:{server.port}") is None
    with HttpServer(OLPIPE) as server:
        assert find(OLLAMA_HOST=f"{everywhere}:{server.port}") == f"http://127.0.0.1:{server.port}"


@pytest.mark.parametrize(
    ("answer", "status"),
    [(b"<html>", 200), (b"[]", 200), ({}, 200), (b"Not here", 404), ({"error": "no"}, 401), (b"", 500)],
)
def test_something_else_is_used_only_where_it_was_chosen_and_then_it_is_an_error(find, answer, status):
    with HttpServer(answer, status=status) as server:
        assert find(OLLAMA_HOST=f"0.0.0.0:{server.port}") is None
        with pytest.raises((ServerUnreachable, UsageError)) as caught:
            find(OLLAMA_HOST=f"127.0.0.1:{server.port}")
    assert f"at http://127.0.0.1:{server.port} " in caught.value.message


def test_where_nobody_listens_nothing_is_used_unless_it_was_chosen(find):
    port = free_port()
    assert find(OLLAMA_HOST=f"0.0.0.0:{port}") is None
    with pytest.raises(ServerUnreachable, match=f"^no server answers at http://127.0.0.1:{port}$") as caught:
        find(OLLAMA_HOST=f"127.0.0.1:{port}")
    assert "olpipe serve" in str(caught.value.hint)
    assert "OLLAMA_HOST" in str(caught.value.hint)


@pytest.mark.parametrize("switch", ["off", "0", "false"])
def test_no_server_is_looked_for_where_that_is_switched_off(find, switch):
    with HttpServer(OLPIPE) as server:
        assert find(OLLAMA_HOST=f"127.0.0.1:{server.port}", OLPIPE_SERVER=switch) is None
        assert server.requests == []


def test_a_server_that_really_runs_says_that_it_is_olpipe(find, tmp_path):
    with Started(tmp_path / "home", tmp_path / "log") as server:
        assert find(OLLAMA_HOST=f"0.0.0.0:{server.port}") == server.url


def test_the_first_key_is_sent(find):
    with HttpServer(OLPIPE) as server:
        find(OLLAMA_HOST=f"127.0.0.1:{server.port}", OLPIPE_API_KEY="one, two")
        find(OLPIPE_API_KEY="")
    assert [headers.get("Authorization") for _, _, headers in server.requests] == ["Bearer one", None]


def test_no_proxy_stands_between_a_client_and_its_own_machine(find):
    proxy = f"http://127.0.0.1:{free_port()}"
    with HttpServer(OLPIPE) as server:
        found = find(OLLAMA_HOST=f"127.0.0.1:{server.port}", HTTP_PROXY=proxy, http_proxy=proxy, ALL_PROXY=proxy)
        assert found == f"http://127.0.0.1:{server.port}"


@pytest.fixture
def place():
    """Return where a socket may be; its path is short, as systems want it."""
    folder = Path(tempfile.mkdtemp())
    yield folder / "sock"
    shutil.rmtree(folder)


def test_a_socket_in_the_file_system_is_a_chosen_server(find, place):
    with pytest.raises(ServerUnreachable, match=f"^no server answers at unix://{place}$"):
        find(OLLAMA_HOST=f"unix://{place}")
    with HttpServer(OLLAMA, unix=place) as server:
        assert find(OLLAMA_HOST=f"unix://{place}") == f"unix://{place}"
    assert [path for _, path, _ in server.requests] == ["/api/version"]


def test_a_server_with_a_certificate_is_used_where_it_is_trusted(find, monkeypatch):
    with HttpServer(OLLAMA, tls=True) as server:
        address = f"https://localhost:{server.port}"
        with pytest.raises(ServerUnreachable) as caught:
            find(OLLAMA_HOST=address)
        assert caught.value.message.startswith(f"the certificate of the server at {address} is not trusted: self")
        assert caught.value.hint == "let SSL_CERT_FILE name a file with the certificate, if you trust it"
        assert find(SSL_CERT_FILE=str(CERTIFICATE)) == address


@pytest.mark.usefixtures("unmeasured", "isolated_home")
def test_where_no_server_runs_the_libraries_that_a_request_needs_are_not_imported():
    program = (
        "import sys; from olpipe.cli.main import main\ntry: main(['list'])\nfinally: print('httpx' in sys.modules)"
    )
    variables = {**os.environ, "OLPIPE_SERVER": "on", "OLLAMA_HOST": f"0.0.0.0:{free_port()}"}
    ended = subprocess.run([sys.executable, "-c", program], env=variables, capture_output=True, text=True, check=True)
    assert ended.stdout.splitlines()[-1] == "False"
