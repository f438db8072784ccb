"""What was typed in earlier sessions, in a file: one JSON text a line, the oldest first."""

from __future__ import annotations

import json
import os
from pathlib import Path

FILE = "history.jsonl"
MOST = 1000
"""So many entries are kept."""

LONGEST = 20_000
"""An entry with more characters is not kept."""


class HistoryFile:
    """The file. Several sessions may add to it at the same time."""

    def __init__(self, path: Path) -> None:
        """Use a file. It is made when something is added."""
        self._path = path

    def read(self) -> list[str]:
        """Return the newest entries, oldest first. Lines that cannot be read are left out.

        Raises:
            OSError: The file is there and cannot be read, or made shorter.
        """
        try:
            lines = self._path.read_bytes().splitlines()
        except FileNotFoundError:
            return []
        if len(lines) > 2 * MOST:
            lines = lines[-MOST:]
            self._replace(lines)
        return [entry for entry in map(_entry, lines[-MOST:]) if entry]

    def add(self, entry: str) -> None:
        """Add an entry at the end.

        Raises:
            OSError: That cannot be done.
        """
        if len(entry) > LONGEST:
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        line = json.dumps(entry).encode() + b"\n"
        # Prompts may be private, so only the user may read them
        descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            os.write(descriptor, line)  # in one piece, so that another session's line cannot get between
        finally:
            os.close(descriptor)

    def _replace(self, lines: list[bytes]) -> None:
        new = self._path.with_name(f"{self._path.name}.{os.getpid()}")
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with open(descriptor, "wb") as file:
            file.write(b"\n".join([*lines, b""]))
        os.replace(new, self._path)


def _entry(line: bytes) -> str:
    try:
        entry = json.loads(line)
    except ValueError:
        return ""
    return entry if isinstance(entry, str) else ""
