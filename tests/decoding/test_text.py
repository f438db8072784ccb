from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from olpipe.decoding.text import TextStream


def pieces(tiny, text, *, stop=(), size=1):
    """Feed a text's bytes in tokens of one byte, `size` at a time."""
    stream = TextStream(tiny.vocabulary, stop=stop)
    tokens = [token for byte in text.encode() for token in tiny.vocabulary.tokenizer.tokenize_bytes(bytes([byte]))]
    shown = [stream.feed(tokens[start : start + size]) for start in range(0, len(tokens), size)]
    return [*shown, stream.finish()], stream


def test_characters_are_shown_whole(tiny):
    shown, _ = pieces(tiny, "狗a🐕")
    assert shown == ["", "", "狗", "a", "", "", "", "🐕", ""]


@pytest.mark.parametrize("size", [1, 3, 100])
def test_a_stop_text_ends_the_answer_and_is_not_shown(tiny, size):
    shown, stream = pieces(tiny, "one two END three", stop=("END", "nothing"), size=size)
    assert "".join(shown) == "one two "
    assert stream.stopped
    assert stream.stopped_by == "END"


def test_the_stop_text_that_begins_first_counts(tiny):
    shown, stream = pieces(tiny, "one two three", stop=("three", "two t", "two"), size=100)
    assert ("".join(shown), stream.stopped_by) == ("one ", "two")


def test_what_may_begin_a_stop_text_is_held_back_until_it_is_known(tiny):
    shown, stream = pieces(tiny, "aEN bEND", stop=("END",))
    assert shown[:4] == ["a", "", "", "EN "]
    assert "".join(shown) == "aEN b"
    assert stream.stopped


def test_what_is_held_back_is_shown_at_the_end(tiny):
    shown, stream = pieces(tiny, "the EN", stop=("END",))
    assert "".join(shown) == "the EN"
    assert not stream.stopped


def test_a_torn_character_at_the_end_is_replaced(tiny):
    stream = TextStream(tiny.vocabulary)
    tokens = tiny.vocabulary.tokenizer.tokenize_bytes("狗".encode()[:1])
    assert stream.feed(tokens) + stream.finish() == "\ufffd"


def test_special_tokens_are_never_shown(tiny):
    stream = TextStream(tiny.vocabulary)
    assert stream.feed([0, 1, 2]) + stream.finish() == ""


@given(text=st.text(alphabet="abE ND狗", max_size=30), size=st.integers(1, 5))
def test_streaming_shows_what_cutting_the_whole_text_would(tiny, text, size):
    shown, _ = pieces(tiny, text, stop=("END", "ba"), size=size)
    places = [place for place in (text.find("END"), text.find("ba")) if place >= 0]
    assert "".join(shown) == (text[: min(places)] if places else text)
