"""The decoder, fed by a real model and by sequences that say what a test wants to hear."""

from __future__ import annotations

import json
import re

import jsonschema
import numpy as np
import pytest

from olpipe.errors import GenerationError
from olpipe.generation import FinishReason, Usage

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
COLOUR = {
    "type": "object",
    "properties": {"colour": {"enum": ["red", "green"]}},
    "required": ["colour"],
    "additionalProperties": False,
}


class Scripted:
    """A sequence that wants one token after the other, whatever it is given, and notes what that is."""

    def __init__(self, vocabulary, tokens, *, capacity=1024):
        self.capacity, self.given = capacity, []
        self._vocabulary, self._wanted = vocabulary, iter(tokens)

    def prefill(self, prompt, start):
        return self.decode(prompt.tokens[start:])

    def decode(self, tokens):
        self.given.append(tuple(tokens))
        logits = np.zeros(self._vocabulary.size, np.float32)
        logits[next(self._wanted)] = 9
        return logits


class Unused:
    """A sequence that must not be run."""

    capacity = 1024


def scripted(tiny, text, **options):
    return Scripted(tiny.vocabulary, tiny.vocabulary.encode(text), **options)


@pytest.mark.examples(8)
@pytest.mark.parametrize("schema", [PHOTO, TREE, CHOICE, {"type": "object"}])
@pytest.mark.parametrize("temperature", [0.0, 1.5])
@pytest.mark.parametrize("max_tokens", [1, 16, 64, 300])
def test_a_guided_document_is_valid_whatever_the_budget(tiny, schema, temperature, max_tokens):
    for seed in range(4):
        answer = tiny.decode(
            tiny.constraint(schema),
            prompt=f"photo {seed}",
            temperature=temperature,
            seed=seed,
            max_tokens=max_tokens,
        )
        jsonschema.validate(json.loads(answer.text), schema)
        assert [run.finished for run in answer.runs[:-1]] == [False] * (len(answer.runs) - 1)


@pytest.mark.parametrize("max_tokens", [16, 60, 120])
def test_the_budget_is_passed_by_no_more_than_the_shortest_ending(tiny, max_tokens):
    shortest = len(tiny.decode(tiny.constraint(PHOTO), max_tokens=1).runs[-1].tokens)
    for seed in range(5):
        answer = tiny.decode(tiny.constraint(PHOTO), temperature=1.5, seed=seed, max_tokens=max_tokens)
        usage = answer.last.usage
        assert usage.sampled_tokens + usage.forced_tokens <= max_tokens + shortest


def test_a_document_cut_by_its_budget_says_so_and_a_whole_one_does_not(tiny):
    assert tiny.decode(tiny.constraint(PHOTO), max_tokens=20).last.finish_reason is FinishReason.LENGTH
    assert tiny.decode(tiny.constraint(PHOTO), max_tokens=600).last.finish_reason is FinishReason.STOP


def test_what_every_answer_begins_with_follows_the_prompt_in_its_forward(tiny):
    sequence = scripted(tiny, "r")
    answer = tiny.decode(tiny.constraint(COLOUR), prompt="photo", sequence=sequence)
    assert tiny.vocabulary.bytes_of(answer.runs[0].tokens) == b'{"colour":"'
    assert sequence.given == [tiny.prompt("photo").tokens + answer.runs[0].tokens]


def test_forced_tokens_ride_with_the_sampled_one(tiny):
    schema = {"type": "array", "prefixItems": [COLOUR, COLOUR], "items": False, "minItems": 2}
    sequence = scripted(tiny, "rg")
    answer = tiny.decode(tiny.constraint(schema), sequence=sequence)
    assert answer.text == '[{"colour":"red"},{"colour":"green"}]'
    _, first, last = (tiny.vocabulary.bytes_of(run.tokens) for run in answer.runs)
    assert first == b'red"},{"colour":"'
    assert last == b'green"}]'
    assert sequence.given[1:] == [answer.runs[1].tokens]
    assert [step.sampled for step in answer.steps] == [0, 1, 1]
    assert answer.last.usage == Usage(1 + len("hoto"), 2, sum(len(run.tokens) for run in answer.runs) - 2)


def test_every_forward_is_paid_by_one_sampled_token(tiny):
    class Counting:
        def __init__(self, sequence):
            self._sequence, self.capacity, self.forwards = sequence, sequence.capacity, 0

        def prefill(self, prompt, start):
            self.forwards += 1
            return self._sequence.prefill(prompt, start)

        def decode(self, tokens):
            self.forwards += 1
            return self._sequence.decode(tokens)

    sequence = Counting(tiny.sequence())
    usage = tiny.decode(tiny.constraint(PHOTO), sequence=sequence, max_tokens=400).last.usage
    assert sequence.forwards == usage.sampled_tokens
    assert usage.forced_tokens > 20


def test_forced_tokens_in_one_forward_give_the_logits_of_one_by_one(tiny):
    prompt = tiny.prompt('{"title":"the dog on the street"}')
    together, single = tiny.sequence(), tiny.sequence()
    expected = together.prefill(prompt, 0)
    for token in prompt.tokens:
        logits = single.decode([token])
    np.testing.assert_allclose(expected, logits, atol=0.25)


def test_a_constant_document_needs_no_model_at_all(tiny):
    answer = tiny.decode(tiny.constraint({"const": {"a": 1}}), sequence=Unused(), max_tokens=50)
    (run,) = answer.runs
    assert run.chunk.text == '{"a":1}'
    assert (run.chunk.finish_reason, run.chunk.usage.sampled_tokens) == (FinishReason.STOP, 0)


def test_free_text_ends_at_its_budget(tiny):
    answer = tiny.decode(max_tokens=7)
    assert answer.runs[0].tokens == ()
    assert [len(run.tokens) for run in answer.runs[1:]] == [1] * 7
    assert answer.last.finish_reason is FinishReason.LENGTH
    assert answer.last.usage == Usage(len(tiny.prompt("photo")), 7)


def test_a_budget_of_nothing_needs_no_model(tiny):
    (run,) = tiny.decode(sequence=Unused(), max_tokens=0).runs
    assert (run.tokens, run.chunk.text, run.chunk.finish_reason) == ((), "", FinishReason.LENGTH)


@pytest.mark.parametrize("held", [False, True])
def test_a_token_that_ends_the_answer_is_no_part_of_it(tiny, held):
    end = max(tiny.vocabulary.end_tokens)
    sequence = Scripted(tiny.vocabulary, [*tiny.vocabulary.encode("the dog"), end])
    answer = tiny.decode(tiny.pattern("[a-z ]*") if held else None, sequence=sequence)
    assert answer.text == "the dog"
    assert answer.runs[-1].tokens == ()
    assert answer.last.finish_reason is FinishReason.STOP
    assert answer.last.usage.sampled_tokens == len(tiny.vocabulary.encode("the dog"))


def test_a_stop_text_ends_a_free_answer_though_its_tokens_were_taken(tiny):
    answer = tiny.decode(sequence=scripted(tiny, "the dog is on the street"), stop=(" on",))
    assert answer.text == "the dog is"
    assert answer.last.finish_reason is FinishReason.STOP
    assert answer.last.usage.sampled_tokens == len(tiny.vocabulary.encode("the dog is on"))


def test_the_context_bounds_the_budget(tiny):
    capacity = len(tiny.prompt("the dog")) + 40
    answer = tiny.decode(tiny.constraint(PHOTO), prompt="the dog", sequence=tiny.sequence(capacity), max_tokens=500)
    jsonschema.validate(json.loads(answer.text), PHOTO)
    assert answer.last.finish_reason is FinishReason.LENGTH


def test_a_free_text_ends_where_the_context_does(tiny):
    answer = tiny.decode(sequence=scripted(tiny, "the dog " * 20, capacity=len(tiny.prompt("photo")) + 6))
    assert answer.last.finish_reason is FinishReason.LENGTH
    assert answer.last.usage.sampled_tokens == 6


def test_a_document_without_an_ending_within_reach_is_an_error_when_the_context_ends(tiny):
    sequence = scripted(tiny, "abcd", capacity=len(tiny.prompt("photo")) + 2)
    with pytest.raises(GenerationError, match="the context is full, and the document is not complete") as caught:
        tiny.decode(tiny.pattern("[a-z]{3000}"), sequence=sequence)
    assert caught.value.hint == "raise OLLAMA_CONTEXT_LENGTH"


def test_an_ending_may_stand_in_place_of_the_tokens_just_taken(tiny):
    """The brace begins an object whose keys and values pass the budget, and before it `null` had fitted."""
    whole = {"type": "object", "properties": {name: {"const": "x" * 30} for name in "abc"}, "required": [*"abc"]}
    schema = {"type": "array", "items": {"anyOf": [{"type": "null"}, whole]}, "minItems": 1}
    sequence = scripted(tiny, '{"')
    answer = tiny.decode(tiny.constraint(schema), sequence=sequence, max_tokens=12)
    assert answer.text == "[null]"
    assert answer.last.finish_reason is FinishReason.LENGTH
    # The brace was sampled, but it is part of neither the answer nor what the answer cost.
    assert b"".join(tiny.vocabulary.bytes_of(run.tokens) for run in answer.runs) == b"[null]"
    assert answer.last.usage.sampled_tokens == 0
    assert answer.last.usage.forced_tokens == sum(len(run.tokens) for run in answer.runs)


def test_the_same_seed_gives_the_same_document(tiny):
    def text(seed):
        sampling = {"temperature": 1.0, "top_k": 40, "top_p": 0.9, "seed": seed, "max_tokens": 200}
        return tiny.decode(tiny.constraint(PHOTO), **sampling).text

    assert text(7) == text(7)
    assert text(7) != text(8)


@pytest.mark.parametrize("max_tokens", [1, 5, 100])
def test_a_regular_expression_is_kept_to_within_any_budget(tiny, max_tokens):
    expression = "(the|a) (dog|cat)( is (big|small)){1,3}!"
    answer = tiny.decode(tiny.pattern(expression), temperature=1.0, seed=1, max_tokens=max_tokens)
    assert re.fullmatch(expression, answer.text)


def test_a_value_that_spells_a_special_token_is_written_as_text(tiny):
    schema = {"type": "object", "properties": {"a": {"const": "x <|im_end|> y"}, "b": {"enum": ["<|im_start|>", "<|"]}}}
    for seed in range(5):
        answer = tiny.decode(tiny.constraint(schema | {"required": ["a", "b"]}), temperature=1.5, seed=seed)
        jsonschema.validate(json.loads(answer.text), schema)


def test_half_a_character_waits_for_its_other_half(tiny):
    tokens = [token for byte in "狗".encode() for token in tiny.vocabulary.tokenizer.tokenize_bytes(bytes([byte]))]
    answer = tiny.decode(sequence=Scripted(tiny.vocabulary, [*tokens, *tiny.vocabulary.end_tokens]))
    assert [run.chunk and run.chunk.text for run in answer.runs] == [None, None, None, "狗", ""]


def test_probabilities_wait_for_the_text_that_they_belong_to(tiny):
    tokens = [token for byte in "狗".encode() for token in tiny.vocabulary.tokenizer.tokenize_bytes(bytes([byte]))]
    answer = tiny.decode(sequence=Scripted(tiny.vocabulary, [*tokens, *tiny.vocabulary.end_tokens]), top=1)
    described = [tuple(value.token for value in run.chunk.logprobs) for run in answer.runs if run.chunk]
    assert described == [tuple(tokens), ()]


def test_what_was_in_the_cache_already_is_told_at_the_end(tiny):
    from olpipe.decoding.answer import Answer
    from olpipe.decoding.decoder import Decoder
    from olpipe.decoding.sampler import Sampler
    from olpipe.decoding.steps import FreeSteps, Picker
    from olpipe.generation import SamplingParams, Timings

    steps = FreeSteps(tiny.vocabulary, Picker(Sampler(SamplingParams()), None), 1)
    decoder = Decoder(steps, Answer(tiny.vocabulary, prompt_tokens=9, prepared=Timings(prompt_ns=5)))
    decoder.begin()
    decoder.reused(4)
    timings = decoder.next(scripted(tiny, "a").decode([1])).chunk.timings
    assert timings.reused_tokens == 4
    assert timings.prompt_ns >= 5
