"""Errors that have a meaning only over HTTP, and what any error says to a client."""

from __future__ import annotations

from olpipe.errors import OlpipeError


class Refusal(OlpipeError):
    """A request that is refused with a status of its own."""

    def __init__(self, status: int, message: str, *, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.status = status


def status_of(error: OlpipeError) -> int:
    """Return the HTTP status of an error."""
    return error.status if isinstance(error, Refusal) else error.http_status
