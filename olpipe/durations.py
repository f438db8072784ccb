"""Lengths of time as people write them to Ollama: `10m`, `1h30m`, `300`."""

from __future__ import annotations

import re

_UNITS_S = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_NUMBER = r"(?:[0-9]+\.?[0-9]*|\.[0-9]+)"
_PART = re.compile(rf"({_NUMBER})(ns|us|µs|μs|ms|s|m|h)")
_DURATION = re.compile(rf"[+-]?(?:0|(?:{_NUMBER}(?:ns|us|µs|μs|ms|s|m|h))+)")
_SECONDS = re.compile(r"-?[0-9]+")


def duration(text: str) -> float:
    """Return how many seconds a text with units stands for.

    Raises:
        ValueError: The text is not a duration.

    Source: https://pkg.go.dev/time#ParseDuration
    """
    if _DURATION.fullmatch(text) is None:
        raise ValueError(f"`{text}` is not a duration; write one like `10m` or `1h30m`")
    seconds = sum(float(number) * _UNITS_S[unit] for number, unit in _PART.findall(text))
    return -seconds if text.startswith("-") else seconds


def keep_alive(text: str) -> float:
    """Return how many seconds a model stays loaded. A text without a unit counts seconds. Below 0 means for ever.

    Raises:
        ValueError: The text is not a duration.
    """
    return float(text) if _SECONDS.fullmatch(text) else duration(text)
