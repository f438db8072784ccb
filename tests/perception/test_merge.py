"""A thing that several perceivers saw is one thing; things that one perceiver tells apart stay apart."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from olpipe.image import Box
from olpipe.perception.merge import merge
from olpipe.perception.prompt import describe
from olpipe.record import Detection, Evidence, Label, ReadText

BOX = Box(100, 100, 100, 100)
CLOSE = Box(110, 105, 100, 100)  # IoU with BOX: 0.75
APART = Box(150, 100, 100, 100)  # IoU with BOX: 1/3


def cat(box=BOX, score=0.9, *tags, label="cat"):
    return Detection(label, score, box, tags)


def objects(*founds):
    return merge(Evidence(found) for found in founds).objects


def test_two_perceivers_that_see_the_same_do_not_double_the_count():
    found = Evidence((cat(), cat(APART, 0.8)), (Label("cat", 0.9),), (ReadText("STOP", 0.5, BOX),))
    assert merge([found, found]) == found
    assert describe(merge([found, found]), 300, 300) == 'photo: two cats (center), it reads "STOP"'


def test_overlapping_boxes_with_one_name_become_one_and_the_surer_box_stays():
    assert objects((cat(BOX, 0.5),), (cat(CLOSE, 0.8),)) == (cat(CLOSE, 0.8),)
    assert objects((cat(BOX, 0.8),), (cat(CLOSE, 0.5),)) == (cat(BOX, 0.8),)


def test_finer_names_join_those_of_the_surer_box_first():
    assert objects((cat(BOX, 0.5, "tabby"),), (cat(CLOSE, 0.8, "tomcat", "Tabby"),)) == (
        cat(CLOSE, 0.8, "tomcat", "Tabby"),
    )
    assert objects((cat(BOX, 0.5, "tabby"),), (cat(CLOSE, 0.8, "tomcat"),)) == (cat(CLOSE, 0.8, "tomcat", "tabby"),)


def test_boxes_that_overlap_little_or_have_other_names_stay_two():
    assert len(objects((cat(),), (cat(APART),))) == 2
    assert len(objects((cat(),), (cat(label="dog"),))) == 2


def test_names_that_differ_only_in_case_are_one():
    assert objects((cat(),), (cat(score=0.5, label="Cat"),)) == (cat(),)
    found = merge([Evidence(tags=(Label("cat", 0.3),)), Evidence(tags=(Label("Cat", 0.5),))])
    assert found.tags == (Label("cat", 0.5),)


@pytest.mark.parametrize("turned", [False, True])
def test_a_thing_under_its_finer_name_is_the_same_thing(turned):
    founds = [(cat(BOX, 0.5, "tabby"),), (cat(CLOSE, 0.8, label="tabby"),)]
    assert objects(*founds[:: -1 if turned else 1]) == (cat(CLOSE, 0.8, "tabby"),)


def test_boxes_of_one_perceiver_are_never_merged():
    pair = (cat(BOX, 0.9), cat(CLOSE, 0.8))
    assert objects(pair) == pair
    assert objects(pair, ()) == pair
    assert objects(pair, pair) == pair
    assert objects(pair, (cat(BOX, 0.95),)) == (cat(BOX, 0.95), cat(CLOSE, 0.8))
    assert len(objects((cat(BOX, 0.95),), pair)) == 2


def test_the_most_alike_boxes_are_one():
    first, second = cat(BOX, 0.9), cat(CLOSE, 0.8)
    assert objects((first, second), (cat(CLOSE, 0.7, "tabby"),)) == (first, cat(CLOSE, 0.8, "tabby"))


def test_a_third_perceiver_adds_nothing_either():
    assert objects((cat(),), (cat(CLOSE, 0.5),), (cat(BOX, 0.4),)) == (cat(),)


def test_things_and_tags_of_several_perceivers_come_the_surest_first():
    one = Evidence((cat(BOX, 0.4),), (Label("cat", 0.4), Label("lawn", 0.3)))
    other = Evidence((cat(APART, 0.9, label="dog"),), (Label("dog", 0.9), Label("lawn", 0.35)))
    found = merge([one, other])
    assert [thing.label for thing in found.objects] == ["dog", "cat"]
    assert found.tags == (Label("dog", 0.9), Label("cat", 0.4), Label("lawn", 0.35))


def test_a_text_that_two_read_comes_once_and_one_that_stands_twice_comes_twice():
    stop, again = ReadText("STOP", 0.5, BOX), ReadText("STOP", 0.5, Box(0, 0, 50, 50))
    surer = ReadText("Stop ", 0.9, CLOSE)
    assert merge([Evidence(texts=(stop, again)), Evidence(texts=(surer,))]).texts == (surer, again)
    assert merge([Evidence(texts=(stop, again))]).texts == (stop, again)


def test_a_text_without_a_box_is_the_same_as_one_with_equal_words():
    placed, bare, other = ReadText("STOP", 0.5, BOX), ReadText("stop", 0.4), ReadText("EXIT", 0.4)
    assert merge([Evidence(texts=(placed,)), Evidence(texts=(other, bare))]).texts == (placed, other)


def test_photos_of_one_message_are_not_merged():
    both = Evidence((cat(),), (Label("cat", 0.5),)) + Evidence((cat(),), (Label("dog", 0.8), Label("cat", 0.9)))
    assert both == Evidence((cat(), cat()), (Label("cat", 0.9), Label("dog", 0.8)))


boxes = st.builds(Box, st.integers(0, 9), st.integers(0, 9), st.integers(1, 9), st.integers(1, 9))
things = st.lists(st.builds(Detection, st.sampled_from(["cat", "dog"]), st.floats(0, 1), boxes), max_size=5).map(tuple)


@given(things, things)
def test_no_perceiver_loses_a_thing(one, other):
    found = objects(one, other)
    for label in ("cat", "dog"):
        counts = [sum(thing.label == label for thing in each) for each in (one, other, found)]
        assert max(counts[:2]) <= counts[2] <= sum(counts[:2])
    assert objects(one, one) == (one if not one else tuple(sorted(one, key=lambda thing: -thing.score)))
