"""What sources say of themselves, and who is told when it cannot be used."""

import pytest

from olpipe.errors import InvalidName, PluginError
from olpipe.interfaces import ModelSource
from olpipe.model import ModelName
from olpipe.plugins import Plugins
from olpipe.store.sources import Origin, default_name, offers


class Toys(ModelSource):
    """Says what the test gives it; what is an error is raised."""

    scheme = "toys"

    def __init__(self, *, names=(), hosts=(), name=None):
        self._names = names
        self.claims = hosts
        self._name = name

    @property
    def hosts(self):
        if isinstance(self.claims, Exception):
            raise self.claims
        return self.claims

    def names(self):
        if isinstance(self._names, Exception):
            raise self._names
        return self._names

    def default_name(self, reference):
        if isinstance(self._name, Exception):
            raise self._name
        return self._name

    def pull(self, reference, name, store, progress):
        raise AssertionError("it is never asked to")


@pytest.fixture
def offered(caplog):
    """Return what sources offer, and the warnings."""

    def offered(*sources):
        plugins = Plugins()
        for source in sources:
            plugins.model_sources.register(source, "stranger")
        return offers(plugins), [record.getMessage() for record in caplog.records]

    return offered


def name_of(source):
    plugins = Plugins()
    plugins.model_sources.register(source, "stranger")
    return default_name(Origin(source, "errors"), plugins)


def test_a_source_names_what_it_brings():
    assert name_of(Toys(name=ModelName.parse("errors"))) == ModelName.parse("errors")


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        (ValueError("bad\nand worse"), "ValueError: bad"),
        ("errors", "`default_name` gave a str where a `ModelName` is expected"),
        (None, "`default_name` gave a NoneType where a `ModelName` is expected"),
    ],
)
def test_a_default_name_that_cannot_be_used_is_the_fault_of_the_source(name, reason):
    with pytest.raises(PluginError) as caught:
        name_of(Toys(name=name))
    assert caught.value.message == f"the model source `toys` of the plugin `stranger` failed: {reason}"


def test_an_error_that_a_source_raises_on_purpose_stays_what_it_is():
    error = InvalidName("`!` cannot be turned into a model name")
    with pytest.raises(InvalidName) as caught:
        name_of(Toys(name=error))
    assert caught.value is error


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        (KeyError("x"), "KeyError: 'x'"),
        (5, "`names` gave 5 where a tuple of texts is expected"),
        (None, "`names` gave None where a tuple of texts is expected"),
        ("errors", "`names` gave 'errors' where a tuple of texts is expected"),
        ((1,), "`names` gave (1,) where a tuple of texts is expected"),
        (["not/a/name/at/all"], "`names` gave `not/a/name/at/all`, which is not a model name"),
    ],
)
def test_announced_names_that_cannot_be_used_are_one_warning_and_the_others_are_known(offered, names, reason):
    good = Toys(names=["haiku"])
    good.scheme = "good"
    found, warnings = offered(Toys(names=names), good)
    assert list(found.names) == [ModelName.parse("haiku")]
    said = f"the model source `toys` of the plugin `stranger` failed: {reason}"
    assert warnings == [f"{said}; the names that it announces are left out"]


@pytest.mark.parametrize(
    ("hosts", "reason"),
    [
        (KeyError("x"), "KeyError: 'x'"),
        ("toys.example", "`hosts` is 'toys.example' where a tuple of texts is expected"),
    ],
)
def test_hosts_that_cannot_be_used_are_one_warning_and_the_others_are_known(hosts, reason, caplog):
    good, bad = Toys(hosts=("good.example",)), Toys()
    good.scheme = "good"
    plugins = Plugins()
    for source in (bad, good):
        plugins.model_sources.register(source, "stranger")
    bad.claims = hosts  # they were right when it was registered
    assert list(offers(plugins).hosts) == ["good.example"]
    said = f"the model source `toys` of the plugin `stranger` failed: {reason}"
    assert [record.getMessage() for record in caplog.records] == [f"{said}; the hosts that it claims are left out"]


def test_names_may_be_made_one_by_one(offered):
    found, _ = offered(Toys(names=(text for text in ("a", "b"))))
    assert list(found.names) == [ModelName.parse("a"), ModelName.parse("b")]


def test_the_first_source_that_announces_a_name_or_claims_a_host_has_it(offered):
    first, second = (Toys(names=["haiku"], hosts=("toys.example",)) for _ in range(2))
    second.scheme = "second"
    found, _ = offered(first, second)
    assert found.origin_of(ModelName.parse("haiku"), "haiku")[0].source is first
    assert found.origin_of(ModelName.parse("toys.example/a/b"), "toys.example/a/b")[0].source is first


@pytest.mark.parametrize(
    ("text", "reference", "name"),
    [
        ("toys.example/a/b", "toys.example/a/b", "toys.example/a/b:latest"),
        ("toys.example/a/b:c", "toys.example/a/b:c", "toys.example/a/b:c"),
        ("TOYS.Example/a/B:C", "toys.example/a/B:C", "toys.example/a/B:C"),
        ("Hub.example:8080/a/b", "Hub.Example:8080/a/b", "Hub.Example:8080/a/b:latest"),
        ("b:c", "registry.ollama.ai/library/b:c", "b:c"),
        ("a/b", "registry.ollama.ai/a/b", "a/b:latest"),
    ],
)
def test_a_source_gets_the_whole_name_with_the_host_as_it_claims_it(offered, text, reference, name):
    source = Toys(hosts=("toys.example", "Hub.Example:8080", "registry.ollama.ai"))
    origin, usual = offered(source)[0].origin_of(ModelName.parse(text), text)
    assert (origin, usual) == (Origin(source, reference), ModelName.parse(name))


def test_a_source_gets_an_announced_name_as_it_announced_it(offered):
    source = Toys(names=["toys.example/a/b"])
    origin, usual = offered(source)[0].origin_of(ModelName.parse("TOYS.example/a/b:latest"), "TOYS.example/a/b:latest")
    assert (origin, usual) == (Origin(source, "toys.example/a/b"), ModelName.parse("toys.example/a/b"))


def test_what_nobody_offers_comes_from_nowhere(offered):
    found, _ = offered(Toys(names=["haiku"], hosts=("toys.example",)))
    for text in ("haiku:2", "other.example/a/b", "toys.example"):
        assert found.origin_of(ModelName.parse(text), text) is None
