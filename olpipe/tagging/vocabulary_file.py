"""Read a vocabulary from a text file with a term on each line, or from a table as spreadsheets save it."""

from __future__ import annotations

import csv
import io
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from olpipe.errors import RecipeError, nearest
from olpipe.languages import is_tag
from olpipe.tagging.folding import key
from olpipe.tagging.vocabulary import Term, Vocabulary

TABLES = (".csv", ".tsv")
"""Files whose names end like this are tables. All others have a term on each line."""

TERM, SYNONYMS = "term", "synonyms"
LARGEST_BYTES = 16 * 2**20
LONGEST_TERM = 100
MOST_TOLD = 20
"""Most mistakes of one file that are told."""


class _Wrong(Exception):
    """A line cannot be used. Its text says why."""


@dataclass(slots=True)
class _Entry:
    """A term as it is being read: its name, the line of it, its synonyms, and its words by language."""

    name: str
    line: int
    synonyms: list[str] = field(default_factory=list)
    names: dict[str, list[str]] = field(default_factory=dict)

    def add_names(self, language: str, words: list[str]) -> None:
        """Add its name and its synonyms in a language. It cannot have two names there."""
        known = self.names.setdefault(language, [])
        if known and known[0] != words[0]:
            raise _Wrong(f"`{self.name}` is called `{known[0]}` on line {self.line}, and `{words[0]}` here")
        known += words


def read_vocabulary(path: Path, shown: str) -> Vocabulary:
    """Read a vocabulary.

    Args:
        path: The file. UTF-8, with or without a byte order mark.
        shown: What messages call it.

    Raises:
        RecipeError: It cannot be read, or a line cannot be used. The message names the line.
    """
    vocabulary, errors = examine(path, shown)
    for error in errors:
        raise error
    return vocabulary


def examine(path: Path, shown: str) -> tuple[Vocabulary, tuple[RecipeError, ...]]:
    """Read a vocabulary as far as that is possible, and return what is wrong in it, too.

    Args:
        path: The file.
        shown: What messages call it.
    """
    try:
        text = _text(path, shown)
    except RecipeError as error:
        return Vocabulary(()), (error,)
    return _examined(text, shown, path.suffix.lower() in TABLES)


@lru_cache(maxsize=4)
def _examined(text: str, shown: str, is_table: bool) -> tuple[Vocabulary, tuple[RecipeError, ...]]:
    reader = _Reader(shown)
    if is_table:
        reader.read_table(text)
    else:
        reader.read_lines(text)
    return reader.vocabulary(), tuple(reader.errors[:MOST_TOLD])


def _text(path: Path, shown: str) -> str:
    try:
        data = path.read_bytes()
    except OSError as error:
        hint = None
        if isinstance(error, FileNotFoundError) and path.parent.is_dir():
            close = nearest(path.name, (found.name for found in path.parent.iterdir()), limit=1)
            hint = f"did you mean `{close[0]}`?" if close else None
        raise RecipeError(f"the vocabulary `{shown}` cannot be read: {error.strerror}", hint=hint) from error
    if len(data) > LARGEST_BYTES:
        raise RecipeError(f"the vocabulary `{shown}` has {len(data):,} bytes, more than {LARGEST_BYTES:,}")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        hint = "save it as UTF-8; in Excel as `CSV UTF-8`"
        raise RecipeError(f"`{shown}`, line {line}: it is not UTF-8", hint=hint) from error
    return text.replace("\r\n", "\n").replace("\r", "\n")


class _Reader:
    """Reads one file, and keeps what is wrong in it."""

    def __init__(self, shown: str) -> None:
        self._shown = shown
        self._entries: dict[str, _Entry] = {}
        self._language = ""
        self.errors: list[RecipeError] = []

    def vocabulary(self) -> Vocabulary:
        """Return what was read. A file without terms, and a synonym of two terms, are mistakes, too."""
        if not self._entries and not self.errors:
            message = f"the vocabulary `{self._shown}` has no terms"
            self.errors.append(RecipeError(message, hint="write a term on each line"))
        self._check_synonyms()
        terms = (
            Term(
                entry.name,
                tuple(dict.fromkeys(entry.synonyms)),
                tuple((tag, tuple(dict.fromkeys(words))) for tag, words in entry.names.items()),
            )
            for entry in self._entries.values()
        )
        return Vocabulary(tuple(terms), self._language)

    def read_lines(self, text: str) -> None:
        """Read a term from each line. Empty lines and those that begin with `#` are passed over."""
        for line, term in enumerate(text.split("\n"), start=1):
            if term.strip() and not term.lstrip().startswith("#"):
                self._read_row(line, (TERM,), (term,))

    def read_table(self, text: str) -> None:
        """Read a table. Its first row says what the columns are."""
        columns: Sequence[str] = ()
        for line, cells in _rows(text):
            if isinstance(cells, csv.Error):
                self._tell(line, f"the row is not CSV: {cells}", hint="does a quotation mark lack its second one?")
            elif columns:
                self._read_row(line, columns, cells)
            else:
                columns = [cell.strip() for cell in cells]
                if not self._check_columns(line, columns):
                    return

    def _check_columns(self, line: int, columns: Sequence[str]) -> bool:
        """Tell what is wrong with the names of columns, and note the language of the terms. Say whether all is well."""
        wrong = [name for name in columns[1:] if name.lower() != SYNONYMS and not is_tag(name)]
        twice = [name for at, name in enumerate(columns) if name.lower() in map(str.lower, columns[:at])]
        hint = f"the first row is like `{TERM},{SYNONYMS},zh-Hans,de`"
        named = is_tag(columns[0]) and len(columns) > 1  # `cat` above one column is a term, and not Catalan
        if columns[0].lower() != TERM and not named:
            self._tell(line, f"the first column is `{columns[0]}`, not `{TERM}` or a language tag", hint=hint)
        elif wrong:
            self._tell(line, f"the column `{wrong[0]}` is not `{SYNONYMS}`, and no language tag", hint=hint)
        elif twice:
            self._tell(line, f"the column `{twice[0]}` is there twice")
        self._language = "" if columns[0].lower() == TERM else columns[0]
        return not self.errors

    def _read_row(self, line: int, columns: Sequence[str], cells: Sequence[str]) -> None:
        try:
            entry = self._entry(line, _checked(cells[0]))
            if any(cell.strip() for cell in cells[len(columns) :]):
                raise _Wrong(f"it has {len(cells)} cells, and there are {len(columns)} columns")
            for column, cell in zip(columns[1:], cells[1:], strict=False):
                found = [_checked(word) for word in cell.split(";") if word.strip()]
                if column.lower() == SYNONYMS:
                    entry.synonyms += found
                elif found:
                    entry.add_names(column, found)
        except _Wrong as error:
            self._tell(line, str(error))

    def _entry(self, line: int, name: str) -> _Entry:
        """Return what is known of a term. A term that stands on several lines is one term."""
        return self._entries.setdefault(name, _Entry(name, line))

    def _check_synonyms(self) -> None:
        """Tell of synonyms that two terms have. A synonym that is a term itself is that term."""
        names = {key(name, english=False) for name in self._entries}
        owners: dict[str, _Entry] = {}
        for entry in self._entries.values():
            for word in entry.synonyms:
                owner = owners.setdefault(key(word, english=False), entry)
                if owner is not entry and key(word, english=False) not in names:
                    message = f"`{word}` is a synonym of `{entry.name}`, and on line {owner.line} of `{owner.name}`"
                    self._tell(entry.line, message, hint="leave it at one of them")

    def _tell(self, line: int, message: str, hint: str | None = None) -> None:
        self.errors.append(RecipeError(f"`{self._shown}`, line {line}: {message}", hint=hint))


def _rows(text: str) -> Iterator[tuple[int, list[str] | csv.Error]]:
    """Yield the rows of a table that have something in them, each with its first line. An error is the last one.

    Cells are separated as in the first row: by commas, by semicolons as Excel does it in some countries, or by tabs.
    """
    lines = text.split("\n")
    before = 0
    while before < len(lines) and (not lines[before].strip() or lines[before].startswith(("#", "sep="))):
        before += 1
    first = lines[before] if before < len(lines) else ""
    separator = max(",;\t", key=first.count)
    table = csv.reader(io.StringIO("\n".join(lines[before:])), delimiter=separator, strict=True)
    line = before + 1
    try:
        for cells in table:
            if any(cell.strip() for cell in cells) and not cells[0].lstrip().startswith("#"):
                yield line, cells
            line = before + table.line_num + 1
    except csv.Error as error:
        yield line, error


def _checked(word: str) -> str:
    """Return a word as it is used: in composed form, with single spaces."""
    word = unicodedata.normalize("NFC", " ".join(word.split()))
    if not key(word, english=False):
        raise _Wrong(f"`{word}` has no letters" if word else "the term is missing")
    if not word.isprintable() and any(unicodedata.category(character) in ("Cc", "Cs", "Co") for character in word):
        raise _Wrong(f"{word!r} has characters that cannot be seen")
    if len(word) > LONGEST_TERM:
        raise _Wrong(f"`{word[:LONGEST_TERM]}…` has {len(word)} characters, more than {LONGEST_TERM}")
    return word
