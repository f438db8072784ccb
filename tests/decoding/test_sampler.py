from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest

from olpipe.decoding.sampler import Sampler
from olpipe.generation import SamplingParams

DRAWS = 6000


class Only:
    """A constraint that allows some tokens, and counts how often its mask was asked for."""

    def __init__(self, size, allowed, *, in_string=True, structure=()):
        self.in_string, self._structure = in_string, structure
        self._bias = np.full(size, -np.inf, dtype=np.float32)
        self._bias[list(allowed)] = 0
        self.masks = 0

    def allows(self, token):
        return self._bias[token] == 0

    def is_content(self, token):
        return self.in_string and token not in self._structure

    def bias(self):
        self.masks += 1
        return self._bias


def naive(logits, *, temperature, top_k=0, typical_p=1.0, top_p=1.0, min_p=0.0, allowed=None):
    """Return the target distribution: mask, temperature, top-k, typical, top-p, min-p."""
    logits = np.array(logits, dtype=np.float64)
    if allowed is not None:
        logits[[token for token in range(len(logits)) if token not in allowed]] = -np.inf
    order = sorted(range(len(logits)), key=lambda token: -logits[token])
    if top_k:
        logits[order[top_k:]] = -np.inf
    probabilities = np.exp(logits / temperature)
    probabilities /= probabilities.sum()
    entropy = -sum(p * math.log(p) for p in probabilities if p > 0)
    by_surprise = sorted(
        (token for token in order if probabilities[token] > 0),
        key=lambda token: abs(-math.log(probabilities[token]) - entropy),
    )
    for ranking, share in ((by_surprise, typical_p), (order, top_p)):
        mass = 0.0
        for token in ranking:
            if share < 1 and mass >= share * probabilities.sum():
                probabilities[token] = 0
                continue
            mass += probabilities[token]
        probabilities /= probabilities.sum()
    probabilities[probabilities < min_p * probabilities.max()] = 0
    return probabilities / probabilities.sum()


def frequencies(logits, params, constraint=None):
    sampler = Sampler(params)
    counts = Counter(sampler.pick(np.array(logits, dtype=np.float32), constraint) for _ in range(DRAWS))
    return np.array([counts[token] / DRAWS for token in range(len(logits))])


LOGITS = [2.0, 1.5, 1.0, 0.5, 0.0, -1.0]


@pytest.mark.examples(5)
@pytest.mark.parametrize(
    "options",
    [
        {"temperature": 1.0},
        {"temperature": 0.6},
        {"temperature": 1.5, "top_k": 3},
        {"temperature": 1.0, "top_p": 0.7},
        {"temperature": 0.8, "top_k": 4, "top_p": 0.8},
        {"temperature": 1.0, "top_k": 99},
        {"temperature": 1.0, "min_p": 0.3},
        {"temperature": 1.0, "typical_p": 0.6},
        {"temperature": 0.9, "top_k": 5, "typical_p": 0.9, "top_p": 0.9, "min_p": 0.1},
    ],
)
@pytest.mark.parametrize("allowed", [None, {1, 3, 5}])
def test_draws_follow_the_masked_then_truncated_distribution(options, allowed):
    constraint = None if allowed is None else Only(len(LOGITS), allowed)
    found = frequencies(LOGITS, SamplingParams(seed=3, **options), constraint)
    np.testing.assert_allclose(found, naive(LOGITS, allowed=allowed, **options), atol=0.025)


def test_greedy_takes_the_best_legal_token_and_masks_only_when_it_must():
    constraint = Only(6, {2, 4})
    assert Sampler(SamplingParams()).pick(np.array(LOGITS, dtype=np.float32), constraint) == 2
    assert constraint.masks == 1
    legal = Only(6, {0, 4})
    assert Sampler(SamplingParams()).pick(np.array(LOGITS, dtype=np.float32), legal) == 0
    assert legal.masks == 0


def test_a_single_legal_token_survives_every_truncation():
    params = SamplingParams(temperature=1.0, top_k=1, top_p=0.01, seed=0)
    assert Sampler(params).pick(np.array(LOGITS, dtype=np.float32), Only(6, {5})) == 5


@pytest.mark.parametrize("name", ["top_p", "typical_p"])
def test_a_share_of_nothing_keeps_one_token(name):
    params = SamplingParams(temperature=1.0, seed=0, **{name: 0.0})
    assert len({Sampler(params).pick(np.array(LOGITS, dtype=np.float32), None) for _ in range(20)}) == 1


def test_seeds_repeat():
    params = SamplingParams(temperature=1.0, seed=11)
    assert (frequencies(LOGITS, params) == frequencies(LOGITS, params)).all()


def picks(params, logits, count, constraint=None):
    sampler = Sampler(params)
    return [sampler.pick(np.array(logits, dtype=np.float32), constraint) for _ in range(count)]


def test_presence_and_frequency_are_taken_off_what_was_picked():
    assert picks(SamplingParams(presence_penalty=0.75), LOGITS, 4) == [0, 1, 0, 0]
    assert picks(SamplingParams(frequency_penalty=0.4), LOGITS, 5) == [0, 0, 1, 0, 1]


def test_repetition_divides_positive_logits_and_multiplies_negative_ones():
    assert picks(SamplingParams(repeat_penalty=2.0), [3.0, 2.0, -9.0], 3) == [0, 1, 0]
    assert picks(SamplingParams(repeat_penalty=2.0), [-1.0, -1.5, -9.0], 2) == [0, 1]


def test_what_lies_before_the_window_is_forgotten():
    params = SamplingParams(presence_penalty=9.0, penalty_window=1)
    assert picks(params, LOGITS, 4) == [0, 1, 0, 1]
    assert picks(SamplingParams(presence_penalty=9.0, penalty_window=0), LOGITS, 3) == [0, 0, 0]


def test_structure_is_never_penalised():
    params = SamplingParams(presence_penalty=9.0)
    assert picks(params, LOGITS, 3, Only(6, range(6), structure={0})) == [0, 0, 0]
    assert picks(params, LOGITS, 3, Only(6, range(6), in_string=False)) == [0, 0, 0]


def test_a_bias_moves_a_token_and_an_unknown_token_is_no_matter():
    assert picks(SamplingParams(logit_bias=((5, 100.0), (99, 1.0))), LOGITS, 1) == [5]
    assert picks(SamplingParams(logit_bias=((0, -100.0),)), LOGITS, 1) == [1]
    assert picks(SamplingParams(logit_bias=((5, 100.0),)), LOGITS, 1, Only(6, {2, 3})) == [2]
