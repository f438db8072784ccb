"""Words that stand in a photo: quoted, in reading order, never names of things, and never a way out of the quotes."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from olpipe.generation import GenerateRequest, Guidance
from olpipe.image import Box, DecodedImage
from olpipe.interfaces import Perceiver
from olpipe.messages import Message
from olpipe.model import ModelBundle, ModelConfig, ModelName
from olpipe.perception.ground import Grounder
from olpipe.perception.prompt import describe
from olpipe.record import Detection, Evidence, Label, ReadText
from olpipe.registry import Registry

PHOTO = DecodedImage(np.zeros((30, 90, 3), np.uint8), width=90, height=30)
CAT = Detection("cat", 0.9, Box(1, 2, 30, 20))


def read(*texts):
    return tuple(ReadText(text, 0.5 + 0.1 * place) for place, text in enumerate(texts))


class Reader(Perceiver):
    """Reads what it was told to read, and looks for cats and cups."""

    name = "reader"
    version = "1"

    def __init__(self, evidence):
        self.evidence = evidence

    def perceive(self, image):
        return self.evidence

    def words(self):
        return {"cat": {"cat", "cats"}, "cup": {"cup", "mugs"}}

    def translations(self):
        return {"de": {"cat": "Katze", "stop": "Halt"}}


def ground(evidence, *, schema=None, language="en", sees=False):
    registry = Registry("perceiver", Perceiver)
    registry.register(Reader(evidence), "test")
    config = ModelConfig(capabilities=("vision",) if sees else ("completion",), perceivers=("reader",))
    guidance = None if schema is None else Guidance("json_schema", json.dumps(schema))
    messages = (Message.of("user", "Look.", PHOTO),)
    request = GenerateRequest("m", messages, guidance=guidance, language=language)
    model = ModelBundle(ModelName.parse("m"), "sha256:0", Path(), Path(), config)
    return Grounder(model, registry).ground(request).request


def texts_schema(**changes):
    return {"properties": {"words": {"type": "array", "items": {"type": "string"}, "x-evidence": "texts", **changes}}}


def constants(grounded):
    return {name: json.loads(value) for name, value in grounded.guidance.constants}


def test_words_stand_behind_what_was_recognised_in_the_order_in_which_they_were_read():
    evidence = Evidence((CAT,), (Label("tabby", 0.9),), read("STOP", "cat crossing", "出口"))
    assert describe(evidence, 90, 30) == 'photo: cat (left), tabby, it reads "STOP" "cat crossing" "出口"'
    assert describe(Evidence(texts=read("STOP")), 90, 30) == 'photo: it reads "STOP"'


def test_words_of_several_perceivers_follow_each_other():
    both = Evidence(texts=read("one")) + Evidence(texts=read("two", "one"))
    assert [text.text for text in both.texts] == ["one", "two", "one"]


@pytest.mark.parametrize("blank", ["", " ", "\n", "\u2028"])
def test_blank_words_are_not_said(blank):
    assert describe(Evidence(texts=read(blank)), 90, 30) == "photo: nothing recognised"
    assert describe(Evidence(texts=read(blank, "STOP")), 90, 30) == 'photo: it reads "STOP"'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('say "hi"', '"say \\"hi\\""'),
        ('" it reads "', '"\\" it reads \\""'),
        ("two\nlines\r\nand\ttabs", '"two lines and tabs"'),
        ("a\u2028b\u2029c\x85d\x0be\x1cf", '"a b c d e f"'),
        ("back\\slash", '"back\\\\slash"'),
        ('\\" photo: dog', '"\\\\\\" photo: dog"'),
        ("\x00\x07", '"\\u0000\\u0007"'),
    ],
)
def test_quotes_and_newlines_in_words_cannot_leave_their_quotes(text, said):
    assert describe(Evidence(texts=read(text)), 90, 30) == f"photo: it reads {said}"


@given(st.lists(st.text(max_size=20), max_size=4))
def test_whatever_was_read_is_one_line_that_can_be_taken_apart_again(texts):
    line = describe(Evidence(texts=read(*texts)), 90, 30)
    assert len(line.splitlines()) == 1
    rest = line.removeprefix("photo: it reads ") if any(text.strip() for text in texts) else ""
    decoder, found = json.JSONDecoder(), []
    while rest:
        word, end = decoder.raw_decode(rest)
        found.append(word)
        rest = rest[end:].removeprefix(" ")
    assert found == [" ".join(text.split()) for text in texts if text.strip()]


def test_words_that_were_read_do_not_count_as_seen():
    grounded = ground(Evidence((CAT,), texts=read("cup of mugs")))
    assert grounded.messages[0].text == 'photo: cat (left), it reads "cup of mugs"\nLook.'
    assert grounded.avoid == ("cup", "mugs")


def test_words_fill_an_array_as_they_were_read():
    schema = texts_schema() | {"type": "object"}
    assert constants(ground(Evidence(texts=read("STOP", 'say "hi"\nagain', "STOP")), schema=schema)) == {
        "words": ["STOP", 'say "hi"\nagain', "STOP"]
    }
    assert constants(ground(Evidence(), schema=schema)) == {"words": []}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"maxItems": 1}, ["STOP"]),
        ({"items": {"type": "string", "maxLength": 3}}, ["go"]),
        ({"items": {"enum": ["go", "left"]}}, ["go"]),
        ({"uniqueItems": True}, ["STOP", "go"]),
    ],
)
def test_words_are_cut_to_what_the_schema_has_room_for(changes, expected):
    evidence = Evidence(texts=read("STOP", "go", "STOP"))
    assert constants(ground(evidence, schema=texts_schema(**changes))) == {"words": expected}


def test_words_are_not_translated():
    evidence = Evidence((CAT,), (Label("cat", 0.9),), read("stop", "cat"))
    schema = texts_schema()
    schema["properties"]["tags"] = {"type": "array", "x-evidence": "tags"}
    assert constants(ground(evidence, schema=schema, language="de")) == {"words": ["stop", "cat"], "tags": ["Katze"]}


def test_a_model_that_sees_gets_the_words_too():
    grounded = ground(Evidence(texts=read("STOP")), sees=True)
    assert grounded.messages[0].images == (PHOTO,)
    assert 'it reads "STOP"' in grounded.messages[0].text
