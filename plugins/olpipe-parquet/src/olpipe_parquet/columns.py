"""Records as rows of typed columns. A JSON Schema says which types, so that all files of a run have the same ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import orjson
import pyarrow as pa

from olpipe.record_columns import REST, JsonSchema, properties_of

MARK = b"olpipe"
AS_JSON: Mapping[bytes, bytes] = {MARK: b"json"}
"""What the metadata of a column says whose texts are JSON."""

Fitted = tuple[Any, bool]
"""A value as a column takes it, and whether that is all of the value."""

_SMALLEST, _LARGEST = -(2**63), 2**63 - 1
_SCALARS = {"string": pa.string(), "integer": pa.int64(), "number": pa.float64(), "boolean": pa.bool_()}
_KINDS = {str: "string", bool: "boolean", int: "integer", float: "number"}


def arrow_schema(columns: Mapping[str, JsonSchema]) -> pa.Schema:
    """Return the types of columns, and a last column for what does not fit into them.

    Args:
        columns: The JSON Schema of each column's values. Values that it says too little of become JSON.
    """
    fields = [_field(name, schema) for name, schema in columns.items()]
    return pa.schema([*fields, pa.field(REST, pa.string(), metadata=AS_JSON)])


class Rows:
    """Makes rows of records."""

    def __init__(self, schema: pa.Schema) -> None:
        self.schema = schema
        self._fit = {field.name: _fitter(field) for field in schema if field.name != REST}

    def row(self, record: Mapping[str, Any]) -> dict[str, Any]:
        """Return a record as a row. What does not fit stands in the last column, whole."""
        row: dict[str, Any] = {}
        rest = {key: value for key, value in record.items() if key not in self._fit}
        for name, fit in self._fit.items():
            value = record.get(name)
            row[name], is_whole = fit(value)
            if not is_whole:
                rest[name] = value
        return {**row, REST: _json(rest) if rest else None}


def _field(name: str, schema: JsonSchema) -> pa.Field:
    found = _type(schema)
    return pa.field(name, pa.string(), metadata=AS_JSON) if found is None else pa.field(name, found)


def _type(schema: JsonSchema) -> pa.DataType | None:
    """Return the type of a schema's values; None where there is no single one."""
    if properties := properties_of(schema):
        return pa.struct([_field(name, within) for name, within in properties.items()])
    kinds = _kinds(schema)
    if kinds == {"integer", "number"}:
        return pa.float64()
    kind = kinds.pop() if len(kinds) == 1 else ""
    items = schema.get("items")
    if kind == "array" and isinstance(items, Mapping):
        found = _type(items)
        return None if found is None else pa.list_(found)
    return _SCALARS.get(kind)


def _kinds(schema: JsonSchema) -> set[str]:
    """Return what a schema says of its values' types, without null. Where it gives the values, their types count."""
    declared = schema.get("type")
    if declared is None:
        values = [schema["const"]] if "const" in schema else schema.get("enum", ())
        return {_KINDS.get(type(value), "other") for value in values if value is not None}
    kinds = [declared] if isinstance(declared, str) else declared
    return {kind for kind in kinds if kind != "null"}


def _fitter(field: pa.Field) -> Callable[[Any], Fitted]:
    """Return what makes a field's value of a JSON value."""
    if field.metadata and MARK in field.metadata:
        return lambda value: (None if value is None else _json(value), True)
    if pa.types.is_struct(field.type):
        children = [field.type.field(number) for number in range(field.type.num_fields)]
        return _struct_fitter({child.name: _fitter(child) for child in children})
    if pa.types.is_list(field.type):
        return _list_fitter(_fitter(field.type.value_field))
    scalar = _FITTERS[field.type]
    return lambda value: (None, True) if value is None else scalar(value)


def _struct_fitter(children: Mapping[str, Callable[[Any], Fitted]]) -> Callable[[Any], Fitted]:
    def fit(value: Any) -> Fitted:
        if not isinstance(value, dict):
            return None, value is None
        fitted = {name: child(value.get(name)) for name, child in children.items()}
        is_whole = value.keys() <= children.keys() and all(whole for _, whole in fitted.values())
        return {name: part for name, (part, _) in fitted.items()}, is_whole

    return fit


def _list_fitter(item: Callable[[Any], Fitted]) -> Callable[[Any], Fitted]:
    def fit(value: Any) -> Fitted:
        if not isinstance(value, list):
            return None, value is None
        fitted = [item(one) for one in value]
        return [part for part, _ in fitted], all(whole for _, whole in fitted)

    return fit


def _text(value: Any) -> Fitted:
    return (value, True) if isinstance(value, str) else (None, False)


def _boolean(value: Any) -> Fitted:
    return (value, True) if isinstance(value, bool) else (None, False)


def _whole_number(value: Any) -> Fitted:
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value // 1:
        return None, False
    return (int(value), True) if _SMALLEST <= value <= _LARGEST else (None, False)


def _number(value: Any) -> Fitted:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return (float(value), True) if is_number else (None, False)


_FITTERS: Mapping[pa.DataType, Callable[[Any], Fitted]] = {
    pa.string(): _text,
    pa.bool_(): _boolean,
    pa.int64(): _whole_number,
    pa.float64(): _number,
}


def _json(value: Any) -> str:
    return orjson.dumps(value).decode()
