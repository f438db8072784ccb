"""The functions that templates may use: those of Go, and those of Ollama.

Sources: https://pkg.go.dev/text/template#hdr-Functions and
https://github.com/ollama/ollama/blob/main/template/template.go
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote_plus

from olpipe.families.go_template.printing import sprint, sprintf
from olpipe.families.go_template.values import Failed, Struct, is_true, kind_of, to_json, written

LAZY = ("and", "or")
"""The functions whose arguments count only up to the one that decides. The interpreter knows them."""

_DATE = "%Y-%m-%d"
_IN_SCRIPT = re.compile(r"""[\\'"<>&=\x00-\x1f\x7f-\x9f\u2028\u2029]""")
_SCRIPT_ESCAPES = {"\\": "\\\\", "'": "\\'", '"': '\\"'}
_TYPES = {
    "string": "string",
    "number": "number",
    "integer": "number",
    "boolean": "boolean",
    "array": "any[]",
    "object": "Record<string, any>",
    "null": "null",
}

Function = Callable[..., Any]


def functions(now: Callable[[], datetime]) -> Mapping[str, Function]:
    """Return the functions by their names.

    Each raises `Failed` where it cannot be used so, and `TypeError` where the number of arguments is wrong.

    Args:
        now: Returns the time.
    """
    return {
        "not": lambda value: not is_true(value),
        "len": _length,
        "index": _index,
        "slice": _slice,
        "eq": _equal,
        "ne": lambda left, right: not _equal(left, right),
        "lt": lambda left, right: _less(left, right),
        "le": lambda left, right: _less(left, right) or _equal(left, right),
        "gt": lambda left, right: not (_less(left, right) or _equal(left, right)),
        "ge": lambda left, right: not _less(left, right),
        "print": lambda *values: sprint(values),
        "println": lambda *values: " ".join(map(written, values)) + "\n",
        "printf": _printf,
        "html": lambda *values: html.escape(sprint(values)).replace("&quot;", "&#34;").replace("&#x27;", "&#39;"),
        "js": lambda *values: _IN_SCRIPT.sub(_escaped_in_script, sprint(values)),
        "urlquery": lambda *values: quote_plus(sprint(values)),
        "json": to_json,
        "currentDate": lambda *form: now().strftime(_DATE),
        "yesterdayDate": lambda *form: (now() - timedelta(days=1)).strftime(_DATE),
        "toTypeScriptType": script_type,
    }


def script_type(value: Any) -> str:
    """Return the type of a property of a tool as TypeScript writes it."""
    if not isinstance(value, Struct) or "AnyOf" not in value.fields:
        return "any"
    if value.fields["AnyOf"]:
        return " | ".join(map(script_type, value.fields["AnyOf"]))
    kinds = value.written.get("type") or ["any"]
    return " | ".join(_TYPES.get(str(kind), "any") for kind in ([kinds] if isinstance(kinds, str) else kinds))


def _length(value: Any) -> int:
    if isinstance(value, str):
        return len(value.encode())
    if isinstance(value, list | dict):
        return len(value)
    raise Failed(f"`len` of type {kind_of(value)}")


def _index(value: Any, *keys: Any) -> Any:
    for key in keys:
        if value is None:
            raise Failed("`index` of nil")
        if isinstance(value, dict):
            if not isinstance(key, str):
                raise Failed(f"`index` of a map with a key of type {kind_of(key)}")
            value = value.get(key)
            continue
        if not isinstance(value, list | str):
            raise Failed(f"`index` of type {kind_of(value)}")
        items = value.encode() if isinstance(value, str) else value
        value = items[_position(key, len(items) - 1)]
    return value


def _slice(value: Any, *ends: Any) -> Any:
    if not isinstance(value, list | str):
        raise Failed(f"`slice` of type {kind_of(value)}")
    if len(ends) > (2 if isinstance(value, str) else 3):
        raise Failed("`slice` takes fewer numbers")
    items: Any = value.encode() if isinstance(value, str) else value
    first, last, *_ = [_position(end, len(items)) for end in ends] + [0, len(items)][len(ends) :] + [len(items)]
    if first > last:
        raise Failed(f"`slice` from {first} to {last}")
    found = items[first:last]
    return found.decode(errors="ignore") if isinstance(found, bytes) else type(value)(found)


def _position(key: Any, most: int) -> int:
    if isinstance(key, bool) or not isinstance(key, int):
        raise Failed(f"a position of type {kind_of(key)}")
    if not 0 <= key <= most:
        raise Failed(f"index out of range: {key}")
    return key


def _equal(left: Any, *others: Any) -> bool:
    """Say whether a value is one of others."""
    if not others:
        raise Failed("`eq` needs something to compare with")
    for one in (left, *others):
        if isinstance(one, list | dict):
            raise Failed(f"values of type {kind_of(one)} cannot be compared")
    for other in others:
        if left is None or other is None:
            if left is other:
                return True
        elif kind_of(left) != kind_of(other):
            raise Failed(f"{kind_of(left)} and {kind_of(other)} cannot be compared")
        elif left == other:
            return True
    return False


def _less(left: Any, right: Any) -> bool:
    kinds = {kind_of(left), kind_of(right)}
    if len(kinds) > 1 or not kinds & {"int", "float64", "string"}:
        raise Failed(f"{kind_of(left)} and {kind_of(right)} have no order")
    return bool(left < right)


def _printf(form: Any, *values: Any) -> str:
    if not isinstance(form, str):
        raise Failed(f"`printf` needs a text, not {kind_of(form)}")
    return sprintf(form, values)


def _escaped_in_script(match: re.Match[str]) -> str:
    return _SCRIPT_ESCAPES.get(match[0]) or f"\\u{ord(match[0]):04X}"


NAMES = frozenset([*LAZY, *functions(datetime.now)])
"""The names of all functions."""
