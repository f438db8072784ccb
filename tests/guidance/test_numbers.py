from __future__ import annotations

import json
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from olpipe.errors import SchemaError
from olpipe.guidance.judge import judge
from olpipe.guidance.numbers import number_scalars


def wires(*schemas, integer=False, excluded=()):
    return [dict(scalar.wire) for scalar in number_scalars(schemas, integer=integer, excluded=excluded)]


@pytest.mark.parametrize(
    ("schema", "integer", "expected"),
    [
        ({"minimum": 0.5, "exclusiveMaximum": 3}, True, [{"type": "integer", "minimum": 1, "maximum": 2}]),
        ({"minimum": 2, "maximum": 1}, True, []),
        ({"exclusiveMinimum": 1, "exclusiveMaximum": 2}, True, []),
        ({"minimum": 7, "maximum": 7}, False, [{"enum": [7]}]),
        ({}, True, [{"type": "integer", "minimum": -(2**53 - 1), "maximum": 2**53 - 1}]),
        ({"minimum": 1e300}, False, []),
        (
            {"multipleOf": 0.25, "exclusiveMinimum": 0, "maximum": 9},
            False,
            [{"type": "number", "minimum": 0.25, "maximum": 9, "multipleOf": 0.25}],
        ),
        (
            {"minimum": 0, "maximum": 1e-9, "multipleOf": 1e-9},
            False,
            [{"type": "number", "minimum": 0, "maximum": 1e-9, "multipleOf": 1e-9}],
        ),
    ],
)
def test_bounds_become_the_first_and_the_last_number(schema, integer, expected):
    assert wires(schema, integer=integer) == expected


def test_steps_combine_and_excluded_numbers_split_the_range():
    assert wires(
        {"multipleOf": 4, "minimum": 0}, {"multipleOf": 6, "maximum": 36}, integer=True, excluded=(12, "12")
    ) == [
        {"enum": [0]},
        {"type": "integer", "minimum": 24, "maximum": 36, "multipleOf": 12},
    ]


def test_steps_that_the_grammar_engine_cannot_count_in_are_refused_or_written_out():
    with pytest.raises(SchemaError, match="too many numbers are multiples of `123456789`"):
        wires({"multipleOf": 123456789}, integer=True)
    assert wires({"multipleOf": 123456789, "minimum": 0, "maximum": 300_000_000}, integer=True) == [
        {"enum": [0, 123456789, 246913578]}
    ]


bounds = st.one_of(st.integers(-50, 50), st.decimals(-50, 50, places=2).map(float))


@given(
    schema=st.fixed_dictionaries(
        {},
        optional={
            "minimum": bounds,
            "maximum": bounds,
            "exclusiveMinimum": bounds,
            "exclusiveMaximum": bounds,
            "multipleOf": st.sampled_from([1, 3, 0.5, 0.25, 0.01, 0.07]),
        },
    ),
    integer=st.booleans(),
    number=st.decimals(-60, 60, places=2),
)
def test_the_ranges_hold_what_the_schema_does(schema, integer, number):
    given_ = judge(schema | {"type": "integer" if integer else "number"})
    held = judge({"anyOf": wires(schema, integer=integer) or [False]})
    value = json.loads(str(Fraction(number).numerator if Fraction(number).denominator == 1 else float(number)))
    assert held.is_valid(value) == given_.is_valid(value)
