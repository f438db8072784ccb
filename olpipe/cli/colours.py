"""Decide whether colours are shown. Nothing depends on them: they only help the eye."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TextIO

_DUMB = ("dumb", "unknown", "")


def in_colour(stream: TextIO, environment: Mapping[str, str] | None = None) -> bool:
    """Say whether what is written to a stream has colours.

    NO_COLOR switches them off, whatever else is set. FORCE_COLOR and CLICOLOR_FORCE switch them on where they are not
    `0`, also in a file. Otherwise, a terminal has them unless CLICOLOR is `0`.

    Source: https://no-color.org, https://force-color.org and https://bixense.com/clicolors/

    Args:
        stream: Where it is written.
        environment: The environment; this process's by default.
    """
    environment = os.environ if environment is None else environment
    if environment.get("NO_COLOR"):
        return False
    if any(environment.get(name, "0") not in ("", "0") for name in ("FORCE_COLOR", "CLICOLOR_FORCE")):
        return True
    if environment.get("CLICOLOR") == "0" or not stream.isatty():
        return False
    return os.name == "nt" or environment.get("TERM", "").lower() not in _DUMB
