"""Take an image from the clipboard, where the system lets a program do that."""

from __future__ import annotations

import tempfile
from pathlib import Path

from olpipe.errors import UsageError


class Clipboard:
    """Keeps the images of the clipboard in files as long as a session lasts."""

    def __init__(self) -> None:
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._count = 0

    def paths(self) -> list[Path]:
        """Return the image in the clipboard as a file, or the files that were copied; none where there is no image.

        Raises:
            UsageError: The system does not let a program look into the clipboard.
        """
        from PIL import ImageGrab

        try:
            found = ImageGrab.grabclipboard()
        except NotImplementedError as error:
            hint = "install `wl-paste` or `xclip`, or write the path of a file"
            raise UsageError("no image can be taken from the clipboard here", hint=hint) from error
        except (OSError, ChildProcessError) as error:
            raise UsageError(f"no image can be taken from the clipboard: {error}") from error
        if found is None:
            return []
        if isinstance(found, list):
            return [Path(name) for name in found]
        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory(prefix="olpipe-")
        self._count += 1
        path = Path(self._folder.name) / f"clipboard-{self._count}.png"
        found.save(path)
        return [path]

    def close(self) -> None:
        """Remove the files."""
        if self._folder is not None:
            self._folder.cleanup()
