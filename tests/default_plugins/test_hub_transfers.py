"""Downloads from the hub that break and go on: no byte comes twice beyond what was on its way."""

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from olpipe.default_plugins.sources.hub.options import HubOptions
from olpipe.default_plugins.sources.hub.source import HubSource
from olpipe.default_plugins.sources.transfer import download
from olpipe.default_plugins.sources.transfer.options import Patience
from olpipe.errors import PullFailed
from olpipe.model import ModelName
from olpipe.store.library import Library
from olpipe.store.partial_blob import NOTED_BYTES
from olpipe.testing.models import write_tiny_gguf
from tests.default_plugins.hub_server import HubServer
from tests.store.registry_server import digest_of

MINE = ModelName.parse("mine")
QUICK = Patience(connect_s=5, stall_s=10, answer_s=10, first_wait_s=0.01, longest_wait_s=0.02)
REPOSITORY = "somebody/Large-GGUF"
REFERENCE = f"hf.co/{REPOSITORY}"
SIZE = 24 << 20


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A GGUF file of some size: a tiny model, and random bytes behind it."""
    tiny = write_tiny_gguf(tmp_path_factory.mktemp("tiny") / "tiny.gguf").read_bytes()
    return tiny + random.Random(1).randbytes(SIZE - len(tiny))


@pytest.fixture
def hub(data):
    with HubServer() as hub:
        hub.put(REPOSITORY, {"large-Q8_0.gguf": data})
        yield hub


@pytest.fixture
def library(tmp_path):
    return Library(tmp_path / "models", cache=tmp_path / "cache")


def silent(progress):
    pass


def pull(hub, library, *, patience=QUICK, progress=silent, **options):
    found = HubOptions(endpoint=hub.url, patience=patience, **options)
    HubSource(lambda: found).pull(REFERENCE, MINE, library, progress)


def check_whole(library, data):
    assert (library.get(MINE).path / "model.gguf").read_bytes() == data
    incoming = library.folder / "incoming"
    assert [path.name for path in incoming.rglob("*") if path.is_file() and path.stat().st_size > 1024] == []


def test_a_file_comes_over_several_connections_and_its_header_comes_once(hub, library, data):
    steps = []
    pull(hub, library, progress=steps.append, streams=4)
    check_whole(library, data)
    assert hub.sent(data) == SIZE
    assert len(hub.storage.blob_requests(digest_of(data))) > 4
    completed = [step.completed for step in steps if step.digest == digest_of(data)]
    assert completed == sorted(completed) and completed[-1] == SIZE


@pytest.mark.parametrize("streams", [1, 4])
def test_a_connection_that_is_cut_ten_times_goes_on_where_it_broke(hub, library, data, streams):
    hub.storage.cuts = [100_000 * (number + 3) for number in range(10)]
    pull(hub, library, streams=streams)
    check_whole(library, data)
    assert hub.storage.cuts == []
    # What was on its way when a connection was cut may come again
    assert SIZE <= hub.sent(data) <= SIZE + 10 * download.WRITTEN_BYTES


def test_a_pull_that_is_cancelled_goes_on_where_it_was(hub, library, data):
    class Cancelled(Exception):
        pass

    for number in range(1, 5):

        def cancel(step, at=number * SIZE // 5):
            if step.total == SIZE and step.completed > at:
                raise Cancelled

        hub.storage.cuts = [1 << 20] * 2  # so that it takes a while
        try:
            pull(hub, library, progress=cancel, streams=2)
        except Cancelled:
            continue
        break
    hub.storage.cuts = []
    pull(hub, library)
    check_whole(library, data)
    # A cancelled pull leaves what its connections were about to bring
    assert SIZE <= hub.sent(data) <= SIZE + 5 * 4 * download.LEAST_PART_BYTES


def test_a_process_that_is_killed_loses_little(hub, library, data, tmp_path):
    program = """
import os, sys
from pathlib import Path
from olpipe.default_plugins.sources.hub.options import HubOptions
from olpipe.default_plugins.sources.hub.source import HubSource
from olpipe.model import ModelName
from olpipe.store.library import Library
url, models, reference, size = sys.argv[1:]
def progress(step):
    if step.total == int(size) and step.completed > int(size) // 2:
        os._exit(9)
HubSource(lambda: HubOptions(endpoint=url)).pull(
    reference, ModelName.parse("mine"), Library(Path(models), cache=Path(models) / "cache"), progress)
"""
    hub.storage.cuts = [2 << 20] * 3
    ended = subprocess.run([sys.executable, "-c", program, hub.url, library.folder, REFERENCE, str(SIZE)], check=False)
    assert ended.returncode == 9
    hub.storage.cuts = []
    pull(hub, library)
    check_whole(library, data)
    # Lost are what was not noted yet, and what each connection was about to bring
    assert hub.sent(data) <= SIZE + NOTED_BYTES + 4 * download.LEAST_PART_BYTES + 3 * download.WRITTEN_BYTES


def test_an_address_that_has_expired_is_asked_for_again(hub, library, data):
    hub.storage.statuses = [0, 0, 403, 0, 403]
    pull(hub, library, streams=1)
    check_whole(library, data)
    assert hub.sent(data) == SIZE
    # Once for the header, and once for each address that had expired
    assert len(hub.asked("/resolve/")) == 3


def test_a_hub_without_ranges_is_read_whole(hub, library, data):
    hub.storage.ignores_ranges = True
    pull(hub, library)
    check_whole(library, data)


def test_a_hub_that_gives_up_is_an_error_and_what_came_is_kept(hub, library, data):
    hub.storage.statuses = [0, 0, *[503] * 20]
    with pytest.raises(PullFailed) as caught:
        pull(hub, library, patience=Patience(attempts=2, first_wait_s=0.01, longest_wait_s=0.02), streams=1)
    assert caught.value.hint == "run the command again: what has come so far is kept"
    hub.storage.statuses = []
    pull(hub, library)
    check_whole(library, data)
    assert hub.sent(data) == SIZE


def test_a_model_that_is_here_is_not_fetched_again_but_for_its_header(hub, library, data):
    pull(hub, library)
    digest = library.digest(MINE)
    pull(hub, library)
    assert library.digest(MINE) == digest
    assert SIZE < hub.sent(data) <= SIZE + (1 << 20)


def test_the_token_that_a_login_keeps_is_used(hub, data, tmp_path):
    home = tmp_path / "huggingface"
    home.mkdir()
    (home / "token").write_text("hf_good\n")
    hub.gated.add(REPOSITORY)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    environment = kept | {"HF_HOME": str(home), "HF_ENDPOINT": hub.url}
    command = [sys.executable, "-m", "olpipe", "env", "--json"]
    assert "hf_good" not in subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
    program = f"""
from pathlib import Path
from olpipe.default_plugins.sources.hub.source import HubSource
from olpipe.model import ModelName
from olpipe.store.library import Library
library = Library(Path({str(tmp_path / "store")!r}), cache=Path({str(tmp_path / "cache")!r}))
HubSource().pull({REFERENCE!r}, ModelName.parse("mine"), library, lambda step: None)
"""
    subprocess.run([sys.executable, "-c", program], env=environment, check=True)
    assert json.loads((Path(tmp_path) / "store/manifests/registry.ollama.ai/library/mine/latest").read_bytes())[
        "layers"
    ]
