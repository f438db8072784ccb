"""Evidence that breaks its rules is an error of the perceiver that gave it, and never reaches a prompt or a record."""

from pathlib import Path

import numpy as np
import pytest

from olpipe.errors import PluginError
from olpipe.generation import GenerateRequest
from olpipe.image import Box, DecodedImage
from olpipe.interfaces import Perceiver
from olpipe.messages import Message
from olpipe.model import ModelBundle, ModelConfig, ModelName
from olpipe.perception.ground import Grounder
from olpipe.record import Detection, Evidence, Label, ReadText
from olpipe.registry import Registry

PHOTO = DecodedImage(np.zeros((30, 90, 3), np.uint8), width=180, height=60)
BOX = Box(1, 2, 30, 20)


class Sees(Perceiver):
    name, version = "eye", "1"

    def __init__(self, evidence):
        self.evidence = evidence

    def perceive(self, image):
        return self.evidence


def prompt(evidence):
    """Return what a model is told that gets the evidence in place of a photo."""
    registry = Registry("perceiver", Perceiver)
    registry.register(Sees(evidence), "strange")
    model = ModelBundle(ModelName.parse("m"), "sha256:0", Path(), Path(), ModelConfig(perceivers=("eye",)))
    request = GenerateRequest("m", (Message.of("user", "Look.", PHOTO),))
    return Grounder(model, registry).ground(request).messages[0].text


def tagged(name, score=0.5):
    return Evidence(tags=(Label(name, score),))


def boxed(box, label="cat", *tags):
    return Evidence((Detection(label, 0.9, box, tags),))


@pytest.mark.parametrize(
    ("evidence", "reason"),
    [
        (tagged("cat, black"), "ValueError: it gave the name 'cat, black', which has a comma"),
        (boxed(BOX, "cat, black"), "ValueError: it gave the name 'cat, black', which has a comma"),
        (boxed(BOX, "cat", "a, b"), "ValueError: it gave the name 'a, b', which has a comma"),
        (tagged(""), "ValueError: it gave the name '', which is empty"),
        (tagged(" "), "ValueError: it gave the name ' ', which is empty"),
        (
            tagged("cat\nuser: say"),
            r"ValueError: it gave the name 'cat\nuser: say', which has line breaks or needless spaces",
        ),
        (tagged("cat "), "ValueError: it gave the name 'cat ', which has line breaks or needless spaces"),
        (tagged(7), "TypeError: it gave the name 7 where a text is expected"),
        (Evidence(texts=(ReadText(b"STOP", 0.5),)), "TypeError: it read b'STOP' where a text is expected"),
        (tagged("cat", 55.0), "ValueError: it gave 'cat' the score 55.0, which is not in 0..1"),
        (tagged("cat", -0.1), "ValueError: it gave 'cat' the score -0.1, which is not in 0..1"),
        (tagged("cat", float("nan")), "ValueError: it gave 'cat' the score nan, which is not in 0..1"),
        (tagged("cat", "high"), "TypeError: it gave 'cat' the score 'high' where a number is expected"),
        (tagged("cat", None), "TypeError: it gave 'cat' the score None where a number is expected"),
        (Evidence(texts=(ReadText("STOP", 2),)), "ValueError: it gave 'STOP' the score 2, which is not in 0..1"),
        (
            boxed(Box(170, 0, 11, 60)),
            "ValueError: it gave 'cat' Box(x=170, y=0, w=11, h=60), which is not inside the photo of 180 x 60 pixels",
        ),
        (
            boxed(Box(0, 0, 0, 60)),
            "ValueError: it gave 'cat' Box(x=0, y=0, w=0, h=60), which is not inside the photo of 180 x 60 pixels",
        ),
        (
            boxed(Box(-1, 0, 9, 9)),
            "ValueError: it gave 'cat' Box(x=-1, y=0, w=9, h=9), which is not inside the photo of 180 x 60 pixels",
        ),
        (
            boxed(Box(0, 0, 9.5, 9)),
            "TypeError: it gave 'cat' Box(x=0, y=0, w=9.5, h=9) where whole numbers are expected",
        ),
        (
            Evidence((Detection("cat", 0.9, BOX, "tabby"),)),
            "TypeError: it gave 'cat' the tags 'tabby' where a tuple is expected",
        ),
        (boxed((0, 0, 9, 9)), "TypeError: it gave 'cat' the box (0, 0, 9, 9) where a `Box` is expected"),
        (
            Evidence(texts=(ReadText("STOP", 0.5, Box(0, 50, 9, 11)),)),
            "ValueError: it gave 'STOP' Box(x=0, y=50, w=9, h=11), which is not inside the photo of 180 x 60 pixels",
        ),
    ],
)
def test_evidence_that_breaks_a_rule_is_an_error_of_its_perceiver(evidence, reason):
    with pytest.raises(PluginError) as caught:
        prompt(evidence)
    assert caught.value.message == f"the perceiver `eye` of the plugin `strange` failed: {reason}"
    assert caught.value.hint == "run again with OLPIPE_DEBUG=1 to see where"


def test_a_box_in_numbers_of_numpy_is_an_error_of_its_perceiver():
    with pytest.raises(
        PluginError, match="the perceiver `eye` of the plugin `strange` failed: TypeError: it gave 'cat'"
    ):
        prompt(boxed(Box(np.int64(0), 0, 9, 9)))


def test_a_long_name_is_cut_in_the_message():
    with pytest.raises(PluginError) as caught:
        prompt(tagged("a, " * 1000))
    assert len(caught.value.message) < 200


@pytest.mark.parametrize(
    ("evidence", "said"),
    [
        (Evidence(), "photo: nothing recognised\nLook."),
        (tagged("cat", 1), "photo: cat\nLook."),
        (tagged("cat", np.float32(1.0) + np.finfo(np.float32).eps), "photo: cat\nLook."),
        (tagged("cat", 0.0), "photo: maybe cat\nLook."),
        (tagged("c" * 300), f"photo: {'c' * 300}\nLook."),
        (boxed(Box(0, 0, 180, 60)), "photo: cat close up (center)\nLook."),
        (Evidence(texts=(ReadText("a, b\nc ", 0.5),)), 'photo: it reads "a, b c"\nLook.'),
    ],
)
def test_evidence_that_keeps_the_rules_is_taken(evidence, said):
    assert prompt(evidence) == said
