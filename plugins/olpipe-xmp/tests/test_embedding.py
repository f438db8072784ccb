"""Photos that are written into: their pixels stay, their first state is kept, and no row is lost or comes twice."""

import errno
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
from PIL import Image, PngImagePlugin

SUBJECT = "{http://purl.org/dc/elements/1.1/}subject"
LI = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}li"
OTHERS = b"<x:xmpmeta xmlns:x='adobe:ns:meta/'>" + (
    b"<rdf:RDF xmlns:rdf='http://www.w3.org/1999/02/22-rdf-syntax-ns#'><rdf:Description rdf:about='' "
    b"xmlns:dc='http://purl.org/dc/elements/1.1/'><dc:subject><rdf:Bag><rdf:li>Rex</rdf:li></rdf:Bag></dc:subject>"
    b"</rdf:Description></rdf:RDF></x:xmpmeta>"
)


def tags_in(path):
    with Image.open(path) as photo:
        packet = photo.info["xmp"]
    return [item.text for item in next(ElementTree.fromstring(packet).iter(SUBJECT)).iter(LI)]


def pieces(data):
    """Return the parts of a JPEG or PNG that hold no XMP, as this test takes files apart."""
    if data.startswith(b"\x89PNG"):
        at, found = 8, []
        while at < len(data):
            end = at + 12 + int.from_bytes(data[at : at + 4], "big")
            found.append(data[at:end])
            at = end
        return [part for part in found if b"XML:com.adobe.xmp" not in part]
    at, found = 2, []
    while data[at + 1] != 0xDA:
        end = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        found.append(data[at:end])
        at = end
    return [part for part in found if b"http://ns.adobe.com/x" not in part] + [data[at:]]


KINDS = {
    "plain.jpg": {},
    "progressive.jpg": {"progressive": True},
    "profile.jpg": {"icc_profile": bytes(200000), "comment": b"mine"},
    "others.jpg": {"xmp": OTHERS},
    "plain.png": {},
}


KEPT = ("st_mtime_ns", "st_mode", "st_uid", "st_gid")


@pytest.mark.parametrize("name", KINDS)
def test_only_the_xmp_changes(photos, name):
    path = photos.put(name, orientation=6, **KINDS[name])
    path.chmod(0o640)
    if os.geteuid() == 0:
        os.chown(path, 1234, 1234)
    os.utime(path, ns=(10**18, 10**18))
    before, status = path.read_bytes(), path.stat()
    photos.write("xmp-embed", photos.row(name))
    after = path.read_bytes()
    assert after != before
    assert pieces(after) == pieces(before)
    assert tags_in(path) == (["Rex"] if "xmp" in KINDS[name] else []) + ["dog", "lawn"]
    assert [getattr(path.stat(), one) for one in KEPT] == [getattr(status, one) for one in KEPT]
    assert (photos.output / "xmp-embed/.olpipe-originals" / name).read_bytes() == before


def png_with(photos, *chunks):
    """Save a PNG with these chunks of text in front of the pixels, and return its path."""
    path, info = photos.root / "a.png", PngImagePlugin.PngInfo()
    for chunk in chunks:
        info.add_itxt("XML:com.adobe.xmp", *chunk)
    Image.effect_noise((30, 40), 50).save(path, pnginfo=info)
    return path


@pytest.mark.parametrize("compressed", [False, True])
def test_a_png_that_has_xmp_keeps_it(photos, compressed):
    path = png_with(photos, (OTHERS.decode(), "en", "XMP", compressed))
    photos.write("xmp-embed", photos.row("a.png"))
    assert tags_in(path) == ["Rex", "dog", "lawn"]
    assert path.read_bytes().count(b"XML:com.adobe.xmp") == 1


def test_a_png_whose_xmp_would_fill_the_memory_is_left_out(photos, caplog):
    path = png_with(photos, (" " * (65 << 20), "", "", True))
    before = path.read_bytes()
    photos.write("xmp-embed", photos.row("a.png"))
    assert caplog.messages == ["`a.png` gets no XMP: its XMP has more than 64 MB"]
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"RIFF\0\0\0\0WEBP", "XMP goes only into JPEG and PNG; `xmp` and `xmp-beside` write sidecars for all formats"),
        (b"\xff\xd8\xff\xe1\xff\xff cut", "it is a damaged JPEG"),
        (b"\x89PNG\r\n\x1a\n\0\0", "it is a damaged PNG"),
        (None, "it is not there any more"),
    ],
)
def test_a_photo_that_cannot_be_written_into_is_left_out_and_the_others_go_on(photos, caplog, data, reason):
    photos.put("b.jpg")
    (photos.root / "a.jpg").write_bytes(data or b"")
    rows = [photos.row("a.jpg"), photos.row("b.jpg")]
    if data is None:
        (photos.root / "a.jpg").unlink()
    photos.write("xmp-embed", *rows)
    assert caplog.messages == [f"`a.jpg` gets no XMP: {reason}"]
    assert tags_in(photos.root / "b.jpg") == ["dog", "lawn"]
    listed = [json.loads(line) for line in (photos.output / "xmp-embed/.olpipe-xmp.jsonl").read_bytes().splitlines()]
    assert listed == [{"file": "a.jpg", "left_out": reason}, {"file": "b.jpg"}]
    if data is not None:
        assert (photos.root / "a.jpg").read_bytes() == data


def test_a_photo_that_was_edited_since_it_was_described_is_left_out(photos, caplog):
    photos.put("a.jpg")
    row = photos.row("a.jpg")
    edited = photos.put("a.jpg", comment=b"edited").read_bytes()
    photos.write("xmp-embed", row)
    assert caplog.messages == ["`a.jpg` gets no XMP: it has changed since it was described"]
    assert (photos.root / "a.jpg").read_bytes() == edited


def test_only_some_of_many_reasons_are_told(photos, caplog):
    for number in range(9):
        (photos.root / f"{number}.webp").write_bytes(b"RIFF")
    photos.write("xmp-embed", *(photos.row(f"{number}.webp") for number in range(9)))
    assert len(caplog.messages) == 6
    assert caplog.messages[-1].startswith("9 photos got no XMP: `")


def test_the_first_state_is_kept_however_often_the_photo_is_written(photos):
    path = photos.put("trip/a.jpg")
    first = path.read_bytes()
    row = photos.row("trip/a.jpg")
    for tag in ("one", "two", "three"):
        photos.write("xmp-embed", {**row, "tags": [tag]})
    assert tags_in(path) == ["three"]
    kept = photos.output / "xmp-embed/.olpipe-originals/trip"
    assert [found.read_bytes() for found in kept.iterdir()] == [first]


def test_another_photo_under_the_same_name_has_its_first_state_kept_too(photos):
    first = photos.put("a.jpg").read_bytes()
    photos.write("xmp-embed", photos.row("a.jpg"))
    second = photos.put("a.jpg", comment=b"another").read_bytes()
    photos.write("xmp-embed", photos.row("a.jpg"))
    kept = photos.output / "xmp-embed/.olpipe-originals"
    assert (kept / "a.jpg").read_bytes() == second
    assert (kept / "a.jpg.1").read_bytes() == first


def test_a_link_stays_a_link_and_its_photo_is_written_into(photos):
    path = photos.put("real.jpg")
    (photos.root / "link.jpg").symlink_to(path)
    photos.write("xmp-embed", photos.row("link.jpg"))
    assert (photos.root / "link.jpg").is_symlink()
    assert tags_in(path) == ["dog", "lawn"]


def test_a_full_disk_stops_the_run_and_leaves_the_photo_as_it_was(photos, monkeypatch):
    path = photos.put("a.jpg")
    before = path.read_bytes()
    row = photos.row("a.jpg")

    def full(file):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        photos.write("xmp-embed", row)
    assert path.read_bytes() == before
    assert [found.name for found in photos.root.iterdir() if found.suffix == ".new"] == []


RUN = """
import json, sys
sys.path[:0] = json.loads(sys.argv[3])
from pathlib import Path
from olpipe.testing.contracts.sinks import opened, run_info
import olpipe_xmp
(factory,) = [one for one in olpipe_xmp.register_sinks() if one.scheme == sys.argv[1]]
root = Path(sys.argv[2])
with opened(factory, factory.usual_target, run_info(root / "out"), 0) as sink:
    for row in json.loads((root / "rows.json").read_text(encoding="utf-8")):
        sink.write(row)
        print(sink.flush(), flush=True)
    sys.stdin.read()  # wait to be killed, however fast this was
"""


@pytest.mark.examples(1)
@pytest.mark.parametrize("sink", ["xmp", "xmp-beside", "xmp-embed"])
def test_after_a_sudden_end_no_row_is_lost_and_no_tag_comes_twice(photos, sink):
    names = [f"{number:03}.jpg" for number in range(30)]
    for name in names:
        photos.put(name)
    rows = [photos.row(name) for name in names]
    (photos.root / "rows.json").write_text(json.dumps(rows), encoding="utf-8")
    # 1. A process that is killed while it writes: the ledger would know the position that came last
    command = [sys.executable, "-c", RUN, sink, str(photos.root), json.dumps(sys.path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        for _ in range(9):
            position = int(process.stdout.readline())
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
    # 2. The next run goes on there, and writes everything behind it again
    photos.write(sink, *rows[9:], position=position)
    places = {"xmp": photos.output / "xmp", "xmp-beside": photos.root}
    for name in names:
        if sink == "xmp-embed":
            assert tags_in(photos.root / name) == ["dog", "lawn"]
        else:
            found = ElementTree.parse(Path(places[sink], f"{name}.xmp"))
            assert [item.text for item in next(found.iter(SUBJECT)).iter(LI)] == ["dog", "lawn"]
    assert [path.name for path in photos.root.rglob("*.new")] == []


# A list of one picture, as TIFF writes it: version, number of pictures, and an entry for each
PICTURES = (
    b"MM\0*\0\0\0\x08\0\x03"
    b"\xb0\0\0\x07\0\0\0\x040100"
    b"\xb0\x01\0\x04\0\0\0\x01\0\0\0\x01"
    b"\xb0\x02\0\x07\0\0\0\x10\0\0\0\x32\0\0\0\0" + bytes(16)
)


def segment(marker, payload):
    return bytes([0xFF, marker]) + (len(payload) + 2).to_bytes(2, "big") + payload


@pytest.mark.parametrize("place", ["in front of", "behind"])
def test_a_jpeg_with_several_pictures_keeps_the_places_of_the_others(photos, caplog, place):
    """The list of pictures counts from itself. So what stands behind it must not grow."""
    path = photos.put("a.jpg", xmp=OTHERS)
    start, (xmp,) = path.read_bytes(), [segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + OTHERS)]
    pictures = segment(0xE2, b"MPF\0" + PICTURES)
    bare = start.replace(xmp, b"")
    path.write_bytes(bare[:2] + (xmp + pictures if place == "in front of" else pictures + xmp) + bare[2:])
    before = path.read_bytes()
    photos.write("xmp-embed", photos.row("a.jpg"))
    after = path.read_bytes()
    if place == "behind":
        assert caplog.messages == [
            "`a.jpg` gets no XMP: it holds several pictures, and its XMP stands behind their list"
        ]
        assert after == before
    else:
        assert tags_in(path) == ["Rex", "dog", "lawn"]
        assert after[after.index(pictures) :] == before[before.index(pictures) :]
