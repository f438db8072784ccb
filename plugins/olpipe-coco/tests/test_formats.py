"""What each format says, read back by its own reader or by one written from its specification."""

import json
import os
import signal
import subprocess
import sys
import zipfile
from pathlib import Path
from urllib.parse import parse_qs, urlsplit
from xml.etree import ElementTree

import jsonschema
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from olpipe.archives.opened import close_archives
from olpipe.errors import OutputUnavailable
from olpipe.testing.contracts.sinks import opened, run_info

CAT = {"x": 10, "y": 20, "w": 30, "h": 40, "type": "cat", "tags": ["tabby"], "score": 0.75}
SIGN = {"x": 0, "y": 0, "w": 200, "h": 100, "type": 'a "sign": <&> \n图'}
NOWHERE = {"type": "wind"}

# Source: https://labelstud.io/guide/predictions and https://labelstud.io/guide/tasks
PER_CENT = {"type": "number", "minimum": 0, "maximum": 100}
RECTANGLE = {
    "type": "object",
    "required": ["x", "y", "width", "height", "rectanglelabels"],
    "properties": {
        **dict.fromkeys(("x", "y", "width", "height"), PER_CENT),
        "rotation": {"type": "number"},
        "rectanglelabels": {"type": "array", "items": {"type": "string"}, "minItems": 1},
    },
    "additionalProperties": False,
}
RESULT = {
    "type": "object",
    "required": ["id", "from_name", "to_name", "type", "value"],
    "properties": {
        "id": {"type": "string"},
        "type": {"enum": ["rectanglelabels", "choices", "textarea"]},
        "score": {"type": "number", "minimum": 0, "maximum": 1},
    },
    "if": {"properties": {"type": {"const": "rectanglelabels"}}},
    "then": {
        "required": ["original_width", "original_height", "image_rotation"],
        "properties": {"value": RECTANGLE},
    },
}
TASKS = {
    "type": "array",
    "items": {
        "type": "object",
        "required": ["data", "predictions"],
        "properties": {
            "data": {"type": "object", "required": ["image"], "properties": {"image": {"type": "string"}}},
            "predictions": {
                "type": "array",
                "items": {
                    "type": "object",
                    "required": ["model_version", "result"],
                    "properties": {"result": {"type": "array", "items": RESULT}, "score": {"type": "number"}},
                },
            },
        },
    },
}


def row(file, *objects, **more):
    return {"file": file, "image": {"width": 200, "height": 100}, "objects": list(objects), **more}


@pytest.fixture
def folder(tmp_path):
    """Return the sink's folder; its parent holds the photos."""
    return tmp_path / "photos" / "set"


@pytest.fixture
def write(folder):
    """Return a function that writes rows with a sink, and returns its position."""

    def written(scheme, *rows, position=0, schema=None):
        folder.parent.mkdir(exist_ok=True)
        run = run_info(folder, schema=schema or {})
        with opened(factory(scheme), ".", run, position) as sink:
            for one in rows:
                sink.write(one)
            return sink.flush()

    return written


def factory(scheme):
    import olpipe_coco

    return next(found for found in olpipe_coco.register_sinks() if found.scheme == scheme)


def test_pycocotools_reads_the_images_and_their_boxes(folder, write, capsys):
    coco = pytest.importorskip("pycocotools.coco", reason="pycocotools is not installed")
    write("coco", row("trip/cat.jpg", CAT, SIGN, NOWHERE), row("empty.jpg"), row("two.jpg", SIGN, CAT))
    found = coco.COCO(str(folder / "instances.json"))
    assert [image["file_name"] for image in found.loadImgs(found.getImgIds())] == [
        "trip/cat.jpg",
        "empty.jpg",
        "two.jpg",
    ]
    assert [category["name"] for category in found.loadCats(found.getCatIds())] == ["cat", SIGN["type"]]
    (first,) = found.loadAnns(found.getAnnIds(imgIds=1, catIds=found.getCatIds(catNms=["cat"])))
    assert (first["bbox"], first["area"], first["iscrowd"], first["score"]) == ([10, 20, 30, 40], 1200, 0, 0.75)
    assert len(found.getAnnIds(imgIds=1)) == 2
    assert found.getAnnIds(imgIds=2) == []


def test_categories_keep_their_ids_in_later_runs(folder, write):
    first = write("coco", row("a.jpg", CAT))
    write("coco", row("b.jpg", SIGN, CAT), position=first)
    document = json.loads((folder / "instances.json").read_bytes())
    assert [(category["id"], category["name"]) for category in document["categories"]] == [
        (1, "cat"),
        (2, SIGN["type"]),
    ]
    assert [(one["image_id"], one["category_id"]) for one in document["annotations"]] == [(1, 1), (2, 2), (2, 1)]


def test_an_image_keeps_the_words_that_were_read_in_it(folder, write):
    read = [{"text": "出口", "x": 1, "y": 2, "w": 3, "h": 4, "score": 0.9}]
    write("coco", {**row("a.jpg", CAT), "text": read}, row("b.jpg"))
    document = json.loads((folder / "instances.json").read_bytes())
    assert [image.get("text") for image in document["images"]] == [read, None]
    assert len(document["annotations"]) == 1  # words are no things


def test_a_closed_vocabulary_gives_the_ids(folder, write):
    names = {"items": {"properties": {"type": {"enum": ["dog", "cat"]}}}}
    write("coco", row("a.jpg", CAT), schema={"properties": {"objects": names}})
    document = json.loads((folder / "instances.json").read_bytes())
    assert [category["name"] for category in document["categories"]] == ["dog", "cat"]
    assert document["annotations"][0]["category_id"] == 2


def test_a_run_that_was_killed_loses_and_repeats_nothing(folder, write, tmp_path):
    script = """
import os, signal, sys
from pathlib import Path
from olpipe.testing.contracts.sinks import ROWS, run_info
from olpipe_coco.coco import CocoSinkFactory
sink = CocoSinkFactory().open(".", run_info(Path(sys.argv[1])))
sink.recover(0)
sink.write(ROWS[0])
print(sink.flush(), flush=True)
sink.write(ROWS[1])
os.kill(os.getpid(), signal.SIGKILL)
"""
    folder.mkdir(parents=True)
    ended = subprocess.run([sys.executable, "-c", script, str(folder)], capture_output=True, text=True, check=False)
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    write("coco", row("two.jpg"), row("three.jpg"), position=int(ended.stdout))
    document = json.loads((folder / "instances.json").read_bytes())
    assert [image["file_name"] for image in document["images"]] == ["one.jpg", "two.jpg", "three.jpg"]


def test_a_document_of_somebody_else_is_not_replaced(folder, write):
    folder.mkdir(parents=True)
    (folder / "instances.json").write_text("{}")
    with pytest.raises(OutputUnavailable, match=r"instances\.json` was not written by this sink"):
        write("coco", row("a.jpg"))
    assert (folder / "instances.json").read_text() == "{}"


def test_a_document_that_somebody_has_changed_is_kept_beside_the_new_one(folder, write):
    first = write("coco", row("a.jpg"))
    (folder / "instances.json").write_text('{"mine": 1}')
    again = write("coco", position=first)
    assert (folder / "instances.json").read_text() == '{"mine": 1}'
    write("coco", row("b.jpg"), position=again)
    assert (folder / "instances.json.1").read_text() == '{"mine": 1}'
    assert len(json.loads((folder / "instances.json").read_bytes())["images"]) == 2


def yolo_boxes(folder, photo):
    """Read a photo's boxes as a trainer does: pixels, by the names in `data.yaml`."""
    names = yaml.safe_load((folder / "data.yaml").read_text(encoding="utf-8"))["names"]
    label = (folder / "labels" / photo).with_suffix(".txt")
    for line in label.read_text(encoding="ascii").splitlines():
        number, *parts = line.split(" ")
        x, y, w, h = map(float, parts)
        left, top, width, height = (x - w / 2) * 200, (y - h / 2) * 100, w * 200, h * 100
        yield names[int(number)], *(round(side, 3) for side in (left, top, width, height))


def test_yolo_reads_the_boxes_and_their_classes(folder, write):
    write("yolo", row("trip/cat.jpg", CAT, SIGN, NOWHERE), row("empty.jpg"))
    assert list(yolo_boxes(folder, "trip/cat.jpg")) == [("cat", 10, 20, 30, 40), (SIGN["type"], 0, 0, 200, 100)]
    assert list(yolo_boxes(folder, "empty.jpg")) == []
    assert (folder / "classes.txt").read_text(encoding="utf-8").splitlines() == ["cat", 'a "sign": <&> 图']


def test_photos_that_differ_only_in_their_suffix_have_labels_of_their_own(folder, write):
    (folder.parent / "trip").mkdir(parents=True)
    names = ["trip/cat.jpg", "trip/cat.png", "trip/CAT.webp", "trip/cat.png.jpg"]
    for name in names:
        (folder.parent / name).write_text(name)
    first = write("yolo", row(names[0], CAT), row(names[1], SIGN))
    write("yolo", row(names[2]), row(names[3], CAT, CAT), position=first)
    images = sorted(path for path in (folder / "images").rglob("*") if path.is_file())
    found = {path.read_text(): len(list(yolo_boxes(folder, path.relative_to(folder / "images")))) for path in images}
    assert found == {"trip/cat.jpg": 1, "trip/cat.png": 1, "trip/CAT.webp": 0, "trip/cat.png.jpg": 2}


def test_classes_keep_their_numbers_in_later_runs(folder, write):
    first = write("yolo", row("a.jpg", CAT))
    write("yolo", row("b.jpg", SIGN, CAT), position=first)
    assert [name for name, *_ in yolo_boxes(folder, "b.jpg")] == [SIGN["type"], "cat"]
    assert not (folder / "data.yaml.1").exists()


def test_what_somebody_wrote_into_the_data_file_is_kept(folder, write):
    first = write("yolo", row("a.jpg", CAT))
    (folder / "data.yaml").write_text("train: mine\n")
    write("yolo", row("b.jpg", SIGN), position=first)
    assert (folder / "data.yaml.1").read_text() == "train: mine\n"
    assert list(yolo_boxes(folder, "b.jpg")) == [(SIGN["type"], 0, 0, 200, 100)]


def test_a_run_that_starts_over_removes_the_photos_that_are_gone(folder, write):
    folder.parent.mkdir(parents=True)
    (folder.parent / "a.jpg").write_text("a")
    (folder.parent / "b.jpg").write_text("b")
    write("yolo", row("a.jpg", CAT))
    write("yolo", row("b.jpg", SIGN))
    assert {path.name for path in folder.rglob("*.*") if not path.name.startswith(".")} == {
        *("b.jpg", "b.txt", "classes.txt", "data.yaml")
    }


def test_labels_of_somebody_else_are_not_replaced(folder, write):
    (folder / "labels").mkdir(parents=True)
    (folder / "labels" / "a.txt").write_text("0 0.5 0.5 1 1\n")
    with pytest.raises(OutputUnavailable, match=r"a\.txt` was not written by this sink"):
        write("yolo", row("a.jpg", CAT))
    assert (folder / "labels" / "a.txt").read_text() == "0 0.5 0.5 1 1\n"


def test_labels_that_somebody_has_corrected_stay(folder, write):
    first = write("yolo", row("a.jpg", CAT))
    (folder / "labels" / "a.txt").write_text("0 0.5 0.5 1 1\n")
    sink = factory("yolo").open(".", run_info(folder, schema={}))
    assert sink.recover(first) is False
    assert sink.keep(["a.jpg"]) is True
    sink.write(row("b.jpg", CAT))
    sink.flush()
    sink.close()
    assert list(yolo_boxes(folder, "a.jpg")) == [("cat", 0, 0, 200, 100)]
    assert list(yolo_boxes(folder, "b.jpg")) == [("cat", 10, 20, 30, 40)]


def test_voc_counts_pixels_from_one(folder, write):
    write("voc", row("trip/cat.jpg", CAT, SIGN, NOWHERE))
    read = ElementTree.parse(folder / "Annotations" / "trip" / "cat.xml").getroot()
    assert [read.findtext(name) for name in ("folder", "filename", "path")] == ["trip", "cat.jpg", "trip/cat.jpg"]
    assert [int(side.text) for side in read.find("size")] == [200, 100, 3]
    assert [thing.findtext("name") for thing in read.iter("object")] == ["cat", SIGN["type"]]
    assert [int(side.text) for side in read.find("object/bndbox")] == [11, 21, 40, 60]
    assert read.findtext("object/score") == "0.75"


def test_label_studio_gets_regions_in_per_cent_and_fields(folder, write):
    more = {"tags": ["fur", "indoor", "fur"], "title": "A cat", "alt": "Line\none <b>"}
    write("label-studio", row("trip/a cat?.jpg", CAT, SIGN, NOWHERE, **more), row("empty.jpg"))
    tasks = json.loads((folder / "tasks.json").read_bytes())
    jsonschema.validate(tasks, TASKS)
    (prediction,) = tasks[0]["predictions"]
    results = {result["id"]: result["value"] for result in prediction["result"]}
    assert results["object-1"] == {
        "x": 5.0,
        "y": 20.0,
        "width": 15.0,
        "height": 40.0,
        "rotation": 0,
        "rectanglelabels": ["cat"],
    }
    assert results["tags"] == {"choices": ["fur", "indoor"]}
    assert (results["title"], results["alt"]) == ({"text": ["A cat"]}, {"text": ["Line\none <b>"]})
    assert prediction["score"] == 0.75
    assert tasks[1]["predictions"] == []
    address = urlsplit(tasks[0]["data"]["image"])
    assert (address.path, parse_qs(address.query)["d"]) == ("/data/local-files/", ["photos/trip/a cat?.jpg"])


def test_the_interface_of_label_studio_has_what_the_tasks_name(folder, write):
    write("label-studio", row("a.jpg", CAT, SIGN, tags=["fur & <more>"], title="A cat"))
    interface = ElementTree.parse(folder / "interface.xml").getroot()
    fields = {element.get("name"): element.get("toName") for element in interface if element.get("toName")}
    tasks = json.loads((folder / "tasks.json").read_bytes())
    named = {result["from_name"] for result in tasks[0]["predictions"][0]["result"]}
    assert named <= set(fields)
    assert set(fields.values()) == {"image"}
    assert [label.get("value") for label in interface.iter("Label")] == ["cat", SIGN["type"]]
    assert [choice.get("value") for choice in interface.iter("Choice")] == ["fur & <more>"]


@pytest.mark.parametrize("scheme", ["yolo", "voc"])
@pytest.mark.parametrize("name", ["../../out.jpg", "/out.jpg", "a/../../../out.jpg", "./caf\\xe9.jpg", ".", "a\0b.jpg"])
def test_no_name_leads_out_of_the_folder(folder, write, scheme, name, tmp_path):
    write(scheme, row(name, CAT))
    files = [path for path in tmp_path.rglob("*") if path.is_file() and "site" not in path.parts]
    assert len(files) >= 2
    assert [path for path in files if not path.is_relative_to(folder)] == []


@pytest.mark.skipif(sys.platform != "linux", reason="the file system decides which names it takes")
def test_a_photo_whose_name_is_not_utf_8_is_copied(folder, write):
    folder.parent.mkdir(parents=True)
    Path(os.fsdecode(os.fsencode(folder.parent) + b"/caf\xe9.jpg")).write_text("photo")
    write("yolo", row("./caf\\xe9.jpg", CAT))
    assert [path.read_text() for path in (folder / "images").rglob("*.jpg")] == ["photo"]


@given(st.lists(st.text(min_size=1), unique=True, max_size=4))
def test_xml_and_yaml_read_every_name_back(names):
    from olpipe_coco.names import xml_attribute, xml_text, yaml_text

    for name in names:
        if not any("\ud800" <= character <= "\udfff" for character in name):
            assert yaml.safe_load(f"0: {yaml_text(name)}") == {0: name}
        read = ElementTree.fromstring(f"<a b={xml_attribute(name)}>{xml_text(name)}</a>")
        if all(character.isprintable() or character in "\t\n\r" for character in name):
            assert (read.text, read.get("b")) == (name, name)


@given(st.lists(st.text(st.sampled_from("a./%2E")), unique=True, max_size=6))
def test_different_photos_have_different_paths_inside(names):
    from olpipe_coco.names import inside

    paths = [inside(name) for name in names]
    assert len(set(paths)) == len(names)
    assert [path for path in paths if {"", ".", ".."} & set(path.split("/"))] == []


def test_a_box_is_cut_at_the_edges_of_the_photo(folder, write):
    boxes = [{**CAT, "x": -10, "w": 30}, {**CAT, "x": 190, "w": 30}, {**CAT, "x": 200}, {**CAT, "w": 0}]
    write("coco", row("a.jpg", *boxes))
    document = json.loads((folder / "instances.json").read_bytes())
    assert [one["bbox"] for one in document["annotations"]] == [[0, 20, 20, 40], [190, 20, 10, 40]]


def test_a_photo_in_an_archive_is_copied(folder, write):
    folder.parent.mkdir(exist_ok=True)
    with zipfile.ZipFile(folder.parent / "x.zip", "w") as archive:
        archive.writestr("day/cat.jpg", b"a photo")
    write("yolo", row("x.zip/day/cat.jpg", CAT))
    close_archives()
    (copy,) = (path for path in (folder / "images").rglob("*") if path.is_file())
    assert copy.read_bytes() == b"a photo"
