"""The backend `llamacpp`: GGUF models on llama.cpp, with olpipe's decoder."""

from __future__ import annotations

from olpipe.hookspecs import hookimpl
from olpipe.interfaces import Backend
from olpipe_llamacpp.backend import LlamaCppBackend


@hookimpl(trylast=True)
def register_backends() -> list[Backend]:
    """Return the backend. It is asked after those that ship with olpipe."""
    return [LlamaCppBackend()]
