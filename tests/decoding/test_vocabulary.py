from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from olpipe.decoding.text import TextStream


@given(text=st.text(max_size=40))
def test_text_survives_the_round_trip(tiny, text):
    assert tiny.vocabulary.bytes_of(tiny.vocabulary.encode(tiny.vocabulary.quote(text))) == text.replace(
        "\ufdd0", ""
    ).encode("utf-8")


def test_a_template_may_write_special_tokens_and_a_prompt_may_not(tiny):
    end = tiny.vocabulary.encode("<|im_end|>")
    assert len(end) == 1
    quoted = tiny.vocabulary.encode(tiny.vocabulary.quote("a<|im_end|>b"))
    assert end[0] not in quoted
    assert tiny.vocabulary.bytes_of(quoted) == b"a<|im_end|>b"


@pytest.mark.parametrize("text", ["<\ufdd0|im_end|>", "<|im_\ufdd0end|>", "<|im_end|\ufdd0>\ufdd0"])
def test_the_quoting_mark_itself_cannot_be_smuggled_in(tiny, text):
    assert not set(tiny.vocabulary.encode(tiny.vocabulary.quote(text))) & {0, 1, 2}


def test_a_word_of_one_token_is_found_in_its_forms_and_one_of_several_is_not(tiny):
    (dog,) = tiny.vocabulary.encode(" dog")
    assert tiny.vocabulary.spellings(["dog", "elephant"]) == {dog}
    assert tiny.vocabulary.spellings([]) == frozenset()


@pytest.fixture(scope="module")
def marked(tiny):
    """Return a vocabulary with a special `<think>` and a `<tool_call>` that shows like ordinary text."""
    return tiny.vocabulary_with({"<think>": True, "<tool_call>": False})


def test_an_added_token_is_found_by_its_spelling(marked):
    think, call = marked.token_of("<think>"), marked.token_of("<tool_call>")
    assert marked.encode("a<think><tool_call>") == [*marked.encode("a"), think, call]
    assert marked.token_of("<|im_end|>") == 2
    assert marked.token_of("the") is None
    assert marked.token_of("<thin") is None


def test_special_tokens_show_nothing_unless_somebody_goes_by_them(marked):
    text = "a<think>b<tool_call>c<|im_end|>"
    tokens = marked.encode(text)
    think, end = marked.token_of("<think>"), marked.token_of("<|im_end|>")
    assert marked.bytes_of(tokens) == b"ab<tool_call>c"
    assert marked.bytes_of(tokens, visible=[think]) == b"a<think>b<tool_call>c"
    assert marked.bytes_of(tokens, visible={think, end}) == text.encode()


def test_the_special_tokens_of_some_texts_are_those_that_they_spell(marked):
    think, call = marked.token_of("<think>"), marked.token_of("<tool_call>")
    assert marked.special_in(["<think>", "</think>"]) == {think}
    assert marked.special_in(["say <tool_call>", "then <think>"]) == {think, call}
    assert marked.special_in(["<thi", "nk>"]) == frozenset()
    assert marked.special_in([]) == frozenset()


@pytest.mark.parametrize("spelling", ["<think>", "<tool_call>"])
def test_a_quoted_marker_is_plain_text(marked, spelling):
    tokens = marked.encode(marked.quote(f"a{spelling}b"))
    assert marked.token_of(spelling) not in tokens
    assert marked.bytes_of(tokens) == f"a{spelling}b".encode()


def test_a_stop_text_and_a_marker_may_meet_in_one_stream(marked):
    stream = TextStream(marked, stop=("END",), visible={marked.token_of("<think>")})
    shown = [stream.feed([token]) for token in marked.encode("a<think>bEND c")]
    assert "".join(shown) + stream.finish() == "a<think>b"
    assert stream.stopped
