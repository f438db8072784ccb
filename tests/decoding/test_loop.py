from __future__ import annotations

import json

import jsonschema
import pytest

from olpipe.decoding.loop import decode
from olpipe.decoding.sampler import Sampler
from olpipe.decoding.text import TextStream
from olpipe.errors import ContextExceeded
from olpipe.generation import FinishReason, SamplingParams

PHOTO = {
    "type": "object",
    "properties": {
        "tags": {"type": "array", "items": {"type": "string", "maxLength": 12}, "minItems": 1, "maxItems": 4},
        "title": {"type": "string", "minLength": 1, "maxLength": 30},
        "rating": {"type": "integer", "minimum": 1, "maximum": 5},
        "taken": {"type": "string", "format": "date"},
        "kind": {"enum": ["portrait", "landscape", None]},
    },
    "required": ["tags", "title", "rating", "taken", "kind"],
    "additionalProperties": False,
}
TREE = {
    "$defs": {
        "node": {
            "type": "object",
            "properties": {
                "name": {"type": "string", "maxLength": 8},
                "children": {"type": "array", "items": {"$ref": "#/$defs/node"}, "maxItems": 3},
            },
            "required": ["name", "children"],
            "additionalProperties": False,
        }
    },
    "$ref": "#/$defs/node",
}
CHOICE = {
    "anyOf": [
        {"type": "array", "items": {"type": "number"}, "minItems": 2, "maxItems": 5},
        {"type": "object", "properties": {"名": {"type": "string", "maxLength": 5}}, "required": ["名"]},
    ]
}


def run(tiny, schema=None, *, prompt="photo", max_length=1024, **sampling):
    params = SamplingParams(**sampling)
    runs = list(
        decode(
            tiny.sequence(max_length),
            tiny.vocabulary.encode(prompt),
            vocabulary=tiny.vocabulary,
            sampler=Sampler(params),
            max_tokens=params.max_tokens,
            constraint=None if schema is None else tiny.constraint(schema),
        )
    )
    text = TextStream(tiny.vocabulary)
    return "".join(text.feed(run.tokens) for run in runs) + text.finish(), runs


@pytest.mark.parametrize("schema", [PHOTO, TREE, CHOICE, {"type": "object"}])
@pytest.mark.parametrize("temperature", [0.0, 1.5])
@pytest.mark.parametrize("max_tokens", [1, 16, 64, 300])
def test_a_guided_document_is_valid_whatever_the_budget(tiny, schema, temperature, max_tokens):
    for seed in range(4):
        text, runs = run(
            tiny, schema, prompt=f"photo {seed}", temperature=temperature, seed=seed, max_tokens=max_tokens
        )
        jsonschema.validate(json.loads(text), schema)
        assert [entry.finish_reason is None for entry in runs[:-1]] == [True] * (len(runs) - 1)


@pytest.mark.parametrize("max_tokens", [16, 60, 120])
def test_the_budget_is_passed_by_no_more_than_the_shortest_ending(tiny, max_tokens):
    shortest = len(run(tiny, PHOTO, max_tokens=1)[1][-1].tokens)
    for seed in range(5):
        _, runs = run(tiny, PHOTO, temperature=1.5, seed=seed, max_tokens=max_tokens)
        assert sum(len(entry.tokens) for entry in runs) <= max_tokens + shortest


def test_a_document_cut_by_its_budget_says_so_and_a_whole_one_does_not(tiny):
    assert run(tiny, PHOTO, max_tokens=20)[1][-1].finish_reason is FinishReason.LENGTH
    assert run(tiny, PHOTO, max_tokens=600)[1][-1].finish_reason is FinishReason.STOP


def test_every_forward_is_paid_by_one_sampled_token(tiny):
    class Counting:
        def __init__(self, model):
            self._model, self.limits, self.forwards = model, model.limits, 0

        def append(self, tokens):
            self.forwards += 1
            self._model.append(tokens)

        def logits(self):
            return self._model.logits()

    model = Counting(tiny.sequence())
    runs = list(
        decode(
            model,
            tiny.vocabulary.encode("photo"),
            vocabulary=tiny.vocabulary,
            sampler=Sampler(SamplingParams()),
            max_tokens=400,
            constraint=tiny.constraint(PHOTO),
        )
    )
    assert model.forwards == sum(entry.sampled for entry in runs)
    assert sum(entry.forced for entry in runs) > 20


def test_forced_tokens_in_one_forward_give_the_logits_of_one_by_one(tiny):
    import numpy as np

    tokens = tiny.vocabulary.encode('{"title":"the dog on the street"}')
    together, single = tiny.sequence(), tiny.sequence()
    together.append(tokens)
    for token in tokens:
        single.append([token])
    np.testing.assert_allclose(together.logits(), single.logits(), atol=0.25)


def test_a_constant_document_needs_no_model_at_all(tiny):
    class Unused:
        limits = tiny.sequence().limits

    runs = list(
        decode(
            Unused(),
            [1],
            vocabulary=tiny.vocabulary,
            sampler=Sampler(SamplingParams()),
            max_tokens=50,
            constraint=tiny.constraint({"const": {"a": 1}}),
        )
    )
    assert tiny.vocabulary.bytes_of(runs[0].tokens) == b'{"a":1}'
    assert runs[0].sampled == 0


def test_free_text_ends_at_its_budget(tiny):
    _, runs = run(tiny, max_tokens=7)
    assert [entry.sampled for entry in runs] == [1] * 7
    assert runs[-1].finish_reason is FinishReason.LENGTH


def test_the_context_bounds_the_budget(tiny):
    prompt = "the dog"
    text, runs = run(tiny, PHOTO, prompt=prompt, max_length=len(tiny.vocabulary.encode(prompt)) + 40, max_tokens=500)
    jsonschema.validate(json.loads(text), PHOTO)
    assert runs[-1].finish_reason is FinishReason.LENGTH


def test_a_prompt_that_fills_the_context_is_refused(tiny):
    with pytest.raises(ContextExceeded, match=r"the prompt has \d+ tokens, and the model holds 4"):
        run(tiny, max_length=4, prompt="a long prompt that does not fit")


def test_the_same_seed_gives_the_same_document(tiny):
    first = run(tiny, PHOTO, temperature=1.0, top_k=40, top_p=0.9, seed=7, max_tokens=200)[0]
    assert first == run(tiny, PHOTO, temperature=1.0, top_k=40, top_p=0.9, seed=7, max_tokens=200)[0]
    assert first != run(tiny, PHOTO, temperature=1.0, top_k=40, top_p=0.9, seed=8, max_tokens=200)[0]


def test_a_regular_expression_is_kept_to_within_any_budget(tiny):
    import re

    expression = "(the|a) (dog|cat)( is (big|small)){1,3}!"
    for max_tokens in (1, 5, 100):
        runs = decode(
            tiny.sequence(),
            tiny.vocabulary.encode("photo"),
            vocabulary=tiny.vocabulary,
            sampler=Sampler(SamplingParams(temperature=1.0, seed=1)),
            max_tokens=max_tokens,
            constraint=tiny.pattern(expression),
        )
        text = b"".join(tiny.vocabulary.bytes_of(entry.tokens) for entry in runs).decode()
        assert re.fullmatch(expression, text)
