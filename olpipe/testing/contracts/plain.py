"""Tell Python's own values from those of libraries that only look like them."""

from __future__ import annotations

from typing import Any


def is_plain(value: Any) -> bool:
    """Say whether a value consists of what JSON has, and of nothing but Python's own types.

    `numpy.float64` is a subclass of `float`. It works like one until it is written as JSON.
    """
    if type(value) is dict:
        return all(type(key) is str and is_plain(item) for key, item in value.items())
    if type(value) in (list, tuple):
        return all(is_plain(item) for item in value)
    if type(value) is float:
        return value == value and abs(value) != float("inf")
    return value is None or type(value) in (str, int, bool)
