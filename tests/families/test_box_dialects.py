"""Families say boxes as their makers document it, or they are not asked for any."""

import numpy as np
import pytest

from olpipe.families.table import FAMILIES, family_named
from olpipe.guidance.boxes import spoken
from olpipe.guidance.heard import heard
from olpipe.image import DecodedImage, ShownImage

WHOLE = {"type": "integer"}
SCHEMA = {
    "type": "object",
    "properties": {"x": WHOLE, "y": WHOLE, "w": WHOLE, "h": WHOLE, "type": {"type": "string"}},
}
# What each family says of a thing in the lower right quarter of a photo that it sees as 560x420
# Sources: https://github.com/QwenLM/Qwen3-VL/blob/main/cookbooks/2d_grounding.ipynb
#          https://github.com/QwenLM/Qwen3-VL/issues/676
SAID = {
    "Qwen2.5-VL": {"bbox_2d": [280, 210, 560, 420], "label": "cat"},
    "Qwen3-VL": {"bbox_2d": [500, 500, 1000, 1000], "label": "cat"},
}


@pytest.mark.parametrize("name", SAID)
def test_a_box_as_the_family_says_it_is_a_box_in_the_photo(name):
    dialect = family_named(name).boxes
    assert list(spoken(SCHEMA, dialect)["properties"]) == list(SAID[name])
    photo = DecodedImage(np.zeros((1, 1, 3), np.uint8), 4000, 3000)
    found = heard(SAID[name], SCHEMA, dialect, photo, shown=ShownImage(560, 420, 300))
    assert found == {"x": 2000, "y": 1500, "w": 2000, "h": 1500, "type": "cat"}


def test_the_other_families_are_not_asked_for_boxes():
    assert {family.name for family in FAMILIES if family.boxes is not None} == SAID.keys()
