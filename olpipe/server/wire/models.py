"""Ollama's bodies about models: which there are, which are loaded.

Source: https://github.com/ollama/ollama/blob/main/api/types.go, ListModelResponse and ProcessModelResponse
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from olpipe.engine.loaded import LoadedModel
from olpipe.server.wire.progress import progress_body

FOR_EVER = timedelta(days=365 * 292)
"""How far away Ollama says the end of a model is that stays for ever: about the longest time that Go can express."""

NO_DETAILS: Mapping[str, Any] = {
    "parent_model": "",
    "format": "",
    "family": "",
    "families": [],
    "parameter_size": "",
    "quantization_level": "",
}
"""What is said of a model that is loaded, and was removed from this machine."""


def loaded_body(model: LoadedModel, details: Mapping[str, Any]) -> dict[str, Any]:
    """Return what /api/ps says about a model. Behind Ollama's fields, there are ours.

    Args:
        model: The model.
        details: What is said about its files.
    """
    stays_s = model.keep_alive_s if model.active else model.expires_in_s
    lasts = timedelta(seconds=min(stays_s, FOR_EVER.total_seconds()))
    return {
        "name": str(model.name),
        "model": str(model.name),
        "size": model.size_bytes,
        "digest": model.digest.removeprefix("sha256:"),
        "details": dict(details),
        "expires_at": (datetime.now(UTC) + lasts).isoformat().replace("+00:00", "Z"),
        "size_vram": 0,
        "context_length": model.context_length,
        "loading": None if model.progress is None else progress_body(model.progress),
        "active": model.active - model.waiting,
        "queue": model.waiting,
    }
