"""Who may use the server, and who may change its models."""

import pytest

from olpipe.server.edge.keys import is_management
from olpipe.server.openapi.document import document
from tests.server.raw import ask
from tests.server.started import Started

ELSEWHERE = {"X-Forwarded-For": "203.0.113.7"}
"""A proxy on this machine says that the client is on another one."""

CHANGES = [
    ("POST", "/api/create"),
    ("POST", "/api/copy"),
    ("DELETE", "/api/delete"),
    ("POST", "/api/pull"),
    ("POST", "/api/push"),
    ("POST", f"/api/blobs/sha256:{'0' * 64}"),
    ("HEAD", f"/api/blobs/sha256:{'0' * 64}"),
]


@pytest.fixture(scope="module")
def locked(server_home, tmp_path_factory):
    """Return a server with two keys, for all tests of this file."""
    with Started(server_home, tmp_path_factory.mktemp("locked") / "log", OLPIPE_API_KEY="one, two") as started:
        yield started


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": ""},
        {"Authorization": "Bearer "},
        {"Authorization": "Bearer wrong"},
        {"Authorization": "Bearer tw"},
        {"Authorization": "Bearer two, two"},
        {"Authorization": "Basic two"},
        {"Authorization": "two"},
        {"x-api-key": "three"},
        {"x-api-key": ""},
    ],
)
def test_without_a_key_nothing_is_answered(locked, headers):
    status, answered, body = ask(locked, "/api/tags", **headers)
    assert (status, answered["www-authenticate"]) == (401, "Bearer")
    assert b'"error":"a valid API key is needed"' in body


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": "Bearer two"},
        {"Authorization": "bearer  two "},
        {"x-api-key": "two"},
        {"Authorization": "Basic abc", "x-api-key": "two"},
    ],
)
def test_each_key_opens(locked, headers):
    assert ask(locked, "/api/tags", **headers)[0] == 200


@pytest.mark.parametrize(("method", "path"), CHANGES)
@pytest.mark.parametrize("headers", [{}, ELSEWHERE, {**ELSEWHERE, "x-api-key": "wrong"}])
def test_nobody_changes_models_without_a_key(locked, method, path, headers):
    assert ask(locked, path, method, **headers)[0] == 401


def test_each_api_is_refused_in_its_own_words(locked):
    _, native = locked.post("/api/chat", {})
    _, openai = locked.post("/v1/chat/completions", {})
    _, anthropic = locked.post("/v1/messages", {})
    assert native == {
        "error": "a valid API key is needed",
        "hint": "send one of OLPIPE_API_KEY as `Authorization: Bearer KEY` or `x-api-key: KEY`",
    }
    assert openai["error"]["type"] == anthropic["error"]["type"] == "authentication_error"
    assert anthropic["type"] == "error"


@pytest.mark.parametrize("path", ["/", "/api/version"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_everybody_may_see_that_the_server_runs(locked, method, path):
    assert ask(locked, path, method)[0] == 200


@pytest.mark.parametrize("path", ["/metrics", "/openapi.json", "/api/ps", "/api/version/", "//", "/api/nothing"])
def test_all_else_needs_a_key(locked, path):
    assert ask(locked, path)[0] == 401


def test_a_browser_may_ask_without_a_key_what_a_page_may_send(locked):
    headers = {"Origin": "http://localhost:3000", "Access-Control-Request-Headers": "authorization"}
    assert ask(locked, "/api/chat", "OPTIONS", **headers)[0] == 204
    status, answered, _ = ask(locked, "/api/tags", Origin="http://localhost:3000")
    assert (status, answered["access-control-allow-origin"]) == (401, "http://localhost:3000")


# --- management -----------------------------------------------------------------------------------


def test_every_route_that_changes_models_is_known():
    for _, path in CHANGES:
        assert is_management(path)
    for path in ("/api/tags", "/api/show", "/api/chat", "/api/blobs", "/api/deleted", "/v1/models"):
        assert not is_management(path)


def test_every_documented_way_to_make_models_is_guarded():
    for path, item in document()["paths"].items():
        operations = [operation for method, operation in item.items() if method != "parameters"]
        if any("Making models" in operation["tags"] for operation in operations):
            assert is_management(path), path


def test_models_are_changed_from_this_machine_only_where_the_settings_say_so(start_server):
    server = start_server(OLPIPE_MANAGEMENT="local", OLPIPE_API_KEY="two")
    for method, path in CHANGES:
        assert ask(server, path, method, Authorization="Bearer two", **ELSEWHERE)[0] == 403
        assert ask(server, path, method, Authorization="Bearer two")[0] in (400, 404)
    assert ask(server, "/api/tags", Authorization="Bearer two", **ELSEWHERE)[0] == 200


def test_nobody_changes_models_where_that_is_switched_off(start_server):
    server = start_server(OLPIPE_MANAGEMENT="off")
    assert server.post("/api/copy", {"source": "tiny", "destination": "two"}) == (
        403,
        {"error": "models cannot be changed on this server", "hint": "OLPIPE_MANAGEMENT is `off` there"},
    )
