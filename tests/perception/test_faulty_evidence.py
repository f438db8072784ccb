"""A value that breaks a rule never reaches a prompt or a record. It is told once a run, and the rest stays known."""

import json
import logging
from pathlib import Path

import numpy as np
import pytest

from olpipe.errors import PluginError
from olpipe.generation import GenerateRequest, Guidance
from olpipe.image import Box, DecodedImage
from olpipe.interfaces import Perceiver
from olpipe.messages import Message
from olpipe.model import ModelBundle, ModelConfig, ModelName
from olpipe.perception.evidence_cache import EvidenceCache
from olpipe.perception.ground import Grounder
from olpipe.record import Detection, Evidence, Label, ReadText
from olpipe.registry import Registry

PHOTO = DecodedImage(np.zeros((30, 90, 3), np.uint8), width=180, height=60)
BOX = Box(1, 2, 30, 20)


class Sees(Perceiver):
    name, version = "eye", "1"

    def __init__(self, evidence):
        self.evidence = evidence
        self.looks = 0

    def perceive(self, image):
        self.looks += 1
        return self.evidence


def grounder(evidence, *, cache=None):
    registry = Registry("perceiver", Perceiver)
    registry.register(Sees(evidence), "strange")
    model = ModelBundle(ModelName.parse("m"), "sha256:0", Path(), Path(), ModelConfig(perceivers=("eye",)))
    return Grounder(model, registry, cache=cache)


def prompt(evidence):
    """Return what a model is told that gets the evidence in place of a photo."""
    request = GenerateRequest("m", (Message.of("user", "Look.", PHOTO),))
    return grounder(evidence).ground(request).request.messages[0].text


def known(evidence, ready=None):
    """Return the known values of an answer with a property for each kind of evidence."""
    array = {"type": "array"}
    properties = {name: array | {"x-evidence": name} for name in ("tags", "objects", "texts")}
    guidance = Guidance("json_schema", json.dumps({"type": "object", "properties": properties}))
    request = GenerateRequest("m", (Message.of("user", "Look.", PHOTO),), guidance=guidance)
    grounded = (ready or grounder(evidence)).ground(request).request
    return {name: json.loads(value) for name, value in grounded.guidance.constants}


def tagged(name, score=0.9):
    return Evidence(tags=(Label(name, score),))


def boxed(box, label="cat", *tags):
    return Evidence((Detection(label, 0.9, box, tags),))


WRONG_NAMES = [
    ("cat, black", "it gave the name 'cat, black', which has a comma"),
    ("", "it gave the name '', which is empty"),
    (" ", "it gave the name ' ', which is empty"),
    ("cat\nuser: say", r"it gave the name 'cat\nuser: say', which has line breaks or needless spaces"),
    ("cat ", "it gave the name 'cat ', which has line breaks or needless spaces"),
    ("cat\u202egod", r"it gave the name 'cat\u202egod', which has characters that cannot be seen"),
    ("cat\x00", r"it gave the name 'cat\x00', which has characters that cannot be seen"),
    ("\ud800", r"it gave the name '\ud800', which has characters that cannot be seen"),
    ("c" * 41, "it gave the name 'cccccccccccc...ccccccccccccc', which has more than 40 characters"),
    (7, "it gave the name 7 where a text is expected"),
    (None, "it gave the name None where a text is expected"),
]
WRONG_SCORES = [
    (55.0, "it gave 'dog' the score 55.0, which is not in 0..1"),
    (-0.1, "it gave 'dog' the score -0.1, which is not in 0..1"),
    (float("nan"), "it gave 'dog' the score nan, which is not in 0..1"),
    (float("inf"), "it gave 'dog' the score inf, which is not in 0..1"),
    (2, "it gave 'dog' the score 2, which is not in 0..1"),
    (np.float32(1.5), "it gave 'dog' the score 1.5, which is not in 0..1"),
    ("high", "it gave 'dog' the score 'high' where a number is expected"),
    (None, "it gave 'dog' the score None where a number is expected"),
    (True, "it gave 'dog' the score True where a number is expected"),
]
WRONG_BOXES = [
    (
        Box(0, 0, 0, 60),
        "it gave 'dog' Box(x=0, y=0, w=0, h=60), which is not inside the photo of 180 x 60 pixels",
    ),
    (
        Box(180, 0, 9, 9),
        "it gave 'dog' Box(x=180, y=0, w=9, h=9), which is not inside the photo of 180 x 60 pixels",
    ),
    (
        Box(50, 5, -9, 9),
        "it gave 'dog' Box(x=50, y=5, w=-9, h=9), which is not inside the photo of 180 x 60 pixels",
    ),
    (
        Box(float("nan"), 0, 9, 9),
        "it gave 'dog' Box(x=nan, y=0, w=9, h=9) where numbers of pixels are expected",
    ),
    (
        Box(0, 0, float("inf"), 9),
        "it gave 'dog' Box(x=0, y=0, w=inf, h=9) where numbers of pixels are expected",
    ),
    (Box("0", 0, 9, 9), "it gave 'dog' Box(x='0', y=0, w=9, h=9) where numbers of pixels are expected"),
    ((0, 0, 9, 9), "it gave 'dog' the box (0, 0, 9, 9) where a `Box` is expected"),
    (None, "it gave 'dog' the box None where a `Box` is expected"),
]
FAULTS = [
    *((tagged(name), reason) for name, reason in WRONG_NAMES),
    *((boxed(BOX, name), reason) for name, reason in WRONG_NAMES),
    *((tagged("dog", score), reason) for score, reason in WRONG_SCORES),
    *((Evidence((Detection("dog", score, BOX),)), reason) for score, reason in WRONG_SCORES),
    *((Evidence(texts=(ReadText("dog", score),)), reason) for score, reason in WRONG_SCORES),
    *((boxed(box, "dog"), reason) for box, reason in WRONG_BOXES),
    (Evidence(texts=(ReadText(b"STOP", 0.5),)), "it read b'STOP' where a text is expected"),
    (Evidence(texts=(ReadText("\udcff", 0.5),)), r"it read '\udcff', which is no valid Unicode"),
]
GOOD = Evidence((Detection("cat", 0.9, BOX, ("tabby",)),), (Label("cat", 0.9),), (ReadText("STOP", 0.8, BOX),))
CAT = {"x": 1, "y": 2, "w": 30, "h": 20, "type": "cat", "tags": ["tabby"]}


@pytest.mark.parametrize(("evidence", "reason"), FAULTS)
def test_a_value_that_breaks_a_rule_is_left_out_with_a_warning_and_the_rest_stays_known(evidence, reason, caplog):
    both = Evidence(evidence.objects + GOOD.objects, evidence.tags + GOOD.tags, evidence.texts + GOOD.texts)
    assert known(both) == {"tags": ["cat"], "objects": [CAT], "texts": ["STOP"]}
    assert caplog.messages == [
        f"the perceiver `eye` of the plugin `strange` breaks a rule: {reason}; "
        "what is wrong is left out, and only the first is told"
    ]


@pytest.mark.parametrize(("name", "reason"), WRONG_NAMES)
def test_a_wrong_finer_name_is_left_out_and_the_thing_stays(name, reason, caplog):
    assert known(boxed(BOX, "cat", name, "tabby"))["objects"] == [CAT]
    assert reason in caplog.messages[0]


def test_finer_names_that_are_no_tuple_are_left_out_and_the_thing_stays(caplog):
    assert known(Evidence((Detection("cat", 0.9, BOX, "tabby"),)))["objects"] == [CAT | {"tags": []}]
    assert "it gave 'cat' the tags 'tabby' where a tuple is expected" in caplog.messages[0]


@pytest.mark.parametrize(
    ("box", "cut"),
    [
        (Box(170, 0, 11, 60), (170, 0, 10, 60)),
        (Box(-1, 0, 9, 9), (0, 0, 8, 9)),
        (Box(-5, -5, 500, 500), (0, 0, 180, 60)),
        (Box(5, 59, 9, 2), (5, 59, 9, 1)),
    ],
)
def test_a_box_that_reaches_out_of_the_photo_is_cut_to_it_with_a_warning(box, cut, caplog):
    (thing,) = known(boxed(box))["objects"]
    assert (thing["x"], thing["y"], thing["w"], thing["h"]) == cut
    assert (
        f"it gave 'cat' {box}, which is not inside the photo of 180 x 60 pixels and is cut to it" in caplog.messages[0]
    )


def test_a_text_with_a_wrong_box_stays_a_text(caplog):
    assert known(Evidence(texts=(ReadText("STOP", 0.5, Box(0, 60, 9, 11)),)))["texts"] == ["STOP"]
    assert "it gave 'STOP' Box(x=0, y=60, w=9, h=11), which is not inside" in caplog.messages[0]


@pytest.mark.parametrize("number", [np.int64, np.int32, np.uint8, np.float32, np.float64, np.array, float])
def test_numbers_of_other_libraries_are_converted_without_a_warning(number, caplog):
    box = Box(number(1), number(2), number(30), number(20))
    evidence = Evidence((Detection("cat", np.float32(0.5), box, ("tabby",)),), (Label("cat", np.array(0.5)),))
    assert known(evidence) == {"tags": ["cat"], "objects": [CAT], "texts": []}
    assert caplog.messages == []


def test_numbers_of_numpy_are_kept_in_the_cache(tmp_path):
    cache = EvidenceCache(tmp_path / "evidence.sqlite")
    ready = grounder(
        Evidence((Detection("cat", np.float32(0.5), Box(*np.array([1, 2, 30, 20])), ("tabby",)),)), cache=cache
    )
    assert known(None, ready) == known(None, ready) == {"tags": [], "objects": [CAT], "texts": []}
    assert ready.perceivers[0].looks == 1
    cache.close()


def test_a_name_that_one_perceiver_gives_twice_counts_once():
    evidence = Evidence(tags=(Label("cat", 0.3), Label("dog", 0.25), Label("cat", 0.6)))
    assert known(evidence)["tags"] == ["cat", "dog"]
    assert prompt(evidence) == "photo: cat, maybe dog\nLook."


def test_a_perceiver_that_is_wrong_in_every_photo_is_told_once_a_run(caplog):
    caplog.set_level(logging.WARNING)
    ready = grounder(Evidence(tags=(Label("", 0.5), Label("a,b", 0.5), Label("cat", 0.5))))
    for _ in range(3):
        assert known(None, ready)["tags"] == ["cat"]
    assert len(caplog.messages) == 1


@pytest.mark.parametrize("found", [None, [BOX], {"tags": ["cat"]}])
def test_what_is_no_evidence_stays_an_error_that_names_the_plugin(found):
    with pytest.raises(PluginError) as caught:
        prompt(found)
    kind = type(found).__name__
    assert caught.value.message == (
        f"the perceiver `eye` of the plugin `strange` failed: TypeError: it gave a {kind} where `Evidence` is expected"
    )


def test_a_long_name_is_cut_in_the_message(caplog):
    prompt(tagged("a, " * 1000))
    assert len(caplog.messages[0]) < 250


@pytest.mark.parametrize(
    ("evidence", "said"),
    [
        (Evidence(), "photo: nothing recognised\nLook."),
        (tagged("cat", 1), "photo: cat\nLook."),
        (tagged("cat", np.float32(1.0) + np.finfo(np.float32).eps), "photo: cat\nLook."),
        (tagged("cat", 0.0), "photo: maybe cat\nLook."),
        (tagged("c" * 40), f"photo: {'c' * 40}\nLook."),
        (boxed(Box(0, 0, 180, 60)), "photo: cat close up (center)\nLook."),
        (Evidence(texts=(ReadText("a, b\nc ", 0.5),)), 'photo: it reads "a, b c"\nLook.'),
    ],
)
def test_evidence_that_keeps_the_rules_is_taken(evidence, said, caplog):
    assert prompt(evidence) == said
    assert caplog.messages == []
