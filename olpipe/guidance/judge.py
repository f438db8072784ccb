"""Make the validator that judges documents: that of jsonschema, with two keywords judged in another way.

`multipleOf` is judged by the number as it is written, and a `pattern` in bounded time.
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

    own = {"multipleOf": multiple_of, "pattern": pattern}
    return jsonschema.validators.extend(getattr(jsonschema, name), own)
