"""Turn errors of the output folder into clear messages."""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from olpipe.errors import DiskFull, MachineError, OutputBusy, OutputUnavailable

# EFBIG: a file system, or a limit of the process, that takes no file of that size
_FULL = frozenset({errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)})
_RESULT_CODE = 0xFF  # SQLite keeps the details of an error in the bits above


REVIEW_PATH = Path(".olpipe", "review.pid")
"""Holds the number of the process that reviews an output folder, while it does."""

OTHER_FOLDER = "give another folder with `-o`"


@contextmanager
def writing(output: Path, *, hint: str = OTHER_FOLDER) -> Iterator[None]:
    """Run a block that writes to the output folder, and that does nothing else which can raise such errors.

    Args:
        output: The folder, or whatever else is written.
        hint: What to do where it cannot be written.

    Raises:
        DiskFull: There was no space for what is written.
        OutputBusy: Another run has the folder.
        OutputUnavailable: The folder cannot be made or written.
    """
    try:
        yield
    except OSError as error:
        raise _of_system(error, output, hint) from error
    except sqlite3.Error as error:
        raise _of_ledger(error, output) from error


def _of_system(error: OSError, output: Path, hint: str) -> MachineError:
    if error.errno in _FULL:
        return _full(output)
    reason = error.strerror or str(error)
    return OutputUnavailable(f"`{output}` cannot be written: {reason}", hint=hint)


def _of_ledger(error: sqlite3.Error, output: Path) -> MachineError:
    code = getattr(error, "sqlite_errorcode", 0) & _RESULT_CODE
    if code == sqlite3.SQLITE_FULL:
        return _full(output)
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        if _is_reviewed(output):
            hint = f"end that review with Ctrl-C, or {OTHER_FOLDER}"
            return OutputBusy(f"`{output}` is being reviewed by `olpipe review`", hint=hint)
        return OutputBusy(
            f"another run is writing to `{output}`", hint="wait until it ends, or give another folder with `-o`"
        )
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        hint = "move it away; the photos will be described again"
        return OutputUnavailable(f"the ledger in `{output}` is damaged: {error}", hint=hint)
    return OutputUnavailable(f"the ledger in `{output}` cannot be written: {error}")


def _is_reviewed(output: Path) -> bool:
    """Say whether a review holds the ledger. One that was killed may have left its number."""
    import psutil

    try:
        return bool(psutil.pid_exists(int((output / REVIEW_PATH).read_text(encoding="ascii"))))
    except (OSError, ValueError):
        return False


def _full(output: Path) -> DiskFull:
    hint = "free some space, then run the same command again: what is done is kept"
    return DiskFull(f"no space left to write `{output}`", hint=hint)
