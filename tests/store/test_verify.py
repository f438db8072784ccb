"""What `verify` finds in a store, and what it leaves alone."""

import json
import os
import shutil
from dataclasses import replace

import pytest

from olpipe.errors import ModelNotFound
from olpipe.model import MEDIA_TYPE, ModelConfig, ModelName
from olpipe.plugins import Plugins
from olpipe.settings import Settings
from olpipe.store.library import Library
from olpipe.store.pull import pull
from olpipe.store.resolve import find_source
from olpipe.store.verify import verify
from olpipe.testing.models import write_tiny_gguf
from olpipe.testing.vision_models import write_vision_gguf

TINY, OTHER = ModelName.parse("tiny"), ModelName.parse("other")


@pytest.fixture
def library(tmp_path):
    return Library(tmp_path / "models", cache=tmp_path / "cache")


@pytest.fixture
def tiny(library, tmp_path):
    """Pull a tiny model, and return what is laid out and built of it."""
    plugins = Plugins.load(Settings(plugins_allow=()))
    origin, _ = find_source(f"file:{write_tiny_gguf(tmp_path / 'tiny.gguf')}", plugins)
    return pull(origin, TINY, library, plugins, progress=lambda _: None)


def check(library, *names):
    return verify(library, list(names) or None, lambda _: None)


def faults(library, *names):
    """Return the kinds and the texts of what is wrong with the only model that was checked."""
    (model,) = check(library, *names).models
    return [fault.part for fault in model.faults], [fault.what for fault in model.faults]


def blob_of(library, name, end):
    (layer,) = (layer for layer in library.describe(name).manifest.layers if layer.name.endswith(end))
    return library.blob_path(layer.digest)


def flip(path, offset=100):
    """Change one byte of a file, and neither its size nor its second names."""
    with path.open("r+b") as file:
        file.seek(offset)
        byte = file.read(1)
        file.seek(offset)
        file.write(bytes([byte[0] ^ 1]))


def snapshot(folder):
    return {
        str(path): (path.lstat().st_mtime_ns, path.read_bytes() if path.is_file() else b"")
        for path in sorted(folder.rglob("*"))
    }


def test_a_sound_store_is_sound_and_everything_is_read_once(library, tiny):
    library.copy(TINY, OTHER)
    told = []
    found = verify(library, None, told.append)
    assert found.is_sound
    assert [(model.name, model.faults, model.advice) for model in found.models] == [(OTHER, (), ""), (TINY, (), "")]
    assert found.blobs == len(library.describe(TINY).manifest.blob_digests)
    assert found.size_bytes == library.describe(TINY).size_bytes
    assert (told[-1].completed, told[-1].total, told[-1].status) == (told[-1].total, told[-1].total, "verifying")


def test_nothing_is_changed(library, tiny, tmp_path):
    flip(blob_of(library, TINY, ".gguf"))
    before = snapshot(tmp_path)
    assert not check(library).is_sound
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize("damage", ["flipped", "cut", "missing"])
def test_a_blob_that_is_not_what_it_was_is_named(library, tiny, damage):
    path = blob_of(library, TINY, ".gguf")
    size = path.stat().st_size
    if damage == "flipped":
        flip(path, size - 5)
        what = "`model.gguf` has wrong bytes"
    elif damage == "cut":
        os.truncate(path, size - 1)
        what = f"`model.gguf` has {size - 1} bytes, not {size}"
    else:
        path.unlink()
        what = "`model.gguf` is missing"
    assert faults(library) == (["blob"], [f"{what} (blob sha256:{path.name[7:19]})"])
    assert check(library).models[0].advice == "run `olpipe store repair tiny:latest`"


@pytest.mark.parametrize(
    ("kind", "called"), [("system", "its system message"), ("template", "its template"), ("strange-kind", "a layer")]
)
def test_texts_are_called_as_people_call_them(library, kind, called):
    layer = replace(library.add_bytes(b"Be brief."), media_type=MEDIA_TYPE + kind)
    library.commit(TINY, ModelConfig(), [layer])
    library.blob_path(layer.digest).unlink()
    assert faults(library)[1] == [f"{called} is missing (blob {layer.digest[:19]})"]


def test_a_manifest_that_cannot_be_read_is_damage(library, tiny, tmp_path):
    (path,) = (path for path in (tmp_path / "models" / "manifests").rglob("*") if path.is_file())
    path.write_bytes(b"{")
    parts, texts = faults(library)
    assert parts == ["manifest"]
    assert texts[0].startswith("its manifest cannot be read: Expecting property name")


def test_a_config_that_cannot_be_used_is_damage_that_no_second_download_mends(library, tmp_path):
    config = library.add_bytes(b"[1, 2]")
    manifest = {"config": {"digest": config.digest, "size": config.size}, "layers": []}
    path = tmp_path / "models/manifests/registry.ollama.ai/library/tiny/latest"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(manifest))
    assert faults(library)[0] == ["file"]
    assert check(library).models[0].advice == "run `olpipe rm tiny:latest`, then pull it again"


@pytest.mark.parametrize("name", ["model.gguf", "projector.gguf", "genai_config.json"])
def test_a_file_whose_bytes_are_right_and_senseless_is_damage(library, name):
    layer = replace(library.add_bytes(b"GGUF"), name=name)
    library.commit(TINY, ModelConfig(model_format="gguf"), [layer])
    parts, texts = faults(library)
    assert parts == ["file"]
    assert f"`{name}`" in texts[0] or name in texts[0]
    assert str(library.folder) not in texts[0]


def test_the_projector_of_a_vision_model_is_read(library, tmp_path):
    plugins = Plugins.load(Settings(plugins_allow=()))
    text, projector = write_vision_gguf("qwen2_5_vl", tmp_path / "qwen")
    origin, _ = find_source(f"file:{text}#{projector}", plugins)
    pull(origin, TINY, library, plugins, progress=lambda _: None)
    assert check(library).is_sound
    flip(blob_of(library, TINY, "projector.gguf"), projector.stat().st_size - 9)
    assert faults(library)[1][0].startswith("`projector.gguf` has wrong bytes")


def test_a_file_that_was_changed_where_it_is_laid_out_is_named(library, tiny):
    if (tiny.path / "model.gguf").stat().st_nlink > 1:
        pytest.fail("a tiny file is copied, so that it can be changed alone")
    flip(tiny.path / "model.gguf")
    assert faults(library) == (["view"], ["`model.gguf` was changed among the files that are laid out"])
    (tiny.path / "model.gguf").unlink()
    assert faults(library)[0] == ["view"]
    shutil.rmtree(tiny.path)
    assert check(library).is_sound  # what is not there can be made at any time


@pytest.mark.parametrize("end", [".onnx", ".data", "tokenizer.json"])
def test_a_byte_of_a_conversion_that_changed_is_found(library, tiny, end):
    (path,) = tiny.cache.glob(f"*/*{end}")
    flip(path)
    assert faults(library) == (
        ["conversion"],
        [f"in its conversion, `{path.parent.name}/{path.name}` has other bytes than it was written with"],
    )


@pytest.mark.parametrize(
    ("name", "damage", "what"),
    [
        ("genai_config.json", lambda path: path.write_bytes(b"{"), "`onnx-{}/genai_config.json` is not JSON"),
        ("model.onnx", lambda path: path.write_bytes(b"\xff" * 99), "`onnx-{}/model.onnx` is not an ONNX file"),
        ("model.onnx.data", lambda path: os.truncate(path, 10), "`model.onnx.data` is missing or cut short"),
    ],
)
def test_the_form_of_a_conversion_from_before_is_checked(library, tiny, name, damage, what):
    for seal in tiny.cache.parent.glob("*.seal"):
        seal.unlink()
    assert check(library).is_sound
    (path,) = tiny.cache.glob(f"*/{name}")
    damage(path)
    version = path.parent.name.rpartition("-")[2]
    assert f"in its conversion, {what.format(version)}" in faults(library)[1]


def test_only_the_models_that_are_named_are_checked(library, tiny):
    layer = replace(library.add_bytes(b"x"), name="a.bin")
    library.commit(OTHER, ModelConfig(), [layer])
    library.blob_path(layer.digest).unlink()
    assert check(library, TINY).is_sound
    assert not check(library, OTHER).is_sound
    assert not check(library).is_sound
    with pytest.raises(ModelNotFound, match="model `nothing:latest` is not on this machine"):
        check(library, ModelName.parse("nothing"))


def test_a_damaged_blob_that_no_model_needs_is_named(library, tiny):
    layer = library.add_bytes(b"nobody's")
    assert check(library).is_sound
    flip(library.blob_path(layer.digest), 0)
    assert check(library).unneeded == (layer.digest,)
    assert check(library, TINY).is_sound


def test_a_model_that_is_removed_while_it_is_checked_is_not_damaged(library, tiny):
    def remove(_):
        if TINY in library.names():
            library.remove(TINY)

    assert verify(library, None, remove).models == ()
