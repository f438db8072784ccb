"""What a shell gets when it asks how a line goes on; the shells themselves are in `test_completion_shells.py`."""

import os
import subprocess
import sys

import click
import pytest

from olpipe.cli.completion.answer import SHELLS
from olpipe.cli.completion.values import MODEL_FIRST, VALUES
from olpipe.cli.group import ALIASES, COMMANDS
from olpipe.cli.main import cli, main
from olpipe.testing.fixtures import plugin_folder
from olpipe.testing.install import install_plugin
from tests.cli.repl.conftest import put_echo
from tests.server.started import Started

__all__ = ["plugin_folder"]

AT_EXIT = """
import atexit, sys
atexit.register(lambda: sys.stderr.write("\\n".join(["imported:", *sys.modules])))
from olpipe.cli.main import main
main([])
"""
PLUGIN = """
from olpipe.hookspecs import hookimpl
from olpipe.interfaces import ModelSource, Perceiver

print("a plugin that talks")

class Eye(Perceiver):
    version = "1"
    def __init__(self, name): self.name = name
    def perceive(self, image): raise NotImplementedError
    def translations(self): return {"xx": {}}

class Shop(ModelSource):
    scheme = "shop"
    def names(self): return ("shelf/tiny:2", "shelf/huge")
    def default_name(self, reference): raise NotImplementedError
    def pull(self, *given, **options): raise NotImplementedError

@hookimpl
def register_model_sources():
    return [Shop()]

@hookimpl
def register_perceivers():
    return [Eye("left-eye"), Eye("left-hand")]
"""


@pytest.fixture
def complete(monkeypatch, capsys):
    """Return a function that completes a line, and gives the rows that a shell gets."""

    def complete(line, *, shell="zsh", breaks=""):
        monkeypatch.setenv("_OLPIPE_COMPLETE", f"{shell}_complete")
        monkeypatch.setenv("COMP_WORDS", line)
        monkeypatch.setenv("COMP_BREAKS", breaks)
        with pytest.raises(SystemExit) as ended:
            main([])
        captured = capsys.readouterr()
        assert (ended.value.code, captured.err) == (0, "")
        return [tuple(row.split("\t")) for row in captured.out.splitlines()]

    return complete


@pytest.fixture
def offered(complete):
    """Return a function that gives only the words that complete a line."""
    return lambda line, **given: [value for _, value, _ in complete(line, **given)]


@pytest.fixture
def models(isolated_home):
    """Put models with tags, of a namespace and of another host, into the store."""
    for name in ("seer", "seer:7b", "me/seer:1", "host.example:5000/me/other"):
        put_echo(isolated_home, name, ("completion",), {})


@pytest.fixture
def shop(plugin_folder):
    """Install a plugin with a source that announces models, and with two perceivers. It writes to stdout."""
    (plugin_folder / "shop.py").write_text(PLUGIN)
    install_plugin(plugin_folder, "shop", "shop")


def parameters():
    """Return the parameters of olpipe's own commands, each with its command."""
    context = click.Context(cli)
    return [(name, one) for name in COMMANDS for one in cli.get_command(context, name).params]


# --- what is offered ---------------------------------------------------------------------------


def test_commands_are_offered_with_their_meaning(complete):
    assert complete("olpipe pl") == [("word", "plugins", COMMANDS["plugins"][1])]
    assert [value for _, value, _ in complete("olpipe ")] == list(COMMANDS)


def test_commands_of_plugins_are_offered(offered, plugin_folder):
    install_plugin(plugin_folder, "loud", None, commands={"shout": "nowhere"})
    assert offered("olpipe sho") == ["show", "shout"]
    assert offered("olpipe help sho") == ["show", "shout"]


def test_commands_within_a_command_are_offered(offered, models):
    assert offered("olpipe store ver") == offered("olpipe help store ver") == ["verify"]
    assert offered("olpipe store verify seer:7") == ["seer:7b"]
    assert offered("olpipe help run ") == []


def test_options_are_offered_with_their_meaning(complete):
    ((kind, value, meaning),) = complete("olpipe run seer --temper")
    assert (kind, value) == ("word", "--temperature")
    assert meaning == next(one.help for name, one in parameters() if (name, one.name) == ("run", "temperature"))
    assert {row[1] for row in complete("olpipe --")} == {"--version", "--help"}


def test_options_that_were_given_are_not_offered_again(offered):
    assert "--seed" in offered("olpipe run seer --s")
    assert "--seed" not in offered("olpipe run seer --seed 1 --s")


@pytest.mark.parametrize("command", [*MODEL_FIRST, "run --seed 1", "batch --model", "list --json"])
def test_models_are_offered(offered, models, command):
    if command.split()[0] in {*COMMANDS, *ALIASES}:
        assert offered(f"olpipe {command} s") == ["seer:7b", "seer:latest"]
        assert offered(f"olpipe {command} seer:7") == ["seer:7b"]
        assert offered(f"olpipe {command} h") == ["host.example:5000/me/other:latest"]


def test_models_come_first_where_the_table_says_so():
    """They are completed without an import of the command, so a table has to know its first argument."""
    first = {}
    for name, parameter in parameters():
        if isinstance(parameter, click.Argument):
            first.setdefault(name, parameter)
    takes_model = {
        name
        for name, one in first.items()
        if (VALUES.get(f"{name} {one.name}") or VALUES.get(one.name)) is VALUES["model"]
    }
    assert {ALIASES.get(name, name) for name in MODEL_FIRST} & set(COMMANDS) == takes_model


def test_every_argument_that_is_called_a_model_is_completed():
    wanted = [
        (name, one.name) for name, one in parameters() if (one.metavar or one.name).upper() in ("MODEL", "MODELS")
    ]
    assert ("rm", "models") in wanted
    assert [pair for pair in wanted if not (VALUES.keys() & {pair[1], " ".join(pair)})] == []


def test_no_model_is_offered_twice(offered, models):
    assert offered("olpipe rm seer:7b seer") == ["seer:latest"]


def test_a_list_of_names_is_completed_behind_its_last_comma(offered, shop):
    assert offered("olpipe batch --perceivers left") == ["left-eye", "left-hand"]
    assert offered("olpipe batch --perceivers left-eye,left") == ["left-eye,left-hand"]
    assert offered("olpipe run seer --evidence nobody,le") == ["nobody,left-eye", "nobody,left-hand"]


def test_the_languages_of_perceivers_are_offered(offered, shop):
    assert offered("olpipe batch --lang x") == ["xx"]


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("olpipe batch --recipe photo-t", "photo-tags"),
        ("olpipe batch --recipe=photo-t", "--recipe=photo-tags"),
        ("olpipe recipes show photo-t", "photo-tags"),
        ("olpipe recipes check photo-tags alt", "alt-text"),
        ("olpipe recipes new mine --from doc", "documents"),
        ("olpipe recipes che", "check"),
        ("olpipe batch --backend on", "onnx"),
        ("olpipe batch --executor loc", "local"),
        ("olpipe batch --sink js", "jsonl"),
        ("olpipe batch --lang e", "en"),
        ("olpipe run seer --device=cu", "--device=cuda"),
        ("olpipe run seer --format j", "json"),
        ("olpipe run seer --think=h", "--think=high"),
        ("olpipe completion f", "fish"),
        ("olpipe pull pip", "pip:"),
    ],
)
def test_names_are_offered(offered, line, value):
    assert value in offered(line)


def test_a_recipe_of_ones_own_is_offered(offered, tmp_path, monkeypatch):
    (tmp_path / "my-recipe.toml").touch()
    monkeypatch.setenv("OLPIPE_RECIPES", str(tmp_path))
    assert offered("olpipe batch --recipe my") == ["my-recipe"]


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ("olpipe batch ", "files"),
        ("olpipe batch photos --schema s", "files"),
        ("olpipe batch --recipe ./", "files"),
        ("olpipe run seer ", "files"),
        ("olpipe run seer --image ", "files"),
        ("olpipe batch -o ", "folders"),
    ],
)
def test_where_a_path_is_wanted_the_shell_completes_it(complete, line, kind):
    assert [row[0] for row in complete(line)] == [kind]


def test_what_sources_announce_is_offered_for_pull(offered, shop, models):
    assert offered("olpipe pull she") == ["shelf/huge", "shelf/tiny:2"]
    assert offered("olpipe pull seer:7") == ["seer:7b"]


def test_a_file_of_a_model_is_completed_behind_its_scheme(complete, tmp_path):
    (tmp_path / "model.gguf").touch()
    (tmp_path / "model.txt").touch()
    (tmp_path / "models").mkdir()
    begin = f"file:{tmp_path}/mod"
    assert complete(f"olpipe pull {begin}") == [("word", f"{begin}el.gguf", ""), ("part", f"{begin}els/", "")]
    assert complete("olpipe pull file:/no/such/folder/") == []


def test_nothing_is_offered_for_a_text_that_anybody_may_write(complete):
    assert complete("olpipe run seer --stop ") == []
    assert complete("olpipe batch --prompt ") == []
    assert complete("olpipe list seer more ") == []


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """A server that has models which this machine does not have."""
    home = tmp_path_factory.mktemp("served")
    put_echo(home / "home", "far:7b", ("completion",), {})
    with Started(home / "home", home / "log") as server:
        yield server


@pytest.fixture
def chosen(served, monkeypatch):
    """Let commands use the server."""
    monkeypatch.delenv("OLPIPE_SERVER")
    monkeypatch.setenv("OLLAMA_HOST", served.url)
    return served


def test_the_models_of_the_server_are_offered_where_commands_use_it(offered, models, chosen):
    assert offered("olpipe run ") == offered("olpipe rm ") == ["far:7b"]
    assert "far:7b" not in offered("olpipe doctor ")
    assert offered("olpipe batch --model s") == ["seer:7b", "seer:latest"]


@pytest.mark.skipif("stop" not in COMMANDS, reason="there is no such command")
def test_only_a_loaded_model_is_offered_to_stop(offered, models, chosen):
    assert offered("olpipe stop ") == []


def test_where_no_server_answers_the_models_on_this_machine_are_offered(offered, models, monkeypatch):
    monkeypatch.delenv("OLPIPE_SERVER")
    monkeypatch.setenv("OLLAMA_HOST", "127.0.0.1:1")
    assert offered("olpipe run seer:7") == ["seer:7b"]


# --- how a line is read ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "line", ["olpipe run 'seer:7", 'olpipe run "seer:7', "olpipe run seer\\:7", "olpipe run  seer:7"]
)
def test_quotes_do_not_matter(offered, models, line):
    assert offered(line) == ["seer:7b"]


@pytest.mark.parametrize(
    ("line", "breaks", "rest"),
    [
        ("olpipe run seer:7", ":=", ["7b"]),
        ("olpipe run seer:", ":=", ["7b", "latest"]),
        ("olpipe run seer:7", "=", ["seer:7b"]),
        ("olpipe run host.example:5", " \t\n:", ["5000/me/other:latest"]),
        ("olpipe batch --recipe=photo-t", ":=", ["photo-tags"]),
        ("olpipe batch --model=seer:7", ":=", ["7b"]),
    ],
)
def test_bash_gets_what_stands_behind_the_place_where_it_cuts_words(offered, models, line, breaks, rest):
    assert offered(line, shell="bash", breaks=breaks) == rest


# --- what can go wrong -------------------------------------------------------------------------


def test_models_are_offered_where_a_setting_is_wrong(offered, models, isolated_home):
    (isolated_home / "config.toml").write_text("threads = = 4")
    assert offered("olpipe run seer:7") == ["seer:7b"]
    assert offered("olpipe batch --backend o") == []  # it is not known which plugins are disabled
    assert offered("olpipe he") == ["help"]


def test_a_store_that_is_no_folder_offers_nothing(offered, isolated_home):
    isolated_home.mkdir()
    (isolated_home / "models").write_text("no folder")
    assert offered("olpipe run ") == []


def test_a_name_that_a_terminal_could_not_show_is_left_out(offered, models, isolated_home):
    recipes = isolated_home / "recipes"
    recipes.mkdir()
    (recipes / "z\x1b[31m.toml").touch()
    (recipes / "zb.toml").touch()
    (isolated_home / "config.toml").write_text(f'recipes = "{recipes}"')
    assert offered("olpipe batch --recipe z") == ["zb"]


@pytest.mark.parametrize(
    "line", ["", "olpipe", "olpipe nonsense ", "olpipe run --nonsense ", "olpipe run --top-p x se --to"]
)
def test_a_line_that_makes_no_sense_is_no_error(complete, line):
    complete(line)


@pytest.mark.parametrize("instruction", ["bash", "tcsh_complete", "bash_dance", "_"])
def test_a_question_that_nobody_knows_gets_nothing(monkeypatch, capsys, instruction):
    monkeypatch.setenv("_OLPIPE_COMPLETE", instruction)
    monkeypatch.delenv("COMP_WORDS", raising=False)
    with pytest.raises(SystemExit) as ended:
        main([])
    assert (ended.value.code, *capsys.readouterr()) == (0, "", "")


# --- the script --------------------------------------------------------------------------------


@pytest.mark.parametrize("shell", SHELLS)
def test_the_script_of_a_shell_is_written(monkeypatch, capsys, shell):
    with pytest.raises(SystemExit) as ended:
        main(["completion", shell])
    written = capsys.readouterr().out
    assert ended.value.code == 0
    assert f"_OLPIPE_COMPLETE={shell}_complete" in written
    monkeypatch.setenv("_OLPIPE_COMPLETE", f"{shell}_source")  # as click's own documentation says
    with pytest.raises(SystemExit):
        main([])
    assert capsys.readouterr().out == written


def test_the_script_is_written_where_a_setting_is_wrong(monkeypatch, capsys):
    monkeypatch.setenv("OLPIPE_THREADS", "many")
    with pytest.raises(SystemExit) as ended:
        main(["completion", "bash"])
    assert (ended.value.code, capsys.readouterr().err) == (0, "")


# --- what it costs -----------------------------------------------------------------------------


@pytest.mark.usefixtures("unmeasured")
@pytest.mark.parametrize(
    ("line", "unwanted"),
    [
        ("olpipe ", {"olpipe.settings", "olpipe.store.manifests"}),
        ("olpipe run seer:7", {"olpipe.cli.run"}),
        ("olpipe batch --model seer:7", set()),
    ],
)
def test_a_command_or_a_model_is_completed_without_plugins_and_heavy_libraries(models, line, unwanted):
    environment = {**os.environ, "_OLPIPE_COMPLETE": "bash_complete", "COMP_WORDS": line}
    ended = subprocess.run([sys.executable, "-c", AT_EXIT], env=environment, capture_output=True, text=True, check=True)
    assert ended.stdout
    heavy = {"pluggy", "olpipe.plugins", "numpy", "onnxruntime", "httpx", "PIL", "jsonschema", "prompt_toolkit"}
    assert set(ended.stderr.splitlines()) & (heavy | unwanted) == set()
