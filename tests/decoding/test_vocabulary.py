from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st


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
