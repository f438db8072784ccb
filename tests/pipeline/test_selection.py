"""Which photos a run is about, and what is done anew."""

import os
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from olpipe.image import ImageRef
from olpipe.pipeline.ledger import FAILURE
from olpipe.pipeline.selection import Selection, spread
from olpipe.record import FailureKind


def images(*times_ns):
    return [ImageRef(Path(f"{at}.jpg"), f"{at}.jpg", 1, time_ns) for at, time_ns in enumerate(times_ns)]


@pytest.mark.parametrize(
    ("selection", "places"),
    [
        (Selection(), [0, 1, 2, 3, 4, 5]),
        (Selection(limit=2), [0, 1]),
        (Selection(limit=9), [0, 1, 2, 3, 4, 5]),
        (Selection(sample=2), [1, 4]),
        (Selection(sample=3, limit=1), [1]),
        (Selection(since_ns=30), [2, 3, 5]),
        (Selection(since_ns=30, sample=1), [3]),
        (Selection(since_ns=99), []),
    ],
)
def test_places_are_chosen_by_time_then_spread_then_cut(selection, places):
    assert list(selection.places(images(10, 20, 30, 40, 20, 50))) == places


@given(st.integers(0, 500), st.integers(1, 60))
def test_a_sample_has_as_many_as_it_can_and_from_every_part(number, most):
    chosen = spread(range(number), most)
    assert len(chosen) == min(number, most) == len(set(chosen))
    assert list(chosen) == sorted(chosen)
    if number > most:
        gaps = [after - before for before, after in pairwise(chosen)]
        assert not gaps or max(gaps) - min(gaps) <= 1


def test_photos_that_are_not_chosen_keep_what_they_have(folder):
    for name in ("a.jpg", "b.jpg", "c.jpg"):
        folder.put(name)
    folder.describe()
    folder.put("d.jpg")
    assert folder.describe(selection=Selection(limit=3)) == []
    assert (folder.found.wanted, folder.found.records) == (3, 3)
    assert folder.rows() == ["a.jpg", "b.jpg", "c.jpg"]


def test_only_photos_that_changed_lately_are_described(folder):
    for name, time_s in (("old.jpg", 1000), ("new.jpg", 2000)):
        folder.put(name)
        os.utime(folder.photos / name, (time_s, time_s))
    assert folder.describe(selection=Selection(since_ns=1500 * 10**9)) == ["new.jpg"]
    assert folder.describe() == ["old.jpg"]


def test_fresh_describes_again_what_is_chosen_and_nothing_else(folder):
    for name in ("a.jpg", "b.jpg", "c.jpg"):
        folder.put(name)
    folder.put("d.jpg", b"bad one")
    folder.describe()
    assert folder.describe(selection=Selection(limit=2, fresh=True)) == ["a.jpg", "b.jpg"]
    assert folder.rows() == ["c.jpg", "a.jpg", "b.jpg"]
    assert folder.describe(selection=Selection(fresh=True)) == ["a.jpg", "b.jpg", "c.jpg", "d.jpg"]
    assert folder.rows(FAILURE) == ["d.jpg"]


def test_fresh_describes_equal_photos_again_and_those_of_other_recipes_stay(folder):
    folder.put("a.jpg", b"same")
    folder.put("b.jpg", b"same")
    folder.describe()
    folder.describe(key="k2")
    assert folder.describe(selection=Selection(fresh=True)) == ["a.jpg"]
    assert folder.rows() == ["a.jpg", "b.jpg"]
    assert folder.describe(key="k2") == []


def test_failures_of_one_kind_are_tried_again(folder):
    folder.put("a.jpg", b"bad one")
    folder.describe()
    assert folder.describe(selection=Selection(retry=frozenset({FailureKind.CONTEXT}))) == []
    assert folder.describe(selection=Selection(retry=frozenset({FailureKind.REFUSED}))) == ["a.jpg"]
