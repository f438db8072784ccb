"""`olpipe batch` tells how sure perceivers are: scores, `certainty`, `--min-score`. It also leaves sentences out."""

import csv
import json
import sys
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator, ValidationError

from olpipe.cli.main import main
from olpipe.testing.images import photo
from olpipe.testing.install import install_plugin
from olpipe.testing.models import write_tiny_gguf

ROOT = Path(__file__).parents[2]
SENTENCES = {"title", "description", "alt"}
SURE, UNSURE, UNRECOGNISED, READ = 64, 48, 40, 56
"""Widths of photos, by what the perceiver knows of them."""

# A perceiver that sees what the width of the photo says, and a task of a stranger's own, with the values of `photo`.
PLUGIN = f"""
import os

from olpipe.default_plugins.tasks.photo import PhotoTask
from olpipe.hookspecs import hookimpl
from olpipe.image import Box
from olpipe.interfaces import Perceiver
from olpipe.record import Detection, Evidence, Label, ReadText


class Eye(Perceiver):
    name, version = "eye", "1"

    def perceive(self, image):
        box = Box(1, 2, 30, 20)
        seen = {{
            {SURE}: Evidence((Detection("cat", 0.876, box, ("tabby",)),), (Label("cat", 0.876), Label("tabby", 0.3))),
            {UNSURE}: Evidence((Detection("dog", 0.31, box),), (Label("dog", 0.31), Label("lawn", 0.2))),
            {UNRECOGNISED}: Evidence(),
            {READ}: Evidence(texts=(ReadText("STOP", 0.99),)),
        }}
        return seen[image.width]

    def translations(self):
        return {{"de": {{"cat": "Katze", "dog": "Hund"}}}}


class Unscored(PhotoTask):
    name, scored = "unscored", False


class Inventing(PhotoTask):
    name = "inventing"

    def parse(self, value, image):
        return {{**super().parse(value, image), os.environ["INVENTED"]: "sure"}}


@hookimpl
def register_perceivers():
    return [Eye()]


@hookimpl
def register_tasks():
    return [Unscored(), Inventing()]
"""

RECIPE = """
name = "own"
task = "{task}"
model = "echo"
prompt = "Look."
perceivers = ["eye"]

[schema]
type = "object"
required = ["tags", "objects"]

[schema.properties.tags]
x-evidence = "tags"
type = "array"
items = {{ type = "string" }}

[schema.properties.objects]
x-evidence = "objects"
type = "array"
"""


@pytest.fixture
def eye(batch, plugin_folder, monkeypatch):
    """Install the plugin, and return a function that writes a photo of a width."""
    (plugin_folder / "scoring.py").write_text(PLUGIN)
    install_plugin(plugin_folder, "scoring", "scoring")
    monkeypatch.delitem(sys.modules, "scoring", raising=False)
    monkeypatch.setattr(sys, "stdin", None)  # nothing is piped in

    def put(name, width):
        batch.put(name, data=photo(width, 40) + name.encode())

    return put


@pytest.fixture
def blind(batch, eye, tmp_path):
    """Bring a tiny real model that does not see, and return the options that use it."""
    with pytest.raises(SystemExit) as ended:
        main(["pull", f"file:{write_tiny_gguf(tmp_path / 'tiny.gguf')}"])
    assert ended.value.code == 0
    batch.said()
    return ("--model", "tiny", "--perceivers", "eye")


@pytest.fixture
def recipe(tmp_path):
    """Return a function that writes a recipe for a task, and returns its options."""

    def write(task, more=""):
        path = tmp_path / f"{task}.toml"
        path.write_text(more + RECIPE.format(task=task))
        return ("--recipe", path)

    return write


@pytest.fixture
def published():
    return Draft202012Validator(json.loads((ROOT / "docs" / "record.schema.json").read_text(encoding="utf-8")))


def test_records_have_scores_and_a_certainty_as_published(batch, eye, published):
    eye("a.jpg", SURE)
    eye("b.jpg", UNSURE)
    assert batch.run("--perceivers", "eye")[0] == 0
    sure, unsure = batch.records
    for record in (sure, unsure):
        published.validate(record)
        keys = ["tags", "tag_scores", "title", "description", "alt", "objects", "certainty", "box_unit"]
        assert list(record)[3:11] == keys
    assert (sure["tags"], sure["tag_scores"], sure["certainty"]) == (["cat", "tabby"], [0.88, 0.3], "sure")
    assert (unsure["tags"], unsure["tag_scores"], unsure["certainty"]) == (["dog", "lawn"], [0.31, 0.2], "unsure")
    assert sure["objects"] == [
        {"x": 1, "y": 2, "w": 30, "h": 20, "type": "cat", "tags": ["tabby"], "score": 0.88},
    ]


@pytest.mark.examples(1)
@pytest.mark.parametrize(
    "change",
    [
        {"certainty": "perhaps"},
        {"tag_scores": [2]},
        {"tag_scores": ["high"]},
        {"objects": [{"type": "cat", "score": 1.5}]},
    ],
)
def test_the_published_schema_refuses_other_scores_and_certainties(batch, eye, published, change):
    eye("a.jpg", SURE)
    batch.run("--perceivers", "eye")
    (record,) = batch.records
    published.validate(record | {"tag_scores": [0.5, None]})
    with pytest.raises(ValidationError):
        published.validate(record | change)


def test_scores_are_found_for_names_in_another_language(batch, eye):
    eye("a.jpg", SURE)
    batch.run("--perceivers", "eye", "--lang", "de")
    (record,) = batch.records
    assert (record["tags"], record["tag_scores"]) == (["Katze", "tabby"], [0.88, 0.3])
    assert [(thing["type"], thing["score"]) for thing in record["objects"]] == [("Katze", 0.88)]


def test_without_perceivers_records_have_neither_scores_nor_certainty(batch):
    batch.put("a.jpg")
    code, said = batch.run()
    assert (code, "certainty" in said) == (0, False)
    (record,) = batch.records
    assert not {"tag_scores", "certainty"} & record.keys()
    assert all("score" not in thing for thing in record["objects"])


def test_an_answer_to_a_schema_of_ones_own_is_left_as_it_is_beside_the_certainty(batch, eye, recipe):
    eye("a.jpg", SURE)
    assert batch.run(*recipe("data"))[0] == 0
    (record,) = batch.records
    assert list(record)[3:6] == ["data", "certainty", "box_unit"]
    thing = {"x": 1, "y": 2, "w": 30, "h": 20, "type": "cat", "tags": ["tabby"]}
    assert record["data"] == {"tags": ["cat", "tabby"], "objects": [thing]}
    assert record["certainty"] == "sure"


def test_a_task_that_is_not_scored_keeps_its_values_as_they_are(batch, eye, recipe):
    eye("a.jpg", SURE)
    assert batch.run(*recipe("unscored"))[0] == 0
    (record,) = batch.records
    assert list(record)[3:6] == ["tags", "objects", "certainty"]
    assert "score" not in record["objects"][0]


@pytest.mark.parametrize("name", ["certainty", "tag_scores"])
def test_a_task_that_gives_scores_of_its_own_is_told(batch, eye, recipe, monkeypatch, name):
    eye("a.jpg", SURE)
    monkeypatch.setenv("INVENTED", name)
    assert batch.run(*recipe("inventing"))[0] == 3
    (failure,) = batch.failures
    message = "the task `inventing` of the plugin `scoring` failed: ValueError: "
    assert failure["message"] == f"{message}it gave a value `{name}`, which every record has of its own"


# --- photos that nothing is known of --------------------------------------------------------------


def test_a_model_that_does_not_see_writes_nothing_about_a_photo_that_was_not_recognised(batch, eye, blind, published):
    eye("a.jpg", SURE)
    eye("b.jpg", UNRECOGNISED)
    eye("c.jpg", READ)
    code, said = batch.run(*blind)
    assert code == 0, said
    sure, unrecognised, read = batch.records
    for record in batch.records:
        published.validate(record)
    assert sure.keys() >= SENTENCES
    assert read.keys() >= SENTENCES
    assert not SENTENCES & unrecognised.keys()
    assert (unrecognised["tags"], unrecognised["tag_scores"], unrecognised["objects"]) == ([], [], [])
    assert [record["certainty"] for record in batch.records] == ["sure", "unrecognised", "unsure"]
    assert unrecognised["usage"]["sampled_tokens"] == 0


def test_a_model_that_sees_writes_about_every_photo(batch, eye):
    eye("a.jpg", UNRECOGNISED)
    batch.run("--perceivers", "eye")
    (record,) = batch.records
    assert record.keys() >= SENTENCES
    assert record["certainty"] == "unrecognised"


def test_a_table_has_a_line_for_a_photo_without_sentences_wherever_it_comes(batch, eye, blind):
    eye("a.jpg", UNRECOGNISED)
    eye("b.jpg", SURE)
    code, said = batch.run(*blind, "--sink", "csv", "--sink", "jsonl")
    assert code == 0, said
    with (batch.output / "records.csv").open(encoding="utf-8-sig", newline="") as lines:
        first, second = csv.DictReader(lines)
    assert (first["title"], first["certainty"], first["tag_scores"]) == ("", "unrecognised", "")
    assert (second["title"], second["tag_scores"]) == (batch.records[1]["title"], "0.88; 0.3")


@pytest.mark.examples(2)
@pytest.mark.parametrize(
    ("widths", "expected"),
    [
        ([SURE], None),
        ([UNSURE], "1 photo is unsure"),
        ([UNSURE, SURE, UNSURE], "2 photos are unsure"),
        ([UNRECOGNISED], "1 photo was not recognised"),
        ([UNRECOGNISED, UNRECOGNISED, UNSURE], "2 photos were not recognised and 1 is unsure"),
        ([UNRECOGNISED, UNSURE, UNSURE], "1 photo was not recognised and 2 are unsure"),
    ],
)
def test_the_run_says_how_many_records_are_doubtful(batch, eye, widths, expected):
    for number, width in enumerate(widths):
        eye(f"{number}.jpg", width)
    said = [line for line in batch.run("--perceivers", "eye")[1].splitlines() if "`certainty`" in line]
    assert said == ([] if expected is None else [f"{expected}: see `certainty` in the records"])
    numbers = (batch.report["photos"]["unsure"], batch.report["photos"]["unrecognised"])
    assert numbers == (widths.count(UNSURE), widths.count(UNRECOGNISED))


def test_doubtful_records_of_earlier_runs_and_equal_photos_count_and_those_of_other_photos_do_not(batch, eye):
    eye("a.jpg", UNSURE)
    batch.put("sub/equal.jpg", data=(batch.photos / "a.jpg").read_bytes())
    eye("sub/b.jpg", UNRECOGNISED)
    batch.run("--perceivers", "eye", inputs=[batch.photos])
    assert "1 photo was not recognised and 2 are unsure" in batch.run("--perceivers", "eye")[1]
    assert batch.report["photos"]["records"] == 0
    assert "\n1 photo is unsure: see" in batch.run("--perceivers", "eye", "--limit", 1)[1]
    assert "`certainty`" not in batch.run()[1]  # records of another recipe


# --- --min-score ----------------------------------------------------------------------------------


def test_min_score_leaves_out_the_names_with_a_lower_score(batch, eye):
    eye("a.jpg", SURE)
    eye("b.jpg", UNSURE)
    code, said = batch.run("--perceivers", "eye", "--min-score", 0.4)
    assert code == 0
    assert "1 photo was not recognised: see" in said
    sure, emptied = batch.records
    assert (sure["tags"], sure["tag_scores"], sure["objects"][0]["tags"]) == (["cat"], [0.88], [])
    assert "tabby" not in json.dumps(sure)
    assert (emptied["tags"], emptied["objects"], emptied["certainty"]) == ([], [], "unrecognised")


def test_min_score_has_records_of_its_own_and_the_others_come_back(batch, eye):
    eye("a.jpg", SURE)
    batch.run("--perceivers", "eye")
    key = batch.report["recipe"]["key"]
    batch.run("--perceivers", "eye", "--min-score", 0.4)
    assert (batch.report["photos"]["records"], batch.report["recipe"]["key"] == key) == (1, False)
    batch.run("--perceivers", "eye", "--min-score", 0)
    assert (batch.report["photos"]["records"], batch.report["recipe"]["key"] == key) == (0, True)


def test_a_recipe_may_have_a_min_score_and_the_option_overrules_it(batch, eye, recipe):
    eye("a.jpg", SURE)
    batch.run(*recipe("photo", "min_score = 0.4"))
    assert batch.records[0]["tags"] == ["cat"]
    batch.run(*recipe("photo", "min_score = 0.4"), "--min-score", 0)
    assert batch.records[0]["tags"] == ["cat", "tabby"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("1.5", "the least score must be between 0 and 1, not `1.5`"),
        ("-0.1", "the least score must be between 0 and 1, not `-0.1`"),
        ("high", "`--min-score` cannot be `high`"),
        ("nan", "the least score must be between 0 and 1, not `nan`"),
    ],
)
def test_a_min_score_that_is_none_is_one_line(batch, given, message):
    batch.put("a.jpg")
    code, said = batch.run("--min-score", given)
    assert code == 2
    first, second = said.splitlines()
    assert first == f"error: {message}"
    assert second.startswith("hint: ")
    assert not batch.output.exists()
