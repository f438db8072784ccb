"""Blobs that come in part by part: what came is kept, nothing that was hashed can be changed, and files are removed."""

import errno
import hashlib
import os
import random
import threading
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from olpipe.errors import DigestMismatch, DiskFull
from olpipe.store.library import Library
from olpipe.store.partial_blob import FLUSHED_BYTES, NOTED_BYTES

DATA = random.Random(3).randbytes(50_000)


def digest_of(data):
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def silent(progress):
    pass


@pytest.fixture
def library(tmp_path):
    return Library(tmp_path / "models", cache=tmp_path / "cache")


def left_in(library):
    return [path.name for path in (library.folder / "incoming").iterdir() if path.suffix != ".lock"]


def test_a_blob_comes_in_in_any_order_and_is_kept_when_it_is_whole(library):
    with library.receiving(digest_of(DATA), len(DATA), silent) as blob:
        assert blob.missing() == [(0, len(DATA))]
        blob.write(30_000, DATA[30_000:])
        assert blob.hash_more() == 0
        blob.write(0, DATA[:10_000])
        assert blob.missing() == [(10_000, 30_000)]
        assert blob.hash_more() == 10_000
        assert blob.hash_more() == 0
        with pytest.raises(ValueError, match="is not whole"):
            blob.keep()
        blob.write(10_000, DATA[10_000:30_000])
        assert blob.missing() == []
        assert blob.keep().size == len(DATA)
    assert library.blob_path(digest_of(DATA)).read_bytes() == DATA
    assert left_in(library) == []
    with library.receiving(digest_of(DATA), len(DATA), silent) as blob:
        assert blob is None


def test_what_came_is_there_again_the_next_time(library):
    with library.receiving(digest_of(DATA), len(DATA), silent) as blob:
        blob.write(100, DATA[100:200])
        blob.write(150, DATA[150:300])
    with library.receiving(digest_of(DATA), len(DATA), silent) as blob:
        assert blob.missing() == [(0, 100), (300, len(DATA))]
        assert blob.path.stat().st_size == len(DATA)
    # Where the size is another one, what came is of no use
    with library.receiving(digest_of(DATA), len(DATA) + 1, silent) as blob:
        assert blob.missing() == [(0, len(DATA) + 1)]


def test_bytes_that_were_hashed_cannot_be_changed(library):
    with library.receiving(digest_of(DATA), len(DATA), silent) as blob:
        blob.write(0, DATA[:40_000])
        while blob.hash_more():
            pass
        blob.write(0, bytes(len(DATA)))  # brings only what was missing
        with pytest.raises(DigestMismatch):
            blob.keep()
    with library.receiving(digest_of(DATA), len(DATA), silent) as blob:
        blob.write(0, DATA)
        blob.hash_more()
        blob.write(0, bytes(len(DATA)))
        blob.keep()
    assert library.blob_path(digest_of(DATA)).read_bytes() == DATA


def test_a_blob_with_another_digest_is_not_kept(library):
    with library.receiving(digest_of(b"other"), len(DATA), silent) as blob:
        blob.write(0, DATA)
        with pytest.raises(DigestMismatch, match=digest_of(b"other")):
            blob.keep()
    assert left_in(library) == []
    assert not library.has(digest_of(b"other"))


def test_where_nothing_came_nothing_is_left(library):
    with library.receiving(digest_of(DATA), len(DATA), silent):
        pass
    assert left_in(library) == []


@pytest.mark.parametrize("offset", [-1, len(DATA), len(DATA) - 1])
def test_bytes_outside_of_the_blob_are_a_mistake(library, offset):
    with library.receiving(digest_of(DATA), len(DATA), silent) as blob, pytest.raises(ValueError, match="do not lie"):
        blob.write(offset, b"xx")


def test_nothing_comes_in_after_the_end(library):
    with library.receiving(digest_of(DATA), len(DATA), silent) as blob:
        pass
    with pytest.raises(ValueError, match="closed"):
        blob.write(0, b"xx")


def test_the_list_of_parts_is_written_while_the_blob_comes_in(library, tmp_path):
    size = 3 * NOTED_BYTES
    with library.receiving(f"sha256:{'0' * 64}", size, silent) as blob:
        blob.write(0, bytes(NOTED_BYTES))
        assert (blob.path.parent / "parts").read_text() == f"0 {NOTED_BYTES}\n"


def test_several_threads_may_write(library):
    with library.receiving(digest_of(DATA), len(DATA), silent) as blob:

        def write(first):
            for at in range(first * 100, len(DATA), 500):
                blob.write(at, DATA[at : at + 100])

        threads = [threading.Thread(target=write, args=(first,)) for first in range(5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        blob.keep()
    assert library.blob_path(digest_of(DATA)).read_bytes() == DATA


def test_the_end_waits_for_a_thread_that_is_writing(library, monkeypatch):
    begun, go_on, write = threading.Event(), threading.Event(), os.pwrite

    def slowly(*arguments):
        begun.set()
        go_on.wait(30)
        return write(*arguments)

    monkeypatch.setattr(os, "pwrite", slowly)
    with library.receiving(digest_of(DATA), len(DATA), silent) as blob:
        writer = threading.Thread(target=blob.write, args=(0, DATA))
        writer.start()
        begun.wait(30)
        end = threading.Thread(target=blob.close)
        end.start()
        end.join(0.2)
        assert end.is_alive()  # else the file's number might be another file's by now
        go_on.set()
        writer.join()
        end.join()
    with library.receiving(digest_of(DATA), len(DATA), silent) as blob:
        assert blob.missing() == []


def test_a_disk_that_is_full_is_told(library, monkeypatch):
    def full(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    with library.receiving(digest_of(DATA), len(DATA), silent) as blob:
        monkeypatch.setattr(os, "pwrite", full)
        with pytest.raises(DiskFull):
            blob.write(0, DATA)
        assert blob.missing() == [(0, len(DATA))]


def test_a_flush_that_failed_is_told_at_the_next_write(library, monkeypatch):
    flushed = threading.Event()

    def broken(file):
        flushed.set()
        raise OSError(errno.ENOSPC, "No space left on device")

    size = 2 * FLUSHED_BYTES
    with library.receiving(f"sha256:{'0' * 64}", size, silent) as blob:
        monkeypatch.setattr(os, "fdatasync", broken)
        blob.write(0, bytes(FLUSHED_BYTES))
        flushed.wait(30)
        with pytest.raises(DiskFull):
            while True:  # the thread that flushes needs a moment to say what happened
                blob.write(FLUSHED_BYTES, bytes(100))


def test_the_end_waits_for_a_flush(library, monkeypatch):
    begun, go_on, flush = threading.Event(), threading.Event(), os.fdatasync

    def slowly(file):
        begun.set()
        go_on.wait(30)
        flush(file)  # fails where the file is closed

    with library.receiving(f"sha256:{'0' * 64}", 2 * FLUSHED_BYTES, silent) as blob:
        monkeypatch.setattr(os, "fdatasync", slowly)
        blob.write(0, bytes(FLUSHED_BYTES))
        begun.wait(30)
        end = threading.Thread(target=blob.close)
        end.start()
        end.join(0.2)
        assert end.is_alive()
        go_on.set()
        end.join()


@given(st.lists(st.tuples(st.integers(0, 999), st.integers(1, 400)), max_size=30))
def test_what_is_missing_is_what_was_not_written(tmp_path_factory, writes):
    folder = tmp_path_factory.mktemp("parts")
    library = Library(folder / "models", cache=folder / "cache")
    data, came = DATA[:1000], set()
    with library.receiving(digest_of(data), 1000, silent) as blob:
        for offset, length in writes:
            blob.write(offset, data[offset : offset + length])
            came |= set(range(offset, min(1000, offset + length)))
        missing = {at for begins, ends in blob.missing() for at in range(begins, ends)}
        assert missing == set(range(1000)) - came
        gaps = blob.missing()
        assert all(before[1] < after[0] for before, after in pairwise(gaps))
