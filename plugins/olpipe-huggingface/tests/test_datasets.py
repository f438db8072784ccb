"""The library `datasets` reads what the sinks write."""

import json
import os
import subprocess
import sys
from importlib.util import find_spec

import pytest
from PIL import Image

from olpipe.testing.contracts.sinks import opened, run_info

pytest.importorskip("pyarrow", reason="pyarrow is not installed")

CAT = {"x": 1, "y": 2, "w": 3, "h": 2, "type": "cat", "tags": ["tabby"], "score": 0.75}
BOXED = {"text": "出口", **dict.fromkeys("xywh", 1), "score": 0.5}
NO_BOX = {"text": "EXIT", "score": 0.25}
NAMES = ("cat.png", "test/cat.png", "val/a test.png", "图 & <x>.png", "plain.png")
RECORDS = (
    {"tags": ["fur", "paw"], "tag_scores": [0.5, None], "objects": [CAT, {"type": "wind"}], "title": 'A cat\n"x"'},
    {"tags": [], "objects": []},
    {"data": {"mood": "calm", "n": [1, "2"]}},
    {"title": "图", "certainty": "sure", "text": [BOXED, NO_BOX]},
    {"tags": "not a list", "title": 5},
)

# It imports pandas and pyarrow, whose warnings are no matter of this project, so it gets a process of its own
READ = """
import json, sys
import datasets
for options in json.loads(sys.argv[1]):
    found = datasets.load_dataset(**options, split="train")
    rows = [{**row, "image": [*row["image"].size, *row["image"].convert("RGB").getpixel((0, 0))]} for row in found]
    print(json.dumps(rows))
"""


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    for number, name in enumerate(NAMES):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 6), (number, 0, 0)).save(path)
    return folder


@pytest.fixture
def write(photos):
    """Return a function that writes the photos' records with a sink into a folder beside the photos."""

    def written(scheme, names=NAMES, *, position=0, to="set"):
        import olpipe_huggingface

        factory = next(found for found in olpipe_huggingface.register_sinks() if found.scheme == scheme)
        image = {"width": 8, "height": 6, "orientation": 1, "format": "PNG"}
        with opened(factory, ".", run_info(photos / to), position) as sink:
            for name in names:
                sink.write({"file": name, "image": image, "model": "m:latest", **RECORDS[NAMES.index(name)]})
            return sink.flush()

    return written


def load(tmp_path, *calls):
    """Return the rows of each data set that `load_dataset` loads with these arguments."""
    if find_spec("datasets") is None:
        pytest.skip("datasets is not installed")
    offline = {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "cache"), "HF_DATASETS_DISABLE_PROGRESS_BARS": "1"}
    command = [sys.executable, "-c", READ, json.dumps(calls)]
    ended = subprocess.run(command, env=os.environ | offline, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    return [json.loads(line) for line in ended.stdout.splitlines()]


def check_rows(found):
    assert [row["file"] for row in found] == list(NAMES)
    assert [row["image"] for row in found] == [[8, 6, number, 0, 0] for number in range(len(NAMES))]
    first, empty, custom, chinese, wrong = found
    assert first["objects"] == {"bbox": [[1, 2, 3, 2]], "categories": ["cat"], "scores": [0.75], "tags": [["tabby"]]}
    assert (first["tags"], first["tag_scores"], first["title"]) == (["fur", "paw"], [0.5, None], 'A cat\n"x"')
    assert (empty["objects"]["bbox"], empty["tags"], empty["title"]) == ([], [], None)
    assert (custom["tags"], json.loads(custom["other"])) == (None, {"data": RECORDS[2]["data"]})
    assert (chinese["title"], chinese["certainty"], chinese["objects"]) == ("图", "sure", None)
    assert chinese["text"] == {"bbox": [[1, 1, 1, 1], []], "words": ["出口", "EXIT"], "scores": [0.5, 0.25]}
    assert (chinese["other"], first["text"]) == (None, None)
    assert (wrong["title"], json.loads(wrong["other"])) == (None, RECORDS[4])


def test_folders_with_photos_and_folders_of_paths_are_data_sets(write, photos, tmp_path):
    write("huggingface")
    write("huggingface-paths", to="paths")
    with_photos, with_paths = str(photos / "set"), str(photos / "paths")
    loaded = load(
        tmp_path, {"path": "imagefolder", "data_dir": with_photos}, {"path": with_photos}, {"path": with_paths}
    )
    assert len(loaded) == 3
    for found in loaded:
        check_rows(found)
    assert list((photos / "paths").rglob("*.png")) == []


def test_columns_do_not_depend_on_what_the_records_hold(write, photos):
    from pyarrow import parquet

    schemas = []
    for name in NAMES:
        write("huggingface", [name])
        schemas.append(parquet.read_schema(photos / "set" / "train" / "metadata.parquet"))
    assert all(schema == schemas[0] for schema in schemas)


def test_photos_are_linked_and_take_no_space(write, photos):
    write("huggingface", ["cat.png"])
    assert os.path.samefile(photos / "cat.png", photos / "set" / "train" / "cat.png")


def test_photos_are_copied_where_no_link_can_be_made(write, photos, monkeypatch):
    def refuse(*_args, **_options):
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    write("huggingface", ["cat.png"])
    copy = photos / "set" / "train" / "cat.png"
    assert (copy.read_bytes(), os.path.samefile(copy, photos / "cat.png")) == ((photos / "cat.png").read_bytes(), False)


def test_the_card_that_somebody_wrote_stays(write, photos):
    first = write("huggingface", ["cat.png"])
    card = photos / "set" / "README.md"
    assert "license: cc-by-4.0" in card.read_text(encoding="utf-8")
    card.write_text("mine")
    write("huggingface", ["plain.png"], position=first)
    assert card.read_text() == "mine"


@pytest.mark.parametrize(
    "name", ["../../cat.png", "/etc/hostname", "./caf\\xe9.png", "a\0b.png", "x" * 300 + ".png", ""]
)
def test_no_name_leads_out_of_the_folder(name):
    from olpipe_huggingface.photos import flat_name

    assert "/" not in flat_name(name)
    assert "\0" not in flat_name(name)
    assert not flat_name(name).startswith(".")
    assert len(os.fsencode(flat_name(name))) < 255


def test_different_photos_have_different_names():
    from olpipe_huggingface.photos import flat_name

    names = ["a/b.jpg", "a--b.jpg", "a-/b.jpg", "a/-b.jpg", "a/b.png", "A/b.jpg", "a_b.jpg", "./a/b.jpg"]
    names += [flat_name(name) for name in names]
    assert len({flat_name(name).casefold() for name in dict.fromkeys(names)}) == len(dict.fromkeys(names))
