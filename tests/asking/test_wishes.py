"""What a request may ask for: sampling in three layers, and what the answer is held to."""

from dataclasses import replace
from pathlib import Path

import pytest

from olpipe.asking.wishes import USUAL, Wishes, holding_to
from olpipe.errors import SchemaError, StoreError, UsageError
from olpipe.generation import Guidance, SamplingParams
from olpipe.model import ModelBundle, ModelName

SCHEMA = '{"type": "object", "properties": {"n": {"type": "integer"}}}'


def bundle(**parameters):
    return ModelBundle(ModelName.parse("m"), "sha256:0", Path(), Path(), parameters=parameters)


@pytest.mark.parametrize(
    ("own", "wished", "expected"),
    [
        ({}, {}, SamplingParams(temperature=0.8, top_k=40, top_p=0.9, max_tokens=1024)),
        ({"temperature": 0.1, "num_predict": 7}, {}, replace(USUAL, temperature=0.1, max_tokens=7)),
        ({}, {"temperature": 0, "seed": 4}, replace(USUAL, temperature=0, seed=4)),
        ({"temperature": 0.1, "top_k": 3}, {"temperature": 0}, replace(USUAL, temperature=0, top_k=3)),
        ({"stop": ["a", "b"]}, {"stop": ("c",)}, replace(USUAL, stop=("c",))),
        ({"stop": ["a"]}, {"max_tokens": 5}, replace(USUAL, stop=("a",), max_tokens=5)),
        ({"num_predict": -1, "num_ctx": 99}, {}, USUAL),
        ({"seed": 1}, {"seed": None}, replace(USUAL, seed=None)),
    ],
)
def test_sampling_is_as_usual_then_as_the_model_says_then_as_was_wished(own, wished, expected):
    assert Wishes(sampling=wished).sampling_for(bundle(**own)) == expected


@pytest.mark.parametrize(
    ("wished", "message", "hint"),
    [
        ({"temprature": 1}, "there is no sampling parameter `temprature`", "did you mean `temperature`?"),
        ({"num_predict": 1}, "there is no sampling parameter `num_predict`", None),
        ({"zzz": 1, "aaa": 2}, "there is no sampling parameter `aaa`", None),
    ],
)
def test_a_parameter_that_there_is_not_is_a_usage_error(wished, message, hint):
    with pytest.raises(UsageError) as caught:
        Wishes(sampling=wished).sampling_for(bundle())
    assert (caught.value.message, caught.value.hint) == (message, hint)


def test_a_parameter_of_the_model_that_cannot_be_used_is_told():
    with pytest.raises(StoreError, match="the model's parameter `temperature` cannot be `hot`"):
        Wishes().sampling_for(bundle(temperature="hot"))


@pytest.mark.parametrize(
    ("format_", "expected"),
    [
        ("json", Guidance("json")),
        (SCHEMA, Guidance("json_schema", SCHEMA)),
    ],
)
def test_a_format_becomes_guidance(format_, expected):
    assert holding_to(format_) == expected


@pytest.mark.parametrize(
    ("format_", "message"),
    [
        ("jsom", "the schema is not JSON: "),
        ("", "the schema is not JSON: "),
        ("[]", "the schema is not a JSON object"),
        ('{"type": "objekt"}', "the schema is not valid at `$.type`: "),
        ('{"type": "integer", "minimum": 3, "maximum": 2}', "no document satisfies the schema: "),
    ],
)
def test_a_format_that_no_answer_can_have_is_refused_each_time(format_, message):
    for _ in range(2):
        with pytest.raises(SchemaError) as caught:
            holding_to(format_)
        assert caught.value.message.startswith(message)
