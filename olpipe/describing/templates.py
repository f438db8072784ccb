"""Prompts with places for what is known of a photo, such as `{file}`.

A place is a name in braces, of words with points between, the first of which begins with a lower-case letter:
`{exif.date}`. All other braces are text, so that a prompt may show JSON. `{{file}}` is the text `{file}`.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from pathlib import Path

from olpipe.errors import RecipeError, UsageError, nearest
from olpipe.image import ImageFile
from olpipe.imaging.taken import day_taken
from olpipe.perception.ground import EVIDENCE

FIELDS = {
    "file": "the name of the photo's file, without its folder",
    "folder": "the name of the folder that the photo lies in",
    "exif.date": "the day on which the camera says that the photo was taken, like 2024-05-31",
    "evidence": "what perceivers found in the photo, in English",
}
"""What may stand in the braces, each with its meaning."""

UNKNOWN = "unknown"
"""What is written where a photo does not tell."""

LONGEST_NAME = 120
"""Most characters of a name that are written. A longer one ends with `…`."""

_PLACE = re.compile(r"\{\{([a-z]\w*(?:\.\w+)*)\}\}|\{([a-z]\w*(?:\.\w+)*)\}", re.ASCII)
_NOT_SHOWN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
_JOINERS = "\u200c\u200d"


def fields_in(prompt: str) -> frozenset[str]:
    """Return the names that stand in braces."""
    return frozenset(found[2] for found in _PLACE.finditer(prompt) if found[2])


def is_template(prompt: str) -> bool:
    """Say whether a prompt has places, or braces that are doubled: whether it is another text once it is filled."""
    return _PLACE.search(prompt) is not None


def check_prompt(prompt: str, answers: Sequence[str] = ()) -> None:
    """Refuse a prompt with a name in braces that is not known.

    Args:
        prompt: The prompt.
        answers: Names of what earlier stages answer.

    Raises:
        RecipeError: There is one. The hint lists the names that there are.
    """
    names = (*FIELDS, *answers)
    for name in sorted(fields_in(prompt).difference(names)):
        close = nearest(name, names)
        offer = f"did you mean {' or '.join(f'`{{{one}}}`' for one in close)}? " if close else ""
        known = ", ".join(f"`{{{one}}}`" for one in names)
        hint = f"{offer}known: {known}; for the text itself write `{{{{{name}}}}}`"
        raise RecipeError(f"`prompt` names `{{{name}}}`, which is not known", hint=hint)


def filled(prompt: str, values: Mapping[str, str]) -> str:
    """Return a prompt with its places filled. A place without a value stays as it is."""
    return _PLACE.sub(lambda found: f"{{{found[1]}}}" if found[1] else values.get(found[2], found[0]), prompt)


DayTaken = Callable[[bytes], date | None]
"""Reads the day on which a photo was taken from the bytes of its file."""


def told(prompt: str, image: ImageFile, day: DayTaken = day_taken) -> str:
    """Return a prompt as it is for a photo, where it is another text for every photo; an empty text where it is not."""
    return filled(prompt, known_of(prompt, image, day)) if is_template(prompt) else ""


def known_of(prompt: str, image: ImageFile, day: DayTaken = day_taken) -> dict[str, str]:
    """Return what is known of a photo, as far as a prompt names it. Who has the evidence puts it in later."""
    path, named = image.ref.path, fields_in(prompt)
    known: dict[str, Callable[[], str]] = {
        "file": lambda: file_name(path),
        "folder": lambda: folder_name(path),
        "exif.date": lambda: str(day(image.read()) or UNKNOWN),
        "evidence": lambda: EVIDENCE,
    }
    return {name: tell() for name, tell in known.items() if name in named}


def check_evidence(prompt: str, *, with_perceivers: bool) -> None:
    """Refuse a prompt that asks for evidence where nobody brings any.

    Raises:
        UsageError: It does.
    """
    if not with_perceivers and "evidence" in fields_in(prompt):
        hint = "name a perceiver with `--perceivers`, or leave `{evidence}` out of the prompt"
        raise UsageError("`prompt` names `{evidence}`, and no perceiver looks at the photos", hint=hint)


def tells_place(prompt: str) -> bool:
    """Say whether a prompt tells something of where a photo lies."""
    return not fields_in(prompt).isdisjoint(("file", "folder"))


def told_of(prompt: str, path: Path) -> str:
    """Return what a prompt tells of where a photo lies.

    Two photos with the same bytes have the same record only if this is the same for both.
    """
    named = fields_in(prompt)
    told = {"file": file_name, "folder": folder_name}
    return "\n".join(f"{name}={tell(path)}" for name, tell in told.items() if name in named)


def file_name(path: Path) -> str:
    """Return the name of a photo's file for a prompt."""
    return cleaned(path.name)


def folder_name(path: Path) -> str:
    """Return the name of a photo's folder for a prompt."""
    return cleaned(path.parent.name)


def cleaned(text: str, *, longest: int = LONGEST_NAME) -> str:
    """Return a text that anybody may have written as one line: no control characters, and not too long.

    Args:
        text: The text, such as the name of a file.
        longest: Most characters.
    """
    text = text.encode("utf-8", "backslashreplace").decode()
    text = "".join(
        character if unicodedata.category(character) not in _NOT_SHOWN or character in _JOINERS else " "
        for character in text
    )
    text = " ".join(text.split())
    return (text if len(text) <= longest else f"{text[: longest - 1]}…") or UNKNOWN
