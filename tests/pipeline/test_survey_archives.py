"""What a run finds done, renamed, changed and left to do in archives, over a real ledger."""

import io
import os
import pickle
import tarfile
import zipfile

import pytest

from olpipe.archives.opened import close_archives
from olpipe.image import ImageFile
from olpipe.imaging.discover import discover


@pytest.fixture(autouse=True)
def _close():
    yield
    close_archives()


@pytest.fixture(params=["zip", "tar", "tgz"])
def pack(request, folder):
    """Return a function that writes an archive of files into the folder of photos."""

    def write(stem, **files):
        path = folder.photos / f"{stem}.{request.param}"
        if request.param == "zip":
            with zipfile.ZipFile(path, "w") as archive:
                for name, text in files.items():
                    archive.writestr(f"{name}.jpg", text)
            return path
        with tarfile.open(path, "w:gz" if request.param == "tgz" else "w") as archive:
            for name, text in files.items():
                info = tarfile.TarInfo(f"{name}.jpg")
                info.size = len(text)
                archive.addfile(info, io.BytesIO(text.encode()))
        return path

    return write


def test_the_same_archive_again_costs_nothing(folder, pack):
    path = pack("x", a="1", b="2")
    assert folder.describe(path) == [f"{path.name}/a.jpg", f"{path.name}/b.jpg"]
    assert folder.describe(path) == []
    assert folder.found.todo == ()


def test_of_a_changed_archive_only_new_bytes_are_described(folder, pack):
    path = pack("x", a="1", b="2", c="3")
    folder.describe(path)
    os.utime(path, ns=(0, 0))
    assert (folder.describe(path), len(folder.found.todo)) == ([], 3)
    pack("x", b="2", a="new", d="3")
    assert folder.describe(path) == [f"{path.name}/a.jpg"]
    assert {f"{path.name}/{name}.jpg" for name in "abd"} <= set(folder.rows())


def test_equal_bytes_in_folders_and_archives_are_described_once(folder, pack):
    folder.put("z.jpg", b"1")
    assert len(folder.describe(pack("x", a="1", b="1"), folder.photos)) == 1
    assert len(folder.rows()) == 3


def test_a_renamed_archive_keeps_its_rows(folder, pack):
    path = pack("x", b="2", a="1")
    folder.describe(path)
    other = path.with_name(f"y{path.suffix}")
    path.rename(other)
    assert (folder.describe(other), folder.found.renamed) == ([], 2)
    assert sorted(folder.rows()) == [f"{other.name}/a.jpg", f"{other.name}/b.jpg"]


def test_a_photo_that_was_renamed_in_its_archive_keeps_its_row(folder, pack):
    path = pack("x", a="1", b="2")
    folder.describe(path)
    pack("x", c="1", b="2")
    assert folder.describe(path) == []
    assert sorted(folder.rows()) == [f"{path.name}/b.jpg", f"{path.name}/c.jpg"]


def test_an_archive_that_is_not_given_keeps_its_rows(folder, pack):
    path = pack("x", a="1")
    folder.describe(path)
    folder.put("unpacked.jpg", b"1")
    assert (folder.describe(), folder.found.renamed) == ([], 0)
    assert sorted(folder.rows()) == ["unpacked.jpg", f"{path.name}/a.jpg"]


def test_photos_of_an_archive_that_was_unpacked_and_removed_keep_their_rows(folder, pack):
    path = pack("x", a="1")
    folder.describe(path)
    path.unlink()
    folder.put("a.jpg", b"1")
    assert (folder.describe(), folder.found.renamed, folder.rows()) == ([], 1, ["a.jpg"])


def test_another_process_can_read_a_photo_that_was_sent_without_its_bytes(folder, pack):
    (ref,) = discover([str(pack("x", a="1"))], (".jpg",)).images
    close_archives()
    assert pickle.loads(pickle.dumps(ImageFile(ref, "0"))).read() == b"1"
