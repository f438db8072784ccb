"""`olpipe run MODEL PROMPT`: one question and one answer, on a terminal and in pipes."""

import json
import os
import subprocess
import sys

import pytest

from olpipe.testing.images import photo

pytestmark = pytest.mark.filterwarnings("ignore:.*forkpty.*:DeprecationWarning")

THOUGHTS = "Thinking...\nHm.\n...done thinking.\n\n"


@pytest.fixture(scope="module")
def run(echo_home, echo_site):
    """Return a function that asks in a process of its own, with pipes; gives exit code, stdout and stderr."""

    def run(*arguments, stdin=""):
        variables = {**os.environ, "OLPIPE_HOME": str(echo_home), "PYTHONPATH": str(echo_site)}
        command = [sys.executable, "-P", "-m", "olpipe", "run", *map(str, arguments)]
        ended = subprocess.run(command, input=stdin, capture_output=True, text=True, env=variables)
        return ended.returncode, ended.stdout, ended.stderr

    return run


def shown(typist):
    """Wait for the end of a program; return its exit code and the lines on its screen."""
    return typist.leave(""), typist.lines


def test_an_answer_on_a_terminal_is_wrapped_and_nothing_is_left_of_the_spinner(start):
    with start("thinker", " ".join(["windmill"] * 6), columns=30, ready=False) as typist:
        code, lines = shown(typist)
        assert code == 0
        assert lines == ["Thinking...", "Hm.", "...done thinking.", *["windmill windmill windmill"] * 2]
    with start("echo", "one two three four five", "--nowordwrap", columns=12, ready=False) as typist:
        assert shown(typist) == (0, ["one two thre", "e four five"])


def test_an_answer_that_is_held_to_json_is_not_wrapped(start):
    schema = json.dumps({"type": "object", "properties": {"n": {"const": "many words in a value"}}, "required": ["n"]})
    with start("echo", "what?", "--format", schema, columns=20, ready=False) as typist:
        assert shown(typist) == (0, ['{"n":"many words in', 'a value"}'])


@pytest.mark.parametrize("way", ["here", "there"])
def test_ctrl_c_ends_the_answer_and_the_program(start, way):
    with start("echo", "again and", ready=False, way=way) as typist:
        typist.see("andagain")
        assert typist.leave("\x03") == 130
        assert typist.mode_now == typist.mode


def test_thoughts_go_to_stderr_where_stdout_is_a_pipe(run):
    assert run("thinker", "hello you") == (0, "hello you\n", THOUGHTS)
    assert run("thinker", "hello you", "--hidethinking") == (0, "hello you\n", "")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--think", "hello you"], THOUGHTS),
        (["hello", "--think", "you"], THOUGHTS),
        (["--think=high", "hello you"], THOUGHTS),
        (["--think=false", "hello you"], ""),
    ],
)
def test_thinking_is_asked_for(run, arguments, said):
    assert run("thinker", *arguments) == (0, "hello you\n", said)


def test_a_prompt_may_be_a_word_that_looks_like_an_option(run):
    assert run("thinker", "--", "--think") == (0, "--think\n", THOUGHTS)


def test_one_question_imports_no_line_editor(echo_home, echo_site):
    source = "import sys\nfrom olpipe.cli.main import main\ntry:\n    main(['run', 'echo', 'hello you'])\nfinally:\n"
    variables = {**os.environ, "OLPIPE_HOME": str(echo_home), "PYTHONPATH": str(echo_site)}
    command = [sys.executable, "-c", f"{source}    print(*sys.modules, file=sys.stderr)"]
    ended = subprocess.run(command, capture_output=True, text=True, env=variables, stdin=subprocess.DEVNULL)
    assert ended.stdout == "hello you\n"
    assert "olpipe.cli.repl.showing" in ended.stderr.split()
    assert {"prompt_toolkit", "wcwidth"} & set(ended.stderr.split()) == set()


def test_images_are_named_by_an_option(run, tmp_path):
    for name in ("a.jpg", "b.jpg"):
        (tmp_path / name).write_bytes(photo())
    first, second = tmp_path / "a.jpg", tmp_path / "b.jpg"
    asked = run("echo", "which one?", "--image", first, "--image", second)
    assert asked == (0, "[image 48x32] [image 48x32] which one?\n", f"Added image '{first}'\nAdded image '{second}'\n")
    assert run("echo", "--image", first, stdin="which one?\n")[1] == "[image 48x32] which one?\n"
    assert run("echo", "--image", first)[:2] == (0, "[image 48x32]\n")


def test_a_model_stays_loaded_as_long_as_was_asked_for(run):
    assert run("echo", "hello you", "--keepalive", "0") == (0, "hello you\n", "")
    assert run("echo", "hello you", "--keepalive", "-1m") == (0, "hello you\n", "")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["echo", "hello", "--think"], "error: `echo` does not think before it answers\nhint: leave out `--think`\n"),
        (["thinker", "hello", "--think=very"], None),
        (["echo", "hello", "--keepalive", "1w"], None),
        (["echo", "hello", "--dimensions", "3"], "error: `echo` makes no embeddings, so there are no dimensions\n"),
        (["echo", "hello", "--image", "nope.jpg"], "error: there is no photo `nope.jpg`\n"),
    ],
)
def test_bad_requests_are_one_clear_line(run, arguments, said):
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert err.startswith(said or "error: `--")


def test_dimensions_need_a_text(start):
    with start("echo", "--dimensions", "3", ready=False) as typist:
        code, lines = shown(typist)
        assert code == 2
        assert lines[0].startswith("error: `--dimensions` is for models that make embeddings")
