"""`olpipe batch` over archives: what is described, what costs nothing the next time, and what is a failure."""

import io
import json
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
