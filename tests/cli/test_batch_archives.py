"""`olpipe batch` over archives: what is described, what costs nothing the next time, and what is a failure."""

import gzip
import io
import json
import os
import tarfile
import zipfile

import pytest

from olpipe.archives.opened import close_archives
from olpipe.testing.images import photo

SINKS = ("jsonl", "sidecar", "csv", "sqlite")


@pytest.fixture(autouse=True)
def _close():
    yield
    close_archives()


def of(name):
    """Return a photo whose pixels are not those of another name."""
    return photo(mark=name)


def zipped(path, *names, **files):
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(name, of(name))
        for name, data in files.items():
            archive.writestr(f"{name}.jpg", data)
    return path


def tarred(path, *names):
    with tarfile.open(path, "w:gz") as archive:
        for name in names:
            info = tarfile.TarInfo(name)
            info.size = len(of(name))
            archive.addfile(info, io.BytesIO(of(name)))
    return path


def test_photos_in_archives_are_described_once(batch):
    batch.put("a.jpg")
    inputs = [
        zipped(batch.photos / "x.zip", "day/b.jpg"),
        tarred(batch.photos / "y.tgz", "d.jpg", "c.jpg"),
        batch.photos,
    ]
    code, said = batch.run(inputs=inputs)
    assert (code, said.splitlines()[:2]) == (
        0,
        ["left out: 2 archives; give one itself to have its photos described", "4 photos: 4 records"],
    )
    assert batch.files == ["a.jpg", "x.zip/day/b.jpg", "y.tgz/d.jpg", "y.tgz/c.jpg"]
    assert batch.report["passed_by"]["archives"] == 2
    assert "4 photos: 4 records (0 new)" in batch.run(inputs=inputs)[1]
    assert {path.name for path in batch.photos.iterdir()} == {"a.jpg", "x.zip", "y.tgz"}


def test_another_recipe_reads_a_compressed_tar_again_and_is_told_its_names(batch):
    path = tarred(batch.photos / "a.tgz", "b.jpg", "a.jpg")
    batch.run(inputs=[path])
    assert "2 photos: 2 records\n" in batch.run("--prompt", "{file} in {folder}", inputs=[path])[1]


def test_what_is_wrong_in_an_archive_is_a_row_and_the_rest_is_described(batch):
    path = zipped(batch.photos / "x.zip", "good.jpg", "secret.jpg", text=b"Dear diary", empty=b"")
    data = bytearray(path.read_bytes())
    data[data.rindex(b"secret.jpg") - 38] |= 1  # encrypted, as the directory says
    path.write_bytes(data)
    bad = batch.photos / "bad.tar"
    with tarfile.open(bad, "w") as archive:
        for name in ("a.jpg", "b.jpg"):
            info = tarfile.TarInfo(name)
            info.size = len(of(name))
            archive.addfile(info, io.BytesIO(of(name)))
        end = archive.offset
    bad.write_bytes(bad.read_bytes()[: end - 600])
    (batch.photos / "no.zip").write_bytes(b"no")
    code, _ = batch.run(inputs=[path, bad, batch.photos / "no.zip"])
    assert (code, batch.files) == (3, ["bad.tar/a.jpg", "x.zip/good.jpg"])
    told = {row["file"]: (row["kind"], row["message"].partition(":")[0]) for row in batch.failures}
    assert told == {
        "bad.tar": ("unreadable", "the archive is damaged"),
        "bad.tar/b.jpg": ("unreadable", "the file in its archive is damaged"),
        "no.zip": ("unreadable", "the archive is damaged"),
        "x.zip/secret.jpg": ("unreadable", "the file is encrypted in its archive"),
        "x.zip/text.jpg": ("unreadable", "the file does not hold an image"),
        "x.zip/empty.jpg": ("unreadable", "the file is empty"),
    }


def test_names_that_lead_out_stay_inside_and_write_nothing_elsewhere(batch, tmp_path):
    path = zipped(batch.photos / "x.zip", "../../evil.jpg", "/tmp/abs.jpg", "C:\\win.jpg")
    sinks = [part for sink in SINKS for part in ("--sink", sink)]
    assert batch.run(*sinks, inputs=[path])[0] == 0
    assert sorted(batch.files) == ["x.zip/evil.jpg", "x.zip/tmp/abs.jpg", "x.zip/win.jpg"]
    assert sorted(other.name for other in tmp_path.iterdir()) == ["home", "out", "photos", "site"]
    assert [other.name for other in tmp_path.rglob("evil*")] == ["evil.jpg.json"]
    assert (batch.output / "sidecars" / "x.zip" / "evil.jpg.json").is_file()


def test_sidecars_beside_photos_leave_out_those_in_archives_and_say_so(batch):
    batch.put("a.jpg")
    path = zipped(batch.photos / "x.zip", "b.jpg")
    beside = ("--sink", f"sidecar:{batch.photos}")
    code, said = batch.run(*beside, inputs=[path, batch.photos])
    assert (code, "1 photo lies in archives and got no sidecars there" in said) == (0, True)
    assert (batch.photos / "a.jpg.json").is_file()
    assert "0 new" in batch.run(*beside, inputs=[path, batch.photos])[1]
    (batch.photos / "a.jpg.json").write_text('{"file":"a.jpg","alt":"mine"}')
    assert batch.run(*beside, inputs=[path, batch.photos])[0] == 0
    assert "mine" in (batch.photos / "a.jpg.json").read_text()


def test_the_page_leads_to_the_archive_and_shows_thumbnails(batch):
    path = tarred(batch.photos / "my trip.tgz", "b.jpg", "a.jpg")
    batch.run("--no-page", inputs=[path])
    assert "making 2 thumbnails for the page" in batch.run(inputs=[path])[1]
    (data,) = (batch.output / "index_files").glob("photos-*.js")
    entries = json.loads(json.loads(data.read_text()[len("olpipePage.take(JSON.parse(") : -len("));\n")]))
    assert [(entry["file"], entry["href"], entry["archived"]) for entry in entries] == [
        ("my trip.tgz/b.jpg", "../photos/my%20trip.tgz", True),
        ("my trip.tgz/a.jpg", "../photos/my%20trip.tgz", True),
    ]
    assert len(list((batch.output / "index_files" / ".thumbnails").rglob("*.jpg"))) == 2


@pytest.fixture
def kept(isolated_home):
    """Return what is kept of the archives that were looked through: the file of the only one."""
    return lambda: next((isolated_home / "cache" / "archives").glob("*.json"))


def again(batch, path):
    """Run the same command in what is a new process for archives, and return its first line."""
    close_archives()
    return batch.run(inputs=[path])[1].splitlines()[0]


def test_a_compressed_tar_that_has_not_changed_is_not_looked_through_again(batch, kept):
    path = tarred(batch.photos / "a.tgz", "b.jpg", "a.jpg")
    assert again(batch, path) == "2 photos: 2 records"
    document = json.loads(kept().read_text())
    document["entries"].pop()
    kept().write_text(json.dumps(document))
    assert again(batch, path) == "1 photo: 1 record (0 new)"  # it was taken from there


@pytest.mark.parametrize("junk", [b"", b"{", b"[]", b'{"state": 1}', b"\xff", b'{"state":{},"entries":[],"links":0}'])
def test_a_compressed_tar_is_looked_through_where_junk_is_kept_of_it(batch, kept, junk):
    path = tarred(batch.photos / "a.tgz", "b.jpg", "a.jpg")
    again(batch, path)
    kept().write_bytes(junk)
    assert again(batch, path) == "2 photos: 2 records (0 new)"
    assert json.loads(kept().read_text())["entries"]


def test_a_compressed_tar_that_was_changed_without_another_size_and_time_is_looked_through_again(batch, kept):
    path, sizes = batch.photos / "a.tgz", set()
    for name in ("b.jpg", "c.jpg"):
        with (
            gzip.GzipFile(path, "wb", compresslevel=0, mtime=0) as packed,
            tarfile.open(fileobj=packed, mode="w") as tar,
        ):
            info = tarfile.TarInfo(name)
            info.size = len(of("x"))
            tar.addfile(info, io.BytesIO(of("x")))
        os.utime(path, (1_700_000_000, 1_700_000_000))
        again(batch, path)
        sizes.add(path.stat().st_size)
        assert json.loads(kept().read_text())["entries"][0][1] == name
    assert len(sizes) == 1
    assert batch.files[-1] == "a.tgz/c.jpg"


def test_a_cache_that_cannot_be_written_stops_no_run(batch, isolated_home):
    (isolated_home / "cache").mkdir(exist_ok=True)
    (isolated_home / "cache" / "archives").write_text("in the way")
    assert again(batch, tarred(batch.photos / "a.tgz", "a.jpg")) == "1 photo: 1 record"


def test_a_damaged_archive_is_told_in_every_run(batch, isolated_home):
    path = tarred(batch.photos / "a.tgz", "b.jpg", "a.jpg")
    path.write_bytes(path.read_bytes()[:-60])
    for _ in range(2):
        again(batch, path)
        assert "a.tgz" in [row["file"] for row in batch.failures]
    assert not list((isolated_home / "cache").rglob("archives/*.json"))
