"""Cut a template into tokens: texts, and what stands between `{{` and `}}`."""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator
from dataclasses import dataclass

SPACE = " \t\r\n"
_OPEN = re.compile(r"\{\{(-(?=[ \t\r\n]))?")
_COMMENT = re.compile(r"[ \t\r\n]*/\*(?:(?!\*/).)*\*/(?P<trim>[ \t\r\n]+-)?\}\}", re.DOTALL)
_TOKEN = re.compile(
    r"""
    (?P<close> (?P<trim>[ \t\r\n]+-)?\}\} )
  | (?P<space> [ \t\r\n]+ )
  | (?P<text>  "(?:[^"\\\n]|\\.)*" )
  | (?P<raw>   `[^`]*` )
  | (?P<char>  '(?:[^'\\\n]|\\.[^']*)' )
  | (?P<number> [+-]?(?: 0[xX][0-9a-fA-F_]+ | 0[bB][01_]+ | 0[oO][0-7_]+
                     | (?:\d[\d_]*(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)? )(?!\w) )
  | (?P<field> \.[^\W\d]\w* )
  | (?P<variable> \$\w* )
  | (?P<word>  [^\W\d]\w* )
  | (?P<sign>  :=|[=|(),.] )
    """,
    re.VERBOSE,
)
_ESCAPES = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", "\\": "\\", "'": "'", '"': '"'}
_ESCAPE = re.compile(r"\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-7]{3})|(.))", re.DOTALL)


class Invalid(ValueError):
    """A template is not valid.

    Attributes:
        line: The number of the line.
    """

    def __init__(self, message: str, line: int) -> None:
        super().__init__(message)
        self.line = line


@dataclass(frozen=True, slots=True)
class Token:
    """A part of a template.

    Attributes:
        kind: `outside` for a text outside of `{{ }}`, `open` for `{{`, `close` for `}}`, and what `_TOKEN` knows.
        text: Its text as it is written; that of a text outside is trimmed.
        line: The number of the line.
        spaced: Whether white space comes before it.
    """

    kind: str
    text: str
    line: int
    spaced: bool = False


def tokens(source: str) -> Iterator[Token]:
    """Yield the tokens of a template. Comments are left out.

    Raises:
        Invalid: It has a character that means nothing, or `{{` without an end.
    """
    at, line, trims = 0, 1, False
    while True:
        # 1. The text up to the next action. A `-` at an action takes away the white space on its side.
        opened = _OPEN.search(source, at)
        text = source[at : len(source) if opened is None else opened.start()]
        shown = text.lstrip(SPACE) if trims else text
        if opened is not None and opened[1]:
            shown = shown.rstrip(SPACE)
        if shown:
            yield Token("outside", shown, line)
        if opened is None:
            return
        line += text.count("\n")
        # 2. A comment, or the tokens of the action
        comment = _COMMENT.match(source, opened.end())
        if comment is not None:
            at, trims = comment.end(), bool(comment["trim"])
            line += comment[0].count("\n")
            continue
        yield Token("open", "{{", line)
        at = opened.end()
        closed = yield from _action(source, at, line)
        trims, line, at = bool(closed["trim"]), line + source.count("\n", at, closed.end()), closed.end()


def _action(source: str, at: int, line: int) -> Generator[Token, None, re.Match[str]]:
    """Yield the tokens of an action up to its end, and return the match of its end."""
    spaced = False
    while True:
        found = _TOKEN.match(source, at)
        if found is None:
            if at >= len(source):
                raise Invalid("an action has no end `}}`", line)
            raise Invalid(f"`{source[at]}` has no meaning here", line)
        kind = found.lastgroup if found["close"] is None else "close"
        assert kind is not None
        if kind == "space":
            spaced = True
        else:
            yield Token(kind, found[0], line, spaced)
            spaced = False
        if kind == "close":
            return found
        line += found[0].count("\n")
        at = found.end()


def constant(token: Token) -> str | int | float:
    """Return the value of a text or a number as Go reads it.

    Raises:
        Invalid: It has none.
    """
    try:
        if token.kind == "raw":
            return token.text[1:-1].replace("\r", "")
        if token.kind in ("text", "char"):
            text = _ESCAPE.sub(_unescaped, token.text[1:-1])
            return text if token.kind == "text" else _character(text)
        return _number(token.text)
    except (ValueError, OverflowError) as error:
        raise Invalid(f"{token.text:.40} has no value", token.line) from error


def _number(text: str) -> int | float:
    try:
        return int(_octal(text), 0)
    except ValueError:
        return float(text)


def _character(text: str) -> int:
    if len(text) != 1:
        raise ValueError(text)
    return ord(text)


def _octal(text: str) -> str:
    return re.sub(r"^([+-]?)0+(?=\d)", r"\g<1>0o", text)


def _unescaped(match: re.Match[str]) -> str:
    for digits, radix in ((match[1], 16), (match[2], 16), (match[3], 16), (match[4], 8)):
        if digits:
            return chr(int(digits, radix))
    if match[5] not in _ESCAPES:
        raise ValueError(match[0])
    return _ESCAPES[match[5]]
