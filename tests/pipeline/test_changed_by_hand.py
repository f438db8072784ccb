"""Rows that somebody has changed by hand stay, or the file that held them is kept beside the new one."""

import json

import pytest

from olpipe.default_plugins.sinks.jsonl import JsonlSinkFactory
from olpipe.pipeline.ledger import RECORD, Ledger
from olpipe.pipeline.write import Outlet, Writer
from olpipe.testing.contracts.sinks import run_info

NAMES = ["a.jpg", "b.jpg", "c.jpg"]


@pytest.fixture
def write(folder):
    """Return a function that brings records.jsonl up to date, and returns its lines' files."""

    def write(*names):
        for name in names:
            folder.put(name)
        folder.describe()
        with Ledger(folder.output) as ledger:
            ledger.begin("k1", folder.targets)
            sink = JsonlSinkFactory().open("records.jsonl", run_info(folder.output))
            with Writer(ledger, {folder.record_target: Outlet(sink, RECORD)}) as writer:
                writer.start()
        lines = (folder.output / "records.jsonl").read_text(encoding="utf-8").splitlines()
        return [json.loads(line)["file"] for line in lines]

    return write


@pytest.fixture
def path(folder, write):
    """Write three rows, and return the file that holds them."""
    assert write(*NAMES) == NAMES
    return folder.output / "records.jsonl"


def aside(path):
    """Return what was kept beside a file, oldest first."""
    return [found.read_bytes() for found in sorted(path.parent.glob(f"{path.name}.*"))]


def dumped(data, **options):
    return b"".join(json.dumps(json.loads(line), **options).encode() + b"\n" for line in data.splitlines())


@pytest.mark.parametrize("new", [["d.jpg"], []], ids=["a photo more", "nothing new"])
@pytest.mark.parametrize("title", [b"k1, and its whiskers are white", b"", b"k2"], ids=["longer", "shorter", "as long"])
@pytest.mark.parametrize("place", [0, 1, 2], ids=["first", "middle", "last"])
def test_a_text_corrected_by_hand_stays_and_new_rows_follow_it(path, write, place, title, new, caplog):
    lines = path.read_bytes().splitlines(keepends=True)
    lines[place] = lines[place].replace(b'"k1"', b'"%s"' % title)
    corrected = b"".join(lines)
    path.write_bytes(corrected)
    assert write(*new) == NAMES + new
    assert path.read_bytes().startswith(corrected)
    assert caplog.messages == [f"`{path}` was changed by hand: its rows stay as they are, and new rows follow them"]
    assert write("e.jpg") == [*NAMES, *new, "e.jpg"]  # and it is told once
    assert path.read_bytes().startswith(corrected)
    assert (len(caplog.messages), aside(path)) == (1, [])


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data.rstrip(b"\n"),
        lambda data: data.replace(b"\n", b"\r\n"),
        lambda data: dumped(data),
        lambda data: dumped(data, sort_keys=True),
        lambda data: b"".join(sorted(data.splitlines(keepends=True), reverse=True)),
    ],
    ids=["without the last line end", "other line ends", "other spaces", "other order of keys", "other order of rows"],
)
def test_a_file_that_a_program_has_written_anew_stays_while_it_has_every_row(path, write, change):
    changed = change(path.read_bytes())
    path.write_bytes(changed)
    assert sorted(write("d.jpg")) == [*NAMES, "d.jpg"]
    assert path.read_bytes().startswith(changed)
    assert aside(path) == []


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data.split(b"\n", 1)[1],
        lambda data: data + b'{"file":"mine.jpg","alt":"Mine."}\n',
        lambda data: data + b"a note of mine",
        lambda data: data + data,
        lambda data: data.replace(b'"title":', b'"title",', 1),
        lambda data: data[: len(data) // 2] + bytes(len(data) - len(data) // 2),
    ],
    ids=["a row taken out", "a row added", "a note added", "every row twice", "no JSON any more", "half of it zeros"],
)
def test_a_file_without_exactly_its_rows_is_written_anew_and_kept(path, write, change, caplog):
    whole = path.read_bytes()
    changed = change(whole)
    path.write_bytes(changed)
    assert write() == NAMES
    assert path.read_bytes() == whole
    assert aside(path) == [changed]
    assert caplog.messages == [f"`{path}` was not as the last run left it: what it held is kept as `records.jsonl.1`"]
    path.write_bytes(changed)
    assert write("d.jpg") == [*NAMES, "d.jpg"]
    assert aside(path) == [changed, changed]


@pytest.mark.parametrize("after", ["another text", "nothing"])
def test_corrected_rows_that_are_no_longer_true_are_kept_beside_the_new_ones(folder, path, write, after):
    corrected = path.read_bytes().replace(b'"k1"', b'"mine"', 1)
    path.write_bytes(corrected)
    if after == "nothing":
        write()  # the correction was seen before
    (folder.photos / "a.jpg").rename(folder.photos / "z.jpg")
    assert sorted(write()) == ["b.jpg", "c.jpg", "z.jpg"]
    assert aside(path) == [corrected]


def test_rows_that_nobody_has_changed_are_replaced_and_not_kept(folder, path, write):
    (folder.photos / "a.jpg").rename(folder.photos / "z.jpg")
    assert sorted(write()) == ["b.jpg", "c.jpg", "z.jpg"]
    assert aside(path) == []


@pytest.mark.parametrize("torn", [0, 10])
def test_rows_that_a_killed_run_left_behind_its_position_are_its_own(folder, path, write, torn, caplog):
    with Ledger(folder.output) as ledger:
        ledger.begin("k1", folder.targets)
        before = ledger.state(folder.record_target)
    write("d.jpg", "e.jpg")
    whole = path.read_bytes()
    folder.advance(before)
    path.write_bytes(whole[: len(whole) - torn])
    assert write() == [*NAMES, "d.jpg", "e.jpg"]
    assert path.read_bytes() == whole
    assert (aside(path), caplog.messages) == ([], [])
