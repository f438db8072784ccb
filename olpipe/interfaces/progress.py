"""How far a long step is, and the callback that is told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a long step is.

    Attributes:
        status: What is being done, in a few words: `downloading`, `converting`, `success`, …
        completed: Units done.
        total: Units in all; None when not known.
        unit: `B` for bytes, else a plural noun: `tensors`.
        digest: `sha256:…` of the file that is fetched or stored, where it is known by now.
    """

    status: str
    completed: int = 0
    total: int | None = None
    unit: str = "B"
    digest: str = ""


ProgressCallback = Callable[[Progress], None]
"""Called with how far a long step is. An exception that it raises ends the step."""
