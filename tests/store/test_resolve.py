from types import ModuleType

import pytest

from olpipe.errors import InvalidName, ModelNotFound, ModelUnsupported, PullFailed
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


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("tiny-photo", "did you mean `tiny-photos:latest`? run `olpipe pull tiny-photos:latest`"),
        ("my-modle", "did you mean `my-model:latest`?"),
        ("pip:weights", "run `olpipe pull pip:weights`"),
        ("qqqqqq", "run `olpipe pull tiny-photos:latest`, or `olpipe pull file:PATH` for your own weights"),
    ],
)
def test_an_unknown_model_is_one_line_and_the_way_on(library, plugins, text, hint):
    library.commit(ModelName.parse("my-model"), ModelConfig(), [])
    with pytest.raises(ModelNotFound) as caught:
        resolve(text, library, plugins, silent)
    assert (caught.value.message, caught.value.hint) == (f"model `{text}` is not on this machine", hint)


def test_what_is_no_name_is_said_to_be_none(library, plugins):
    with pytest.raises(InvalidName, match=r"`\.\./x` is not a model name"):
        resolve("../x", library, plugins, silent)


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
