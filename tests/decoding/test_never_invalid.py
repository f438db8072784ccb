"""A slice of `benchmarks/never_invalid.py`: a model that writes noise, any schema, any budget."""

from __future__ import annotations

import json
from random import Random

import jsonschema
import pytest

from olpipe.decoding.closing import shortest_ending
from olpipe.generation import FinishReason
from olpipe.guidance.validate import validate
from olpipe.testing.schemas import draw


def document(tiny, schema, **sampling):
    answer = tiny.decode(tiny.constraint(schema), prompt="Answer in prose, no JSON", **sampling)
    return answer.text, answer.steps


@pytest.mark.examples(12)
@pytest.mark.parametrize("seed", range(1000, 1040))
def test_random_schemas_are_kept_to_whatever_temperature_and_budget(tiny, seed):
    random = Random(seed)
    schema, _ = draw(random)
    judge = jsonschema.Draft202012Validator(schema, format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER)
    for temperature, budget in ((0.0, 64), (0.7, 16), (1.5, 128)):
        text, steps = document(tiny, schema, temperature=temperature, seed=seed, max_tokens=budget)
        judge.validate(validate(json.dumps(schema), text))
        used = sum(len(step.tokens) for step in steps)
        truncated = steps[-1].finish_reason is FinishReason.LENGTH
        assert truncated or used <= budget
        assert not truncated or used <= budget + len(steps[-1].tokens)


UNION = {
    "anyOf": [
        {"type": "null"},
        {"type": "object", "properties": {name: {"const": "x" * 30} for name in "abcdef"}, "required": [*"abcdef"]},
    ]
}


def test_a_step_after_which_no_ending_fits_is_taken_back(tiny):
    schema = {"type": "array", "items": UNION, "minItems": 1, "maxItems": 30}
    for seed in range(20):
        text, steps = document(tiny, schema, temperature=1.5, seed=seed, max_tokens=12)
        jsonschema.validate(json.loads(text), schema)
        assert sum(len(step.tokens) for step in steps) <= 12


@pytest.mark.parametrize(
    ("expression", "ending"),
    [
        ("[aeiou]{2}", "aa"),
        ("^(?=.*[0-9])(?=.*[a-z]).{4,12}$", None),
        (r"^#[0-9a-f]{6}$", "#111111"),
        (r"^[\w.]+@[\w.]+\.[a-z]{2}$", "1@1.aa"),
    ],
)
def test_endings_are_found_where_the_mask_does_not_show_the_way(tiny, expression, ending):
    schema = {"type": "string", "pattern": expression}
    tokens = shortest_ending(tiny.constraint(schema), tiny.vocabulary)
    text = json.loads(tiny.vocabulary.bytes_of(tokens))
    jsonschema.validate(text, schema)
    assert ending is None or len(text) == len(ending)
