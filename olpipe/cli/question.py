"""Put together what `olpipe run` asks: its arguments, what is piped in, and the images among them."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from olpipe.errors import UsageError

if TYPE_CHECKING:
    from olpipe.interfaces import ImageLoader
    from olpipe.registry import Registry

STDIN = "-"
"""The argument in whose place stdin is read."""

HEADER_BYTES = 64


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked.

    Attributes:
        text: The text, without what stood for images.
        images: The images in their order: the path of a file, or the bytes that were piped in.
    """

    text: str
    images: tuple[Path | bytes, ...]


def read_question(arguments: Sequence[str], loaders: Registry[ImageLoader], images: Sequence[Path] = ()) -> Question:
    """Read the question.

    An argument that is the path of an image is that image, and other arguments are searched for paths. Stdin is read in
    place of the argument `-`, where there are no arguments, or where a whole file was redirected to it.

    Args:
        arguments: The words of the prompt.
        loaders: What reads images.
        images: Images that were named by themselves. They come first.

    Raises:
        UsageError: There is no question, or an image that is named is not there.
    """
    from olpipe.cli.prompt_images import missing_image, suffix_pattern, take_images

    suffixes = {suffix for loader in loaders for suffix in loader.suffixes}
    for path in images:
        if not path.is_file():
            raise missing_image(str(path), suffix_pattern(suffixes))
    texts: list[str] = []
    found: list[Path | bytes] = list(images)
    for part in _parts(arguments):
        if isinstance(part, bytes):
            if _is_image(part[:HEADER_BYTES], loaders):
                found.append(part)
            else:
                texts.append(_text(part).strip())
        elif _is_image_file(part, suffixes, loaders):
            found.append(Path(part))
        else:
            text, paths = take_images(part, suffixes)
            texts.append(text)
            found += paths
    question = Question(" ".join(text for text in texts if text), tuple(found))
    if not question.text and not question.images:
        raise UsageError("there is no prompt", hint='run `olpipe run MODEL "your question"`, or pipe it in')
    return question


def _parts(arguments: Sequence[str]) -> list[str | bytes]:
    """Return the arguments, and what is piped in where it belongs."""
    parts: list[str | bytes] = list(arguments)
    if sys.stdin is None:
        return parts
    if STDIN in arguments:
        at = arguments.index(STDIN)
        return [*parts[:at], sys.stdin.buffer.read(), *parts[at + 1 :]]
    if sys.stdin.isatty():
        return parts
    if not arguments or _is_whole_file():
        return [sys.stdin.buffer.read(), *parts]
    if _waiting_bytes():
        click.echo(f"note: stdin was not read; write `{STDIN}` among the arguments where it belongs", err=True)
    return parts


def _is_whole_file() -> bool:
    """Say whether stdin is a file that nobody has read of: in a loop over the lines of a file, somebody has."""
    try:
        descriptor = sys.stdin.fileno()
        return stat.S_ISREG(os.fstat(descriptor).st_mode) and os.lseek(descriptor, 0, os.SEEK_CUR) == 0
    except (OSError, ValueError):  # no descriptor, or none that has places
        return False


def _waiting_bytes() -> bool:
    """Say whether there is something to read at this moment; where the system cannot tell, nothing is."""
    if sys.platform == "win32":
        return False
    import fcntl
    import termios

    try:
        found = fcntl.ioctl(sys.stdin.fileno(), termios.FIONREAD, b"\0" * 4)
    except (OSError, ValueError):
        return False
    return int.from_bytes(found, sys.byteorder) > 0


def _is_image_file(argument: str, suffixes: set[str], loaders: Registry[ImageLoader]) -> bool:
    """Say whether an argument is the path of an image: by its name, or by what the file begins with."""
    if not os.path.exists(argument) or os.path.isdir(argument):
        return False
    if os.path.splitext(argument)[1].lower() in suffixes:
        return True
    if not os.path.isfile(argument):  # what `<(…)` gives can be read once only
        return os.sep in argument
    try:
        with open(argument, "rb") as file:
            return _is_image(file.read(HEADER_BYTES), loaders)
    except OSError:
        return False


def _is_image(header: bytes, loaders: Registry[ImageLoader]) -> bool:
    from olpipe.errors import ImageUnsupported
    from olpipe.imaging.decode import choose_loader

    try:
        choose_loader(header, "", loaders)
    except ImageUnsupported:
        return False
    return True


def _text(data: bytes) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        message = "what was piped in is neither text in UTF-8 nor an image that can be read"
        raise UsageError(message, hint="convert it to UTF-8, or give an image") from error
