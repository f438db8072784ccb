"""A session says the same whether the engine of the command answers, or a server."""

import json
import re

import pytest

from olpipe.testing.images import photo
from tests.cli.answering import put_echo

pytestmark = pytest.mark.filterwarnings("ignore:.*forkpty.*:DeprecationWarning")

VARYING = re.compile(r"\b([\d.]+(ns|µs|ms|s|m|h))+\b|[\d.]+ tokens/s|\d+(?= reused)|\S+ \S+ ago| +(?= )")
PHOTO = "PHOTO"
SCHEMA = json.dumps({"type": "object", "properties": {"n": {"const": 7}}, "required": ["n"]})
ENTRIES = (
    # what is typed, and what has to be in the answer
    ("hello you", "hello you\n\n"),
    ("/show system", "There is no system message.\n\n"),
    ("/show parameters", "the model has none"),
    ("/show license", "The model has no licence text.\n\n"),
    ("/show template", "The model has no prompt template.\n\n"),
    ("/show modelfile", "FROM echo:latest\n"),
    ("/set system Be very brief", "Set system message.\n"),
    ("/show system", "Be very brief\n\n"),
    ("/set verbose", "Set 'verbose' mode.\n"),
    ("one two three", "prompt eval count: 10 token(s)"),
    ("/clear", "Cleared session context\n"),
    ("one two three", "6 token(s)"),
    ("/set quiet", "Set 'quiet' mode.\n"),
    ("/set format json", "Set format to 'json' mode.\n"),
    ("what is it?", "{}\n\n"),
    (f"/set format {SCHEMA}", "Set format to a JSON schema.\n"),
    ("what is it?", '{"n":7}\n\n'),
    ("/set noformat", "Disabled format.\n"),
    (f"what is in {PHOTO} ?", f"Added image '{PHOTO}'\n[image 48x32] what is in ?\n\n"),
    ("and now?", "and now?\n\n"),
    ("/set parameter num_predict 2", "Set parameter 'num_predict' to '2'\n"),
    ("one two three", "one two\n\n"),
    ('/set parameter stop "two three" x', "Set parameter 'stop' to 'two three, x'\n"),
    ("/show parameters", "User defined parameters:\n"),
    ("one two three", "one\n\n"),
    ("/set parameter num_ctx 3", "Set parameter 'num_ctx' to '3'\n"),
    ("these are four words", "error: the prompt takes"),
    ("/set parameter num_ctx 131072", "num_ctx cannot be 131072: 'echo' holds 4096 tokens"),
    ("/set parameter num_ctx 4096", "Set parameter 'num_ctx' to '4096'\n"),
    ("/set parameter num_predict -1", "Set parameter"),
    ("/set parameter mirostat 1", "note: `mirostat` changes nothing here\n"),
    ("/set think", "error: 'echo' does not support thinking\n"),
    ("crash now please", "error: the process that runs `echo:latest` ended with exit code 70\n"),
    ("fail now please", "error: "),
    ("hello you", "hello you\n\n"),
    ("/load nope", "error: Couldn't find model 'nope'\nhint: run `olpipe pull nope` in another window, then"),
    ("/load thinke", "hint: did you mean `thinker:latest`? If not, run `olpipe pull thinke` in another window"),
    ("/load a/b/c/d", "is not a model name"),
    ("/load blind", "Loading model 'blind'\n"),
    (f"what is in {PHOTO}?", "error: model `blind` cannot see images\n"),
    ("how do I open dog.jpg?", "how do I open dog.jpg?\n\n"),
    ("/set parameter image_tokens 5", "Set parameter"),
    ("hello you", "hint: take it back: `/set parameter image_tokens 0`\n"),
    ("/set parameter image_tokens 0", "Set parameter"),
    ("/load full", ">>> Who are you?\nAn echo.\n\n"),
    ("/show license", "Do as you like.\n\n"),
    ("/show parameters", ' stop "###"\n'),
    ("/set verbose", ""),
    ("hello", "8 token(s)"),
    ("/clear", "Cleared session context\n"),
    ("hello", "3 token(s)"),
    ("/load thinker", "Loading model 'thinker'\n"),
    ("hello you", "Thinking...\nHm.\n...done thinking.\n\nhello you\n\n"),
    ("/set nothink", "Set 'nothink' mode.\n"),
    ("hello you", "hello you\n\n"),
    ("/list full", "full:latest"),
    ("/show info", "thinking"),
    ("/load tiny", "Loading model 'tiny'\n"),
    ("/show template", "{% for message in messages %}"),
    ("/show info", "architecture"),
    ("/save a:b:c", "is not a model name"),
)


@pytest.fixture(scope="module")
def told(start, random_home, tmp_path_factory):
    """Return what a session said to each entry: through the engine of the command, and through a server."""
    path = tmp_path_factory.mktemp("photos") / "cat.jpg"
    path.write_bytes(photo())
    said = {}
    for way in ("here", "there"):
        with start("echo", way=way, columns=400) as typist:
            answers = [typist.enter(text.replace(PHOTO, str(path))) for text, _ in ENTRIES]
        said[way] = [VARYING.sub("", answer.replace(str(path), PHOTO)) for answer in answers]
    return said


@pytest.mark.parametrize("at", range(len(ENTRIES)), ids=[text[:40] for text, _ in ENTRIES])
def test_both_say_the_same(told, at):
    assert told["there"][at] == told["here"][at]
    assert ENTRIES[at][1] in told["here"][at]


@pytest.mark.parametrize("way", ["here", "there"])
def test_a_conversation_that_is_saved_goes_on_in_another_session(start, way):
    with start("blind", way=way) as typist:
        typist.enter("/set parameter num_predict 3")
        typist.enter("/set system Be brief")
        typist.enter("hello you")
        assert typist.enter("/save mine") == "Created new model 'mine'\n"
    with start("echo", "--verbose", way=way) as typist:
        assert typist.enter("/load mine") == "Loading model 'mine'\n>>> hello you\nhello you\n\n"
        said = typist.enter("one two three four")
        assert said.startswith("one two three\n")
        assert "prompt eval count:    10 token(s)" in said
        assert typist.enter("/show system") == "Be brief\n\n"


def test_ctrl_c_stops_an_answer_of_a_server_and_what_came_of_it_stays(start, echo_server):
    with start("echo", "--verbose", way="there") as typist:
        typist.type("again and\r")
        typist.see("andagain")
        typist.type("\x03")
        said = typist.wait()
        assert said.endswith("done reason:          cancelled\n")
        assert "error" not in said
        while any(model["active"] for model in echo_server.get("/api/ps")[1]["models"]):
            pass  # the server is told that nobody wants the rest
        said = typist.enter("two words")
        assert int(re.search(r"prompt eval count: +(\d+)", said)[1]) > len(["again", "and", "two", "words"])
        assert typist.leave() == 0


def test_ctrl_c_gives_up_loading_a_model_of_a_server(start, start_server, tmp_path):
    put_echo(tmp_path, "slow", ("completion",), {}, load_s=60)
    put_echo(tmp_path, "echo", ("completion",), {})
    server = start_server(home=tmp_path)
    given = {"OLPIPE_SERVER": "on", "OLLAMA_HOST": server.url}
    with start("slow", ready=False, **given) as typist:
        typist.see("⠹")
        assert typist.leave("\x03") == 130
        assert typist.mode_now == typist.mode
    with start("echo", **given) as typist:
        typist.type("/load slow\r")
        typist.see("⠹")
        typist.type("\x03")
        typist.wait()
        assert typist.enter("hello you") == "hello you\n\n"


def test_a_server_that_dies_is_one_error_and_the_session_goes_on_when_one_is_back(start, start_server):
    server = start_server()
    with start("echo", OLPIPE_SERVER="on", OLLAMA_HOST=server.url) as typist:
        assert typist.enter("hello you") == "hello you\n\n"
        typist.type("again and\r")
        typist.see("andagain")
        server.process.kill()
        said = typist.wait()
        told = said[said.index("\n\nerror: ") :].split("\n")[2:]
        assert told[0] == f"error: the server at {server.url} went away in the middle of the answer"
        assert told[1].startswith("hint: start it again, for example with `olpipe serve` in another window")
        assert told[2:] == [""]
        said = typist.enter("hello you")
        assert said.startswith(f"error: no server answers at {server.url}\nhint: start it again")
        assert typist.enter("/show system").startswith("error: no server answers at ")
        typist.type("/load ec\t")
        start_server(port=server.port)
        typist.type("\x15")
        assert typist.enter("hello you") == "hello you\n\n"
        assert typist.leave() == 0


def test_a_context_that_is_set_is_that_of_the_loaded_model(start, start_server):
    server = start_server(OLLAMA_CONTEXT_LENGTH="1024")
    with start("echo", OLPIPE_SERVER="on", OLLAMA_HOST=server.url) as typist:
        assert typist.enter("/set parameter num_ctx 2048") == "Set parameter 'num_ctx' to '2048'\n"
        typist.enter("hello you")
        assert [model["context_length"] for model in server.get("/api/ps")[1]["models"]] == [2048]


def test_a_session_of_a_server_does_not_run_the_model_itself(start, echo_server):
    with start("echo", way="there") as typist:
        typist.enter("hello you")
        loaded = [model["name"] for model in echo_server.get("/api/ps")[1]["models"]]
        assert "echo:latest" in loaded
    with start("blind", way="there", OLPIPE_SERVER="off") as typist:
        assert typist.enter("hello you") == "hello you\n\n"
