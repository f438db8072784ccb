"""No object gets the same name twice, whatever the model would write, and whatever names the schema allows."""

from __future__ import annotations

import json

import numpy as np
import pytest

from olpipe.decoding.closing import shortest_ending
from olpipe.decoding.names import Names
from olpipe.guidance.validate import validate


def pairs(text):
    """Return a document with its objects as lists of pairs: so a name that stands twice is seen."""
    found = []

    def note(pairs):
        found.append([name for name, _ in pairs])
        return dict(pairs)

    json.loads(text, object_pairs_hook=note)
    return found


COUNTS = {"type": "object", "additionalProperties": {"type": "integer", "minimum": 0, "maximum": 9}, "minProperties": 4}
MAPS = {
    "a map of counts": COUNTS,
    "a map of maps": {"type": "object", "additionalProperties": COUNTS, "minProperties": 2, "maxProperties": 3},
    "names by a pattern": {"type": "object", "patternProperties": {"^[a-z]{1,3}$": {"const": 1}}, "minProperties": 5},
    "as many names as there are": {
        "patternProperties": {"^[abc]$": {"const": 1}},
        "minProperties": 3,
        "type": "object",
    },
    "long names that differ at their ends": {
        "type": "object",
        "propertyNames": {"pattern": "^item_(one|two|three)$"},
        "additionalProperties": {"const": 1},
        "minProperties": 3,
    },
    "names that begin alike": {"patternProperties": {"^a(aa)?b?$": {"const": 1}}, "minProperties": 4, "type": "object"},
    "given names, and further ones": {
        "type": "object",
        "properties": {"a": {"const": 1}, "1": {"const": 1}},
        "additionalProperties": {"const": 1},
        "minProperties": 5,
    },
    "names with escapes": {"patternProperties": {'^["/\\\\]$': {"const": 1}}, "minProperties": 3, "type": "object"},
    "names beyond ASCII": {"patternProperties": {"^[猫犬é]$": {"const": 1}}, "minProperties": 3, "type": "object"},
}


@pytest.mark.examples(9)
@pytest.mark.parametrize("budget", [8, 40, 200])
@pytest.mark.parametrize("schema", MAPS.values(), ids=MAPS)
def test_names_that_the_model_makes_up_are_different(tiny, schema, budget):
    for seed in range(4):
        decoded = tiny.decode(tiny.constraint(schema), temperature=seed / 2, seed=seed, max_tokens=budget)
        validate(json.dumps(schema), decoded.text)
        for names in pairs(decoded.text):
            assert len(set(names)) == len(names)


class Stubborn:
    """Logits of a model that wants to write the same text again and again."""

    def __init__(self, vocabulary, text):
        self.capacity = 400
        self._tokens, self._size, self._at = vocabulary.encode(text), vocabulary.size, 0

    def prefill(self, tokens, reused):
        return self._logits()

    def decode(self, tokens):
        self._at += 1
        return self._logits()

    def _logits(self):
        logits = np.zeros(self._size, dtype=np.float32)
        logits[self._tokens[self._at % len(self._tokens)]] = 9
        return logits


def test_a_model_that_wants_the_same_name_again_gets_another_one(tiny):
    sequence = Stubborn(tiny.vocabulary, 'Cat":1,"')
    text = tiny.decode(tiny.constraint(COUNTS), sequence=sequence, temperature=0.0, max_tokens=120).text
    (names,) = pairs(text)
    assert len(set(names)) == len(names) >= 4


def test_the_shortest_ending_has_different_names(tiny):
    tokens = shortest_ending(tiny.constraint(COUNTS), tiny.vocabulary)
    (names,) = pairs(tiny.vocabulary.bytes_of(tokens))
    assert len(set(names)) == len(names) == 4


def test_any_json_has_different_names(tiny):
    for seed in range(6):
        text = tiny.decode(tiny.constraint({"type": "object"}), temperature=1.5, seed=seed, max_tokens=200).text
        assert all(len(set(names)) == len(names) for names in pairs(text))


@pytest.mark.parametrize(
    ("text", "repeated"),
    [
        ('{"a":1,"b":1', False),
        ('{"a":1,"a"', True),
        ('{"a":{"a":["a","a",{"a":1}]},"b":"a"', False),
        ('{"a":[{"a":1}],"a"', True),
        ('[{"a":1},{"a":1}]', False),
        ('{"a\\"":1,"a":",\\"a\\"","b"', False),
        ('{"\\n":1,"\\u000a"', True),
        ('{"\xc3\xa9":1,"\xc3\xa9"', True),
    ],
)
def test_a_name_counts_in_its_own_object_only(text, repeated):
    names = Names()
    for character in text:
        names.advance(character)
    assert names.repeated is repeated
