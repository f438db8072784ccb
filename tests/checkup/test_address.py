"""What answers at the address of the server, with real servers on this machine."""

import http.server
import json
import os
import socket
import threading
from contextlib import contextmanager

import pytest

from olpipe import __version__
from olpipe.checkup import address
from olpipe.checkup.report import Section
from olpipe.network.addresses import Address
from olpipe.settings import Settings
from tests.server.started import Started, free_port


def look(port, *, name="127.0.0.1", **settings):
    section = Section("server", "Server")
    address.check_server(section, Settings(host=Address("http", name, port), **settings))
    return section


@contextmanager
def answering(status, body):
    """Answer every request in the same way; yields the port."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()


def test_a_running_olpipe_is_known_by_its_version(isolated_home, tmp_path):
    with Started(isolated_home, tmp_path / "log") as server:
        section = look(server.port)
    (row,) = section.rows
    assert (row.state, row.text) == ("ok", f"olpipe {__version__} answers at {server.url}")
    assert section.facts["answers"] == {"product": "olpipe", "version": __version__}


def test_a_server_that_lets_nobody_in_is_told():
    with answering(401, b'{"error":"unauthorized"}') as port:
        section = look(port)
    assert section.rows[0].state == "note"
    assert section.rows[0].text.endswith("lets nobody in without a key")


def test_another_version_of_olpipe_is_told():
    with answering(200, json.dumps({"version": "0.0.1", "product": "olpipe"}).encode()) as port:
        section = look(port)
    assert section.rows[0].state == "note"
    assert "olpipe 0.0.1 answers" in section.rows[0].text
    assert section.steps[0].command == "olpipe serve"


def test_ollama_is_known_by_its_answer():
    with answering(200, b'{"version":"0.30.1"}') as port:
        section = look(port)
    assert section.facts["answers"] == {"product": "Ollama", "version": "0.30.1"}
    assert (section.rows[0].state, section.steps) == ("", [])
    assert section.rows[0].text.startswith(f"Ollama 0.30.1 answers at http://127.0.0.1:{port}")


@pytest.mark.parametrize(("status", "body"), [(200, b"<html>hello</html>"), (200, b"[]"), (404, b"no"), (500, b"")])
def test_something_else_at_the_address_is_told_with_another_address(status, body):
    with answering(status, body) as port:
        section = look(port)
    assert section.rows[0].text == f"what answers at http://127.0.0.1:{port} is no server of models"
    assert section.facts["answers"] == {"product": None, "version": None}
    assert f"127.0.0.1:{port + 1}" in section.steps[0].command
    assert section.steps[0].command.endswith("olpipe serve")


def test_a_listener_that_says_nothing_is_not_waited_for():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        section = look(port)
    assert section.rows[0].text == f"the server at http://127.0.0.1:{port} does not answer"


def test_a_free_address_can_be_listened_at():
    port = free_port()
    section = look(port)
    assert (section.rows[0].state, section.facts["can_listen"], section.facts["answers"]) == ("ok", True, None)
    assert section.rows[0].text == f"nobody answers at http://127.0.0.1:{port}; `olpipe serve` can listen there"
    with socket.create_server(("127.0.0.1", port)):  # the check has left it free
        pass


def test_an_address_that_is_held_and_answers_nobody_is_told():
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))  # it takes no connections
        section = look(holder.getsockname()[1])
    assert (section.rows[0].state, section.facts["can_listen"]) == ("note", False)
    assert "is taken by another program" in section.rows[0].text
    assert "stop the server" in section.steps[0].reason


def test_an_address_of_no_machine_here_is_told():
    section = look(free_port(), name="192.0.2.1")  # an address for documentation
    assert section.rows[0].state == "note"


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="the system has no sockets in the file system")
def test_a_socket_in_the_file_system_is_looked_at_too(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = os.path.join("/tmp", f"olpipe-doctor-{os.getpid()}.sock")
    section = Section("server", "Server")
    address.check_server(section, Settings(host=Address("unix", "", 0, path)))
    assert section.rows[0].text == f"nobody answers at unix://{path}; `olpipe serve` can listen there"
    assert not os.path.exists(path)


def test_an_address_that_takes_too_long_is_given_up(monkeypatch):
    monkeypatch.setattr(address, "DEADLINE_S", 0.0)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        section = look(listener.getsockname()[1])
    assert section.rows[0].text.endswith("does not answer")
