"""Taking models over from Ollama's folder, and working in a folder that Ollama uses, too."""

import json
import os
import shutil
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import pytest

from olpipe.errors import DigestMismatch, StoreError, UsageError
from olpipe.model import ModelConfig, ModelName
from olpipe.plugins import Plugins
from olpipe.settings import Settings
from olpipe.store.create import NewModel, create
from olpipe.store.leftovers import UNNAMED_BLOB_KEPT_S
from olpipe.store.library import Library
from olpipe.store.ollama_folder import OllamaFolder, ollama_models
from olpipe.store.prune import prune
from olpipe.store.pull import pull
from olpipe.store.resolve import find_source
from olpipe.store.verify import verify
from olpipe.testing.models import write_tiny_gguf
from olpipe.testing.vision_models import write_vision_gguf
from tests.store.ollama_like import OllamaLike

HOST = "registry.ollama.ai/library"
TEXT, SEEING = ModelName.parse("tiny:1b"), ModelName.parse("me/seeing")


@pytest.fixture
def ollama(tmp_path):
    return OllamaLike(tmp_path / "ollama")


@pytest.fixture
def library(tmp_path):
    return Library(tmp_path / "models", cache=tmp_path / "cache")


@pytest.fixture
def plugins():
    return Plugins.load(Settings(plugins_allow=()))


@pytest.fixture
def weights(tmp_path):
    return write_tiny_gguf(tmp_path / "tiny.gguf").read_bytes()


@pytest.fixture
def filled(ollama, weights, tmp_path):
    """Ollama's folder with a text model and one that sees."""
    text, projector = write_vision_gguf("qwen2_5_vl", tmp_path / "qwen")
    ollama.put(f"{HOST}/tiny/1b", {"model": weights, "system": b"Be brief.", "params": b'{"temperature":0.5}'})
    ollama.put(
        "registry.ollama.ai/me/seeing/latest",
        {"model": text.read_bytes(), "projector": projector.read_bytes()},
        model_family="qwen2vl",
    )
    return ollama


def snapshot(folder):
    """Return every path with its time, kind, mode and bytes."""
    return {
        str(path): (path.lstat().st_mtime_ns, path.lstat().st_mode, path.read_bytes() if path.is_file() else b"")
        for path in sorted([folder, *folder.rglob("*")])
    }


def take_all(ollama, library, plugins, *, copies=False):
    folder = OllamaFolder(ollama.folder)
    found = list(folder.models(library, plugins.backends))
    for model in found:
        if not model.trouble and not model.is_here:
            folder.take(model, library, lambda _: None, copies=copies)
    return found


def make_old(folder, seconds=UNNAMED_BLOB_KEPT_S + 9):
    then = time.time() - seconds
    for path in folder.rglob("*"):
        os.utime(path, (then, then), follow_symlinks=False)


def test_models_are_taken_over_under_their_names_without_a_copy(filled, library, plugins):
    make_old(filled.folder)
    found = take_all(filled, library, plugins)
    assert [(str(model.name), model.trouble) for model in found] == [("tiny:1b", ""), ("me/seeing:latest", "")]
    assert library.names() == [TEXT, SEEING]
    for name, path in ((TEXT, f"{HOST}/tiny/1b"), (SEEING, "registry.ollama.ai/me/seeing/latest")):
        assert library.describe(name).data == (filled.folder / "manifests" / path).read_bytes()
    for blob in (filled.folder / "blobs").iterdir():
        assert os.path.samefile(blob, library.folder / "blobs" / blob.name)
    assert verify(library, None, lambda _: None).is_sound
    bundle = library.get(SEEING)
    assert {path.name for path in bundle.path.iterdir()} == {"model.gguf", "projector.gguf"}
    assert (library.get(TEXT).system, library.get(TEXT).parameters) == ("Be brief.", {"temperature": 0.5})


def test_nothing_in_ollamas_folder_changes_even_where_models_are_pulled_and_removed_later(
    filled, library, plugins, tmp_path
):
    make_old(filled.folder)
    before = snapshot(filled.folder)
    take_all(filled, library, plugins)
    assert snapshot(filled.folder) == before
    # The same bytes are pulled, found here, and claimed
    origin, _ = find_source(f"file:{tmp_path / 'tiny.gguf'}", plugins)
    pull(origin, ModelName.parse("own"), library, plugins, progress=lambda _: None)
    library.copy(TEXT, ModelName.parse("copy"))
    for name in library.names():
        library.remove(name)
    make_old(library.folder / "linked")
    for path in (library.folder / "blobs").iterdir():
        if path.stat().st_nlink == 1:
            os.utime(path, (0, 0))
    prune(library)
    library.clean()
    assert snapshot(filled.folder) == before
    assert list(library.blobs.entries()) == []
    filled.readable()


def test_a_model_taken_over_outlives_ollama(filled, library, plugins):
    take_all(filled, library, plugins)
    shutil.rmtree(filled.folder)
    assert verify(library, None, lambda _: None).is_sound
    assert library.get(TEXT).name == TEXT


def test_what_was_linked_and_claimed_is_not_removed_before_its_manifest(filled, library, plugins):
    make_old(filled.folder)
    folder = OllamaFolder(filled.folder)
    (model,) = (model for model in folder.models(library, plugins.backends) if model.name == TEXT)

    def clean(_):
        library.clean()
        prune(library)

    folder.take(model, library, clean, copies=False)
    assert library.missing(library.describe(TEXT)) == []


def test_models_that_are_here_already_are_not_taken_again(filled, library, plugins, weights):
    take_all(filled, library, plugins)
    assert [model.is_here for model in take_all(filled, library, plugins)] == [True, True]
    layer = replace(library.add_bytes(b"another"), name="x.bin")
    library.commit(TEXT, ModelConfig(model_format="raw"), [layer])
    (model,) = (model for model in ollama_models(filled.folder, library, plugins.backends) if model.name == TEXT)
    assert (model.is_here, model.trouble) == (
        False,
        "another model has this name here: run `olpipe rm tiny:1b` first",
    )


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"layers": {"model": b"GGUF" + bytes(60)}, "model_family": "alien"}, "has the architecture `alien`"),
        ({"layers": {}, "remote_host": "https://example.com", "remote_model": "x"}, "it runs on `https://example.com`"),
        ({"layers": {"license": b"MIT"}}, "has no files of a model"),
        ({"layers": {"tensor": b"x" * 99}, "model_format": "safetensors"}, "has no files of a model"),
        ({"layers": {"model": b"no model at all" * 9}}, "`onnx`: "),
    ],
)
def test_what_cannot_run_here_is_skipped_with_the_reason(ollama, library, plugins, change, reason):
    ollama.put(f"{HOST}/x/latest", change.pop("layers"), **change)
    (model,) = take_all(ollama, library, plugins)
    assert reason in model.trouble
    assert library.names() == [] and not (library.folder / "blobs").exists()


@pytest.mark.parametrize("damage", ["missing", "cut", "manifest", "config"])
def test_what_is_damaged_is_skipped_with_the_reason(ollama, library, plugins, weights, damage):
    path = ollama.put(f"{HOST}/x/latest", {"model": weights})
    (blob,) = (blob for blob in (ollama.folder / "blobs").iterdir() if blob.stat().st_size == len(weights))
    if damage == "missing":
        blob.unlink()
    elif damage == "cut":
        os.truncate(blob, 10)
    elif damage == "manifest":
        path.write_bytes(b"{")
    else:
        value = path.read_text()
        digest, size = ollama.blob(b"[1]")
        manifest = json.loads(value)
        manifest["config"] |= {"digest": digest, "size": size}
        path.write_text(json.dumps(manifest))
    (model,) = take_all(ollama, library, plugins)
    assert model.trouble
    assert library.names() == []


def test_bytes_that_are_not_what_their_name_says_are_refused(ollama, library, plugins, weights):
    ollama.put(f"{HOST}/x/latest", {"model": weights})
    (blob,) = (blob for blob in (ollama.folder / "blobs").iterdir() if blob.stat().st_size == len(weights))
    blob.write_bytes(weights[:-1] + b"\x99")
    with pytest.raises(DigestMismatch):
        take_all(ollama, library, plugins)
    assert library.names() == []
    assert not [path for path in library.incoming.iterdir() if path.suffix != ".lock"]


def test_a_link_among_ollamas_blobs_is_not_followed(ollama, library, plugins, weights, tmp_path):
    ollama.put(f"{HOST}/x/latest", {"model": weights})
    (blob,) = (blob for blob in (ollama.folder / "blobs").iterdir() if blob.stat().st_size == len(weights))
    blob.rename(tmp_path / "elsewhere")
    blob.symlink_to(tmp_path / "elsewhere")
    (model,) = take_all(ollama, library, plugins)
    assert "is missing or cut short" in model.trouble


def test_a_folder_that_is_not_ollamas_is_refused(tmp_path):
    with pytest.raises(UsageError, match="is no folder of Ollama's models"):
        OllamaFolder(tmp_path)


def test_on_another_disk_files_are_copied_only_where_that_is_wanted(ollama, plugins, weights, tmp_path):
    other = "/dev/shm"
    if not os.path.isdir(other) or os.stat(other).st_dev == os.stat(tmp_path).st_dev:
        pytest.skip("this machine has no second writable file system at /dev/shm")
    ollama.put(f"{HOST}/tiny/1b", {"model": weights})
    home = Path(tempfile.mkdtemp(dir=other))
    try:
        library = Library(home / "models", cache=home / "cache")
        with pytest.raises(StoreError, match="cannot share a file") as caught:
            take_all(ollama, library, plugins)
        assert "--copy" in caught.value.hint
        assert library.names() == []
        take_all(ollama, library, plugins, copies=True)
        assert library.names() == [TEXT]
        assert verify(library, None, lambda _: None).is_sound
    finally:
        shutil.rmtree(home)


# --- one folder for both programs ----------------------------------------------------------------


@pytest.fixture
def both(filled, tmp_path):
    """A library in the very folder that Ollama uses."""
    return Library(filled.folder, cache=tmp_path / "cache")


def test_each_reads_what_the_other_wrote(filled, both, plugins, tmp_path, weights):
    assert both.names() == [TEXT, SEEING]
    origin, _ = find_source(f"file:{write_tiny_gguf(tmp_path / 'own.gguf', seed=3)}", plugins)
    pull(origin, ModelName.parse("Own"), both, plugins, progress=lambda _: None)
    create(NewModel(ModelName.parse("rhymes"), base=TEXT, system="Rhyme."), both, plugins, progress=lambda _: None)
    both.copy(TEXT, ModelName.parse("localhost:5000/me/copy:v1"))
    found = filled.readable()
    assert set(found) == {
        f"{HOST}/tiny/1b",
        "registry.ollama.ai/me/seeing/latest",
        f"{HOST}/Own/latest",
        f"{HOST}/rhymes/latest",
        "localhost:5000/me/copy/v1",
    }
    assert {path.name[:7] for path in (filled.folder / "blobs").iterdir()} == {"sha256-"}


def test_neither_removes_what_the_other_needs(filled, both, plugins, tmp_path):
    origin, _ = find_source(f"file:{write_tiny_gguf(tmp_path / 'own.gguf', seed=3)}", plugins)
    pull(origin, ModelName.parse("own"), both, plugins, progress=lambda _: None)
    both.copy(TEXT, ModelName.parse("copy"))
    make_old(filled.folder)
    assert filled.prune() == []
    both.clean()
    prune(both)
    filled.readable()
    filled.delete(f"{HOST}/tiny/1b")
    both.remove(SEEING)
    make_old(filled.folder)
    filled.prune()
    prune(both)
    assert set(filled.readable()) == {f"{HOST}/own/latest", f"{HOST}/copy/latest"}
    assert verify(both, None, lambda _: None).is_sound


def test_blobs_stay_while_ollama_brings_a_model(filled, both, weights):
    digest, _ = filled.blob(b"a layer that is whole")
    partial = filled.folder / "blobs" / f"sha256-{'a' * 64}-partial"
    partial.write_bytes(b"half")
    make_old(filled.folder)
    both.clean()
    assert prune(both).notes == (
        "1 blob that no model needs stays, because Ollama has not finished a download into this folder",
    )
    both.remove(TEXT)  # Ollama may count on its weights
    both.remove(SEEING)
    assert both.blobs.size(digest) is not None and len(list(both.blobs.entries())) > 3
    assert partial.exists()
    partial.unlink()
    make_old(filled.folder)
    prune(both)
    assert list(both.blobs.entries()) == []


@pytest.mark.parametrize("place", ["deep", "shallow", "link", "strange-name"])
def test_blobs_of_manifests_that_are_no_names_here_stay(filled, both, weights, place, tmp_path):
    path = filled.put(f"{HOST}/hidden/latest", {"model": weights + b"only this one needs it"})
    manifests = filled.folder / "manifests"
    goes = {
        "deep": manifests / "registry.ollama.ai" / "a" / "b" / "c" / "d",
        "shallow": manifests / "x",
        "link": tmp_path / "elsewhere",
        "strange-name": manifests / "registry.ollama.ai" / "library" / "a name" / "latest",
    }[place]
    goes.parent.mkdir(parents=True, exist_ok=True)
    path.rename(goes)
    if place == "link":
        path.symlink_to(goes)
    else:
        path.parent.rmdir()
    make_old(filled.folder)
    before = {found for found, _ in both.blobs.entries()}
    prune(both)
    both.clean()
    assert {found for found, _ in both.blobs.entries()} == before


def test_files_that_are_no_manifests_do_not_keep_anything(filled, both):
    (filled.folder / "manifests" / ".DS_Store").write_bytes(b"\0\1")
    digest, _ = filled.blob(b"nobody's")
    make_old(filled.folder)
    prune(both)
    assert both.blobs.size(digest) is None
