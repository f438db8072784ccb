"""Photos in archives: sidecars have a folder of their own, and archives stay as they are."""

import zipfile

import pytest

from olpipe.archives.opened import close_archives


@pytest.fixture
def packed(photos):
    """Return the record of a photo that lies in an archive only."""
    path = photos.put("day/cat.jpg")
    photos.write("xmp-embed", photos.row("day/cat.jpg", tags=["earlier"]))
    row = photos.row("day/cat.jpg")
    with zipfile.ZipFile(photos.root / "x.zip", "w") as archive:
        archive.write(path, "day/cat.jpg")
    path.unlink()
    yield {**row, "file": "x.zip/day/cat.jpg"}
    close_archives()


def test_a_sidecar_lies_in_a_folder_like_the_archive_and_begins_with_what_the_photo_holds(photos, packed):
    photos.write("xmp", packed)
    text = (photos.output / "xmp" / "x.zip" / "day" / "cat.jpg.xmp").read_text(encoding="utf-8")
    assert "<rdf:li>lawn</rdf:li>" in text


@pytest.mark.parametrize(("sink", "reason"), [("xmp-beside", "folder of their own"), ("xmp-embed", "stays as it is")])
def test_nothing_is_written_beside_or_into_a_photo_in_an_archive(photos, packed, caplog, sink, reason):
    before = (photos.root / "x.zip").read_bytes()
    position = photos.write(sink, packed)
    assert "`x.zip/day/cat.jpg` gets no XMP: it lies in an archive" in caplog.text
    assert reason in caplog.text
    assert (photos.root / "x.zip").read_bytes() == before
    assert photos.reaches(sink, position)
