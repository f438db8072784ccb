"""Which names lead to a registry: those that no plugin announces, on hosts that none claims."""

from types import ModuleType

import pytest

from olpipe.errors import InvalidName, ModelNotFound, UsageError
from olpipe.hookspecs import hookimpl
from olpipe.interfaces import ModelSource
from olpipe.model import ModelName
from olpipe.plugins import Plugins
from olpipe.settings import Settings
from olpipe.store.library import Library
from olpipe.store.push import find_target
from olpipe.store.resolve import find_source, pull_missing, resolve

PIN = f"sha256:{'0' * 64}"


class Toys(ModelSource):
    """Announces a name and claims a host. It is never asked to bring anything."""

    scheme = "toys"
    hosts = ("toys.example",)

    def names(self):
        return ("haiku",)

    def default_name(self, reference):
        return ModelName.parse(reference)

    def pull(self, reference, name, store, progress):
        raise AssertionError("it is never asked to")


@pytest.fixture
def plugins(monkeypatch):
    monkeypatch.setenv("OLPIPE_REGISTRY", "http://127.0.0.1:1")
    plugins = Plugins.load(Settings(plugins_allow=()))
    made = ModuleType("toys")
    made.register_model_sources = hookimpl(lambda: [Toys()])
    plugins.add(made, "toys")
    plugins.rows = [row for row in plugins.rows if row.status == "loaded"]
    return plugins


@pytest.fixture
def library(tmp_path):
    return Library(tmp_path / "models", cache=tmp_path / "cache")


@pytest.mark.parametrize(
    ("text", "scheme", "reference"),
    [
        ("haiku", "toys", "haiku"),
        ("haiku:7b", "oci", "registry.ollama.ai/library/haiku:7b"),
        ("toys.example/a/b", "toys", "toys.example/a/b"),
        ("llama3.2:1b", "oci", "registry.ollama.ai/library/llama3.2:1b"),
        ("me/llama3", "oci", "registry.ollama.ai/me/llama3:latest"),
        ("Registry.Example:5000/me/llama3", "oci", "registry.example:5000/me/llama3:latest"),
        ("https://registry.example/me/llama3:x", "oci", "registry.example/me/llama3:x"),
        ("https://toys.example/a/b", "toys", "toys.example/a/b"),
        ("oci:haiku", "oci", "haiku"),
        ("file:haiku", "file", "haiku"),
    ],
)
def test_a_name_that_no_plugin_offers_leads_to_a_registry(plugins, text, scheme, reference):
    origin, _ = find_source(text, plugins)
    assert (origin.source.scheme, origin.reference, origin.digest) == (scheme, reference, None)
    insecurely, _ = find_source(text, plugins, insecure=True)
    whole = "registry.ollama.ai/library/haiku:latest" if text == "oci:haiku" else reference
    assert insecurely.reference == (f"http://{whole}" if scheme == "oci" else reference)


def test_a_pin_goes_along(plugins):
    origin, name = find_source(f"llama3@{PIN}", plugins)
    assert (origin.digest, str(name)) == (PIN, "llama3:latest")
    with pytest.raises(InvalidName, match="is not a digest"):
        find_source("llama3@sha256:00", plugins)


def test_plain_http_has_to_be_allowed(plugins):
    with pytest.raises(UsageError, match="plain HTTP") as caught:
        find_source("http://registry.example/me/llama3", plugins)
    assert "--insecure" in caught.value.hint
    origin, _ = find_source("http://registry.example/me/llama3", plugins, insecure=True)
    assert origin.reference == "http://registry.example/me/llama3:latest"


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("llama3", "run `olpipe pull llama3` if the registry has it, or `olpipe pull file:PATH` for your own weights"),
        ("registry.example/me/llama3", "run `olpipe pull registry.example/me/llama3`"),
        ("haikus", "did you mean `haiku:latest`? run `olpipe pull haiku:latest`"),
    ],
)
def test_nothing_is_pulled_from_a_registry_for_a_question_but_the_way_to_it_is_told(plugins, library, text, hint):
    with pytest.raises(ModelNotFound) as caught:
        resolve(text, library, plugins, pytest.fail)
    assert caught.value.hint == hint


def test_where_registries_are_switched_off_no_name_leads_to_one(plugins, library, monkeypatch):
    monkeypatch.setenv("OLPIPE_REGISTRY", "off")
    for text in ("llama3", "registry.example/me/llama3", "https://registry.example/me/llama3"):
        with pytest.raises(ModelNotFound):
            find_source(text, plugins)
    missing = ModelNotFound("not here", hint="do this")
    with pytest.raises(ModelNotFound) as caught:
        pull_missing("llama3", missing, library, plugins, pytest.fail)
    assert caught.value is missing


def test_what_a_plugin_offers_is_not_asked_for_in_a_registry_when_it_is_missing(plugins, library):
    for text in ("haiku", "toys.example/a/b", "pip:weights", "~x"):
        missing = ModelNotFound("not here")
        with pytest.raises(ModelNotFound) as caught:
            pull_missing(text, missing, library, plugins, pytest.fail)
        assert caught.value is missing


def test_a_source_whose_answer_is_no_truth_value_is_not_asked(plugins, caplog):
    source = next(source for source in plugins.model_sources if source.scheme == "toys")
    source.may_have = lambda name: "perhaps"
    origin, _ = find_source("llama3", plugins)
    assert origin.source.scheme == "oci"
    assert (
        "`may_have` gave 'perhaps' where a truth value is expected; it is not asked for `llama3:latest`" in caplog.text
    )


def test_a_model_is_pushed_to_the_source_that_claims_its_host_and_else_to_a_registry(plugins):
    for text, scheme, reference in (
        ("toys.example/a/b", "toys", "toys.example/a/b:latest"),
        ("haiku", "oci", "registry.ollama.ai/library/haiku:latest"),
        ("registry.example/a/b:c", "oci", "registry.example/a/b:c"),
    ):
        target = find_target(ModelName.parse(text), plugins)
        assert (target.source.scheme, target.reference) == (scheme, reference)
    assert (
        find_target(ModelName.parse("r.example/a/b"), plugins, insecure=True).reference == "http://r.example/a/b:latest"
    )
