from __future__ import annotations

import pytest

from olpipe.errors import InvalidOutput
from olpipe.guidance.validate import validate

SCHEMA = '{"type":"object","properties":{"tags":{"type":"array","uniqueItems":true}},"required":["tags"]}'


def test_a_document_that_fits_is_returned():
    assert validate(SCHEMA, '{"tags":["狗"]}') == {"tags": ["狗"]}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"tags":[', "the answer is not JSON"),
        ("{}", r"does not fit the schema at `\$`: 'tags' is a required property"),
        ('{"tags":1}', r"does not fit the schema at `\$\.tags`: 1 is not of type 'array'"),
    ],
)
def test_a_document_that_does_not_fit_is_refused_with_its_place(text, message):
    with pytest.raises(InvalidOutput, match=message):
        validate(SCHEMA, text)


def test_formats_are_judged():
    schema = '{"properties":{"day":{"type":"string","format":"date"}}}'
    assert validate(schema, '{"day":"2024-02-29"}') == {"day": "2024-02-29"}
    with pytest.raises(InvalidOutput, match=r"at `\$\.day`: '2023-02-31' is not a 'date'"):
        validate(schema, '{"day":"2023-02-31"}')


def test_steps_are_judged_as_they_are_written():
    assert validate('{"multipleOf":0.01}', "0.07") == 0.07
    with pytest.raises(InvalidOutput, match=r"0\.075 is not a multiple of 0\.01"):
        validate('{"multipleOf":0.01}', "0.075")


def test_an_expression_that_repeats_in_repeats_is_judged_in_an_instant():
    schema = '{"type":"string","pattern":"^(a+)+$"}'
    assert validate(schema, '"' + "a" * 1000 + '"') == "a" * 1000
    with pytest.raises(InvalidOutput, match="does not match"):
        validate(schema, '"' + "a" * 1000 + '!"')


@pytest.mark.parametrize(
    ("values", "text", "told"),
    [
        ('["cat", 1]', '"Cat"', r"'Cat' is not one of \['cat', 1\]$"),
        ('["cat", 1]', "true", r"True is not one of \['cat', 1\]$"),
        (str([f"t{number}" for number in range(60)]).replace("'", '"'), '"x"', r"'t49'\] and 10 more$"),
    ],
)
def test_a_value_that_an_enum_does_not_list_is_refused_with_those_that_it_lists(values, text, told):
    assert validate(f'{{"enum":{values}}}', '"cat"' if "cat" in values else '"t59"')
    with pytest.raises(InvalidOutput, match=told):
        validate(f'{{"enum":{values}}}', text)
