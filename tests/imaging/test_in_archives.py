"""Discovery in archives: which are opened, which photos are found in them, and in which order."""

import io
import tarfile
import zipfile

import pytest

from olpipe.archives.opened import close_archives
from olpipe.errors import ImageUnreadable, UsageError
from olpipe.imaging.discover import discover, read

SUFFIXES = (".jpg", ".png")


@pytest.fixture(autouse=True)
def _close():
    yield
    close_archives()


def zipped(path, *names):
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(name, f"{path.name} {name}")
    return path


def tarred(path, *names):
    with tarfile.open(path, "w:gz") as archive:
        for name in names:
            info = tarfile.TarInfo(name)
            data = f"{path.name} {name}".encode()
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


def found(*inputs, **options):
    return discover([str(path) for path in inputs], SUFFIXES, **options)


def names(*inputs, **options):
    return [image.name for image in found(*inputs, **options).images]


def test_a_given_archive_is_searched_and_its_photos_are_named_like_those_of_a_folder(tmp_path):
    path = zipped(tmp_path / "holiday.zip", "day1/cat.jpg", "b.PNG", "notes.txt")
    images = found(path).images
    assert [image.name for image in images] == ["holiday.zip/b.PNG", "holiday.zip/day1/cat.jpg"]
    assert images[1].path == path / "day1" / "cat.jpg"
    assert read(images[1])[1] == b"holiday.zip day1/cat.jpg"
    assert read(images[1], most=7)[1] == b"holiday"


def test_an_archive_in_a_folder_is_passed_by_and_counted(tmp_path):
    zipped(tmp_path / "trip" / "holiday.zip", "cat.jpg")
    tarred(tmp_path / "old.tar.gz", "dog.jpg")
    (tmp_path / "a.jpg").write_bytes(b"a")
    discovery = found(tmp_path)
    assert ([image.name for image in discovery.images], discovery.archives) == (["a.jpg"], 2)


def test_a_folder_with_nothing_but_archives_says_so(tmp_path):
    zipped(tmp_path / "holiday.zip", "cat.jpg")
    with pytest.raises(UsageError, match=r"no photos in `.*` \(1 archives\)"):
        found(tmp_path)


def test_patterns_and_lists_open_archives(tmp_path):
    zipped(tmp_path / "a.zip", "x.jpg")
    zipped(tmp_path / "b.cbz", "y.jpg")
    (tmp_path / "c.jpg").write_bytes(b"c")
    assert names(tmp_path / "*") == ["a.zip/x.jpg", "b.cbz/y.jpg", "c.jpg"]
    assert names(listed=[str(tmp_path / "a.zip"), str(tmp_path / "c.jpg")]) == ["a.zip/x.jpg", "c.jpg"]


def test_a_folder_with_the_name_of_an_archive_is_a_folder(tmp_path):
    (tmp_path / "a.zip").mkdir()
    (tmp_path / "a.zip" / "x.jpg").write_bytes(b"x")
    assert names(tmp_path) == names(tmp_path / "*.zip", tmp_path) == ["a.zip/x.jpg"]


def test_photos_of_a_compressed_tar_come_in_its_order_amid_the_others(tmp_path):
    path = tarred(tmp_path / "m.tgz", "z.jpg", "a.jpg", "k/b.jpg")
    zipped(tmp_path / "k.zip", "z.jpg", "a.jpg")
    (tmp_path / "a.jpg").write_bytes(b"a")
    (tmp_path / "z.jpg").write_bytes(b"z")
    wanted = ["a.jpg", "k.zip/a.jpg", "k.zip/z.jpg", "m.tgz/z.jpg", "m.tgz/a.jpg", "m.tgz/k/b.jpg", "z.jpg"]
    assert names(path, tmp_path / "k.zip", tmp_path) == wanted


def test_what_folders_are_searched_without_is_left_out_of_archives_too(tmp_path):
    path = zipped(
        tmp_path / "a.zip",
        *("a.jpg", "__MACOSX/._a.jpg", "@eaDir/a.jpg", ".hidden/a.jpg", ".a.jpg", "film.mp4", "more.zip", "b.tar"),
    )
    discovery = found(path)
    assert [image.name for image in discovery.images] == ["a.zip/a.jpg"]
    assert discovery.programs_folders == (str(path / "@eaDir"),)
    assert (discovery.videos, discovery.archives) == (1, 2)


def test_exclude_holds_in_archives(tmp_path):
    path = zipped(tmp_path / "a.zip", "a.jpg", "thumbs/b.jpg", "thumbs/c.jpg", "day/d.jpg", "day/e.jpg")
    discovery = found(path, exclude=("THUMBS", "day/e*"))
    assert [image.name for image in discovery.images] == ["a.zip/a.jpg", "a.zip/day/d.jpg"]
    assert discovery.excluded == 2


def test_the_ref_of_a_photo_changes_with_the_time_and_the_size_of_its_archive(tmp_path):
    import os

    path = zipped(tmp_path / "a.zip", "a.jpg")
    os.utime(path, ns=(0, 10**18))
    (first,) = found(path).images
    assert 0 <= first.modified_ns - 10**18 < 10**6
    zipped(path, "a.jpg", "notes.txt")
    os.utime(path, ns=(0, 10**18))
    (second,) = found(path).images
    assert (first.size_bytes, first.path) == (second.size_bytes, second.path)
    assert first.modified_ns != second.modified_ns


def test_a_damaged_archive_is_an_image_that_says_why_it_cannot_be_read(tmp_path):
    path = tmp_path / "bad.zip"
    path.write_bytes(b"PK\3\4 and no more")
    zipped(tmp_path / "good.zip", "a.jpg")
    bad, good = found(path, tmp_path / "good.zip").images
    assert (bad.name, good.name) == ("bad.zip", "good.zip/a.jpg")
    with pytest.raises(ImageUnreadable, match="the archive is damaged: File is not a zip file"):
        read(bad)


def test_an_archive_without_photos_alone_is_an_error(tmp_path):
    with pytest.raises(UsageError, match="no photos in"):
        found(zipped(tmp_path / "a.zip", "notes.txt"))
