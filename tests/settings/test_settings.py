"""Settings: the environment first, then the config file, then what is usual."""

from dataclasses import fields
from pathlib import Path

import pytest

from olpipe.errors import UsageError
from olpipe.settings import Settings, debugging, look_up, values


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
        ("OLLAMA_DEBUG", "1", "verbosity", 1),
        ("OLLAMA_DEBUG", "true", "verbosity", 1),
        ("OLLAMA_DEBUG", "2", "verbosity", 2),
        ("OLLAMA_DEBUG", "0", "verbosity", 0),
        ("OLLAMA_DEBUG", "false", "verbosity", 0),
        ("OLLAMA_DEBUG", "some", "verbosity", 0),
        ("OLLAMA_DEBUG_LOG_REQUESTS", "1", "log_bodies", True),
        ("OLLAMA_ORIGINS", "http://10.0.0.1, 'app://mine'", "origins", ("http://10.0.0.1", "app://mine")),
        ("OLLAMA_NOPRUNE", "1", "keeps_blobs", True),
        ("OLPIPE_API_KEY", "one,two", "api_keys", ("one", "two")),
        ("OLPIPE_MANAGEMENT", "Local", "management", "local"),
        ("OLPIPE_TLS_CERT", "~/cert.pem", "tls_cert", Path.home() / "cert.pem"),
        ("OLPIPE_CLIENT_TIMEOUT", "5", "client_timeout_s", 5.0),
        ("OLPIPE_IDLE_TIMEOUT", "2m", "idle_timeout_s", 120.0),
        ("OLPIPE_REGISTRY", "off", "registry", ""),
        ("OLPIPE_REGISTRY", "", "registry", "https://registry.ollama.ai"),
        ("OLPIPE_REGISTRY", " 'HTTPS://Registry.Example:5000/' ", "registry", "https://registry.example:5000"),
        ("OLPIPE_REGISTRY", "http://[::1]:5000", "registry", "http://[::1]:5000"),
        ("OLPIPE_TOKEN_HOSTS", "auth.example, b.example", "token_hosts", ("auth.example", "b.example")),
        ("OLLAMA_MAX_TRANSFER_STREAMS", "8", "transfer_streams", 8),
        ("OLLAMA_MAX_TRANSFER_STREAMS", "0", "transfer_streams", 4),
        ("DOCKER_CONFIG", "~/docker", "docker_config", Path.home() / "docker"),
    ],
)
def test_the_environment_is_read_by_type(tmp_path, name, text, setting, value):
    assert getattr(read(tmp_path, **{name: text}), setting) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        # Source: https://github.com/ollama/ollama/blob/main/envconfig/config_test.go, TestBool and TestUint
        ("", False),
        ("true", True),
        ("false", False),
        ("1", True),
        ("0", False),
        ("random", True),
        ("something", True),
    ],
)
def test_a_truth_value_is_read_as_ollama_reads_it(tmp_path, text, value):
    assert read(tmp_path, OLLAMA_NOPRUNE=text).keeps_blobs is value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0", 0),
        ("1", 1),
        ("1337", 1337),
        ("", 512),
        ("-1", 512),
        ("0o10", 512),
        ("0x10", 512),
        ("string", 512),
        # ours
        ("1_000", 512),
        ("\u0661", 512),
        ("1.5", 512),
        (" '64' ", 64),
    ],
)
def test_a_number_is_read_as_ollama_reads_it(tmp_path, text, value):
    assert read(tmp_path, OLLAMA_MAX_QUEUE=text).max_queue == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        # Source: https://github.com/ollama/ollama/blob/main/envconfig/config_test.go, TestVar
        ("value", "value"),
        (" value ", "value"),
        (" 'value' ", "value"),
        (' "value" ', "value"),
        (" ' value ' ", " value "),
        (' " value " ', " value "),
        # ours
        ("''value\"", "value"),
    ],
)
def test_spaces_and_then_quotes_around_a_value_are_left_out(text, value):
    assert values.text(text) == value


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


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        # Source: https://github.com/ollama/ollama/blob/main/envconfig/config.go, LoadTimeout
        ("", 300),
        ("10s", 10),
        ("2m", 120),
        ("90", 90),
        ("0", 0),  # no limit
        ("-1", -1),
        ("soon", 300),
    ],
)
def test_how_long_a_load_may_stall_is_read_in_the_same_way(tmp_path, text, seconds):
    assert read(tmp_path, OLLAMA_LOAD_TIMEOUT=text).load_timeout_s == seconds


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
        ("OLPIPE_MANAGEMENT", "admin", "OLPIPE_MANAGEMENT cannot be `admin`"),
        ("OLPIPE_CLIENT_TIMEOUT", "0", "OLPIPE_CLIENT_TIMEOUT cannot be `0`"),
        ("OLPIPE_CLIENT_TIMEOUT", "-1m", "OLPIPE_CLIENT_TIMEOUT cannot be `-1m`"),
        ("OLPIPE_MAX_HEADER", "10", "OLPIPE_MAX_HEADER cannot be `10`"),
        ("OLPIPE_REGISTRY", "registry.example", "OLPIPE_REGISTRY cannot be `registry.example`"),
        ("OLPIPE_REGISTRY", "https://me:x@r.example", "OLPIPE_REGISTRY cannot be `https://me:x@r.example`"),
        ("OLPIPE_REGISTRY", "https://r.example/v2", "OLPIPE_REGISTRY cannot be `https://r.example/v2`"),
        ("OLPIPE_MAX_CONNECTIONS", "0", "OLPIPE_MAX_CONNECTIONS cannot be `0`"),
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


def test_every_setting_tells_where_it_comes_from(config):
    home = config('threads = 3\nmax_queue = 7\nmodels = ""')
    environment = {
        "OLPIPE_HOME": str(home),
        "OLLAMA_MAX_QUEUE": "9",
        "OLLAMA_NUM_PARALLEL": "many",
        "OLLAMA_MODELS": "",
    }
    found = {one.name: (one.value, one.source) for one in look_up(environment)}
    assert set(found) == {setting.metadata["env"] for setting in fields(Settings)}
    assert found["OLPIPE_HOME"] == (home, "environment")
    assert found["OLPIPE_THREADS"] == (3, "config file")
    assert found["OLLAMA_MAX_QUEUE"] == (9, "environment")
    assert found["OLLAMA_NUM_PARALLEL"] == (0, "default")
    assert found["OLLAMA_MODELS"] == (None, "default")


def test_only_keys_are_secrets():
    secrets = [found.metadata["env"] for found in fields(Settings) if found.metadata["secret"]]
    assert secrets == ["HF_TOKEN", "OLPIPE_API_KEY"]
