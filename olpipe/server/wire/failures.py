"""What an error looks like in each API."""

from __future__ import annotations

from typing import Any

from olpipe.asking.context import OWN_MEANS
from olpipe.errors import Busy, ContextExceeded, ModelNotFound, OlpipeError
from olpipe.server.refusal import Refusal, status_of

_OPENAI_TYPES = {404: "not_found_error", 401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}
_OPENAI_CODES: dict[type[OlpipeError], str] = {
    ContextExceeded: "context_length_exceeded",
    ModelNotFound: "model_not_found",
}
_ANTHROPIC_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    529: "overloaded_error",
}


_BUSY = "server busy, please try again.  maximum pending requests exceeded"
"""What Ollama says where too many requests wait, with two spaces. Clients compare the text."""


def native(error: OlpipeError) -> dict[str, Any]:
    """Return an error as Ollama's API has it. `hint`, which says what to do next, and `kind`, its class, are ours."""
    kind = {} if isinstance(error, Refusal) else {"kind": type(error).__name__}
    if isinstance(error, Busy):
        return {"error": _BUSY, "hint": _told(error), **kind}
    if isinstance(error, ContextExceeded):
        hint = f"{error.hint}; {OWN_MEANS}"
        return {"error": error.message, "hint": hint, **kind}
    return {"error": error.message} | ({"hint": error.hint} if error.hint else {}) | kind


def openai(error: OlpipeError) -> dict[str, Any]:
    """Return an error as OpenAI's API has it."""
    status = status_of(error)
    usual = "invalid_request_error" if 400 <= status < 500 else "api_error"
    kind = _OPENAI_TYPES.get(status, usual)
    return {"error": {"message": _message(error), "type": kind, "param": None, "code": _OPENAI_CODES.get(type(error))}}


def anthropic(error: OlpipeError, request_id: str) -> dict[str, Any]:
    """Return an error as Anthropic's API has it."""
    status = status_of(error)
    usual = "invalid_request_error" if 400 <= status < 500 else "api_error"
    kind = _ANTHROPIC_TYPES.get(status, usual)
    return {"type": "error", "error": {"type": kind, "message": _message(error)}, "request_id": request_id}


def _message(error: OlpipeError) -> str:
    return f"{_BUSY} ({_told(error)})" if isinstance(error, Busy) else _told(error)


def _told(error: OlpipeError) -> str:
    return f"{error.message} ({error.hint})" if error.hint else error.message
