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
    assert image.name == "caf\\xe9.jpg"
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
