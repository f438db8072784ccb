"""Discovery: what is found, under which name, and what is never followed."""

import os
import sys

import pytest

from olpipe.errors import UsageError
from olpipe.imaging.discover import discover, read

SUFFIXES = (".jpg", ".png", ".heic")


def make(root, *names):
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())


def names(*inputs, **options):
    return [image.name for image in discover([str(path) for path in inputs], SUFFIXES, **options).images]


def test_a_folder_is_searched_to_the_bottom_and_sorted_by_name(tmp_path):
    make(tmp_path, "b.jpg", "a/z.PNG", "a/b/c.jpg", "a.jpg", "notes.txt")
    assert names(tmp_path) == ["a.jpg", "a/b/c.jpg", "a/z.PNG", "b.jpg"]


def test_a_ref_carries_size_and_modification_time(tmp_path):
    make(tmp_path, "a.jpg")
    os.utime(tmp_path / "a.jpg", ns=(1, 1_700_000_000_123_456_700))
    (image,) = discover([str(tmp_path)], SUFFIXES).images
    assert (image.path, image.size_bytes) == (tmp_path / "a.jpg", 5)
    assert image.modified_ns == 1_700_000_000_123_456_700


def test_formats_that_no_loader_reads_are_found_too(tmp_path):
    make(tmp_path, "a.heic", "b.CR3", "c.svg")
    assert names(tmp_path) == ["a.heic", "b.CR3", "c.svg"]


def test_hidden_files_and_folders_are_left_out_unless_given(tmp_path):
    make(tmp_path, ".a.jpg", ".thumbnails/b.jpg", "c.jpg", "._c.jpg")
    assert names(tmp_path) == ["c.jpg"]
    assert names(tmp_path / ".thumbnails") == ["b.jpg"]


def test_a_folder_called_like_a_photo_is_a_folder(tmp_path):
    make(tmp_path, "x.jpg/y.jpg")
    assert names(tmp_path) == ["x.jpg/y.jpg"]


def test_several_inputs_are_named_from_the_folder_that_holds_them_all(tmp_path):
    make(tmp_path, "2023/a.jpg", "2024/a.jpg", "2024/may/b.jpg")
    assert names(tmp_path / "2024", tmp_path / "2023") == ["2023/a.jpg", "2024/a.jpg", "2024/may/b.jpg"]
    assert names(tmp_path / "2023" / "a.jpg", tmp_path / "2024" / "may") == ["2023/a.jpg", "2024/may/b.jpg"]


def test_a_file_given_twice_is_found_once(tmp_path):
    make(tmp_path, "a.jpg", "b.jpg")
    assert names(tmp_path, tmp_path / "a.jpg", tmp_path) == ["a.jpg", "b.jpg"]


def test_a_file_given_by_name_needs_no_known_suffix(tmp_path):
    make(tmp_path, "scan.data")
    assert names(tmp_path / "scan.data") == ["scan.data"]


def test_a_glob_reaches_any_depth_and_is_named_from_its_fixed_part(tmp_path):
    make(tmp_path, "p/a.jpg", "p/x/b.jpg", "p/x/c.txt", "p/x/d.png")
    assert names(tmp_path / "p" / "**" / "*.jpg") == ["a.jpg", "x/b.jpg"]
    assert names(tmp_path / "p" / "**") == ["a.jpg", "x/b.jpg", "x/d.png"]
    assert names(tmp_path / "p" / "x*") == ["x/b.jpg", "x/d.png"]


def test_a_file_whose_name_looks_like_a_glob_is_a_file(tmp_path):
    make(tmp_path, "a[1].jpg", "a1.jpg")
    assert names(tmp_path / "a[1].jpg") == ["a[1].jpg"]


def test_links_that_leave_the_folder_and_links_to_folders_are_not_followed(tmp_path):
    make(tmp_path, "in/a.jpg", "in/b/c.jpg", "secret/d.jpg", "in-too/e.jpg")
    (tmp_path / "in" / "out.jpg").symlink_to(tmp_path / "secret" / "d.jpg")
    (tmp_path / "in" / "sibling.jpg").symlink_to(tmp_path / "in-too" / "e.jpg")
    (tmp_path / "in" / "out").symlink_to(tmp_path / "secret")
    (tmp_path / "in" / "b" / "loop").symlink_to(tmp_path / "in")
    (tmp_path / "in" / "same.jpg").symlink_to(tmp_path / "in" / "b" / "c.jpg")
    found = discover([str(tmp_path / "in")], SUFFIXES)
    assert [image.name for image in found.images] == ["a.jpg", "b/c.jpg", "same.jpg"]
    assert found.links_skipped == 4


def test_a_folder_that_is_itself_a_link_may_be_given(tmp_path):
    make(tmp_path, "real/a.jpg")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert names(tmp_path / "link") == ["a.jpg"]


def test_a_dangling_link_is_found_so_that_it_can_fail_in_the_open(tmp_path):
    make(tmp_path, "a.jpg")
    (tmp_path / "gone.jpg").symlink_to(tmp_path / "nowhere.jpg")
    assert names(tmp_path) == ["a.jpg", "gone.jpg"]


def test_the_output_folder_inside_the_input_is_passed_by(tmp_path):
    make(tmp_path, "a.jpg", "out/copy.jpg")
    assert names(tmp_path, leave_out=tmp_path / "out") == ["a.jpg"]
    assert names(tmp_path, leave_out=tmp_path) == ["a.jpg", "out/copy.jpg"]


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="the file system insists on Unicode")
def test_names_that_are_not_utf8_survive(tmp_path):
    path = os.path.join(os.fsencode(tmp_path), b"caf\xe9.jpg")
    with open(path, "wb") as file:
        file.write(b"pixels")
    (image,) = discover([str(tmp_path)], SUFFIXES).images
    assert image.name == "./caf\\xe9.jpg"
    assert read(image)[1] == b"pixels"


def test_a_missing_path_is_one_line_with_the_nearest_name(tmp_path):
    make(tmp_path, "holiday/a.jpg")
    with pytest.raises(UsageError) as caught:
        names(tmp_path / "holliday")
    assert caught.value.message == f"`{tmp_path}/holliday` is not there"
    assert caught.value.hint == f"did you mean `{tmp_path}/holiday`?"


def test_a_glob_without_a_match_says_so(tmp_path):
    with pytest.raises(UsageError, match=r"nothing matches `.*\*\.jpg`"):
        names(tmp_path / "*.jpg")


def test_a_folder_without_photos_says_what_was_looked_for(tmp_path):
    make(tmp_path, "notes.txt")
    with pytest.raises(UsageError) as caught:
        names(tmp_path)
    assert caught.value.message == f"no photos in `{tmp_path}`"
    assert caught.value.hint == "looked for .heic .jpg .png"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes here")
def test_reading_a_named_pipe_fails_at_once_instead_of_waiting(tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")
    (image,) = discover([str(tmp_path)], SUFFIXES).images
    with pytest.raises(OSError, match="not a regular file"):
        read(image)


# --- one bad entry stops nothing ----------------------------------------------------------------------


def paths_of(tmp_path, *names):
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"pixels")


class Locked:
    """Stands for a folder that the system does not let anybody look into; root may look into all."""

    def __init__(self, scandir, *names):
        self.scandir, self.names = scandir, names

    def __call__(self, path):
        if os.path.basename(path) in self.names:
            raise PermissionError(13, "Permission denied", path)
        return self.scandir(path)


def test_a_folder_that_may_not_be_looked_into_is_named_and_the_others_are_searched(tmp_path, monkeypatch):
    paths_of(tmp_path, "private/a.jpg", "ok/b.jpg", "ok/private/c.jpg")
    monkeypatch.setattr(os, "scandir", Locked(os.scandir, "private"))
    found = discover([str(tmp_path)], SUFFIXES)
    assert [image.name for image in found.images] == ["ok/b.jpg"]
    assert sorted(found.unopened) == [
        f"`{tmp_path / 'ok/private'}`: Permission denied",
        f"`{tmp_path / 'private'}`: Permission denied",
    ]


def test_a_given_folder_that_may_not_be_looked_into_is_an_error(tmp_path, monkeypatch):
    paths_of(tmp_path, "private/a.jpg")
    monkeypatch.setattr(os, "scandir", Locked(os.scandir, "private"))
    with pytest.raises(UsageError, match=f"^cannot look into `{tmp_path / 'private'}`: Permission denied$"):
        discover([str(tmp_path / "private")], SUFFIXES)


def test_where_there_is_no_photo_the_message_says_what_was_passed_by(tmp_path, monkeypatch):
    paths_of(tmp_path, "private/a.jpg", "b.mp4", "c.txt")
    monkeypatch.setattr(os, "scandir", Locked(os.scandir, "private"))
    with pytest.raises(UsageError) as caught:
        discover([str(tmp_path)], SUFFIXES)
    private = f"cannot look into `{tmp_path / 'private'}`: Permission denied"
    assert caught.value.message == f"no photos in `{tmp_path}` ({private}; 1 videos)"


@pytest.mark.parametrize("name", ["loop.jpg", "loop"])
def test_a_link_that_leads_to_itself_stops_nothing(tmp_path, name):
    paths_of(tmp_path, "a.jpg")
    (tmp_path / name).symlink_to(name)
    (tmp_path / "one.jpg").symlink_to("two.jpg")
    (tmp_path / "two.jpg").symlink_to("one.jpg")
    found = names(tmp_path)
    assert found == sorted({"a.jpg", "one.jpg", "two.jpg"} | ({name} if name.endswith(".jpg") else set()))


def test_a_file_that_goes_away_while_it_is_looked_for_is_passed_by(tmp_path, monkeypatch):
    paths_of(tmp_path, "a.jpg", "b.jpg")
    real = os.stat

    def stat(path, *args, **options):
        if os.path.basename(os.fspath(path)) == "a.jpg":
            os.unlink(path)
        return real(path, *args, **options)

    monkeypatch.setattr(os, "stat", stat)
    assert names(tmp_path) == ["b.jpg"]


# --- what nobody wants described ----------------------------------------------------------------------


@pytest.mark.parametrize("folder", ["@eaDir", "#recycle", "$Recycle.Bin", "Mine.photoslibrary", "x/Lightroom.lrdata"])
def test_folders_that_programs_keep_for_themselves_are_left_out_unless_given(tmp_path, folder):
    paths_of(tmp_path, "a.jpg", f"{folder}/b.jpg")
    found = discover([str(tmp_path)], SUFFIXES)
    assert [image.name for image in found.images] == ["a.jpg"]
    assert found.programs_folders == (str(tmp_path / folder),)
    assert names(tmp_path / folder) == ["b.jpg"]


@pytest.mark.parametrize(
    ("exclude", "left"),
    [
        (("b.jpg",), ["a.jpg", "old/a.jpg", "old/x/A.jpg"]),
        (("old",), ["a.jpg", "b.jpg"]),
        (("old/",), ["a.jpg", "b.jpg"]),
        (("a.*",), ["b.jpg", "old/b.jpg"]),
        (("old/a.jpg", "/b.jpg"), ["a.jpg", "old/b.jpg", "old/x/A.jpg"]),
        (("old/*",), ["a.jpg", "b.jpg"]),
        ((), ["a.jpg", "b.jpg", "old/a.jpg", "old/b.jpg", "old/x/A.jpg"]),
    ],
)
def test_what_the_user_does_not_want_is_left_out(tmp_path, exclude, left):
    paths_of(tmp_path, "a.jpg", "b.jpg", "old/a.jpg", "old/b.jpg", "old/x/A.jpg")
    assert names(tmp_path, exclude=exclude) == left
    assert names(str(tmp_path / "**/*.jpg"), exclude=exclude)[:1] == left[:1]


def test_videos_are_counted(tmp_path):
    paths_of(tmp_path, "a.jpg", "b.MP4", "c/d.mov", "e.txt")
    assert discover([str(tmp_path)], SUFFIXES).videos == 2


# --- a name is a name ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("folder", "pattern", "found"),
    [
        ("trip [a-c]", "trip [a-c]/*.jpg", ["right.jpg"]),
        ("trip [2024]", "trip [2024]/*.jpg", ["right.jpg"]),
        ("trip [2024]/x*y", "trip [2024]/x*y/*.jpg", ["right.jpg"]),
        ("trip 1", "trip [0-9]/*.jpg", ["trip 1/right.jpg"]),
    ],
)
def test_what_is_really_called_so_is_no_pattern(tmp_path, folder, pattern, found):
    paths_of(tmp_path, f"{folder}/right.jpg", "trip b/wrong.jpg")
    assert names(tmp_path / pattern) == found


@pytest.mark.parametrize("text", ["", " "])
def test_an_empty_input_is_refused(text):
    with pytest.raises(UsageError, match=r"^an input is empty$") as caught:
        discover([text], SUFFIXES)
    assert caught.value.hint == "a variable in the command may be unset; `.` is this folder"


def test_an_address_is_told_from_a_path():
    with pytest.raises(UsageError) as caught:
        discover(["https://example.org/photos/"], SUFFIXES)
    assert str(caught.value.message) == "`https://example.org/photos/` is an address, and photos are read from files"
    assert caught.value.hint == "download it first"


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="the file system insists on Unicode")
def test_no_two_files_have_the_same_name(tmp_path):
    files = [b"latin\xe9.jpg", b"latin\\xe9.jpg", b"latin\\\xe9.jpg", b"latin\\\\xe9.jpg", b"latin\\\\\xe9.jpg"]
    for name in files:
        with open(os.path.join(os.fsencode(tmp_path), name), "wb") as file:
            file.write(b"pixels")
    assert len(set(names(tmp_path))) == len(files)
