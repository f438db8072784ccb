"""What `repair` fetches again, makes anew, and leaves alone."""

import os
import shutil
from dataclasses import replace

import pytest

from olpipe.model import MEDIA_TYPE, ModelConfig, ModelName
from olpipe.plugins import Plugins
from olpipe.settings import Settings
from olpipe.store.create import NewModel, create
from olpipe.store.library import Library
from olpipe.store.pull import pull
from olpipe.store.repair import repair
from olpipe.store.resolve import find_source
from olpipe.store.verify import verify
from olpipe.testing.models import write_tiny_gguf
from olpipe.testing.wheels import write_wheel
from tests.store.registry_server import RegistryServer

TINY, OTHER = ModelName.parse("tiny"), ModelName.parse("other")


@pytest.fixture
def library(tmp_path):
    return Library(tmp_path / "models", cache=tmp_path / "cache")


@pytest.fixture
def plugins():
    return Plugins.load(Settings(plugins_allow=()))


@pytest.fixture
def weights(tmp_path):
    return write_tiny_gguf(tmp_path / "tiny.gguf")


@pytest.fixture
def server(weights, monkeypatch):
    with RegistryServer() as server:
        monkeypatch.setenv("OLPIPE_REGISTRY", server.url)
        layers = [server.layer(weights.read_bytes()), server.layer(b"Be brief.", "system")]
        server.put("library/tiny", layers)
        yield server


@pytest.fixture
def bring(library, plugins):
    def bring(text, name=TINY, **options):
        origin, _ = find_source(text, plugins, **options)
        return pull(origin, name, library, plugins, progress=lambda _: None)

    return bring


@pytest.fixture
def mend(library, plugins):
    """Mend the store; return what is mended and lost, by model."""

    def mend(*names):
        found = verify(library, list(names) or None, lambda _: None)
        done = repair(found, library, plugins, lambda _: None)
        return {str(model.name): (model.mended, model.lost) for model in done}

    return mend


def is_sound(library):
    return verify(library, None, lambda _: None).is_sound


def weights_of(library, name=TINY):
    (layer,) = (layer for layer in library.describe(name).manifest.layers if layer.media_type == MEDIA_TYPE + "model")
    return library.blob_path(layer.digest)


def flip(path, offset=-3):
    data = bytearray(path.read_bytes())
    data[offset] ^= 1
    with path.open("r+b") as file:
        file.write(data)


def test_only_what_is_damaged_comes_again_from_a_registry(library, server, bring, mend):
    bundle = bring("tiny")
    stored = weights_of(library)
    flip(stored)
    sent = dict(server.sent)
    mended, lost = mend()["tiny:latest"]
    assert lost == [] and mended == [f"`model.gguf` has wrong bytes (blob sha256:{stored.name[7:19]}): fetched again"]
    again = {digest for digest in server.sent if server.sent[digest] > sent.get(digest, 0)}
    assert again == {f"sha256:{stored.name[7:]}"}
    assert is_sound(library)
    assert (library.get(TINY).path / "model.gguf").read_bytes() == stored.read_bytes()
    assert any(bundle.cache.iterdir())
    assert [path.name for path in (library.folder / "damaged").iterdir()] == [stored.name]


def test_a_model_that_has_another_name_here_comes_from_where_it_was_pulled(library, server, bring, mend):
    bring("tiny", OTHER)
    server.manifests.pop(("library/other", "latest"), None)
    weights_of(library, OTHER).unlink()
    assert mend()["other:latest"][1] == []
    assert is_sound(library)


@pytest.mark.parametrize("kind", ["file", "pip"])
def test_files_and_wheels_are_read_again(library, weights, bring, mend, tmp_path, monkeypatch, kind):
    write_wheel(tmp_path / "wheels", "tiny-weights", "1.0", {"tiny_weights/tiny.gguf": weights.read_bytes()})
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "wheels"))
    monkeypatch.chdir(tmp_path)
    bring("file:tiny.gguf" if kind == "file" else "pip:tiny-weights==1.0")
    monkeypatch.chdir("/")
    weights_of(library).unlink()
    assert mend()["tiny:latest"][1] == []
    assert is_sound(library)


def test_a_config_that_is_missing_is_made_again_with_the_same_digest(library, weights, bring, mend):
    bring(f"file:{weights}")
    digest = library.digest(TINY)
    library.blob_path(library.describe(TINY).manifest.config.digest).unlink()
    assert mend()["tiny:latest"][1] == []
    assert is_sound(library) and library.digest(TINY) == digest


def test_layers_of_a_model_that_was_made_from_another_come_from_there(library, server, plugins, bring, mend):
    bring("tiny")
    create(NewModel(OTHER, base=TINY, system="Rhyme."), library, plugins, progress=lambda _: None)
    library.remove(TINY)
    weights_of(library, OTHER).unlink()
    assert mend()["other:latest"][1] == []
    assert is_sound(library)


def test_what_no_source_has_is_named_as_lost_and_everything_else_stays(library, server, bring, mend):
    bring("tiny")
    digest = f"sha256:{weights_of(library).name[7:]}"
    server.manifests.clear()
    server.blobs.clear()
    flip(weights_of(library))
    before = set(library.blobs.entries())
    ((_, lost),) = mend().values()
    assert len(lost) == 1 and lost[0].startswith("`model.gguf` has wrong bytes")
    assert "and no source has it" in lost[0] and "oci:registry.ollama.ai/library/tiny:latest" in lost[0]
    assert {found for found, _ in before} - {found for found, _ in library.blobs.entries()} == {digest}
    assert library.names() == [TINY]


def test_a_source_that_now_has_other_bytes_is_not_trusted(library, weights, bring, mend):
    bring(f"file:{weights}")
    write_tiny_gguf(weights, seed=9)
    weights_of(library).unlink()
    ((_, lost),) = mend().values()
    assert "`model.gguf` is missing" in lost[0]
    assert not is_sound(library)
    assert not weights_of(library).exists()


def test_a_manifest_that_cannot_be_read_is_pulled_again(library, server, bring, mend):
    bring("tiny")
    digest = library.digest(TINY)
    (path,) = (path for path in (library.folder / "manifests").rglob("*") if path.is_file())
    path.write_bytes(b"{")
    assert mend() == {"tiny:latest": (["its manifest: it was pulled again"], [])}
    assert is_sound(library) and library.digest(TINY) == digest
    server.manifests.clear()
    path.write_bytes(b"{")
    ((_, lost),) = mend().values()
    assert lost[0].startswith("its manifest, and it cannot be pulled again: ")


def test_laid_out_files_and_conversions_are_made_anew(library, weights, bring, mend):
    bundle = bring(f"file:{weights}")
    (graph,) = bundle.cache.glob("*/model.onnx")
    sound = graph.read_bytes()
    flip(bundle.path / "model.gguf")
    flip(graph)
    mended, lost = mend()["tiny:latest"]
    assert lost == [] and [line.rpartition(": ")[2] for line in mended] == ["laid out anew", "converted anew"]
    assert is_sound(library)
    assert graph.read_bytes() == sound


def test_what_was_never_converted_is_not_converted(library, weights, bring, mend):
    bundle = bring(f"file:{weights}")
    shutil.rmtree(bundle.cache)
    weights_of(library).unlink()
    assert mend()["tiny:latest"][1] == []
    assert not bundle.cache.exists()


def test_a_sound_store_is_left_as_it_is(library, weights, bring, mend):
    bring(f"file:{weights}")
    before = {str(path): os.lstat(path).st_mtime_ns for path in library.folder.rglob("*")}
    assert mend() == {}
    after = {str(path): os.lstat(path).st_mtime_ns for path in library.folder.rglob("*")}
    assert {path for path in before if before[path] != after.get(path)} <= {str(library.incoming / "store.lock")}


def test_a_damaged_blob_that_no_model_needs_is_moved_aside(library, mend):
    layer = library.add_bytes(b"nobody's")
    flip(library.blob_path(layer.digest))
    mend()
    assert not library.blob_path(layer.digest).exists()
    assert len(list((library.folder / "damaged").iterdir())) == 1


def test_plain_http_is_asked_only_where_it_is_allowed_again(library, plugins, weights, monkeypatch):
    monkeypatch.setenv("OLPIPE_REGISTRY", "https://registry.example")
    with RegistryServer() as server:
        server.put("me/tiny", [server.layer(weights.read_bytes())])
        name = ModelName.parse(f"{server.host}/me/tiny")
        origin, _ = find_source(f"{server.host}/me/tiny", plugins, insecure=True)
        pull(origin, name, library, plugins, progress=lambda _: None)
        weights_of(library, name).unlink()
        before = len(server.asked)
        found = verify(library, None, lambda _: None)
        (model,) = repair(found, library, plugins, lambda _: None)
        assert model.lost and [path for _, path, _ in server.asked[before:]] == []
        found = verify(library, None, lambda _: None)
        (model,) = repair(found, library, plugins, lambda _: None, insecure=True)
        assert model.lost == []


def test_a_text_of_a_model_of_ones_own_cannot_be_fetched(library, mend):
    layer = replace(library.add_bytes(b"Rhyme."), media_type=MEDIA_TYPE + "system")
    library.commit(TINY, ModelConfig(), [layer])
    library.blob_path(layer.digest).unlink()
    ((mended, lost),) = mend().values()
    assert mended == [] and lost[0].startswith("its system message is missing")


def test_a_file_that_two_models_share_is_fetched_once_and_both_are_mended(library, server, bring, mend):
    bring("tiny")
    library.copy(TINY, OTHER)
    stored = weights_of(library)
    flip(stored)
    sent = server.sent[f"sha256:{stored.name[7:]}"]
    size = stored.stat().st_size
    done = mend()
    assert {name: lost for name, (_, lost) in done.items()} == {"other:latest": [], "tiny:latest": []}
    assert all(mended[0].endswith(": fetched again") for mended, _ in done.values())
    assert server.sent[f"sha256:{stored.name[7:]}"] - sent == size
    assert is_sound(library)


def test_a_manifest_that_lies_about_a_size_is_lost_and_its_file_stays(library, weights, bring, mend):
    bring(f"file:{weights}")
    stored = weights_of(library)
    (path,) = (path for path in (library.folder / "manifests").rglob("*") if path.is_file())
    size = str(stored.stat().st_size)
    path.write_bytes(path.read_bytes().replace(size.encode(), str(int(size) + 1).encode()))
    ((_, lost),) = mend().values()
    assert f"`model.gguf` has {size} bytes, not {int(size) + 1}" in lost[0]
    assert stored.exists()
