from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from olpipe.guidance.splice import Splicer

ORDER = ("tags", "title", "description", "alt", "objects")


def spliced(open_values, constants, *, order=ORDER, size=1):
    text = json.dumps(open_values, ensure_ascii=False, separators=(",", ":"))
    compact = {name: json.dumps(value, separators=(",", ":")) for name, value in constants.items()}
    splicer = Splicer(order, compact)
    return "".join(splicer.feed(text[start : start + size]) for start in range(0, len(text), size)), splicer


def test_constants_stand_where_the_schema_has_them():
    text, splicer = spliced({"title": "A", "description": "B", "alt": "C"}, {"objects": [{"x": 1}], "tags": ["cat"]})
    assert text == '{"tags":["cat"],"title":"A","description":"B","alt":"C","objects":[{"x":1}]}'
    assert splicer.spliced == '"tags":["cat"],,"objects":[{"x":1}]'


def test_a_document_of_constants_alone_is_made():
    assert spliced({}, {"alt": "x", "tags": []})[0] == '{"tags":[],"alt":"x"}'


def test_nested_keys_and_texts_that_look_like_keys_are_left_alone():
    values = {"title": '{"alt":"', "description": {"objects": {"tags": 1}, "x": ["}", {"alt": 2}]}}
    assert json.loads(spliced(values, {"tags": ["a"], "objects": []})[0]) == {"tags": ["a"], **values, "objects": []}


def test_an_optional_property_that_is_missing_moves_nothing():
    assert spliced({"alt": "z"}, {"description": "known"})[0] == '{"description":"known","alt":"z"}'


names = st.lists(st.text(min_size=1, max_size=6), min_size=1, max_size=6, unique=True)
values = st.recursive(st.none() | st.booleans() | st.text(max_size=8), lambda inner: st.lists(inner, max_size=3))


@given(data=st.data(), order=names, size=st.integers(1, 7))
def test_splicing_equals_building_the_object_in_order(data, order, size):
    known = data.draw(st.sets(st.sampled_from(order)))
    whole = {name: data.draw(values) for name in order}
    text, _ = spliced(
        {name: value for name, value in whole.items() if name not in known},
        {name: value for name, value in whole.items() if name in known},
        order=order,
        size=size,
    )
    assert list(json.loads(text).items()) == list(whole.items())
