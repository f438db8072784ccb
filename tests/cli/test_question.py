"""What `olpipe run` asks: arguments that are files, and stdin, which is read only where it was offered."""

import os
import subprocess
import sys

import pytest

from olpipe.cli.question import Question, read_question
from olpipe.default_plugins.loaders.pillow import PillowLoader
from olpipe.errors import UsageError
from olpipe.testing.images import photo

LOADERS = [PillowLoader()]
NOT_READ = "note: stdin was not read; write `-` among the arguments where it belongs\n"
READ = """
import sys
from olpipe.cli.question import read_question
from olpipe.default_plugins.loaders.pillow import PillowLoader
from olpipe.errors import UsageError
try:
    question = read_question(sys.argv[1:], [PillowLoader()])
except UsageError as error:
    sys.exit(f"{error.message} | {error.hint}")
print(question.text, *(len(one) if isinstance(one, bytes) else one for one in question.images), sep="|")
"""


@pytest.fixture(autouse=True)
def files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "My Photos").mkdir()
    for name in ("cat.jpg", "My Photos/IMG 0001.JPG", "scan", "cat.jpg.bak"):
        (tmp_path / name).write_bytes(photo())
    (tmp_path / "notes.txt").write_text("one two", encoding="utf-8")
    monkeypatch.setattr(sys, "stdin", None)


def read(*arguments, stdin):
    """Read a question in a process of its own; return what came out, and what was said on stderr."""
    given = {"input": stdin} if isinstance(stdin, bytes) else {"stdin": stdin}
    ended = subprocess.run([sys.executable, "-c", READ, *arguments], capture_output=True, timeout=60, **given)
    return ended.stdout.decode().rstrip("\n"), ended.stderr.decode()


@pytest.mark.parametrize(
    ("arguments", "text", "images"),
    [
        (("What is", "in this?"), "What is in this?", ()),
        (("What is it?", "My Photos/IMG 0001.JPG"), "What is it?", ("My Photos/IMG 0001.JPG",)),
        (("cat.jpg", "What is it?", "scan"), "What is it?", ("cat.jpg", "scan")),
        (("What is in cat.jpg?", "cat.jpg.bak"), "What is in ?", ("cat.jpg", "cat.jpg.bak")),
        (("What is in My Photos/IMG 0001.JPG?",), "What is in ?", ("My Photos/IMG 0001.JPG",)),
        (("scan",), "", ("scan",)),
        (("Sum up", "notes.txt"), "Sum up notes.txt", ()),
        (("My Photos",), "My Photos", ()),
    ],
)
def test_an_argument_that_is_an_image_is_an_image(arguments, text, images):
    question = read_question(arguments, LOADERS)
    assert (question.text, tuple(map(str, question.images))) == (text, images)


@pytest.mark.skipif(not os.path.exists("/dev/fd"), reason="the shell gives no `/dev/fd/…` here")
def test_what_a_shell_puts_in_place_of_a_command_is_an_image():
    reading, writing = os.pipe()
    os.close(writing)
    try:
        question = read_question((f"/dev/fd/{reading}", "?"), LOADERS)
        assert list(map(str, question.images)) == [f"/dev/fd/{reading}"]
    finally:
        os.close(reading)


def test_no_question_at_all_is_an_error():
    with pytest.raises(UsageError, match=r"^there is no prompt$"):
        read_question((), LOADERS)
    assert read_question(("hi",), LOADERS) == Question("hi", ())


def test_what_is_piped_in_is_read_where_the_arguments_say_so():
    assert read("a", "-", "b", stdin=b"one\ntwo\n") == ("a one\ntwo b", "")
    assert read("-", "What is it?", stdin=photo()) == (f"What is it?|{len(photo())}", "")


def test_without_arguments_stdin_is_the_question():
    assert read(stdin=b"\xef\xbb\xbfHow are you?\n") == ("How are you?", "")
    assert read(stdin=photo()) == (f"|{len(photo())}", "")


def test_a_file_that_was_redirected_whole_is_read():
    with open("notes.txt", "rb") as file:
        assert read("Sum up:", stdin=file) == ("one two Sum up:", "")
    with open("cat.jpg", "rb") as file:
        assert read("What is it?", stdin=file) == (f"What is it?|{len(photo())}", "")


def test_a_loop_over_the_lines_of_a_file_keeps_its_lines(tmp_path):
    (tmp_path / "list.txt").write_text("cat.jpg\nscan\ncat.jpg\n", encoding="utf-8")
    (tmp_path / "read.py").write_text(READ, encoding="utf-8")
    loop = f'while read -r f; do "{sys.executable}" read.py "What is in $f?"; done < list.txt'
    ended = subprocess.run(["sh", "-c", loop], capture_output=True, text=True, timeout=120)
    assert ended.stdout.splitlines() == ["What is in ?|cat.jpg", "What is in scan?", "What is in ?|cat.jpg"]


def test_a_pipe_that_nobody_offered_is_left_alone_and_that_is_told():
    reading, writing = os.pipe()
    try:
        assert read("hi", stdin=reading) == ("hi", "")  # it says nothing, and nobody waits for it
        os.write(writing, b"one\n")
        assert read("hi", stdin=reading) == ("hi", NOT_READ)
        assert os.read(reading, 10) == b"one\n"
    finally:
        os.close(reading)
        os.close(writing)


def test_a_closed_pipe_holds_nobody_up():
    assert read("hi", stdin=subprocess.DEVNULL) == ("hi", "")
    assert read("hi", stdin=b"") == ("hi", "")


def test_bytes_that_are_neither_text_nor_an_image_are_one_line():
    message = "what was piped in is neither text in UTF-8 nor an image that can be read"
    assert read("-", stdin="café".encode("latin-1")) == ("", f"{message} | convert it to UTF-8, or give an image\n")
