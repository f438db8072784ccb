"""`olpipe help`, the help pages, and `olpipe --version`."""

import http.server
import json
import threading
from dataclasses import fields

import pytest

from olpipe import __version__
from olpipe.cli.environment import variables
from olpipe.cli.group import ALIASES, COMMANDS
from olpipe.cli.main import main
from olpipe.settings import Settings
from olpipe.testing.fixtures import plugin_folder
from olpipe.testing.install import install_plugin

__all__ = ["plugin_folder"]

SETTINGS = {setting.metadata["env"]: setting.metadata["help"] for setting in fields(Settings)}
SHOUT = """
import click
from olpipe.hookspecs import hookimpl

@click.command()
def shout():
    "Say it loudly."

@hookimpl
def register_commands(cli):
    cli.add_command(shout)
"""


@pytest.fixture
def run(monkeypatch, capsys):
    """Return a function that runs olpipe; it gives the exit code, stdout and stderr."""
    monkeypatch.setattr("sys.argv", ["olpipe"])

    def run(*arguments):
        with pytest.raises(SystemExit) as ended:
            main(list(arguments))
        return ended.value.code, *capsys.readouterr()

    return run


# --- help --------------------------------------------------------------------------------------


def test_olpipe_alone_shows_the_help_as_ollama_does(run):
    code, shown, said = run()
    assert (code, said) == (0, "")
    assert shown.startswith("Usage: olpipe [OPTIONS] COMMAND")
    assert run("help") == run("--help") == run("-h") == (0, shown, "")


def test_the_help_lists_other_names_beside_the_command(run):
    rows = [
        line.split("  ")[1] for line in run("help")[1].partition("Commands:\n")[2].partition("\n\n")[0].splitlines()
    ]
    assert [row for row in rows if row.startswith(("list", "serve"))] == ["serve, start", "list, ls"]
    assert {row.split(",")[0] for row in rows if row} >= set(COMMANDS)


def test_a_command_with_commands_is_explained_with_them(run):
    code, shown, said = run("store")
    assert (code, said) == (0, "")
    assert (0, shown, "") == run("store", "--help") == run("help", "store")
    code, shown, said = run("help", "store", "verify")
    assert shown.startswith("Usage: olpipe store verify ")
    assert (code, shown, said) == run("store", "verify", "--help")
    assert "Environment variables:" in shown


@pytest.mark.parametrize("name", [*COMMANDS, *ALIASES])
def test_help_shows_the_page_of_a_command(run, name):
    code, shown, said = run("help", name)
    assert (code, said) == (0, "")
    assert (0, shown, "") == run(ALIASES.get(name, name), "--help")


def test_help_explains_the_command_of_a_plugin(run, plugin_folder):
    (plugin_folder / "shouting.py").write_text(SHOUT)
    install_plugin(plugin_folder, "loud", "shouting", commands={"shout": "shouting"})
    assert "Say it loudly." in run("help", "shout")[1]


def test_help_offers_the_nearest_name(run):
    assert run("help", "bacth") == (
        2,
        "",
        "error: no such command `bacth`\n"
        "hint: did you mean `batch` or `watch`? run `olpipe help` to see all commands\n",
    )


@pytest.mark.parametrize("arguments", [("help",), ("help", "run"), ("run", "--help"), ("run", "-h"), ("help", "help")])
def test_help_is_shown_where_a_setting_is_wrong(run, monkeypatch, isolated_home, arguments):
    right = run(*arguments)
    isolated_home.mkdir()
    (isolated_home / "config.toml").write_text("threads = = 4")
    assert run(*arguments) == right
    assert right[0] == 0


def test_a_setting_that_is_wrong_stays_an_error_where_help_is_only_a_word(run, monkeypatch):
    monkeypatch.setenv("OLPIPE_THREADS", "many")
    code, shown, said = run("run", "photo-mini", "--", "--help")
    assert (code, shown) == (2, "")
    assert said.startswith("error: OLPIPE_THREADS cannot be `many`\nhint: ")


# --- variables ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", COMMANDS)
def test_a_help_page_ends_with_the_variables_that_matter(run, name):
    shown = " ".join(run("help", name)[1].split())
    expected = variables(name)
    section = shown.partition(" Environment variables: ")[2]
    for variable, meaning in expected.items():
        assert f"{variable} {' '.join(meaning.split())}" in section
    assert bool(section) == bool(expected)
    assert section.endswith("`olpipe env` lists all settings with their values." if expected else "")


def test_run_and_serve_name_what_those_of_ollama_name():
    assert {"OLLAMA_HOST", "OLLAMA_EDITOR", "OLLAMA_NOHISTORY"} <= variables("run").keys()
    assert {"OLLAMA_KEEP_ALIVE", "OLLAMA_ORIGINS", "OLLAMA_MAX_QUEUE", "OLPIPE_API_KEY"} <= variables("serve").keys()


def test_every_setting_is_on_some_help_page():
    named = {variable for name in COMMANDS for variable in variables(name)}
    assert SETTINGS.keys() - named == set()


# --- version -----------------------------------------------------------------------------------


@pytest.fixture
def served(monkeypatch):
    """Return a function that starts a server which says what it is; commands then find it."""
    servers = []

    def served(**answer):
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                body = json.dumps(answer).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *given):
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        address = f"http://127.0.0.1:{server.server_port}"
        monkeypatch.delenv("OLPIPE_SERVER")
        monkeypatch.setenv("OLLAMA_HOST", address)
        return address

    yield served
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize("option", ["-v", "--version"])
def test_the_version_is_written_as_ollama_does(run, option):
    assert run(option) == (0, f"olpipe version is {__version__}\n", "")


def test_a_server_of_the_same_version_is_not_mentioned(run, served):
    served(version=__version__, product="olpipe")
    assert run("-v") == (0, f"olpipe version is {__version__}\n", "")


def test_a_server_of_another_version_is_a_warning(run, served):
    address = served(version="9.9", product="olpipe")
    warning = f"warning: the server at {address} has version 9.9\n"
    assert run("-v") == (0, f"olpipe version is {__version__}\n", warning)


def test_a_server_that_is_not_olpipe_is_a_warning(run, served):
    address = served(version="0.32.1")
    warning = f"warning: the server at {address} is not olpipe, and has version 0.32.1\n"
    assert run("-v") == (0, f"olpipe version is {__version__}\n", warning)


@pytest.mark.parametrize("host", ["127.0.0.1:1", "unix:///nowhere/olpipe.sock", "nowhere.invalid:80"])
def test_where_nothing_listens_only_the_version_is_written(run, monkeypatch, host):
    monkeypatch.delenv("OLPIPE_SERVER")
    monkeypatch.setenv("OLLAMA_HOST", host)
    assert run("-v") == (0, f"olpipe version is {__version__}\n", "")


def test_a_setting_that_is_wrong_does_not_hide_the_version(run, monkeypatch):
    monkeypatch.setenv("OLPIPE_THREADS", "many")
    assert run("-v") == (0, f"olpipe version is {__version__}\n", "")
