"""Names of models on the Hugging Face hub, and the settings that say how it is asked."""

import pytest

from olpipe.default_plugins.sources.hub.source import HubSource
from olpipe.errors import InvalidName, UsageError
from olpipe.settings import Settings
from olpipe.testing.models import write_tiny_gguf

REPOSITORY = "somebody/Tiny-GGUF"


@pytest.fixture
def tiny(tmp_path):
    """The bytes of a tiny text model."""
    return write_tiny_gguf(tmp_path / "tiny.gguf").read_bytes()


# --- names --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reference", "name"),
    [
        ("hf.co/bartowski/X-GGUF", "hf.co/bartowski/X-GGUF:latest"),
        ("bartowski/X-GGUF:Q4_K_M", "hf.co/bartowski/X-GGUF:Q4_K_M"),
        ("huggingface.co/a/b@v1:Q8_0", "huggingface.co/a/b:Q8_0"),
        ("https://hf.co/a/b", "hf.co/a/b:latest"),
        ("//hf.co/a/b", "hf.co/a/b:latest"),
        ("hf.co/a/b:cpu/int4", "hf.co/a/b:cpu-int4"),
    ],
)
def test_a_model_is_called_as_its_repository(reference, name):
    assert str(HubSource().default_name(reference)) == name


@pytest.mark.parametrize(
    "reference",
    ["", "hf.co/alone", "a/b/c", "a/..", "a/b@../x", "a/b:../x", "a/b c", "a/b?x=1", f"a/{'b' * 97}", "a/b@"],
)
def test_what_is_no_repository_is_refused_with_an_example(reference):
    with pytest.raises(InvalidName, match="is no model on the hub") as caught:
        HubSource().default_name(reference)
    assert "hf.co/OWNER/REPOSITORY:Q4_K_M" in caught.value.hint


def test_a_repository_whose_name_is_too_long_wants_another_name(hub, run, tiny):
    long = f"somebody/{'x' * 90}"
    hub.put(long, {"tiny-Q8_0.gguf": tiny})
    code, _, err = run("pull", f"hf.co/{long}")
    assert (code, "give one with `--name`" in err) == (2, True), err
    assert run("pull", f"hf.co/{long}", "--name", "short")[0] == 0


# --- settings -----------------------------------------------------------------------------------


def test_the_hub_is_not_asked_where_the_settings_say_so(hub, run, monkeypatch, tiny):
    hub.put(REPOSITORY, {"tiny-Q8_0.gguf": tiny})
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    code, _, err = run("pull", f"hf.co/{REPOSITORY}")
    assert code == 1
    assert "error: the Hugging Face hub is not asked, because HF_HUB_OFFLINE is set" in err
    assert hub.front.asked == []


def test_settings_of_the_hub_are_listed_and_the_token_is_hidden(run, monkeypatch, hub):
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    code, out, _ = run("env")
    rows = {line.split()[0]: line.split()[1] for line in out.splitlines() if line.startswith("HF_")}
    assert (code, rows["HF_ENDPOINT"], rows["HF_TOKEN"]) == (0, hub.url, "********")
    assert "hf_secret" not in out + run("env", "--json")[1]


def test_a_token_that_cannot_be_one_is_refused(run, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "two words")
    code, _, err = run("list")
    assert (code, "HF_TOKEN cannot be that" in err, "two words" in err) == (2, True, False)


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ("https://mirror.example/", "https://mirror.example"),
        ("https://files.example:8443/api/Models/x", "https://files.example:8443/api/Models/x"),
        ("", "https://huggingface.co"),
    ],
)
def test_the_hub_may_be_a_mirror(given, read):
    assert Settings.read({"HF_ENDPOINT": given}).hub_endpoint == read


@pytest.mark.parametrize("given", ["mirror.example", "ftp://mirror.example", "https://user:secret@x", "https://x/?a=b"])
def test_a_mirror_that_is_no_url_is_refused(given):
    with pytest.raises(UsageError, match="HF_ENDPOINT cannot be"):
        Settings.read({"HF_ENDPOINT": given})
