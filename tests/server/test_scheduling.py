"""What a server loads, how long it stays, who waits for it, and that who leaves is waited for no longer."""

from __future__ import annotations

import base64
import http.client
import json
import threading
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from starlette.requests import Request

from olpipe.model import ModelConfig, ModelName
from olpipe.server.edge.clients import client_of
from olpipe.store.library import Library
from olpipe.testing.images import photo
from olpipe.testing.install import install_plugin
from tests.server.started import Started

BUSY = "server busy, please try again.  maximum pending requests exceeded"
FOR_EVER = timedelta(days=365 * 20)
ENDLESS = {"endless_on": "endless", "delay_s": 0.02}


class Clients:
    """A server with echo models, and connections to it that can be closed at any moment."""

    def __init__(self, server):
        self.server = server
        self._open = []

    def ask(self, text, *, model="echo", agent="test", path="/api/generate", **more):
        """Send a question, and return its connection without waiting for the answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=120)
        body = {"model": model, "prompt": text, **more}
        connection.request("POST", path, json.dumps(body), {"User-Agent": agent, "Content-Type": "application/json"})
        self._open.append(connection)
        return connection

    def models(self):
        """Return what is loaded, by name."""
        _, body = self.server.get("/api/ps")
        return {model["name"].removesuffix(":latest"): model for model in body["models"]}

    def load(self, model="echo", **more):
        status, body = self.server.post("/api/generate", {"model": model, **more})
        assert status == 200, body

    def begun(self, text, **more):
        """Ask something endless, and wait until the first word of the answer is here."""
        connection = self.ask(text, **more)
        connection.getresponse().readline()
        return connection

    def close(self):
        for connection in self._open:
            connection.close()


def until(holds):
    deadline_s = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline_s, "it did not come to hold within a minute"
        time.sleep(0.02)


def start(folder, models, **environment):
    """Start a server with echo models, given their options by name."""
    plugins = folder / "plugins"
    plugins.mkdir()
    install_plugin(plugins, "echo", "olpipe.testing.echo")
    library = Library(folder / "home" / "models", cache=folder / "home" / "cache")
    for name, options in models.items():
        layer = replace(library.add_bytes(json.dumps(options).encode()), name="echo.json")
        config = ModelConfig(model_format="echo", model_type=name, capabilities=("completion", "vision"))
        library.commit(ModelName.parse(name), config, [layer])
    return Clients(Started(folder / "home", folder / "log", PYTHONPATH=str(plugins), **environment))


@pytest.fixture
def clients(tmp_path):
    """Return a function that starts a server of the test's own."""
    running = []

    def start_one(models=None, **environment):
        running.append(start(tmp_path, models or {"echo": {}}, **environment))
        return running[-1]

    yield start_one
    for one in running:
        one.close()
        one.server.close()


@pytest.fixture(scope="module")
def shared_server(tmp_path_factory):
    models = {"echo": ENDLESS | {"slots": 1}, "loads": {"load_s": 600}, "builds": {"build_s": 600}}
    one = start(tmp_path_factory.mktemp("shared"), models)
    yield one
    one.server.close()


@pytest.fixture
def shared(shared_server):
    """Return a server with the usual settings, whose model `echo` has one slot. `loads` and `builds` never come."""
    yield shared_server
    shared_server.close()
    until(lambda: all(model["active"] == model["queue"] == 0 for model in shared_server.models().values()))


# --- how long models stay ---------------------------------------------------------------------------


def stays(model):
    return datetime.fromisoformat(model["expires_at"]) - datetime.now().astimezone()


def test_a_request_says_how_long_its_model_stays(shared):
    one = shared
    for keep_alive, least, most in (
        ("1h", timedelta(minutes=59), timedelta(hours=1)),
        (90, timedelta(seconds=60), timedelta(seconds=90)),
        (1.5e3, timedelta(seconds=1400), timedelta(seconds=1500)),
        (-1, FOR_EVER, None),
        ("-1m", FOR_EVER, None),
    ):
        one.load(keep_alive=keep_alive)
        stay = stays(one.models()["echo"])
        assert stay >= least
        assert most is None or stay <= most
    assert one.server.post("/api/generate", {"model": "echo", "prompt": "a", "stream": False})[0] == 200
    assert stays(one.models()["echo"]) >= FOR_EVER, "a request that says nothing changes nothing"
    assert (
        one.server.post("/api/generate", {"model": "echo", "prompt": "a", "keep_alive": 0, "stream": False})[0] == 200
    )
    until(lambda: "echo" not in one.models())


@pytest.mark.parametrize(
    ("keep_alive", "status", "text"),
    [
        ("300", 400, 'time: invalid duration "300"'),
        ("soon", 400, 'time: invalid duration "soon"'),
        (True, 400, "Unsupported type: 'bool'"),
        ([], 400, "Unsupported type: 'list'"),
    ],
)
def test_what_is_no_duration_is_refused(server, keep_alive, status, text):
    found, body = server.post("/api/generate", {"model": "tiny", "keep_alive": keep_alive})
    assert (found, body["error"]) == (status, text)


@pytest.mark.examples(1)
@pytest.mark.parametrize(
    ("setting", "least", "most"),
    [
        ("-1", FOR_EVER, timedelta.max),
        ("1h2m3s", timedelta(hours=1), timedelta(hours=1, minutes=2, seconds=3)),
        ("1d", timedelta(minutes=4), timedelta(minutes=5)),
    ],
)
def test_the_setting_says_how_long_models_stay_otherwise(clients, setting, least, most):
    one = clients(OLLAMA_KEEP_ALIVE=setting)
    one.load()
    assert least <= stays(one.models()["echo"]) <= most


def test_a_setting_of_nothing_unloads_at_once(clients):
    one = clients(OLLAMA_KEEP_ALIVE="0")
    assert one.server.post("/api/generate", {"model": "echo", "prompt": "a", "stream": False})[1]["response"] == "a"
    until(lambda: one.models() == {})


# --- how many models there are ----------------------------------------------------------------------


def test_of_more_models_than_places_the_idle_one_with_the_shortest_stay_goes(clients):
    one = clients({name: {} for name in ("long", "short", "third")}, OLLAMA_MAX_LOADED_MODELS="2")
    one.load("long", keep_alive="1h")
    one.load("short", keep_alive="5m")
    one.load("third")
    assert set(one.models()) == {"long", "third"}


def test_a_model_waits_for_a_place_while_all_others_are_at_work(clients):
    one = clients({"busy": ENDLESS, "other": {}}, OLLAMA_MAX_LOADED_MODELS="1")
    busy = one.begun("endless words", model="busy")
    waiting = one.ask("a b", model="other", stream=False)
    until(lambda: one.models()["busy"]["active"] == 1)
    assert "other" not in one.models()
    busy.close()
    assert json.loads(waiting.getresponse().read())["response"] == "a b"


# --- who waits --------------------------------------------------------------------------------------


SAY = [{"role": "user", "content": "one more"}]


def test_a_full_queue_is_told_with_its_status_whether_the_answer_streams_or_not(clients):
    one = clients({"echo": {**ENDLESS, "slots": 1}}, OLLAMA_MAX_QUEUE="1")
    one.begun("endless words")
    one.ask("waits")
    until(lambda: one.models()["echo"]["queue"] == 1)
    for path, body in (
        ("/api/generate", {"prompt": "one more", "stream": True}),
        ("/api/generate", {"prompt": "one more", "stream": False}),
        ("/api/chat", {"messages": SAY}),
        ("/v1/chat/completions", {"messages": SAY, "stream": True}),
        ("/v1/messages", {"messages": SAY, "max_tokens": 5}),
    ):
        status, answer = one.server.post(path, {"model": "echo", **body})
        assert status == 503
        error = answer["error"] if isinstance(answer["error"], str) else answer["error"]["message"]
        assert error.startswith(BUSY)
        assert error == BUSY or path.startswith("/v1/")


def test_clients_on_this_machine_take_turns_by_what_they_say_of_themselves(shared):
    one = shared
    first = one.begun("endless words", agent="batch")
    finished, threads = [], []

    def wait(name, connection):
        connection.getresponse().read()
        finished.append(name)

    for number, agent in enumerate(("batch", "batch", "batch", "alice", "bob", "alice"), start=1):
        connection = one.ask("a", agent=agent, stream=False)
        threads.append(threading.Thread(target=wait, args=(f"{agent} {number}", connection)))
        threads[-1].start()
        until(lambda number=number: one.models()["echo"]["queue"] == number)
    first.close()
    for thread in threads:
        thread.join(60)
    turns = [name.split()[0] for name in finished]
    assert turns == ["batch", "alice", "bob", "batch", "alice", "batch"]


def request(host, **headers):
    given = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return Request({"type": "http", "client": (host, 1234) if host else None, "headers": given})


def test_a_client_elsewhere_is_its_address_whatever_it_says():
    names = {client_of(request("10.1.2.3", user_agent=agent, x_forwarded_for=agent)) for agent in ("a", "b")}
    assert names == {"10.1.2.3"}


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "::1", "::ffff:127.0.0.1", ""])
@pytest.mark.parametrize("header", ["x_forwarded_for", "authorization", "x_api_key", "user_agent"])
def test_clients_on_this_machine_are_told_apart_by_their_headers(host, header):
    one, again, other = (client_of(request(host, **{header: value})) for value in ("a", "a", "b"))
    assert one == again != other


def test_a_key_is_not_a_part_of_a_clients_name():
    assert "secret" not in client_of(request("127.0.0.1", authorization="Bearer secret"))


# --- who leaves -------------------------------------------------------------------------------------


@pytest.mark.parametrize("stream", [True, False])
def test_an_answer_ends_when_its_client_leaves(shared, stream):
    one = shared
    leaving = one.ask("endless words", stream=stream)
    until(lambda: one.models().get("echo", {}).get("active") == 1)
    waiting = one.ask("a b", stream=False)
    leaving.close()
    assert json.loads(waiting.getresponse().read())["response"] == "a b"
    until(lambda: one.models()["echo"]["active"] == 0)


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages"])
@pytest.mark.parametrize("stream", [True, False])
def test_so_it_does_in_the_other_apis(shared, path, stream):
    one = shared
    words = [{"role": "user", "content": "endless words"}]
    leaving = one.ask("", path=path, messages=words, stream=stream, max_tokens=1000)
    until(lambda: one.models().get("echo", {}).get("active") == 1)
    leaving.close()
    until(lambda: one.models()["echo"]["active"] == 0)


@pytest.mark.parametrize("stream", [True, False])
def test_a_request_whose_client_leaves_waits_no_longer(shared, stream):
    one = shared
    running = one.begun("endless words")
    leaving = one.ask("endless, too", stream=stream)
    until(lambda: one.models()["echo"]["queue"] == 1)
    leaving.close()
    until(lambda: one.models()["echo"]["queue"] == 0)
    running.close()
    assert one.server.post("/api/generate", {"model": "echo", "prompt": "a", "stream": False})[1]["response"] == "a"


IMAGE = base64.b64encode(photo()).decode()


@pytest.mark.parametrize(
    "more",
    [
        {"stream": True},
        {"stream": False},
        {"images": [IMAGE]},
        {"prompt": ""},
        {"path": "/api/embed", "input": "a"},
        {"path": "/api/tokenize"},
    ],
    ids=["stream", "whole", "photo", "load", "vectors", "tokens"],
)
@pytest.mark.parametrize("model", ["loads", "builds"])
def test_a_model_that_nobody_waits_for_any_more_is_not_loaded(shared, model, more):
    leaving = shared.ask("a", **{"model": model, **more})
    until(lambda: (shared.models().get(model) or {}).get("loading") is not None)
    leaving.close()
    until(lambda: model not in shared.models())


# --- loading ----------------------------------------------------------------------------------------


def test_a_load_that_stalls_is_ended_and_told(clients):
    one = clients({"echo": {"load_s": 600}}, OLLAMA_LOAD_TIMEOUT="300ms")
    for stream in (True, False):
        status, body = one.server.post("/api/generate", {"model": "echo", "prompt": "a", "stream": stream})
        assert status == 503
        assert body["error"] == "loading `echo:latest` made no progress for 0.3 s, so it was ended"
        assert "OLLAMA_LOAD_TIMEOUT" in body["hint"]
    assert one.models() == {}


def test_how_far_a_model_is_stands_in_the_list(shared):
    shared.ask("a", model="builds")
    until(lambda: (shared.models().get("builds", {}).get("loading") or {}).get("completed"))
    model = shared.models()["builds"]
    assert (model["loading"]["status"], model["loading"]["unit"]) == ("building", "hundredths")
    assert 0 < model["loading"]["completed"] < model["loading"]["total"] == 60_000
    assert (model["active"], model["queue"]) == (0, 1)


def test_a_model_that_answers_stays_as_long_as_it_was_asked_to_behind_its_answer(shared):
    shared.begun("a", keep_alive="10m")
    expires = datetime.fromisoformat(shared.models()["echo"]["expires_at"])
    assert timedelta(minutes=9) < expires - datetime.now(UTC) <= timedelta(minutes=10)
