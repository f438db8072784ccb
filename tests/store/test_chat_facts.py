"""What a model is known to be able to do when it is listed."""

import json
from dataclasses import replace

import pytest

from olpipe.messages import Message
from olpipe.model import MEDIA_TYPE, ModelConfig, ModelName
from olpipe.plugins import Plugins
from olpipe.settings import Settings
from olpipe.store.library import Library
from olpipe.store.pull import pull
from olpipe.store.resolve import find_source
from olpipe.testing.bert import write_tiny_bert
from olpipe.testing.models import write_tiny_gguf, write_tokenizer

IT = ModelName.parse("it")
THINKS = "{% for m in messages %}{{ m.content }}{% endfor %}<think></think>"
CALLS = '{% for t in tools %}{{ t }}{% endfor %}<tool_call>{"name": 1, "arguments": 2}</tool_call>'
GAPS = ("<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>")


@pytest.fixture
def library(tmp_path):
    return Library(tmp_path / "models", cache=tmp_path / "cache")


def add_gguf(library, tmp_path, layers=(), config=None, **options):
    layer = replace(library.add_file(write_tiny_gguf(tmp_path / "it.gguf", **options)), name="model.gguf")
    library.commit(IT, config or ModelConfig(model_format="gguf"), [layer, *layers])


def template_layer(library, text):
    return replace(library.add_bytes(text.encode()), media_type=MEDIA_TYPE + "template")


@pytest.mark.parametrize(
    ("options", "capabilities"),
    [
        ({}, ("completion",)),
        ({"chat_template": THINKS}, ("completion", "thinking")),
        ({"chat_template": CALLS}, ("completion", "tools")),
        ({"chat_template": THINKS + CALLS, "special": GAPS}, ("completion", "tools", "thinking", "insert")),
        ({"special": GAPS[:2]}, ("completion",)),
    ],
)
def test_a_model_can_do_what_its_template_and_its_tokens_show(library, tmp_path, options, capabilities):
    add_gguf(library, tmp_path, **options)
    assert library.describe(IT).config.capabilities == capabilities
    assert library.get(IT).config.capabilities == capabilities
    assert [model.config.capabilities for model in library.stored()] == [capabilities]


def test_the_manifest_stays_as_it_was(library, tmp_path):
    add_gguf(library, tmp_path, chat_template=THINKS)
    assert library.describe(IT).written.capabilities == ("completion",)


def test_words_of_a_plugin_are_kept(library, tmp_path):
    config = ModelConfig(model_format="gguf", capabilities=("completion", "smelling"))
    add_gguf(library, tmp_path, config=config, chat_template=THINKS)
    assert library.describe(IT).config.capabilities == ("completion", "thinking", "smelling")


def test_the_files_are_read_once_and_not_again_by_another_process(library, tmp_path):
    add_gguf(library, tmp_path, chat_template=THINKS)
    assert library.describe(IT).config.capabilities == ("completion", "thinking")
    (weights,) = (path for path in (tmp_path / "models" / "blobs").iterdir() if path.read_bytes()[:4] == b"GGUF")
    weights.write_bytes(bytes(weights.stat().st_size))  # nobody would find a template in it
    another = Library(tmp_path / "models", cache=tmp_path / "cache")
    assert another.describe(IT).config.capabilities == ("completion", "thinking")


@pytest.mark.parametrize("kept", [b"{", b"[]", b'{"version": 0}', b'{"version": 1}', b'{"version": 1, "templates": 3}'])
def test_what_is_kept_is_read_again_where_it_is_damaged_or_of_another_version(library, tmp_path, kept):
    add_gguf(library, tmp_path, chat_template=THINKS)
    library.describe(IT)
    (path,) = (tmp_path / "cache" / "chat").iterdir()
    path.write_bytes(kept)
    another = Library(tmp_path / "models", cache=tmp_path / "cache")
    assert another.describe(IT).config.capabilities == ("completion", "thinking")
    assert json.loads(path.read_bytes())["templates"] == [THINKS]


def test_what_is_kept_goes_with_the_model(library, tmp_path):
    add_gguf(library, tmp_path)
    library.describe(IT)
    library.remove(IT)
    assert list((tmp_path / "cache" / "chat").iterdir()) == []


def test_a_jinja_template_of_the_manifest_takes_the_place_of_that_of_the_files(library, tmp_path):
    add_gguf(library, tmp_path, [template_layer(library, THINKS)], chat_template=CALLS)
    assert library.get(IT).config.capabilities == ("completion", "thinking")
    assert library.get(IT).template == THINKS


def test_a_template_of_go_takes_the_place_of_none_in_jinja(library, tmp_path):
    add_gguf(library, tmp_path, [template_layer(library, "{{ .Prompt }}<think></think>")], chat_template=CALLS)
    assert library.get(IT).config.capabilities == ("completion", "tools")


def test_a_template_of_go_counts_where_the_files_have_none(library, tmp_path):
    add_gguf(library, tmp_path, [template_layer(library, "{{ .Prompt }}<think></think>")], chat_template="")
    assert library.get(IT).config.capabilities == ("completion", "thinking")


def test_a_package_is_asked_through_its_tokenizer(library, tmp_path):
    folder = write_tokenizer(tmp_path / "package", chat_template=THINKS)
    tokens = json.loads((folder / "tokenizer.json").read_text())
    tokens["added_tokens"] += [{"content": token} for token in GAPS]
    (folder / "tokenizer.json").write_text(json.dumps(tokens))
    (folder / "genai_config.json").write_text("{}")
    layers = [replace(library.add_file(path), name=path.name) for path in sorted(folder.iterdir())]
    library.commit(IT, ModelConfig(model_format="onnx", capabilities=("completion", "vision")), layers)
    assert library.get(IT).config.capabilities == ("completion", "vision", "thinking", "insert")


def test_an_embedding_model_does_nothing_else(library, tmp_path):
    write_tiny_bert(tmp_path / "bert")
    plugins = Plugins.load(Settings(plugins_allow=()))
    origin, _ = find_source(f"file:{tmp_path / 'bert'}", plugins)
    pull(origin, IT, library, plugins, progress=lambda progress: None)
    assert library.describe(IT).config.capabilities == ("embedding",)


@pytest.mark.parametrize("weights", [b"GGUF", b"no weights", b""])
def test_a_damaged_model_is_listed_with_what_its_manifest_says(library, weights):
    layer = replace(library.add_bytes(weights), name="model.gguf")
    library.commit(IT, ModelConfig(model_format="gguf", capabilities=("completion", "vision")), [layer])
    assert library.describe(IT).config.capabilities == ("completion", "vision")


def messages_layer(library, text):
    return replace(library.add_bytes(text.encode()), media_type=MEDIA_TYPE + "messages")


def test_the_messages_of_a_manifest_are_those_of_the_model(library, tmp_path):
    turns = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "ho", "images": None}]
    add_gguf(library, tmp_path, [messages_layer(library, json.dumps(turns))])
    assert library.get(IT).messages == (Message.of("user", "hi"), Message.of("assistant", "ho"))
