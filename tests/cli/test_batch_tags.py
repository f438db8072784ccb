"""`olpipe batch` with a vocabulary, on sample photos and with the real default model."""

import json
import shutil
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from olpipe.cli.main import main
from olpipe.cli.tags_options import MODES
from olpipe.tagging.settings import Mode

ROOT = Path(__file__).parents[2]
PHOTOS = ("cat.jpg", "coffee.jpg", "rocket.jpg")
TERMS = """\
term,synonyms,zh-Hans,de,it
cat,kitty;house cat,猫,Katze,gatto
coffee,espresso;cappuccino,咖啡,Kaffee,caffè
rocket,missile,火箭,Rakete,razzo
crockery,cup;mug,餐具,Geschirr,stoviglie
ferris wheel,,摩天轮,Riesenrad,ruota panoramica
"""
OWN = {
    "type": "object",
    "required": ["tags", "title"],
    "properties": {
        "tags": {"type": "array", "minItems": 2, "maxItems": 3, "items": {"type": "string", "maxLength": 30}},
        "title": {"type": "string", "maxLength": 40},
    },
}


@pytest.fixture
def folder(tmp_path, photo_mini_home, monkeypatch):
    """Return a folder with three photos and a vocabulary, in which commands run."""
    monkeypatch.setenv("OLPIPE_HOME", str(photo_mini_home))
    monkeypatch.chdir(tmp_path)
    Path("photos").mkdir()
    for name in PHOTOS:
        shutil.copy(ROOT / "samples" / "photos" / name, "photos")
    Path("terms.csv").write_text("\ufeff" + TERMS.replace("\n", "\r\n"), encoding="utf-8")
    return tmp_path


@pytest.fixture
def batch(folder):
    """Return a function that runs `olpipe batch`, and returns the exit code, the records by file, and the report."""

    def run(*options):
        with pytest.raises(SystemExit) as ended:
            main(["batch", "photos", "-o", "out", "--no-page", *options])
        lines = Path("out/records.jsonl").read_text(encoding="utf-8").splitlines()
        records = {record["file"]: record for record in map(json.loads, lines)}
        return ended.value.code, records, json.loads(Path("out/run.json").read_text(encoding="utf-8"))

    return run


def test_the_modes_of_the_option_are_those_that_there_are():
    assert (*Mode,) == MODES


def test_only_terms_are_tags_and_the_same_terms_cost_no_second_run(batch):
    italian = ("--lang", "it", "--tags-from", "terms.csv")  # photo-mini has neither words nor sentences in Italian
    code, records, _ = batch(*italian)
    assert code == 0
    assert {name: record["tags"] for name, record in records.items()} == {
        "cat.jpg": ["gatto"],
        "coffee.jpg": ["stoviglie", "caffè"],
        "rocket.jpg": ["razzo"],
    }
    validator = Draft202012Validator(json.loads((ROOT / "docs" / "record.schema.json").read_text(encoding="utf-8")))
    for record in records.values():
        validator.validate(record)
        assert len(record["tag_scores"]) == len(record["tags"]) and None not in record["tag_scores"]
        assert record["certainty"] == "sure"
    (cup,) = (thing for thing in records["coffee.jpg"]["objects"] if thing["type"] == "stoviglie")
    assert cup["tags"] == ["caffè"] and cup["score"] > 0.6

    Path("terms.csv").write_text("# ours\n" + TERMS, encoding="utf-8")
    again = batch(*italian)
    assert again[1] == records and again[2]["photos"]["records"] == 0


def test_a_column_of_chinese_names_gives_chinese_tags(batch, capsys):
    Path("terms.csv").write_text(TERMS + "sailing boat,,,,\n", encoding="utf-8")
    code, records, _ = batch("--recipe", "catalog-zh", "--tags-from", "terms.csv", "--tags-mode", "closed")
    assert code == 0
    assert {name: record["tags"] for name, record in records.items()} == {
        "cat.jpg": ["猫"],
        "coffee.jpg": ["餐具", "咖啡"],
        "rocket.jpg": ["火箭"],
    }
    assert "餐具" in [thing["type"] for thing in records["coffee.jpg"]["objects"]]
    warning = (
        "the schema has no room for these terms of `terms.csv` (1 of them), so they are left out: `sailing boat`\n"
    )
    assert capsys.readouterr().err.count(warning) == 1  # the recipe takes no Latin names with a space


def test_a_model_that_writes_tags_itself_can_write_only_terms(batch):
    code, records, report = batch("--schema", json.dumps(OWN), "--tags-from", "terms.csv", "--limit", "2")
    assert code == 0
    assert report["tokens"]["sampled_tokens"] > 0
    known = {line.partition(",")[0] for line in TERMS.splitlines()[1:]}
    for record in records.values():
        assert record["data"]["tags"] and known.issuperset(record["data"]["tags"])
        assert len(set(record["data"]["tags"])) == len(record["data"]["tags"])


def test_listed_terms_are_preferred_and_other_tags_stay(batch):
    table = ("--set", 'tags={from="terms.csv", mode="prefer", stop=["gefleckte Katze"], limit=2}')
    code, records, _ = batch(*table, "--lang", "de")
    assert code == 0
    assert records["coffee.jpg"]["tags"] == ["Geschirr", "Kaffee"]
    assert records["cat.jpg"]["tags"] == ["Katze"]
    assert len(records["rocket.jpg"]["tags"]) <= 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--tags-from", "bad.txt"), "error: `bad.txt`, line 2: `!` has no letters"),
        (("--tags-from", "term.csv"), "error: the vocabulary `term.csv` cannot be read: No such file or directory\n"),
        (("--tags-mode", "map"), "error: `--tags-mode map` is about a vocabulary, and there is none"),
        (("--tags-from", "terms.csv", "--tags-mode", "clsed"), "clsed"),
        (
            ("--tags-from", "terms.csv", "--recipe", "documents"),
            "error: `--tags-from` does nothing: the schema has no array of texts that is called `tags`",
        ),
        (("--set", "tags.from=bad.txt"), "error: `--set tags.from=bad.txt`: `tags.from`: `bad.txt`, line 2: "),
    ],
)
def test_a_vocabulary_that_cannot_be_used_is_refused_before_the_first_photo(folder, capsys, options, message):
    Path("bad.txt").write_text("cat\n!\n")
    with pytest.raises(SystemExit) as ended:
        main(["batch", "photos", "-o", "out", *options])
    assert ended.value.code == 2
    assert message in capsys.readouterr().err
    assert not Path("out").exists()
