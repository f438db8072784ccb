"""`olpipe run` with a model that makes embeddings, in a real process."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from olpipe.testing.bert import WIDTH, write_tiny_bert
from olpipe.testing.float_bert import FloatBert

PHOTO = Path(__file__).parents[2] / "samples/photos/cat.jpg"


def olpipe(*arguments, stdin=""):
    done = subprocess.run(
        [sys.executable, "-P", "-m", "olpipe", *map(str, arguments)], input=stdin, capture_output=True, text=True
    )
    return done.returncode, done.stdout, done.stderr


@pytest.fixture
def folder(tmp_path, isolated_home):
    folder = write_tiny_bert(tmp_path / "model")
    code, _, said = olpipe("pull", f"file:{folder}", "--name", "tiny")
    assert code == 0, said
    return folder


def test_a_vector_goes_to_stdout_as_one_array_on_one_line(folder):
    code, out, said = olpipe("run", "tiny", "the dog")
    assert (code, said) == (0, "")
    assert len(out.splitlines()) == 1
    vector = json.loads(out)
    assert len(vector) == WIDTH
    np.testing.assert_allclose(vector, FloatBert(folder).vector("the dog"), atol=1e-5)


def test_several_words_and_what_is_piped_in_are_one_text(folder):
    whole = olpipe("run", "tiny", "the dog is on the street")[1]
    assert olpipe("run", "tiny", "the", "dog is", "on the street")[1] == whole
    assert olpipe("run", "tiny", "-", "on the street", stdin="the dog is\n")[1] == whole


def test_statistics_go_to_stderr(folder):
    code, out, said = olpipe("run", "tiny", "the dog", "--verbose")
    assert (code, len(json.loads(out))) == (0, WIDTH)
    first, second = said.splitlines()
    assert first == "prompt eval count:    4 token(s)"
    assert second.startswith("prompt eval duration: ")


@pytest.mark.parametrize(
    ("arguments", "lines"),
    [
        ([], ["error: there is no prompt", 'hint: run `olpipe run MODEL "your question"`, or pipe it in']),
        (
            ["what is in", PHOTO],
            ["error: `tiny` makes embeddings of texts, and not of images", "hint: ask without images"],
        ),
        *(
            (
                ["the dog", *option],
                [
                    "error: `tiny` makes embeddings, so there is no answer to shape",
                    "hint: leave out `--format`, `--perceivers` and the options for sampling",
                ],
            )
            for option in (["--format", "json"], ["--top-k", "3"], ["--stop", "x"], ["--perceivers", "photo-mini"])
        ),
    ],
)
def test_bad_requests_are_one_clear_line(folder, arguments, lines):
    code, out, said = olpipe("run", "tiny", *arguments)
    assert (code, out) == (2, "")
    assert said.splitlines() == lines


def test_it_is_listed_with_what_it_can_do(folder):
    shown = json.loads(olpipe("show", "tiny", "--json")[1])
    assert shown["capabilities"] == ["embedding"]
    assert [backend["name"] for backend in shown["backends"] if backend["runs"]] == ["onnx"]


def test_a_vector_is_cut_to_the_dimensions_that_are_asked_for(folder):
    code, out, said = olpipe("run", "tiny", "the dog", "--dimensions", "4")
    assert (code, said) == (0, "")
    cut = FloatBert(folder).vector("the dog")[:4]
    np.testing.assert_allclose(json.loads(out), cut / np.linalg.norm(cut), atol=1e-5)
