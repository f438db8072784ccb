"""Settings that are set, settings without effect, plugins, image formats, perceivers and languages."""

import sys

import pytest

from olpipe.checkup.abilities import check_images, check_languages
from olpipe.checkup.report import Section
from olpipe.checkup.surroundings import HIDDEN, check_plugins, check_settings
from olpipe.plugins import Plugins
from olpipe.settings import Settings
from olpipe.testing.install import install_plugin

PERCEIVER = """
from olpipe.hookspecs import hookimpl
from olpipe.interfaces import Perceiver

class Nose(Perceiver):
    name, version = "nose", "7"
    def perceive(self, image):
        raise NotImplementedError
    def translations(self):
        {body}

@hookimpl
def register_perceivers():
    return [Nose()]
"""


def looked(check, *arguments):
    section = Section("a", "A")
    check(section, *arguments)
    return section


def rows_of(section):
    return [(row.state, row.name, row.text) for row in section.rows]


def plugin(folder, text, name="nosy"):
    (folder / f"{name}.py").write_text(text)
    install_plugin(folder, name, name)


def test_settings_that_are_set_are_listed_and_keys_are_hidden(tmp_path):
    (tmp_path / "config.toml").write_text("threads = 3\n")
    environment = {"OLPIPE_HOME": str(tmp_path), "OLPIPE_API_KEY": "a-secret", "OLPIPE_REGISTRY": "off"}
    section = looked(check_settings, environment)
    assert rows_of(section) == [
        ("", "OLPIPE_HOME", f"{tmp_path}, from the environment"),
        ("", "OLPIPE_THREADS", "3, from the config file"),
        ("", "OLPIPE_REGISTRY", "empty, from the environment"),
        ("", "OLPIPE_API_KEY", f"{HIDDEN}, from the environment"),
    ]
    assert "a-secret" not in str(section.facts)
    assert section.steps == []


def test_where_nothing_is_set_that_is_told(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert rows_of(looked(check_settings, {})) == [("", "settings", "all have their defaults")]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("OLPIPE_THREDS", "OLPIPE_THREDS is set, and there is no such setting"),
        ("OLLAMA_FLASH_ATTENTION", "OLLAMA_FLASH_ATTENTION has no effect: ONNX Runtime chooses"),
    ],
)
def test_settings_without_effect_are_worth_a_look(tmp_path, name, said):
    section = looked(check_settings, {"OLPIPE_HOME": str(tmp_path), name: "1"})
    ((state, _, text),) = [row for row in rows_of(section) if row[1] == "no effect"]
    assert state == "note"
    assert text.startswith(said)
    assert section.steps[0].command == "olpipe env"


def test_plugins_that_are_loaded_failed_and_disabled_are_told_apart(plugin_folder, tmp_path):
    plugin(plugin_folder, PERCEIVER.format(body="return {}"), "good")
    plugin(plugin_folder, "raise ImportError('libnose is missing')", "broken")
    plugin(plugin_folder, "", "kept_out")
    settings = Settings(home=tmp_path, plugins_allow=("good", "broken"))
    section = looked(check_plugins, Plugins.load(settings))
    rows = {name: (state, text) for state, name, text in rows_of(section)}
    assert rows["good"] == ("ok", "loaded, from good 1.0")
    assert rows["kept_out"] == ("", "disabled by the settings, from kept_out 1.0")
    assert rows["broken"] == ("note", "could not be loaded: ImportError: libnose is missing")
    assert [step.command for step in section.steps] == ["pip install --upgrade broken"]


def test_without_installed_plugins_only_those_that_ship_are_there(tmp_path):
    section = looked(check_plugins, Plugins())
    assert rows_of(section) == [("", "plugins", "only those that ship with olpipe")]


def test_formats_are_those_that_pillow_reads(tmp_path):
    section = looked(check_images, Plugins.load(Settings(home=tmp_path, plugins_allow=())))
    assert {"JPEG", "PNG", "WebP"} <= set(section.facts["formats"])
    assert ".jpg" in section.facts["suffixes"]
    assert rows_of(section)[-1] == ("", "perceivers", "none: no plugin that is loaded brings one")


def test_a_pillow_without_a_codec_is_worth_a_look(monkeypatch, tmp_path):
    from PIL import features

    before = features.check
    monkeypatch.setattr(features, "check", lambda codec: codec != "avif" and before(codec))
    section = looked(check_images, Plugins.load(Settings(home=tmp_path, plugins_allow=())))
    assert ("note", "formats", "this Pillow was built without AVIF") in rows_of(section)
    assert "AVIF" not in section.facts["formats"]
    assert section.steps


def test_heic_is_there_with_its_extra_only(monkeypatch, tmp_path):
    plugins = Plugins.load(Settings(home=tmp_path, plugins_allow=()))
    assert looked(check_images, plugins).facts["heic"] is True
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    section = looked(check_images, plugins)
    assert section.facts["heic"] is False
    assert ("", "HEIC", "not read: `pip install 'olpipe[heif]'` changes that") in rows_of(section)


def test_perceivers_are_told_with_the_languages_of_their_names(plugin_folder, library, tmp_path):
    plugin(plugin_folder, PERCEIVER.format(body="return {'de': {}, 'fr': {}}"))
    plugins = Plugins.load(Settings(home=tmp_path, plugins_allow=("nosy",)))
    assert ("ok", "perceiver", "nose, version 7") in rows_of(looked(check_images, plugins))
    languages = looked(check_languages, plugins, library)
    assert rows_of(languages) == [("", "languages", "the names of nose: de, en, fr")]


def test_a_perceiver_that_fails_does_not_stop_the_others(plugin_folder, library, tmp_path):
    plugin(plugin_folder, PERCEIVER.format(body="raise OSError('its file is gone')"), "failing")
    plugins = Plugins.load(Settings(home=tmp_path, plugins_allow=("failing",)))
    rows = rows_of(looked(check_languages, plugins, library))
    assert rows[0] == ("note", "nose", "could not be looked at: OSError: its file is gone")
    assert rows[1][1] == "languages"
