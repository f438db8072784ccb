import pytest

from olpipe.errors import StoreError
from olpipe.generation import SamplingParams
from olpipe.store.parameters import sampling

BASE = SamplingParams(temperature=0.8, max_tokens=99)


def test_ollamas_spelling_is_read_and_other_parameters_are_passed_over():
    parameters = {"temperature": 0, "num_predict": 7, "repeat_last_n": 5, "stop": ["a", "b"], "num_ctx": 2048}
    assert sampling(parameters, BASE) == SamplingParams(temperature=0, max_tokens=7, penalty_window=5, stop=("a", "b"))


def test_ollamas_words_for_without_limit_are_understood():
    found = sampling({"num_predict": -1, "repeat_last_n": -1, "stop": "x"}, BASE)
    assert (found.max_tokens, found.stop) == (99, ("x",))
    assert found.penalty_window > 10**6


@pytest.mark.parametrize("value", ["hot", None, True, float("nan"), float("inf")])
def test_what_is_no_number_is_refused(value):
    with pytest.raises(StoreError, match=f"the model's parameter `temperature` cannot be `{value}`"):
        sampling({"temperature": value}, BASE)


@pytest.mark.parametrize("value", [5, [1], {"a": "b"}, None])
def test_stop_texts_that_are_none_are_refused(value):
    with pytest.raises(StoreError) as caught:
        sampling({"stop": value}, BASE)
    assert caught.value.message == f"the model's parameter `stop` cannot be `{value}`"
    assert caught.value.hint == "it must be a list of texts"
