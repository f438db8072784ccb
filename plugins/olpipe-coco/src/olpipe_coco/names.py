"""Names of files and of things, as each format can hold them."""

from __future__ import annotations

import re
from xml.sax.saxutils import escape, quoteattr

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_YAML_ESCAPED = re.compile(
    '[^\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]|["\\\\]'
)
_ONLY_DOTS = {".": "%2E", "..": "%2E%2E", "": "%"}
_LINE_ENDS = {"\r": "&#13;", "\n": "&#10;", "\t": "&#9;"}


def inside(file: str) -> str:
    r"""Return a photo's name as a path that stays inside a folder. Different names stay different.

    A part that would lead out of the folder, such as `..`, is written with per cent signs. A name that is not UTF-8
    begins with `./`, and becomes a path below `%2E`.
    """
    return "/".join(_part(part) for part in file.replace("\0", "%00").split("/"))


def _part(part: str) -> str:
    if part in _ONLY_DOTS:
        return _ONLY_DOTS[part]
    return "%25" + part[1:] if part.startswith("%") else part


def without_suffix(path: str) -> str:
    """Return a path without what follows the last dot of its name."""
    folder, slash, name = path.rpartition("/")
    stem, dot, _ = name.rpartition(".")
    return folder + slash + (stem if dot and stem else name)


def one_line(text: str) -> str:
    """Return a text without line breaks and other characters that control a terminal or a reader."""
    return " ".join("".join(character if character.isprintable() else " " for character in text).split())


def xml_text(text: str) -> str:
    """Return a text as it stands between XML tags. Characters that XML does not know become U+FFFD."""
    return escape(_NOT_XML.sub("\ufffd", text), {"\r": "&#13;"})


def xml_attribute(text: str) -> str:
    """Return a text as the value of an XML attribute, with its quotes."""
    return quoteattr(_NOT_XML.sub("\ufffd", text), _LINE_ENDS)


def yaml_text(text: str) -> str:
    """Return a text as YAML reads it back, in double quotes."""
    return f'"{_YAML_ESCAPED.sub(_escaped, text)}"'


def _escaped(match: re.Match[str]) -> str:
    character = match.group()
    if character in '"\\':
        return "\\" + character
    number = ord(character)
    return f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"
