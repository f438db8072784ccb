"""The config file in olpipe's home, `config.toml`: names of settings without their prefix."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from olpipe.errors import UsageError
from olpipe.settings import values

CONFIG_NAME = "config.toml"


def home_in(environment: Mapping[str, str]) -> Path:
    """Return olpipe's home."""
    return values.path(environment.get("OLPIPE_HOME", "")) or Path("~/.olpipe").expanduser()


def key_of(name: str) -> str:
    """Return what a variable is called in the config file: `threads` for `OLPIPE_THREADS`."""
    return name.split("_", 1)[-1].lower()


def read_config(path: Path) -> dict[str, Any]:
    """Return what the config file holds; nothing where there is none.

    Raises:
        UsageError: It cannot be read, or it is not TOML.
    """
    try:
        data = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from error
    import tomllib  # imported here, because most machines have no config file

    try:
        return tomllib.loads(data.decode("utf-8-sig"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is not valid TOML: {error}") from error


def as_text(value: object) -> str:
    """Return a value of the config file as the environment would hold it."""
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)
