"""What somebody has written stays, what is ours follows the records, and nothing piles up."""

import os
from dataclasses import replace
from xml.etree import ElementTree

import pytest

from olpipe.errors import UsageError

DC = "{http://purl.org/dc/elements/1.1/}"
RDF = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}"
LANG = "{http://www.w3.org/XML/1998/namespace}lang"
MINE = """<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/">
 <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
  <!-- by hand -->
  <rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:dt="http://darktable.sf.net/"
    xmlns:digiKam="http://www.digikam.org/ns/1.0/" dt:auto_presets_applied="1">
   <dt:history><rdf:Seq><rdf:li dt:params="gz02eJxj"/>  <rdf:li dt:num="1">&lt;&amp;</rdf:li></rdf:Seq></dt:history>
   <dc:title><rdf:Alt><rdf:li xml:lang="x-default">Rex</rdf:li></rdf:Alt></dc:title>
   <dc:subject><rdf:Bag><rdf:li>Rex</rdf:li><rdf:li>Lawn</rdf:li></rdf:Bag></dc:subject>
   <digiKam:TagsList><rdf:Seq><rdf:li>Animals/Rex</rdf:li></rdf:Seq></digiKam:TagsList>
  </rdf:Description>
 </rdf:RDF>
</x:xmpmeta>
<?xpacket end="w"?>"""


def items(path, name):
    """Return the texts of a property, in their order."""
    found = next(ElementTree.fromstring(path.read_bytes()).iter(name), None)
    return [] if found is None else [item.text for item in found.iter(RDF + "li")]


def languages(path, name):
    found = next(ElementTree.fromstring(path.read_bytes()).iter(name))
    return {item.get(LANG): item.text for item in found.iter(RDF + "li")}


@pytest.fixture
def mine(photos):
    """Return the sidecar that somebody has written for `a.jpg`."""
    photos.put("a.jpg")
    path = photos.root / "a.jpg.xmp"
    path.write_text(MINE, encoding="utf-8")
    return path


def test_sidecars_lie_as_their_photos_do(photos):
    for name in ("trip/图.jpg", "trip/图.png", "raw.heic"):
        photos.put(name, format="JPEG")
    photos.write("xmp", *(photos.row(name) for name in ("trip/图.jpg", "trip/图.png", "raw.heic")))
    found = sorted(path.relative_to(photos.output / "xmp").as_posix() for path in photos.output.rglob("*.xmp"))
    assert found == ["raw.heic.xmp", "trip/图.jpg.xmp", "trip/图.png.xmp"]
    assert list(photos.root.glob("*.xmp")) == []


def test_nothing_of_a_sidecar_is_lost(photos, mine):
    os.utime(mine, ns=(10**18, 10**18))
    mine.chmod(0o640)
    photos.write("xmp-beside", photos.row("a.jpg"))
    assert mine.stat().st_mtime_ns > 10**18  # by this, programs see that they have to read it again
    assert mine.stat().st_mode & 0o777 == 0o640
    assert languages(mine, DC + "title") == {"x-default": "Rex"}
    assert items(mine, DC + "subject") == ["Rex", "Lawn", "dog"]
    assert items(mine, "{http://www.digikam.org/ns/1.0/}TagsList") == ["Animals/Rex", "dog", "lawn"]
    assert languages(mine, DC + "description") == dict.fromkeys(("x-default", "en"), "A dog lies on the lawn.")
    text = mine.read_text(encoding="utf-8")
    history = MINE[MINE.index("<dt:history>") : MINE.index("</dt:history>")]
    assert history in text
    assert "<!-- by hand -->" in text
    assert 'dt:auto_presets_applied="1"' in text
    (kept,) = (photos.output / "xmp-beside/.olpipe-originals").iterdir()
    assert (kept.name, kept.read_text(encoding="utf-8")) == ("a.jpg.xmp", MINE)


@pytest.mark.parametrize(
    ("options", "tags", "titles"),
    [
        ("", ["Rex", "Lawn", "dog"], {"x-default": "Rex"}),
        ("tags=keep,texts=append", ["Rex", "Lawn"], {"x-default": "Rex", "en": "A dog"}),
        ("tags=replace,texts=replace", ["dog", "lawn"], {"x-default": "A dog", "en": "A dog"}),
    ],
)
def test_who_writes_what_is_there_can_be_chosen(photos, mine, options, tags, titles):
    photos.write(f"xmp-beside:{options}", photos.row("a.jpg"))
    assert items(mine, DC + "subject") == tags
    assert languages(mine, DC + "title") == titles


def test_replacing_needs_something_to_put_there(photos, mine):
    photos.write("xmp-beside:tags=replace,texts=replace", {"file": "a.jpg", "tags": [], "title": None})
    assert items(mine, DC + "subject") == ["Rex", "Lawn"]
    assert languages(mine, DC + "title") == {"x-default": "Rex"}


@pytest.mark.parametrize("sink", ["xmp", "xmp-beside", "xmp-embed"])
def test_records_that_are_written_again_change_nothing(photos, mine, sink):
    row = photos.row("a.jpg")
    photos.write(sink, row)
    files = {path: path.stat() for path in photos.root.rglob("*a.jpg*")}
    photos.write(sink, row)
    assert {path: (path.stat().st_ino, path.stat().st_mtime_ns) for path in photos.root.rglob("*a.jpg*")} == {
        path: (status.st_ino, status.st_mtime_ns) for path, status in files.items()
    }


def test_tags_and_texts_of_earlier_records_go(photos, mine):
    photos.write("xmp-beside", photos.row("a.jpg", alt="first"))
    photos.write("xmp-beside", photos.row("a.jpg", tags=["cat", "rex"], description="A cat.", alt=None, objects=[]))
    assert items(mine, DC + "subject") == ["Rex", "Lawn", "cat"]
    assert languages(mine, DC + "description") == dict.fromkeys(("x-default", "en"), "A cat.")
    assert "first" not in mine.read_text(encoding="utf-8")
    assert "ImageRegion" not in mine.read_text(encoding="utf-8")


def test_a_tag_that_somebody_takes_away_does_not_come_back_with_the_same_record(photos, mine):
    row = photos.row("a.jpg")
    photos.write("xmp-beside", row)
    mine.write_text(mine.read_text(encoding="utf-8").replace("<rdf:li>dog</rdf:li>", "", 1), encoding="utf-8")
    photos.write("xmp-beside", row)
    assert items(mine, DC + "subject") == ["Rex", "Lawn"]


def test_texts_in_another_language_can_be_added(photos, mine):
    photos.write("xmp-beside:texts=append", photos.row("a.jpg", title="雷克斯"), run=replace(photos.run, language="zh"))
    assert languages(mine, DC + "title") == {"x-default": "Rex", "zh": "雷克斯"}


def test_a_run_whose_language_is_not_known_writes_the_default_alone(photos):
    photos.put("a.jpg")
    photos.write("xmp", photos.row("a.jpg"), run=replace(photos.run, language=""))
    assert languages(photos.output / "xmp/a.jpg.xmp", DC + "title") == {"x-default": "A dog"}


def test_a_sidecar_of_a_photo_that_was_renamed_goes_unless_somebody_has_changed_it(photos, mine):
    for name in ("b.jpg", "c.jpg", "d.jpg"):
        photos.put(name)
    photos.write("xmp-beside", *(photos.row(name) for name in ("a.jpg", "b.jpg", "c.jpg", "d.jpg")))
    changed = photos.root / "c.jpg.xmp"
    changed.write_text(changed.read_text(encoding="utf-8").replace("A dog", "My dog"), encoding="utf-8")
    photos.write("xmp-beside", photos.row("d.jpg"))
    assert sorted(path.name for path in photos.root.glob("*.xmp")) == ["a.jpg.xmp", "c.jpg.xmp", "d.jpg.xmp"]


def test_a_sidecar_that_is_gone_is_written_again(photos):
    photos.put("a.jpg")
    row = photos.row("a.jpg")
    position = photos.write("xmp", row)
    (photos.output / "xmp/a.jpg.xmp").unlink()
    assert photos.reaches("xmp", position) is False
    photos.write("xmp", row)
    assert photos.reaches("xmp", position) is True
    assert items(photos.output / "xmp/a.jpg.xmp", DC + "subject") == ["dog", "lawn"]


def test_a_record_of_a_schema_of_ones_own_has_only_its_marks(photos):
    photos.put("a.jpg")
    photos.write("xmp", {"file": "a.jpg", "data": {"price": 3}})
    assert "olpipe:Record" in (photos.output / "xmp/a.jpg.xmp").read_text(encoding="utf-8")


def test_a_name_that_leads_out_of_the_folder_is_left_out(photos, caplog):
    photos.write("xmp", {"file": "../a.jpg", "tags": ["dog"]})
    assert caplog.messages == ["`../a.jpg` gets no XMP: its name leads out of the folder of the photos"]


def test_an_option_that_there_is_not_is_refused(photos):
    with pytest.raises(UsageError) as caught:
        photos.write("xmp:tags=delete")
    assert caught.value.message == "`tags=delete` is no option of this sink"
    assert caught.value.hint == "`tags` is one of `append`, `keep`, `replace`"


def test_a_folder_may_have_commas_and_signs_in_its_name(photos):
    photos.put("a.jpg")
    photos.write("xmp:a,b=c,tags=keep", photos.row("a.jpg"))
    assert (photos.output / "a,b=c/a.jpg.xmp").is_file()


def test_a_new_sidecar_begins_with_the_xmp_of_the_photo(photos):
    for name in ("a.jpg", "b.png"):
        photos.put(name)
        photos.write("xmp-embed", photos.row(name, tags=["earlier"]))
        path = photos.root / name
        path.write_bytes(path.read_bytes().replace(b"A dog lies", b"My Rex sat"))
        photos.write("xmp", photos.row(name))
        found = photos.output / f"xmp/{name}.xmp"
        assert items(found, DC + "subject") == ["dog", "lawn"]
        assert languages(found, DC + "description")["en"] == "My Rex sat on the lawn."
