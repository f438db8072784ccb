"""Evidence at the place of a prompt where a recipe wants it."""

import pytest

from olpipe.messages import Message
from olpipe.perception.ground import EVIDENCE
from tests.perception.test_ground import PHOTO, bundle, ground, perceivers, request

__all__ = ["perceivers"]

ASKED = f"It shows {EVIDENCE}. What is it?"


def texts(asked, model, registry):
    return [message.text for message in ground(asked, model, registry).messages]


@pytest.mark.parametrize("capabilities", [("completion",), ("completion", "vision")])
def test_evidence_stands_in_place_of_its_mark_and_nowhere_else(perceivers, capabilities):
    asked = request(messages=(Message.of("user", ASKED, PHOTO),))
    (line,) = texts(request(PHOTO), bundle("cats"), perceivers)[0].splitlines()[:1]
    (text,) = texts(asked, bundle("cats", capabilities=capabilities), perceivers)
    assert line.startswith("photo: cat")
    assert text == f"It shows {line}. What is it?"


def test_a_mark_before_examples_gets_the_evidence_of_the_photo_that_is_shown_last(perceivers):
    messages = (
        Message.of("user", f"{ASKED} A chair."),
        Message.of("assistant", "Chair."),
        Message.of("user", "", PHOTO),
    )
    first, _, last = texts(request(messages=messages), bundle("cats"), perceivers)
    line = last.strip()
    assert line.startswith("photo: cat")
    assert first == f"It shows {line}. What is it? A chair."


def test_a_mark_gets_what_is_said_where_nothing_was_found(perceivers):
    asked = request(messages=(Message.of("user", ASKED, PHOTO),))
    assert texts(asked, bundle("blind"), perceivers) == ["It shows photo: nothing recognised. What is it?"]
