from __future__ import annotations

import json

import numpy as np

from olpipe.decoding.repetition import Repetition
from olpipe.generation import FinishReason


def looping_at(tokens, string=0):
    watch = Repetition()
    return next((place for place, token in enumerate(tokens) if watch.loops(token, string)), None)


def test_a_phrase_three_times_in_a_row_is_a_loop():
    assert looping_at([1, 2, 3, 4, 5, 6] * 3) == 17


def test_a_short_period_needs_twelve_tokens():
    assert looping_at([7] * 11) is None
    assert looping_at([7] * 12) == 11
    assert looping_at([1, 2] * 6) == 11


def test_twice_the_same_and_something_else_is_no_loop():
    assert looping_at([1, 2, 3, 4, 5, 6] * 2 + [9] + [1, 2, 3, 4, 5, 6]) is None


def test_strings_are_watched_apart():
    watch = Repetition()
    assert not any(watch.loops(7, string) for string in range(40))


def test_a_string_that_loops_is_closed_and_the_document_goes_on(tiny):
    word = tiny.vocabulary.encode(" the")[0]

    class Stuck:
        """Wants the same word for ever."""

        capacity = 1024

        def prefill(self, prompt, start):
            return self.decode(prompt.tokens)

        def decode(self, tokens):
            logits = np.zeros(tiny.vocabulary.size, dtype=np.float32)
            logits[word] = 9
            return logits

    schema = {
        "type": "object",
        "properties": {"title": {"type": "string"}, "alt": {"type": "string"}},
        "required": ["title", "alt"],
        "additionalProperties": False,
    }
    answer = tiny.decode(tiny.constraint(schema), sequence=Stuck(), max_tokens=400)
    document = json.loads(answer.text)
    assert document["title"].count(" the") == document["alt"].count(" the") == 12
    assert answer.last.finish_reason is FinishReason.STOP
