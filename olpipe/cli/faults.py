"""Keep the traceback of a fault of ours in a file, where it can be found for a report."""

from __future__ import annotations

import tempfile
import traceback

from olpipe.errors import OlpipeError, first_line


class Fault(OlpipeError):
    """An exception that nobody expected, as an error with a message."""


def fault_of(error: Exception) -> Fault:
    """Write the traceback of an exception into a file, and return an error that says where it is."""
    with tempfile.NamedTemporaryFile("w", prefix="olpipe-", suffix=".log", delete=False, encoding="utf-8") as file:
        file.write("".join(traceback.format_exception(error)))
    message = f"olpipe has a fault: {type(error).__name__}: {first_line(error)}"
    return Fault(message, hint=f"the traceback is in {file.name}; please report it")
