"""What an interrupted pull has brought stays until the pull is finished or given up."""

import os
import time

import pytest

from olpipe.errors import ModelNotFound, ModelUnsupported, PullFailed
from olpipe.model import ModelName
from olpipe.plugins import Plugins
from olpipe.settings import Settings
from olpipe.store import prune
from olpipe.store.library import Library
from olpipe.store.pull import pull
from olpipe.store.resolve import find_source
from olpipe.store.unfinished import UnfinishedPulls
from olpipe.testing.models import write_tiny_gguf
from tests.store.registry_server import RegistryServer

TINY, OTHER = ModelName.parse("tiny"), ModelName.parse("other")
LARGE = bytes(range(256)) * (5 << 12)
MONTH_S = 31 * 24 * 3600


class Stopped(Exception):
    pass


@pytest.fixture
def library(tmp_path):
    return Library(tmp_path / "models", cache=tmp_path / "cache")


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A registry with a model of two files, of which one is large."""
    weights = write_tiny_gguf(tmp_path / "tiny.gguf").read_bytes()
    with RegistryServer() as server:
        monkeypatch.setenv("OLPIPE_REGISTRY", server.url)
        for name in ("tiny", "other"):
            server.put(f"library/{name}", [server.layer(weights), server.layer(LARGE, name="zeros.bin")])
        yield server


def bring(library, text="tiny", *, name=TINY, until=None):
    """Pull a model, and stop where so many bytes of the large file are here."""

    def stop(step):
        if until is not None and step.total == len(LARGE) and step.completed >= until:
            raise Stopped

    plugins = Plugins.load(Settings(plugins_allow=()))
    origin, _ = find_source(text, plugins)
    return pull(origin, name, library, plugins, progress=stop)


def interrupt(library, name="tiny"):
    with pytest.raises(Stopped):
        bring(library, name, name=ModelName.parse(name), until=4 << 20)


def make_all_old(folder, seconds=MONTH_S):
    then = time.time() - seconds
    for path in [folder, *folder.rglob("*")]:
        os.utime(path, (then, then), follow_symlinks=False)


def partials(library):
    return [path for path in library.incoming.iterdir() if path.is_dir()]


def blobs(library):
    return {digest for digest, _ in library.blobs.entries()}


def test_a_pull_that_was_interrupted_a_month_ago_is_taken_up_again(library, server):
    interrupt(library)
    make_all_old(library.folder)
    before = blobs(library)
    assert len(before) == 2 and len(partials(library)) == 1
    library.clean()
    assert blobs(library) == before
    assert len(partials(library)) == 1
    sent = server.sent.total()
    assert bring(library).name == TINY
    assert server.sent.total() - sent < len(LARGE)
    assert partials(library) == []
    assert library.unfinished.all() == []


def test_pruning_keeps_it_too_and_gives_it_up_where_that_is_wanted(library, server):
    interrupt(library)
    make_all_old(library.folder)
    before = blobs(library)
    prune.prune(library)
    assert blobs(library) == before and len(partials(library)) == 1
    (download,) = prune.downloads(library)
    assert (download.model, download.source) == ("tiny:latest", "oci:registry.ollama.ai/library/tiny:latest")
    assert download.size_bytes >= 4 << 20
    assert [one.model for one in prune.give_up(library)] == ["tiny:latest"]
    assert blobs(library) == set() and partials(library) == []
    assert prune.downloads(library) == []


def test_removing_the_model_gives_its_download_up(library, server):
    interrupt(library)
    library.remove(TINY)
    assert blobs(library) == set() and partials(library) == []
    with pytest.raises(ModelNotFound):
        library.remove(TINY)


def test_removing_a_model_leaves_what_another_unfinished_download_needs(library, server):
    interrupt(library, "tiny")
    interrupt(library, "other")
    before = blobs(library)
    library.remove(ModelName.parse("TINY"))
    assert blobs(library) == before and len(partials(library)) == 1
    assert [pull.model for pull in library.unfinished.all()] == ["other:latest"]
    library.remove(OTHER)
    assert blobs(library) == set() and partials(library) == []


def test_giving_up_an_update_leaves_the_model_as_it_is(library, server):
    bring(library)
    layers = [server.layer(b"new" * 9999, name="zeros.bin"), server.layer(LARGE[:-1] + b"x", name="b.bin")]
    weights = next(data for data in server.blobs.values() if data[:4] == b"GGUF")
    server.put("library/tiny", [server.layer(weights), *layers])
    with pytest.raises(Stopped):
        bring(library, until=4 << 20)
    prune.give_up(library)
    assert library.missing(library.describe(TINY)) == []
    assert library.get(TINY).name == TINY


def test_a_download_that_goes_on_is_not_given_up(library, server):
    found = []

    def look(step):
        if step.total == len(LARGE) and step.completed >= 4 << 20 and not found:
            found.append(prune.give_up(library))
            with pytest.raises(ModelNotFound):
                library.remove(TINY)

    plugins = Plugins.load(Settings(plugins_allow=()))
    origin, name = find_source("tiny", plugins)
    assert pull(origin, name, library, plugins, progress=look).name == TINY
    assert found == [[]]


def test_the_note_of_a_pull_that_was_killed_at_its_very_end_goes(library, server):
    bring(library)
    note = library.unfinished.begin(TINY, "oci:registry.ollama.ai/library/tiny:latest")
    for digest in library.describe(TINY).manifest.blob_digests:
        note.add_blob(digest)
    assert prune.downloads(library) == []
    prune.prune(library)
    assert library.unfinished.all() == []


def test_a_pull_that_brought_nothing_leaves_nothing(library, server):
    server.manifests.clear()
    with pytest.raises(PullFailed):
        bring(library)
    assert library.unfinished.all() == []


def test_a_pull_of_what_is_no_model_is_not_waited_for(library, server):
    server.put("library/tiny", [server.layer(b"GGUF" + b"x" * 999)])
    with pytest.raises(ModelUnsupported):
        bring(library)
    assert library.unfinished.all() == []


def test_a_note_that_was_cut_off_while_it_was_written_is_read_as_far_as_it_goes(tmp_path):
    pulls = UnfinishedPulls(tmp_path)
    note = pulls.begin(TINY, "oci:tiny")
    note.add_blob(f"sha256:{'a' * 64}")
    note.add_blob(f"sha256:{'b' * 64}")
    (pull_,) = pulls.all()
    data = pull_.path.read_bytes()
    pull_.path.write_bytes(data[:-9])
    assert [pull.blobs for pull in pulls.all()] == [{f"sha256:{'a' * 64}"}]
    again = pulls.begin(TINY, "oci:tiny")
    again.add_blob(f"sha256:{'c' * 64}")
    assert pulls.blobs() == {f"sha256:{'a' * 64}", f"sha256:{'c' * 64}"}


@pytest.mark.parametrize("name", ["../../blobs", "/etc", "pull-x/../../blobs", "blobs"])
def test_a_note_removes_no_folder_but_those_of_pulls(tmp_path, name):
    pulls = UnfinishedPulls(tmp_path)
    (tmp_path / "incoming").mkdir()
    victim = tmp_path / "blobs"
    victim.mkdir()
    pulls.begin(TINY, "oci:tiny").add_partial(name)
    pulls.give_up()
    assert victim.is_dir() and os.path.isdir("/etc")
