"""How the server starts, where it listens, and how it ends."""

import contextlib
import http.client
import json
import os
import signal
import socket
import ssl
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from tests.server.started import free_port

FOREVER = {"model": "tiny", "prompt": "the cat", "options": {"num_predict": 100_000_000, "num_ctx": 4096}}
CERTIFICATE = Path(__file__).with_name("certificate.pem")


class Serving:
    """`olpipe serve` as a process whose stderr is read line by line."""

    def __init__(self, home, **environment):
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "olpipe", "serve"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env={**os.environ, "OLPIPE_HOME": str(home), **environment},
        )  # fmt: skip

    def line(self):
        return self.process.stderr.readline().rstrip("\n")

    def end(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        out, errors = self.process.communicate(timeout=60)
        return self.process.returncode, out, errors

    def ended(self):
        out, errors = self.process.communicate(timeout=60)
        return self.process.returncode, out, errors


@pytest.fixture
def serving(server_home):
    running = []

    def serve(**environment):
        running.append(Serving(server_home, **environment))
        return running[-1]

    yield serve
    for one in running:
        if one.process.poll() is None:
            one.process.kill()
        one.process.communicate()


def answers(port, path="/api/version", host="127.0.0.1"):
    connection = http.client.HTTPConnection(host, port, timeout=60)
    try:
        connection.request("GET", path)
        return json.loads(connection.getresponse().read())
    finally:
        connection.close()


# --- where ----------------------------------------------------------------------------------------


def test_a_free_port_is_chosen_and_told(serving):
    server = serving(OLLAMA_HOST="127.0.0.1:0")
    line = server.line()
    assert line.startswith("Listening on http://127.0.0.1:")
    assert answers(int(line.rpartition(":")[2]))["product"] == "olpipe"
    assert server.end() == (0, "", "")


@pytest.mark.examples(1)
@pytest.mark.parametrize(("host", "shown"), [("localhost", "localhost"), ("", "0.0.0.0"), ("0.0.0.0", "0.0.0.0")])
def test_a_name_stands_for_all_its_addresses(serving, host, shown):
    port = free_port()
    server = serving(OLLAMA_HOST=f"{host}:{port}", OLPIPE_MANAGEMENT="local")
    assert server.line() == f"Listening on http://{shown}:{port}"
    assert answers(port)["product"] == "olpipe"
    assert server.end()[0] == 0


@pytest.mark.skipif(not socket.has_ipv6, reason="needs IPv6")
def test_an_address_of_ipv6_is_listened_at(serving):
    with socket.socket(socket.AF_INET6) as probe:
        try:
            probe.bind(("::1", 0))
        except OSError:
            pytest.skip("IPv6 is switched off here")
        port = probe.getsockname()[1]
    server = serving(OLLAMA_HOST=f"[::1]:{port}")
    assert server.line() == f"Listening on http://[::1]:{port}"
    assert answers(port, host="::1")["product"] == "olpipe"


def test_a_port_that_is_taken_is_one_clear_line(serving, server):
    code, out, errors = serving(OLLAMA_HOST=f"127.0.0.1:{server.port}").ended()
    assert (code, out) == (1, "")
    assert errors == (
        f"error: the address http://127.0.0.1:{server.port} is taken by another program\n"
        "hint: stop the server that runs there, perhaps Ollama or olpipe, or set OLLAMA_HOST to another address\n"
    )


@pytest.mark.examples(1)
@pytest.mark.parametrize(
    ("host", "message"),
    [
        ("no-such-host.invalid", "error: the host `no-such-host.invalid` has no address\n"),
        (
            "203.0.113.7",
            "error: the server cannot listen at http://203.0.113.7:11434: Cannot assign requested address\n",
        ),
        ("unix://here.sock", "error: the path of `unix://here.sock` is not absolute\n"),
        ("unix:///no/such/folder/sock", "error: the server cannot listen at unix:///no/such/folder/sock: No such file"),
    ],
)
def test_an_address_that_cannot_be_had_is_one_clear_line(serving, host, message):
    code, _, errors = serving(OLLAMA_HOST=host, OLPIPE_MANAGEMENT="local").ended()
    assert code == 1
    assert errors.startswith(message)


# --- a socket in the file system ------------------------------------------------------------------


class UnixConnection(http.client.HTTPConnection):
    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(60)
        self.sock.connect(self.host)


def through(path, method, url, body=None):
    connection = UnixConnection(str(path))
    connection.request(method, url, body, headers={"Host": "olpipe"})
    reply = connection.getresponse()
    answer = reply.status, reply.read()
    connection.close()
    return answer


@pytest.fixture
def place(tmp_path_factory):
    """Return a short path: those of sockets may have about 100 characters."""
    folder = Path("/tmp") / f"olpipe-{os.getpid()}"
    folder.mkdir(exist_ok=True)
    yield folder / "sock"
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()


def test_a_socket_in_the_file_system_is_for_this_user_only(serving, place):
    server = serving(OLLAMA_HOST=f"unix://{place}", OLPIPE_MANAGEMENT="local")
    assert server.line() == f"Listening on unix://{place}"
    assert stat.S_IMODE(place.stat().st_mode) == 0o600
    assert through(place, "GET", "/api/version")[0] == 200
    body = json.dumps({"model": "tiny", "prompt": "the cat", "stream": False, "options": {"num_predict": 2}})
    status, answer = through(place, "POST", "/api/generate", body)
    assert (status, json.loads(answer)["eval_count"]) == (200, 2)
    assert through(place, "DELETE", "/api/delete", '{"model": "nobody"}')[0] == 404  # a client there is on this machine
    assert server.end() == (0, "", "")
    assert not place.exists()


@pytest.mark.slow
def test_a_socket_that_a_killed_server_left_is_taken_over(serving, place):
    first = serving(OLLAMA_HOST=f"unix://{place}")
    assert first.line() == f"Listening on unix://{place}"
    second = serving(OLLAMA_HOST=f"unix://{place}")
    assert second.ended()[0] == 1  # the first one still listens
    assert through(place, "GET", "/api/version")[0] == 200
    first.end(signal.SIGKILL)
    assert place.exists()
    third = serving(OLLAMA_HOST=f"unix://{place}")
    assert third.line() == f"Listening on unix://{place}"
    assert through(place, "GET", "/api/version")[0] == 200


def test_a_file_that_is_no_socket_is_left_alone(serving, place):
    place.write_text("precious")
    code, _, errors = serving(OLLAMA_HOST=f"unix://{place}").ended()
    assert (code, errors.splitlines()[0]) == (1, f"error: `{place}` is there already, and it is no socket")
    assert place.read_text() == "precious"


# --- TLS ------------------------------------------------------------------------------------------


def test_with_a_certificate_the_server_speaks_https(serving):
    server = serving(OLLAMA_HOST="127.0.0.1:0", OLPIPE_TLS_CERT=str(CERTIFICATE))
    line = server.line()
    assert line.startswith("Listening on https://127.0.0.1:")
    port = int(line.rpartition(":")[2])
    trusting = ssl.create_default_context(cafile=CERTIFICATE)
    connection = http.client.HTTPSConnection("localhost", port, context=trusting, timeout=60)
    connection.request("GET", "/api/version")
    assert connection.getresponse().status == 200
    connection.close()
    with pytest.raises((http.client.HTTPException, ConnectionError)):
        answers(port)
    assert server.end()[0] == 0


def test_a_certificate_that_cannot_be_used_is_refused(serving, tmp_path):
    (tmp_path / "bad.pem").write_text("no certificate")
    missing = tmp_path / "missing.pem"
    for settings, message in (
        ({"OLPIPE_TLS_CERT": str(missing)}, f"error: the file `{missing}` cannot be read: No such file or directory"),
        ({"OLPIPE_TLS_CERT": str(tmp_path / "bad.pem")}, f"error: the certificate `{tmp_path / 'bad.pem'}` cannot be"),
        ({"OLPIPE_TLS_KEY": str(CERTIFICATE)}, "error: OLPIPE_TLS_KEY is set without OLPIPE_TLS_CERT"),
    ):
        code, _, errors = serving(OLLAMA_HOST="127.0.0.1:0", **settings).ended()
        assert code == 1
        assert errors.startswith(message)


# --- the end --------------------------------------------------------------------------------------


def begin(server, body):
    """Ask for an answer without end, and return the connection and what comes once its first line is here."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    connection.request("POST", "/api/generate", json.dumps(body))
    reply = connection.getresponse()
    return connection, reply, json.loads(reply.readline())


@pytest.mark.examples(1)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_open_stream_ends_in_order_and_nothing_is_left_running(start_server, number):
    server = start_server(OLPIPE_THREADS="1")
    connection, reply, first = begin(server, FOREVER)
    assert first["done"] is False
    children = psutil.Process(server.process.pid).children(recursive=True)
    assert children
    server.process.send_signal(number)
    lines = [json.loads(line) for line in reply]
    connection.close()
    assert lines[-1]["done"] is True or "error" in lines[-1]
    assert server.process.wait(60) == 0
    assert not any(child.is_running() for child in children)
    assert "Traceback" not in server.log.read_text()


def test_a_short_answer_comes_to_its_own_end(start_server):
    server = start_server(OLPIPE_THREADS="1")
    connection, reply, _ = begin(server, {**FOREVER, "options": {"num_predict": 200, "temperature": 0}})
    server.process.send_signal(signal.SIGTERM)
    last = [json.loads(line) for line in reply][-1]
    connection.close()
    assert (last["done"], last["done_reason"]) in ((True, "length"), (True, "stop"))
    assert server.process.wait(60) == 0


def test_whoever_is_in_a_hurry_presses_ctrl_c_twice(start_server):
    server = start_server(OLPIPE_THREADS="1")
    connection, _, _ = begin(server, FOREVER)
    children = psutil.Process(server.process.pid).children(recursive=True)
    server.process.send_signal(signal.SIGINT)
    time.sleep(0.3)
    server.process.send_signal(signal.SIGINT)
    assert server.process.wait(60) == 0
    connection.close()
    assert not any(child.is_running() for child in children)


def test_a_server_can_be_stopped_while_it_loads_a_model(start_server):
    server = start_server()
    asked = threading.Thread(target=lambda: _ignoring(lambda: server.post("/api/generate", {"model": "photo-mini"})))
    asked.start()
    while not psutil.Process(server.process.pid).children():
        time.sleep(0.01)
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(60) == 0
    asked.join()


def _ignoring(call):
    with contextlib.suppress(OSError, http.client.HTTPException):
        call()


# --- what it says ---------------------------------------------------------------------------------


def test_variables_without_effect_are_explained_once(serving):
    server = serving(OLLAMA_HOST="127.0.0.1:0", OLLAMA_NO_CLOUD="1", OLLAMA_FLASH_ATTENTION="1")
    lines = [server.line() for _ in range(3)]
    assert [line.partition(":")[0] for line in lines] == ["warning", "warning", "Listening on http"]
    assert lines[0].startswith("warning: OLLAMA_FLASH_ATTENTION has no effect: ")
    assert lines[1].startswith("warning: OLLAMA_NO_CLOUD has no effect: ")
    assert server.end() == (0, "", "")


@pytest.mark.examples(1)
@pytest.mark.parametrize("settings", [{}, {"OLPIPE_API_KEY": "k"}, {"OLPIPE_MANAGEMENT": "local"}])
def test_a_server_that_strangers_may_change_says_so(serving, settings):
    server = serving(OLLAMA_HOST="0.0.0.0:0", **settings)
    warned = server.line().startswith("warning: everybody who reaches http://0.0.0.0:0 can use the models and change")
    assert warned is (not settings)


def test_requests_are_logged_where_that_is_wished_for_and_what_they_ask_is_not(start_server):
    server = start_server(OLLAMA_DEBUG="1")
    body = {"model": "tiny", "prompt": "a secret about the cat", "stream": False, "options": {"num_predict": 3}}
    server.post("/api/generate", body, X_Request_Id="mine-1")
    server.get("/api/no%0Athing")
    wanted = ("mine-1 POST /api/generate: 200 in ", "mine-1 'tiny': ", "GET /api/no%0Athing: 404 in ")
    until = time.monotonic() + 60  # a request is logged when its client may have its answer already
    while not all(line in server.log.read_text() for line in wanted) and time.monotonic() < until:
        time.sleep(0.05)
    log = server.log.read_text()
    assert [line for line in wanted if line not in log] == []
    assert "secret" not in log
    assert server.process.poll() is None


def test_requests_are_not_logged_unasked(server):
    server.get("/api/version", X_Request_Id="mine-2")
    assert "mine-2" not in server.log.read_text()


def test_bodies_are_kept_with_a_command_that_repeats_the_request(start_server, tmp_path):
    server = start_server(OLLAMA_DEBUG_LOG_REQUESTS="1", TMPDIR=str(tmp_path))
    body = {"model": "tiny", "prompt": "the cat", "stream": False, "options": {"num_predict": 2}}
    server.post("/api/generate", body)
    server.get("/api/tags")
    (folder,) = tmp_path.glob("olpipe-requests-*")
    assert f"the bodies of requests are written to {folder}" in server.log.read_text()
    kept, command = folder / "000001_api_generate.json", folder / "000001_api_generate.sh"
    assert sorted(folder.iterdir()) == [kept, command]
    assert json.loads(kept.read_bytes()) == body
    assert f"@{kept}" in command.read_text()
    assert f"{server.url}/api/generate" in command.read_text()
    assert {stat.S_IMODE(path.stat().st_mode) for path in (kept, command)} == {0o600}
