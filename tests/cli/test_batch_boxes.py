"""`olpipe batch` with a model that sees: boxes are asked for in its own dialect, and records have pixels."""

import json

import pytest

from olpipe.testing.images import photo

# The green corner of the test photo, as a model says it that sees every photo as 448x448
DIALECTS = {
    "Qwen2.5-VL": ({"key": "bbox_2d", "order": "xyxy", "unit": "pixels"}, [224, 0, 448, 224]),
    "Qwen3-VL": ({"key": "bbox_2d", "order": "xyxy", "unit": "thousandths"}, [500, 0, 1000, 500]),
    "Gemma": ({"key": "box_2d", "order": "yxyx", "unit": "thousandths"}, [0, 500, 500, 1000]),
}
SENTENCES = {"tags": ["corner"], "title": "A corner", "description": "A green corner.", "alt": "A corner"}


def said(key, *boxes):
    return SENTENCES | {"objects": [{key: box, "label": "corner", "tags": ["green"]} for box in boxes]}


@pytest.mark.parametrize("family", DIALECTS)
def test_records_have_pixels_of_the_upright_original_whatever_the_model_says(batch, family):
    boxes, numbers = DIALECTS[family]
    batch.model(boxes=boxes, fitted=[448, 448], document=said(boxes["key"], numbers, numbers[2:] + numbers[:2]))
    for orientation in range(1, 9):
        batch.put(f"{orientation}.jpg", data=photo(1200, 800, orientation=orientation))
    code, _ = batch.run()
    assert (code, len(batch.records)) == (0, 8)
    for record in batch.records:
        assert record["image"]["orientation"] == int(record["file"][0])
        assert record["objects"] == [{"x": 600, "y": 0, "w": 600, "h": 400, "type": "corner", "tags": ["green"]}]


def test_a_photo_that_was_scaled_down_has_boxes_in_its_own_pixels(batch):
    boxes, numbers = DIALECTS["Qwen2.5-VL"]
    batch.model(boxes=boxes, fitted=[448, 448], document=said("bbox_2d", numbers))
    batch.put("large.png", data=photo(3000, 2000, file_format="PNG"))
    batch.run()
    (record,) = batch.records
    assert record["objects"] == [{"x": 1500, "y": 0, "w": 1500, "h": 1000, "type": "corner", "tags": ["green"]}]


def test_a_model_that_was_not_trained_to_say_boxes_is_not_asked_for_any(batch):
    batch.model(boxes=None)
    batch.put("a.jpg", "b.jpg")
    code, errors = batch.run()
    assert code == 0
    assert all("objects" not in record and {"tags", "title", "alt"} <= record.keys() for record in batch.records)
    told = "`echo` was not trained to say where things are, so this is left out: `$.properties.objects`"
    assert errors.count(told) == 1


def test_a_schema_of_ones_own_has_boxes_in_its_own_properties(batch, tmp_path):
    side = {"type": "integer", "minimum": 0}
    face = {"type": "object", "properties": {"smiles": {"type": "boolean"}, "x": side, "y": side, "w": side, "h": side}}
    face["required"] = [*face["properties"]]
    schema = {"type": "object", "properties": {"face": {"$ref": "#/$defs/face"}}, "$defs": {"face": face}}
    schema["required"] = ["face"]
    path = tmp_path / "face.json"
    path.write_text(json.dumps(schema), encoding="utf-8")
    batch.model(document={"face": {"bbox_2d": [750, 250, 250, 750], "smiles": True}})
    batch.put("a.png", data=photo(48, 32, file_format="PNG"))
    code, _ = batch.run("--schema", path)
    (record,) = batch.records
    assert code == 0
    assert list(record["data"]["face"].items()) == [("smiles", True), ("x", 12), ("y", 8), ("w", 24), ("h", 16)]


def test_a_schema_of_boxes_only_ends_the_run_where_the_model_says_none(batch, tmp_path):
    side = {"type": "integer"}
    box = {"type": "object", "properties": {"x": side, "y": side, "w": side, "h": side}, "required": ["x", "y"]}
    path = tmp_path / "box.json"
    path.write_text(json.dumps(box), encoding="utf-8")
    batch.model(boxes=None)
    batch.put("a.jpg")
    code, errors = batch.run("--schema", path)
    assert code == 2
    assert "error: the schema asks for boxes only, and `echo` was not trained to say where things are" in errors
