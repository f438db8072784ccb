"""The perceiver `ocr`: words that are written in photos."""

from __future__ import annotations

from olpipe.hookspecs import hookimpl
from olpipe.interfaces import Perceiver
from olpipe_ocr.perceiver import WordReader


@hookimpl
def register_perceivers() -> list[Perceiver]:
    """Return the perceiver."""
    return [WordReader()]
