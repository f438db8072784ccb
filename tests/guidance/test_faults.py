"""What people are told about a document that a schema refuses: one plain line for each fault, and where it lies."""

import json

import pytest

from olpipe.guidance.faults import Fault, faults

TEXT = {"type": "string"}


@pytest.mark.parametrize(
    ("schema", "value", "path", "reason"),
    [
        ({"type": "string", "maxLength": 3}, "abcd", (), "it has 4 characters, more than 3"),
        ({"type": "string", "minLength": 2}, "a", (), "it has 1 character, fewer than 2"),
        ({"type": "string", "minLength": 1}, "", (), "it must not be empty"),
        ({"type": "string", "pattern": "[.]$"}, "no end", (), "“no end” does not match the pattern [.]$"),
        ({"type": "string", "format": "date"}, "soon", (), "“soon” is not of the format date"),
        ({"type": ["string", "null"]}, 3, (), "3 is not a text or null"),
        ({"type": "integer"}, "12a", (), "“12a” is not a whole number"),
        ({"type": "integer", "maximum": 9}, 10, (), "10 is more than 9"),
        ({"type": "number", "exclusiveMinimum": 0}, 0, (), "0 is not more than 0"),
        ({"anyOf": [{"enum": ["new", "used"]}, {"type": "null"}]}, "old", (), "“old” is none of: “new”, “used”"),
        ({"enum": list(range(20))}, 99, (), "99 is none of: 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11 and 8 more"),
        ({"type": "array", "maxItems": 1}, [1, 2], (), "it has 2 items, more than 1"),
        ({"type": "array", "uniqueItems": True}, [1, 1], (), "two items are the same"),
        ({"items": {"properties": {"name": {"maxLength": 1}}}}, [{}, {"name": "ab"}], (1, "name"),
         "it has 2 characters, more than 1"),
        ({"required": ["a", "b"]}, {"a": 1}, ("b",), "it must not be left out"),
        ({"properties": {"a": {}}, "additionalProperties": False}, {"z": 1}, ("z",), "the schema has no such key"),
        ({"anyOf": [{"type": "object", "properties": {"a": TEXT}}, {"type": "null"}]}, {"a": 1}, ("a",),
         "1 is not a text"),
    ],
)  # fmt: skip
def test_a_fault_is_told_in_plain_words(schema, value, path, reason):
    assert faults(json.dumps(schema), value) == [Fault(path, reason)]


def test_what_fits_has_no_faults():
    assert faults(json.dumps({"type": ["string", "null"], "maxLength": 3}), "abc") == []


def test_long_values_are_shortened():
    (fault,) = faults(json.dumps({"type": "integer"}), "x" * 500)
    assert fault.reason == f"“{'x' * 60}…” is not a whole number"
