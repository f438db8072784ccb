r"""Find the images that a prompt names, as Ollama's `run` does, and a few more.

A part of the prompt that ends like an image is a reference to a file. One that leads to no file is an error: a model
would answer by the file's name. Other than with Ollama, `cat.jpg` needs no `./` before it. Spaces in a path may be
written as they are, as `\ `, or in quotes. Words of any script may touch a path.
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Collection, Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

from olpipe.errors import UsageError, nearest

LONGEST_PATH = 4096
"""So many characters before a suffix may belong to its path."""

HINT = "write the path of a file, in quotes where it touches other words"

_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^\s\"'<>]+")
_ESCAPED = re.compile(r"\\([ ()\[\]{}$&;'\\*?~])")
_MORE = re.compile(r"[A-Za-z0-9_.~-]*")  # what may follow a suffix in a name: `cat.jpg.bak`
_IN_PATHS = frozenset("_./\\~$%+@-#")
_QUOTES = {"'": "'", '"': '"', "`": "`", "“": "”", "‘": "’", "「": "」", "『": "』", "《": "》", "«": "»"}


def take_images(prompt: str, suffixes: Collection[str]) -> tuple[str, list[Path]]:
    """Return the prompt without the paths of images, and those paths in order.

    Args:
        prompt: What the user wrote.
        suffixes: Lower-case suffixes of image files, with their dot.

    Raises:
        UsageError: Something looks like the path or the address of an image, and there is no such file.
    """
    suffix = suffix_pattern(suffixes)
    found: list[Path] = []
    kept, done = [], 0
    for start, end, path in _references(prompt, suffix):
        found.append(path)
        kept.append(prompt[done:start])
        done = end
        if kept[-1][-1:] in _QUOTES and prompt[done : done + 1] == _QUOTES[kept[-1][-1]]:
            kept[-1], done = kept[-1][:-1], done + 1
        if (not kept[-1] or kept[-1][-1].isspace()) and prompt[done : done + 1] == " ":
            done += 1
    return "".join([*kept, prompt[done:]]).strip() if found else prompt, found


def suffix_pattern(suffixes: Collection[str]) -> re.Pattern[str]:
    """Return what finds the suffixes of image files in a text, in any case."""
    return re.compile("|".join(sorted(map(re.escape, suffixes), key=len, reverse=True)) or r"(?!)", re.IGNORECASE)


def _references(prompt: str, suffix: re.Pattern[str]) -> Iterator[tuple[int, int, Path]]:
    """Yield where each reference to an image begins and ends, and its path."""
    addresses = {match.start(): match for match in _ADDRESS.finditer(prompt) if suffix.search(match.group())}
    done = at = 0
    while match := suffix.search(prompt, at):
        at = match.end()
        # 1. An address of an image is no text: one of a file is a path, and others cannot be read
        address = next((one for one in addresses.values() if one.start() <= match.start() < one.end()), None)
        if address is not None:
            yield (*address.span(), _file_of(address.group().rstrip(".,;:!?)]"), suffix))
            done = at = address.end()
            continue
        # 2. A suffix in the middle of a word or of a name, or after no name, is none
        behind = prompt[match.end() : match.end() + 1]
        end = match.end() + len(_MORE.match(prompt, match.end()).group().rstrip("._~-"))  # type: ignore[union-attr]
        if behind.isascii() and behind.isalnum():
            continue
        if suffix.search(prompt, match.end(), end) or _is_bare(prompt, match.start()):
            continue
        # 3. The longest text that is a file; where there is none, what is missing
        start = _longest(prompt, max(done, match.start() - LONGEST_PATH), end)
        if start is None:
            raise missing_image(_word(prompt, done, end), suffix)
        yield start, end, _path(prompt[start:end])
        done = at = end


def _is_bare(prompt: str, at: int) -> bool:
    """Say whether a suffix stands without a name: `.jpg` in "what is a .jpg file"."""
    return at == 0 or prompt[at - 1].isspace() or prompt[at - 1] in "\"'`(/\\*"


def _longest(prompt: str, first: int, end: int) -> int | None:
    """Return where the longest text that ends there and is a file begins; None where no such text is a file."""
    for start in range(first, end):
        if _may_begin(prompt, start, first) and os.path.isfile(_path(prompt[start:end])):
            return start
    return None


def _may_begin(prompt: str, at: int, first: int) -> bool:
    """Say whether a path may begin there: not in the middle of a word, but where another script begins."""
    here = prompt[at]
    if here.isspace():
        return False
    if at == first:
        return True
    before = prompt[at - 1]
    if before.isalnum() or unicodedata.category(before).startswith("M"):
        return before.isascii() != here.isascii()
    return before not in _IN_PATHS


def _word(prompt: str, first: int, end: int) -> str:
    """Return what a person would call the reference that ends there: what is in quotes, or one word."""
    opening = next((one for one, closing in _QUOTES.items() if prompt[end : end + 1] == closing), "")
    begin = prompt.rfind(opening, first, end) + 1 if opening else 0
    if begin:
        return prompt[begin:end]
    begin = end - 1
    while begin > first and (prompt[begin - 1].isalnum() or prompt[begin - 1] in _IN_PATHS):
        begin -= 1
    return prompt[begin:end]


def _path(text: str) -> Path:
    """Return the path that a text means. A backslash may stand before a special character, or belong to the path."""
    plain = os.path.expanduser(text)
    if "\\" in text and os.path.isfile(plain):
        return Path(plain)
    return Path(os.path.expanduser(_ESCAPED.sub(r"\1", text)))


def _file_of(address: str, suffix: re.Pattern[str]) -> Path:
    """Return the path that a `file:` address means.

    Raises:
        UsageError: It is the address of something else, or there is no such file.
    """
    parts = urlsplit(address)
    if parts.scheme.lower() != "file":
        raise UsageError(f"`{address}` is an address, and photos are read from files", hint="download it first")
    path = Path(unquote(parts.path))
    if not os.path.isfile(path):
        raise missing_image(str(path), suffix)
    return path


def missing_image(word: str, suffix: re.Pattern[str]) -> UsageError:
    """Return the error for a photo that is not there. It offers photos beside it that are called alike."""
    folder, name = os.path.split(_path(word))
    try:
        stems = {os.path.splitext(other)[0]: other for other in os.listdir(folder or ".") if suffix.search(other)}
    except (OSError, ValueError):
        stems = {}
    close = [stems[stem] for stem in nearest(os.path.splitext(name)[0], stems)]
    offers = " or ".join(f"`{os.path.join(folder, match)}`" for match in close)
    return UsageError(f"there is no photo `{word}`", hint=f"did you mean {offers}?" if offers else HINT)
