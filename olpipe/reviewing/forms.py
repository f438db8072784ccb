"""Turn a JSON Schema into a form: which field the page has for each value, what it is called, and what fits into it.

A form is JSON for the page. Each field has a `kind`:

- `text` is a text, and `long` where it may have several lines; `number` is a number;
- `choice` has `options`, any JSON values;
- `lines` is a list of texts, one each line; `rows` is any other list, or an object that may be missing (`single`), with
  the form of each `item`;
- `object` has `fields` of its own, and stands only within rows;
- `json` is whatever no other field fits.

`nullable` and `optional` say what an empty field stands for: null, or a key that is left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import orjson

from olpipe.pipeline.data_edits import place_of

Form = dict[str, Any]
JsonSchema = Mapping[str, Any]

DEEPEST = 16
"""Fields that lie deeper, as in a schema that refers to itself, become JSON."""

LONG = 100
"""A text of more characters may have several lines."""

_NULL: JsonSchema = {"type": "null"}
_OF_TEXTS = {"maxLength", "minLength", "pattern", "format"}
_PATTERN = "Pattern: "
_FORMATS = {
    "date": "A date, such as 2024-05-31.", "time": "A time, such as 14:30:00Z.", "email": "An email address.",
    "date-time": "A date and a time, such as 2024-05-31T14:30:00Z.", "uri": "An address, such as https://example.org.",
}  # fmt: skip


def form_of(schema: JsonSchema) -> list[Form]:
    """Return the fields for the answer to a schema, each with the `field` that it corrects and the `path` of its keys.

    Objects are taken apart: there is a field for each of their values.
    """
    return list(_Forms(schema).units(schema, ()))


def form_of_list(schema: JsonSchema, path: Sequence[str]) -> Form | None:
    """Return the form of a list of objects below these keys of a schema; None where it is something else."""
    part: Any = schema
    for key in path:
        part = part.get("properties", {}).get(key) if isinstance(part, Mapping) else None
    form = _Forms(schema).form(part, path[-1], 0) if isinstance(part, Mapping) else None
    if form is None or form["kind"] != "rows" or form["item"]["kind"] != "object":
        return None
    form["item"]["fields"].sort(key=lambda field: field["kind"] == "number")  # the sides of boxes
    return {**form, "note": ""}


def words(key: str | int) -> str:
    """Return a key as people read it: `postalCode` and `postal_code` are “postal code”, and items have a number."""
    if isinstance(key, int):
        return f"row {key + 1}"
    apart = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", re.sub(r"[_\-\s]+", " ", key)).strip()
    shorts = (word if len(word) > 1 and word.isupper() else word.lower() for word in apart.split())
    return " ".join(shorts) or key


def label_of(path: Sequence[str | int]) -> str:
    """Return what a place in a document is called: its keys in words."""
    label = ", ".join(map(words, path)) or "answer"
    return label[:1].upper() + label[1:]


class _Forms:
    """Makes the forms of the parts of one schema."""

    def __init__(self, root: JsonSchema) -> None:
        self._root = root

    def units(self, schema: Any, path: tuple[str, ...], *, required: bool = True) -> Iterator[Form]:
        """Yield the fields of what lies below some keys. An object that is always there is taken apart."""
        form = self.form(schema, path[-1] if path else "", len(path))
        form = form if required else self._missing(form)
        if form["kind"] != "object":
            yield {**form, "field": place_of(path), "path": list(path), "label": label_of(path)}
            return
        plain = self._plain(schema)[0]
        for key, part in plain["properties"].items():
            yield from self.units(part, (*path, key), required=key in plain.get("required", ()))

    def form(self, schema: Any, key: str, depth: int) -> Form:
        """Return the form of one value."""
        plain, nullable = self._plain(schema)
        told = {"label": label_of((key,)), "help": str(plain.get("description") or plain.get("title") or "")}
        form: Form = {"kind": "json"} if depth > DEEPEST else self._fitted(plain, key, depth)
        if nullable and form["kind"] == "object":
            form = {"kind": "rows", "single": True, "item": form}
        if nullable and form["kind"] == "choice":
            form["options"] = [*(option for option in form["options"] if option is not None), None]
        notes = [*_notes(plain, form), *_of_empty(form["kind"], nullable=nullable)]
        notes.sort(key=lambda note: note.startswith(_PATTERN))  # what is hard to read comes last
        return {**form, **told, "note": " ".join(notes), **({"nullable": True} if nullable else {})}

    def _missing(self, form: Form) -> Form:
        """Return the form of a value that may be left out."""
        if form["kind"] == "object":
            form = {**form, "kind": "rows", "single": True, "item": {**form}}
        return {**form, "optional": True}

    def _fitted(self, schema: JsonSchema, key: str, depth: int) -> Form:
        kind = schema.get("type")
        if "const" in schema or "enum" in schema:
            options = [schema["const"]] if "const" in schema else list(schema["enum"])
            return {"kind": "choice", "options": options}
        if kind == "boolean":
            return {"kind": "choice", "options": [True, False]}
        if kind == "null":
            return {"kind": "choice", "options": [None]}
        if kind == "string" or (kind is None and _OF_TEXTS & schema.keys()):
            return {"kind": "text", "long": schema.get("maxLength", LONG + 1) > LONG}
        if kind in ("number", "integer"):
            return {"kind": "number", "whole": kind == "integer"}
        if kind == "object" and isinstance(schema.get("properties"), Mapping) and schema["properties"]:
            return self._object(schema, depth)
        if kind == "array" and isinstance(schema.get("items"), Mapping) and "prefixItems" not in schema:
            item = self.form(schema["items"], key, depth + 1)
            if item["kind"] == "text" and not item.get("nullable"):
                return {"kind": "lines"}
            return {"kind": "rows", "item": item}
        return {"kind": "json"}

    def _object(self, schema: JsonSchema, depth: int) -> Form:
        fields = []
        for key, part in schema["properties"].items():
            form = self.form(part, key, depth + 1)
            form = form if key in schema.get("required", ()) else self._missing(form)
            fields.append({**form, "key": key})
        return {"kind": "object", "fields": fields}

    def _plain(self, schema: Any) -> tuple[JsonSchema, bool]:
        """Return a schema without references and alternatives, and whether null is allowed beside it.

        What cannot be told in one schema is left without a type.
        """
        nullable = False
        for _ in range(DEEPEST):
            if not isinstance(schema, Mapping):
                return {}, nullable
            rest = {key: value for key, value in schema.items() if key not in ("$ref", "anyOf", "oneOf", "allOf")}
            if "$ref" in schema:
                schema = {**self._found(schema["$ref"]), **rest}
            elif len(schema.get("allOf", ())) == 1 and isinstance(schema["allOf"][0], Mapping):
                schema = {**schema["allOf"][0], **rest}
            elif options := schema.get("anyOf") or schema.get("oneOf"):
                others = [option for option in options if not _is_null(option)]
                nullable = nullable or len(others) < len(options)
                if len(others) == 1 and isinstance(others[0], Mapping):
                    schema = {**rest, **others[0]}
                elif others and all(isinstance(one, Mapping) and {"enum", "const"} & one.keys() for one in others):
                    schema = {**rest, "enum": [value for one in others for value in _values(one)]}
                else:
                    return ({**_without_type(rest)} if others else {**rest, **_NULL}), nullable
            else:
                break
        kinds = schema.get("type") if isinstance(schema, Mapping) else None
        if isinstance(kinds, list):
            others = [kind for kind in kinds if kind != "null"]
            others = ["number"] if {*others} == {"number", "integer"} else others
            nullable = nullable or (len(others) < len(kinds) and "null" in kinds)
            schema = {**schema, "type": others[0]} if len(others) == 1 else _without_type(schema)
        if "enum" not in schema and "type" not in schema and isinstance(schema.get("properties"), Mapping):
            schema = {**schema, "type": "object"}
        return schema, nullable

    def _found(self, reference: Any) -> JsonSchema:
        """Return the part of the schema that a reference leads to; `{}` where it leads elsewhere."""
        if not isinstance(reference, str) or not reference.startswith("#"):
            return {}
        part: Any = self._root
        for key in reference[1:].split("/")[1:]:
            key = key.replace("~1", "/").replace("~0", "~")
            part = part.get(key) if isinstance(part, Mapping) else None
        return part if isinstance(part, Mapping) else {}


def _without_type(schema: JsonSchema) -> JsonSchema:
    return {key: value for key, value in schema.items() if key not in {"type", *_OF_TEXTS}}


def _is_null(schema: Any) -> bool:
    return isinstance(schema, Mapping) and (
        schema.get("type") in ("null", ["null"]) or schema.get("enum") == [None] or schema.get("const", 0) is None
    )


def _values(schema: JsonSchema) -> list[Any]:
    return [schema["const"]] if "const" in schema else list(schema["enum"])


def _notes(schema: JsonSchema, form: Form) -> Iterator[str]:
    """Yield what a person must know of the values that fit, in sentences."""
    kind = form["kind"]
    if kind == "text":
        if said := _amount(schema, "minLength", "maxLength", "character"):
            yield f"{said[:1].upper()}{said[1:]}."
        if schema.get("format") in _FORMATS:
            yield _FORMATS[schema["format"]]
        if "pattern" in schema:
            yield f"{_PATTERN}{schema['pattern']}"
    elif kind == "number":
        yield " ".join(["A whole number" if form["whole"] else "A number", *_limits(schema)]) + "."
    elif kind == "lines":
        amount = _amount(schema, "minItems", "maxItems", "line")
        yield f"One each line{amount and ', '}{amount}."
        for note in _notes(schema["items"], {"kind": "text"}):
            yield f"In a line: {note[:1].lower()}{note[1:]}"
    elif kind == "rows":
        if not form.get("single") and (said := _amount(schema, "minItems", "maxItems", "row")):
            yield f"{said[:1].upper()}{said[1:]}."
        for field in form["item"].get("fields", ()):
            if told := " ".join(part for part in (field["help"], field["note"]) if part):
                yield f"{field['label']}: {told[:1].lower()}{told[1:]}"
    elif kind == "json":
        yield "A text, or JSON."


def _amount(schema: JsonSchema, least: str, most: str, noun: str) -> str:
    """Return how much of something fits; an empty text where nothing limits it."""
    low, high = schema.get(least), schema.get(most)
    low = low if isinstance(low, int) and low > 1 else None
    if not isinstance(high, int):
        return "" if low is None else f"at least {low:,} {noun}s"
    nouns = noun if high == 1 else f"{noun}s"
    if low == high:
        return f"{high:,} {nouns}"
    return f"at most {high:,} {nouns}" if low is None else f"{low:,} to {high:,} {nouns}"


def _limits(schema: JsonSchema) -> Iterator[str]:
    """Yield what limits a number."""
    told = {
        keyword: f"{said} {orjson.dumps(schema[keyword]).decode()}"
        for keyword, said in (
            ("minimum", "of at least"), ("exclusiveMinimum", "above"), ("maximum", "of at most"),
            ("exclusiveMaximum", "below"), ("multipleOf", "that is a multiple of"),
        )
        if isinstance(schema.get(keyword), int | float) and not isinstance(schema[keyword], bool)
    }  # fmt: skip
    if "minimum" in told and "maximum" in told:
        low, high = (told.pop(keyword).rpartition(" ")[2] for keyword in ("minimum", "maximum"))
        yield f"from {low} to {high}"
    yield from told.values()


def _of_empty(kind: str, *, nullable: bool) -> Iterator[str]:
    """Yield what an empty field stands for, where it is null."""
    if nullable and kind in ("text", "number"):
        yield "Empty: null."
