"""What a file says about its vision encoder is checked before it is used."""

from __future__ import annotations

import math

import pytest

from olpipe.convert.vision_metadata import VisionMetadata
from olpipe.errors import ModelCorrupt

VALUES = VisionMetadata(
    {"size": 14, "epsilon": 1e-6, "mean": (0.1, 0.2, 0.3), "full": (7, 15), "gelu": True, "text": "14", "none": ()}
)


def test_sound_values_are_returned():
    assert VALUES.size("size") == 14
    assert VALUES.positive("epsilon") == 1e-6
    assert VALUES.positive("size") == 14.0
    assert VALUES.colour("mean") == VALUES.spread("mean") == (0.1, 0.2, 0.3)
    assert VALUES.layers("full") == (7, 15)
    assert VALUES.flag("gelu") is True


def test_a_value_that_is_not_there_has_a_default():
    assert VALUES.size("missing", default=3) == 3
    assert VALUES.positive("missing", default=0.5) == 0.5
    assert VALUES.layers("missing") is None
    assert VALUES.flag("missing") is False


@pytest.mark.parametrize("value", [None, 0, -1, 65, True, 2.0, "14", (1,)])
def test_a_size_is_a_whole_number_in_its_limits(value):
    with pytest.raises(ModelCorrupt, match="for `size`, which is not a size up to 64"):
        VisionMetadata({"size": value}).size("size", limit=64)


@pytest.mark.parametrize("value", [None, 0.0, -1, True, math.inf, math.nan, "1", (1.0,)])
def test_a_positive_number_is_finite(value):
    with pytest.raises(ModelCorrupt, match="for `epsilon`, which is not a positive number"):
        VisionMetadata({"epsilon": value}).positive("epsilon")


@pytest.mark.parametrize("value", [None, (0.1, 0.2), (0.1, 0.2, 0.3, 0.4), (0.1, 0.2, "3"), (0.1, 0.2, math.nan), 0.5])
def test_a_colour_is_three_numbers(value):
    with pytest.raises(ModelCorrupt, match="for `mean`, which is not three numbers"):
        VisionMetadata({"mean": value}).colour("mean")


def test_colours_are_not_divided_by_zero():
    with pytest.raises(ModelCorrupt, match="for `std`, which is not three positive numbers"):
        VisionMetadata({"std": (0.5, 0.0, 0.5)}).spread("std")


@pytest.mark.parametrize("value", [3, "3", (1.0,), (True,)])
def test_blocks_are_whole_numbers(value):
    with pytest.raises(ModelCorrupt, match="for `full`, which is not a list of blocks"):
        VisionMetadata({"full": value}).layers("full")


@pytest.mark.parametrize("value", [1, "true", None])
def test_a_switch_is_on_or_off(value):
    with pytest.raises(ModelCorrupt, match="for `gelu`, which is not true or false"):
        VisionMetadata({"gelu": value}).flag("gelu")


def test_the_message_says_what_the_file_says():
    with pytest.raises(ModelCorrupt) as refused:
        VALUES.size("text")
    assert refused.value.message == "the vision encoder says `'14'` for `text`, which is not a size up to 65536"
    with pytest.raises(ModelCorrupt) as refused:
        VALUES.size("missing")
    assert refused.value.message == "the vision encoder says nothing for `missing`, which is not a size up to 65536"
    long = VisionMetadata({"text": "a\n" * 1000})
    with pytest.raises(ModelCorrupt) as refused:
        long.size("text")
    assert len(refused.value.message) < 120
    assert "\n" not in refused.value.message
