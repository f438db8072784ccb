"""The backend `onnx`: it converts models, and runs them on plain ONNX Runtime."""

from __future__ import annotations

from collections.abc import Iterable

from olpipe.hookspecs import hookimpl
from olpipe.interfaces import Backend


@hookimpl
def register_backends() -> Iterable[Backend]:
    """Bring the backend; its runtime is imported when a model is loaded."""
    from olpipe.default_plugins.onnx.backend import OnnxBackend

    return (OnnxBackend(),)
