"""Judge a finished document by the schema as given, not by the wire schema that it was generated under."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import orjson

from olpipe.errors import InvalidOutput
from olpipe.guidance.judge import judge
from olpipe.guidance.repair import repaired
from olpipe.guidance.schema import valid_schema

if TYPE_CHECKING:
    from jsonschema.protocols import Validator


def validate(source: str, text: str) -> Any:
    """Return the value of a document, without the repeated items that `uniqueItems` forbids.

    Args:
        source: The schema's JSON text, as the user gave it.
        text: The document.

    Raises:
        SchemaError: The schema itself is not valid.
        InvalidOutput: The document is not JSON, or the schema refuses it. The message says where and why.
    """
    value = repaired(_read(text), validator_of(source))
    _refuse(value, validator_of(source))
    return value


def judge_as_it_is(source: str, text: str) -> None:
    """Judge a document that can no longer be changed, such as one that was streamed. Raises what `validate` raises."""
    _refuse(_read(text), validator_of(source))


def _read(text: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise InvalidOutput(f"the answer is not JSON: {error}") from error


def _refuse(value: Any, validator: Validator) -> None:
    refusal = next(validator.iter_errors(value), None)
    if refusal is not None:
        raise InvalidOutput(f"the answer does not fit the schema at `{refusal.json_path}`: {refusal.message}")


@lru_cache(maxsize=64)
def validator_of(source: str) -> Validator:
    """Return what judges documents by a schema.

    Raises:
        SchemaError: The schema is not valid.
    """
    return judge(valid_schema(source))
