import hashlib
import json
import os
import time
from dataclasses import replace

import pytest

from olpipe.errors import DigestMismatch, ModelCorrupt, ModelNotFound, StoreError
from olpipe.model import MEDIA_TYPE, ModelConfig, ModelName
from olpipe.store.leftovers import TEMPORARY_KEPT_S, UNNAMED_BLOB_KEPT_S
from olpipe.store.library import Library
from olpipe.store.views import LINK_FROM_BYTES

ONE, TWO = ModelName.parse("one"), ModelName.parse("me/two:small")


@pytest.fixture
def library(tmp_path):
    return Library(tmp_path / "models", cache=tmp_path / "cache")


def add(library, name, files, **config):
    layers = [replace(library.add_bytes(data), name=file_name) for file_name, data in files.items()]
    library.commit(name, ModelConfig(model_format="gguf", **config), layers)


def blobs(tmp_path):
    return {path.name for path in (tmp_path / "models" / "blobs").iterdir()}


def manifest(tmp_path, name):
    return tmp_path / "models" / "manifests" / name.host / name.namespace / name.model / name.tag


def make_old(path, seconds):
    then = time.time() - seconds
    os.utime(path, (then, then))


def blob_name(data):
    return f"sha256-{hashlib.sha256(data).hexdigest()}"


def test_a_model_lies_where_ollama_would_look_for_it(library, tmp_path):
    add(library, TWO, {"model.gguf": b"weights"})
    path = tmp_path / "models/manifests/registry.ollama.ai/me/two/small"
    value = json.loads(path.read_bytes())
    digest = hashlib.sha256(b"weights").hexdigest()
    assert value["layers"][0]["digest"] == f"sha256:{digest}"
    assert (tmp_path / f"models/blobs/sha256-{digest}").read_bytes() == b"weights"
    assert library.get(TWO).digest == f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"
    assert library.names() == [TWO]


def test_a_bundle_holds_files_texts_and_sizes(library):
    layers = [
        replace(library.add_bytes(b"weights"), name="onnx/model.bin"),
        replace(library.add_bytes(b"Be brief."), media_type=MEDIA_TYPE + "system"),
        replace(library.add_bytes(b'{"temperature":0.5,"stop":["x"]}'), media_type=MEDIA_TYPE + "params"),
        replace(library.add_bytes(b"Apache"), media_type=MEDIA_TYPE + "license"),
        replace(library.add_bytes(b"MIT"), media_type=MEDIA_TYPE + "license", name="LICENSE"),
    ]
    library.commit(ONE, ModelConfig(model_format="onnx", perceivers=("objects",)), layers)
    bundle = library.get(ONE)
    assert {str(path.relative_to(bundle.path)) for path in bundle.path.rglob("*") if path.is_file()} == {
        os.path.join("onnx", "model.bin"),
        "LICENSE",
    }
    assert (bundle.system, bundle.parameters) == ("Be brief.", {"temperature": 0.5, "stop": ["x"]})
    assert bundle.licenses == ("Apache", "MIT")
    assert bundle.config.perceivers == ("objects",)
    assert bundle.size_bytes == library.describe(ONE).size_bytes > 50


def test_weights_that_ollama_stored_without_a_name_get_one(library):
    layer = library.add_bytes(b"weights")
    library.commit(ONE, ModelConfig(model_format="gguf"), [layer])
    assert (library.get(ONE).path / "model.gguf").read_bytes() == b"weights"


def test_the_same_files_make_the_same_digest_under_any_name(library):
    add(library, ONE, {"model.gguf": b"weights"})
    add(library, TWO, {"model.gguf": b"weights"})
    assert library.get(ONE).digest == library.get(TWO).digest
    add(library, TWO, {"model.gguf": b"weights"}, conversion={"format": 2})
    assert library.get(ONE).digest != library.get(TWO).digest


def test_a_name_in_other_letter_case_is_the_same_model(library):
    add(library, ONE, {"model.gguf": b"weights"})
    add(library, ModelName.parse("ONE"), {"model.gguf": b"more weights"})
    assert library.names() == [ONE]
    assert library.get(ModelName.parse("One")).name == ONE
    library.remove(ModelName.parse("oNe"))
    assert library.names() == []


def test_bytes_that_are_not_the_pinned_ones_are_refused_and_not_kept(library, tmp_path):
    path = tmp_path / "weights.gguf"
    path.write_bytes(b"other weights")
    pinned = f"sha256:{hashlib.sha256(b'weights').hexdigest()}"
    with pytest.raises(DigestMismatch, match=r"`weights.gguf` has the digest sha256:[0-9a-f]{64}, not " + pinned):
        library.add_file(path, digest=pinned)
    assert blobs(tmp_path) == set()
    assert [path.name for path in (tmp_path / "models" / "incoming").iterdir()] == []


def test_a_pinned_file_is_taken_in_either_spelling_of_the_digest(library, tmp_path):
    path = tmp_path / "weights.gguf"
    path.write_bytes(b"weights")
    digest = hashlib.sha256(b"weights").hexdigest()
    seen = []
    layer = library.add_file(path, digest=f"sha256-{digest.upper()}", progress=seen.append)
    assert (layer.digest, layer.size) == (f"sha256:{digest}", 7)
    assert library.has(layer.digest)
    assert (seen[-1].completed, seen[-1].total) == (7, 7)


def test_no_manifest_is_written_without_its_blobs(library, tmp_path):
    layer = library.add_bytes(b"weights")
    (tmp_path / "models" / "blobs" / blob_name(b"weights")).unlink()
    with pytest.raises(StoreError, match="a part of `one:latest` was removed while it was pulled"):
        library.commit(ONE, ModelConfig(), [replace(layer, name="model.gguf")])
    assert library.names() == []


@pytest.mark.parametrize("name", ["../evil", "/evil", "a/../../evil", "C:\\evil", "a\0b", "nul"])
def test_no_manifest_is_written_with_a_layer_that_leaves_the_folder(library, name):
    layer = library.add_bytes(b"weights")
    with pytest.raises(ModelCorrupt, match=r"`one:latest` cannot be used: .* cannot be a file's path in a model"):
        library.commit(ONE, ModelConfig(), [replace(layer, name=name)])
    assert library.names() == []


@pytest.mark.parametrize("name", ["../../../evil", "/tmp/evil", "a/../../../evil", "..\\evil", "x\0"])
def test_a_hostile_manifest_on_disk_is_never_laid_out(library, tmp_path, name, caplog):
    add(library, ONE, {"model.gguf": b"weights"})
    path = manifest(tmp_path, ONE)
    value = json.loads(path.read_bytes())
    value["layers"][0]["name"] = name
    path.write_text(json.dumps(value))
    with pytest.raises(StoreError, match=r"model `one:latest` is damaged: .* cannot be a file's path in a model"):
        library.get(ONE)
    assert not list(tmp_path.rglob("*evil*"))
    assert not (tmp_path / "cache").exists()
    assert library.stored() == []
    assert len(caplog.records) == 1


@pytest.mark.parametrize("digest", ["sha256:../../secret", "sha256-" + "../" * 21 + "x", "../secret", "sha256:zz"])
def test_a_hostile_digest_reaches_no_file(library, tmp_path, digest):
    (tmp_path / "secret").write_text("secret")
    with pytest.raises(ValueError, match="is not a digest"):
        library.has(digest)
    add(library, ONE, {"model.gguf": b"weights"})
    path = manifest(tmp_path, ONE)
    value = json.loads(path.read_bytes())
    value["config"]["digest"] = digest
    path.write_text(json.dumps(value))
    with pytest.raises(StoreError, match=r"is damaged: .*is not a digest"):
        library.get(ONE)


def test_a_blob_that_is_a_link_is_no_blob(library, tmp_path):
    secret = tmp_path / "secret"
    secret.write_bytes(b"{}")
    add(library, ONE, {"model.gguf": b"weights"})
    blob = tmp_path / "models" / "blobs" / blob_name(b"weights")
    blob.unlink()
    blob.symlink_to(secret)
    assert not library.has(f"sha256:{hashlib.sha256(b'weights').hexdigest()}")
    with pytest.raises(StoreError, match=r"the file `model\.gguf` is missing or cut short"):
        library.get(ONE)


def test_links_among_the_manifests_are_not_followed(library, tmp_path):
    add(library, ONE, {"model.gguf": b"weights"})
    folder = manifest(tmp_path, ONE).parent
    folder.with_name("linked").symlink_to(folder)
    (folder / "other").symlink_to(folder / "latest")
    assert library.names() == [ONE]


def test_a_blob_that_was_cut_short_is_noticed_and_mended_by_another_pull(library, tmp_path):
    add(library, ONE, {"model.gguf": b"weights"})
    (tmp_path / "models" / "blobs" / blob_name(b"weights")).write_bytes(b"weig")
    with pytest.raises(StoreError, match=r"the file `model\.gguf` is missing or cut short") as caught:
        library.get(ONE)
    assert caught.value.hint == "run `olpipe store repair one:latest`, or remove it with `olpipe rm one:latest`"
    library.remove(ONE)
    add(library, ONE, {"model.gguf": b"weights"})
    assert (library.get(ONE).path / "model.gguf").read_bytes() == b"weights"


def test_removing_a_model_leaves_nothing_of_it(library, tmp_path):
    add(library, ONE, {"model.gguf": b"weights"})
    bundle = library.get(ONE)
    bundle.cache.mkdir(parents=True)
    (bundle.cache / "built").write_text("x")
    library.remove(ONE)
    assert blobs(tmp_path) == set()
    assert list((tmp_path / "models" / "manifests").iterdir()) == []
    assert not bundle.path.exists()
    assert list(bundle.cache.parent.iterdir()) == []
    with pytest.raises(ModelNotFound, match="model `one:latest` is not on this machine"):
        library.remove(ONE)


def test_a_copy_is_the_same_model_and_outlives_the_original(library):
    add(library, ONE, {"model.gguf": b"weights"})
    digest = library.get(ONE).digest
    library.copy(ONE, TWO)
    view = library.get(TWO).path
    library.remove(ONE)
    assert library.get(TWO).digest == digest
    assert (view / "model.gguf").read_bytes() == b"weights"
    library.copy(TWO, TWO)
    assert (library.get(TWO).path / "model.gguf").read_bytes() == b"weights"
    with pytest.raises(ModelNotFound, match="model `one:latest` is not on this machine") as caught:
        library.copy(ONE, TWO)
    assert caught.value.hint == "`olpipe list` shows all"


def test_pulling_another_version_removes_what_only_the_old_one_had(library, tmp_path):
    add(library, ONE, {"model.gguf": b"old", "a.json": b"same"})
    old_view = library.get(ONE).path
    add(library, ONE, {"model.gguf": b"new", "a.json": b"same"})
    assert blob_name(b"old") not in blobs(tmp_path)
    assert {blob_name(b"new"), blob_name(b"same")} < blobs(tmp_path)
    assert not old_view.exists()
    assert (library.get(ONE).path / "model.gguf").read_bytes() == b"new"


def test_a_removal_leaves_blobs_that_a_pull_in_progress_counts_on(library, tmp_path):
    add(library, ONE, {"model.gguf": b"weights", "a.json": b"1"})
    make_old(manifest(tmp_path, ONE), 60)
    for name in blobs(tmp_path):
        make_old(tmp_path / "models" / "blobs" / name, 70)
    pulling = Library(tmp_path / "models", cache=tmp_path / "cache")
    layer = pulling.add_bytes(b"weights")
    assert pulling.has(layer.digest)
    library.remove(ONE)
    assert blob_name(b"weights") in blobs(tmp_path)
    assert blob_name(b"1") not in blobs(tmp_path)
    pulling.commit(TWO, ModelConfig(), [replace(layer, name="model.gguf")])
    assert (pulling.get(TWO).path / "model.gguf").read_bytes() == b"weights"


@pytest.mark.parametrize("damage", [b"", b"{", b'{"layers":[{"digest":"x"}]}'])
def test_a_damaged_manifest_is_one_warning_and_costs_no_blob(library, tmp_path, caplog, damage):
    add(library, ONE, {"model.gguf": b"weights"})
    add(library, TWO, {"model.gguf": b"other"})
    manifest(tmp_path, ONE).write_bytes(damage)
    before = blobs(tmp_path)

    assert [model.name for model in library.stored()] == [TWO]
    assert len(caplog.records) == 1
    assert "model `one:latest` is damaged: " in caplog.records[0].message

    library.remove(TWO)
    for name in before:
        make_old(tmp_path / "models" / "blobs" / name, 2 * UNNAMED_BLOB_KEPT_S)
    library.clean()
    assert blobs(tmp_path) == before

    library.remove(ONE)
    library.clean()
    assert library.names() == []
    assert blobs(tmp_path) == set()


def test_cleaning_removes_what_is_old_and_keeps_what_a_pull_may_need(library, tmp_path):
    add(library, ONE, {"model.gguf": b"named"})
    fresh, stale = library.add_bytes(b"fresh"), library.add_bytes(b"stale")
    incoming = tmp_path / "models" / "incoming"
    for name, age_s in (
        ("blob-fresh", 0),
        ("blob-stale", TEMPORARY_KEPT_S + 9),
        ("manifest-stale", TEMPORARY_KEPT_S + 9),
    ):
        (incoming / name).write_bytes(b"half")
        make_old(incoming / name, age_s)
    kept = library.partial("kept")
    (kept / "wheel").write_bytes(b"x")
    make_old(kept, 365 * 24 * 3600)
    foreign = tmp_path / "models" / "blobs" / f"{blob_name(b'named')}-partial-0"
    foreign.write_bytes(b"another program's")
    for name in blobs(tmp_path) - {blob_name(b"fresh"), foreign.name}:
        make_old(tmp_path / "models" / "blobs" / name, UNNAMED_BLOB_KEPT_S + 9)

    library.clean()
    assert library.has(stale.digest)  # the other program may count on it
    foreign.unlink()
    make_old(tmp_path / "models" / "blobs" / blob_name(b"stale"), UNNAMED_BLOB_KEPT_S + 9)
    library.clean()
    assert library.has(fresh.digest)
    assert not library.has(stale.digest)
    assert (library.get(ONE).path / "model.gguf").read_bytes() == b"named"
    assert {path.name for path in incoming.iterdir()} == {"blob-fresh", "store.lock", kept.name}


def test_a_partial_folder_is_the_same_for_the_same_key_and_stays_inside(library, tmp_path):
    assert library.partial("pip:x==1") == library.partial("pip:x==1") != library.partial("pip:x==2")
    assert library.partial("../../../x").parent == tmp_path / "models" / "incoming"


def test_looking_creates_nothing(library, tmp_path):
    assert library.names() == []
    assert library.stored() == []
    assert not library.has(f"sha256:{'a' * 64}")
    library.clean()
    with pytest.raises(ModelNotFound):
        library.get(ONE)
    assert list(tmp_path.iterdir()) == []


def test_models_are_listed_newest_first(library, tmp_path):
    add(library, ONE, {"model.gguf": b"1"})
    add(library, TWO, {"model.gguf": b"2"})
    make_old(manifest(tmp_path, ONE), 100)
    assert [model.name for model in library.stored()] == [TWO, ONE]
    make_old(manifest(tmp_path, TWO), 200)
    assert [model.name for model in library.stored()] == [ONE, TWO]


def test_large_files_are_linked_into_views_and_small_ones_copied(library, tmp_path):
    add(library, ONE, {"model.onnx.data": bytes(LINK_FROM_BYTES), "tokenizer.json": b"{}"})
    path = library.get(ONE).path
    assert (path / "model.onnx.data").stat().st_nlink == 2
    assert (path / "tokenizer.json").stat().st_nlink == 1


def test_a_view_is_made_once_and_made_again_when_it_was_damaged(library):
    add(library, ONE, {"a.json": b"11", "b.json": b"22"})
    path = library.get(ONE).path
    made = (path / "a.json").stat().st_ino, (path / "b.json").stat().st_ino
    assert library.get(ONE).path == path
    assert ((path / "a.json").stat().st_ino, (path / "b.json").stat().st_ino) == made
    (path / "a.json").write_bytes(b"edited by somebody")
    (path / "b.json").unlink()
    assert library.get(ONE).path == path
    assert ((path / "a.json").read_bytes(), (path / "b.json").read_bytes()) == (b"11", b"22")
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_a_view_on_another_file_system_is_a_copy(tmp_path):
    other = "/dev/shm"
    if not os.path.isdir(other) or os.stat(other).st_dev == os.stat(tmp_path).st_dev:
        pytest.skip("this machine has no second writable file system at /dev/shm")
    import shutil
    import tempfile
    from pathlib import Path

    cache = Path(tempfile.mkdtemp(dir=other))
    try:
        library = Library(tmp_path / "models", cache=cache)
        add(library, ONE, {"model.onnx.data": bytes(LINK_FROM_BYTES)})
        assert (library.get(ONE).path / "model.onnx.data").stat().st_size == LINK_FROM_BYTES
    finally:
        shutil.rmtree(cache)


def test_a_package_that_reaches_out_is_not_laid_out(library, tmp_path):
    add(library, ONE, {"genai_config.json": b'{"model":{"decoder":{"filename":"../../secret.onnx"}}}'})
    with pytest.raises(StoreError, match=r"model `one:latest` is damaged: .*\.\./\.\./secret\.onnx"):
        library.get(ONE)
    assert list((tmp_path / "cache" / "views").iterdir()) == []


@pytest.mark.parametrize("text", [b"[1]", b"{", b"\xff"])
def test_parameters_that_are_no_object_are_damage(library, text):
    library.commit(ONE, ModelConfig(), [replace(library.add_bytes(text), media_type=MEDIA_TYPE + "params")])
    with pytest.raises(StoreError, match="model `one:latest` is damaged"):
        library.get(ONE)
