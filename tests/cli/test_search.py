"""`olpipe search`: what it finds, what it says of it, and what it does where nothing fits."""

import json

import pytest

from olpipe.cli.main import main
from olpipe.testing.install import install_plugin
from olpipe.testing.models import write_tiny_gguf
from tests.default_plugins.hub_server import HubServer

ANNOUNCING = """
from olpipe.hookspecs import hookimpl
from olpipe.interfaces import FoundModel, ModelSource
from olpipe.model import ModelName

class Own(ModelSource):
    scheme = "own"
    def names(self):
        return ["photo-mini", "garden"]
    def default_name(self, reference):
        return ModelName.parse(reference)
    def pull(self, reference, name, store, progress):
        raise NotImplementedError
    def search(self, words, limit):
        return FOUND

@hookimpl
def register_model_sources():
    return [Own()]
"""


@pytest.fixture
def run(capsys):
    """Run `olpipe search` or another command, and return exit code, data and talk."""

    def run(*arguments, command="search"):
        with pytest.raises(SystemExit) as caught:
            main([command, *map(str, arguments)])
        captured = capsys.readouterr()
        return caught.value.code, captured.out, captured.err

    return run


@pytest.fixture
def hub(monkeypatch):
    monkeypatch.delenv("HF_HUB_OFFLINE")
    with HubServer() as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        yield hub


def plugin(folder, found="()"):
    module = f"own_{len(found)}_under_test"  # a module is imported once
    (folder / f"{module}.py").write_text(ANNOUNCING.replace("FOUND", found))
    install_plugin(folder, "own", module)


def names(out):
    return [line.split()[0] for line in out.splitlines()[1:]]


def row(out, name):
    return next(line for line in out.splitlines() if line.startswith(name))


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (["smolvlm"], "smolvlm:500m"),
        (["QWEN3-VL"], "qwen3-vl:2b"),
        (["idefics3"], "smolvlm:500m"),
        (["vision", "apache-2.0"], "qwen3-vl:2b"),
        (["gemma"], "gemma3:4b"),
        (["many languages", "boxes"], "qwen3-vl:2b"),
        (["thinking"], "qwen3:4b"),
    ],
)
def test_words_are_looked_for_in_names_families_licences_abilities_and_descriptions(run, words, name):
    code, out, _ = run(*words)
    assert (code, name in names(out)) == (0, True)


def test_every_word_has_to_fit(run):
    found = names(run("vision", "Apache-2.0")[1])
    assert "gemma3:4b" not in found and "qwen3:4b" not in found and "smolvlm:500m" in found


def test_without_words_the_whole_catalogue_is_shown(run):
    code, out, _ = run()
    assert out.splitlines()[0].split("  ")[0] == "NAME"
    assert (code, {"smolvlm:500m", "gemma3:4b", "phi3:mini"} <= set(names(out))) == (0, True)


def test_measured_figures_are_shown_and_unknown_ones_are_not_made_up(run):
    _, out, err = run("qwen3-vl")
    assert row(out, "NAME").split() == ["NAME", "SIZE", "MEMORY", "SECONDS", "A", "PHOTO", "LICENCE", "ABOUT"]
    assert row(out, "qwen3-vl:2b").split()[1:6] == ["1.9", "GB", "4", "GB", "15.9"]
    assert row(out, "qwen3-vl:4b").split()[1:5] == ["3.3", "GB", "-", "-"]
    assert "figures are of two cores of an AMD EPYC" in err


def test_models_that_were_not_run_with_their_own_weights_are_marked(run):
    _, out, err = run("gemma3")
    assert row(out, "gemma3:4b").endswith("*") and not row(out, "gemma3:270m").endswith("*")
    assert "* run by us with random weights only" in err
    assert run("gemma3:270m")[2] == ""


def test_json_has_everything(run):
    code, out, _ = run("smolvlm:500m", "--json")
    (found,) = json.loads(out)
    assert code == 0
    assert found["source"] == "hf.co/ggml-org/SmolVLM-500M-Instruct-GGUF:Q8_0"
    assert (found["size"], found["memory"], found["seconds_a_photo"]) == (640_000_000, None, 6.4)
    assert "two cores" in found["measured"] and found["tested"] == "random weights at its real size"
    assert (found["capabilities"], found["here"], found["obstacle"]) == (["completion", "vision"], False, "")


def test_what_is_on_this_machine_is_found_with_what_is_known_of_it(run, tmp_path):
    path = write_tiny_gguf(tmp_path / "tiny.gguf")
    run(f"file:{path}", "--name", "own-tiny", command="pull")
    run(f"file:{path}", "--name", "smolvlm", command="pull")
    code, out, _ = run("own-tiny")
    assert (code, names(out), "on this machine" in out) == (0, ["own-tiny"], True)
    assert "KB" in out and "llama" in run("llama", "own-tiny", "--json")[1]
    (found,) = json.loads(run("smolvlm", "idefics3", "small and fast", "--json")[1])
    assert (found["name"], found["here"]) == ("smolvlm", True)
    assert path.stat().st_size < found["size"] < 2 * path.stat().st_size


def test_models_that_plugins_announce_are_found(run, plugin_folder):
    plugin(plugin_folder)
    assert row(run("garden")[1], "garden").split()[1:4] == ["-", "-", "-"]
    assert json.loads(run("garden", "--json")[1])[0]["source"] == "plugin"
    assert json.loads(run("photo-mini", "--json")[1])[0]["obstacle"] == ""


def test_a_model_of_a_plugin_that_is_not_installed_says_so(run, monkeypatch):
    monkeypatch.setenv("OLPIPE_PLUGINS", "")
    assert "no installed plugin announces it" in row(run("photo-mini")[1], "photo-mini")
    assert "photo-mini" not in names(run("--fits")[1])


def test_models_that_do_not_fit_are_marked_or_left_out(run, monkeypatch):
    from olpipe import machine

    monkeypatch.setattr(machine, "memory", lambda: machine.Memory(3 * 10**9, 10**9))
    out = run("qwen3-vl")[1]
    assert "does not fit into the 3 GB of this machine" in row(out, "qwen3-vl:2b")
    assert names(run("vision", "--fits")[1]) == ["smolvlm:256m", "smolvlm:500m", "smolvlm2:2.2b"]
    assert [found["fits"] for found in json.loads(run("qwen3-vl:2b", "boxes", "--json")[1])] == [False]
    monkeypatch.setattr(machine, "memory", lambda: machine.Memory(64 * 10**9, 10**9, limit=1 * 10**9))
    assert names(run("vision", "--fits")[1]) == ["smolvlm:256m", "smolvlm:500m"]


# --- nothing fits -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("word", "close"), [("smolvml", "`smolvlm:256m`"), ("qwen3vl", "`qwen3-vl:2b`"), ("photomini", "`photo-mini`")]
)
def test_names_that_are_nearly_right_are_offered(run, word, close):
    code, out, err = run(word)
    assert (code, out) == (1, "")
    assert f"error: no model fits `{word}`" in err and "did you mean" in err and close in err
    assert "`--hub` asks the Hugging Face hub, too" in err


def test_json_of_nothing_is_an_empty_list(run):
    assert run("zzzzzz", "--json")[:2] == (0, "[]\n")


# --- the hub ------------------------------------------------------------------------------------


HUB = {
    "gguf": [
        {
            "id": "someone/Ocean-VLM-GGUF",
            "downloads": 12345,
            "gated": False,
            "pipeline_tag": "image-text-to-text",
            "tags": ["gguf", "license:mit"],
            "gguf": {"architecture": "qwen3vl", "context_length": 4096},
        },
        {"id": "someone/Ocean-Alien-GGUF", "downloads": 99999, "tags": [], "gguf": {"architecture": "alien"}},
        {"id": "../evil-ocean", "downloads": 1},
        {"id": 3},
        "ocean",
    ],
    "onnxruntime-genai": [{"id": "someone/Ocean-onnx", "gated": "auto", "tags": ["license:apache-2.0", 3]}],
}


def test_the_hub_is_asked_where_that_is_wanted(run, hub):
    hub.found = {kind: [model for model in models if isinstance(model, dict)] for kind, models in HUB.items()}
    hub.found["gguf"] = [model for model in hub.found["gguf"] if isinstance(model["id"], str)]
    code, out, _ = run("ocean", "--hub")
    assert code == 0
    assert names(out)[-3:] == [
        "hf.co/someone/Ocean-VLM-GGUF",
        "hf.co/someone/Ocean-onnx",
        "hf.co/someone/Ocean-Alien-GGUF",
    ]
    assert row(out, "hf.co/someone/Ocean-VLM").split()[1:5] == ["-", "-", "-", "mit"]
    assert "GGUF, 12,345 downloads" in row(out, "hf.co/someone/Ocean-VLM")
    assert "ONNX Runtime GenAI, gated" in row(out, "hf.co/someone/Ocean-onnx")
    assert "no backend here runs the architecture `alien`" in row(out, "hf.co/someone/Ocean-Alien")
    assert "evil" not in out
    assert [found["name"] for found in json.loads(run("ocean", "--hub", "--fits", "--json")[1])] == [
        "hf.co/someone/Ocean-VLM-GGUF",
        "hf.co/someone/Ocean-onnx",
    ]


def test_the_hub_is_asked_for_formats_that_run_here(run, hub):
    run("ocean", "storm", "--hub", "--limit", 7)
    (gguf, onnx) = [path for path in hub.front.paths() if path.startswith("/api/models?")]
    assert "search=ocean+storm&filter=gguf&sort=downloads&limit=7" in gguf
    assert "filter=onnxruntime-genai" in onnx


def test_the_hub_is_not_asked_otherwise(run, hub, monkeypatch):
    run("smolvlm")
    run()
    assert hub.front.asked == []
    monkeypatch.setenv("OLPIPE_SEARCH_HUB", "1")
    run("smolvlm", "--no-hub")
    run()
    assert hub.front.asked == []
    run("smolvlm")
    assert hub.front.asked != []


def test_a_search_of_the_hub_needs_words(run):
    code, _, err = run("--hub")
    assert (code, "`--hub` needs something to search for" in err) == (2, True)


def test_a_hub_that_must_not_be_asked_says_so(run):
    code, _, err = run("smolvlm", "--hub")
    assert (code, "because HF_HUB_OFFLINE is set" in err) == (1, True)


@pytest.mark.parametrize("answer", [b"{}", b"no", b"[" * 100_000])
def test_a_hub_that_answers_something_else_is_an_error(run, hub, answer):
    hub.front.answers = {"": lambda handler: handler.answer(200, answer)}
    code, _, err = run("smolvlm", "--hub")
    assert (code, "what the hub answers to a search is no list of models" in err) == (1, True)


def test_a_plugin_that_finds_something_strange_is_named(run, hub, plugin_folder):
    plugin(plugin_folder, found="['garden']")
    code, _, err = run("garden", "--hub")
    assert (code, "`search` gave something else than models that it found" in err) == (1, True)


def test_a_plugin_can_be_searched_too(run, hub, plugin_folder):
    plugin(plugin_folder, found="[FoundModel('own:lake', about='A lake')]")
    assert row(run("lake", "--hub")[1], "own:lake").endswith("A lake")
