"""The lines in which a server says how far a pull, a push or the making of a model is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from olpipe.interfaces import Progress


def step_of(line: Mapping[str, Any]) -> Progress:
    """Return the step that a line tells of."""
    total, completed = line.get("total"), line.get("completed")
    return Progress(
        str(line.get("status") or ""),
        completed if isinstance(completed, int) else 0,
        total if isinstance(total, int) else None,
        str(line.get("unit") or "B"),
        str(line.get("digest") or ""),
    )
