"""`olpipe review` over values within `data` and over boxes: what it takes, what it refuses, and what the sinks have."""

import csv
import http.client
import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from olpipe.cli.main import main
from olpipe.pipeline.catch_up import catch_up
from olpipe.pipeline.ledger import RECORD, Ledger
from olpipe.plugins import Plugins
from olpipe.settings import Settings
from olpipe.testing.fixtures import announce_project, plugin_folder
from tests.reviewing.albums import Reviewing
from tests.reviewing.data_albums import BAG, CAT, DATA, OBJECTS, boxes_album, schema_of, shop_album

__all__ = ["announce_project", "plugin_folder"]

PLUGINS = Path(__file__).parents[2] / "plugins"
TRAINING = ("coco", "yolo", "voc", "label-studio", "parquet", "xmp")
SIGN = {"name": "sign", "value": "new"}


def value(said):
    return {"value": said}


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """Return a review of things for sale, in which every test leaves everything as the model wrote it."""
    album = shop_album(tmp_path_factory.mktemp("shop"))
    with Reviewing(album.output) as reviewing:
        yield reviewing


@pytest.fixture
def change(shop):
    yield lambda **edits: shop.change(BAG, edits={f"/data/{key}": edit for key, edit in edits.items()})
    shop.change(BAG, verdict=None, edits={f"/data/{key}": None for key in DATA})
    assert shop.entries()[BAG]["values"]["data"] == DATA


@pytest.fixture(scope="module")
def boxes(tmp_path_factory):
    album = boxes_album(tmp_path_factory.mktemp("boxes"))
    with Reviewing(album.output) as reviewing:
        yield reviewing


@pytest.fixture
def change_boxes(boxes):
    yield lambda things: boxes.change(CAT, edits={"objects": value(things)})
    boxes.change(CAT, verdict=None, edits={"objects": None})
    assert boxes.entries()[CAT]["values"]["objects"] == OBJECTS


# --- values within data --------------------------------------------------------------------------


def test_values_are_corrected_and_given_back_one_by_one(change):
    status, answer = change(brand=value("Acme"), attributes=value([SIGN]), condition=value("new"))
    assert status == 200
    assert sorted(entry["file"] for entry in answer["photos"]) == [BAG, "copy.jpg"]
    for entry in answer["photos"]:
        assert entry["values"]["data"] == {**DATA, "brand": "Acme", "attributes": [SIGN], "condition": "new"}
        assert entry["review"] == "edited"
        assert entry["written"] == {
            "/data/brand": [None], "/data/attributes": [DATA["attributes"]], "/data/condition": [None],
        }  # fmt: skip
    _, answer = change(brand=None, attributes=value(DATA["attributes"]))  # back, and as the model wrote it
    assert list(answer["photos"][0]["written"]) == ["/data/condition"]
    _, answer = change(condition=None)
    assert "review" not in answer["photos"][0] and "written" not in answer["photos"][0]


@pytest.mark.parametrize(
    ("key", "said", "reason", "at"),
    [
        ("alt", "No period", "Alt: “No period” does not match the pattern ^[^.!?\\n]+[.]$", []),
        ("product", "x" * 81, "Product: it has 81 characters, more than 80", []),
        ("category", "cars", None, []),
        ("colours", ["brown", "x"], "Colours, row 2: it has 1 character, fewer than 2", [1]),
        ("attributes", [SIGN, {**SIGN, "value": ""}], "Attributes, row 2, value: it must not be empty", [1, "value"]),
        ("attributes", [{"name": "a"}], "Attributes, row 1, value: it must not be left out", [0, "value"]),
        ("brand", 7, "Brand: 7 is not a text or null", []),
        ("unknown", "x", "Unknown: the schema has no such key", []),
        ("brand/name", "x", "Brand, name: there is no place for it in this record", []),
    ],
)
def test_what_the_schema_does_not_allow_is_refused_in_one_line(shop, change, key, said, reason, at):
    status, answer = change(**{key: value(said)}, material=value("cotton"))
    assert status == 422
    assert list(answer["refused"]) == [f"/data/{key}"]
    told = answer["refused"][f"/data/{key}"]
    assert told["at"] == at
    assert "\n" not in told["reason"]
    assert told["reason"] == reason or (reason is None and told["reason"].startswith("Category: “cars” is none of: "))
    assert answer["error"] == told["reason"]
    assert answer["photos"][0]["values"]["data"] == DATA  # all or nothing
    assert shop.entries()[BAG]["values"]["data"] == DATA


def test_a_key_that_must_be_there_cannot_be_left_out(change):
    status, answer = change(tags={})
    assert (status, answer["error"]) == (422, "Tags: it must not be left out")


def test_a_verdict_that_comes_with_a_refused_value_is_not_kept(shop, change):
    edits = {"/data/alt": value("No period")}
    assert shop.change(BAG, edits=edits, verdict="approved")[0] == 422
    assert "review" not in shop.entries()[BAG]


@pytest.mark.parametrize(
    ("edits", "error"),
    [
        ([], "`edits` is an object with an object or null for each field"),
        ({"/data/brand": "Acme"}, "`edits` is an object with an object or null for each field"),
        ({"/model": {"value": 1}}, "the record has no field `/model`"),
        ({"data": {"value": {}}}, "the record has no field `data`"),
        ({"/data/brand": {"value": json.loads("[" * 150 + "]" * 150)}},
         "a value has more than 100 lists and objects within each other"),
    ],
)  # fmt: skip
def test_edits_that_no_page_sends_are_refused(shop, edits, error):
    status, answer = shop.change(BAG, edits=edits)
    assert (status, answer["error"]) == (400, error)


def test_control_characters_are_left_out(change):
    _, answer = change(brand=value("Ac\x07me"), text=value(["a\x00b"]))
    found = answer["photos"][0]["values"]["data"]
    assert (found["brand"], found["text"]) == ("Acme", ["ab"])


def test_a_change_that_is_too_large_is_told_what_to_do(shop):
    connection = http.client.HTTPConnection("127.0.0.1", shop.port, timeout=60)
    headers = {"Content-Type": "application/json", "X-Olpipe-Review": shop.token, "Content-Length": str((1 << 20) + 1)}
    connection.putrequest("POST", f"/{shop.token}/review")
    for name, text in headers.items():
        connection.putheader(name, text)
    connection.endheaders()  # the body itself is not waited for
    said = connection.getresponse()
    answer = json.loads(said.read())
    connection.close()
    assert (said.status, answer["error"]) == (413, "the body has more than 1048576 bytes")
    assert answer["hint"] == "a change cannot be larger: write less into the field"


# --- boxes ---------------------------------------------------------------------------------------


def test_boxes_are_renamed_moved_and_deleted(change_boxes):
    renamed = [{**OBJECTS[0], "type": "dog", "tags": ["pug"]}]
    status, answer = change_boxes(renamed)
    entry = answer["photos"][0]
    assert (status, entry["review"], entry["written"]) == (200, "edited", {"objects": OBJECTS})
    unscored = {key: found for key, found in renamed[0].items() if key != "score"}
    assert entry["values"]["objects"] == [unscored]  # the score was that of another name
    _, answer = change_boxes([{**OBJECTS[0], "x": 0, "w": 90}, OBJECTS[1]])
    assert answer["photos"][0]["values"]["objects"] == [{**OBJECTS[0], "x": 0, "w": 90}, OBJECTS[1]]
    assert change_boxes([])[1]["photos"][0]["values"]["objects"] == []
    assert "review" not in change_boxes(OBJECTS)[1]["photos"][0]


@pytest.mark.parametrize(
    ("thing", "reason", "at"),
    [
        ({"x": 80}, "Objects, row 2, x: x + w must lie within the photo's width of 90 pixels", [1, "x"]),
        ({"y": -1}, "Objects, row 2, y: y + h must lie within the photo's height of 60 pixels", [1, "y"]),
        ({"w": 1}, "Objects, row 2, w: 1 is less than 2 pixels", [1, "w"]),
        ({"h": "12a"}, "Objects, row 2, h: “12a” is not a whole number", [1, "h"]),
        ({"x": 4.5}, "Objects, row 2, x: 4.5 is not a whole number", [1, "x"]),
        ({"x": None}, "Objects, row 2, x: null is not a whole number", [1, "x"]),
        ({"type": " "}, "Objects, row 2, type: it must not be empty", [1, "type"]),
        ({"type": "x" * 41}, "Objects, row 2, type: it has 41 characters, more than 40", [1, "type"]),
        ({"tags": ["a"] * 5}, "Objects, row 2, tags: it has 5 items, more than 4", [1, "tags"]),
        ({"tags": [1]}, "Objects, row 2, tags: it must be a list of texts", [1, "tags"]),
        ({"colour": "red"}, "Objects, row 2, colour: the schema has no such key", [1, "colour"]),
    ],
)
def test_a_box_that_cannot_be_is_refused(change_boxes, thing, reason, at):
    status, answer = change_boxes([OBJECTS[0], {**OBJECTS[1], **thing}])
    assert (status, answer["refused"]) == (422, {"objects": {"reason": reason, "at": at}})


# --- what the sinks and the search have -----------------------------------------------------------


def row_of(album, name):
    with Ledger(album.output) as ledger:
        ledger.begin("k1", {})
        return next(row for _, row in ledger.rows_after(RECORD, 0) if row["file"] == name)


def corrected(album, name, schema, **corrections):
    """Correct a record, and do what a review does when it ends."""
    sha256 = row_of(album, name)["sha256"]
    with Ledger(album.output) as ledger:
        ledger.begin("k1", {})
        for field, edit in corrections.items():
            ledger.reviews.correct(sha256, field, edit)
        done = catch_up(ledger, album.run(schema=schema), Plugins.load(Settings.read()).sinks)
    assert done.error is None
    return done.targets


def test_every_sink_that_ships_has_the_corrected_values(tmp_path):
    album = shop_album(tmp_path, "jsonl", "csv", "sidecar", "sqlite")
    edits = {"/data/brand": ["Acme"], "/data/colours": [["red"]], "/data/attributes": [[SIGN]]}
    assert len(corrected(album, BAG, schema_of("ecommerce"), **edits)) == 4
    data = {**DATA, "brand": "Acme", "colours": ["red"], "attributes": [SIGN]}
    for row in [*album.records().values(), *sidecars(album), *in_database(album)]:
        assert row["data"] == (data if row["file"] != "shoe.jpg" else {**DATA, **row["data"], "brand": None})
    with open(album.output / "records.csv", encoding="utf-8-sig", newline="") as lines:
        rows = {row["file"]: row for row in csv.DictReader(lines)}
    assert "Acme" in str(rows[BAG]) and "Acme" in str(rows["copy.jpg"]) and "Acme" not in str(rows["shoe.jpg"])


def sidecars(album):
    return [json.loads(path.read_bytes()) for path in (album.output / "sidecars").rglob("*.json")]


def in_database(album):
    with closing(sqlite3.connect(album.output / "records.sqlite")) as database:
        return [json.loads(text) for (text,) in database.execute("SELECT record FROM records")]


@pytest.fixture
def announced(announce_project):
    pytest.importorskip("pyarrow")
    for name in ("coco", "parquet", "xmp"):
        announce_project(PLUGINS / f"olpipe-{name}")


def test_typed_tables_have_the_corrected_values(tmp_path, announced):
    import pyarrow.parquet as parquet

    album = shop_album(tmp_path, "parquet")
    corrected(album, BAG, schema_of("ecommerce"), **{"/data/brand": ["Acme"], "/data/attributes": [[SIGN]]})
    table = parquet.read_table(album.output / "records.parquet")
    rows = {row["file"]: row for row in table.to_pylist()}
    assert (rows[BAG]["data"]["brand"], rows[BAG]["data"]["attributes"]) == ("Acme", [SIGN])
    assert rows["shoe.jpg"]["data"]["brand"] is None


def test_training_data_and_metadata_have_the_corrected_boxes(tmp_path, announced):
    album = boxes_album(tmp_path, *TRAINING)
    things = [{**OBJECTS[0], "type": "dog", "tags": [], "x": 10, "y": 12, "w": 30, "h": 24}]
    assert len(corrected(album, CAT, schema_of("photo-tags"), objects=things)) == len(TRAINING)
    coco = json.loads((album.output / "coco/instances.json").read_bytes())
    names = {one["id"]: one["name"] for one in coco["categories"]}
    assert [(names[one["category_id"]], one["bbox"]) for one in coco["annotations"]] == [("dog", [10, 12, 30, 24])]
    assert (album.output / "yolo/classes.txt").read_text().split() == ["dog"]
    assert len((album.output / "yolo/labels/cat.txt").read_text().splitlines()) == 1
    voc = (album.output / "voc/Annotations/cat.xml").read_text()
    assert "<name>dog</name>" in voc and "lamp" not in voc and "<xmin>" in voc
    (task,) = json.loads((album.output / "label-studio/tasks.json").read_bytes())
    assert "dog" in str(task["predictions"]) and "lamp" not in str(task["predictions"])
    xmp = (album.output / "xmp/cat.jpg.xmp").read_text("utf-8")
    assert "dog" in xmp and "lamp" not in xmp


def test_the_search_finds_corrected_values_and_not_those_before(tmp_path, capsys):
    album = shop_album(tmp_path / "shop")
    corrected(album, BAG, schema_of("ecommerce"), **{"/data/material": ["nylon"]})
    boxes = boxes_album(tmp_path / "boxes")
    corrected(boxes, CAT, schema_of("photo-tags"), objects=[{**OBJECTS[0], "type": "walrus"}])

    def found(album, word):
        with pytest.raises(SystemExit):
            main(["search", word, "--in", str(album.output), "--json"])
        return sorted(row["file"] for row in json.loads(capsys.readouterr().out or "[]"))

    assert found(album, "nylon") == [BAG, "copy.jpg"]
    assert found(boxes, "walrus") == [CAT]
    assert found(boxes, "lamp") == []
