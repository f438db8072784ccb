"""Lists of file names, as other programs write them."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from olpipe.errors import UsageError
from olpipe.imaging.discover import discover
from olpipe.imaging.file_list import names_in

SUFFIXES = (".jpg",)


@pytest.mark.parametrize(
    ("data", "names"),
    [
        (b"", []),
        (b"a.jpg", ["a.jpg"]),
        (b"a.jpg\nb c.jpg\n\n", ["a.jpg", "b c.jpg"]),
        (b"a.jpg\r\nb.jpg\r\n", ["a.jpg", "b.jpg"]),
        (b"a\nb.jpg\0c.jpg\0", ["a\nb.jpg", "c.jpg"]),
        (b"\xef\xbb\xbf\xe7\x8c\xab.jpg\n", ["猫.jpg"]),
    ],
)
def test_names_are_lines_or_end_with_nul(data, names):
    assert names_in(data) == names


@given(st.lists(st.binary(min_size=1).filter(lambda name: b"\0" not in name and not name.startswith(b"\xef"))))
def test_any_name_can_be_listed_with_nul(names):
    data = b"".join(name + b"\0" for name in names)
    assert [os.fsencode(name) for name in names_in(data)] == names


def test_listed_names_are_never_patterns_and_missing_ones_are_noted(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("a.jpg", "[b].jpg", "c.mp4", "d.txt"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "e.jpg").write_bytes(b"x")
    found = discover([], SUFFIXES, listed=["a.jpg", "[b].jpg", "c.mp4", "d.txt", "*.jpg", "folder", "a.jpg"])
    assert [image.name for image in found.images] == ["[b].jpg", "a.jpg", "folder/e.jpg"]
    assert (found.missing, found.videos, found.root) == (("*.jpg",), 1, tmp_path)


def test_listed_names_join_the_others_and_are_left_out_as_they_are(tmp_path):
    for name in ("one/a.jpg", "two/b.jpg", "two/thumb.jpg"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"x")
    listed = [str(tmp_path / "two" / name) for name in ("b.jpg", "thumb.jpg")]
    found = discover([str(tmp_path / "one")], SUFFIXES, listed=listed, exclude=["thumb*"])
    assert [image.name for image in found.images] == ["one/a.jpg", "two/b.jpg"]
    assert found.excluded == 1


def test_a_list_without_a_photo_is_refused(tmp_path):
    with pytest.raises(UsageError, match=r"no photos in the list \(1 that are not there\)"):
        discover([], SUFFIXES, listed=[str(tmp_path / "no.jpg")])
