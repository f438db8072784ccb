"""Lines are broken between words, whatever the pieces in which a text comes."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wcwidth import wcswidth

from olpipe.cli.repl.terminal import printable
from olpipe.cli.repl.wrapping import Wrapper

FAMILY = "👨‍👩‍👧"


def wrap(text, width, pieces=None):
    wrapper = Wrapper(lambda: width)
    return "".join(map(wrapper.feed, [text] if pieces is None else pieces)) + wrapper.end()


@pytest.mark.parametrize(
    ("text", "width", "lines"),
    [
        ("one two three", 7, ["one two", "three"]),
        ("one two three", 6, ["one", "two", "three"]),
        ("one  two", 5, ["one", "two"]),
        ("  indented text", 10, ["  indented", "text"]),
        ("a\n\nb", 5, ["a", "", "b"]),
        ("exactly\nseven 7", 7, ["exactly", "seven 7"]),
        ("a windmillwindmill b", 8, ["a", "windmill", "windmill", "b"]),
        ("照片里有猫", 4, ["照片", "里有", "猫"]),
        ("照片，里有。猫", 4, ["照", "片，", "里", "有。", "猫"]),
        ("他说「好」吗", 6, ["他说", "「好」", "吗"]),
        ("see照片now", 7, ["see照片", "now"]),
        ("🙂🙂🙂", 4, ["🙂🙂", "🙂"]),
        (f"{FAMILY}{FAMILY}x", 2, [FAMILY, FAMILY, "x"]),
        ("e\u0301e\u0301e\u0301", 2, ["e\u0301e\u0301", "e\u0301"]),
        ("a\tb c", 9, ["a\tb", "c"]),
        ("x", 1, ["x"]),
        ("照", 1, ["照"]),
    ],
)
def test_lines_are_broken_between_words(text, width, lines):
    assert wrap(text, width).split("\n") == lines


TEXTS = st.text(st.sampled_from("ab ,\n照片。「🙂\u0301\u200d\t"), max_size=60)


@given(TEXTS, st.integers(2, 12), st.lists(st.integers(0, 60)))
def test_pieces_give_the_same_lines_as_the_whole(text, width, cuts):
    edges = sorted({0, len(text), *(cut for cut in cuts if cut < len(text))})
    pieces = [text[begin:end] for begin, end in pairwise(edges)]
    assert wrap(text, width, pieces) == wrap(text, width)


@given(TEXTS, st.integers(2, 12))
def test_nothing_but_spaces_and_line_breaks_is_added_or_lost(text, width):
    assert "".join(wrap(text, width).split()) == "".join(text.split())


@given(st.text(st.sampled_from("ab 照片🙂"), max_size=60), st.integers(2, 12))
def test_no_line_is_wider_than_the_terminal(text, width):
    assert all(wcswidth(line.strip()) <= width for line in wrap(text, width).split("\n"))


@given(st.lists(st.text("abc", min_size=1, max_size=6), max_size=20), st.integers(6, 20))
def test_no_word_is_broken(words, width):
    assert wrap(" ".join(words), width).split() == words


def test_a_word_is_shown_as_soon_as_its_end_is_known():
    wrapper = Wrapper(lambda: 20)
    assert [wrapper.feed(piece) for piece in ("wind", "mill", " an", "d")] == ["", "", "windmill", ""]
    assert wrapper.end() == " and"


def test_a_terminal_that_becomes_narrower_is_noticed():
    widths = [20]
    wrapper = Wrapper(lambda: widths[0])
    shown = wrapper.feed("one two three four ")
    widths[0] = 10
    assert (shown + wrapper.feed("five six seven ")).split("\n") == ["one two three four", "five six", "seven"]


def test_control_characters_become_printable():
    assert printable("a\x1b[2J\tb\n\x07\x9b\x7f\r\n") == "a␛[2J\tb\n␇\ufffd␡\n"
