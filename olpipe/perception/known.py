"""Fill the properties of an answer that are known from evidence, so that the model need not write them."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from olpipe.generation import Guidance
from olpipe.guidance.evidence import check_evidence_kinds, evidence_kinds, lacking
from olpipe.guidance.judge import judge
from olpipe.guidance.schema import valid_schema
from olpipe.record import Detection, Evidence

if TYPE_CHECKING:
    from jsonschema.protocols import Validator

_NOTHING: Any = object()


def with_known_values(guidance: Guidance, evidence: Evidence) -> Guidance:
    """Add the values of all properties that evidence fills.

    A property gets what its schema has room for, or else an empty array. If the schema refuses both, the property is
    null, or it is left out. Only where the schema insists on more than was found, it is left to the model.
    """
    if guidance.kind != "json_schema" or not (marked := _marked(guidance.source)):
        return guidance
    known = dict(guidance.constants)
    absent: tuple[str, ...] = ()
    for name, kind, validator in marked:
        if name in known:
            continue
        fitting = _fitting(_values(kind, evidence), validator)
        value = next((value for value in (fitting, [], None) if validator.is_valid(value)), _NOTHING)
        if value is not _NOTHING:
            known[name] = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
        elif _without(guidance.source, (*absent, name)) is not None:
            absent += (name,)
    # Without this, a schema that does not ask for an object would let the model evade what is known
    source = _without(guidance.source, absent) or guidance.source
    return replace(guidance, source=source, constants=tuple(known.items()))


@lru_cache(maxsize=64)
def _without(source: str, names: tuple[str, ...]) -> str | None:
    """Return a schema that takes only objects without some properties; None where no such object satisfies it."""
    schema = valid_schema(source)
    if not names and schema.get("type") == "object":
        return source
    narrower = lacking(schema, names)
    return None if narrower is None else json.dumps(narrower, ensure_ascii=False)


@lru_cache(maxsize=64)
def _marked(source: str) -> tuple[tuple[str, str, Validator], ...]:
    """Return the properties that evidence fills: name, kind of evidence, and a validator for the value.

    Raises:
        SchemaError: The schema is not valid, or evidence cannot fill what it marks.
    """
    schema = valid_schema(source)
    check_evidence_kinds(schema)
    properties, whole = schema.get("properties", {}), judge(schema)
    return tuple((name, kind, whole.evolve(schema=properties[name])) for name, kind in evidence_kinds(schema).items())


def _values(kind: str, evidence: Evidence) -> list[Any]:
    """Return everything that was found of a kind, the surest first; texts come in the order of reading."""
    if kind == "tags":
        return [label.name for label in evidence.tags]
    if kind == "texts":
        return [text.text for text in evidence.texts]
    return [_object(detection) for detection in evidence.objects]


def _object(detection: Detection) -> dict[str, Any]:
    box = detection.box
    return {"x": box.x, "y": box.y, "w": box.w, "h": box.h, "type": detection.label, "tags": list(detection.tags)}


def _fitting(values: list[Any], validator: Validator) -> list[Any]:
    """Return the values that a schema of an array has room for. It may refuse even those, for being too few."""
    if validator.is_valid(values):
        return values
    # 1. Leave out what is wrong on its own: first finer names of objects, then whole values
    values = _with_fitting_names(values, validator)
    wrong = {error.absolute_path[0] for error in validator.iter_errors(values) if error.absolute_path}
    values = [value for index, value in enumerate(values) if index not in wrong]
    # 2. Leave out what comes again, where all must be different, and what is too much
    errors = list(validator.iter_errors(values))
    if any(error.validator == "uniqueItems" for error in errors):
        values = [value for index, value in enumerate(values) if value not in values[:index]]
    values = values[: min((error.validator_value for error in errors if error.validator == "maxItems"), default=None)]
    if validator.is_valid(values):
        return values
    # 3. Where the schema has alternatives, take the one that has room for most
    alternatives = [error.validator_value for error in errors if error.validator in ("anyOf", "oneOf")]
    fitting = [_fitting(values, validator.evolve(schema=one)) for branches in alternatives for one in branches]
    return max((found for found in fitting if validator.is_valid(found)), key=len, default=values)


def _with_fitting_names(things: list[Any], validator: Validator) -> list[Any]:
    """Return objects with those of their finer names that the schema has room for; other values as they are."""
    # 1. Names that are wrong on their own: the path of the error is (index of the object, "tags", index of the name)
    paths = [tuple(error.absolute_path) for error in validator.iter_errors(things)]
    wrong = {path for path in paths if len(path) == 3 and path[1] == "tags"}
    things = [
        {**thing, "tags": [name for at, name in enumerate(thing["tags"]) if (index, "tags", at) not in wrong]}
        if isinstance(thing, dict)
        else thing
        for index, thing in enumerate(things)
    ]
    # 2. Names that are too many
    for error in list(validator.iter_errors(things)):
        if error.validator == "maxItems" and tuple(error.absolute_path)[1:] == ("tags",):
            del things[error.absolute_path[0]]["tags"][error.validator_value :]
    return things
