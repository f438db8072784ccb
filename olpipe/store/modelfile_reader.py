"""Read a Modelfile: take it apart into its commands.

    # a comment
    FROM llama3.2
    PARAMETER stop "###"
    MESSAGE user Hello

A value in one or three double quotes may have several lines. It may also stand between a line that ends with `<<WORD`
and a line that is `WORD` alone. Ollama does not know this last form. Only a text needs it in which a line ends with
three quotes: Ollama has no way to write such a text.
Source: https://github.com/ollama/ollama/blob/main/docs/modelfile.mdx
"""

from __future__ import annotations

import codecs
import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass

from olpipe.errors import UsageError, nearest

COMMANDS = (
    "from",
    "license",
    "template",
    "system",
    "adapter",
    "draft",
    "renderer",
    "parser",
    "parameter",
    "message",
    "requires",
)
ROLES = ("system", "user", "assistant")
QUOTES = '"""'
HEREDOC = re.compile(r"<<([A-Z][A-Z0-9_]*)")
"""How a value begins that goes on until a line which is the word alone."""

_BOMS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
_KEYWORD = re.compile(r"[^ \t\r\n]*")
_PARAMETER = re.compile(r"[A-Za-z0-9_]+")
_LINE_END = re.compile(r"\r\n|\r|\n")
_LONE_LINE_FEED = re.compile(r"(?<!\r)\n")
_MOST_SHOWN = 40


@dataclass(frozen=True, slots=True)
class Command:
    """One command of a Modelfile.

    Attributes:
        name: Its name in small letters: `from`, `parameter`, …
        value: Its value, without quotes.
        line: The number of the line that it begins in.
        subject: The parameter that it sets, or the role of its message; empty for any other command.
    """

    name: str
    value: str
    line: int
    subject: str = ""


def decode(data: bytes) -> str:
    r"""Return the text of a file: UTF-8, or what its byte order mark says.

    Where all lines end as on Windows, each `\r\n` becomes `\n`, so that a text in the file is the same on all systems.

    Raises:
        UsageError: It is no text.
    """
    encoding = "utf-8"
    for mark, named in _BOMS:
        if data.startswith(mark):
            data, encoding = data[len(mark) :], named
            break
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        hint = "save it as a text in UTF-8"
        raise UsageError(f"the Modelfile is not a text in {encoding.upper()}", hint=hint) from error
    return text if _LONE_LINE_FEED.search(text) else text.replace("\r\n", "\n")


def read_commands(text: str) -> list[Command]:
    """Return the commands of a Modelfile in their order.

    Raises:
        UsageError: A line is no command, or a quoted text does not end. The message has the number of the line.
    """
    return list(_Reader(text).commands())


class _Reader:
    """Goes through a text from its start to its end."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._begin = 0
        self._ends = [found.span() for found in _LINE_END.finditer(text)]
        self._begins = [0, *(end for _, end in self._ends)]
        self._ends.append((len(text), len(text)))

    def commands(self) -> Iterator[Command]:
        while True:
            self._skip(" \t\r\n")
            if self._at == len(self._text):
                return
            if self._text[self._at] == "#":
                self._at = self._line_end()
                continue
            self._begin = self._at
            yield self._command()

    def _command(self) -> Command:
        # 1. Which command it is
        word = self._word()
        name = word.lower()
        if name not in COMMANDS:
            raise self._unknown(word)
        # 2. The parameter or the role that comes before the value
        subject = ""
        if name in ("parameter", "message"):
            self._skip(" \t")
            subject = self._word()
            if name == "message" and subject not in ROLES:
                raise self._wrong('message role must be one of "system", "user", or "assistant"', None)
            if name == "parameter" and not _PARAMETER.fullmatch(subject):
                raise self._wrong("`PARAMETER` needs a name and a value", "write it like `PARAMETER temperature 0.7`")
        # 3. The value
        if self._at == len(self._text) or self._text[self._at] not in " \t":
            what = f"{name.upper()} {subject}".rstrip()
            raise self._wrong(f"`{what}` has no value", f'write one behind it, or `{what} ""` for an empty text')
        self._skip(" \t")
        return Command(name, self._value(), self._line(self._begin), subject)

    def _value(self) -> str:
        begin = self._at
        rest = self._text[begin : self._line_end()].strip()
        if (heredoc := HEREDOC.fullmatch(rest)) is not None:
            return self._until(heredoc[1])
        quotes = next((quotes for quotes in (QUOTES, '"') if rest.startswith(quotes)), "")
        # A quoted value ends at the first end of a line before which its quotes are closed
        while True:
            end = self._line_end()
            if self._text[self._at : end].rstrip().endswith(quotes):
                value = self._text[begin:end].strip()
                if len(value) >= 2 * len(quotes):
                    self._at = end
                    return value[len(quotes) : len(value) - len(quotes)]
            if end == len(self._text):
                raise self._wrong("the quoted text that begins here does not end", "close its quotes")
            self._at = self._ends[self._line(end) - 1][1]

    def _until(self, word: str) -> str:
        """Return the lines up to the one that is a word alone."""
        begin = self._ends[self._line(self._at) - 1][1]
        end = re.compile(rf"^{word}$", re.MULTILINE).search(self._text, begin)
        if end is None:
            raise self._wrong(f"no line `{word}` ends the text that begins here", f"end it with a line `{word}`")
        self._at = end.end()
        return self._text[begin : max(begin, end.start() - 1)]

    def _skip(self, skipped: str) -> None:
        while self._at < len(self._text) and self._text[self._at] in skipped:
            self._at += 1

    def _word(self) -> str:
        found = _KEYWORD.match(self._text, self._at)
        assert found is not None
        self._at = found.end()
        return found[0]

    def _line(self, at: int) -> int:
        """Return the number of a line. The first is 1."""
        return bisect_right(self._begins, at)

    def _line_end(self) -> int:
        """Return where the line ends that is read."""
        return self._ends[self._line(self._at) - 1][0]

    def _unknown(self, word: str) -> UsageError:
        known = ", ".join(f'"{one}"' for one in COMMANDS[:-1])
        close = nearest(word.lower(), COMMANDS)
        given = word if len(word) <= _MOST_SHOWN else f"{word[:_MOST_SHOWN]}…"
        hint = f"this line begins with `{given}`" + (f"; did you mean `{close[0].upper()}`?" if close else "")
        return self._wrong(f'command must be one of {known}, or "{COMMANDS[-1]}"', hint)

    def _wrong(self, message: str, hint: str | None) -> UsageError:
        return UsageError(f"(line {self._line(self._begin)}): {message}", hint=hint)
