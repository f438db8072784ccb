"""The prompt of a session: what it looks like, what it takes for one message, and how to leave."""

import pytest

from tests.cli.repl.typist import ENTERED

pytestmark = pytest.mark.filterwarnings("ignore:.*forkpty.*:DeprecationWarning")

PLACEHOLDER = "Send a message (/? for help)"


def test_the_placeholder_goes_at_the_first_key(start_there):
    with start_there("echo") as typist:
        typist.see(PLACEHOLDER)
        assert f">>> {PLACEHOLDER}" in typist.lines
        grey = typist.screen.buffer[typist.screen.cursor.y][10]
        assert grey.fg not in ("default", "white")
        typist.type("h")
        typist.see(">>> h")
        assert typist.lines[-1].startswith(">>> h")
        typist.enter("i you")
        assert not any(PLACEHOLDER in line for line in typist.lines[:-1])


def test_help_is_shown_for_everything_and_for_a_part(talk):
    said = talk.enter("/?")
    assert "/set " in said
    assert "/bye" in said
    assert '"""' in said
    assert talk.enter("/help") == said
    assert "/set parameter" in talk.enter("/? set")
    assert "/set nothink" in talk.enter("/help set")
    assert "/show modelfile" in talk.enter("/? show")
    assert "Ctrl + g" in talk.enter("/? shortcuts")


@pytest.mark.parametrize("command", ["/x", "/seet verbose", "/etc/passwd what is this?", "/Set verbose"])
def test_a_command_that_is_none_is_told(talk, command):
    assert talk.enter(command) == f"Unknown command '{command.split()[0]}'. Type /? for help\n"


@pytest.mark.parametrize("command", ["/set", "/set x", "/show", "/show x"])
def test_a_command_that_lacks_something_says_what(talk, command):
    said = talk.enter(command)
    assert said.startswith("Available commands:" if " " not in command else f"Unknown command '{command}'")


def test_three_quotes_make_one_message_of_several_lines(talk):
    talk.enter('"""one')
    assert talk.lines[-2] == '>>> """one'
    talk.see("... ")
    talk.enter("/bye")
    assert talk.enter('three"""') == "one\n/bye\nthree\n\n"
    assert talk.enter('"""four five"""') == "four five\n\n"


def test_what_begins_a_message_of_several_lines_can_be_given_up(talk):
    talk.enter('"""one')
    talk.enter("two")
    talk.type("\x03")
    assert "Ctrl" not in talk.wait()
    assert talk.enter("three four") == "three four\n\n"


def test_a_text_that_is_pasted_is_one_message(talk):
    talk.paste("one\ntwo\r\nthree")
    talk.see("three")
    assert talk.enter("") == "one\ntwo\nthree\n\n"
    talk.paste("/* a comment */\nint main() {}\n")
    talk.see("int main")
    assert talk.enter("") == "/* a comment */\nint main() {}\n\n"


def test_ctrl_j_begins_a_new_line_of_a_message(talk):
    assert talk.enter("one\ntwo") == "one\ntwo\n\n"


def test_ctrl_c_gives_up_a_line_and_says_on_an_empty_one_how_to_leave(talk):
    talk.type("\x03")
    assert talk.wait().endswith("Use Ctrl + d or /bye to exit.\n")
    talk.type("nothing of this")
    talk.see("this")
    talk.type("\x03")
    assert "Use Ctrl" not in talk.wait()
    assert talk.enter("still here") == "still here\n\n"


def test_ctrl_c_stops_an_answer_and_not_the_session(start):
    with start("echo", "--verbose") as typist:
        typist.type("again and\r")
        typist.see("andagain")
        typist.type("\x03")
        said = typist.wait()
        assert "cancelled" in said
        assert "error" not in said
        # The partial answer is part of the conversation: the prompt is longer than the two questions
        assert "prompt eval count:    4 token(s)" not in typist.enter("two words")
        assert typist.leave() == 0


def test_what_is_typed_while_the_model_answers_is_not_shown_and_comes_next(start_there):
    with start_there("echo") as typist:
        typist.type(f"{'many words ' * 40}\r")
        typist.child.expect_exact(ENTERED)
        typist.type("later on\r")
        assert "later" not in typist.wait()
        assert typist.wait().endswith("later on\n\n")


@pytest.mark.parametrize("keys", ["/bye\r", "/exit\r", "\x04"])
def test_leaving_restores_the_terminal(start, keys):
    with start("echo") as typist:
        before = typist.mode
        assert typist.mode_now != before
        assert typist.leave(keys) == 0
        assert typist.mode_now == before


def test_an_empty_line_asks_nothing(talk):
    assert talk.enter("") == ""
    assert talk.enter("   ") == ""
