"""`--schema` of `olpipe batch`: how it is read, what is refused, and what the user is told about it."""

from __future__ import annotations

import json

import pytest


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("", "error: `--schema` is empty\nhint: give a file, or JSON in quotes\n"),
        ('["a"]', "error: the schema is not a JSON object\n"),
        ("type: object", "error: the schema is not JSON: it looks like YAML\nhint: write it as JSON\n"),
        (
            '{"requierd": ["a"]}',
            "error: `requierd` at `$` is not a keyword of JSON Schema\nhint: did you mean `required`? ",
        ),
    ],
)
def test_a_schema_that_is_none_is_told_by_what_it_is(batch, given, message):
    batch.put("a.jpg")
    code, said = batch.run("--schema", given)
    assert code == 2
    assert said.startswith(message)
    assert len(said.splitlines()) <= 2


def test_a_schema_with_a_byte_order_mark_is_read(batch, tmp_path):
    batch.put("a.jpg")
    schema = {"type": "object", "properties": {"n": {"const": 1}}, "required": ["n"]}
    (tmp_path / "schema.json").write_text(json.dumps(schema), encoding="utf-8-sig")
    assert batch.run("--schema", tmp_path / "schema.json")[0] == 0
    assert [record["data"] for record in batch.records] == [{"n": 1}]


def test_a_schema_that_is_no_text_in_utf_8_is_one_line(batch, tmp_path):
    batch.put("a.jpg")
    path = tmp_path / "schema.json"
    path.write_text('{"type": "object"}', encoding="utf-16")
    assert batch.run("--schema", path) == (
        2,
        f"error: schema `{path}` cannot be read: it is not text in UTF-8\nhint: give a file, or JSON in quotes\n",
    )


def test_properties_that_a_model_may_leave_out_are_told_once(batch):
    batch.put("a.jpg")
    batch.put("b.jpg")
    schema = {"type": "object", "properties": {name: {"const": 1} for name in ("caption", "people")}}
    code, said = batch.run("--schema", json.dumps(schema | {"required": ["caption"]}))
    warning = "warning: the schema does not require `people`: a model may leave it out\n"
    assert code == 0
    assert said.count(f"{warning}hint: list under `required` what every record should have\n") == 1
    code, said = batch.run("--schema", json.dumps(schema | {"required": ["caption", "people"]}))
    assert "require" not in said
