"""Which pages may use the server, and under which names of its host."""

import socket

import pytest

from olpipe.network.addresses import Address
from olpipe.server.edge.guard import is_loopback, is_own_name
from tests.server.raw import ask

ALLOWED = [
    *("http://localhost", "https://localhost", "http://localhost:3000", "https://127.0.0.1:8443", "http://0.0.0.0:1"),
    *("app://obsidian.md", "file://", "tauri://localhost", "vscode-webview://abc", "vscode-file://vscode-app"),
]
FOREIGN = [
    *("http://evil.com", "https://evil.com", "null", "http://localhost.evil.com", "http://localhost:80.evil.com"),
    *("http://127.0.0.1.evil.com", "chrome-extension://abcdef", "http://192.168.0.2", "http://localhosts", "ftp://x"),
    *("http://localhost:", "http://localhost:123456"),
]


# --- origins --------------------------------------------------------------------------------------


@pytest.mark.parametrize("origin", ALLOWED)
def test_pages_from_this_machine_and_its_applications_may_read_answers(server, origin):
    status, headers, _ = ask(server, "/api/version", Origin=origin)
    assert status == 200
    assert headers["access-control-allow-origin"] == origin
    assert headers["vary"] == "Origin"


@pytest.mark.parametrize("origin", FOREIGN)
@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
def test_other_pages_are_refused_without_a_word(server, origin, method):
    status, headers, body = ask(server, "/api/version", method, Origin=origin)
    assert (status, body) == (403, b"")
    assert [name for name in headers if name.startswith("access-control")] == []


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_page_of_the_server_itself_needs_no_permission(server, scheme):
    host = f"127.0.0.1:{server.port}"
    status, headers, _ = ask(server, "/api/version", Host=host, Origin=f"{scheme}://{host}")
    assert status == 200
    assert "access-control-allow-origin" not in headers


def test_a_browser_that_asks_first_is_told_what_a_page_may_send(server):
    status, headers, body = ask(
        server, "/api/chat", "OPTIONS", Origin="http://localhost:3000", Access_Control_Request_Method="POST",
        Access_Control_Request_Headers="content-type, x-stainless-os, x-strange",
    )  # fmt: skip
    assert (status, body) == (204, b"")
    assert headers["access-control-allow-origin"] == "http://localhost:3000"
    assert headers["access-control-allow-methods"] == "GET,POST,PUT,PATCH,DELETE,HEAD,OPTIONS"
    assert headers["access-control-max-age"] == "43200"
    assert headers["vary"] == "Origin, Access-Control-Request-Method, Access-Control-Request-Headers"
    names = headers["access-control-allow-headers"].split(",")
    assert {"authorization", "content-type", "x-requested-with", "openai-beta", "x-stainless-os"} <= set(names)
    assert "x-strange" not in names


def test_an_error_can_be_read_by_a_page_that_may_use_the_server(server):
    status, headers, _ = ask(server, "/api/nothing", Origin="http://localhost")
    assert (status, headers["access-control-allow-origin"]) == (404, "http://localhost")


def test_the_settings_add_origins(start_server):
    server = start_server(OLLAMA_ORIGINS="https://*.example.com, chrome-extension://*")
    for origin in ("https://chat.example.com", "chrome-extension://abcdef", "http://localhost"):
        assert ask(server, "/", Origin=origin)[1]["access-control-allow-origin"] == origin
    for origin in ("http://chat.example.com", "https://example.com", "https://chat.example.com.evil.com"):
        assert ask(server, "/", Origin=origin)[0] == 403


def test_a_star_allows_every_origin(start_server):
    server = start_server(OLLAMA_ORIGINS="*")
    for origin in ("https://evil.com", "null"):
        status, headers, _ = ask(server, "/", Origin=origin)
        assert (status, headers["access-control-allow-origin"]) == (200, "*")
        assert "vary" not in headers or "Origin" not in headers["vary"]


# --- hosts ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("host", "own"),
    [
        # Source: https://github.com/ollama/ollama/blob/main/server/routes.go, allowedHostsMiddleware
        ("", True),
        ("localhost", True),
        ("LOCALHOST:11434", True),
        ("127.0.0.1:11434", True),
        ("127.8.9.1", True),
        ("[::1]:11434", True),
        ("::1", True),
        ("0.0.0.0", True),
        ("192.168.1.2:80", True),
        ("10.0.0.1", True),
        ("chat.localhost", True),
        ("mybox.local", True),
        ("host.docker.internal:11434", True),
        ("evil.com", False),
        ("evil.com:11434", False),
        ("localhost.evil.com", False),
        ("127.0.0.1.evil.com", False),
        ("8.8.8.8", False),
        ("[2606:4700::1111]:11434", False),
        ("local", False),
        ("localhost:1:2", False),
    ],
)
def test_a_name_of_this_machine_is_told_from_others(host, own):
    assert is_own_name(host) is own


def test_the_name_of_the_machine_is_its_own():
    assert is_own_name(f"{socket.gethostname().upper()}:11434")


@pytest.mark.parametrize(
    ("address", "loopback"),
    [
        ("", True),
        ("localhost", True),
        ("127.0.0.2", True),
        ("::1", True),
        (":11434", False),
        ("0.0.0.0", False),
        ("::", False),
        ("192.168.1.2", False),
        ("unix:///run/olpipe.sock", False),
    ],
)
def test_hosts_are_checked_where_only_this_machine_can_connect(address, loopback):
    assert is_loopback(Address.parse(address)) is loopback


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE", "OPTIONS"])
def test_a_page_that_has_its_name_lead_here_is_refused(server, method):
    status, _, body = ask(server, "/api/tags", method, Host="evil.com", Origin="http://evil.com")
    assert (status, body) == (403, b"")


def test_a_request_without_an_origin_to_another_name_is_refused(server):
    assert ask(server, "/api/tags", Host="evil.com:11434")[0] == 403


def test_every_client_may_ask_what_it_may_do(server):
    assert ask(server, "/api/chat", "OPTIONS")[0] == 204


def test_a_server_for_other_machines_has_any_name(start_server):
    server = start_server(host="0.0.0.0")
    assert ask(server, "/api/version", Host="photos.example.com")[0] == 200
