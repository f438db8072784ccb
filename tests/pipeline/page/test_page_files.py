"""The files of the page: what is written, when it is written again, and what is left alone."""

import io
import os
from urllib.parse import unquote

import pytest
from PIL import Image

from olpipe.errors import OutputUnavailable
from olpipe.imaging.decode import decode
from olpipe.pipeline.page.page import EACH_FILE, refuse_other_page
from olpipe.pipeline.page.thumbnails import SIDE, make_thumbnail
from olpipe.testing.images import photo, quadrants


def test_the_page_has_an_entry_for_each_row(album):
    album.add("a.jpg", photo(64, 48), title="A", tags=["x"], tag_scores=[0.5], certainty="unsure", extra={"k": [1]})
    album.fail("b.jpg", "the file is empty", "take another one")
    album.make()
    described, failed = album.entries()
    assert described == {
        "file": "a.jpg",
        "href": "../photos/a.jpg",
        "thumbnail": described["thumbnail"],
        "width": 64,
        "height": 48,
        "values": {"title": "A", "tags": ["x"], "tag_scores": [0.5], "extra": {"k": [1]}, "certainty": "unsure"},
    }
    assert failed == {
        "file": "b.jpg",
        "href": "../photos/b.jpg",
        "kind": "unreadable",
        "message": "the file is empty",
        "hint": "take another one",
    }


@pytest.mark.parametrize("orientation", [1, 6, 8])
def test_thumbnails_are_small_and_upright(album, orientation):
    album.add("a.jpg", photo(800, 500, orientation=orientation))
    album.make()
    (path,) = album.thumbnails
    with Image.open(path) as small:
        assert (small.format, small.size, small.getexif()) == ("JPEG", (SIDE, 200), {})
        expected = Image.fromarray(quadrants(800, 500)).resize(small.size)
        for place in ((40, 40), (280, 40), (40, 160), (280, 160)):
            found = small.convert("RGB").getpixel(place)
            assert all(abs(one - other) < 25 for one, other in zip(found, expected.getpixel(place), strict=True))


def test_a_small_photo_is_not_made_larger(album):
    pixels = decode(photo(48, 32), ".jpg", album.loaders)
    assert Image.open(io.BytesIO(make_thumbnail(pixels))).size == (48, 32)


def test_nothing_is_written_where_nothing_is_new(album):
    album.add("a.jpg", photo(64, 48), title="A")
    album.make()
    before = album.written()
    album.make()
    assert album.written() == before
    assert album.notices == []


def test_only_what_is_new_is_written(album):
    for number in range(EACH_FILE + 1):
        album.add(f"{number}.jpg", title=str(number))
    album.make()
    before = album.written()
    first, second = sorted((path for path in before if path.endswith(".js")), key=os.path.getsize, reverse=True)
    album.add("new.jpg", title="new")
    album.make()
    after = album.written()
    assert after[first] == before[first]
    assert second not in after
    assert len(album.entries()) == EACH_FILE + 2


@pytest.mark.parametrize("change", ["a photo was renamed", "another recipe", "the output folder was moved"])
def test_the_page_follows_what_the_ledger_says(album, change, tmp_path):
    album.add("a.jpg", photo(64, 48), title="A")
    album.make()
    if change == "a photo was renamed":
        album.rename("a.jpg", "z.jpg")
        album.make()
        assert [entry["file"] for entry in album.entries()] == ["z.jpg"]
    elif change == "another recipe":
        album.make(key="k2")
        assert album.entries() == []
        assert len(album.thumbnails) == 1
        album.make()
        assert [entry["file"] for entry in album.entries()] == ["a.jpg"]
    else:
        (tmp_path / "deep").mkdir()
        album.output = album.output.rename(tmp_path / "deep" / "out")
        album.make()
        assert [entry["href"] for entry in album.entries()] == ["../../photos/a.jpg"]


def test_photos_that_were_described_without_a_page_get_their_thumbnails_once(album):
    album.add("a.jpg", photo(800, 500), thumbnail=False)
    album.add("gone.jpg", thumbnail=False)
    album.make(stopped=True)
    assert album.thumbnails == []
    album.make()
    assert album.notices == ["making 2 thumbnails for the page"]
    (path,) = album.thumbnails
    with Image.open(path) as small:
        assert small.size == (SIDE, 200)
    before = album.written()
    album.make()
    assert (album.written(), len(album.notices)) == (before, 1)


def test_the_thumbnail_of_a_photo_that_was_changed_meanwhile_is_not_made(album):
    album.add("a.jpg", photo(800, 500), thumbnail=False)
    album.make(stopped=True)
    (album.photos / "a.jpg").write_bytes(photo(60, 50))
    album.make()
    assert album.thumbnails == []


def test_thumbnails_that_belong_to_no_photo_are_removed(album):
    album.add("a.jpg", photo(64, 48))
    album.make()
    (path,) = album.thumbnails
    other = path.with_name("0" * 30 + ".jpg")
    other.write_bytes(b"old")
    album.add("b.jpg", photo(60, 50))
    album.make()
    assert len(album.thumbnails) == 2
    assert not other.exists()


@pytest.mark.parametrize(
    "name", ["100% #1?.jpg", 'a"b<c>&.jpg', "line\nbreak.jpg", "javascript:alert(1).jpg", "日本/写真.jpg"]
)
def test_addresses_of_photos_are_quoted(album, name):
    album.add(name, photo(64, 48))
    album.make()
    (entry,) = album.entries()
    assert entry["file"] == name
    assert set(entry["href"]) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~/%")
    assert (album.output / unquote(entry["href"])).read_bytes() == photo(64, 48)


def test_no_value_can_end_an_element_of_the_page(album):
    album.about["folder"] = album.about["recipe"] = "</script><script>alert(1)</script><!--"
    album.make()
    text = album.index.read_text("utf-8")
    assert "alert(1)" in text
    assert (text.count("<script"), text.count("</script>"), text.count("<!--")) == (2, 2, 1)


def test_a_page_of_somebody_else_is_not_replaced(album):
    album.output.mkdir()
    refuse_other_page(album.output)
    for torn in (b"", b"\0" * 100, b"<!doctype html>\n<!-- olp"):
        album.index.write_bytes(torn)
        refuse_other_page(album.output)
    album.make()
    refuse_other_page(album.output)
    album.index.write_text("<!doctype html>\n<title>mine</title>")
    with pytest.raises(OutputUnavailable) as refused:
        refuse_other_page(album.output)
    assert "is no page of olpipe, and is not replaced" in refused.value.message
    assert refused.value.hint == "move it away, or leave the page out with `--no-page`"


def test_the_page_names_no_other_host_and_makes_no_html_of_values(album):
    album.make()
    text = album.index.read_text("utf-8").replace("http://www.w3.org/2000/svg", "")
    assert "://" not in text
    for word in ("innerHTML", "outerHTML", "insertAdjacent", "document.write", "eval(", "fetch(", "style="):
        assert word not in text
