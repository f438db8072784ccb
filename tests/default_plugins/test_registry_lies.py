"""Registries whose answers have no end, lie about sizes and ranges, or are no answers."""

import gzip
import json
import time
from dataclasses import replace

import pytest

from olpipe.default_plugins.sources.registry.options import Options
from olpipe.default_plugins.sources.registry.source import RegistrySource
from olpipe.default_plugins.sources.transfer.options import Patience
from olpipe.errors import DigestMismatch, ModelCorrupt, OlpipeError, PullFailed, SourceUnreachable
from olpipe.model import ModelName
from olpipe.store.library import Library
from olpipe.store.manifest import MAX_BYTES, MAX_LAYERS
from tests.store.registry_server import RegistryServer, digest_of, trickling

MINE = ModelName.parse("mine")
QUICK = Patience(connect_s=5, stall_s=5, answer_s=5, attempts=2, first_wait_s=0.01, longest_wait_s=0.02)
RAW = {"model_format": "raw"}
DATA = bytes(range(256)) * 4000


@pytest.fixture
def server():
    with RegistryServer() as server:
        server.put("library/mine", [server.layer(DATA, name="weights.bin")], config=RAW)
        yield server


@pytest.fixture
def library(tmp_path):
    return Library(tmp_path / "models", cache=tmp_path / "cache")


def refused(server, library, kind=PullFailed, *, patience=QUICK, insecure=False, **options):
    """Pull, and return the error that this has to end with."""
    found = Options(registry=server.url, patience=patience, **options)
    reference = "http://registry.ollama.ai/library/mine" if insecure else "mine"
    with pytest.raises(kind) as caught:
        RegistrySource(lambda: found).pull(reference, MINE, library, lambda step: None)
    assert library.names() == []
    return caught.value


@pytest.mark.parametrize("path", ["/v2/library/mine/manifests", "/token"])
def test_an_answer_that_never_ends_is_not_kept_in_memory(server, library, path):
    server.needs_token = path == "/token"
    server.answers[path] = trickling(bytes(1 << 16), 0)
    assert "where a small answer is expected" in refused(server, library, insecure=True).message


@pytest.mark.parametrize("path", ["/v2/library/mine/manifests", "/token"])
def test_an_answer_that_trickles_for_ever_is_given_up(server, library, path):
    server.needs_token = path == "/token"
    server.answers[path] = trickling(b" ", 0.01)
    error = refused(server, library, insecure=True, patience=replace(QUICK, answer_s=0.3))
    assert "has not sent the whole of a small answer" in error.message


def test_a_body_that_trickles_for_ever_is_given_up(server, library):
    server.answers[f"/v2/library/mine/blobs/{digest_of(DATA)}"] = trickling(b"\0", 0.01, declares=len(DATA))
    error = refused(server, library, patience=replace(QUICK, stall_s=0.3))
    assert "sends next to nothing" in error.message


def test_a_manifest_that_says_it_has_gigabytes_is_not_read(server, library):
    server.answers["/v2/library/mine/manifests"] = trickling(b"{", 0.5, declares=4 << 30)
    assert "where a small answer is expected" in refused(server, library).message


def test_a_manifest_with_very_many_layers_is_refused(server, library):
    layer = {"mediaType": "x", "digest": digest_of(DATA), "size": 1}
    server.put("library/mine", [layer] * (MAX_LAYERS + 1), config=RAW)
    data, kind = server.manifests["library/mine", "latest"]
    server.manifests["library/mine", "latest"] = (json.dumps(json.loads(data)).encode(), kind)
    assert f"at most {MAX_LAYERS} are allowed" in refused(server, library, ModelCorrupt).message


@pytest.mark.parametrize(
    "data", [b"", b"<html>", b"[]", b"{}", b"\xff", b'{"config": 1}', b"[" * 100_000, b'{"layers": 3}']
)
def test_what_is_no_manifest_is_refused(server, library, data):
    server.manifests["library/mine", "latest"] = (data, "application/json")
    refused(server, library, ModelCorrupt)


def test_a_list_of_images_for_several_systems_is_no_model(server, library):
    server.manifests["library/mine", "latest"] = (b"{}", "application/vnd.oci.image.index.v1+json; charset=utf-8")
    assert "a list of images for several systems" in refused(server, library).message


def test_a_manifest_with_another_digest_than_the_registry_says_is_refused(server, library):
    data = server.manifests["library/mine", "latest"][0]
    server.answers["/v2/library/mine/manifests"] = lambda handler: handler.answer(
        200, data, Docker_Content_Digest=f"sha256:{'0' * 64}"
    )
    refused(server, library, DigestMismatch)


@pytest.mark.parametrize("path", ["/v2/library/mine/manifests", f"/v2/library/mine/blobs/{digest_of(DATA)}"])
def test_packed_bodies_are_refused(server, library, path):
    bomb = gzip.compress(bytes(50 << 20))
    server.answers[path] = lambda handler: handler.answer(200, bomb, Content_Encoding="gzip")
    error = refused(server, library)
    assert "in the encoding `gzip`" in error.message or "bytes of" in error.message


def test_a_packed_body_of_the_right_size_is_refused(server, library):
    packed = gzip.compress(bytes(50 << 20))[: len(DATA)].ljust(len(DATA))
    server.answers[f"/v2/library/mine/blobs/{digest_of(DATA)}"] = lambda handler: handler.answer(
        200, packed, Content_Encoding="gzip"
    )
    assert "in the encoding `gzip`" in refused(server, library).message


@pytest.mark.parametrize("claimed", [len(DATA) - 1, len(DATA) + 1, 1 << 40])
def test_a_blob_of_another_size_than_its_manifest_says_is_refused(server, library, claimed):
    server.claims[digest_of(DATA)] = claimed
    assert "and its manifest says" in refused(server, library).message


@pytest.mark.parametrize("size", [len(DATA) - 100, len(DATA) + 100])
def test_a_manifest_that_lies_about_a_size_is_refused(server, library, size):
    layer = {**server.layer(DATA, name="weights.bin"), "size": size}
    server.put("library/mine", [layer], config=RAW)
    refused(server, library)
    assert [path for path in (library.folder / "blobs").iterdir() if digest_of(DATA)[7:] in path.name] == []


@pytest.mark.parametrize("size", [-1, 1.5, "9", True, 1 << 80])
def test_a_size_that_is_none_is_refused(server, library, size):
    server.put("library/mine", [{**server.layer(DATA, name="weights.bin"), "size": size}], config=RAW)
    refused(server, library, OlpipeError)
    assert server.sent[digest_of(DATA)] == 0


def test_a_config_that_is_too_large_is_not_fetched(server, library):
    manifest = json.loads(server.manifests["library/mine", "latest"][0])
    manifest["config"]["size"] = MAX_BYTES + 1
    server.manifests["library/mine", "latest"] = (json.dumps(manifest).encode(), "application/json")
    assert "its config has" in refused(server, library, ModelCorrupt).message


@pytest.mark.parametrize(
    "told", ["bytes 1-{last}/{size}", "bytes 0-{size}/{size}", "bytes */{size}", "", "lines 0-1/2"]
)
def test_another_range_than_was_asked_for_is_refused(server, library, told):
    said = told.format(last=len(DATA) - 1, size=len(DATA))
    server.answers[f"/v2/library/mine/blobs/{digest_of(DATA)}"] = lambda handler: handler.answer(
        206, DATA, Content_Range=said
    )
    assert "sends another range" in refused(server, library).message


def test_what_a_registry_says_is_wrong_is_not_repeated(server, library):
    server.statuses = [418]
    error = refused(server, library)
    assert error.message.endswith("(SOMETHING)")
    assert "\x1b" not in error.message


def test_a_registry_that_asks_to_wait_for_days_is_not_obeyed(server, library):
    server.answers["/v2/library/mine/manifests"] = lambda handler: handler.answer(503, Retry_After="86400")
    assert "the status 503" in refused(server, library).message


def test_a_host_without_an_address_is_not_reached(server, library):
    def resolve(host, port):
        raise OSError(-2, "Name or service not known")

    assert "could not reach" in refused(server, library, SourceUnreachable, resolve=resolve).message
    refused(server, library, SourceUnreachable, resolve=lambda host, port: [])


@pytest.mark.parametrize("piece", [b"X", b"HTTP/1.1 100 Continue\r\n\r\n", b"X: y\r\n"])
@pytest.mark.parametrize("begins", [b"", b"HTTP/1.1 200 OK\r\n"])
def test_headers_that_never_end_are_given_up(server, library, piece, begins):
    def answer(handler):
        handler.wfile.write(begins)
        while not server.released.is_set():
            handler.wfile.write(piece)
            time.sleep(0.01)

    server.answers["/v2/library/mine/manifests"] = answer
    message = refused(server, library, patience=replace(QUICK, answer_s=0.3)).message
    assert "broke: " in message or "has not sent the whole of a small answer" in message


@pytest.mark.parametrize(
    "answer", [b"", b"\0" * 100, b"SSH-2.0-OpenSSH_9.2\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n"]
)
def test_what_does_not_speak_http_is_told(server, library, answer):
    def send(handler):
        handler.wfile.write(answer)
        handler.cut()

    server.answers["/v2/library/mine/manifests"] = send
    refused(server, library, OlpipeError)


def test_a_manifest_that_is_cut_short_is_asked_for_again(server, library):
    data = server.manifests["library/mine", "latest"][0]

    def cut(handler):
        server.answers.clear()
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(data) + data[:-10])
        handler.cut()

    server.answers["/v2/library/mine/manifests"] = cut
    options = Options(registry=server.url, patience=QUICK)
    RegistrySource(lambda: options).pull("mine", MINE, library, lambda step: None)
    assert library.names() == [MINE]
