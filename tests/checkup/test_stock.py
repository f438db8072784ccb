"""Each model of the store: whether it is whole, what runs it, and how much memory it is thought to need."""

import sys
from dataclasses import replace

import pytest

from olpipe.checkup.memory import estimate
from olpipe.checkup.report import Section
from olpipe.checkup.stock import check_models
from olpipe.default_plugins.onnx.backend import OnnxBackend, package_folder
from olpipe.default_plugins.onnx.cache import Cache
from olpipe.model import ModelConfig, ModelName
from olpipe.plugins import Plugins
from olpipe.sessions import open_session
from olpipe.settings import Settings
from olpipe.store.pull import pull
from olpipe.store.resolve import find_source
from olpipe.testing.bert import write_tiny_bert
from olpipe.testing.models import write_tiny_gguf

NAME = ModelName.parse("tiny")
REGISTRY = "https://registry.ollama.ai"


@pytest.fixture
def plugins(isolated_home):
    return Plugins.load(Settings(home=isolated_home, plugins_allow=()))


@pytest.fixture
def tiny(tmp_path, library):
    """Put a model of two layers into the store; return its layer."""
    gguf = write_tiny_gguf(tmp_path / "weights.gguf", context_length=1024)
    layer = replace(library.add_file(gguf), name="model.gguf")
    library.commit(NAME, ModelConfig(model_format="gguf"), [layer])
    return layer


def look(library, plugins, **settings):
    section = Section("models", "Models")
    check_models(section, Settings(**settings), library, plugins, extra="cpu")
    return section


def blob_of(library, layer):
    return library.folder / "blobs" / layer.digest.replace(":", "-")


def test_a_model_that_can_run_is_well(library, plugins, tiny):
    section = look(library, plugins)
    (row,), (found,) = section.rows, section.facts["models"]
    assert (row.state, row.name, found["well"], section.steps) == ("ok", "tiny:latest", True, [])
    assert row.text.startswith("runs on onnx, needs about ")
    assert row.text.endswith(" for keys and values of 1024 tokens")
    assert found["memory"]["fits"] is True


@pytest.mark.parametrize("is_built", [True, False])
@pytest.mark.parametrize(("usual", "context"), [(0, 1024), (600, 600), (9999, 1024)])
def test_keys_and_values_are_those_that_the_backend_makes_room_for(library, tiny, is_built, usual, context):
    bundle = library.get(NAME)
    OnnxBackend().build(bundle, lambda _: None)
    session = open_session(package_folder(bundle) / "model.onnx", threads=1)
    real = Cache(session, rows=1, length=context)
    if not is_built:
        for path in package_folder(bundle).iterdir():
            path.unlink()
    found = estimate(bundle, "onnx", Settings(context_length=usual))
    assert (found.context, found.cache) == (context, real.size_bytes)


def test_the_weights_are_those_of_the_package_once_it_is_built(library, tiny):
    bundle = library.get(NAME)
    assert estimate(bundle, "onnx", Settings()).weights == bundle.size_bytes
    OnnxBackend().build(bundle, lambda _: None)
    files = list(package_folder(bundle).iterdir())
    assert estimate(bundle, "onnx", Settings()).weights == sum(path.stat().st_size for path in files)


def test_what_another_backend_built_is_not_counted(library, tiny):
    bundle = library.get(NAME)
    OnnxBackend().build(bundle, lambda _: None)
    weights = estimate(bundle, "onnx", Settings()).weights
    other = bundle.cache / "strange-1"
    other.mkdir()
    for name in ("tokenizer_config.json", "genai_config.json"):
        (other / name).write_text("{}")
    assert estimate(bundle, "onnx", Settings()).weights == weights


def test_the_context_that_a_model_asks_for_counts(library, tiny):
    params = replace(library.add_bytes(b'{"num_ctx": 700}'), media_type="application/vnd.ollama.image.params")
    library.commit(NAME, ModelConfig(model_format="gguf"), [tiny, params])
    assert estimate(library.get(NAME), "onnx", Settings(context_length=512)).context == 700


def test_how_backends_of_plugins_keep_keys_and_values_is_not_known(library, tiny):
    found = estimate(library.get(NAME), "strange", Settings())
    assert found.cache is None
    assert found.total == found.weights


def test_a_model_that_makes_embeddings_keeps_no_keys_and_values(tmp_path, library, plugins):
    write_tiny_bert(tmp_path / "vectors")
    origin, _ = find_source(f"file:{tmp_path / 'vectors'}", plugins)
    pull(origin, ModelName.parse("vectors"), library, plugins, progress=lambda _: None)
    section = look(library, plugins)
    assert section.facts["models"][0]["memory"]["cache"] == 0
    assert section.rows[0].text.startswith("runs on onnx, needs about ")
    assert "keys" not in section.rows[0].text


def test_a_model_that_may_not_fit_is_worth_a_look(library, plugins, tiny, monkeypatch):
    monkeypatch.setattr("olpipe.machine.available_bytes", lambda: 1000)
    section = look(library, plugins)
    assert section.rows[0].state == "note"
    assert section.rows[0].text.endswith(", and only 1 KB is available: it may not fit")
    assert section.facts["models"][0]["memory"]["fits"] is False


@pytest.mark.parametrize("is_gone", [True, False])
def test_a_model_whose_file_is_missing_or_cut_short_is_damaged(library, plugins, tiny, is_gone):
    path = blob_of(library, tiny)
    path.write_bytes(path.read_bytes()[:-1])
    if is_gone:
        path.unlink()
    section = look(library, plugins)
    (row,) = section.rows
    assert (row.state, row.text) == ("fail", "damaged: `model.gguf` is missing or cut short")
    assert section.steps[0].command == "olpipe store repair tiny:latest"
    assert section.facts["models"][0]["well"] is False


def test_a_model_whose_manifest_is_damaged_does_not_hide_the_others(library, plugins, tiny):
    library.copy(NAME, ModelName.parse("other"))
    path = next(path for path in (library.folder / "manifests").rglob("latest") if path.parent.name == "other")
    path.write_bytes(b"{")
    section = look(library, plugins)
    assert {row.name: row.state for row in section.rows} == {"tiny:latest": "ok", "other:latest": "fail"}


def test_a_model_that_nothing_runs_is_told(library, plugins):
    library.commit(NAME, ModelConfig(), [replace(library.add_bytes(b"x"), name="odd.bin")])
    section = look(library, plugins)
    assert section.rows[0].state == "fail"
    assert section.rows[0].text.startswith("no backend can run `tiny:latest`")
    assert section.steps[0].command == "olpipe show tiny:latest"


def test_a_model_whose_runtime_is_not_installed_is_told(library, plugins, tiny, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    section = look(library, plugins)
    assert section.rows[0].state == "fail"
    assert section.rows[0].text == "runs on onnx, whose runtime `onnxruntime` is not installed"
    assert section.steps[0].command == "pip install 'olpipe[cpu]'"


@pytest.mark.parametrize(
    ("allowed", "registry", "command"),
    [
        (("photo-mini",), REGISTRY, "olpipe pull photo-mini"),
        ((), REGISTRY, "olpipe pull gemma3:4b"),
        ((), "", "olpipe pull --help"),
    ],
)
def test_without_models_the_first_one_is_proposed(library, isolated_home, allowed, registry, command):
    plugins = Plugins.load(Settings(home=isolated_home, plugins_allow=allowed))
    section = look(library, plugins, registry=registry)
    assert (section.rows[0].state, section.rows[0].text) == ("note", "there is none yet")
    assert [step.command for step in section.steps] == [command]
