from __future__ import annotations

import json

import numpy as np

from olpipe.decoding.drafts import DraftedForwards, LookupDrafter
from olpipe.decoding.logits_model import ModelLimits
from olpipe.decoding.loop import decode
from olpipe.decoding.sampler import Sampler
from olpipe.generation import SamplingParams

TEXT = {"type": "string", "minLength": 30, "maxLength": 60}
SCHEMA = {
    "type": "object",
    "properties": {"title": TEXT, "description": TEXT, "alt": TEXT},
    "required": ["title", "description", "alt"],
    "additionalProperties": False,
}


class Counting:
    """A model whose next token depends on the last one only; keeps what it was asked."""

    def __init__(self, following, size, *, lookback):
        self._following, self._size = following, size
        self.limits = ModelLimits(max_length=1000, can_rewind=True, lookback=lookback)
        self.tokens, self.appended, self.rewound = [], [], []

    def append(self, tokens):
        self.appended.append(list(tokens))
        self.tokens += tokens

    def logits(self, back=0):
        logits = np.zeros(self._size, dtype=np.float32)
        logits[self._following.get(self.tokens[-1 - back], 0)] = 1
        return logits

    def rewind(self, length):
        self.rewound.append(length)
        del self.tokens[length:]


class Anything:
    """Allows every token but some."""

    def __init__(self, *refused):
        self._refused = refused

    def allows(self, token):
        return token not in self._refused


def test_what_followed_two_tokens_before_is_the_guess():
    drafter = LookupDrafter()
    assert drafter.guess() is None
    drafter.extend([1, 2, 3, 4, 1])
    assert drafter.guess() is None
    drafter.extend([2])
    assert drafter.guess() == 3
    drafter.extend([9, 1, 2])
    assert drafter.guess() == 9


def test_a_guess_that_is_right_saves_a_forward():
    model = Counting({2: 3, 3: 1, 1: 2}, 8, lookback=1)
    forwards = DraftedForwards(model, Anything())
    assert forwards.advance([1, 2, 3, 1, 2]).argmax() == 3
    assert forwards.advance([3]).argmax() == 1
    assert forwards.advance([1]).argmax() == 2
    assert model.appended == [[1, 2, 3, 1, 2, 3], [1, 2]]
    assert model.rewound == []


def test_a_guess_that_is_wrong_is_taken_back():
    model = Counting({2: 5, 5: 6}, 8, lookback=1)
    forwards = DraftedForwards(model, Anything())
    assert forwards.advance([1, 2, 3, 1, 2]).argmax() == 5
    assert forwards.advance([5]).argmax() == 6
    assert model.rewound == [5]
    assert model.tokens == [1, 2, 3, 1, 2, 5]


def test_what_the_grammar_forces_behind_a_right_guess_is_run_after_it():
    model = Counting({2: 3, 7: 6}, 8, lookback=1)
    forwards = DraftedForwards(model, Anything())
    forwards.advance([1, 2, 3, 1, 2])
    assert forwards.advance([3, 4, 7]).argmax() == 6
    assert model.tokens == [1, 2, 3, 1, 2, 3, 4, 7]
    assert model.rewound == []


def test_what_the_grammar_refuses_is_not_guessed():
    model = Counting({}, 8, lookback=1)
    DraftedForwards(model, Anything(3)).advance([1, 2, 3, 1, 2])
    assert model.appended == [[1, 2, 3, 1, 2]]


def test_a_model_that_cannot_look_back_gets_no_guesses():
    model = Counting({}, 8, lookback=0)
    DraftedForwards(model, Anything()).advance([1, 2, 3, 1, 2])
    assert model.appended == [[1, 2, 3, 1, 2]]


def test_drafts_change_the_forwards_and_not_the_document(tiny):
    class Counted:
        def __init__(self, lookback):
            self._model = tiny.sequence(lookback=lookback)
            self.limits, self.forwards = self._model.limits, 0
            self.logits, self.rewind = self._model.logits, self._model.rewind

        def append(self, tokens):
            self.forwards += 1
            self._model.append(tokens)

    def run(model):
        runs = decode(
            model,
            tiny.vocabulary.encode("photo"),
            vocabulary=tiny.vocabulary,
            sampler=Sampler(SamplingParams()),
            max_tokens=300,
            constraint=tiny.constraint(SCHEMA),
        )
        return b"".join(tiny.vocabulary.bytes_of(run.tokens) for run in runs)

    plain, drafted = Counted(0), Counted(1)
    document = run(plain)
    assert list(json.loads(document)) == ["title", "description", "alt"]
    assert run(drafted) == document
    assert drafted.forwards < plain.forwards
