"""The sink `sidecar`, read file by file."""

import json
from pathlib import Path

import pytest

from olpipe.default_plugins.sinks.sidecar import SidecarSinkFactory
from olpipe.errors import OutputUnavailable
from olpipe.testing.contracts import SinkContract
from olpipe.testing.contracts.sinks import ROWS, opened, run_info


def records(folder):
    """Return all records in a folder, in the order of their numbers."""
    found = [json.loads(path.read_bytes()) for path in Path(folder).rglob("*.jpg.json")]
    return sorted(found, key=lambda record: record["count"])


class TestSidecarSink(SinkContract):
    @pytest.fixture
    def factory(self):
        return SidecarSinkFactory()

    def read(self, target):
        return [record["file"] for record in records(target)]


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "photos"


def write(folder, *rows, position=0):
    with opened(SidecarSinkFactory(), str(folder), run_info(folder.parent), position) as sink:
        for row in rows:
            sink.write(row)
        return sink.flush()


def test_photos_that_differ_only_in_their_suffix_have_records_of_their_own(folder):
    rows = [{**ROWS[0], "file": name, "count": count} for count, name in enumerate(("trip/cat.jpg", "trip/cat.png"))]
    write(folder, *rows)
    assert {path.name for path in (folder / "trip").iterdir()} == {"cat.jpg.json", "cat.png.json"}
    assert json.loads((folder / "trip" / "cat.png.json").read_bytes()) == rows[1]


def test_the_photos_stay_as_they_are(folder):
    folder.mkdir()
    (folder / "one.jpg").write_bytes(b"pixels")
    write(folder, ROWS[0])
    assert (folder / "one.jpg").read_bytes() == b"pixels"
    assert records(folder) == [ROWS[0]]


def test_what_another_program_left_beside_a_photo_is_not_replaced(folder):
    folder.mkdir()
    theirs = folder / "one.jpg.json"
    theirs.write_text('{\n  "title": "IMG_0001.jpg",\n  "photoTakenTime": {}\n}')
    before = theirs.read_bytes()
    with pytest.raises(OutputUnavailable, match=r"one\.jpg\.json` is no record"):
        write(folder, ROWS[0])
    assert theirs.read_bytes() == before


def test_a_record_corrected_by_hand_stays(folder):
    position = write(folder, *ROWS[:2])
    path = folder / "one.jpg.json"
    path.write_text(path.read_text().replace('"a, b"', '"grandmother"'))
    sink = SidecarSinkFactory().open(str(folder), run_info(folder.parent))
    assert sink.recover(position) is False
    assert sink.keep(["one.jpg", "two.jpg"])
    sink.write(ROWS[2])
    sink.flush()
    sink.close()
    assert [record["file"] for record in records(folder)] == ["one.jpg", "two.jpg", "three.jpg"]
    assert "grandmother" in path.read_text()


def test_a_record_that_was_deleted_is_written_again(folder):
    position = write(folder, *ROWS[:2])
    (folder / "one.jpg.json").unlink()
    sink = SidecarSinkFactory().open(str(folder), run_info(folder.parent))
    assert sink.recover(position) is False
    assert not sink.keep(["one.jpg", "two.jpg"])
    assert sink.recover(0)
    for row in ROWS[:2]:
        sink.write(row)
    sink.flush()
    sink.close()
    assert records(folder) == list(ROWS[:2])
