"""Warnings of settings that have no effect."""

from pathlib import Path

import pytest

from olpipe.settings import look_up
from olpipe.settings.ollama_variables import WITHOUT_EFFECT, without_effect
from olpipe.settings.warnings import setting_warnings


@pytest.fixture
def config(tmp_path):
    """Write the config file of a home folder and return that folder."""

    def write(text: str) -> Path:
        (tmp_path / "config.toml").write_text(text)
        return tmp_path

    return write


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
    assert setting_warnings(set, {"OLPIPE_HOME": str(tmp_path), name: "1"}) == [warning]


def test_variables_of_others_are_not_looked_at(tmp_path):
    environment = {"OLPIPE_HOME": str(tmp_path), "OLPIPE_DEBUG": "", "OLLAMA_HOST": "1", "THREADS": "1", "HOME": "x"}
    assert setting_warnings(set, environment) == []


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
    found = setting_warnings(lambda: {"my-plugin", "other"}, {"OLPIPE_HOME": str(home)})
    assert found == [warning.format(path=home / "config.toml")]


def test_settings_and_the_sections_of_plugins_cause_no_warning(config):
    home = config('threads = 3\nplugins = ["echo"]\n[my-plugin]\nthreads = 3')
    assert setting_warnings(lambda: {"my-plugin"}, {"OLPIPE_HOME": str(home)}) == []


def test_installed_plugins_are_asked_for_only_where_the_file_has_sections(config):
    assert setting_warnings(pytest.fail, {"OLPIPE_HOME": str(config("threads = 3"))}) == []


@pytest.mark.parametrize(
    ("name", "text", "warning"),
    [
        ("OLLAMA_MAX_QUEUE", "all", "OLLAMA_MAX_QUEUE cannot be `all`, so it has no effect: it must be a whole number"),
        (
            "OLLAMA_CONTEXT_LENGTH",
            "-1",
            "OLLAMA_CONTEXT_LENGTH cannot be `-1`, so it has no effect: it must be a whole number",
        ),
        ("OLLAMA_CONTEXT_LENGTH", " ", None),
        ("OLLAMA_NOPRUNE", "perhaps", None),
        ("OLLAMA_KEEP_ALIVE", "1w", None),
    ],
)
def test_a_value_that_ollama_passes_over_is_passed_over_with_a_warning(tmp_path, name, text, warning):
    found = setting_warnings(set, {"OLPIPE_HOME": str(tmp_path), name: text})
    assert found == ([] if warning is None else [warning])


# Source: https://github.com/ollama/ollama/blob/main/envconfig/config.go
OLLAMA_VARIABLES = """
DEBUG HOST KEEP_ALIVE MAX_LOADED_MODELS MAX_QUEUE MODELS NUM_PARALLEL NOPRUNE ORIGINS TMPDIR FLASH_ATTENTION LLM_LIBRARY
MAX_VRAM CONTEXT_LENGTH KV_CACHE_TYPE LOAD_TIMEOUT SCHED_SPREAD GPU_OVERHEAD IGPU_ENABLE VULKAN DEBUG_LOG_REQUESTS
GO_TEMPLATE LIBRARY_PATH EXPERIMENT NO_CLOUD REMOTES AUTH CLOUD_BASE_URL MAX_TRANSFER_STREAMS NOHISTORY EDITOR
"""


def test_every_variable_of_ollama_is_obeyed_or_explained(tmp_path):
    obeyed = {found.name for found in look_up({"OLPIPE_HOME": str(tmp_path)})}
    names = {f"OLLAMA_{name}" for name in OLLAMA_VARIABLES.split()} | {"LLAMA_ARG_FIT", "LLAMA_ARG_FIT_TARGET"}
    assert names - obeyed == set(WITHOUT_EFFECT)
    assert obeyed & set(WITHOUT_EFFECT) == set()


def test_a_variable_without_effect_is_explained_only_where_it_is_set():
    found = without_effect({"OLLAMA_TMPDIR": "/data", "OLLAMA_MAX_VRAM": " ", "OLLAMA_HOST": "::"})
    assert found == ["OLLAMA_TMPDIR has no effect: olpipe unpacks no runners; TMPDIR says where temporary files lie"]
