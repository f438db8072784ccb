"""The catalogue: what its entries say, and where its short names lead."""

from dataclasses import replace
from types import ModuleType

import pytest

from olpipe.default_plugins.sources.hub.options import HubOptions
from olpipe.default_plugins.sources.hub.reference import HubReference
from olpipe.default_plugins.sources.hub.source import HubSource
from olpipe.errors import ModelNotFound
from olpipe.hookspecs import hookimpl
from olpipe.interfaces import ModelSource
from olpipe.model import CAPABILITIES, ModelConfig, ModelName
from olpipe.plugins import Plugins
from olpipe.settings import Settings
from olpipe.store import catalog
from olpipe.store.library import Library
from olpipe.store.resolve import find_source, resolve
from olpipe.testing.models import write_tiny_gguf
from tests.default_plugins.hub_server import HubServer

# What Ollama's library calls the models of the families in the catalogue.
# Source: https://ollama.com/library
LIBRARY = {
    *("qwen3-vl", "qwen2.5vl", "gemma3", "llava", "smollm2", "smollm", "llama3.2", "qwen3", "mistral", "phi3"),
    *("moondream", "bakllava", "llava-llama3", "llava-phi3", "llama3.2-vision", "minicpm-v", "granite3.2-vision"),
}
ENTRIES = pytest.mark.parametrize("entry", catalog.entries(), ids=lambda entry: str(entry.name))


@pytest.fixture
def plugins():
    return Plugins.load(Settings(plugins_allow=()))


def names_of(entry):
    return [entry.name, *entry.aliases]


# --- what it says -------------------------------------------------------------------------------


def test_names_are_given_once():
    names = [name for entry in catalog.entries() for name in names_of(entry)]
    assert len(names) == len(set(names)) > 10


@ENTRIES
def test_a_short_name_leads_to_no_other_model_than_that_of_ollamas_library(entry):
    """A name of the library means the same model here; a name that leads elsewhere is none of the library's."""
    for name in names_of(entry):
        assert (name.model in LIBRARY) == (entry.source == catalog.LIBRARY)
        assert (name.host, name.namespace) == ("registry.ollama.ai", "library")


@ENTRIES
def test_an_entry_says_what_a_person_has_to_know(entry):
    assert entry.about and entry.family and entry.license and entry.tested
    assert set(entry.capabilities) <= set(CAPABILITIES)
    assert entry.source in (catalog.LIBRARY, catalog.PLUGIN) or HubReference.parse(entry.source).variant


@ENTRIES
def test_a_measured_figure_says_how_it_was_measured(entry):
    """What was not measured has no figure, and one of a tiny model would say nothing of a large one."""
    has_figures = entry.memory_gb is not None or entry.seconds_a_photo is not None
    assert has_figures == bool(entry.measured)
    if has_figures:
        assert entry.tested in ("its own weights", "random weights at its real size")


# --- where names lead ---------------------------------------------------------------------------


def test_a_short_name_leads_to_the_hub(plugins):
    origin, name = find_source("smolvlm:500m", plugins)
    assert (origin.source.scheme, str(name)) == ("hf", "smolvlm:500m")
    assert origin.reference == "hf.co/ggml-org/SmolVLM-500M-Instruct-GGUF:Q8_0"
    assert find_source("smolvlm", plugins) == (origin, ModelName.parse("smolvlm"))


def test_a_digest_may_follow_a_short_name(plugins):
    pin = "sha256:" + "0" * 64
    assert find_source(f"smolvlm:500m@{pin}", plugins)[0].digest == pin


@pytest.mark.parametrize("text", ["qwen3-vl:2b", "gemma3", "registry.ollama.ai/library/smolvlm", "library/smolvlm"])
def test_names_of_a_registry_still_lead_to_the_registry(plugins, text, monkeypatch):
    monkeypatch.setenv("OLPIPE_REGISTRY", "https://registry.ollama.ai")
    origin, _ = find_source(text, plugins)
    assert origin.source.scheme == "oci"


def test_what_a_plugin_announces_comes_before_the_catalogue(plugins):
    class Own(ModelSource):
        scheme = "own"

        def names(self):
            return ["smolvlm:500m"]

        def default_name(self, reference):
            return ModelName.parse(reference)

        def pull(self, reference, name, store, progress):
            raise NotImplementedError

    module = ModuleType("own")
    module.register_model_sources = hookimpl(lambda: [Own()])
    plugins.add(module, "own")
    assert find_source("smolvlm:500m", plugins)[0].source.scheme == "own"


def test_what_is_on_this_machine_comes_before_the_catalogue(plugins, tmp_path):
    library = Library(tmp_path / "models", cache=tmp_path / "cache")
    library.commit(ModelName.parse("smolvlm:500m"), ModelConfig(model_format="mine"), [])
    assert resolve("smolvlm:500m", library, plugins, pytest.fail).config.model_format == "mine"


def test_a_short_name_is_pulled_from_where_the_catalogue_says(tmp_path):
    tiny = write_tiny_gguf(tmp_path / "tiny.gguf").read_bytes()
    library = Library(tmp_path / "models", cache=tmp_path / "cache")
    with HubServer() as hub:
        hub.put("ggml-org/SmolVLM-500M-Instruct-GGUF", {"SmolVLM-500M-Instruct-Q8_0.gguf": tiny})
        source = HubSource(lambda: HubOptions(endpoint=hub.url))
        origin, name = find_source("smolvlm", Plugins.load(Settings(plugins_allow=())))
        replace(origin, source=source).source.pull(origin.reference, name, library, lambda progress: None)
    assert library.names() == [ModelName.parse("smolvlm")]


# --- names on a host that are no names ----------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "reference"),
    [
        ("hf.co/a/b@v1", "hf.co/a/b@v1"),
        ("HF.co/a/b@refs/pr/1:Q8_0", "hf.co/a/b@refs/pr/1:Q8_0"),
        ("https://huggingface.co/a/b@v1:Q8_0", "huggingface.co/a/b@v1:Q8_0"),
        ("hf.co/a/b:cpu/int4", "hf.co/a/b:cpu/int4"),
    ],
)
def test_a_text_on_a_claimed_host_reaches_its_source_as_it_was_written(plugins, text, reference):
    origin, name = find_source(text, plugins)
    assert (origin.source.scheme, origin.reference, name) == ("hf", reference, None)


def test_a_text_on_a_claimed_host_without_a_namespace_is_still_no_name(plugins):
    with pytest.raises(ModelNotFound, match=r"no source has a model `hf\.co/@x`"):
        find_source("hf.co/@x", plugins)
