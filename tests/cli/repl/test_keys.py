"""Keys that edit a line, the history, and completion."""

import json
import os
import stat

import pytest

pytestmark = pytest.mark.filterwarnings("ignore:.*forkpty.*:DeprecationWarning")

LEFT, UP, DOWN, HOME, END, DELETE = "\x1b[D", "\x1b[A", "\x1b[B", "\x1b[H", "\x1b[F", "\x1b[3~"


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ("two three\x01one ", "one two three"),
        ("two three" + HOME + "one ", "one two three"),
        ("one\x01\x05 two", "one two"),
        ("one" + HOME + END + " two", "one two"),
        ("one two" + LEFT * 4 + "\x0b", "one"),
        ("none\x15one two", "one two"),
        ("one two three\x17four", "one two four"),
        ("one two\x1bb\x1bbzero ", "zero one two"),
        ("one two\x01\x1bf and", "one and two"),
        ("xone two" + HOME + DELETE, "one two"),
        ("one two" + LEFT * 3 + "\x04", "one wo"),
        ("one\ntwo" + UP + " a" + DOWN + " b", "one a\ntwo b"),
        ("one\x7fe", "one"),
    ],
)
def test_keys_edit_the_line(talk, keys, message):
    assert talk.enter(keys) == f"{message}\n\n"


def test_ctrl_l_clears_the_screen(talk):
    talk.enter("one two")
    talk.type("three\x0c")
    talk.wait()
    assert talk.enter(" four") == "three four\n\n"
    assert talk.lines[0] == ">>> three four"


def program(folder, body):
    """Write an editor: a program that gets the path of a file."""
    path = folder / "my-editor"
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


def test_ctrl_g_takes_the_text_from_an_editor(start_there, tmp_path):
    editor = program(tmp_path, 'printf " and\\nmore" >> "$1"')
    with start_there("echo", OLLAMA_EDITOR=editor, EDITOR="false") as typist:
        typist.type("this\x07")
        typist.see("more")
        assert typist.enter("!") == "this and\nmore!\n\n"


@pytest.mark.parametrize("name", ["VISUAL", "EDITOR"])
def test_other_variables_name_the_editor_too(start_there, tmp_path, name):
    with start_there("echo", **{"VISUAL": "", "EDITOR": "false", name: program(tmp_path, 'echo new > "$1"')}) as typist:
        typist.type("old\x07")
        typist.see("new")
        assert typist.enter(" text") == "new text\n\n"


@pytest.mark.parametrize(
    ("editor", "said"),
    [
        ("false", "error: the editor `false` ended with exit code 1"),
        ("/no/such", "error: the editor `/no/such` cannot"),
    ],
)
def test_an_editor_that_fails_changes_nothing(start_there, editor, said):
    with start_there("echo", OLLAMA_EDITOR=editor) as typist:
        typist.type("some text\x07")
        typist.see(said)
        typist.see_last(">>> some text")
        assert typist.enter("") == "some text\n\n"


# --- history --------------------------------------------------------------------------------------


@pytest.fixture
def home(tmp_path):
    """Return a home of the session's own, so that its history is not that of other tests."""
    return tmp_path


def kept(home):
    path = home / "history.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def test_up_brings_back_what_was_typed_in_an_earlier_session(start_there, home):
    with start_there("echo", home=home) as typist:
        typist.enter("first message")
        typist.enter("second\nmessage")
        typist.leave()
    assert kept(home) == ["first message", "second\nmessage", "/bye"]
    assert stat.S_IMODE(os.stat(home / "history.jsonl").st_mode) == 0o600
    with start_there("echo", home=home) as typist:
        typist.type(UP * 2)
        typist.see("... message")
        assert typist.enter("") == "second\nmessage\n\n"
        typist.type("\x12irst")
        typist.see("first message")
        assert typist.enter("") == "first message\n\n"


def test_the_history_can_be_switched_off_and_on(start_there, home):
    with start_there("echo", home=home) as typist:
        typist.enter("one one")
        typist.enter("/set nohistory")
        typist.enter("two two")
        typist.enter("/set history")
        typist.enter("three three")
    assert kept(home) == ["one one", "/set nohistory", "three three"]


def test_a_variable_switches_the_history_off(start_there, home):
    with start_there("echo", home=home, OLLAMA_NOHISTORY="1") as typist:
        typist.enter("one one")
        typist.leave()
    assert kept(home) == []


def test_a_history_that_cannot_be_written_stops_nobody(start_there, home):
    (home / "history.jsonl").mkdir()
    with start_there("echo", home=home) as typist:
        assert typist.enter("one one") == "one one\n\n"
        typist.type(UP)
        typist.see(">>> one one")


# --- completion -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("typed", "completed"),
    [
        ("/cl", "/clear"),
        ("/set nowo", "/set nowordwrap"),
        ("/set parameter num_c", "/set parameter num_ctx"),
        ("/show lic", "/show license"),
        ("/load fu", "/load full:latest"),
    ],
)
def test_tab_completes_commands_and_models(talk, typed, completed):
    talk.type(f"{typed}\t")
    talk.see(f">>> {completed}")
    talk.type("\x15")
    assert talk.enter("") == ""


def test_tab_completes_the_path_of_an_image(start_there, tmp_path):
    (tmp_path / "my photos").mkdir()
    (tmp_path / "my photos/cat.jpg").write_bytes(b"")
    (tmp_path / "my photos/cats.txt").write_bytes(b"")
    with start_there("echo", columns=160) as typist:
        typist.type(f"{tmp_path}/my\t")
        typist.see("my\\ photos/")
        typist.type("ca\t")
        typist.see("cat.jpg")
        said = typist.enter(" what is it?")
        assert f"`{tmp_path}/my photos/cat.jpg`" in said  # the file is meant, and it is empty


def test_tab_lists_what_may_follow(talk):
    talk.type("/set no\t")
    assert talk.wait().split()[-4:] == ["noformat", "nohistory", "nothink", "nowordwrap"]
    talk.type("\x15")
    assert talk.enter("hello you") == "hello you\n\n"
