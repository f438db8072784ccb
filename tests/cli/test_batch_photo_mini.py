"""The default recipe on the sample photos with the real default model."""

import json
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from olpipe.cli.main import main

ROOT = Path(__file__).parents[2]
PHOTOS = ROOT / "samples" / "photos"
RECORD_SCHEMA = ROOT / "docs" / "record.schema.json"


@pytest.fixture
def described(tmp_path, photo_mini_home, monkeypatch, capsys):
    """Return a function that runs the README's command and returns exit code, records and report."""
    monkeypatch.setenv("OLPIPE_HOME", str(photo_mini_home))
    output = tmp_path / "out"

    def describe(*options):
        with pytest.raises(SystemExit) as ended:
            main(["batch", str(PHOTOS), "-o", str(output), *options])
        lines = (output / "records.jsonl").read_text(encoding="utf-8").splitlines()
        report = json.loads((output / "run.json").read_text(encoding="utf-8"))
        return ended.value.code, [json.loads(line) for line in lines], report

    return describe


def test_every_sample_photo_gets_a_record_as_published_and_only_once(described):
    code, records, report = described()
    names = sorted(path.name for path in PHOTOS.iterdir() if path.suffix == ".jpg")
    assert (code, [record["file"] for record in records]) == (0, names)
    validator = Draft202012Validator(json.loads(RECORD_SCHEMA.read_text(encoding="utf-8")))
    for record in records:
        validator.validate(record)
        assert record["model"] == "photo-mini:latest"
        for thing in record["objects"]:
            assert thing["x"] + thing["w"] <= record["image"]["width"]
            assert thing["y"] + thing["h"] <= record["image"]["height"]
    assert report["perceivers"].keys() == {"photo-mini"}
    assert all(report["tokens"][kind] > 0 for kind in report["tokens"])
    assert report["stage_seconds"]["ground"] > 0

    again = described()
    assert again[:2] == (0, records)
    assert again[2]["photos"]["records"] == 0


def test_a_photo_on_its_side_is_seen_like_the_upright_one(described):
    _, records, _ = described()
    turned, upright = (
        next(record for record in records if record["file"] == name) for name in ("cat-on-its-side.jpg", "cat.jpg")
    )
    assert turned["image"] == upright["image"] | {"orientation": 6}
    assert turned["tags"] == upright["tags"]
    assert "cat" in turned["tags"]
    for one, other in zip(turned["objects"], upright["objects"], strict=True):
        assert all(abs(one[side] - other[side]) <= 8 for side in "xywh")


def test_chinese_records_have_chinese_tags_and_cost_no_forward(described, capsys):
    code, records, report = described("--lang", "zh-Hans")
    assert code == 0
    notice = "`photo-mini:latest` does not write `zh-Hans`: `title`, `description` and `alt` will be left out"
    assert capsys.readouterr().err.count(notice) == 1
    validator = Draft202012Validator(json.loads(RECORD_SCHEMA.read_text(encoding="utf-8")))
    for record in records:
        validator.validate(record)
        assert not {"title", "description", "alt"} & record.keys()
        words = [*record["tags"], *(thing["type"] for thing in record["objects"])]
        assert all(word.isalpha() and not word.isascii() for word in words)
    seen = {record["file"]: record["tags"] for record in records}
    assert seen["cat.jpg"][0] == "猫"
    assert "浓缩咖啡" in seen["coffee.jpg"]
    assert "三脚架" in seen["photographer.jpg"]
    assert report["tokens"]["sampled_tokens"] == 0


def test_a_language_without_words_is_refused_with_those_that_have_some(tmp_path, photo_mini_home, monkeypatch, capsys):
    monkeypatch.setenv("OLPIPE_HOME", str(photo_mini_home))
    with pytest.raises(SystemExit) as ended:
        main(["batch", str(PHOTOS), "-o", str(tmp_path / "out"), "--lang", "zn-Hans"])
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert "error: there are no tags in `zn-Hans`\nhint: did you mean `zh-Hans`" in said
    assert "known: ar, de, en, es, fr, hi, ja, ko, pt, ru, zh-Hans, zh-Hant\n" in said
