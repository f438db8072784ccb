"""Which file paths a manifest may give its layers: those that stay in the model's folder on every system."""

from __future__ import annotations

import re
from collections.abc import Iterable

_MAX_PART = 255
_MAX_LENGTH = 1024
_FORBIDDEN = re.compile(r'[\x00-\x1f\x7f<>:"|?*\\]')
_RESERVED = re.compile(r"(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³]|conin\$|conout\$)", re.IGNORECASE)


def check_layer_name(name: str) -> str:
    """Return a layer's name when it is a plain relative path with forward slashes.

    A name that any operating system would misread is refused on all of them: drive letters, backslashes, device
    names, parts that end in a dot or a space.

    Raises:
        ValueError: The name could lead out of the folder, or cannot be a file's path on every system.
    """
    if not name or len(name) > _MAX_LENGTH or _FORBIDDEN.search(name):
        raise ValueError(f"`{name!r:.80}` cannot be a file's path in a model")
    try:
        parts = [part.decode() for part in name.encode().split(b"/")]
    except UnicodeEncodeError as error:
        raise ValueError(f"`{name!r:.80}` cannot be a file's path in a model") from error
    for part in parts:
        device = _RESERVED.fullmatch(part.split(".")[0].rstrip())
        if not part or len(part.encode()) > _MAX_PART or part[-1] in ". " or device:
            raise ValueError(f"`{name!r:.80}` cannot be a file's path in a model")
    return name


def check_together(names: Iterable[str]) -> None:
    """Check that no file takes the place of another, even where letter case does not count.

    Raises:
        ValueError: Two names mean the same file, or one name means a file and a folder.
    """
    files: set[str] = set()
    folders: set[str] = set()
    for name in names:
        parts = name.casefold().split("/")
        if name.casefold() in files:
            raise ValueError(f"two files are called `{name}`")
        files.add("/".join(parts))
        folders.update("/".join(parts[:depth]) for depth in range(1, len(parts)))
    for name in files & folders:
        raise ValueError(f"`{name}` is a file and a folder")
