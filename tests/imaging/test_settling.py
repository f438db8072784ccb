"""When a photo has arrived whole: it stays as it is, and nobody writes to it."""

import os
import sys
from pathlib import Path

import pytest

from olpipe.image import ImageRef
from olpipe.imaging.settling import Settling, is_being_written, is_unchanged


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


def ref(name, size_bytes=1, modified_ns=0):
    return ImageRef(Path("/photos", name), name, size_bytes, modified_ns)


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def settling(clock):
    return Settling(5.0, clock=clock)


def test_a_photo_settles_when_it_has_been_the_same_for_long_enough(settling, clock):
    assert settling.settled([ref("a")]) == []
    clock.now += 4
    assert settling.settled([ref("a")]) == []
    clock.now += 1
    assert settling.settled([ref("a")]) == [ref("a")]


@pytest.mark.parametrize("change", [{"size_bytes": 2}, {"modified_ns": 7}])
def test_a_photo_that_grows_or_is_written_again_begins_anew(settling, clock, change):
    settling.settled([ref("a")])
    clock.now += 4
    assert settling.settled([ref("a", **change)]) == []
    clock.now += 4
    assert settling.settled([ref("a", **change)]) == []
    clock.now += 1
    assert settling.settled([ref("a", **change)]) == [ref("a", **change)]


def test_a_time_that_is_set_back_is_a_change_like_any_other(settling, clock):
    settling.finish([ref("a", modified_ns=10**18)])
    assert settling.settled([ref("a", modified_ns=-5)]) == []
    clock.now += 5
    assert settling.settled([ref("a", modified_ns=-5)]) == [ref("a", modified_ns=-5)]


def test_a_photo_that_is_done_comes_back_only_when_it_changes(settling, clock):
    settling.finish([ref("a")])
    clock.now += 50
    assert settling.settled([ref("a")]) == []
    assert settling.waiting == 0
    settling.settled([ref("a", 2)])
    assert settling.waiting == 1


def test_a_photo_that_was_gone_for_a_while_settles_again(settling, clock):
    settling.finish([ref("a")])
    settling.settled([])
    settling.settled([ref("a")])
    clock.now += 5
    assert settling.settled([ref("a")]) == [ref("a")]


def test_a_photo_that_is_put_off_has_to_settle_once_more(settling, clock):
    settling.settled([ref("a")])
    clock.now += 5
    settling.put_off(settling.settled([ref("a")]))
    assert settling.settled([ref("a")]) == []
    clock.now += 5
    assert settling.settled([ref("a")]) == [ref("a")]


def test_a_file_is_unchanged_until_it_is_written_to_or_removed(tmp_path):
    path = tmp_path / "a.jpg"
    path.write_bytes(b"a")
    status = path.stat()
    image = ImageRef(path, "a.jpg", status.st_size, status.st_mtime_ns)
    assert is_unchanged(image)
    path.write_bytes(b"ab")
    assert not is_unchanged(image)
    path.unlink()
    assert not is_unchanged(image)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not tell it")
def test_a_file_that_is_open_to_be_written_is_being_written(tmp_path):
    path = tmp_path / "a.jpg"
    with path.open("wb") as writer:
        assert is_being_written(path)
        with path.open("rb"):
            assert is_being_written(path)
        writer.write(b"a")
    with path.open("rb"):
        assert not is_being_written(path)


def test_what_cannot_be_opened_is_not_being_written(tmp_path):
    assert not is_being_written(tmp_path / "missing.jpg")
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe.jpg")
        assert not is_being_written(tmp_path / "pipe.jpg")
