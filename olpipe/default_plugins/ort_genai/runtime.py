"""Import onnxruntime-genai. It comes in several distributions, and any of them will do."""

from __future__ import annotations

import os
from typing import Any

from olpipe.errors import BackendMissing

INSTALL = "pip install 'olpipe[cpu]'  (or [cuda], [directml])"


def import_runtime() -> Any:
    """Return the `onnxruntime_genai` module, with its telemetry off.

    Raises:
        BackendMissing: None of its distributions is installed, or it does not start on this machine.
    """
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    try:
        import onnxruntime_genai
    except ModuleNotFoundError as error:
        raise BackendMissing("onnxruntime-genai is not installed", hint=f"run `{INSTALL}`") from error
    except (ImportError, OSError) as error:
        raise BackendMissing(f"onnxruntime-genai cannot start: {error}", hint=f"run `{INSTALL}`") from error
    disable = getattr(onnxruntime_genai, "disable_telemetry_events", None)
    if disable is not None:
        disable()
    return onnxruntime_genai
