"""What the expressions of formats produce, judged by jsonschema's own checkers."""

from __future__ import annotations

import json
from random import Random

import jsonschema
import llguidance
import pytest

from olpipe.generation import Guidance
from olpipe.guidance.formats import FORMATS
from olpipe.guidance.grammar import Grammars

CHECKER = jsonschema.Draft202012Validator.FORMAT_CHECKER


@pytest.fixture(scope="module")
def grammars():
    return Grammars(llguidance.LLTokenizer("byte"))


def walk(matcher, random):
    """Take random bytes that the grammar allows, until the document may end."""
    data = bytearray()
    while not matcher.is_stopped():
        mask = matcher.compute_bitmask()
        allowed = [byte for byte in range(256) if mask[byte >> 3] >> (byte & 7) & 1]
        ends = [byte for byte in allowed if byte == ord('"')]
        byte = random.choice(ends if ends and random.random() < 0.3 else allowed)
        matcher.consume_token(byte)
        data.append(byte)
    return json.loads(data)


@pytest.mark.parametrize("name", FORMATS)
def test_every_text_of_a_format_passes_its_checker(grammars, name):
    assert name in CHECKER.checkers
    schema = {"type": "string", "format": name}
    for seed in range(40):
        text = walk(grammars.matcher(Guidance("json_schema", json.dumps(schema))), Random(seed))
        CHECKER.check(text, name)


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("date", "2024-02-29", True),
        ("date", "2023-02-29", False),
        ("date", "2023-02-31", False),
        ("date", "0000-01-01", False),
        ("date", "1900-02-29", False),
        ("date", "2000-02-29", True),
        ("time", "23:59:60Z", False),
        ("time", "23:59:59+02:00", True),
        ("date-time", "2024-04-31T00:00:00Z", False),
        ("duration", "P1Y2D", False),
        ("duration", "P1Y2M3DT4H5M6S", True),
        ("ipv4", "256.0.0.1", False),
        ("uuid", "123e4567-e89b-42d3-a456-426614174000", True),
        ("no-such-format", "anything", True),
    ],
)
def test_texts_that_are_grammatical_but_wrong_are_not_generated(grammars, name, text, expected):
    guidance = Guidance("json_schema", json.dumps({"type": "string", "format": name}))
    matcher = grammars.matcher(guidance)
    data = list(json.dumps(text).encode())
    assert (matcher.try_consume_tokens(data) == len(data) and matcher.is_accepting()) is expected
