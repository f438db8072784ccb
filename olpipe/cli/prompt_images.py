r"""Find the images that a prompt names, as Ollama's `run` does, and a few more.

A word of the prompt is an image when it ends like one and the file exists. Other than with Ollama, `cat.jpg` needs no
`./` before it. A space in a path is written `\ `, or the path is put in quotes.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path

# A quoted run, or a run of anything but spaces in which a backslash keeps the next character.
_WORD = re.compile(r"'([^']+)'|\"([^\"]+)\"|((?:\\.|[^\s\\])+)")
_ESCAPED = re.compile(r"\\([ ()\[\]{}$&;'\\*?~])")
_BEFORE, _BEHIND = "([", ".,;:!?)]"


def take_images(prompt: str, suffixes: Collection[str]) -> tuple[str, list[Path]]:
    """Return the prompt without the paths of images, and those paths in order.

    Args:
        prompt: What the user wrote.
        suffixes: Lower-case suffixes of image files, with their dot.
    """
    found: list[Path] = []

    def take(match: re.Match[str]) -> str:
        word = next(group for group in match.groups() if group is not None)
        for candidate in (word, word.lstrip(_BEFORE).rstrip(_BEHIND)):
            path = Path(_ESCAPED.sub(r"\1", candidate)).expanduser()
            if path.suffix.lower() in suffixes and path.is_file():
                found.append(path)
                return match.group().replace(candidate, "").strip("'\"")
        return match.group()

    text = _WORD.sub(take, prompt)
    return " ".join(text.split()) if found else prompt, found
