"""Go's `printf`, as far as templates of chats need it.

Source: https://pkg.go.dev/fmt
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from olpipe.families.go_template.values import kind_of, written

_VERB = re.compile(r"%(?P<flags>[-+# 0]*)(?P<width>\d*)(?:\.(?P<precision>\d*))?(?P<verb>.|$)", re.DOTALL)
_MOST_DIGITS = 4  # of a width or a precision
_NUMBERS = {"d": "d", "x": "x", "X": "X", "o": "o", "b": "b"}
_FRACTIONS = "feEgG"


def sprint(values: Sequence[Any]) -> str:
    """Return values one after another, with a space where neither of two is a text."""
    text = ""
    for at, value in enumerate(values):
        if at and not isinstance(value, str) and not isinstance(values[at - 1], str):
            text += " "
        text += written(value)
    return text


def sprintf(form: str, values: Sequence[Any]) -> str:
    """Return a text with values in the places of its verbs. What is wrong is said in the text, as Go does."""
    left = list(values)

    def filled(match: re.Match[str]) -> str:
        verb = match["verb"]
        if verb == "%":
            return "%"
        if not verb:
            return "%!(NOVERB)"
        if not left:
            return f"%!{verb}(MISSING)"
        if max(len(match["width"]), len(match["precision"] or "")) > _MOST_DIGITS:
            return f"%!{verb}(BADWIDTH)"
        return _padded(_formatted(match, left.pop(0)), match)

    text = _VERB.sub(filled, form)
    extra = ", ".join("<nil>" if value is None else f"{kind_of(value)}={written(value)}" for value in left)
    return f"{text}%!(EXTRA {extra})" if left else text


def _formatted(match: re.Match[str], value: Any) -> str:
    verb, precision = match["verb"], match["precision"]
    if verb == "v" or (verb == "s" and not isinstance(value, bool | int | float) and value is not None):
        text = written(value)
        return text[: int(precision or 0)] if precision is not None and isinstance(value, str) else text
    if verb == "q" and isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if verb == "t" and isinstance(value, bool):
        return written(value)
    if isinstance(value, bool):
        return _wrong(verb, value)
    if verb in _NUMBERS and isinstance(value, int):
        return format(value, ("+" if "+" in match["flags"] else "") + _NUMBERS[verb])
    if verb in "xX" and isinstance(value, str):
        found = value.encode().hex()
        return found if verb == "x" else found.upper()
    if verb == "c" and isinstance(value, int) and 0 <= value < 0x110000:
        return chr(value)
    if verb in _FRACTIONS and isinstance(value, float):
        if verb == "g" and precision is None:
            return written(value)
        return format(
            value, f"{'+' if '+' in match['flags'] else ''}.{int(precision or 0) if precision is not None else 6}{verb}"
        )
    return _wrong(verb, value)


def _wrong(verb: str, value: Any) -> str:
    return f"%!{verb}(<nil>)" if value is None else f"%!{verb}({kind_of(value)}={written(value)})"


def _padded(text: str, match: re.Match[str]) -> str:
    width = int(match["width"] or 0)
    if "-" in match["flags"]:
        return text.ljust(width)
    if "0" in match["flags"] and match["verb"] not in "sqv":
        return text.zfill(width)
    return text.rjust(width)
