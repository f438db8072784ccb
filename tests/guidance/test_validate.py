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
        ('{"tags":[1,1]}', r"does not fit the schema at `\$\.tags`: \[1, 1\] has non-unique elements"),
    ],
)
def test_a_document_that_does_not_fit_is_refused_with_its_place(text, message):
    with pytest.raises(InvalidOutput, match=message):
        validate(SCHEMA, text)
