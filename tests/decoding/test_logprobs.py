"""How likely tokens were, against an independent softmax over the same logits."""

from __future__ import annotations

import json
from collections import Counter

import numpy as np
import pytest

from olpipe.decoding.logprobs import Scorer
from olpipe.decoding.sampler import Sampler
from olpipe.errors import UsageError
from olpipe.generation import FinishReason, SamplingParams

COLOURS = {
    "type": "object",
    "properties": {
        "colour": {"type": "string", "enum": ["red", "green", "grey"]},
        "title": {"type": "string", "maxLength": 12},
    },
    "required": ["colour", "title"],
    "additionalProperties": False,
}
PROMPT = "the photo"


class Recording:
    """A sequence that keeps all logits it gave."""

    def __init__(self, sequence):
        self._sequence, self.capacity, self.given = sequence, sequence.capacity, []

    def prefill(self, prompt, start):
        return self._keep(self._sequence.prefill(prompt, start))

    def decode(self, tokens):
        return self._keep(self._sequence.decode(tokens))

    def _keep(self, logits):
        self.given.append(logits.copy())
        return logits


def steps_of(tiny, *, schema=None, top=None, max_tokens=60, sequence=None, **sampling):
    constraint = schema and tiny.constraint(schema)
    answer = tiny.decode(constraint, prompt=PROMPT, sequence=sequence, top=top, max_tokens=max_tokens, **sampling)
    told = [value for run in answer.runs if run.chunk for value in run.chunk.logprobs]
    assert told == [value for step in answer.steps for value in step.logprobs]
    return answer.steps


def softmax(logits, allowed=None):
    """Return probabilities, in the plainest way there is."""
    weights = np.exp(np.array(logits, dtype=np.float64) - 20)
    if allowed is not None:
        weights[[token for token in range(len(logits)) if token not in allowed]] = 0
    return weights / weights.sum()


def allowed_by(constraint, size):
    """Ask for every token by itself, without the mask."""
    return {token for token in range(size) if constraint.allows(token)}


def sampled(steps):
    return [step.logprobs[0] for step in steps if step.sampled]


@pytest.mark.parametrize("sampling", [{}, {"temperature": 1.3, "top_k": 7, "seed": 5, "repeat_penalty": 2.0}])
def test_a_free_text_has_the_softmax_of_its_logits(tiny, sampling):
    sequence = Recording(tiny.sequence())
    values = sampled(steps_of(tiny, top=4, max_tokens=20, sequence=sequence, **sampling))
    assert len(values) >= 5
    for value, logits in zip(values, sequence.given, strict=False):
        probabilities = softmax(logits)
        assert value.raw == pytest.approx(np.log(probabilities[value.token]), abs=1e-9)
        assert value.constrained == value.raw
        assert value.top_constrained == value.top_raw
        best = np.argsort(-probabilities)[:4]
        assert [candidate.token for candidate in value.top_raw] == list(best)
        assert [candidate.logprob for candidate in value.top_raw] == pytest.approx(list(np.log(probabilities[best])))


def test_a_guided_text_has_the_softmax_over_what_the_grammar_allows_as_well(tiny):
    sequence = Recording(tiny.sequence())
    steps = steps_of(tiny, schema=COLOURS, top=5, sequence=sequence, temperature=1.0, seed=2)
    constraint = tiny.constraint(COLOURS)
    constraint.take_forced()
    disallowed = 0
    for value, logits in zip(sampled(steps), sequence.given, strict=False):
        allowed = allowed_by(constraint, tiny.vocabulary.size)
        probabilities = softmax(logits, allowed)
        assert value.raw == pytest.approx(np.log(softmax(logits)[value.token]), abs=1e-9)
        assert value.constrained == pytest.approx(np.log(probabilities[value.token]), abs=1e-9)
        assert {candidate.token for candidate in value.top_constrained} <= allowed
        assert len(value.top_constrained) == min(5, len(allowed))
        assert [candidate.logprob for candidate in value.top_constrained] == pytest.approx(
            sorted(np.log(probabilities[sorted(allowed)]), reverse=True)[:5]
        )
        disallowed += sum(candidate.token not in allowed for candidate in value.top_raw)
        constraint.consume(value.token)
        constraint.take_forced()
    assert disallowed > 0


def test_what_is_allowed_shares_the_whole_probability_and_the_rest_has_none(tiny):
    constraint = tiny.constraint(COLOURS)
    constraint.take_forced()
    likelihoods = Scorer(tiny.vocabulary, 0).read(tiny.sequence().prefill(tiny.prompt(PROMPT), 0), constraint)
    allowed = sorted(allowed_by(constraint, tiny.vocabulary.size))
    probabilities = np.exp(likelihoods.constrained)
    assert probabilities[allowed].sum() == pytest.approx(1)
    assert np.delete(probabilities, allowed).sum() == 0
    assert np.exp(likelihoods.raw).sum() == pytest.approx(1)
    legal = np.exp(likelihoods.raw[allowed]).sum()
    np.testing.assert_allclose(likelihoods.constrained[allowed], likelihoods.raw[allowed] - np.log(legal))


def test_tokens_are_drawn_with_the_constrained_probability_that_is_said(tiny):
    """A legal raw pick is accepted without the mask: that must not show in what is drawn."""
    constraint = tiny.constraint(COLOURS)
    constraint.take_forced()
    logits = tiny.sequence().prefill(tiny.prompt(PROMPT), 0)
    probabilities = np.exp(Scorer(tiny.vocabulary, 0).read(logits, constraint).constrained)
    sampler = Sampler(SamplingParams(temperature=1.0, seed=1))
    counts = Counter(sampler.pick(logits.copy(), constraint) for _ in range(3000))
    assert len(counts) > 1
    for token in np.flatnonzero(probabilities):
        assert counts[int(token)] / 3000 == pytest.approx(probabilities[token], abs=0.03)


@pytest.mark.parametrize(
    "sampling",
    [
        {},
        {"temperature": 1.0, "seed": 4},
        {"temperature": 0.8, "seed": 4, "top_p": 0.9, "top_k": 20, "presence_penalty": 1.0},
        {"temperature": 1.0, "seed": 4, "logit_bias": ((40, 5.0),)},
    ],
)
@pytest.mark.parametrize("schema", [None, COLOURS])
def test_asking_changes_no_token(tiny, sampling, schema):
    plain = steps_of(tiny, schema=schema, **sampling)
    asked = steps_of(tiny, schema=schema, top=3, **sampling)
    assert [(step.tokens, step.sampled, step.finish_reason) for step in asked] == [
        (step.tokens, step.sampled, step.finish_reason) for step in plain
    ]
    assert all(step.logprobs == [] for step in plain)


@pytest.mark.parametrize("max_tokens", [6, 12, 60])
def test_every_token_is_described_in_order_whatever_brought_it(tiny, max_tokens):
    steps = steps_of(tiny, schema=COLOURS, top=1, max_tokens=max_tokens, temperature=1.0, seed=0)
    for step in steps:
        assert [value.token for value in step.logprobs] == step.tokens
        for value in step.logprobs[step.sampled :]:
            assert (value.raw, value.top_raw, value.top_constrained) == (None, (), ())
    values = [value for step in steps for value in step.logprobs]
    json.loads(b"".join(bytes(value.data) for value in values))


def test_what_the_grammar_forces_is_certain_and_was_not_asked_of_the_model(tiny):
    first = steps_of(tiny, schema=COLOURS, top=2)[0]
    assert tiny.vocabulary.bytes_of(first.tokens) == b'{"colour":"'
    assert {(value.constrained, value.raw) for value in first.logprobs} == {(0.0, None)}


def test_what_the_budget_puts_in_was_neither_forced_nor_likely(tiny):
    steps = steps_of(tiny, schema=COLOURS, top=0, max_tokens=12, temperature=1.0, seed=0)
    assert steps[-1].finish_reason is FinishReason.LENGTH
    assert steps[-1].logprobs[-1].constrained is None
    assert all(value.constrained is not None for step in steps[:-1] for value in step.logprobs)


def test_what_ends_a_string_that_repeats_itself_was_put_in(tiny):
    """A bias makes it repeat one letter."""
    text = {"type": "string", "minLength": 5, "maxLength": 90}
    schema = {"type": "object", "properties": {"t": text}, "required": ["t"], "additionalProperties": False}
    (token,) = tiny.vocabulary.encode("a")
    steps = steps_of(tiny, schema=schema, top=0, logit_bias=((token, 1000.0),))
    ended = steps[-1]
    assert ended.finish_reason is FinishReason.STOP
    assert tiny.vocabulary.bytes_of(ended.tokens) == b'a"}'
    assert ended.logprobs[0].raw is not None
    assert [value.raw for value in ended.logprobs[1:]] == [None] * (len(ended.tokens) - 1)
    assert ended.logprobs[1].constrained is None


class Letters:
    """A vocabulary of single letters."""

    def bytes_of(self, tokens):
        return bytes(97 + token for token in tokens)


def test_of_equally_likely_tokens_the_lower_id_comes_first():
    scorer = Scorer(Letters(), 3)
    value = scorer.sampled(4, scorer.read(np.array([1, 2, 1, 2, 2, 2], dtype=np.float32), None))
    assert [candidate.token for candidate in value.top_raw] == [1, 3, 4]
    assert [bytes(candidate.data) for candidate in value.top_raw] == [b"b", b"d", b"e"]


def test_a_vocabulary_may_have_fewer_tokens_than_are_asked_for():
    scorer = Scorer(Letters(), 20)
    value = scorer.sampled(1, scorer.read(np.array([0, 1], dtype=np.float32), None))
    assert [candidate.token for candidate in value.top_raw] == [1, 0]


@pytest.mark.parametrize("top", [-1, 21])
def test_too_many_and_too_few_are_refused(top):
    with pytest.raises(UsageError, match=rf"`top_logprobs` must be between 0 and 20, not `{top}`"):
        Scorer(Letters(), top)
