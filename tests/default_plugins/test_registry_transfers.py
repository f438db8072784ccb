"""Downloads that break, stall, wait for each other and go on: no byte comes twice, and nothing is left behind."""

import os
import random
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace

import pytest

from olpipe.default_plugins.sources.registry.options import Options
from olpipe.default_plugins.sources.registry.source import RegistrySource
from olpipe.default_plugins.sources.transfer import download
from olpipe.default_plugins.sources.transfer.options import Patience
from olpipe.errors import DigestMismatch, OlpipeError, PullFailed
from olpipe.interfaces import Progress
from olpipe.model import ModelName
from olpipe.store.library import Library
from olpipe.store.partial_blob import NOTED_BYTES, PartialBlob
from tests.store.registry_server import RegistryServer, digest_of

MINE = ModelName.parse("mine")
QUICK = Patience(connect_s=5, stall_s=10, answer_s=10, first_wait_s=0.01, longest_wait_s=0.02)
RAW = {"model_format": "raw"}
SIZE = 24 << 20

# Pulls a model into a store, and says when more than so many bytes of it have come.
PULL = """
import sys
from pathlib import Path
from olpipe.default_plugins.sources.registry.options import Options
from olpipe.default_plugins.sources.registry.source import RegistrySource
from olpipe.model import ModelName
from olpipe.store.library import Library
url, models, reference, bytes_ = sys.argv[1:]
options = Options(registry=url)
def progress(step):
    if step.total and step.completed > int(bytes_):
        print("there", flush=True)
RegistrySource(lambda: options).pull(
    reference, ModelName.parse(reference), Library(Path(models), cache=Path(models) / "cache"), progress)
print("done", flush=True)
"""


@pytest.fixture(scope="module")
def data():
    return random.Random(1).randbytes(SIZE)


@pytest.fixture
def server(data):
    with RegistryServer() as server:
        server.put("library/mine", [server.layer(data, name="weights.bin")], config=RAW)
        yield server


@pytest.fixture
def library(tmp_path):
    return Library(tmp_path / "models", cache=tmp_path / "cache")


def silent(progress):
    pass


def pull(server, library, *, patience=QUICK, progress=silent, reference="mine", **options):
    found = Options(registry=server.url, patience=patience, **options)
    RegistrySource(lambda: found).pull(reference, MINE, library, progress)


def check_whole(library, data):
    assert (library.get(MINE).path / "weights.bin").read_bytes() == data
    assert left_in(library) == []


def left_in(library):
    """Return what pulls have left, except for the files that processes lock."""
    return [path.name for path in (library.folder / "incoming").iterdir() if path.suffix != ".lock"]


def test_a_file_comes_over_several_connections(server, library, data):
    steps = []
    pull(server, library, progress=steps.append, streams=4)
    check_whole(library, data)
    requests = server.blob_requests(digest_of(data))
    assert len(requests) == SIZE // download.LEAST_PART_BYTES
    assert all("range" in headers for headers in requests)
    assert server.sent[digest_of(data)] == SIZE
    completed = [step.completed for step in steps if step.digest == digest_of(data)]
    assert completed == sorted(completed) and completed[-1] == SIZE


def test_no_part_is_begun_while_hashing_is_far_behind(server, library, data, monkeypatch):
    hash_more, two_parts, requests = PartialBlob.hash_more, 2 * download.LEAST_PART_BYTES, []

    def far_behind(blob):
        """Say that much waits to be hashed, until both connections could have begun another part."""
        came = SIZE - sum(ends - begins for begins, ends in blob.missing())
        if blob.size < SIZE or came == 0 or len(requests) == 20:
            return hash_more(blob)
        if came >= two_parts:
            time.sleep(0.01)
            requests.append(len(server.blob_requests(digest_of(data))))
        return download.MOST_NOT_HASHED_BYTES + 1

    monkeypatch.setattr(PartialBlob, "hash_more", far_behind)
    pull(server, library, streams=2)
    check_whole(library, data)
    assert requests == [2] * 20


@pytest.mark.parametrize("streams", [1, 4])
def test_a_connection_that_is_cut_ten_times_goes_on_where_it_broke(server, library, data, streams):
    server.cuts = [100_000 * (number + 3) for number in range(10)]
    pull(server, library, streams=streams)
    check_whole(library, data)
    assert server.cuts == []
    # What was on its way when a connection was cut may come again
    assert SIZE <= server.sent[digest_of(data)] <= SIZE + 10 * download.WRITTEN_BYTES


def test_a_pull_that_is_cancelled_ten_times_goes_on_where_it_was(server, library, data):
    class Cancelled(Exception):
        pass

    for number in range(1, 11):

        def cancel(step, at=number * SIZE // 11):
            if step.total == SIZE and step.completed > at:
                raise Cancelled

        server.cuts = [1 << 20] * 2  # so that it takes a while
        try:
            pull(server, library, progress=cancel, streams=2)
        except Cancelled:
            continue
        break
    server.cuts = []
    pull(server, library)
    check_whole(library, data)
    assert server.sent[digest_of(data)] <= SIZE + 10 * 2 * (download.LEAST_PART_BYTES + NOTED_BYTES)


def test_a_process_that_is_killed_leaves_what_came_to_the_next_one(server, library, data):
    arguments = [sys.executable, "-c", PULL, server.url, str(library.folder), "mine", str(SIZE // 2)]
    for _ in range(3):
        server.stalls = 0
        with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout.readline() == "there\n"
            os.kill(process.pid, signal.SIGKILL)
    before = server.sent[digest_of(data)]
    assert before <= SIZE + 3 * 4 * download.LEAST_PART_BYTES
    pull(server, library)
    check_whole(library, data)
    assert server.sent[digest_of(data)] - before <= SIZE // 2 + NOTED_BYTES + 4 * download.WRITTEN_BYTES


def test_two_processes_that_want_the_same_file_download_it_once(server, library, data):
    for name in ("library/one", "library/two"):
        server.put(name, [server.layer(data, name="weights.bin"), server.layer(name.encode(), "system")], config=RAW)
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", PULL, server.url, str(library.folder), name, str(1 << 40)],
            stdout=subprocess.PIPE, text=True,
        )
        for name in ("one", "two")
    ]  # fmt: skip
    assert [process.communicate(timeout=60)[0] for process in processes] == ["done\n"] * 2
    assert server.sent[digest_of(data)] == SIZE
    assert {library.get(name).system for name in library.names()} == {"library/one", "library/two"}
    assert left_in(library) == []


def test_two_threads_of_a_server_that_want_the_same_file_download_it_once(server, library, data):
    told, failed = [], []

    def run():
        try:
            pull(server, library, progress=lambda step: told.append(step.status))
        except OlpipeError as error:
            failed.append(error)

    server.cuts = [1 << 20] * 3
    threads = [threading.Thread(target=run) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failed == []
    check_whole(library, data)
    assert server.sent[digest_of(data)] <= SIZE + 3 * download.WRITTEN_BYTES


def test_what_is_here_already_is_not_fetched_again(server, library, data):
    pull(server, library)
    steps = []
    server.put("library/other", [server.layer(data, name="weights.bin"), server.layer(b"x", "system")], config=RAW)
    pull(server, library, reference="other", progress=steps.append)
    assert server.sent[digest_of(data)] == SIZE
    assert Progress(f"pulling {digest_of(data)[7:19]}", SIZE, SIZE, digest=digest_of(data)) in steps


@pytest.mark.parametrize("cuts", [[], [9 << 20, 5 << 20]])
def test_a_server_that_sends_the_whole_file_where_a_range_is_asked_for_is_understood(server, library, data, cuts):
    server.ignores_ranges, server.cuts = True, list(cuts)
    pull(server, library)
    check_whole(library, data)
    assert len(server.blob_requests(digest_of(data))) == 1 + len(cuts)


def test_a_pull_goes_on_with_a_server_that_has_unlearned_ranges(server, library, data):
    server.cuts = [2 << 20] * 50
    with pytest.raises(PullFailed):
        pull(server, library, streams=1, patience=replace(QUICK, attempts=1))
    server.ignores_ranges, server.cuts = True, []
    pull(server, library)
    check_whole(library, data)


def test_a_body_that_stalls_is_asked_for_again(server, library, data):
    server.stalls = 3
    pull(server, library, patience=replace(QUICK, stall_s=0.3))
    check_whole(library, data)


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503])
def test_a_registry_that_is_busy_is_asked_again(server, library, data, status):
    server.statuses = [status] * 3
    pull(server, library)
    check_whole(library, data)


def test_a_file_that_never_comes_whole_fails_after_some_attempts_and_keeps_what_came(server, library, data):
    server.cuts = [3 << 20] + [0] * 100
    with pytest.raises(PullFailed, match="broke") as caught:
        pull(server, library, streams=1)
    assert "what has come so far is kept" in caught.value.hint
    sent = server.sent[digest_of(data)]
    server.cuts = []
    pull(server, library)
    check_whole(library, data)
    assert server.sent[digest_of(data)] - sent <= SIZE - (3 << 20) + download.WRITTEN_BYTES


def test_a_file_with_other_bytes_is_not_kept(server, library, data):
    server.damages = {digest_of(data)}
    with pytest.raises(DigestMismatch, match=digest_of(data)):
        pull(server, library)
    assert library.names() == []
    assert left_in(library) == []
    server.damages = set()
    pull(server, library)
    check_whole(library, data)


def test_what_a_power_cut_has_damaged_is_fetched_anew_in_the_same_pull(server, library, data):
    server.cuts = [2 << 20] + [0] * 100
    with pytest.raises(PullFailed):
        pull(server, library, streams=1)
    server.cuts = []
    (folder,) = [path for path in (library.folder / "incoming").iterdir() if path.is_dir()]
    with (folder / "data").open("r+b") as file:
        file.write(bytes(1000))
    pull(server, library)
    check_whole(library, data)


@pytest.mark.parametrize("parts", ["", "nonsense", "0 5 9", "5 0", "0 99999999999", "-5 10", "0 1000000\n3000000 x"])
def test_a_list_of_parts_that_makes_no_sense_is_not_believed(server, library, data, parts):
    server.cuts = [2 << 20] + [0] * 100
    with pytest.raises(PullFailed):
        pull(server, library, streams=1)
    server.cuts = []
    (folder,) = [path for path in (library.folder / "incoming").iterdir() if path.is_dir()]
    (folder / "parts").write_text(parts)
    pull(server, library)
    check_whole(library, data)


def test_an_empty_file_is_a_file(server, library):
    server.put("library/mine", [server.layer(b"", name="empty"), server.layer(b"x", name="full")], config=RAW)
    pull(server, library)
    assert (library.get(MINE).path / "empty").read_bytes() == b""


def test_a_download_that_is_cancelled_ends_though_its_connections_stall(server, library, data):
    server.stalls = 4

    def cancel(step):
        if server.sent[digest_of(data)] >= 100:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pull(server, library, progress=cancel, patience=replace(QUICK, stall_s=300))
    assert [thread.name for thread in threading.enumerate() if thread.name.startswith("pulling")] == []
    server.stalls = 0
    pull(server, library)
    check_whole(library, data)


def test_blobs_are_found_again_where_a_redirect_led_until_that_fails(server, library, data):
    with RegistryServer() as storage:
        server.storage = storage.url
        storage.blobs = server.blobs
        pull(server, library, streams=2)
        check_whole(library, data)
        assert len(server.blob_requests(digest_of(data))) < len(storage.blob_requests(digest_of(data)))
        library.remove(MINE)
        storage.statuses = [0, 0, 403]  # a signature that has expired in the middle of a download
        before = len(server.blob_requests(digest_of(data)))
        pull(server, library, streams=1)
        check_whole(library, data)
        assert storage.statuses == []
        assert len(server.blob_requests(digest_of(data))) == before + 2
