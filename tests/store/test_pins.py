"""Names with `@sha256:…` behind them: the model that is pulled has that digest, or none is kept."""

from types import ModuleType

import pytest

from olpipe.errors import DigestMismatch, InvalidName, ModelNotFound
from olpipe.hookspecs import hookimpl
from olpipe.interfaces import ModelSource
from olpipe.model import ModelName
from olpipe.plugins import Plugins
from olpipe.settings import Settings
from olpipe.store.library import Library
from olpipe.store.packages import add_package
from olpipe.store.pull import pull
from olpipe.store.resolve import find_source
from olpipe.testing.models import write_tiny_gguf

WRONG = f"sha256:{'0' * 64}"


class Toys(ModelSource):
    """Announces a name, claims a host, and writes down what it is asked for."""

    scheme = "toys"
    hosts = ("toys.example",)

    def __init__(self, weights):
        self.weights = weights
        self.asked = []

    def names(self):
        return ("haiku",)

    def default_name(self, reference):
        return ModelName.parse("haiku")

    def pull(self, reference, name, store, progress):
        self.asked.append(reference)
        add_package(self.weights, name, store, progress)


@pytest.fixture
def toys(tmp_path):
    return Toys(write_tiny_gguf(tmp_path / "tiny.gguf"))


@pytest.fixture
def plugins(toys):
    plugins = Plugins.load(Settings(plugins_allow=()))
    made = ModuleType("toys")
    made.register_model_sources = hookimpl(lambda: [toys])
    plugins.add(made, "toys")
    return plugins


@pytest.fixture
def library(tmp_path):
    return Library(tmp_path / "models", cache=tmp_path / "cache")


@pytest.fixture
def bring(library, plugins):
    """Pull as `olpipe pull` does, and return the model."""

    def bring(text):
        origin, name = find_source(text, plugins)
        return pull(origin, name, library, plugins, progress=lambda progress: None)

    return bring


@pytest.mark.parametrize(
    ("text", "reference", "name"),
    [
        ("haiku", "haiku", "haiku:latest"),
        ("haiku:latest", "haiku", "haiku:latest"),
        ("toys.example/poems/errors:v2", "toys.example/poems/errors:v2", "toys.example/poems/errors:v2"),
        ("TOYS.example/poems/errors", "toys.example/poems/errors", "toys.example/poems/errors:latest"),
    ],
)
def test_a_pinned_name_is_pulled_when_the_digest_is_the_models(bring, toys, library, text, reference, name):
    digest = bring(text).digest
    library.remove(ModelName.parse(name))
    for pin in (digest, digest.upper().replace("SHA256", "sha256")):
        bundle = bring(f"{text}@{pin}")
        assert (str(bundle.name), bundle.digest) == (name, digest)
    assert toys.asked == [reference] * 3


@pytest.mark.parametrize("text", ["haiku", "toys.example/poems/errors:v2"])
def test_a_model_with_another_digest_is_refused_in_one_line_and_not_kept(bring, library, text):
    with pytest.raises(DigestMismatch) as caught:
        bring(f"{text}@{WRONG}")
    assert library.names() == []
    digest = bring(text).digest
    assert caught.value.message == f"`{text}` has the digest {digest}, not {WRONG}"
    assert caught.value.hint == "its source has another version of it: pull it without `@sha256:…` to take that one"


def test_a_model_that_is_here_stays_when_its_source_has_another_digest(bring, library):
    before = bring("haiku")
    with pytest.raises(DigestMismatch):
        bring(f"haiku@{WRONG}")
    assert library.get(ModelName.parse("haiku")) == before
    assert list(before.cache.iterdir())


@pytest.mark.parametrize("pin", ["sha256:1111", "sha256:", f"sha256:{'g' * 64}"])
def test_a_pin_that_is_no_digest_is_refused_before_anything_is_pulled(bring, toys, pin):
    with pytest.raises(InvalidName) as caught:
        bring(f"haiku@{pin}")
    assert caught.value.message == f"`{pin}` in `haiku@{pin}` is not a digest"
    assert caught.value.hint == "a digest is `sha256:` and 64 hex digits"
    assert toys.asked == []


@pytest.mark.parametrize("text", [f"toys:errors@{WRONG}", "pip:weights@sha256:1111"])
def test_behind_a_scheme_the_pin_belongs_to_the_source(library, plugins, text):
    origin, name = find_source(text, plugins)
    assert (origin.reference, origin.digest, name) == (text.partition(":")[2], None, None)


def test_a_pinned_name_that_nobody_offers_is_not_found(library, plugins):
    with pytest.raises(ModelNotFound) as caught:
        find_source(f"haikus@{WRONG}", plugins)
    assert caught.value.message == f"no source has a model `haikus@{WRONG}`"
    assert caught.value.hint == "did you mean `haiku:latest`?"
