"""`olpipe batch` with a recipe that asks several questions about each photo."""

import csv
import json
import sys

import pytest
from PIL import Image

from olpipe.cli.main import main
from olpipe.testing.install import install_plugin
from olpipe.testing.vision.photos import smooth_photo

RECIPE = """\
name = "shop"
task = "data"
model = "echo"

[options]
temperature = 0
max_tokens = 40

[[stages]]
name = "facts"
prompt = "What colour is it?"

[stages.schema]
type = "object"
additionalProperties = false
required = ["colours"]

[stages.schema.properties.colours]
type = "array"
minItems = 1
maxItems = 2
items = { enum = ["dark red"] }

[[stages]]
name = "words"
prompt = "It is {facts.colours} in {folder}. Write its title."

[stages.schema]
type = "object"
additionalProperties = false
required = ["title"]

[stages.schema.properties.title]
enum = ["a chair"]
"""

# A perceiver that counts how often it looks.
PLUGIN = """
import os

from olpipe.hookspecs import hookimpl
from olpipe.interfaces import Perceiver
from olpipe.record import Evidence, Label


class Counting(Perceiver):
    name, version = "counting", "1"

    def perceive(self, image):
        with open(os.environ["LOOKS"], "a") as looks:
            looks.write("x")
        return Evidence(tags=(Label("dog", 0.9),))


@hookimpl
def register_perceivers():
    return [Counting()]
"""


@pytest.fixture
def shop(batch, tmp_path):
    """Return a function that describes the photos with the recipe, changed as it is told."""
    path = tmp_path / "shop.toml"

    def run(*more, old="", new=""):
        assert old in RECIPE
        path.write_text(RECIPE.replace(old, new, 1))
        return batch.run("--no-page", "--recipe", path, *more)

    return run


def test_the_answers_of_all_stages_make_one_record(batch, shop):
    batch.put("a.jpg", "b.jpg")
    assert shop()[0] == 0
    assert [record["data"] for record in batch.records] == [{"colours": ["dark red"], "title": "a chair"}] * 2
    (record, _) = batch.records
    one = "It is dark red in photos. Write its title. [image 48x32]"
    other = "What colour is it? [image 48x32]"
    assert record["usage"]["prompt_tokens"] == len(f"{one} {other}".split())
    assert batch.report["tokens"]["prompt_tokens"] == 2 * record["usage"]["prompt_tokens"]


def test_a_stage_is_told_what_an_earlier_one_answered_and_names_itself_where_it_fails(batch, shop):
    batch.put("a.jpg")
    batch.model(fail_on="It is dark red in photos.")
    assert shop()[0] == 3
    (failure,) = batch.failures
    assert failure["kind"] == "generation"
    assert failure["message"].startswith("stage `words`: ")


def test_what_an_earlier_stage_did_not_answer_is_unknown(batch, shop):
    batch.put("a.jpg")
    batch.model(fail_on="It is unknown in photos.")
    null = 'minItems = 1\nmaxItems = 2\nitems = { enum = ["dark red"] }'
    assert null in RECIPE
    assert shop(old='type = "array"\n' + null, new='type = "null"')[0] == 3
    assert len(batch.failures) == 1


def test_a_property_that_is_no_place_is_refused_before_anything_is_asked(batch, shop, tmp_path):
    batch.put("a.jpg")
    code, said = shop(old="{facts.colours}", new="{facts.colour}")
    assert code == 2
    assert said.splitlines()[0] == (
        f"error: recipe `{tmp_path / 'shop.toml'}`, line 26: `stages[1].prompt`: `prompt` names `{{facts.colour}}`,"
        " which is not known"
    )


def test_a_run_goes_on_and_begins_anew_where_a_stage_changes(batch, shop):
    batch.put("a.jpg")
    described = []
    for old, new in (("", ""), ("", ""), ("Write its title", "Name it"), ("", "")):
        assert shop(old=old, new=new)[0] == 0
        described.append(batch.report["photos"]["records"])
    assert described == [1, 0, 1, 0]


def test_a_perceiver_looks_once_at_each_photo(batch, shop, plugin_folder, tmp_path, monkeypatch):
    (plugin_folder / "counting.py").write_text(PLUGIN)
    install_plugin(plugin_folder, "counting", "counting")
    monkeypatch.delitem(sys.modules, "counting", raising=False)
    monkeypatch.setenv("LOOKS", str(tmp_path / "looks"))
    batch.put("a.jpg", "b.jpg", "c.jpg")
    code, said = shop("--perceivers", "counting")
    assert code == 0, said
    assert (tmp_path / "looks").read_text() == "xxx"


def test_a_model_that_sees_reads_each_photo_once(seeing, shop):
    for number in range(3):
        Image.fromarray(smooth_photo(64, 48, seed=number)).save(seeing.photos / f"{number}.png")
    free = 'type = "string"\nminLength = 1\nmaxLength = 20'
    assert shop("--model", "qwen3_vl", old='enum = ["a chair"]', new=free)[0] == 0
    assert len(seeing.records) == 3
    reused = seeing.report["tokens"]["reused_tokens"]
    # The second question about a photo shares 19 tokens with the first: 12 of the photo, and those around it
    assert reused >= 3 * 19


def test_one_prompt_is_refused_for_a_recipe_with_several(batch, shop):
    batch.put("a.jpg")
    code, said = shop("--prompt", "Hello")
    assert (code, said.splitlines()) == (
        2,
        [
            "error: recipe `shop` has a prompt in each of its stages, `facts`, `words`",
            "hint: change one of them with `--set stages.facts.prompt=…`",
        ],
    )
    assert not batch.output.exists()


def test_a_stage_is_set_for_one_run(batch, shop):
    batch.put("a.jpg")
    batch.model(fail_on="Paint it.")
    assert shop("--set", "stages.words.prompt=Paint it.")[0] == 3


def test_the_columns_of_a_table_are_the_properties_of_all_stages(batch):
    batch.put("a.jpg")
    photo = RECIPE.replace('"data"', '"photo"').replace("colours", "tags")
    (batch.photos.parent / "photo.toml").write_text(photo)
    assert batch.run("--no-page", "--recipe", batch.photos.parent / "photo.toml", "--sink", "csv")[0] == 0
    (row,) = csv.DictReader((batch.output / "records.csv").read_text(encoding="utf-8-sig").splitlines())
    assert (row["tags"], row["title"]) == ("dark red", "a chair")


def test_a_plan_asks_all_stages(batch, shop, tmp_path, capsys):
    batch.put("a.jpg")
    (tmp_path / "own.toml").write_text(RECIPE)
    with pytest.raises(SystemExit) as ended:
        main(batch.arguments("--recipe", tmp_path / "own.toml", "--plan"))
    told = capsys.readouterr()
    assert ended.value.code == 0
    assert json.loads(told.out)["data"] == {"colours": ["dark red"], "title": "a chair"}
    assert "tokens of a photo: 17 in the prompt, 4 in the answer" in told.err
