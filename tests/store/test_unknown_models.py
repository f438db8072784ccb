"""What is said of a model that is neither here nor to be had, and what to do then."""

from types import ModuleType

import pytest

from olpipe.errors import InvalidName, ModelNotFound
from olpipe.hookspecs import hookimpl
from olpipe.interfaces import ModelSource
from olpipe.model import ModelConfig, ModelName
from olpipe.plugins import PluginRow, Plugins
from olpipe.settings import Settings
from olpipe.store.library import Library
from olpipe.store.resolve import find_source, resolve

PIN = f"sha256:{'0' * 64}"


class Toys(ModelSource):
    """Announces a name and claims two hosts; it has no good name for `toys:nameless`."""

    scheme = "toys"
    hosts = ("toys.example", "localhost")

    def names(self):
        return ("haiku",)

    def default_name(self, reference):
        return {}[reference] if reference == "nameless" else ModelName.parse(f"toys.example/poems/{reference}")

    def pull(self, reference, name, store, progress):
        raise AssertionError("it is never asked to")


@pytest.fixture
def bare():
    """Plugins that ship, and none that is not loaded."""
    plugins = Plugins.load(Settings(plugins_allow=()))
    plugins.rows = [row for row in plugins.rows if row.status == "loaded"]
    return plugins


@pytest.fixture
def plugins(bare):
    made = ModuleType("toys")
    made.register_model_sources = hookimpl(lambda: [Toys()])
    bare.add(made, "toys")
    return bare


@pytest.fixture
def library(tmp_path):
    library = Library(tmp_path / "models", cache=tmp_path / "cache")
    for name in ("my-model", "kept.example/poems/errors:v2"):
        library.commit(ModelName.parse(name), ModelConfig(), [])
    return library


def asked(ask, text, *others):
    with pytest.raises(ModelNotFound) as caught:
        ask(text, *others)
    return caught.value.message, caught.value.hint


HOSTS = "claimed hosts are `toys.example`, `localhost`, `hf.co`, `huggingface.co`"


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("haikus", "did you mean `haiku:latest`? run `olpipe pull haiku:latest`"),
        ("haiku:7b", "did you mean `haiku:latest`? run `olpipe pull haiku:latest`"),
        ("my-modle", "did you mean `my-model:latest`?"),
        ("my-model:7b-instruct", "did you mean `my-model:latest`?"),
        ("abc", "run `olpipe pull haiku:latest`, or `olpipe pull file:PATH` for your own weights"),
        ("qqqqqq", "run `olpipe pull haiku:latest`, or `olpipe pull file:PATH` for your own weights"),
        ("pip:weights", "run `olpipe pull pip:weights`, then use its name `weights:latest`"),
        ("toys:errors:v2", "run `olpipe pull toys:errors:v2`, then use its name `toys.example/poems/errors:v2`"),
        (f"toys:x@{PIN}", f"run `olpipe pull toys:x@{PIN}`, then use the name that it gets"),
        ("toys:nameless", "run `olpipe pull toys:nameless`, then use the name that it gets"),
        ("toys:", "run `olpipe pull toys:REFERENCE`, then use the name that it gets"),
        (f"haiku@{PIN}", f"run `olpipe pull haiku@{PIN}`, then use its name `haiku:latest`"),
        ("other.example/poems/nix", f"no plugin claims the host `other.example`; {HOSTS}"),
        ("kept.example/poems/error:v2", "did you mean `kept.example/poems/errors:v2`?"),
    ],
)
def test_a_model_that_is_not_here_is_one_line_and_the_way_on(library, plugins, text, hint):
    found = asked(resolve, text, library, plugins, pytest.fail)
    assert found == (f"model `{text}` is not on this machine", hint)


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("toys.example/errors:v2", "a name on the host `toys.example` is `toys.example/NAMESPACE/errors:v2`"),
        ("TOYS.example/errors", "a name on the host `toys.example` is `toys.example/NAMESPACE/errors`"),
        ("other.example/errors", "a name on the host `other.example` is `other.example/NAMESPACE/errors`"),
        ("../x", "names look like `namespace/model:tag`"),
        ("x@y", "names look like `namespace/model:tag`"),
    ],
)
def test_what_is_no_name_is_said_to_be_none_with_the_part_that_is_missing(library, plugins, text, hint):
    with pytest.raises(InvalidName) as caught:
        resolve(text, library, plugins, pytest.fail)
    assert (caught.value.message, caught.value.hint) == (f"`{text}` is not a model name", hint)


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("haikus", "did you mean `haiku:latest`?"),
        ("haiku:7b", "did you mean `haiku:latest`?"),
        ("my-model", "run `olpipe pull haiku:latest`, or `olpipe pull file:PATH` for your own weights"),
        ("toys.example/errors:v2", "a name on the host `toys.example` is `toys.example/NAMESPACE/errors:v2`"),
        ("localhost/errors", "a name on the host `localhost` is `localhost/NAMESPACE/errors`"),
        ("other.example/poems/nix", f"no plugin claims the host `other.example`; {HOSTS}"),
        ("kept.example/poems/errors:v2", f"no plugin claims the host `kept.example`; {HOSTS}"),
        ("other.example/nix:x", f"no plugin claims the host `other.example`; {HOSTS}"),
        ("toyz:x:y", f"sources are `toys:`, `file:`, `pip:`, `hf:`, `oci:`; {HOSTS}"),
    ],
)
def test_a_model_that_no_source_has_is_one_line_and_the_way_on(library, plugins, text, hint):
    assert asked(find_source, text, plugins) == (f"no source has a model `{text}`", hint)


def test_a_name_with_an_unknown_tag_is_taken_for_a_name_where_a_source_has_the_same(library, bare):
    source = Toys()
    source.names = lambda: ("toys",)
    bare.model_sources.register(source, "toys")
    found = asked(resolve, "toys:lates", library, bare, pytest.fail)
    hint = "did you mean `toys:latest`? run `olpipe pull toys:latest`"
    assert found == ("model `toys:lates` is not on this machine", hint)


def test_without_a_plugin_the_way_on_is_a_file(library, bare):
    said = "run `olpipe pull file:PATH` for your own weights"
    assert asked(resolve, "qqqqqq", library, bare, pytest.fail)[1] == f"{said}; `olpipe list` shows what is here"
    assert asked(find_source, "qqqqqq", bare)[1] == said
    claimed = "claimed hosts are `hf.co`, `huggingface.co`"
    assert asked(find_source, "a.example/b/c", bare)[1] == f"no plugin claims the host `a.example`; {claimed}"
    assert asked(find_source, "a/b/c/d", bare)[1] == f"sources are `file:`, `pip:`, `hf:`, `oci:`; {claimed}"


@pytest.mark.parametrize("text", ["qqqqqq", "other.example/poems/nix"])
def test_plugins_that_are_not_loaded_are_told(library, plugins, text):
    for ask in (resolve, find_source):
        plugins.rows = [row for row in plugins.rows if row.status == "loaded"]
        others = (plugins,) if ask is find_source else (library, plugins, pytest.fail)
        before = asked(ask, text, *others)[1]
        plugins.rows += [PluginRow("poems", "", "", status="disabled"), PluginRow("bad", "", "", status="failed")]
        assert asked(ask, text, *others)[1] == f"{before}; not loaded: `poems` (disabled), `bad` (failed)"


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("my-model:7b-instruct", "did you mean `my-model:latest`?"),
        ("my-modle", "did you mean `my-model:latest`?"),
        ("kept.example/poems/errors:v3", "did you mean `kept.example/poems/errors:v2`?"),
        ("nope", "`olpipe list` shows all"),
        ("phi3", "`olpipe list` shows all"),
    ],
)
def test_a_model_that_is_to_be_shown_and_is_not_here_is_offered_by_what_it_is_called(library, text, hint):
    with pytest.raises(ModelNotFound) as caught:
        library.get(ModelName.parse(text))
    assert caught.value.hint == hint


def test_the_hint_for_another_tag_is_a_command_that_works(library, bare):
    source = Toys()
    source.scheme = "toy"
    source.names = lambda: ("toy",)
    source.hosts = ()
    bare.model_sources.register(source, "toys")
    hint = asked(resolve, "toy:7b", library, bare, pytest.fail)[1]
    assert hint == "did you mean `toy:latest`? run `olpipe pull toy:latest`"
    assert str(find_source("toy:latest", bare)[1]) == "toy:latest"


def test_a_short_name_of_the_catalogue_that_is_nearly_right_is_offered(library, bare):
    hint = "did you mean `smolvlm:256m` or `smolvlm:500m`?"
    assert asked(find_source, "smolvlm:500n", bare)[1] == hint
    assert asked(resolve, "smolvlm:500n", library, bare, pytest.fail)[1] == f"{hint} run `olpipe pull smolvlm:256m`"
