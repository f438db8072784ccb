from types import ModuleType

import pytest

from olpipe.errors import ModelUnsupported, PullFailed
from olpipe.hookspecs import hookimpl
from olpipe.interfaces import ModelSource
from olpipe.model import ModelConfig, ModelName
from olpipe.plugins import Plugins
from olpipe.settings import Settings
from olpipe.store.library import Library
from olpipe.store.resolve import resolve
from olpipe.testing.models import write_tiny_gguf


class TinySource(ModelSource):
    """Announces one tiny model and counts how often it is pulled."""

    scheme = "tiny"

    def __init__(self, folder):
        self.weights = write_tiny_gguf(folder / "tiny.gguf")
        self.pulled = []

    def names(self):
        return ["tiny-photos"]

    def default_name(self, reference):
        return ModelName.parse("tiny-photos")

    def pull(self, reference, name, store, progress):
        from olpipe.store.packages import add_package

        self.pulled.append(reference)
        add_package(self.weights, name, store, progress)


@pytest.fixture
def source(tmp_path):
    return TinySource(tmp_path)


@pytest.fixture
def plugins(source):
    plugins = Plugins.load(Settings(plugins_allow=()))
    module = ModuleType("tiny")
    module.register_model_sources = hookimpl(lambda: [source])
    plugins.add(module, "tiny")
    return plugins


@pytest.fixture
def library(tmp_path):
    return Library(tmp_path / "models", cache=tmp_path / "cache")


def silent(progress):
    pass


def test_an_announced_model_is_pulled_and_built_once(library, plugins, source):
    seen = []
    bundle = resolve("tiny-photos", library, plugins, seen.append)
    assert source.pulled == ["tiny-photos"]
    assert str(bundle.name) == "tiny-photos:latest"
    assert any(bundle.cache.iterdir())
    assert [progress.status for progress in seen][-1].startswith("converting")

    again = resolve("tiny-photos:latest", library, plugins, pytest.fail)
    assert again == bundle
    assert source.pulled == ["tiny-photos"]


def test_what_is_on_this_machine_comes_before_what_is_announced(library, plugins, source):
    library.commit(ModelName.parse("tiny-photos"), ModelConfig(model_format="mine"), [])
    assert resolve("tiny-photos", library, plugins, silent).config.model_format == "mine"
    assert source.pulled == []


def test_a_model_that_no_backend_loads_is_said_with_its_kind(library, plugins, source, tmp_path):
    source.weights = write_tiny_gguf(tmp_path / "alien.gguf")
    data = source.weights.read_bytes()
    source.weights.write_bytes(data.replace(b"\x05\0\0\0\0\0\0\0llama", b"\x05\0\0\0\0\0\0\0alien"))
    with pytest.raises(ModelUnsupported) as caught:
        resolve("tiny-photos", library, plugins, silent)
    assert "alien" in caught.value.message


def test_a_pull_that_fails_leaves_the_name_unknown(library, plugins, source):
    source.weights.unlink()
    with pytest.raises(PullFailed, match="is neither a file nor a folder"):
        resolve("tiny-photos", library, plugins, silent)
    assert library.names() == []
