"""Read the values of settings from texts, as Ollama reads those of its own environment.

Source: https://github.com/ollama/ollama/blob/main/envconfig/config.go
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from olpipe.durations import keep_alive as seconds_of

KEEP_ALIVE_S = LOAD_TIMEOUT_S = 300.0  # a text that is no duration gives this
_REGISTRY = re.compile(r"https?://(\[[0-9a-f:.]+\]|[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?)(:[0-9]{1,5})?/?", re.IGNORECASE)
_ENDPOINT = re.compile(_REGISTRY.pattern.removesuffix("/?") + r"(/[a-z0-9._~/-]*)?", re.IGNORECASE)
_TOKEN = re.compile(r"[!-~]+")
_OFF = ("", "0", "f", "false", "no", "off")


def text(value: str) -> str:
    """Trim spaces, and then all quotes at both ends. Spaces within the quotes stay."""
    return value.strip().strip("\"'")


def path(value: str) -> Path | None:
    """Read a path. An empty text is no place: it counts as if nothing were set."""
    found = text(value).strip()
    return Path(found).expanduser() if found else None


def switch(value: str) -> bool:
    """Read a truth value. Whatever does not say no says yes."""
    return text(value).lower() not in _OFF


def count(value: str) -> int:
    """Read a whole number that is not negative, in decimal digits only.

    Raises:
        ValueError: It is none.
    """
    digits = text(value)
    if not (digits.isascii() and digits.isdecimal()):
        raise ValueError("must be a whole number")
    return int(digits)


def between(least: int, most: int) -> Callable[[str], int]:
    """Return a reader of whole numbers within bounds."""

    def read(value: str) -> int:
        number = count(value)
        if not least <= number <= most:
            raise ValueError(f"must be between {least} and {most}")
        return number

    return read


def one_of(*words: str) -> Callable[[str], str]:
    """Return a reader of one of some words, in any case."""

    def read(value: str) -> str:
        word = text(value).lower()
        if word not in words:
            raise ValueError(f"must be one of {', '.join(words)}")
        return word

    return read


def keep_alive(value: str) -> float:
    """Read a duration as Ollama does: an empty text, or one that is not a duration, gives the default."""
    try:
        return seconds_of(text(value))
    except ValueError:
        return KEEP_ALIVE_S


def seconds(value: str) -> float:
    """Read a duration above zero: `30`, or `1m`.

    Raises:
        ValueError: It is none.
    """
    found = seconds_of(text(value))
    if found <= 0:
        raise ValueError("must be above zero")
    return found


def amount(value: str) -> float:
    """Read a number that is not negative, such as `2` or `0.5`, in decimal digits only.

    Raises:
        ValueError: It is none.
    """
    digits = text(value)
    if not re.fullmatch(r"[0-9]+(\.[0-9]+)?", digits):
        raise ValueError("must be a number")
    return float(digits)


def names(value: str) -> tuple[str, ...]:
    """Read a list with commas."""
    return tuple(name for name in (text(part) for part in value.split(",")) if name)


def verbosity(value: str) -> int:
    """Read how much is logged: a truth value, or a number. A text that is neither changes nothing."""
    word = text(value).lower()
    if word in ("t", "true"):
        return 1
    return int(word) if word.isascii() and word.isdecimal() else 0


def registry(value: str) -> str | None:
    """Read the URL of a registry, without a slash at its end; `off` gives an empty text, and an empty text None.

    Raises:
        ValueError: It is no URL of http or https that consists of a host and perhaps a port.
    """
    url = text(value).strip()
    if not url:
        return None
    if url.lower() in _OFF:
        return ""
    if not _REGISTRY.fullmatch(url):
        raise ValueError("must be like `https://registry.example.com:5000`")
    return url.rstrip("/").lower()


def endpoint(value: str) -> str | None:
    """Read a URL that other URLs begin with, without a slash at its end; an empty text gives None.

    Raises:
        ValueError: It is no URL of http or https that consists of a host, and perhaps a port and a path.
    """
    url = text(value).strip().rstrip("/")
    if not url:
        return None
    if not _ENDPOINT.fullmatch(url):
        raise ValueError("must be like `https://hub.example.com`")
    return url


def token(value: str) -> str | None:
    """Read a token that is sent in a header; an empty text gives None.

    Raises:
        ValueError: It has characters that no token has.
    """
    found = text(value).strip()
    if found and not _TOKEN.fullmatch(found):
        raise ValueError("must have neither spaces nor special characters")
    return found or None
