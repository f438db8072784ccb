"""`olpipe env`: every setting, its value and its source."""

import json
from dataclasses import fields

import pytest

from olpipe.cli.main import main
from olpipe.settings import Settings


@pytest.fixture
def env(capsys):
    def run(*arguments):
        with pytest.raises(SystemExit) as ended:
            main(["env", *arguments])
        assert ended.value.code == 0
        return capsys.readouterr()

    return run


def test_each_setting_stands_with_its_value_and_source(env, monkeypatch, isolated_home):
    isolated_home.mkdir()
    (isolated_home / "config.toml").write_text('threads = 3\ndisable_plugins = ["a", "b"]')
    monkeypatch.setenv("OLLAMA_HOST", "0.0.0.0")
    rows = {line.split()[0]: line.split()[1:] for line in env().out.splitlines()}
    assert [name for name in rows if name != "NAME"] == [setting.metadata["env"] for setting in fields(Settings)]
    assert rows["OLLAMA_HOST"] == ["http://0.0.0.0:11434", "environment"]
    assert rows["OLPIPE_THREADS"] == ["3", "config", "file"]
    assert rows["OLPIPE_DISABLE_PLUGINS"] == ["a,b", "config", "file"]
    assert rows["OLPIPE_DEBUG"] == ["false", "default"]
    assert rows["OLLAMA_MODELS"] == ["default"]


def test_json_has_the_same(env, monkeypatch):
    monkeypatch.setenv("OLLAMA_ORIGINS", "http://a,http://b")
    rows = {row["name"]: row for row in json.loads(env("--json").out)}
    assert list(rows) == [setting.metadata["env"] for setting in fields(Settings)]
    assert rows["OLLAMA_ORIGINS"]["value"] == ["http://a", "http://b"]
    assert rows["OLLAMA_ORIGINS"]["source"] == "environment"
    assert rows["OLLAMA_MAX_QUEUE"] == {
        "name": "OLLAMA_MAX_QUEUE",
        "value": 512,
        "source": "default",
        "meaning": "Most requests that may wait for one model; 0 allows any number",
    }


def test_keys_are_hidden(env, monkeypatch):
    monkeypatch.setenv("OLPIPE_API_KEY", "open-sesame,hunter2")
    for arguments in ((), ("--json",)):
        told = env(*arguments)
        assert "sesame" not in told.out + told.err
        assert "hunter2" not in told.out + told.err
        assert "********" in told.out


def test_what_has_no_effect_is_explained_beside_the_data(env, monkeypatch):
    monkeypatch.setenv("OLLAMA_FLASH_ATTENTION", "1")
    told = env("--json")
    assert told.err == "note: OLLAMA_FLASH_ATTENTION has no effect: ONNX Runtime chooses how attention is computed\n"
    assert "OLLAMA_FLASH_ATTENTION" not in told.out
