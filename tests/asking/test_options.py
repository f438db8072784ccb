"""Ollama's options, as values of JSON and as words that people write."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from olpipe.asking.options import LOADING, MOST, SAMPLING, option_from_words, options_for, options_of
from olpipe.errors import UsageError


def test_options_are_sampling_parameters_and_load_options():
    found = options_of(
        {"temperature": 0, "top_k": 3.0, "stop": ["a", ""], "num_ctx": 512, "num_gpu": 9, "seed": None, "wisdom": 1}
    )
    assert found.sampling == {"temperature": 0.0, "top_k": 3, "stop": ("a",)}
    assert (found.load.context_length, found.unknown) == (512, ("wisdom",))


@pytest.mark.parametrize(
    ("given", "sampling"),
    [
        ({"num_predict": -1}, {"max_tokens": MOST}),
        ({"num_predict": 0}, {"max_tokens": MOST}),
        ({"seed": -1}, {"seed": None}),
        ({"top_k": -1}, {"top_k": 0}),
        ({"repeat_penalty": 0}, {"repeat_penalty": 1.0}),
        ({"stop": "x"}, {"stop": ("x",)}),
    ],
)
def test_the_values_for_no_limit_are_understood(given, sampling):
    assert options_of(given).sampling == sampling


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"temperature": "hot"}, 'option "temperature" must be of type float32'),
        ({"top_k": 1.5}, 'option "top_k" must be of type integer'),
        ({"top_k": True}, 'option "top_k" must be of type integer'),
        ({"top_p": 7}, 'option "top_p" cannot be 7: it must be between 0 and 1'),
        ({"num_ctx": -5}, 'option "num_ctx" cannot be -5: it must be at least 0'),
        ({"stop": [1]}, 'option "stop" must be of type array'),
    ],
)
def test_a_value_that_cannot_be_is_told(given, message):
    with pytest.raises(UsageError) as caught:
        options_of(given)
    assert caught.value.message == message


@pytest.mark.parametrize(
    ("name", "words", "value"),
    [
        ("temperature", ["0.5"], 0.5),
        ("num_ctx", ["1", "2048"], 2048),
        ("stop", ["a", "b c"], ["a", "b c"]),
        ("num_gpu", ["3"], "3"),
    ],
)
def test_words_become_values(name, words, value):
    assert option_from_words(name, words) == value


@given(st.sampled_from([*SAMPLING, *LOADING, "stop", "num_gpu", "wisdom"]), st.lists(st.text(max_size=6), min_size=1))
def test_any_words_are_a_value_that_can_be_used_or_one_error(name, words):
    try:
        value = option_from_words(name, words)
    except UsageError:
        return
    assert options_of({name: value}).unknown == ()


def test_sampling_parameters_go_by_their_names_in_ollama():
    assert options_for({"max_tokens": 3, "stop": ("a",), "seed": 1}) == {"num_predict": 3, "stop": ["a"], "seed": 1}
