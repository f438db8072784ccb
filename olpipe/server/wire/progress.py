"""How far a pull or the making of a model is, as Ollama says it.

Source: https://github.com/ollama/ollama/blob/main/api/types.go, ProgressResponse
"""

from __future__ import annotations

from typing import Any

from olpipe.interfaces import Progress

_BEGINNING = "sha256:"
_SHORT = 12


def progress_body(step: Progress) -> dict[str, Any]:
    """Return a line about a step. `unit` is ours: it stands where something else than bytes is counted."""
    body: dict[str, Any] = {"status": step.status}
    if step.digest and step.total is not None:
        verb = "pushing" if step.status.startswith("pushing ") else "pulling"
        body = {"status": f"{verb} {step.digest.removeprefix(_BEGINNING)[:_SHORT]}", "digest": step.digest}
    if step.total is not None:
        body["total"] = step.total
    if step.completed:
        body["completed"] = step.completed
    if step.unit != "B":
        body["unit"] = step.unit
    return body
