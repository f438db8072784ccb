"""`olpipe run` with tiny vision models in real processes: photos named in a prompt are shown to the model."""

import io
import json
import re
import sys

import jsonschema
import pytest
from PIL import Image

from olpipe.cli.main import main
from olpipe.model import ModelName
from olpipe.plugins import Plugins
from olpipe.settings import Settings
from olpipe.store.library import Library
from olpipe.store.pull import pull
from olpipe.store.resolve import find_source
from olpipe.testing.vision.photos import smooth_photo
from olpipe.testing.vision_models import FAMILIES, write_vision_gguf

GREEDY = ("--temperature", 0, "--max-tokens", 8)
TITLE = {
    "type": "object",
    "properties": {"title": {"type": "string", "maxLength": 12}},
    "required": ["title"],
    "additionalProperties": False,
}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Two photos in the working folder."""
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    for seed, name in enumerate(("sea.png", "street.png")):
        Image.fromarray(smooth_photo(120, 80, seed=seed)).save(folder / name)
    return folder


@pytest.fixture
def run(vision_home, monkeypatch, capsys):
    """Run a command line and return exit code, data and talk."""
    monkeypatch.setenv("OLPIPE_HOME", str(vision_home))

    def run(*arguments, home=vision_home):
        monkeypatch.setenv("OLPIPE_HOME", str(home))
        with pytest.raises(SystemExit) as caught:
            main(["run", *map(str, arguments)])
        captured = capsys.readouterr()
        return caught.value.code, captured.out, captured.err

    return run


def prompt_tokens(said):
    return int(re.search(r"prompt eval count: +(\d+) token", said)[1])


@pytest.mark.examples(1)
@pytest.mark.parametrize("family", FAMILIES)
def test_the_answer_is_about_the_photo_that_is_named(run, family):
    answers = []
    for name in ("sea.png", "street.png", "sea.png"):
        code, out, said = run(family, f"What is in {name}?", *GREEDY)
        assert (code, said) == (0, f"Added image '{name}'\n")
        answers.append(out)
    assert answers[0] == answers[2] != answers[1]


@pytest.mark.examples(1)
@pytest.mark.parametrize("family", FAMILIES)
def test_every_photo_of_a_prompt_is_shown_in_the_order_in_which_it_is_named(run, family):
    code, both, said = run(family, "sea.png and street.png: which is it?", *GREEDY, "--verbose")
    assert (code, said.splitlines()[:2]) == (0, ["Added image 'sea.png'", "Added image 'street.png'"])
    _, _, about_one = run(family, "sea.png and: which is it?", *GREEDY, "--verbose")
    _, turned, about_turned = run(family, "street.png and sea.png: which is it?", *GREEDY, "--verbose")
    assert prompt_tokens(said) == prompt_tokens(about_turned) > prompt_tokens(about_one)
    assert both != turned


@pytest.mark.examples(1)
@pytest.mark.parametrize("family", ["qwen3_vl", "gemma3"])
def test_a_photo_named_in_the_middle_is_shown_and_its_name_is_taken_out_of_the_text(run, family):
    answers = {run(family, text, *GREEDY)[1] for text in ("one sea.png two", "sea.png one two", "one two sea.png")}
    assert len(answers) == 1


def test_a_photo_that_is_not_there_is_one_line_with_the_nearest_name(run):
    assert run("qwen3_vl", "sea.png and straet.png") == (
        2,
        "",
        "error: there is no photo `straet.png`\nhint: did you mean `street.png`?\n",
    )


@pytest.mark.parametrize(
    ("data", "message"),
    [(b"", "the file is empty"), (b"Dear diary", "the file does not hold an image")],
)
def test_a_photo_that_cannot_be_read_is_one_line_that_names_it(run, folder, data, message):
    (folder / "broken.jpg").write_bytes(data)
    assert run("qwen3_vl", "sea.png and broken.jpg") == (1, "", f"error: `broken.jpg`: {message}\n")


@pytest.mark.examples(1)
@pytest.mark.parametrize("family", FAMILIES)
def test_an_answer_about_a_photo_is_held_to_json_or_to_a_schema(run, family):
    code, out, _ = run(family, "sea.png", "--format", "json", "--max-tokens", 40)
    assert (code, type(json.loads(out))) == (0, dict)
    code, out, _ = run(family, "What is in sea.png?", "--format", json.dumps(TITLE), "--max-tokens", 40)
    assert code == 0
    jsonschema.validate(json.loads(out), TITLE)


def test_a_photo_may_be_piped_in(run, folder, monkeypatch):
    named = run("qwen3_vl", "sea.png", "what is it", *GREEDY)[1]
    piped = io.TextIOWrapper(io.BytesIO((folder / "sea.png").read_bytes()))
    monkeypatch.setattr(sys, "stdin", piped)
    assert run("qwen3_vl", "-", "what is it", *GREEDY) == (0, named, "Added image '-'\n")


@pytest.mark.examples(1)
@pytest.mark.parametrize("family", ["qwen3_vl", "gemma3", "idefics3"])
def test_more_photos_than_fit_are_shown_smaller_or_refused_in_one_line(run, family, monkeypatch):
    many = " ".join(["sea.png", "street.png"] * 6)
    code, _, said = run(family, many, *GREEDY, "--verbose")
    assert (code, said.count("Added image")) == (0, 12)
    monkeypatch.setenv("OLLAMA_CONTEXT_LENGTH", str(prompt_tokens(said)))
    code, out, cramped = run(family, many, *GREEDY, "--verbose")
    if family != "gemma3":
        assert (code, prompt_tokens(cramped) < prompt_tokens(said)) == (0, True)
    else:  # its photos cannot become fewer tokens
        assert (code, out) == (1, "")
        assert cramped.splitlines()[-2].startswith("error: the prompt has ")
        assert cramped.splitlines()[-1] == "hint: shorten the prompt, or raise OLLAMA_CONTEXT_LENGTH"


def test_a_text_model_without_its_projector_says_what_to_do_with_a_photo(run, isolated_home, tmp_path):
    text, _ = write_vision_gguf("qwen3_vl", tmp_path / "files")
    settings = Settings(home=isolated_home)
    plugins = Plugins.load(settings)
    origin, _ = find_source(f"file:{text}", plugins)
    library = Library(settings.models_folder, cache=settings.home / "cache")
    pull(origin, ModelName.parse("blind"), library, plugins, progress=lambda _: None)
    code, out, said = run("blind", "What is in sea.png?", home=isolated_home)
    assert (code, out) == (2, "")
    assert said.splitlines()[-2:] == [
        "error: model `blind:latest` cannot see images",
        "hint: give it what a detector sees: `--perceivers photo-mini`; "
        "or pull it with its vision encoder: `--projector`",
    ]
    assert run("blind", "What is it?", *GREEDY, home=isolated_home)[0] == 0
