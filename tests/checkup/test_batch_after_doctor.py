"""`olpipe batch` with a model that was examined: it asks for boxes as the finding says."""

import json

import pytest
from PIL import Image, ImageDraw

from olpipe.model import ModelName
from olpipe.store.findings import Finding, Fit

SIDE = {"type": "integer", "minimum": 0}
BOX = {
    "type": "object",
    "properties": {"x": SIDE, "y": SIDE, "w": SIDE, "h": SIDE, "type": {"type": "string"}},
    "required": ["x", "y", "w", "h", "type"],
    "additionalProperties": False,
}
PHOTO = """
name = "boxes"
task = "photo"
model = "eyes"
prompt = "Find everything."
schema = {schema}
"""


@pytest.fixture
def batch(tmp_path, olpipe):
    """Describe one photo with a red square, and return its record and what was said."""
    photos, output, recipe = tmp_path / "photos", tmp_path / "out", tmp_path / "boxes.toml"
    photos.mkdir()
    image = Image.new("RGB", (1500, 1000), "white")
    ImageDraw.Draw(image).rectangle((900, 100, 1199, 699), fill="red")
    image.save(photos / "a.png")
    properties = {"objects": {"type": "array", "items": BOX}, "title": {"type": "string"}}
    schema = {"type": "object", "properties": properties, "required": ["objects", "title"]}
    recipe.write_text(PHOTO.format(schema=_toml(schema)), encoding="utf-8")

    def run():
        code, _, said = olpipe("batch", photos, "-o", output, "--recipe", recipe)
        assert code == 0, said
        (line,) = (output / "records.jsonl").read_text(encoding="utf-8").splitlines()
        report = json.loads((output / "run.json").read_text(encoding="utf-8"))
        return json.loads(line), report, said

    return run


def _toml(value):
    """Write a value as TOML has it in one line."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_toml(part)}" for key, part in value.items()) + " }"
    return json.dumps(value)


def seen(record):
    (found,) = record["objects"]
    return [found[side] for side in ("x", "y", "w", "h")]


def near(box):
    return [pytest.approx(side, abs=4) for side in box]


@pytest.mark.parametrize(
    ("order", "unit"),
    [("yxyx", "thousandths"), ("yxyx", "pixels"), ("xywh", "original_pixels"), ("xyxy", "fractions")],
)
def test_boxes_are_read_as_the_finding_says(eyes, library, batch, order, unit):
    eyes(really=(order, unit))
    usual, best = Fit("xyxy", "thousandths", 0.1), Fit(order, unit, 0.9)
    library.findings.keep(library.digest(ModelName.parse("eyes")), Finding(("seeing", "1"), "", usual, best))
    record, report, _ = batch()
    assert seen(record) == near([900, 100, 300, 600])
    assert report["model"]["boxes"] == f"{order} {unit}"


def test_without_a_finding_boxes_are_read_as_the_family_says_them(eyes, batch):
    eyes(family=("xyxy", "thousandths"), really=("xyxy", "pixels"))
    record, report, _ = batch()
    assert seen(record) != near([900, 100, 300, 600])
    assert "boxes" not in report["model"]


def test_boxes_that_fit_in_no_way_are_not_asked_for(eyes, examine, batch):
    eyes(blind=["box"])
    examine()
    record, report, said = batch()
    assert ("objects" in record, record["title"]) == (False, "a")
    assert report["model"]["boxes"] == "withheld"
    assert "`eyes` says wrong boxes, as `olpipe doctor` found, so this is left out: `$.properties.objects`" in said


def test_a_finding_that_changes_boxes_makes_records_anew_and_one_that_does_not_leaves_them(eyes, examine, batch):
    eyes(really=("xyxy", "thousandths"))
    _, before, _ = batch()
    examine()
    _, after, _ = batch()
    assert (after["recipe"]["key"], after["photos"]["records_before"]) == (before["recipe"]["key"], 1)
    eyes(really=("xywh", "thousandths"))
    _, before, _ = batch()
    examine()
    record, after, said = batch()
    assert (after["recipe"]["key"] != before["recipe"]["key"], after["photos"]["records"]) == (True, 1)
    assert "the recipe or the model changed" in said
    assert seen(record) == near([900, 100, 300, 600])


def test_a_finding_about_another_backend_or_family_or_version_does_not_count(eyes, library, batch):
    eyes(really=("xyxy", "thousandths"))
    wrong = Fit("yxyx", "pixels", 1.0)
    digest = library.digest(ModelName.parse("eyes"))
    for makers in (("seeing", "2"), ("other", "1"), ("seeing", "1", "a family", "1")):
        library.findings.keep(digest, Finding(makers, "", Fit("xyxy", "thousandths", 0.0), wrong))
        record, report, _ = batch()
        assert seen(record) == near([900, 100, 300, 600])
        assert "boxes" not in report["model"]
