"""What a session says about its model, and how it takes, keeps and leaves models."""

import json
import re

import pytest

from olpipe.model import ModelName
from olpipe.plugins import Plugins
from olpipe.settings import Settings
from olpipe.store.library import Library
from olpipe.store.pull import pull
from olpipe.store.resolve import find_source
from olpipe.testing.bert import write_tiny_bert
from olpipe.testing.install import install_plugin
from olpipe.testing.models import write_tiny_gguf
from tests.cli.repl.conftest import TEXTS, put_echo

pytestmark = pytest.mark.filterwarnings("ignore:.*forkpty.*:DeprecationWarning")

SYSTEM = "Be very brief"
SOURCE = """
from dataclasses import replace
from olpipe.hookspecs import hookimpl
from olpipe.interfaces import ModelSource, Progress
from olpipe.model import ModelConfig, ModelName

class Hub(ModelSource):
    scheme, hosts = "hub", ("hub.example",)

    def default_name(self, reference):
        return ModelName.parse(reference)

    def pull(self, reference, name, store, progress):
        progress(Progress("fetching the echo", 1, 2))
        layer = replace(store.add_bytes(b"{}"), name="echo.json")
        store.commit(name, ModelConfig(model_format="echo"), [layer])

@hookimpl
def register_model_sources():
    return [Hub()]
"""


@pytest.fixture(scope="module")
def full(start):
    with start("full") as typist:
        yield typist


def pull_file(path, name, home):
    """Bring a model in a file into a home."""
    settings = Settings(home=home)
    plugins = Plugins.load(settings)
    origin, _ = find_source(f"file:{path}", plugins)
    library = Library(settings.models_folder, cache=settings.home / "cache")
    pull(origin, ModelName.parse(name), library, plugins, progress=lambda progress: None)


def tokens(said):
    """Return how many tokens the prompt of an answer had."""
    return int(re.search(r"^prompt eval count: +(\d+) ", said, re.MULTILINE)[1])


def test_show_tells_what_the_model_is(full):
    said = full.enter("/show info")
    assert re.search(r"^ +context length +4096$", said, re.MULTILINE)
    assert "completion" in said
    assert full.enter("/show license") == "Do as you like.\n\n"
    assert full.enter("/show system") == "Be brief.\n\n"
    said = full.enter("/show parameters")
    assert [line.split() for line in said.splitlines()[1:4]] == [["stop", '"###"'], ["temperature", "0.5"], []]
    said = full.enter("/show modelfile")
    assert "FROM full:latest\n" in said
    assert "SYSTEM Be brief.\n" in said
    assert "MESSAGE user Who are you?\n" in said


def test_what_a_model_does_not_have_is_told(talk):
    assert talk.enter("/show license") == "The model has no licence text.\n\n"
    assert talk.enter("/show system") == "There is no system message.\n\n"
    assert talk.enter("/show template") == "The model has no prompt template.\n\n"
    assert talk.enter("/show parameters") == "Model defined parameters:\n  the model has none\n\n"


def test_the_turns_that_a_model_brings_are_shown_and_sent_once(start):
    with start("full", "--verbose", ready=False) as typist:
        assert typist.wait() == ">>> Who are you?\nAn echo.\n\n"
        turns = sum(len(turn["content"].split()) for turn in json.loads(TEXTS["messages"]))
        assert tokens(typist.enter("hello you")) == len(TEXTS["system"].split()) + turns + 2


def test_clear_forgets_what_was_said_and_keeps_the_system_message(start):
    with start("full", "--verbose") as typist:
        typist.enter(f"/set system {SYSTEM}")
        first = tokens(typist.enter("one two three"))
        assert tokens(typist.enter("one two three")) == first + 6
        assert typist.enter("/clear") == "Cleared session context\n"
        assert tokens(typist.enter("one two three")) == 3 + len(SYSTEM.split())


def test_a_conversation_that_is_saved_goes_on_in_another_session(start):
    with start("blind") as typist:
        typist.enter("/set parameter num_predict 3")
        typist.enter("/set system Be brief")
        typist.enter("hello you")
        assert typist.enter("/save mine") == "Created new model 'mine'\n"
    with start("echo", "--verbose") as typist:
        loaded = typist.enter("/load mine")
        assert loaded == "Loading model 'mine'\n>>> hello you\nhello you\n\n"
        said = typist.enter("one two three four")
        assert said.startswith("one two three\n")
        assert tokens(said) == 2 + 4 + 4
        assert typist.enter("/show system") == "Be brief\n\n"


def test_a_model_that_cannot_be_loaded_leaves_the_old_one(start):
    with start("echo") as typist:
        assert typist.enter("/load nope").startswith("Loading model 'nope'\nerror: Couldn't find model 'nope'\n")
        assert "is not a model name" in typist.enter("/load a/b/c/d")
        assert typist.enter("hello you") == "hello you\n\n"


@pytest.mark.parametrize("command", ["/load", "/save", "/load a b"])
def test_load_and_save_want_one_name(talk, command):
    assert talk.enter(command) == f"Usage:\n  {command.split()[0]} <modelname>\n"


def test_a_name_that_is_none_is_not_saved(talk):
    assert "is not a model name" in talk.enter("/save a:b:c")


def test_models_are_listed(talk):
    said = talk.enter("/list")
    assert said.split()[:4] == ["NAME", "ID", "SIZE", "MODIFIED"]
    assert {"echo:latest", "full:latest"} <= set(said.split())
    assert [line.split()[0] for line in talk.enter("/list FU").splitlines()] == ["NAME", "full:latest"]


def test_a_model_that_is_missing_is_pulled_first(start, tmp_path):
    site = tmp_path / "site"
    site.mkdir()
    install_plugin(site, "echo", "olpipe.testing.echo")
    install_plugin(site, "hub", "hub_source")
    (site / "hub_source.py").write_text(SOURCE)
    with start("hub.example/a/b", home=tmp_path / "home", PYTHONPATH=str(site), ready=False) as typist:
        assert "fetching the echo" in typist.wait()
        assert typist.enter("hello you") == "hello you\n\n"


def test_a_model_that_is_nowhere_is_an_error_at_the_start(start):
    with start("nope", ready=False) as typist:
        assert typist.leave("") == 1
        assert any("`nope` is not on this machine" in line for line in typist.lines)


def test_a_conversation_longer_than_the_context_goes_on_and_what_is_left_out_is_told(start, tmp_path):
    pull_file(write_tiny_gguf(tmp_path / "tiny.gguf"), "tiny", tmp_path / "home")
    with start("tiny", "--max-tokens", "4", "--temperature", "0", home=tmp_path / "home") as typist:
        typist.enter("/set parameter num_ctx 64")
        said = [typist.enter("the cat is on the street with the dog") for _ in range(3)]
        assert "note" not in said[0]
        assert re.search(
            r"\nnote: the (\d+ )?oldest messages? w\w+ left out, because the conversation is longer", said[-1]
        )


def test_a_model_that_makes_embeddings_has_nothing_to_talk_about(start, tmp_path):
    pull_file(write_tiny_bert(tmp_path / "model"), "vectors", tmp_path / "home")
    with start("vectors", home=tmp_path / "home", ready=False) as typist:
        assert typist.leave("") == 2
        assert typist.lines[0] == "error: `vectors` makes embeddings, so there is nothing to talk about"


def test_something_turns_while_a_model_is_loaded_and_ctrl_c_gives_that_up(start, tmp_path):
    put_echo(tmp_path, "slow", ("completion",), {}, load_s=60)
    with start("slow", home=tmp_path, ready=False) as typist:
        typist.see("⠹")
        assert typist.leave("\x03") == 130
        assert typist.mode_now == typist.mode
        assert typist.lines == []
    put_echo(tmp_path, "echo", ("completion",), {})
    with start("echo", home=tmp_path) as typist:
        typist.type("/load slow\r")
        typist.see("⠹")
        typist.type("\x03")
        typist.wait()
        assert typist.enter("hello you") == "hello you\n\n"


def test_a_perceiver_that_is_missing_is_an_error_at_the_start(start):
    with start("echo", "--perceivers", "nobody", ready=False) as typist:
        assert typist.leave("") == 2
        assert "`nobody`" in typist.lines[-1] or "`nobody`" in typist.lines[0]


def test_a_model_that_dies_is_one_line_and_the_session_goes_on(start):
    with start("echo") as typist:
        said = typist.enter("crash now please")
        assert said.startswith("crash\n\nerror: the process that runs `echo:latest` ended with exit code 70\nhint: ")
        assert "error: " in typist.enter("fail now please")
        assert typist.enter("hello you") == "hello you\n\n"


def test_a_model_that_was_removed_is_an_error_and_another_can_be_loaded(start, tmp_path):
    for name in ("one", "two"):
        put_echo(tmp_path, name, ("completion",), {})
    with start("one", "--keepalive", "0", home=tmp_path) as typist:
        assert typist.enter("hello you") == "hello you\n\n"
        (tmp_path / "models/manifests/registry.ollama.ai/library/one/latest").unlink()
        assert "error: model `one:latest` is not on this machine" in typist.enter("/show info")
        typist.enter("/load two")
        assert typist.enter("hello you") == "hello you\n\n"
