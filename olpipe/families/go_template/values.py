"""Values of templates, and how Go writes them.

A text, a number, a truth value, a list, a dictionary and None are what they are in Python. None is Go's `nil`.
Source: https://pkg.go.dev/fmt and https://pkg.go.dev/encoding/json
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

NO_VALUE = "<no value>"
_BY_ESCAPE = re.compile(r'[\x00-\x1f"\\<>&\u2028\u2029]')
_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t", '"': '\\"', "\\": "\\\\", "\b": "\\b", "\f": "\\f"}
# The exponents of numbers that are written without an exponent: as texts, and as JSON
_TEXT_EXPONENTS, _JSON_EXPONENTS = range(-4, 6), range(-6, 21)


class Failed(Exception):
    """A template does something that fails, with this conversation at least."""


@dataclass(frozen=True, slots=True, eq=False)
class Struct:
    """A value with fields. To ask for another field is an error.

    Attributes:
        kind: What it is called in messages.
        fields: The fields.
        written: The same as JSON has it, in the order in which it is written.
    """

    kind: str
    fields: Mapping[str, Any]
    written: Mapping[str, Any] = field(default_factory=dict)


class Written(dict[str, Any]):
    """A dictionary that is written as JSON."""


class WrittenList(list[Any]):
    """A list that is written as JSON."""


class Missing(list[Any]):
    """A list that is not there. It is empty, and `null` in JSON."""


def is_true(value: Any) -> bool:
    """Say whether a value counts as true: whether it is not zero, not empty and not `nil`."""
    return value is not None and (isinstance(value, Struct) or bool(value))


def kind_of(value: Any) -> str:
    """Return what Go calls the type of a value."""
    if isinstance(value, Struct):
        return value.kind
    names = {bool: "bool", int: "int", float: "float64", str: "string", type(None): "nil"}
    return names.get(type(value), "map[string]interface {}" if isinstance(value, dict) else "[]interface {}")


def written(value: Any) -> str:
    """Return a value as Go's verb `%v` writes it."""
    if value is None:
        return "<nil>"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return _float(value, _TEXT_EXPONENTS, exponent_digits=2)
    if isinstance(value, Struct | Written | WrittenList):
        return to_json(value)
    if isinstance(value, dict):
        return f"map[{' '.join(f'{key}:{written(value[key])}' for key in sorted(value))}]"
    if isinstance(value, list):
        return f"[{' '.join(map(written, value))}]"
    return str(value)


def to_json(value: Any) -> str:
    """Return a value as Go's `json.Marshal` writes it: without spaces, and safe within HTML."""
    if isinstance(value, Struct):
        pairs = (f"{_text(key)}:{to_json(item)}" for key, item in value.written.items())
        return f"{{{','.join(pairs)}}}"
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, dict):
        return f"{{{','.join(f'{_text(key)}:{to_json(value[key])}' for key in sorted(value))}}}"
    if isinstance(value, Missing):
        return "null"
    if isinstance(value, list):
        return f"[{','.join(map(to_json, value))}]"
    if isinstance(value, float):
        return _float(value, _JSON_EXPONENTS, exponent_digits=1)
    return json.dumps(value)


def _text(text: str) -> str:
    return f'"{_BY_ESCAPE.sub(_escaped, text)}"'


def _escaped(match: re.Match[str]) -> str:
    return _SHORT.get(match[0]) or f"\\u{ord(match[0]):04x}"


def _float(value: float, exponents: range, *, exponent_digits: int) -> str:
    """Return the shortest text of a number that is read as the same number."""
    if value != value or value in (float("inf"), float("-inf")):
        return {"inf": "+Inf", "-inf": "-Inf"}.get(str(value), "NaN")
    if value == 0:
        return "-0" if str(value).startswith("-") else "0"
    # 1. The digits, and the power of ten of the first of them
    sign = "-" if value < 0 else ""
    mantissa, _, power = f"{abs(value)!r}".partition("e")
    whole, _, part = mantissa.partition(".")
    digits = (whole + part).lstrip("0")
    exponent = int(power or 0) + (len(whole) - 1 if whole.strip("0") else -1 - (len(part) - len(part.lstrip("0"))))
    digits = digits.rstrip("0") or "0"
    # 2. With an exponent, or without one
    if exponent not in exponents:
        rest = f".{digits[1:]}" if len(digits) > 1 else ""
        return f"{sign}{digits[0]}{rest}e{'-' if exponent < 0 else '+'}{abs(exponent):0{exponent_digits}d}"
    if exponent < 0:
        return f"{sign}0.{'0' * (-exponent - 1)}{digits}"
    digits = digits.ljust(exponent + 1, "0")
    return f"{sign}{digits[: exponent + 1]}" + (f".{digits[exponent + 1 :]}" if digits[exponent + 1 :] else "")
