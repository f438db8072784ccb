"""`olpipe run` with a perceiver that reads: a model that sees is told of the words, and a schema asks for them."""

import json
import re
import sys

import pytest
from PIL import Image

from olpipe.cli.main import main
from olpipe.testing.install import install_plugin
from olpipe.testing.models import write_tiny_gguf
from olpipe.testing.vision.photos import smooth_photo

# A perceiver that reads the same sign in every photo.
PLUGIN = """
from olpipe.hookspecs import hookimpl
from olpipe.image import Box
from olpipe.interfaces import Perceiver
from olpipe.record import Evidence, ReadText


class Reader(Perceiver):
    name, version, reads = "signs", "1", True

    def perceive(self, image):
        return Evidence(texts=(ReadText("NO PARKING", 0.9, Box(0, 0, 9, 9)), ReadText("营业时间", 0.9)))


@hookimpl
def register_perceivers():
    return [Reader()]
"""
READING = ("--perceivers", "signs")
WORDS = '{"properties": {"words": {"type": "array", "x-evidence": "texts"}}}'  # as `docs/run.md` has it


@pytest.fixture(autouse=True)
def sign(tmp_path, plugin_folder, monkeypatch):
    """Install the plugin, and put a photo into the working folder."""
    (plugin_folder / "sign_reading.py").write_text(PLUGIN, encoding="utf-8")
    install_plugin(plugin_folder, "sign-reading", "sign_reading")
    monkeypatch.delitem(sys.modules, "sign_reading", raising=False)
    monkeypatch.setattr(sys, "stdin", None)  # nothing is piped in
    monkeypatch.chdir(tmp_path)
    Image.fromarray(smooth_photo(120, 80, seed=3)).save("sign.png")


@pytest.fixture
def run(capsys):
    """Run a command line and return exit code, data and talk."""

    def run(*arguments):
        with pytest.raises(SystemExit) as caught:
            main([*map(str, arguments)])
        captured = capsys.readouterr()
        return caught.value.code, captured.out, captured.err

    return run


@pytest.fixture
def seeing(vision_home, monkeypatch):
    """Return the name of a tiny model that sees."""
    monkeypatch.setenv("OLPIPE_HOME", str(vision_home))
    return "qwen3_vl"


@pytest.fixture
def blind(run, isolated_home, tmp_path):
    """Return the name of a tiny model that does not see."""
    assert run("pull", f"file:{write_tiny_gguf(tmp_path / 'tiny.gguf')}")[0] == 0
    return "tiny"


def prompt_tokens(said):
    return int(re.search(r"prompt eval count: +(\d+) token", said)[1])


def test_a_model_that_sees_is_told_of_the_words_beside_the_photo(run, seeing):
    asked = ("run", seeing, "What does sign.png say?", "--temperature", 0, "--max-tokens", 4, "--verbose")
    line = 'photo: it reads "NO PARKING" "营业时间"\n'
    by_hand = ("run", seeing, f"{line}What does sign.png say?", *asked[3:])
    assert prompt_tokens(run(*asked, *READING)[2]) == prompt_tokens(run(*by_hand)[2])


def test_a_schema_gets_the_words_from_the_perceiver_and_not_from_a_model_that_cannot_quote(run, blind):
    code, out, _ = run("run", blind, "Read sign.png.", "--format", WORDS, *READING)
    assert (code, json.loads(out)) == (0, {"words": ["NO PARKING", "营业时间"]})
