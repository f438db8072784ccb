from __future__ import annotations

import pytest

from olpipe.errors import InvalidOutput
from olpipe.guidance.judge import judge
from olpipe.guidance.repair import repaired
from olpipe.guidance.validate import validate

UNIQUE = {"type": "array", "uniqueItems": True}


@pytest.mark.parametrize(
    ("schema", "value", "expected"),
    [
        (UNIQUE, ["b", "a", "b"], ["b", "a"]),
        (UNIQUE, [1, 1.0, True, "1"], [1, True, "1"]),
        (UNIQUE, [{"a": 1, "b": 2}, {"b": 2, "a": 1.0}], [{"a": 1, "b": 2}]),
        (UNIQUE | {"items": UNIQUE}, [[1, 2], [1, 2, 1]], [[1, 2]]),
        ({"properties": {"t": {"anyOf": [{"type": "null"}, UNIQUE]}}}, {"t": [1, 1]}, {"t": [1]}),
        ({"properties": {"t": {"$ref": "#/$defs/u"}}, "$defs": {"u": UNIQUE}}, {"t": [1, 1]}, {"t": [1]}),
        (UNIQUE | {"minItems": 2}, [1, 1], [1, 1]),
        ({"type": "array"}, [1, 1], [1, 1]),
    ],
)
def test_what_is_there_twice_goes_where_it_may(schema, value, expected):
    before = str(value)
    assert repaired(value, judge(schema)) == expected
    assert str(value) == before


def test_what_cannot_be_put_right_is_reported():
    with pytest.raises(InvalidOutput, match="has non-unique elements"):
        validate('{"type":"array","uniqueItems":true,"minItems":2}', "[7,7]")
