"""The hub when it refuses, lies, or leads elsewhere: who gets the token, what is believed, and what is left behind."""

import struct

import pytest

from olpipe.default_plugins.sources.hub.options import HubOptions
from olpipe.default_plugins.sources.hub.repository import Repository
from olpipe.default_plugins.sources.hub.source import HubSource
from olpipe.default_plugins.sources.transfer.options import Patience
from olpipe.default_plugins.sources.transfer.trouble import Trouble
from olpipe.errors import (
    DigestMismatch,
    DiskFull,
    ModelUnsupported,
    NotAtSource,
    OlpipeError,
    PullFailed,
    SourceUnreachable,
)
from olpipe.model import ModelName
from olpipe.plugins import Plugins
from olpipe.settings import Settings
from olpipe.store.library import Library
from olpipe.store.pull import pull as pull_model
from olpipe.store.sources import Origin
from olpipe.testing.models import build_tiny_package, write_tiny_gguf
from olpipe.testing.vision_models import projector_content, write_vision_gguf
from tests.default_plugins.hub_server import COMMIT, HubServer
from tests.store.registry_server import RegistryServer

MINE = ModelName.parse("mine")
QUICK = Patience(connect_s=5, stall_s=10, answer_s=10, attempts=3, first_wait_s=0.01, longest_wait_s=0.02)
REPOSITORY = "somebody/Tiny-GGUF"
REFERENCE = f"hf.co/{REPOSITORY}"


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return write_tiny_gguf(tmp_path_factory.mktemp("tiny") / "tiny.gguf").read_bytes()


@pytest.fixture
def hub(tiny):
    with HubServer() as hub:
        hub.put(REPOSITORY, {"tiny-Q8_0.gguf": tiny, "LICENSE": b"Do as you like."})
        yield hub


@pytest.fixture
def library(tmp_path):
    return Library(tmp_path / "models", cache=tmp_path / "cache")


@pytest.fixture
def pull(hub, library):
    """Pull the model as `olpipe pull` does, with all checks before the download."""

    def pull(reference=REFERENCE, *, endpoint="", patience=QUICK, **options):
        found = HubOptions(endpoint=endpoint or hub.url, patience=patience, **options)
        plugins = Plugins.load(Settings(plugins_allow=()))
        origin = Origin(HubSource(lambda: found), reference)
        pull_model(origin, MINE, library, plugins, progress=lambda progress: None)

    return pull


@pytest.fixture
def refused(pull, library):
    """Pull a model that is refused, and return the error. Nothing is left of it then."""

    def refused(error=PullFailed, reference=REFERENCE, **options):
        with pytest.raises(OlpipeError) as caught:
            pull(reference, **options)
        assert type(caught.value) is error, caught.value.message
        assert library.names() == []
        return caught.value

    return refused


def left_in(library):
    """Return the files with bytes of models that pulls have left. Notes and locks are shorter."""
    incoming = library.folder / "incoming"
    return [path.name for path in incoming.rglob("*") if path.is_file() and path.stat().st_size > 1024]


# --- the token ----------------------------------------------------------------------------------


def test_only_the_hub_gets_the_token(hub, pull, library):
    hub.gated.add(REPOSITORY)
    pull(token="hf_good")
    assert library.names() == [MINE]
    assert {headers.get("authorization") for _, _, headers in hub.front.asked} == {"Bearer hf_good"}
    assert hub.storage.asked
    assert [headers for _, _, headers in hub.storage.asked if "authorization" in headers] == []


def test_a_gated_model_says_what_to_do(hub, refused):
    hub.gated.add(REPOSITORY)
    error = refused()
    assert error.message == f"`{REPOSITORY}` is gated: its owner lets in only users who accept its terms"
    assert error.hint == f"accept them at {hub.url}/{REPOSITORY}, then run `hf auth login`, or set HF_TOKEN"
    error = refused(token="hf_stranger")
    assert (
        error.hint == f"accept them at {hub.url}/{REPOSITORY} as the user of your token, or wait for the owner's answer"
    )


def test_a_token_that_the_hub_does_not_know_is_named_as_the_reason(refused):
    error = refused(token="hf_expired")
    assert "does not accept the token" in error.message
    assert error.hint == "run `hf auth login` again, or correct HF_TOKEN"


def test_a_token_does_not_travel_where_others_can_read_it(hub, refused):
    hub.gated.add(REPOSITORY)
    endpoint = hub.url.replace("127.0.0.2", "hub.example")
    error = refused(endpoint=endpoint, token="hf_good", resolve=lambda host, port: ["127.0.0.2"])
    assert [headers for _, _, headers in hub.front.asked if "authorization" in headers] == []
    assert "your token was not sent, because HF_ENDPOINT begins with `http://`" in error.hint


def test_a_private_model_is_like_one_that_is_not_there(refused):
    error = refused(NotAtSource, "hf.co/somebody/secret")
    assert error.message == "the hub has no model `somebody/secret`, or it is private"
    assert error.hint == "check the spelling; for a private model, run `hf auth login`, or set HF_TOKEN"


def test_a_revision_that_is_not_there_is_named(hub, refused):
    error = refused(NotAtSource, f"{REFERENCE}@v9:Q8_0")
    assert error.message == f"`{REPOSITORY}` on the hub does not have the revision `v9`"
    assert error.hint == f"{hub.url}/{REPOSITORY} shows its branches and commits"


# --- limits -------------------------------------------------------------------------------------


def test_a_limit_is_waited_for(hub, pull, library):
    hub.limits = [0, 1]
    pull()
    assert library.names() == [MINE]
    assert len(hub.asked("/api/models/")) == 3


def test_a_pause_is_as_long_as_the_hub_asks_for_and_not_longer_than_the_patience(hub, pull):
    hub.limits = [40]
    waits = []

    class Noting(Patience):
        def wait_s(self, failures, asked_s):
            waits.append(asked_s)
            return super().wait_s(failures, asked_s)

    pull(patience=Noting(attempts=3, first_wait_s=0.01, longest_wait_s=0.02))
    assert waits == [40]


def test_a_limit_that_says_when_it_begins_anew_is_waited_for(hub, refused):
    waits = []

    class Noting(Patience):
        def wait_s(self, failures, asked_s):
            waits.append(asked_s)
            return 0.0

    hub.front.answers = {"": lambda handler: handler.answer(429, RateLimit='"api";r=0;t=55')}
    refused(patience=Noting(attempts=3))
    assert waits == [55, 55]


def test_a_limit_that_does_not_end_is_an_error_that_says_who_may_ask_more_often(hub, refused):
    hub.limits = [0] * 10
    error = refused()
    assert "was asked too often in a short time; who is logged in, as with `hf auth login`" in error.message
    assert "what has come so far is kept" in error.hint


# --- what is believed ---------------------------------------------------------------------------


def test_a_file_with_another_digest_is_refused_and_nothing_is_left(hub, refused, library, tiny):
    hub.lies["tiny-Q8_0.gguf"] = "0" * 64
    hub.storage.blobs["sha256:" + "0" * 64] = tiny
    error = refused(DigestMismatch)
    assert "not sha256:" + "0" * 64 in error.message
    assert left_in(library) == []


def test_a_file_that_is_damaged_on_the_way_is_refused_and_nothing_is_left(hub, refused, library, tiny):
    hub.storage.damages.add(next(digest for digest, data in hub.storage.blobs.items() if data == tiny))
    refused(DigestMismatch)
    assert left_in(library) == []


def test_a_small_file_that_is_changed_on_the_way_is_refused(hub, refused, library):
    hub.small_damages.add("LICENSE")
    error = refused(DigestMismatch)
    assert f"`LICENSE` of `{REPOSITORY}` has the digest" in error.message
    assert left_in(library) == []


def test_a_file_that_is_no_gguf_file_is_refused_after_its_first_bytes(hub, refused):
    data = b"PK\x03\x04" + bytes(3 << 20)
    hub.put(REPOSITORY, {"tiny-Q8_0.gguf": data})
    assert refused().message == "`tiny-Q8_0.gguf` is no GGUF file, though its name says so"
    assert hub.sent(data) <= 1 << 20


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"no JSON",
        b"[]",
        b"[" * 100_000,
        b'{"sha": "main", "siblings": []}',
        b'{"sha": "../../etc", "siblings": []}',
        b'{"sha": 3, "siblings": []}',
        b'{"sha": "0123456789abcdef0123456789abcdef01234567"}',
    ],
)
def test_an_answer_that_describes_no_repository_is_refused(hub, refused, answer):
    hub.front.answers = {"": lambda handler: handler.answer(200, answer)}
    assert refused().message == f"what the hub says of `{REPOSITORY}` is no description of a repository"


def test_files_with_dangerous_paths_are_not_there():
    paths = ["../evil.gguf", "/etc/x.gguf", "a\\b.gguf", "c:evil.gguf", "con.gguf", "a/../b.gguf", "", "fine-Q8_0.gguf"]
    siblings = ",".join(f'{{"rfilename": {path!r}}}'.replace("'", '"') for path in paths)
    found = Repository.read(f'{{"sha": "{COMMIT}", "siblings": [3, null, {siblings}]}}'.encode(), "a/b")
    assert [file.path for file in found.files] == ["fine-Q8_0.gguf"]


@pytest.mark.parametrize("sha256", ["../../x", "0" * 63, "Z" * 64, 3, None])
def test_a_digest_that_is_none_is_not_believed(sha256):
    import json

    large = {"rfilename": "a.gguf", "size": -1, "lfs": {"sha256": sha256, "size": True}}
    (file,) = Repository.read(json.dumps({"sha": COMMIT, "siblings": [large]}).encode(), "a/b").files
    assert (file.sha256, file.size) == ("", None)


def test_a_description_that_is_endless_is_refused(hub, refused):
    hub.front.answers = {"": lambda handler: handler.answer(200, b" " * ((32 << 20) + 1))}
    assert "sends more than" in refused().message


# --- where it leads -----------------------------------------------------------------------------


def test_the_hub_cannot_lead_from_https_to_http(library, tmp_path):
    import httpx

    from olpipe.default_plugins.sources.transfer.connections import next_url

    with pytest.raises(Trouble, match="leads from https to http, which others can read and change"):
        next_url(httpx.URL("https://huggingface.co/a/b"), "http://cdn.example/x")


def test_a_hub_of_the_internet_cannot_lead_into_a_private_network(hub, refused):
    answers = {"hub.example": ["127.0.0.2"]}
    error = refused(
        endpoint=hub.url.replace("127.0.0.2", "hub.example"),
        resolve=lambda host, port: answers.get(host, [host]),
        is_public=lambda address: str(address) == "127.0.0.2",
    )
    assert "has the address 127.0.0.1, which a source of models must not lead to" in error.message


def test_a_hub_that_redirects_in_a_circle_is_refused(hub, refused):
    hub.front.answers = {"": lambda handler: handler.answer(307, Location=handler.path)}
    assert "redirects more than 5 times" in refused().message


def test_a_hub_that_nobody_hears_of_is_unreachable(refused):
    with RegistryServer() as gone:
        endpoint = gone.url
    assert "could not reach" in refused(SourceUnreachable, endpoint=endpoint).message


# --- refused before the download ----------------------------------------------------------------


def padded(data):
    """Return a GGUF file with so many bytes behind it that its header is only its beginning."""
    return data + bytes(6 << 20)


def test_an_architecture_that_nothing_runs_is_refused_before_the_download(hub, refused, library, tiny):
    name = struct.pack("<Q", 5)
    data = padded(tiny.replace(name + b"llama", name + b"alien"))
    hub.put(REPOSITORY, {"tiny-Q8_0.gguf": data})
    assert "has the architecture `alien`, which no backend here can run" in refused(ModelUnsupported).message
    assert hub.sent(data) <= 1 << 20
    assert left_in(library) == []


def test_a_vision_encoder_that_is_not_known_is_refused_before_the_download(hub, refused, tmp_path):
    text, _ = write_vision_gguf("idefics3", tmp_path / "files")
    content = projector_content("idefics3")
    content.metadata["clip.projector_type"] = "alien"
    projector = content.write(tmp_path / "mmproj.gguf").read_bytes()
    data = padded(text.read_bytes())
    hub.put(REPOSITORY, {"a-Q8_0.gguf": data, "mmproj-a.gguf": projector})
    assert "alien" in refused(ModelUnsupported).message
    assert hub.sent(data) <= 1 << 20


def test_a_package_that_nothing_runs_is_refused_before_the_download(hub, refused, tmp_path):
    folder = build_tiny_package(tmp_path / "package")
    files = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    files["genai_config.json"] = files["genai_config.json"].replace(b'"decoder"', b'"speech": {}, "decoder"')
    hub.put(REPOSITORY, files)
    assert "with a part `speech` is not run yet" in refused(ModelUnsupported).message
    assert hub.storage.sent.total() == 0


def test_a_model_for_which_there_is_no_space_is_refused_before_the_download(hub, refused, tiny, monkeypatch):
    import shutil

    data = padded(tiny)
    hub.put(REPOSITORY, {"tiny-Q8_0.gguf": data})
    nearly_full = type(shutil.disk_usage("/"))(1 << 40, (1 << 40) - (5 << 20), 5 << 20)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: nearly_full)
    assert " left" in refused(DiskFull).message
    assert hub.sent(data) <= 1 << 20
