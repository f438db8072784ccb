"""Pushing to registries: what they lack is sent, in chunks that go on where they broke, and secrets stay at home."""

import base64
import json
import random
import re

import httpx
import pytest

from olpipe.default_plugins.sources.registry import upload
from olpipe.default_plugins.sources.registry.options import Options
from olpipe.default_plugins.sources.registry.source import RegistrySource
from olpipe.default_plugins.sources.transfer.options import Patience
from olpipe.errors import ModelNotFound, PushFailed, SourceUnreachable, StoreError
from olpipe.model import MEDIA_TYPE, Layer, ModelConfig, ModelName
from olpipe.plugins import Plugins
from olpipe.settings import Settings
from olpipe.store.library import Library
from olpipe.store.push import find_target, push
from tests.server.started import free_port
from tests.store.registry_server import DOCKER_MANIFEST, RegistryServer, digest_of

MINE = ModelName.parse("me/mine:v1")
QUICK = Patience(connect_s=5, stall_s=5, answer_s=5, first_wait_s=0.01, longest_wait_s=0.02)
WEIGHTS = random.Random(2).randbytes(5 << 20)
LOGIN = "me:s3cret"
BASIC = f"Basic {base64.b64encode(LOGIN.encode()).decode()}"


@pytest.fixture
def server():
    with RegistryServer() as server:
        yield server


@pytest.fixture
def library(tmp_path):
    library = Library(tmp_path / "models", cache=tmp_path / "cache")
    weights = Layer(library.add_bytes(WEIGHTS).digest, len(WEIGHTS), name="weights.bin")
    system = library.add_bytes(b"Be kind.")
    layers = [weights, Layer(system.digest, system.size, f"{MEDIA_TYPE}system")]
    library.commit(MINE, ModelConfig(model_format="raw"), layers)
    return library


@pytest.fixture
def plugins():
    return Plugins.load(Settings(plugins_allow=()))


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
    monkeypatch.setattr(upload, "CHUNK_BYTES", 1 << 20)


@pytest.fixture
def send(server, library, plugins):
    """Push the model, by the way that `olpipe push` takes, and return what was told."""

    def send(*, insecure=False, name=MINE, **options):
        source = plugins.model_sources.get("oci")
        found = Options(registry=server.url, patience=QUICK, **options)
        plugins.model_sources.discard(plugins.model_sources.plugin_of(source.scheme))
        plugins.model_sources.register(RegistrySource(lambda: found), "registry")
        told = []
        push(find_target(name, plugins, insecure=insecure), name, library, plugins, progress=told.append)
        return told

    return send


def test_what_the_registry_lacks_is_sent_and_then_the_manifest_byte_for_byte(send, server, library):
    told = send()
    stored = library.describe(MINE)
    assert server.manifests == {("me/mine", "v1"): (stored.data, DOCKER_MANIFEST)}
    assert server.blobs[digest_of(WEIGHTS)] == WEIGHTS
    assert set(server.blobs) == stored.manifest.blob_digests
    assert server.chunks_received.count(1 << 20) == 5
    statuses = list(dict.fromkeys(step.status for step in told))
    assert statuses[0] == "retrieving manifest"
    assert statuses[1] == f"pushing {digest_of(WEIGHTS)[7:19]}"
    assert statuses[-1] == "pushing manifest"
    sent = [step.completed for step in told if step.digest == digest_of(WEIGHTS)]
    assert (sent[0], sent[-1], sent) == (0, len(WEIGHTS), sorted(sent))


def test_what_the_registry_has_is_not_sent_again(send, server):
    send()
    server.chunks_received.clear()
    told = send()
    assert server.chunks_received == []
    assert any(step.digest == digest_of(WEIGHTS) and step.completed == len(WEIGHTS) for step in told)


@pytest.mark.parametrize("cuts", [[300_000], [1 << 19, 0, 0, 900_000], [100_000] * 10])
def test_a_chunk_whose_connection_breaks_goes_on_where_it_broke(send, server, cuts):
    server.upload_cuts = list(cuts)
    send()
    assert server.blobs[digest_of(WEIGHTS)] == WEIGHTS
    assert server.upload_cuts == []


def test_an_upload_that_the_registry_has_forgotten_begins_again(send, server):
    server.upload_cuts = [300_000]

    def forget(handler):
        server.uploads.clear()
        server.answers.clear()
        handler.error(404, "BLOB_UPLOAD_UNKNOWN")

    def once(handler):
        server.answers.clear()
        handler.handle_all()
        (key,) = server.uploads
        server.answers[f"/v2/me/mine/blobs/uploads/{key}"] = lambda later: (
            forget(later) if later.command == "GET" else relay(later)
        )

    def relay(handler):
        kept, server.answers = server.answers, {}
        try:
            handler.handle_all()
        finally:
            server.answers = kept

    server.answers["/v2/me/mine/blobs/uploads/"] = once
    send()
    assert server.blobs[digest_of(WEIGHTS)] == WEIGHTS


def test_a_registry_that_takes_nothing_is_given_up(send, server):
    server.upload_cuts = [0] * 100
    with pytest.raises(PushFailed):
        send()
    assert server.manifests == {}


def test_a_blob_of_another_model_in_the_same_registry_is_not_sent(send, server, library):
    server.blobs[digest_of(WEIGHTS)] = WEIGHTS
    server.answers[f"/v2/me/mine/blobs/{digest_of(WEIGHTS)}"] = lambda handler: handler.error(404, "BLOB_UNKNOWN")
    layer = Layer(digest_of(WEIGHTS), len(WEIGHTS), name="weights.bin", origin="you/yours:v2")
    library.commit(MINE, ModelConfig(model_format="raw"), [layer])
    send()
    assert sum(server.chunks_received) < 10_000
    (asked,) = [path for path in server.paths("POST") if "mount" in path]
    query = httpx.QueryParams(asked.partition("?")[2])
    assert (query["mount"], query["from"]) == (digest_of(WEIGHTS), "you/yours")


def test_a_token_that_allows_to_push_is_asked_for_with_the_password(send, server, tmp_path):
    server.user, server.needs_token = LOGIN, True
    entry = {"auth": base64.b64encode(LOGIN.encode()).decode()}
    (tmp_path / "config.json").write_text(json.dumps({"auths": {server.host: entry}}))
    send(insecure=True, docker_config=tmp_path)
    (query,) = {path.partition("?")[2] for path in server.paths() if path.startswith("/token")}
    assert httpx.QueryParams(query)["scope"] == "repository:me/mine:pull,push"
    assert ("me/mine", "v1") in server.manifests


@pytest.mark.parametrize(("insecure", "said"), [(False, "over plain HTTP"), (True, "does not give access")])
def test_a_registry_that_gives_no_access_is_told(send, server, tmp_path, insecure, said):
    server.user, server.needs_token = "somebody:else", True
    entry = {"auth": base64.b64encode(LOGIN.encode()).decode()}
    (tmp_path / "config.json").write_text(json.dumps({"auths": {server.host: entry}}))
    with pytest.raises(PushFailed, match=said):
        send(insecure=insecure, docker_config=tmp_path)
    assert server.manifests == server.blobs == {}


def test_an_upload_that_the_registry_has_sent_elsewhere_gets_no_token(send, server, tmp_path):
    server.user, server.needs_token = LOGIN, True
    entry = {"auth": base64.b64encode(LOGIN.encode()).decode()}
    (tmp_path / "config.json").write_text(json.dumps({"auths": {server.host: entry}}))
    with RegistryServer() as other:
        server.answers["/v2/me/mine/blobs/uploads/"] = lambda handler: handler.answer(
            202, Location=f"{other.url}/v2/me/mine/blobs/uploads/x"
        )
        with pytest.raises(PushFailed):
            send(insecure=True, docker_config=tmp_path)
        assert other.asked
        assert [headers for _, _, headers in other.asked if "authorization" in headers] == []


def test_a_registry_that_keeps_another_manifest_is_told(send, server):
    server.answers["/v2/me/mine/manifests/v1"] = lambda handler: handler.answer(
        201, handler.rfile.read(int(handler.headers["Content-Length"]))[:0], Docker_Content_Digest="sha256:other"
    )
    with pytest.raises(PushFailed, match="keeps another manifest than was sent"):
        send()


def test_a_registry_where_nobody_answers_is_told(library, plugins, monkeypatch):
    monkeypatch.setenv("OLPIPE_REGISTRY", f"http://127.0.0.1:{free_port()}")
    with pytest.raises(SourceUnreachable, match="could not reach"):
        push(find_target(MINE, plugins), MINE, library, plugins, progress=lambda step: None)


def test_without_a_registry_nothing_can_be_pushed(plugins):
    with pytest.raises(PushFailed, match="registries are switched off"):
        find_target(MINE, plugins)


def test_a_model_that_is_not_here_or_damaged_cannot_be_pushed(send, library):
    with pytest.raises(ModelNotFound, match="me/nothing"):
        send(name=ModelName.parse("me/nothing"))
    library.blob_path(digest_of(WEIGHTS)).write_bytes(b"short")
    with pytest.raises(StoreError, match=re.escape("is missing or cut short")):
        send()
