"""Requests are made ready: what does not fit is refused, and what is asked decides how tokens are picked."""

from __future__ import annotations

import json
import time
from dataclasses import replace

import numpy as np
import pytest

from olpipe.decoding.preparing import AVOIDED, SLACK, Preparer
from olpipe.decoding.prompt import Prompt
from olpipe.errors import ContextExceeded, SchemaError, UsageError
from olpipe.generation import Completion, FinishReason, GenerateRequest, Guidance, SamplingParams
from olpipe.messages import Message

CONTEXT = 100
SCHEMA = {"type": "object", "properties": {"alt": {"type": "string"}}, "required": ["alt"]}


@pytest.fixture
def prepare(tiny):
    preparer = Preparer(tiny.vocabulary, context_length=CONTEXT)

    def prepare(request, prompt_tokens=10):
        prompt = Prompt(tuple(range(3, 3 + prompt_tokens)))
        return preparer.prepare(request, prompt, started_ns=time.perf_counter_ns())

    return prepare


def ask(*, guidance=None, **sampling):
    return GenerateRequest("tiny", (Message.of("user", "hi"),), SamplingParams(**sampling), guidance)


def answer(tiny, prepared, token):
    """Decode with a model that wants one token again and again."""
    decoder = prepared.decoder()
    runs = [decoder.begin()]
    while not runs[-1].finished:
        logits = np.zeros(tiny.vocabulary.size, np.float32)
        logits[token] = 9
        runs.append(decoder.next(logits))
    return Completion.of([run.chunk for run in runs if run.chunk])


def test_a_prompt_must_leave_room_for_one_token(tiny, prepare):
    prepared = prepare(ask(), CONTEXT - 1)
    assert prepared.prompt_tokens == CONTEXT - 1
    assert answer(tiny, prepared, 70).usage.sampled_tokens == 1
    with pytest.raises(ContextExceeded, match="the prompt has 100 tokens, and `tiny` holds 100") as caught:
        prepare(ask(), CONTEXT)
    assert "OLLAMA_CONTEXT_LENGTH" in caught.value.hint


def test_there_must_be_a_prompt(prepare):
    with pytest.raises(UsageError, match=r"^the prompt is empty$"):
        prepare(ask(), 0)


def test_a_shorter_context_of_the_request_holds_for_prompt_and_answer(tiny, prepare):
    prepared = prepare(replace(ask(max_tokens=500), context_length=20), 15)
    assert prepared.room == 20
    assert answer(tiny, prepared, 70).usage.sampled_tokens == 5
    with pytest.raises(ContextExceeded, match=r"the prompt has 20 tokens, and the request allows 20"):
        prepare(replace(ask(), context_length=20), 20)
    assert prepare(replace(ask(max_tokens=500), context_length=10 * CONTEXT), 15).room == CONTEXT


def test_room_is_asked_for_prompt_budget_and_a_forced_run_and_never_beyond_the_context(prepare):
    assert prepare(ask(max_tokens=5), 10).room == 10 + 5 + SLACK
    assert prepare(ask(max_tokens=500), 10).room == CONTEXT


@pytest.mark.parametrize(("max_tokens", "sampled"), [(7, 7), (500, CONTEXT - 10)])
def test_a_free_answer_ends_at_its_budget_or_with_the_context(tiny, prepare, max_tokens, sampled):
    completion = answer(tiny, prepare(ask(max_tokens=max_tokens), 10), 70)
    assert completion.finish_reason is FinishReason.LENGTH
    assert completion.usage.sampled_tokens == sampled


def test_a_document_is_closed_before_the_context_ends(tiny, prepare):
    guidance = Guidance("json_schema", json.dumps(SCHEMA))
    completion = answer(tiny, prepare(ask(guidance=guidance, max_tokens=500), 80), tiny.vocabulary.encode("a")[0])
    assert json.loads(completion.text)["alt"].startswith("a")
    assert completion.usage.sampled_tokens + completion.usage.forced_tokens <= CONTEXT - 80


def test_stop_texts_end_free_answers_and_no_documents(tiny, prepare):
    (letter,) = tiny.vocabulary.encode("a")
    assert answer(tiny, prepare(ask(stop=("aaa",))), letter).text == ""
    guidance = Guidance("regex", "a{5}")
    assert answer(tiny, prepare(ask(guidance=guidance, stop=("aaa",))), letter).text == "aaaaa"


def test_words_to_avoid_become_biases_beside_those_that_were_asked_for(tiny, prepare):
    (dog,) = tiny.vocabulary.encode(" dog")
    request = replace(ask(logit_bias=((70, 1.0),)), avoid=("dog",))
    assert prepare(request).sampling.logit_bias == ((70, 1.0), (dog, AVOIDED))
    assert prepare(replace(request, avoid=())).sampling.logit_bias == ((70, 1.0),)


def test_more_probabilities_than_there_are_to_have_are_refused(prepare):
    with pytest.raises(UsageError, match="`top_logprobs` must be between 0 and 20, not `21`"):
        prepare(replace(ask(), top_logprobs=21))


def test_a_schema_that_nothing_satisfies_is_refused(prepare):
    schema = {"type": "object", "properties": {"a": False}, "required": ["a"]}
    with pytest.raises(SchemaError):
        prepare(ask(guidance=Guidance("json_schema", json.dumps(schema))))


def test_each_answer_to_the_same_schema_has_a_grammar_state_of_its_own(tiny, prepare):
    request = ask(guidance=Guidance("regex", "(a|b){4}"))
    first, second = prepare(request), prepare(request)
    (a,), (b,) = tiny.vocabulary.encode("a"), tiny.vocabulary.encode("b")
    assert [answer(tiny, first, a).text, answer(tiny, second, b).text] == ["aaaa", "bbbb"]
