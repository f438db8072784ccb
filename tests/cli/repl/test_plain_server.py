"""A session with a server that is not olpipe."""

import pytest

from tests.cli.plain_server import PlainServer

pytestmark = pytest.mark.filterwarnings("ignore:.*forkpty.*:DeprecationWarning")


@pytest.fixture
def plain(echo_server):
    with PlainServer(echo_server.url) as server:
        yield server


def test_a_server_that_is_not_olpipe_answers_in_a_session_as_far_as_it_can(plain, start):
    with start("full", OLPIPE_SERVER="on", OLLAMA_HOST=plain.url) as typist:
        assert typist.enter("hello you") == "hello you\n\n"
        assert typist.enter("/set parameter mirostat 1") == "Set parameter 'mirostat' to '1'\n"
        assert "'full' holds 4096 tokens" in typist.enter("/set parameter num_ctx 131072")
        said = typist.enter("/clear")
        assert said.startswith("note: the server sends the turns with which the model opens a conversation again\n")
        assert typist.enter("hello you") == "hello you\n\n"
        assert typist.enter("/show license") == "Do as you like.\n\n"
        assert typist.enter("/load nope").startswith("Loading model 'nope'\nerror: Couldn't find model 'nope'\n")
    asked = [body for path, body in plain.bodies if path == "/api/chat"][-1]
    assert asked["options"] == {"mirostat": "1"}
    assert "opening" not in asked
