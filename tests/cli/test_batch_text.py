"""`olpipe batch` keeps the words that a perceiver reads in photos, in every place that records go to."""

import csv
import json
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator, ValidationError

from olpipe.testing.images import photo
from olpipe.testing.install import install_plugin

ROOT = Path(__file__).parents[2]
SIGN, UNPLACED, BLANK, NOTHING = 64, 56, 48, 40
"""Widths of photos, by what the perceiver reads in them."""

# A perceiver that reads what the width of the photo says. It counts how often it looks. Two variables say how it acts:
# whether it says that it reads, and which value a task gives that is no task's to give.
PLUGIN = f"""
import os

from olpipe.default_plugins.tasks.photo import PhotoTask
from olpipe.hookspecs import hookimpl
from olpipe.image import Box
from olpipe.interfaces import Perceiver
from olpipe.record import Evidence, ReadText


class Reader(Perceiver):
    name, version = "reader", "1"
    reads = os.environ.get("SAYS_THAT_IT_READS", "yes") == "yes"

    def perceive(self, image):
        with open(os.environ["LOOKS"], "a") as looks:
            looks.write("x")
        read = {{
            {SIGN}: (ReadText("NO PARKING", 0.987, Box(1, 2, 30, 9)), ReadText("营业时间", 0.9, Box(1, 15, 30, 9))),
            {UNPLACED}: (ReadText("=1+1", 0.8),),
            {BLANK}: (ReadText(" ", 0.8),),
        }}
        return Evidence(texts=read.get(image.width, ()))


class Inventing(PhotoTask):
    name = "inventing"

    def parse(self, value, image):
        return {{**super().parse(value, image), "text": ["made up"]}}


@hookimpl
def register_perceivers():
    return [Reader()]


@hookimpl
def register_tasks():
    return [Inventing()]
"""


@pytest.fixture
def reader(batch, plugin_folder, monkeypatch, tmp_path):
    """Install the plugin, and return a function that writes a photo of a width."""
    (plugin_folder / "reading.py").write_text(PLUGIN)
    install_plugin(plugin_folder, "reading", "reading")
    monkeypatch.delitem(sys.modules, "reading", raising=False)
    monkeypatch.setattr(sys, "stdin", None)  # nothing is piped in
    monkeypatch.setenv("LOOKS", str(tmp_path / "looks"))

    def put(name, width):
        batch.put(name, data=photo(width, 40) + name.encode())

    return put


READING = ("--perceivers", "reader")
SIGN_TEXT = [
    {"text": "NO PARKING", "x": 1, "y": 2, "w": 30, "h": 9, "score": 0.99},
    {"text": "营业时间", "x": 1, "y": 15, "w": 30, "h": 9, "score": 0.9},
]


@pytest.fixture
def published():
    return Draft202012Validator(json.loads((ROOT / "docs" / "record.schema.json").read_text(encoding="utf-8")))


def test_a_record_holds_the_words_that_were_read_as_published(batch, reader, published):
    reader("a.jpg", SIGN)
    reader("b.jpg", UNPLACED)
    assert batch.run(*READING)[0] == 0
    placed, unplaced = batch.records
    assert placed["text"] == SIGN_TEXT
    assert unplaced["text"] == [{"text": "=1+1", "score": 0.8}]
    for record in (placed, unplaced):
        published.validate(record)
        assert list(record)[-8:-6] == ["text", "certainty"]


@pytest.mark.parametrize(
    "text", ["STOP", ["STOP"], [], [{"text": "STOP"}], [{"text": "", "score": 1}], [{"text": "a", "score": 1, "x": 1}]]
)
def test_the_published_schema_refuses_other_texts(batch, reader, published, text):
    reader("a.jpg", SIGN)
    batch.run(*READING)
    with pytest.raises(ValidationError):
        published.validate(batch.records[0] | {"text": text})


@pytest.mark.parametrize("width", [BLANK, NOTHING])
def test_a_photo_in_which_nothing_was_read_has_no_text(batch, reader, width):
    reader("a.jpg", width)
    batch.run(*READING)
    (record,) = batch.records
    assert ("text" in record, record["certainty"]) == (False, "unrecognised")


def test_records_of_a_schema_of_its_own_have_the_words_too(batch, reader):
    reader("a.jpg", SIGN)
    schema = '{"type": "object", "properties": {"text": {"type": "integer"}}, "required": ["text"]}'
    batch.run(*READING, "--schema", schema)
    (record,) = batch.records
    assert (record["text"], type(record["data"]["text"])) == (SIGN_TEXT, int)


def test_a_task_cannot_say_what_was_read(batch, reader, tmp_path):
    reader("a.jpg", SIGN)
    shipped = (ROOT / "pipelines" / "photo-tags.toml").read_text(encoding="utf-8")
    recipe = tmp_path / "inventing.toml"
    recipe.write_text(shipped.replace('task = "photo"', 'task = "inventing"'), encoding="utf-8")
    assert batch.run(*READING, "--recipe", recipe)[0] == 3
    assert "it gave a value `text`, which every record has of its own" in batch.failures[0]["message"]


def test_every_sink_that_ships_takes_the_words(batch, reader):
    reader("a.jpg", SIGN)
    reader("b.jpg", UNPLACED)
    reader("c.jpg", NOTHING)
    sinks = [part for sink in ("csv", "sidecar", "sqlite") for part in ("--sink", sink)]
    assert batch.run(*READING, *sinks)[0] == 0
    with (batch.output / "records.csv").open(encoding="utf-8-sig", newline="") as lines:
        rows = list(csv.DictReader(lines))
    assert [(row["text"], row["other"]) for row in rows] == [("NO PARKING; 营业时间", ""), ("'=1+1", ""), ("", "")]
    sidecar = json.loads((batch.output / "sidecars" / "a.jpg.json").read_text(encoding="utf-8"))
    assert sidecar["text"] == SIGN_TEXT
    with closing(sqlite3.connect(batch.output / "records.sqlite")) as database:
        found = database.execute("select file from words where words match '营业时间'").fetchall()
    assert found == [("a.jpg",)]


def test_records_that_were_made_without_the_words_are_made_again_and_no_photo_is_looked_at_again(
    batch, reader, monkeypatch, tmp_path
):
    reader("a.jpg", SIGN)
    monkeypatch.setenv("SAYS_THAT_IT_READS", "no")
    batch.run(*READING)
    key = batch.report["recipe"]["key"]
    monkeypatch.delitem(sys.modules, "reading")
    monkeypatch.setenv("SAYS_THAT_IT_READS", "yes")
    batch.run(*READING)
    assert batch.report["recipe"]["key"] != key
    assert batch.report["photos"]["records"] == 1
    assert (tmp_path / "looks").read_text() == "x"
