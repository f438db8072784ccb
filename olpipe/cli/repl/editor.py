"""Write a message in the user's own editor."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import tempfile
from pathlib import Path

from olpipe.errors import UsageError

_USUAL = ("notepad",) if os.name == "nt" else ("editor", "nano", "vi")
_HINT = "set OLLAMA_EDITOR to the command of an editor"


def edit(text: str, wanted: str | None) -> str:
    """Open an editor with a text, wait until it is closed, and return the text as it is then.

    Args:
        text: What is in the editor at first.
        wanted: The command that the settings name; None takes VISUAL, EDITOR or one that is usual here.

    Raises:
        UsageError: There is no editor, or it did not end well.
    """
    command = _command(wanted)
    with tempfile.TemporaryDirectory(prefix="olpipe-") as folder:
        path = Path(folder) / "message.txt"
        path.write_text(text, encoding="utf-8")
        try:
            code = subprocess.run([*command, str(path)], check=False).returncode
        except OSError as error:
            raise UsageError(f"the editor `{command[0]}` cannot be started: {error.strerror}", hint=_HINT) from error
        if code:
            raise UsageError(f"the editor `{command[0]}` ended with exit code {code}, so nothing was changed")
        try:
            return path.read_text(encoding="utf-8-sig").rstrip("\n")
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"what the editor `{command[0]}` wrote cannot be read: {error}") from error


def _command(wanted: str | None) -> list[str]:
    given = wanted or os.environ.get("VISUAL", "") or os.environ.get("EDITOR", "")
    try:
        command = shlex.split(given, posix=os.name != "nt")
    except ValueError as error:
        raise UsageError(f"`{given}` is no command of an editor: {error}", hint=_HINT) from error
    if command:
        return command
    found = next((name for name in _USUAL if shutil.which(name)), None)
    if found is None:
        raise UsageError("no editor was found", hint=_HINT)
    return [found]
