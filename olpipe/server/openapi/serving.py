"""The routes about the server itself."""

from __future__ import annotations

from olpipe.server.openapi.operations import content, operation
from olpipe.server.openapi.schemas import TEXT, always, answer

TAG = "Server"

_RUNNING = {
    "description": "It is running. Browsers, which accept `text/html`, get a page.",
    "content": {"text/plain": {"schema": always("Ollama is running")}, "text/html": {"schema": TEXT}},
}
_METRICS = {"description": "The text format of Prometheus.", "content": {"text/plain": {"schema": TEXT}}}
_VERSION = answer({"version": TEXT, "product": always("olpipe")})

PATHS = {
    "/": {"get": operation("root", "Say that the server is running.", {200: _RUNNING}, tag=TAG, security=[])},
    "/api/version": {
        "get": operation(
            "version", "Say which version the server has.", {200: content("It.", json=_VERSION)}, tag=TAG, security=[]
        )
    },
    "/metrics": {"get": operation("metrics", "Say what the server has done so far.", {200: _METRICS}, tag=TAG)},
    "/openapi.json": {
        "get": operation("openapi", "Return this document.", {200: content("It.", json={"type": "object"})}, tag=TAG)
    },
}
SCHEMAS: dict[str, dict[str, object]] = {}
