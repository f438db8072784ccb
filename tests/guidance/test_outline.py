from __future__ import annotations

import pytest

from olpipe.guidance.outline import Outline


@pytest.mark.parametrize(
    ("text", "depth", "in_string", "strings"),
    [
        ("", 0, False, 0),
        ('{"a":[1,{"b', 3, True, 1),
        ('{"a":"}]\\"', 1, True, 1),
        ('{"a":"\\\\"', 1, False, 2),
        ('{"a":[]}', 0, False, 1),
    ],
)
def test_the_outline_follows_json(text, depth, in_string, strings):
    outline = Outline()
    for character in text:
        outline.advance(character)
    assert (outline.depth, outline.in_string, outline.strings) == (depth, in_string, strings)


def test_a_copy_goes_its_own_way():
    outline = Outline()
    outline.advance('{"a')
    copy = outline.copy()
    copy.advance('":1}')
    assert (outline.open, copy.open) == (2, 0)
