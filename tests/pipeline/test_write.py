"""Sinks follow the ledger: exactly its rows, whatever happened to the file in between."""

import json

import pytest

from olpipe.default_plugins.sinks.jsonl import JsonlSinkFactory
from olpipe.errors import OutputUnavailable
from olpipe.interfaces import RunInfo, Sink
from olpipe.pipeline.ledger import FAILURE, RECORD, Ledger
from olpipe.pipeline.write import Outlet, Writer
from tests.pipeline.conftest import outcome


def run_info(output):
    return RunInfo(
        root=output.parent / "photos",
        output=output,
        schema={"type": "object"},
        recipe="r",
        recipe_key="k1",
        model="m:latest",
        model_digest="sha256:0",
    )


@pytest.fixture
def written(folder):
    """Return a function that brings records.jsonl up to date and returns its lines' files."""

    def write():
        with Ledger(folder.output) as ledger:
            ledger.begin("k1", folder.targets)
            sink = JsonlSinkFactory().open("records.jsonl", run_info(folder.output))
            with Writer(ledger, {folder.record_target: Outlet(sink, RECORD)}) as writer:
                writer.start()
        lines = (folder.output / "records.jsonl").read_text(encoding="utf-8").splitlines()
        return [json.loads(line)["file"] for line in lines]

    return write


def test_rows_are_appended_and_never_twice(folder, written):
    folder.put("a.jpg")
    folder.describe()
    assert written() == ["a.jpg"]
    first = (folder.output / "records.jsonl").stat()
    folder.put("b.jpg")
    folder.describe()
    assert written() == ["a.jpg", "b.jpg"]
    assert written() == ["a.jpg", "b.jpg"]
    assert (folder.output / "records.jsonl").stat().st_ino == first.st_ino  # grown, not written again
    assert folder.state().position > first.st_size


def test_a_target_without_rows_does_not_make_every_photo_look_through_all_others(folder):
    for number in range(5):
        folder.put(f"{number}.jpg")
    looked = []

    class Noting(Ledger):
        def rows_after(self, kind, seq):
            looked.append((kind, self.newest() - seq))
            return super().rows_after(kind, seq)

    sinks = {kind: JsonlSinkFactory().open(f"{kind}s.jsonl", run_info(folder.output)) for kind in (RECORD, FAILURE)}
    with Noting(folder.output) as ledger:
        ledger.begin("k1", {"records": RECORD, "failures": FAILURE})
        outlets = {"records": Outlet(sinks[RECORD], RECORD), "failures": Outlet(sinks[FAILURE], FAILURE)}
        with Writer(ledger, outlets) as writer:
            writer.start()
            for image in folder.images():
                ledger.commit(outcome(image, image.name, "k1"), [image])
                writer.append()
            writer.flush()
    assert looked == [(RECORD, 0), (FAILURE, 0), *[(RECORD, 1), (FAILURE, 1)] * 5, (RECORD, 0), (FAILURE, 0)]


def test_without_rows_the_file_is_there_and_empty(folder, written):
    assert written() == []


@pytest.mark.parametrize("tail", [b'{"file":"b.j', b'{"file":"b.jpg"}\n', b"\n\n", b"\xff" * 5000])
def test_what_lies_behind_the_committed_position_is_cut(folder, written, tail):
    folder.put("a.jpg")
    folder.describe()
    written()
    with (folder.output / "records.jsonl").open("ab") as file:
        file.write(tail)
    folder.put("b.jpg")
    folder.describe()
    assert written() == ["a.jpg", "b.jpg"]


@pytest.mark.parametrize("damage", ["remove", "shorten", "empty", "zeros"])
def test_a_file_that_lost_rows_is_written_again(folder, written, damage):
    for name in ("a.jpg", "b.jpg"):
        folder.put(name)
    folder.describe()
    written()
    path = folder.output / "records.jsonl"
    if damage == "remove":
        path.unlink()
    else:
        kept = path.read_bytes()[: 0 if damage == "empty" else -10]
        path.write_bytes(kept + bytes(10 if damage == "zeros" else 0))
    assert written() == ["a.jpg", "b.jpg"]


def test_a_file_that_starts_over_keeps_the_old_rows_until_the_new_are_complete(folder, tmp_path):
    path = tmp_path / "rows.jsonl"
    old = b'{"file":"old.jpg"}\n'
    path.write_bytes(old)
    sink = JsonlSinkFactory().open(path.name, run_info(tmp_path))
    assert sink.recover(0)
    sink.write({"file": "a.jpg"})
    assert path.read_bytes() == old
    first = sink.flush()
    assert path.read_bytes() == b'{"file":"a.jpg"}\n'
    sink.write({"file": "b.jpg"})
    assert sink.flush() > first > 0
    sink.close()
    assert path.read_bytes() == b'{"file":"a.jpg"}\n{"file":"b.jpg"}\n'
    assert [found.name for found in tmp_path.iterdir() if found.suffix == ".new"] == []


def test_rows_that_are_no_longer_true_leave_the_file(folder, written):
    for name in ("a.jpg", "b.jpg", "c.jpg"):
        folder.put(name)
    folder.describe()
    assert written() == ["a.jpg", "b.jpg", "c.jpg"]
    folder.put("a.jpg", b"changed")
    (folder.photos / "b.jpg").rename(folder.photos / "z.jpg")
    folder.describe()
    assert written() == ["z.jpg", "c.jpg", "a.jpg"]


@pytest.mark.parametrize("before", ["nothing", "rows"])
@pytest.mark.parametrize("data", [b"my notes\n", b'{"files": []}', b"[]", b"\x00" * 9, b"my notes\n" * 1000])
def test_a_file_of_somebody_else_is_not_replaced(folder, written, data, before):
    folder.put("a.jpg")
    folder.describe()
    if before == "rows":
        written()
    path = folder.output / "records.jsonl"
    path.write_bytes(data)
    with pytest.raises(OutputUnavailable) as caught:
        written()
    assert caught.value.message == f"`{path}` holds something else than rows, and is not replaced"
    assert caught.value.hint == "move it away, or name another target: `jsonl:TARGET`"
    assert path.read_bytes() == data


@pytest.mark.parametrize("data", [b"", b'{"fi', b'{"file":"a.jpg","sha'])
def test_what_a_power_cut_left_of_our_first_row_is_replaced(folder, written, data):
    folder.put("a.jpg")
    folder.describe()
    (folder.output / "records.jsonl").write_bytes(data)
    assert written() == ["a.jpg"]


class Memory(Sink):
    """Keeps rows in a list, and fails at those that it is told to fail at."""

    def __init__(self, *, fails_at=None, error=None):
        self.rows = []
        self.calls = []
        self.fails_at, self.error = fails_at, error

    def recover(self, position):
        self.calls.append(f"recover {position}")
        del self.rows[position:]
        return len(self.rows) == position

    def write(self, row):
        self.calls.append(f"write {row['file']}")
        if row["file"] == self.fails_at:
            raise self.error
        self.rows.append(row["file"])

    def flush(self):
        self.calls.append("flush")
        return len(self.rows)

    def close(self):
        self.calls.append("close")


@pytest.fixture
def two_sinks(folder):
    """Return a function that brings two sinks up to date, as a run does."""
    targets = {"one:x": RECORD, "two:y": RECORD}

    def write(one, two):
        with Ledger(folder.output) as ledger:
            ledger.begin("k1", targets)
            with Writer(ledger, {"one:x": Outlet(one, RECORD), "two:y": Outlet(two, RECORD)}) as writer:
                try:
                    writer.start()
                except RuntimeError:
                    writer.flush()  # as a run does at its end, whatever went wrong
                    raise
            return ledger.state("one:x").position, ledger.state("two:y").position

    return write


def test_each_of_two_sinks_goes_on_where_it_was(folder, two_sinks):
    one, two = Memory(), Memory()
    folder.put("a.jpg")
    folder.describe()
    assert two_sinks(one, two) == (1, 1)
    folder.put("b.jpg")
    folder.describe()
    two.rows.clear()  # somebody removed what it had
    assert two_sinks(one, two) == (2, 2)
    assert one.rows == two.rows == ["a.jpg", "b.jpg"]
    assert "recover 0" not in one.calls[4:]
    assert two.calls[4:6] == ["recover 1", "recover 0"]


def test_a_sink_that_failed_gets_nothing_more_and_the_other_all(folder, two_sinks):
    for name in ("a.jpg", "b.jpg", "c.jpg"):
        folder.put(name)
    folder.describe()
    broken, whole = Memory(fails_at="b.jpg", error=RuntimeError("no")), Memory()
    with pytest.raises(RuntimeError, match="no"):
        two_sinks(broken, whole)
    assert broken.calls == ["recover 0", "write a.jpg", "write b.jpg", "close"]
    assert whole.rows == ["a.jpg", "b.jpg", "c.jpg"]
    assert whole.calls[-2:] == ["flush", "close"]
    mended = Memory()
    assert two_sinks(mended, whole) == (3, 3)
    assert mended.rows == whole.rows == ["a.jpg", "b.jpg", "c.jpg"]


class Stamps(Sink):
    """Writes into the photos themselves, and says so."""

    def __init__(self, photos):
        self.photos, self.rows, self.changed = photos, [], []

    def recover(self, position):
        return position in (0, 9)

    def write(self, row):
        self.rows.append(row["file"])

    def flush(self):
        self.changed, self.rows = self.rows, []
        for name in self.changed:
            (self.photos / name).write_bytes((self.photos / name).read_bytes() + b" with keywords")
        return 9

    def changed_photos(self):
        return self.changed

    def close(self):
        pass


@pytest.fixture
def stamped(folder):
    """Return a function that lets a sink write into the photos."""

    def stamp():
        folder.targets["stamps:photos"] = RECORD
        with Ledger(folder.output) as ledger:
            ledger.begin("k1", folder.targets)
            with Writer(ledger, {"stamps:photos": Outlet(Stamps(folder.photos), RECORD)}) as writer:
                writer.start()

    return stamp


def test_photos_that_a_sink_has_changed_are_not_described_again_where_the_prompt_tells_their_names(folder, stamped):
    folder.told = lambda path: path.name
    folder.put("a.jpg")
    assert folder.describe() == ["a.jpg"]
    stamped()
    assert folder.describe() == []


def test_photos_that_a_sink_has_changed_are_not_described_again(folder, stamped):
    for name in ("a.jpg", "b.jpg"):
        folder.put(name)
    assert folder.describe() == ["a.jpg", "b.jpg"]
    stamped()
    assert (folder.photos / "a.jpg").read_bytes() == b"a.jpg with keywords"
    assert folder.describe() == []
    (folder.photos / "a.jpg").rename(folder.photos / "z.jpg")
    assert folder.describe() == []
    assert sorted(folder.rows()) == ["b.jpg", "z.jpg"]


def test_a_photo_that_somebody_else_has_changed_since_is_described_again(folder, stamped):
    folder.put("a.jpg")
    folder.describe()
    stamped()
    folder.put("a.jpg", b"edited, and longer than before")
    assert folder.describe() == ["a.jpg"]
