"""Set up logging once for a process: warnings and worse to stderr, everything with OLPIPE_DEBUG=1."""

from __future__ import annotations

import logging
import sys


class _PlainFormatter(logging.Formatter):
    """Writes `warning: …` for people. Time and logger are shown only when debugging."""

    def __init__(self, *, debug: bool) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s" if debug else "%(message)s")
        self._debug = debug

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        return text if self._debug else f"{record.levelname.lower()}: {text}"


def configure(*, debug: bool) -> None:
    """Send the `olpipe` loggers to stderr; calling it again replaces the handler."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_PlainFormatter(debug=debug))
    logger = logging.getLogger("olpipe")
    logger.handlers[:] = [handler]
    logger.setLevel(logging.DEBUG if debug else logging.WARNING)
    logger.propagate = False
