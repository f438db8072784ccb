"""Turn the conditions on a number into ranges that begin and end at a multiple of their step."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from fractions import Fraction
from typing import Any

from olpipe.errors import SchemaError
from olpipe.guidance import limits
from olpipe.guidance.shapes import Scalar


def number_scalars(schemas: Iterable[Mapping[str, Any]], *, integer: bool, excluded: Iterable[Any]) -> list[Scalar]:
    """Return the ranges of the numbers that satisfy all schemas; none when there is no such number.

    Numbers are exact fractions here: as floats, 0.07 would be no multiple of 0.01.

    Args:
        schemas: Each may have bounds and `multipleOf`.
        integer: Whether only integers are allowed.
        excluded: Numbers that are not allowed. Values of other types are ignored.

    Raises:
        SchemaError: The grammar engine cannot count in the step.
    """
    schemas = list(schemas)
    # 1. The narrowest bounds, and a step that is a multiple of all steps.
    low, low_open = _bound(schemas, "minimum", "exclusiveMinimum", max)
    high, high_open = _bound(schemas, "maximum", "exclusiveMaximum", min)
    steps = [_exact(schema["multipleOf"]) for schema in schemas if "multipleOf" in schema]
    if integer:
        steps.append(Fraction(1))
    step = _common(steps) if steps else None
    # 2. Bounds and a step where the schema gives none.
    largest = _largest(step, integer, [bound for bound in (low, high) if bound is not None])
    low, low_open = (-largest, False) if low is None or low < -largest else (low, low_open)
    high, high_open = (largest, False) if high is None or high > largest else (high, high_open)
    step = step or _step(low, high)
    # 3. The first and the last multiple of the step in the range. An exclusive bound is not in it.
    first, last = math.ceil(low / step), math.floor(high / step)
    first += low_open and first * step == low
    last -= high_open and last * step == high
    # 4. One range for each stretch between excluded numbers.
    gaps = sorted({_exact(value) / step for value in excluded if _is_number(value)})
    ranges = _split(first, last, [int(gap) for gap in gaps if gap.denominator == 1])
    return [_range(start * step, end * step, step) for start, end in ranges]


def limit_passed(schemas: Iterable[Mapping[str, Any]], *, integer: bool) -> int | float | None:
    """Return the largest number that is generated, where the bounds leave only numbers beyond it, else None."""
    schemas = list(schemas)
    low, _ = _bound(schemas, "minimum", "exclusiveMinimum", max)
    high, _ = _bound(schemas, "maximum", "exclusiveMaximum", min)
    if low is not None and high is not None and low > high:
        return None
    steps = [_exact(schema["multipleOf"]) for schema in schemas if "multipleOf" in schema]
    bounds = [bound for bound in (low, high) if bound is not None]
    largest = _largest(_common(steps) if steps else None, integer, bounds)
    passed = (low is not None and low > largest) or (high is not None and high < -largest)
    return _written(largest) if passed else None


def _is_number(value: Any) -> bool:
    """Say whether a value is a number in JSON. In Python, `True` is one, too."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _exact(number: float) -> Fraction:
    """Return a number as it is written: 0.1 is one tenth, though not as a float."""
    return Fraction(str(number))


def _bound(
    schemas: list[Mapping[str, Any]], inclusive: str, exclusive: str, choose: Any
) -> tuple[Fraction | None, bool]:
    """Return the narrowest bound, and whether it is exclusive.

    Args:
        schemas: The conditions.
        inclusive: The keyword of an inclusive bound.
        exclusive: The keyword of an exclusive bound.
        choose: `max` for lower bounds, `min` for upper bounds.
    """
    closed = [_exact(schema[inclusive]) for schema in schemas if inclusive in schema]
    open_ = [_exact(schema[exclusive]) for schema in schemas if exclusive in schema]
    if not closed and not open_:
        return None, False
    bound = choose([*closed, *open_])
    return bound, bound in open_


def _largest(step: Fraction | None, integer: bool, bounds: list[Fraction]) -> Fraction:
    """Return the largest number to allow where a schema gives no bound.

    Every JSON reader keeps numbers up to it as they are written, which is about fifteen digits.
    """
    if integer:
        return Fraction(limits.LARGEST_INTEGER)
    if step is not None:
        return min(Fraction(limits.MOST_STEPS), limits.MOST_STEPS * step)
    wide = max([abs(bound) for bound in bounds], default=Fraction(0))
    return min(Fraction(limits.MOST_STEPS), max(Fraction(limits.LARGEST_NUMBER), wide))


def _step(low: Fraction, high: Fraction) -> Fraction:
    """Return the step of a range for which the schema gives none: a power of ten.

    The numbers of a range have up to `limits.DECIMALS` digits after the point. There are more for a narrow range or for
    bounds that have more, and fewer where fifteen digits in all would not be enough.
    """
    decimals = limits.DECIMALS
    while decimals < 15 and high > low and (high - low) * 10**decimals < 1000:
        decimals += 1
    for bound in (low, high):
        while decimals < 15 and (bound * 10**decimals).denominator != 1:
            decimals += 1
    while decimals and max(abs(low), abs(high)) * 10**decimals > limits.MOST_STEPS:
        decimals -= 1
    return Fraction(1, 10**decimals)


def _common(steps: list[Fraction]) -> Fraction:
    """Return the least common multiple of steps."""
    result = steps[0]
    for step in steps[1:]:
        result = Fraction(
            math.lcm(result.numerator * step.denominator, step.numerator * result.denominator),
            result.denominator * step.denominator,
        )
    return result


def _split(first: int, last: int, gaps: list[int]) -> list[tuple[int, int]]:
    """Return the ranges that are left of the range from `first` to `last` without some numbers, in ascending order."""
    ranges = []
    for gap in gaps:
        if first <= gap <= last:
            ranges.append((first, gap - 1))
            first = gap + 1
    ranges.append((first, last))
    return [(start, end) for start, end in ranges if start <= end]


def _range(low: Fraction, high: Fraction, step: Fraction) -> Scalar:
    """Return a range as a wire schema, and its values where there are few.

    A range whose steps the grammar engine cannot count in is written as an `enum`.
    """
    count = int((high - low) / step) + 1
    few = count <= limits.FEW_NUMBERS or (count <= limits.MOST_NUMBERS and not _is_simple(step))
    values = tuple(_written(low + index * step) for index in range(count)) if few else None
    if count == 1 or (values and not _is_simple(step)):
        return Scalar({"enum": list(values or ())}, values)
    if not _is_simple(step):
        raise SchemaError(f"too many numbers are multiples of `{_written(step)}`", hint="bound them, or round the step")
    kind = "integer" if step.denominator == 1 else "number"
    wire: dict[str, Any] = {"type": kind, "minimum": _written(low), "maximum": _written(high)}
    return Scalar(wire if step == 1 else wire | {"multipleOf": _written(step)}, values)


def _is_simple(step: Fraction) -> bool:
    """Say whether the grammar engine can count in a step. Its effort grows with the step's digits."""
    digits = f"{step.numerator * 10**20 // step.denominator}".rstrip("0")
    return step * 10**20 % 1 == 0 and int(digits) <= limits.LARGEST_STEP


def _written(number: Fraction) -> int | float:
    """Return a number as JSON has it: a whole number without a point."""
    return number.numerator if number.denominator == 1 else float(number)
