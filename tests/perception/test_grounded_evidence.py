"""What a grounded request says of its evidence, and what `min_score` leaves out of it."""

import json
from pathlib import Path

import numpy as np
import pytest

from olpipe.generation import GenerateRequest, Guidance
from olpipe.image import Box, DecodedImage
from olpipe.interfaces import Perceiver
from olpipe.messages import Message
from olpipe.model import ModelBundle, ModelConfig, ModelName
from olpipe.perception.ground import Grounder
from olpipe.record import Detection, Evidence, Label, ReadText
from olpipe.registry import Registry

CAT = Evidence(
    (Detection("cat", 0.9, Box(1, 2, 30, 20), ("tabby",)),),
    (Label("cat", 0.9), Label("lawn", 0.5), Label("tabby", 0.3)),
)
CUP = Evidence((Detection("cup", 0.5, Box(60, 2, 9, 9)),), (Label("cup", 0.5),), (ReadText("HOT", 0.1),))


def photo(shade):
    return DecodedImage(np.full((30, 90, 3), shade, np.uint8), width=90, height=30)


class Shades(Perceiver):
    """Sees a cat in dark photos, a cup in bright ones, and nothing in white ones."""

    name, version = "shades", "1"

    def perceive(self, image):
        shade = int(image.pixels[0, 0, 0])
        return Evidence() if shade == 255 else CUP if shade > 127 else CAT

    def words(self):
        return {"cat": {"cat"}, "cup": {"cup"}}

    def translations(self):
        return {"de": {"cat": "Katze", "cup": "Tasse"}}


def ground(*messages, perceivers=("shades",), sees=False, language="en", schema=None, min_score=0.0):
    registry = Registry("perceiver", Perceiver)
    registry.register(Shades(), "test")
    config = ModelConfig(capabilities=("completion", "vision") if sees else ("completion",), perceivers=perceivers)
    model = ModelBundle(ModelName.parse("m"), "sha256:0", Path(), Path(), config)
    guidance = None if schema is None else Guidance("json_schema", json.dumps(schema))
    request = GenerateRequest("m", messages, guidance=guidance, language=language)
    return Grounder(model, registry, min_score=min_score).ground(request)


def shown(*shades):
    return Message.of("user", "Look.", *(photo(shade) for shade in shades))


def test_the_evidence_is_that_of_the_photos_that_were_shown_last():
    assert ground(shown(0)).evidence == CAT
    assert ground(shown(0), Message.of("assistant", "A cat."), shown(200)).evidence == CUP
    assert ground(shown(0), Message.of("assistant", "A cat."), Message.of("user", "Sure?")).evidence == CAT
    assert {thing.label for thing in ground(shown(0, 200)).evidence.objects} == {"cat", "cup"}


def test_the_evidence_has_names_in_the_language_of_the_request():
    evidence = ground(shown(0), language="de").evidence
    assert (evidence.objects[0].label, [label.name for label in evidence.tags]) == ("Katze", ["Katze", "lawn", "tabby"])


def test_nothing_in_a_photo_is_evidence_and_no_look_at_it_is_none():
    assert ground(shown(255)).evidence == Evidence()
    assert ground(shown(0), perceivers=(), sees=True).evidence is None
    assert ground(Message.of("user", "Hello.")).evidence is None


def test_names_with_a_lower_score_reach_neither_the_evidence_nor_the_prompt_nor_the_answer():
    array = {"type": "array"}
    properties = {name: array | {"x-evidence": name} for name in ("tags", "objects", "texts")}
    schema = {"type": "object", "properties": properties}
    everything = ground(shown(0), schema=schema).request
    assert "lawn" in everything.messages[0].text
    assert "cat" not in everything.avoid
    surer = ground(shown(0), schema=schema, min_score=0.6)
    assert surer.evidence == Evidence((Detection("cat", 0.9, Box(1, 2, 30, 20)),), (Label("cat", 0.9),))
    assert "lawn" not in surer.request.messages[0].text
    known = {name: json.loads(value) for name, value in surer.request.guidance.constants}
    assert known["tags"] == ["cat"]
    assert [thing["tags"] for thing in known["objects"]] == [[]]
    nothing = ground(shown(0), schema=schema, min_score=0.95).request
    assert {json.dumps(json.loads(value)) for _, value in nothing.guidance.constants} == {"[]"}
    assert "cat" in nothing.avoid


@pytest.mark.parametrize("min_score", [0.0, 0.6, 1.0])
def test_words_in_the_photo_are_kept_whatever_their_score(min_score):
    grounded = ground(shown(200), min_score=min_score)
    assert grounded.evidence.texts == CUP.texts
    assert '"HOT"' in grounded.request.messages[0].text
