"""Set up logging once for a process: warnings and worse to stderr, and more where the settings say so."""

from __future__ import annotations

import logging
import sys


class _PlainFormatter(logging.Formatter):
    """Writes `warning: …` for people. Time and logger are shown only where more than warnings is logged."""

    def __init__(self, *, verbose: bool) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s" if verbose else "%(message)s")
        self._verbose = verbose

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        return text if self._verbose else f"{record.levelname.lower()}: {text}"


def configure(*, debug: bool, verbosity: int = 0) -> None:
    """Send the `olpipe` loggers to stderr; calling it again replaces the handler.

    Args:
        debug: Log everything.
        verbosity: 1 also logs what a server answers; 2 logs everything.
    """
    level = logging.DEBUG if debug or verbosity > 1 else logging.INFO if verbosity else logging.WARNING
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_PlainFormatter(verbose=level < logging.WARNING))
    logger = logging.getLogger("olpipe")
    logger.handlers[:] = [handler]
    logger.setLevel(level)
    logger.propagate = False
