"""Real shells: somebody types the beginning of a word, presses Tab, and the shell completes it."""

import os
import re
import shutil
import sys
from contextlib import closing
from pathlib import Path

import pexpect
import pytest

from olpipe.cli.completion.answer import script
from tests.cli.repl.conftest import put_echo
from tests.cli.repl.typist import end, plain

START = {
    "bash": ["bash", "--norc", "--noprofile", "-i"],
    "zsh": ["zsh", "-f", "-i"],
    "fish": ["fish", "--no-config", "-i"],
}
LOAD = {
    "bash": 'eval "$(olpipe completion bash)"',
    "zsh": 'eval "$(olpipe completion zsh)"',
    "fish": "set -g fish_autosuggestion_enabled 0; olpipe completion fish | source",
}
HOME, END, TAB, INTERRUPT = "\x01", "\x05", "\t", "\x03"

pytestmark = pytest.mark.usefixtures("unmeasured")


class Shell:
    """A shell on a terminal, and somebody who types."""

    def __init__(self, name, folder, load=""):
        environment = {
            "HOME": str(folder),
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "TERM": "xterm",
            **{key: value for key, value in os.environ.items() if key.startswith(("OLPIPE_", "OLLAMA_", "DOCKER_"))},
        }
        self.name, self.folder = name, folder
        program, *arguments = START[name]
        self._child = pexpect.spawn(
            program, arguments, env=environment, cwd=folder, encoding="utf-8", timeout=60, dimensions=(40, 200)
        )
        self.run(load or LOAD[name])

    def run(self, line):
        """Run a command, and wait for its end."""
        self._child.sendline(f"{line}; echo rea''dy")
        self._child.expect_exact("ready\r\n")

    def words(self, line, program="olpipe"):
        """Type a line with a Tab at its end, and return the words that the shell has then, without the program."""
        self._child.send(line + TAB)
        self._child.send(f"{HOME}printf '[%s]\\n' {END} end\r")
        self._child.expect(rf"\[({re.escape(program)})\]\r\n((\[[^\n]*\]\r\n)*)\[end\]\r\n")
        return [word[1:-1].rstrip("/") for word in self._child.match[2].splitlines()]

    def offers(self, line, *names):
        """Type a line and press Tab twice; return what is shown once all names are there."""
        self._child.send(line + TAB + TAB)
        shown = ""
        while not all(name in plain(shown) for name in names):
            shown += self._child.read_nonblocking(4096, timeout=60)
        self._child.send(INTERRUPT * 2)  # the first one closes the list of fish
        self.run("true")
        return plain(shown)

    def close(self):
        end(self._child)


@pytest.fixture(scope="module", params=START)
def shell(request, tmp_path_factory):
    """A shell that has read the script, in a folder with files, with models that have tags."""
    name = request.param
    if shutil.which(name) is None:
        pytest.skip(f"{name} is not installed")
    folder = tmp_path_factory.mktemp(name)
    (folder / "one photo.jpg").touch()
    (folder / "weights").mkdir()
    (folder / "weights/small.gguf").touch()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OLPIPE_HOME", str(folder / "olpipe"))
        for model in ("seer:7b", "seer:13b-q4", "host.example:5000/me/other:latest"):
            put_echo(folder / "olpipe", model, ("completion",), {})
        typing = Shell(name, folder)
    yield typing
    typing.close()


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("olpipe comp", ["completion"]),
        ("olpipe run --temp", ["run", "--temperature"]),
        ("olpipe run seer:1", ["run", "seer:13b-q4"]),
        ("olpipe run se", ["run", "seer:"]),
        ("olpipe rm seer:7b seer:", ["rm", "seer:7b", "seer:13b-q4"]),
        ("olpipe show host.example:5", ["show", "host.example:5000/me/other:latest"]),
        ("olpipe run seer:7b one", ["run", "seer:7b", "one photo.jpg"]),
        ("olpipe batch --recipe=photo-t", ["batch", "--recipe=photo-tags"]),
        ("olpipe batch --executor l", ["batch", "--executor", "local"]),
        ("olpipe batch -o wei", ["batch", "-o", "weights"]),
        ("olpipe pull file:weights/sm", ["pull", "file:weights/small.gguf"]),
        ("olpipe run 'seer:1", ["run", "seer:13b-q4"]),
        ("olpipe run --nonsense x sub", ["run", "--nonsense", "x", "sub"]),
    ],
)
def test_tab_completes_the_word(shell, typed, words):
    assert shell.words(typed) == words


def test_tab_shows_what_fits_and_nothing_else(shell):
    shown = shell.offers("olpipe show seer:", "7b", "13b-q4")
    assert "other" not in shown


def test_commands_are_shown_in_their_order(shell):
    shown = shell.offers("olpipe p", "pull", "push", "plugins")
    assert shown.index("pull") < shown.index("push") < shown.index("plugins")


def test_a_program_that_is_named_by_its_path_is_the_one_that_answers(shell):
    program = Path(sys.executable).parent / "olpipe"
    assert shell.words(f"{program} run seer:1", program=str(program)) == ["run", "seer:13b-q4"]


def test_a_broken_config_file_does_not_disturb_who_types(shell):
    config = shell.folder / "olpipe/config.toml"
    config.write_text("threads = = 4")
    try:
        assert shell.words("olpipe run seer:1") == ["run", "seer:13b-q4"]
        assert shell.words("olpipe batch --executor l") == ["batch", "--executor", "l"]
    finally:
        config.unlink()


def test_bash_that_does_not_cut_words_at_colons_completes_them_whole(shell):
    if shell.name == "bash":
        shell.run("COMP_WORDBREAKS=${COMP_WORDBREAKS//:}")
        assert shell.words("olpipe run seer:1") == ["run", "seer:13b-q4"]


@pytest.mark.skipif(shutil.which("zsh") is None, reason="zsh is not installed")
def test_zsh_finds_the_script_in_a_folder_of_functions(tmp_path):
    (tmp_path / "_olpipe").write_text(script("zsh"))
    load = f"fpath=({tmp_path} $fpath); autoload -Uz compinit && compinit -u"
    with closing(Shell("zsh", tmp_path, load)) as shell:
        assert shell.words("olpipe comp") == ["completion"]
        assert shell.words("olpipe completion fi") == ["completion", "fish"]
