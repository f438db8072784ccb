"""Terminals of all kinds: narrow, dumb, without colours, resized, gone."""

import os
import re
import shutil
import signal
import subprocess
import sys

import pexpect
import pytest

from tests.cli.repl.typist import CODES, SHELL

pytestmark = pytest.mark.filterwarnings("ignore:.*forkpty.*:DeprecationWarning")


def resize(typist, rows, columns):
    """Resize the terminal, and wait until the prompt is drawn again."""
    typist.child.setwinsize(rows, columns)
    typist.screen.resize(rows, columns)
    typist.wait()


def test_lines_are_broken_between_words_at_the_width_that_the_terminal_has_now(start_there):
    words = " ".join(["windmill"] * 12)
    with start_there("echo", columns=40) as typist:
        assert {line.rstrip() for line in typist.enter(words).splitlines()} == {" ".join(["windmill"] * 4), ""}
        resize(typist, 24, 30)
        assert {line.rstrip() for line in typist.enter(words).splitlines()} == {" ".join(["windmill"] * 3), ""}
        typist.enter("/set nowordwrap")
        assert typist.enter(words) == f"{words}\n\n"
    with start_there("echo", "--nowordwrap", columns=40) as typist:
        assert typist.enter(words) == f"{words}\n\n"


def test_wide_characters_count_twice(start_there):
    text = "照片里有一只猫坐在窗台上看着外面的雨" * 2
    with start_there("echo", columns=20) as typist:
        said = typist.enter(text)
        assert [len(line) for line in said.splitlines() if line] == [10, 10, 10, 6]
        assert typist.lines[-1].startswith(">>>")


@pytest.mark.examples(1)
@pytest.mark.parametrize("term", ["dumb", "unknown", ""])
def test_a_dumb_terminal_gets_no_codes(start_there, term):
    with start_there("echo", "--verbose", term=term, ready=False) as typist:
        typist.child.expect_exact(">>> ")
        typist.type("hello you\n")
        typist.child.expect_exact(">>> ")
        assert typist.child.before.startswith("hello you\r\nhello you\r\n\r\ntotal duration:")
        typist.type('"""one\n')
        typist.child.expect_exact("... ")
        typist.type('two"""\n')
        typist.child.expect_exact(">>> ")
        assert "\none\r\ntwo\r\n" in typist.child.before
        typist.type("again and\n")
        typist.child.expect_exact("andagain")
        typist.child.sendintr()
        typist.child.expect_exact(">>> ")
        typist.child.sendintr()
        typist.child.expect_exact("Use Ctrl + d or /bye to exit.")
        typist.child.expect_exact(">>> ")
        typist.child.sendeof()
        typist.child.expect(pexpect.EOF)
        assert typist.child.wait() == 0
        assert not any(CODES.search(line) for line in typist.lines)


def test_without_colours_nothing_is_coloured(start_there):
    with start_there("thinker", NO_COLOR="1") as typist:
        raw = typist.enter_raw("hello you")
        assert re.findall(r"\x1b\[[0-9;]*m", raw) in ([], ["\x1b[0m"] * len(re.findall(r"\x1b\[0m", raw)))
        assert not any("Send a message" in line for line in typist.lines)


def test_control_characters_in_an_answer_are_shown_and_not_obeyed(start_there):
    with start_there("echo") as typist:
        typist.paste("evil \x1b]0;title\x07 \x1b[2J text")
        typist.see("text")
        assert typist.enter("") == "evil ␛]0;title␇ ␛[2J text\n\n"


@pytest.mark.parametrize(("columns", "rows"), [(20, 5), (5, 2), (1, 1)])
def test_a_tiny_terminal_is_enough(start_there, columns, rows):
    with start_there("echo", columns=columns, rows=rows) as typist:
        assert "".join(typist.enter("hello you").split()) == "helloyou"
        typist.enter("/? shortcuts")
        assert typist.leave() == 0


def test_a_large_text_can_be_pasted(start_there):
    text = "\n".join(f"line {number} of a long text" for number in range(2000))
    assert len(text) > 45_000
    with start_there("echo", "--max-tokens", "3", columns=20, rows=5) as typist:
        typist.paste(text)
        typist.see("line 1999")
        assert typist.enter("").startswith("error: the prompt takes 12000 tokens")
        typist.paste("x" * 50_000)
        typist.see("xxxx")
        assert typist.enter("").count("x") == 50_000
        assert typist.leave() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("busy", [False, True])
def test_a_signal_to_end_restores_the_terminal(start, number, busy):
    with start("echo") as typist:
        if busy:
            typist.type("again and\r")
            typist.see("andagain")
        typist.child.kill(number)
        typist.child.expect(pexpect.EOF)
        typist.child.wait()
        assert typist.child.exitstatus == 128 + number
        assert typist.mode_now == typist.mode


@pytest.mark.skipif(shutil.which("bash") is None, reason="only a shell with job control can stop a session")
@pytest.mark.parametrize("busy", [False, True])
def test_ctrl_z_leads_to_the_shell_and_back(start, busy):
    with start("echo", shell=True, ready=False) as typist:
        typist.wait()
        if busy:
            typist.type("again and\r")
            typist.see("andagain")
        typist.type("\x1a")
        typist.child.expect_exact("Stopped")
        typist.child.expect_exact(SHELL)
        typist.type("fg\r")
        if busy:
            typist.child.expect_exact("andagain")
            typist.type("\x03")
        typist.wait()
        assert typist.enter("hello you") == "hello you\n\n"
        typist.type("/bye\r")
        typist.child.expect_exact(SHELL)


@pytest.mark.parametrize("arguments", [["hello you"], []])
def test_without_a_terminal_there_is_one_plain_answer(echo_home, echo_site, arguments):
    ended = subprocess.run(
        [sys.executable, "-P", "-m", "olpipe", "run", "echo", *arguments],
        input="" if arguments else "hello you\n",
        capture_output=True,
        text=True,
        env={**os.environ, "OLPIPE_HOME": str(echo_home), "PYTHONPATH": str(echo_site)},
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "hello you\n", "")


@pytest.mark.parametrize("piped", ["stdin", "stdout"])
def test_one_pipe_is_enough_for_one_plain_answer(echo_home, echo_site, echo_server, piped):
    terminal, end = os.openpty()
    given = {"OLPIPE_HOME": str(echo_home), "PYTHONPATH": str(echo_site), "TERM": "xterm-256color"}
    child = subprocess.Popen(
        [sys.executable, "-P", "-m", "olpipe", "run", "echo", *(["hello you"] if piped == "stdout" else [])],
        stdin=subprocess.PIPE if piped == "stdin" else end,
        stdout=subprocess.PIPE if piped == "stdout" else end,
        stderr=subprocess.PIPE,
        env={**os.environ, **given, "OLPIPE_SERVER": "on", "OLLAMA_HOST": echo_server.url},
    )
    out, said = child.communicate(b"hello you\n" if piped == "stdin" else None)
    os.close(end)
    assert (child.returncode, said) == (0, b"")
    if piped == "stdout":
        assert out == b"hello you\n"
    else:
        assert os.read(terminal, 4096).endswith(b"hello you\r\n")
    os.close(terminal)
