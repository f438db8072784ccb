"""Folders that are looked into again and again."""

import os

import pytest

from olpipe.errors import UsageError
from olpipe.imaging.watched import WatchedFolders


def watched(*folders, **options):
    return WatchedFolders([str(folder) for folder in folders], {".jpg"}, **{"leave_out": folders[0] / "out", **options})


def make(*paths):
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(path.name.encode())


def names(found):
    return [image.name for image in found.images]


def test_an_empty_folder_is_no_mistake_and_what_comes_later_is_found(tmp_path):
    folders = watched(tmp_path)
    assert names(folders.look()) == []
    make(tmp_path / "b.jpg", tmp_path / "trip" / "a.jpg", tmp_path / "out" / "c.jpg")
    assert names(folders.look()) == ["b.jpg", "trip/a.jpg"]


def test_names_stay_the_same_while_a_folder_is_away(tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    make(one / "a.jpg", two / "a.jpg")
    folders = watched(one, two)
    assert names(folders.look()) == ["one/a.jpg", "two/a.jpg"]
    one.rename(tmp_path / "away")
    assert names(folders.look()) == ["two/a.jpg"]
    assert folders.missing == (str(one),)
    (tmp_path / "away").rename(one)
    assert names(folders.look()) == ["one/a.jpg", "two/a.jpg"]
    assert folders.missing == ()


def test_a_folder_inside_another_gives_no_photo_twice(tmp_path):
    make(tmp_path / "a.jpg", tmp_path / "trip" / "b.jpg")
    assert names(watched(tmp_path, tmp_path / "trip").look()) == ["a.jpg", "trip/b.jpg"]


def test_a_batch_over_the_same_folders_gives_the_same_names(tmp_path):
    from olpipe.imaging.discover import discover

    make(tmp_path / "one" / "a.jpg", tmp_path / "two" / "b.jpg", tmp_path / "two" / "thumbs" / "c.jpg")
    given = [tmp_path / "one", tmp_path / "two"]
    found = watched(*given, exclude=["thumbs"]).look()
    assert found.images == discover([str(folder) for folder in given], {".jpg"}, exclude=["thumbs"]).images
    assert found.excluded == 1


def test_something_that_is_no_folder_is_refused(tmp_path):
    make(tmp_path / "a.jpg")
    for path, what in ((tmp_path / "a.jpg", "is no folder"), (tmp_path / "missing", "is not there")):
        with pytest.raises(UsageError, match=what):
            watched(path)


def rewrite(root):
    (root / "a.jpg").write_bytes(b"longer than before")


def touch(root):
    os.utime(root / "a.jpg", ns=(1, 1))


def remove(root):
    (root / "trip" / "b.jpg").unlink()


def rename_the_folder(root):
    (root / "trip").rename(root / "journey")


def add(root):
    make(root / "new" / "c.jpg")


def write_where_a_link_leads(root):
    (root / ".hidden" / "target.jpg").write_bytes(b"longer than before")


@pytest.mark.skipif(os.name == "nt", reason="links take a right there that few users have")
@pytest.mark.parametrize("change", [rewrite, touch, remove, rename_the_folder, add, write_where_a_link_leads])
def test_every_change_is_seen_at_the_next_look(tmp_path, change):
    make(tmp_path / "a.jpg", tmp_path / "trip" / "b.jpg", tmp_path / ".hidden" / "target.jpg")
    (tmp_path / "link.jpg").symlink_to(tmp_path / ".hidden" / "target.jpg")
    folders = watched(tmp_path)
    before = folders.look()
    assert folders.look() == before
    change(tmp_path)
    after = folders.look()
    assert after.images != before.images
    assert after == watched(tmp_path).look()
