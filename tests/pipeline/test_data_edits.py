"""Values within `data` that people corrected: they stay whatever runs later, where the schema allows them."""

import hashlib

import pytest

from olpipe.pipeline.data_edits import edited, fitting, path_of, place_of, standing
from olpipe.pipeline.ledger import Ledger, TargetState
from olpipe.pipeline.selection import Selection
from tests.pipeline.test_reviews import Reviewed

TEXT = {"type": "string", "maxLength": 20}
SCHEMA = {
    "brand": {"type": ["string", "null"]}, "kind": {"enum": ["bag", "shoe"]}, "size": {"type": "integer"},
    "tags": {"type": "array", "items": TEXT}, "maker": {"type": "object", "properties": {"city": TEXT}},
}  # fmt: skip
DATA = {"brand": None, "kind": "bag", "size": 3, "tags": ["a", "b"], "maker": {"city": "Rome"}}


@pytest.fixture
def folder(tmp_path):
    folder = Reviewed(tmp_path)
    folder.values = {"data": DATA}
    folder.put("a.jpg")
    folder.run(properties=SCHEMA)
    return folder


def correct(folder, **edits):
    for key, value in edits.items():
        folder.review("correct", "/data/" + key.replace("__", "/"), value)


def test_corrections_replace_values_at_any_depth_and_nothing_else(folder):
    before = folder.row()
    correct(folder, brand=["Acme"], maker__city=["Milan"], tags=[["c"]])
    after = folder.row()
    assert after["data"] == {**DATA, "brand": "Acme", "maker": {"city": "Milan"}, "tags": ["c"]}
    assert {**after, "data": DATA} == {**before, "review": "edited"}
    for key in ("brand", "maker/city", "tags"):
        folder.review("restore", f"/data/{key}")
    assert folder.row() == before


def test_null_is_a_value_and_a_key_can_be_left_out(folder):
    folder.values = {"data": {**DATA, "brand": "Wrong"}}
    folder.run("k2", SCHEMA)
    correct(folder, brand=[None], size=[])
    assert folder.row(key="k2")["data"] == {key: value for key, value in DATA.items() if key != "size"}


def test_what_the_model_wrote_is_remembered(folder):
    correct(folder, brand=["Acme"], size=[])
    with Ledger(folder.output) as ledger:
        row = {"sha256": hashlib.sha256(b"a.jpg").hexdigest(), "file": "a.jpg", "data": DATA, "box_unit": "px"}
        assert ledger.reviews.of(row, "k1").written == {"/data/brand": [None], "/data/size": [3]}


@pytest.mark.parametrize("change", ["another recipe", "fresh", "renamed", "an equal copy"])
def test_a_correction_stays_whatever_changes(folder, change):
    correct(folder, maker__city=["Milan"])
    folder.values = {"data": {**DATA, "size": 4, "maker": {"city": "Turin"}}}
    name, key = "a.jpg", "k2"
    if change == "fresh":
        key = "k1"
        folder.run(properties=SCHEMA, selection=Selection(fresh=True))
    elif change == "renamed":
        name = "b.jpg"
        (folder.photos / "a.jpg").rename(folder.photos / name)
        folder.run(key, SCHEMA)
    else:
        folder.put("copy.jpg", b"a.jpg")
        name = "copy.jpg" if change == "an equal copy" else name
        folder.run(key, SCHEMA)
    row = folder.row(name, key=key)
    assert (row["data"]["maker"], row["data"]["size"], row["review"]) == ({"city": "Milan"}, 4, "edited")


@pytest.mark.parametrize(
    "properties",
    [
        {**SCHEMA, "kind": {"enum": ["boot", "sandal"]}},  # the value is not allowed
        {**SCHEMA, "kind": {"type": "object"}},  # another type
    ],
)
def test_a_correction_waits_where_the_schema_refuses_it(folder, properties):
    correct(folder, kind=["shoe"], brand=["Acme"])
    kind = "boot" if "enum" in properties["kind"] else {}
    folder.values = {"data": {**DATA, "kind": kind}}
    folder.run("k2", properties)
    assert folder.row(key="k2")["data"] == {**DATA, "kind": kind, "brand": "Acme"}
    folder.run("k1", SCHEMA)
    assert folder.row()["data"]["kind"] == "shoe"


def test_a_correction_waits_where_there_is_no_data(folder):
    correct(folder, brand=["Acme"])
    folder.values = {"title": "A bag"}
    folder.run("k2")
    assert "review" not in folder.row(key="k2")


def test_an_approval_holds_for_the_data_that_was_seen(folder):
    folder.review("approve")
    assert folder.row()["review"] == "approved"
    folder.values = {"data": {**DATA, "size": 4}}
    folder.run("k2", SCHEMA)
    assert "review" not in folder.row(key="k2")


def test_targets_that_hold_the_row_start_over(folder):
    folder.advance(TargetState(1, 10))
    correct(folder, brand=["Acme"])
    assert folder.state() == TargetState(0, 10)


def test_what_a_model_wrote_against_the_schema_does_not_stand_in_the_way():
    source = '{"required":["a","b"],"properties":{"a":{"type":"string"},"b":{"type":"string"}}}'
    assert fitting(source, {"a": "x"}, {"/data/a": ["y"]}) == {"/data/a": ["y"]}
    assert fitting(source, {"a": "x"}, {"/data/a": [1]}) == {}
    assert fitting(source, {"a": 1}, {"/data/a": [2], "/data/b": ["y"]}) == {"/data/b": ["y"]}


def test_true_is_not_one():
    assert fitting("{}", {"a": 1}, {"/data/a": [True]}) == {"/data/a": [True]}
    assert fitting("{}", {"a": 1}, {"/data/a": [1]}) == {}


@pytest.mark.parametrize("path", [(), ("a",), ("a/b", "~c", "~1"), ("", "価格")])
def test_places_lead_back_to_their_keys(path):
    assert path_of(place_of(path)) == path


def test_edits_leave_the_answer_itself_as_it_is_and_make_what_they_need():
    data = {"a": {"b": 1}}
    assert edited(data, {"/data/a/b": [2], "/data/new/key": ["x"]}) == {"a": {"b": 2}, "new": {"key": "x"}}
    assert edited(data, {"/data/a/b/c": [2]}) == {"a": {"b": 1}}  # no object
    assert edited(data, {"/data": [["whole"]]}) == ["whole"]
    assert data == {"a": {"b": 1}}
    assert standing(data, "/data/a/x") == []
