"""The plugins' sinks have the corrections, and nothing of rejected records."""

import json
import re
from pathlib import Path

import pytest

from olpipe.pipeline.catch_up import catch_up
from olpipe.pipeline.ledger import RECORD, Ledger
from olpipe.plugins import Plugins
from olpipe.settings import Settings
from olpipe.testing.fixtures import announce_project, plugin_folder
from tests.reviewing.albums import ReviewAlbum
from tests.reviewing.conftest import filled

__all__ = ["announce_project", "plugin_folder"]

PLUGINS = Path(__file__).parents[2] / "plugins"
PROJECTS = ("coco", "huggingface", "xmp")
SINKS = ("coco", "yolo", "voc", "label-studio", "huggingface", "xmp", "xmp-embed")


@pytest.fixture
def album(tmp_path, announce_project):
    pytest.importorskip("pyarrow")
    for name in PROJECTS:
        announce_project(PLUGINS / f"olpipe-{name}")
    album = filled(ReviewAlbum(tmp_path))
    album.batch(*SINKS)
    return album


def review(album):
    """Correct one record and reject another, and do what a review does when it ends."""
    with Ledger(album.output) as ledger:
        ledger.begin("k1", {})
        rows = {row["file"]: row for _, row in ledger.rows_after(RECORD, 0)}
        ledger.reviews.correct(rows["cat.jpg"]["sha256"], "title", "My cat")
        ledger.reviews.reject(rows["dog.jpg"]["sha256"])
        done = catch_up(ledger, album.run(), Plugins.load(Settings.read()).sinks)
    assert done.error is None
    assert {target.partition(":")[0] for target in done.targets} == set(SINKS)


def files(folder, suffix):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob(f"*{suffix}") if path.is_file())


def test_training_data_and_metadata_leave_rejected_records_out(album):
    import pyarrow.parquet as parquet

    output = album.output
    assert "dog.jpg.xmp" in files(output / "xmp", ".xmp")
    review(album)
    images = {
        image["file_name"]: image for image in json.loads((output / "coco/instances.json").read_bytes())["images"]
    }
    assert sorted(images) == ["cat.jpg", "street.jpg", "sub/copy.jpg"]
    assert (images["cat.jpg"]["title"], images["cat.jpg"]["review"]) == ("My cat", "edited")
    assert files(output / "yolo", ".txt") == [
        "classes.txt",
        "labels/cat.txt",
        "labels/street.txt",
        "labels/sub/copy.txt",
    ]
    assert files(output / "yolo/images", ".jpg") == ["cat.jpg", "street.jpg", "sub/copy.jpg"]
    assert files(output / "voc", ".xml") == [f"Annotations/{name}.xml" for name in ("cat", "street", "sub/copy")]
    tasks = json.loads((output / "label-studio/tasks.json").read_bytes())
    assert {task["data"]["file"]: bool(task["predictions"]) for task in tasks} == {
        "cat.jpg": True, "dog.jpg": False, "street.jpg": True, "sub/copy.jpg": True,
    }  # fmt: skip
    table = parquet.read_table(output / "huggingface/train/metadata.parquet").to_pylist()
    assert {row["file"]: row["title"] for row in table} == {
        "cat.jpg": "My cat", "street.jpg": "A street", "sub/copy.jpg": "My cat",
    }  # fmt: skip
    assert [name for name in files(output / "huggingface/train", ".jpg") if name.startswith("dog")] == []
    assert files(output / "xmp", ".xmp") == ["cat.jpg.xmp", "street.jpg.xmp", "sub/copy.jpg.xmp"]
    assert "My cat" in (output / "xmp/cat.jpg.xmp").read_text("utf-8")
    assert re.search(rb"My cat", (album.photos / "cat.jpg").read_bytes())


def test_a_photo_that_a_sink_has_changed_keeps_what_people_said(album):
    review(album)
    with Ledger(album.output) as ledger:
        ledger.begin("k1", {})
        before = {row["file"]: row["review"] for _, row in ledger.rows_after(RECORD, 0) if "review" in row}
        now = dict(ledger.run("SELECT name, sha256 FROM photos").fetchall())
        found = {name: ledger.reviews.is_rejected(sha256) for name, sha256 in now.items()}
    assert before == {"cat.jpg": "edited", "dog.jpg": "rejected", "sub/copy.jpg": "edited"}
    assert found["dog.jpg"] is True
    assert found["cat.jpg"] is False
