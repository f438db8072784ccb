"""Who is asked first: pluggy's order, and pluggy's wrappers."""

import sys
from pathlib import Path
from types import ModuleType

import pytest

from olpipe.errors import ModelUnsupported, PluginError, UnknownName
from olpipe.hookspecs import hookimpl
from olpipe.model import ModelBundle, ModelName
from olpipe.plugins import Plugins
from olpipe.settings import Settings
from olpipe.store.build import backend_for, refusal
from olpipe.testing.echo import EchoBackend
from olpipe.testing.fixtures import plugin_folder
from olpipe.testing.install import install_plugin

__all__ = ["plugin_folder"]

BACKEND = """
from olpipe.hookspecs import hookimpl
from olpipe.testing.echo import EchoBackend

class Any(EchoBackend):
    name = "{name}"
    def refuses(self, bundle):
        return {reason!r}

@hookimpl({options})
def register_backends():
    return [Any()]
"""
WRAPPER = """
from olpipe.hookspecs import hookimpl
from olpipe.testing.echo import EchoBackend

class Added(EchoBackend):
    name = "added"

@hookimpl(wrapper=True)
def {hook}():
    results = yield
    {body}
"""
BUNDLE = ModelBundle(ModelName.parse("tiny"), "sha256:0", Path("nowhere"), Path("nowhere"))


@pytest.fixture
def install(plugin_folder, monkeypatch):
    """Write a module and announce it as a plugin."""

    def install(name, source):
        module = f"plugin_in_order_{name}"
        (plugin_folder / f"{module}.py").write_text(source)
        install_plugin(plugin_folder, name, module)
        monkeypatch.delitem(sys.modules, module, raising=False)

    return install


@pytest.fixture
def load(tmp_path, caplog):
    """Load the default plugins and those that the test installed; return them and the warnings."""

    def load(*names):
        caplog.clear()
        plugins = Plugins.load(Settings(home=tmp_path, plugins_allow=names))
        return plugins, [record.getMessage() for record in caplog.records]

    return load


def install_backends(install, **options):
    for name, option in options.items():
        install(name, BACKEND.format(name=name, reason=None, options=option))


def test_what_ships_keeps_its_order(load):
    plugins, _ = load()
    assert plugins.image_loaders.names() == ("pillow", "heif", "raw")
    assert plugins.backends.names() == ("onnx", "ort-genai")
    assert plugins.model_sources.names() == ("file", "pip", "hf", "oci")
    assert plugins.tasks.names() == ("photo", "data")


def test_a_plugin_is_asked_before_what_ships_and_wins(load, install):
    install_backends(install, mine="")
    plugins, _ = load("mine")
    assert plugins.backends.names() == ("mine", "onnx", "ort-genai")
    assert backend_for(BUNDLE, plugins.backends).name == "mine"


def test_tryfirst_and_trylast_are_heard(load, install):
    install_backends(install, a="trylast=True", b="tryfirst=True", c="")
    plugins, _ = load("a", "b", "c")
    assert plugins.backends.names() == ("b", "c", "onnx", "ort-genai", "a")
    assert backend_for(BUNDLE, plugins.backends).name == "b"


def test_things_of_one_plugin_keep_their_order_wherever_it_stands(load, install):
    two = "\nclass Other(Any):\n    name = 'other'\n@hookimpl\ndef register_backends():\n    return [Other(), Any()]\n"
    install("mine", BACKEND.format(name="mine", reason=None, options="") + two)
    assert load("mine")[0].backends.names() == ("other", "mine", "onnx", "ort-genai")


@pytest.mark.parametrize(
    ("body", "names"),
    [
        ("return results", ("onnx", "ort-genai")),
        ("return results[::-1]", ("ort-genai", "onnx")),
        ("return [[one for one in result if one.name != 'onnx'] for result in results]", ("ort-genai",)),
        ("return [[Added()], *results]", ("added", "onnx", "ort-genai")),
        ("results.clear(); return results", ()),
    ],
)
def test_a_wrapper_gets_what_all_plugins_brought_and_decides_what_there_is(load, install, body, names):
    install("wrapping", WRAPPER.format(hook="register_backends", body=body))
    plugins, warnings = load("wrapping")
    assert (plugins.backends.names(), warnings) == (names, [])
    assert plugins.backends.from_plugin("wrapping") == tuple(name for name in names if name == "added")
    assert plugins.tasks.names() == ("photo", "data")


def test_wrappers_are_put_around_each_other_the_last_loaded_outside(load, install, capsys):
    seen = "print([one.name for result in results for one in result])"
    inner = f"{seen}; return [[Added()], *results]"
    outer = f"{seen}; return [result for result in results if result[0].name != 'onnx']"
    install("a_inner", WRAPPER.format(hook="register_backends", body=inner))
    install("b_outer", WRAPPER.format(hook="register_backends", body=outer))
    assert load("a_inner", "b_outer")[0].backends.names() == ("added", "ort-genai")
    assert capsys.readouterr().out == "['onnx', 'ort-genai']\n['added', 'onnx', 'ort-genai']\n"


def test_a_wrapper_is_run_once(load, install, capsys):
    install("wrapping", WRAPPER.format(hook="register_backends", body="print('ran'); return results"))
    install_backends(install, other="")
    load("wrapping", "other")
    assert capsys.readouterr().out == "ran\n"


def test_a_wrapper_of_the_old_style_works_too(load, install):
    source = WRAPPER.format(hook="register_backends", body="results.force_result([[Added()]])")
    install("wrapping", source.replace("wrapper=True", "hookwrapper=True"))
    assert load("wrapping")[0].backends.names() == ("added",)


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("return [['x']]", "PluginError: plugin `bad` registered a str where a backend is expected"),
        ("return [results[0], results[0]]", "NameTaken: plugins `onnx` and `onnx` both register the backend `onnx`"),
        ("return 5", "PluginError: plugin `bad` returned one int from its wrapper of `register_backends`: return "),
        (
            "return [5]",
            "PluginError: plugin `bad` returned one int from its wrapper of `register_backends`, among others",
        ),
        ("return", "PluginError: plugin `bad` returned nothing from its wrapper of `register_backends`: return "),
        ("yield", "RuntimeError: "),
    ],
)
def test_a_wrapper_that_fails_is_one_warning_and_the_rest_works(load, install, body, error):
    install("bad", WRAPPER.format(hook="register_backends", body=body))
    install("good", WRAPPER.format(hook="register_backends", body="return [[Added()], *results]"))
    plugins, warnings = load("bad", "good")
    row = next(row for row in plugins.rows if row.name == "bad")
    assert (row.status, row.error[: len(error)]) == ("failed", error)
    assert warnings == [f"plugin `bad` could not be loaded: {row.error}"]
    assert plugins.backends.names() == ("added", "onnx", "ort-genai")


def test_a_plugin_whose_hook_fails_is_one_warning_and_the_wrappers_of_others_work(load, install):
    install("bad", "from olpipe.hookspecs import hookimpl\n@hookimpl\ndef register_backends():\n    return 1 / 0\n")
    install("good", WRAPPER.format(hook="register_backends", body="return [[Added()], *results]"))
    plugins, warnings = load("bad", "good")
    assert warnings == ["plugin `bad` could not be loaded: ZeroDivisionError: division by zero"]
    assert plugins.backends.names() == ("added", "onnx", "ort-genai")


def test_a_module_that_is_added_with_a_wrapper_that_fails_is_an_error_and_changes_nothing(load):
    plugins, _ = load()
    module = ModuleType("bad")

    def fail():
        yield
        raise ValueError("no luck")

    module.register_backends = hookimpl(fail, wrapper=True)
    with pytest.raises(PluginError) as caught:
        plugins.add(module, "bad")
    assert caught.value.message == "the wrapper `fail` of the plugin `bad` failed: ValueError: no luck"
    assert plugins.backends.names() == ("onnx", "ort-genai")


def test_a_module_that_is_added_is_asked_first(load):
    plugins, _ = load()
    module = ModuleType("echo")
    module.register_backends = hookimpl(lambda: [EchoBackend()])
    plugins.add(module, "echo")
    assert plugins.backends.names() == ("echo", "onnx", "ort-genai")


def test_the_backend_that_is_asked_for_runs_the_model_whoever_comes_first(load, install):
    install_backends(install, one="tryfirst=True", two="")
    backends = load("one", "two")[0].backends
    assert backend_for(BUNDLE, backends, "two").name == "two"
    with pytest.raises(ModelUnsupported) as caught:
        backend_for(BUNDLE, backends, "ort-genai")
    assert caught.value.message == "the backend `ort-genai` cannot run `tiny:latest`: it has no genai_config.json"
    assert caught.value.hint == "it runs on `one`, `two`"
    with pytest.raises(UnknownName, match="no backend is called `ort`"):
        backend_for(BUNDLE, backends, "ort")


def test_a_model_that_nobody_runs_is_told_with_every_reason(load, install):
    install("shy", BACKEND.format(name="shy", reason="not today", options=""))
    plugins, _ = load("shy")
    backends = plugins.backends
    with pytest.raises(ModelUnsupported) as caught:
        backend_for(BUNDLE, backends)
    assert caught.value.message.startswith("no backend can run `tiny:latest` (`shy`: not today; `onnx`: it has ")
    assert caught.value.hint == f"`olpipe plugins` shows what is installed{plugins.not_loaded}"
    with pytest.raises(ModelUnsupported) as caught:
        backend_for(BUNDLE, backends, "shy")
    assert caught.value.hint == "no other backend here runs it either"


def test_a_backend_that_fails_when_it_is_asked_is_passed_over_with_a_warning(load, install, caplog):
    failing = BACKEND.format(name="bad", reason=None, options="").replace("return None", "return 1 / 0")
    install("bad", failing)
    install_backends(install, able="trylast=True")
    backends = load("bad", "able")[0].backends
    said = "the backend `bad` of the plugin `bad` failed: ZeroDivisionError: division by zero"
    assert backend_for(BUNDLE, backends).name == "able"
    assert [record.getMessage() for record in caplog.records] == [said]
    with pytest.raises(ModelUnsupported) as caught:
        backend_for(BUNDLE, backends, "bad")
    assert caught.value.message == f"the backend `bad` cannot run `tiny:latest`: {said}"


@pytest.mark.parametrize(
    ("reason", "said"),
    [
        ("too\nlarge  by far\n", "too large by far"),
        ("", "it does not say why"),
        (" \n", "it does not say why"),
    ],
)
def test_a_reason_is_one_line_whatever_a_backend_gives(load, install, reason, said, caplog):
    install("bad", BACKEND.format(name="bad", reason=reason, options=""))
    assert refusal("bad", load("bad")[0].backends, BUNDLE) == said
    assert caplog.records == []


@pytest.mark.parametrize("reason", [False, True, ["too large"], 0])
def test_a_reason_that_is_no_text_is_a_fault_of_the_backend(load, install, reason, caplog):
    install("bad", BACKEND.format(name="bad", reason=reason, options=""))
    said = f"the backend `bad` of the plugin `bad` failed: `refuses` gave {reason!r} where a text or None is expected"
    assert refusal("bad", load("bad")[0].backends, BUNDLE) == said
    assert [record.getMessage() for record in caplog.records] == [said]
