"""Make the validator that judges documents: that of jsonschema, with three keywords judged in another way.

`multipleOf` is judged by the number as it is written, and a `pattern` in bounded time. A text is looked for in an
`enum` at once: jsonschema compares it with one value after the other, which takes a millisecond for 10,000 of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fractions import Fraction
from functools import cache
from typing import TYPE_CHECKING, Any

from olpipe.guidance.dialect import draft
from olpipe.guidance.patterns import contains

if TYPE_CHECKING:
    from jsonschema.protocols import Validator

MOST_SHOWN = 50
"""Most values of an `enum` that a message lists."""


def judge(schema: Mapping[str, Any]) -> Validator:
    """Return the validator that decides whether a document fits a schema, formats included. Nothing is ever fetched."""
    import jsonschema_specifications

    kind = _kind(draft(schema))
    return kind(schema, format_checker=kind.FORMAT_CHECKER, registry=jsonschema_specifications.REGISTRY)


@cache
def _kind(name: str) -> Any:
    """Return the class of validators for a draft.

    Args:
        name: The name of jsonschema's own class.
    """
    import jsonschema
    from jsonschema.exceptions import ValidationError

    def multiple_of(validator: Validator, step: float, value: Any, schema: Any) -> Iterator[ValidationError]:
        # As a number is written: 0.07 is a multiple of 0.01, though not as a float. Exact floats count as well.
        if not validator.is_type(value, "number"):
            return
        exact = Fraction(str(step))
        if Fraction(str(value)) % exact and Fraction(value) % exact:
            yield ValidationError(f"{value!r} is not a multiple of {step}")

    def pattern(validator: Validator, expression: str, value: Any, schema: Any) -> Iterator[ValidationError]:
        if validator.is_type(value, "string") and not contains(expression, value):
            yield ValidationError(f"{value!r} does not match {expression!r}")

    def enum(validator: Validator, values: Any, value: Any, schema: Any) -> Iterator[ValidationError]:
        if not isinstance(value, str):
            yield from usual_enum(validator, values, value, schema)
        elif value not in values:
            more = f" and {len(values) - MOST_SHOWN:,} more" if len(values) > MOST_SHOWN else ""
            yield ValidationError(f"{value!r} is not one of {values[:MOST_SHOWN]!r}{more}")

    usual_enum = getattr(jsonschema, name).VALIDATORS["enum"]
    own = {"multipleOf": multiple_of, "pattern": pattern, "enum": enum}
    return jsonschema.validators.extend(getattr(jsonschema, name), own)
