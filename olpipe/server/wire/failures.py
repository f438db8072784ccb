"""What an error looks like in each API."""

from __future__ import annotations

from typing import Any

from olpipe.errors import OlpipeError
from olpipe.server.refusal import status_of

_OPENAI_TYPES = {404: "not_found_error", 401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}
_ANTHROPIC_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    529: "overloaded_error",
}


def native(error: OlpipeError) -> dict[str, Any]:
    """Return an error as Ollama's API has it. `hint` is ours: it says what to do next."""
    return {"error": error.message} | ({"hint": error.hint} if error.hint else {})


def openai(error: OlpipeError) -> dict[str, Any]:
    """Return an error as OpenAI's API has it."""
    status = status_of(error)
    usual = "invalid_request_error" if 400 <= status < 500 else "api_error"
    kind = _OPENAI_TYPES.get(status, usual)
    return {"error": {"message": _told(error), "type": kind, "param": None, "code": None}}


def anthropic(error: OlpipeError, request_id: str) -> dict[str, Any]:
    """Return an error as Anthropic's API has it."""
    status = status_of(error)
    usual = "invalid_request_error" if 400 <= status < 500 else "api_error"
    kind = _ANTHROPIC_TYPES.get(status, usual)
    return {"type": "error", "error": {"type": kind, "message": _told(error)}, "request_id": request_id}


def _told(error: OlpipeError) -> str:
    return f"{error.message} ({error.hint})" if error.hint else error.message
