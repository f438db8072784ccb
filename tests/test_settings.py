"""Settings: the environment first, then the config file, then what is usual."""

from dataclasses import fields
from pathlib import Path

import pytest

from olpipe.errors import UsageError
from olpipe.settings import Settings, debugging, unknown_settings


@pytest.fixture
def config(tmp_path):
    """Write the config file of a home folder and return that folder."""

    def write(text: str | bytes) -> Path:
        (tmp_path / "config.toml").write_bytes(text.encode() if isinstance(text, str) else text)
        return tmp_path

    return write


def read(home: Path, **environment: str) -> Settings:
    return Settings.read({"OLPIPE_HOME": str(home), **environment})


def test_without_anything_set_every_setting_takes_its_default(tmp_path):
    assert read(tmp_path) == Settings(home=tmp_path)
    assert Settings.read({}).home == Path.home() / ".olpipe"


@pytest.mark.parametrize(
    ("name", "text", "setting", "value"),
    [
        ("OLLAMA_MODELS", "/data/models", "models", Path("/data/models")),
        ("OLLAMA_MODELS", " '/data/models' ", "models", Path("/data/models")),
        ("OLLAMA_MODELS", "~/models", "models", Path.home() / "models"),
        ("OLPIPE_DEBUG", "1", "debug", True),
        ("OLPIPE_DEBUG", "TRUE", "debug", True),
        ("OLPIPE_DEBUG", "False", "debug", False),
        ("OLPIPE_DEBUG", "0", "debug", False),
        ("OLPIPE_DEBUG", "off", "debug", False),
        ("OLPIPE_DEBUG", "", "debug", False),
        ("OLPIPE_PLUGINS", "", "plugins_allow", ()),
        ("OLPIPE_PLUGINS", "echo, 'photo-mini',", "plugins_allow", ("echo", "photo-mini")),
        ("OLPIPE_DISABLE_PLUGINS", "echo", "plugins_deny", ("echo",)),
        ("OLPIPE_THREADS", "3", "threads", 3),
        ("OLPIPE_THREADS", '"3"', "threads", 3),
        ("OLLAMA_CONTEXT_LENGTH", "4096", "context_length", 4096),
        ("OLLAMA_MAX_LOADED_MODELS", "5", "max_loaded", 5),
        ("OLLAMA_MAX_LOADED_MODELS", "0", "max_loaded", 0),
        ("OLLAMA_MAX_QUEUE", "32", "max_queue", 32),
        ("OLLAMA_MAX_QUEUE", "0", "max_queue", 0),
        ("OLLAMA_NUM_PARALLEL", "4", "slots", 4),
        ("OLPIPE_MEMORY_LIMIT", "2048", "memory_limit", 2048),
    ],
)
def test_the_environment_is_read_by_type(tmp_path, name, text, setting, value):
    assert getattr(read(tmp_path, **{name: text}), setting) == value


FOR_EVER = -1.0


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        # Source: https://github.com/ollama/ollama/blob/main/envconfig/config_test.go, TestKeepAlive
        ("", 300),
        ("1s", 1),
        ("1m", 60),
        ("1h", 3600),
        ("5m0s", 300),
        ("1h2m3s", 3723),
        ("0", 0),
        ("60", 60),
        ("120", 120),
        ("3600", 3600),
        ("-0", 0),
        ("-1", FOR_EVER),
        ("-1m", FOR_EVER),
        (" ", 300),
        ("???", 300),
        ("1d", 300),
        ("1y", 300),
        ("1w", 300),
        # ours
        (" '10m' ", 600),
        ("1.5h", 5400),
        ("100ms", 0.1),
    ],
)
def test_keep_alive_is_read_as_ollama_reads_it(tmp_path, text, seconds):
    found = read(tmp_path, OLLAMA_KEEP_ALIVE=text).keep_alive_s
    assert found < 0 if seconds == FOR_EVER else found == pytest.approx(seconds)


def test_keep_alive_may_stand_in_the_config_file(config):
    assert read(config('keep_alive = "1h"')).keep_alive_s == 3600
    assert read(config("keep_alive = -1")).keep_alive_s < 0


def test_the_config_file_names_settings_without_their_prefix(config):
    home = config(
        'models = "/data/models"\ndebug = true\nplugins = ["echo", "photo-mini"]\n'
        'disable_plugins = "other"\nthreads = 3\ncontext_length = 4096\n'
    )
    assert read(home) == Settings(home, Path("/data/models"), True, ("echo", "photo-mini"), ("other",), 3, 4096)


def test_a_config_file_with_a_byte_order_mark_is_read(config):
    assert read(config("\ufeffthreads = 3")).threads == 3


def test_the_environment_outranks_the_config_file(config):
    home = config("threads = 3\ndebug = true")
    assert read(home, OLPIPE_THREADS="4", OLPIPE_DEBUG="") == Settings(home, threads=4)


def test_the_config_file_cannot_move_the_folder_that_it_lies_in(config):
    home = config('home = "/elsewhere"')
    assert read(home).home == home


def test_the_config_file_may_hold_what_plugins_read(config):
    home = config('threads = 3\n[my-plugin]\ncolour = "red"')
    assert read(home) == Settings(home, threads=3)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("OLPIPE_THREADS", "many", "OLPIPE_THREADS cannot be `many`"),
        ("OLPIPE_THREADS", "-1", "OLPIPE_THREADS cannot be `-1`"),
        ("OLPIPE_THREADS", "", "OLPIPE_THREADS cannot be ``"),
        ("OLLAMA_CONTEXT_LENGTH", "4k", "OLLAMA_CONTEXT_LENGTH cannot be `4k`"),
        ("OLLAMA_MAX_LOADED_MODELS", "-1", "OLLAMA_MAX_LOADED_MODELS cannot be `-1`"),
        ("OLLAMA_MAX_QUEUE", "all", "OLLAMA_MAX_QUEUE cannot be `all`"),
        ("OLLAMA_NUM_PARALLEL", "1.5", "OLLAMA_NUM_PARALLEL cannot be `1.5`"),
    ],
)
def test_a_value_that_cannot_be_is_refused_by_name(tmp_path, name, text, message):
    with pytest.raises(UsageError) as caught:
        read(tmp_path, **{name: text})
    assert caught.value.message == message
    assert caught.value.hint == next(
        found.metadata["help"] for found in fields(Settings) if found.metadata["env"] == name
    )


@pytest.mark.parametrize(
    ("text", "key", "value"),
    [
        ('threads = "many"', "threads", "many"),
        ("threads = -1", "threads", "-1"),
        ("threads = true", "threads", "True"),
        ("context_length = [4, 8]", "context_length", "4,8"),
        ("max_queue = 1.5", "max_queue", "1.5"),
        ("[num_parallel]\nmost = 3", "num_parallel", "{'most': 3}"),
    ],
)
def test_a_value_of_the_config_file_is_refused_by_its_key_and_the_file(config, text, key, value):
    home = config(text)
    with pytest.raises(UsageError) as caught:
        read(home)
    assert caught.value.message == f"`{key}` in {home / 'config.toml'} cannot be `{value}`"


@pytest.mark.parametrize("text", ["", " ", "''", '""', '" "'])
def test_an_empty_text_is_no_place(config, text):
    assert Settings.read({"OLPIPE_HOME": text}).home == Path.home() / ".olpipe"
    home = config("")
    assert read(home, OLLAMA_MODELS=text).models_folder == home / "models"
    (home / "config.toml").write_text('models = "/data/models"')
    assert read(home, OLLAMA_MODELS=text).models_folder == Path("/data/models")
    (home / "config.toml").write_text('models = " "')
    assert read(home).models_folder == home / "models"


@pytest.mark.parametrize(
    ("name", "warning"),
    [
        ("OLPIPE_THREAD", "OLPIPE_THREAD is set, and there is no such setting; did you mean `OLPIPE_THREADS`?"),
        ("OLPIPE_HOEM", "OLPIPE_HOEM is set, and there is no such setting; did you mean `OLPIPE_HOME`?"),
        (
            "OLPIPE_CONTEXT_LENGTH",
            "OLPIPE_CONTEXT_LENGTH is set, and there is no such setting; did you mean `OLLAMA_CONTEXT_LENGTH`?",
        ),
        ("OLPIPE_", "OLPIPE_ is set, and there is no such setting"),
        ("OLPIPE_COLOUR", "OLPIPE_COLOUR is set, and there is no such setting"),
    ],
)
def test_a_variable_that_is_no_setting_is_told_with_the_nearest_name(tmp_path, name, warning):
    assert unknown_settings(set, {"OLPIPE_HOME": str(tmp_path), name: "1"}) == [warning]


def test_variables_of_others_are_not_looked_at(tmp_path):
    environment = {"OLPIPE_HOME": str(tmp_path), "OLPIPE_DEBUG": "", "OLLAMA_HOST": "1", "THREADS": "1", "HOME": "x"}
    assert unknown_settings(set, environment) == []


@pytest.mark.parametrize(
    ("text", "warning"),
    [
        ("thread = 3", "`thread` in {path} is not a setting; did you mean `threads`?"),
        ("OLPIPE_THREADS = 3", "`OLPIPE_THREADS` in {path} is not a setting; did you mean `threads`?"),
        ("Threads = 3", "`Threads` in {path} is not a setting; did you mean `threads`?"),
        ("ollama_modles = 3", "`ollama_modles` in {path} is not a setting; did you mean `models`?"),
        ("colour = 3", "`colour` in {path} is not a setting"),
        ('home = "/x"', "`home` in {path} has no effect, because the file lies in that folder; set OLPIPE_HOME"),
        (
            "[olpipe]\nthreads = 3",
            "the settings in `[olpipe]` of {path} have no effect: write them above all sections",
        ),
        ("[sky]\nblue = 1", "`[sky]` in {path} is the section of no installed plugin"),
        (
            "[my-plugni]\nblue = 1",
            "`[my-plugni]` in {path} is the section of no installed plugin; did you mean `my-plugin`?",
        ),
    ],
)
def test_an_entry_of_the_config_file_that_is_no_setting_is_told_with_the_nearest_name(config, text, warning):
    home = config(text)
    found = unknown_settings(lambda: {"my-plugin", "other"}, {"OLPIPE_HOME": str(home)})
    assert found == [warning.format(path=home / "config.toml")]


def test_settings_and_the_sections_of_plugins_cause_no_warning(config):
    home = config('threads = 3\nplugins = ["echo"]\n[my-plugin]\nthreads = 3')
    assert unknown_settings(lambda: {"my-plugin"}, {"OLPIPE_HOME": str(home)}) == []


def test_installed_plugins_are_asked_for_only_where_the_file_has_sections(config):
    assert unknown_settings(pytest.fail, {"OLPIPE_HOME": str(config("threads = 3"))}) == []


@pytest.mark.parametrize("text", ["threads = ", "threads", b"threads = '\xff'"])
def test_a_config_file_that_is_not_toml_is_refused_with_its_path(config, text):
    home = config(text)
    with pytest.raises(UsageError) as caught:
        read(home)
    assert caught.value.message.startswith(f"{home / 'config.toml'} is not valid TOML: ")


def test_a_config_file_that_cannot_be_read_is_refused_with_its_path(tmp_path):
    (tmp_path / "config.toml").mkdir()
    with pytest.raises(UsageError) as caught:
        read(tmp_path)
    assert caught.value.message == f"{tmp_path / 'config.toml'} cannot be read: Is a directory"


def test_models_lie_in_the_home_folder_unless_told_otherwise(tmp_path):
    assert read(tmp_path).models_folder == tmp_path / "models"
    assert read(tmp_path, OLLAMA_MODELS="/data/models").models_folder == Path("/data/models")


def test_debugging_needs_no_sound_settings(monkeypatch, isolated_home):
    assert not debugging()
    isolated_home.mkdir()
    (isolated_home / "config.toml").write_text("debug = true")
    assert debugging()
    (isolated_home / "config.toml").write_text("debug = ")
    assert not debugging()
    monkeypatch.setenv("OLPIPE_DEBUG", "1")
    assert debugging()
