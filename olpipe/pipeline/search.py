"""Find the records of a batch by words: from its ledger alone, without a model and without the photos."""

from __future__ import annotations

import codecs
import re
import unicodedata
from bisect import insort
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import orjson

from olpipe.errors import UsageError
from olpipe.pipeline.last_run import last_key
from olpipe.pipeline.ledger import RECORD
from olpipe.pipeline.ledger_reader import LedgerReader
from olpipe.pipeline.reviews import Reviews
from olpipe.record import RESERVED, TAG_SCORES, words_read

WHOLE, NAMED, PART, SAID = 4, 3, 2, 1
"""What a word counts: it is a whole tag; it stands in the title or in a tag; in the type of an object or in words that
were read; or anywhere else, as in the description or in the file's name."""

_ACCENTS = re.compile("[\u0300-\u036f]")
_RUN = re.compile(rb"[\x80-\xff]+")
_FOLDING = "olpipe-folding"
"""The name under which Python's decoder finds what folds letters beyond ASCII."""

_ESCAPED = re.compile(r'["\\\x00-\x1f]')
"""Characters that JSON writes otherwise."""

_BETWEEN = "\0"
"""Stands between texts. No word of a command line has it, so none reaches over two texts."""

_TOLD = RESERVED | {TAG_SCORES, "tags", "title", "objects"}
"""Keys of records whose texts are searched under their own names, or not at all."""

_ROWS = "FROM rows JOIN outcomes ON outcomes.id = outcome JOIN photos USING (path)"


@dataclass(frozen=True, slots=True)
class Found:
    """What a search has found.

    Attributes:
        records: The best records that have all words, the best first, as `records.jsonl` has them.
        has_more: Whether there are more of them.
    """

    records: Iterator[dict[str, Any]]
    has_more: bool


def fold(text: str) -> str:
    """Return a text as it is compared: without accents of Latin letters, and without capital letters."""
    return _folded(text.encode("utf-8", "backslashreplace"))


def _folded(data: bytes) -> str:
    """Return a text in UTF-8 as it is compared. A JSON document stays one: no letter becomes one of its signs.

    This is done for every record, so it is fast: Python's decoder passes over ASCII, and calls us for everything else.
    """
    return data.lower().decode("ascii", _FOLDING)


def _folded_run(error: UnicodeError) -> tuple[str, int]:
    """Return what is compared of letters beyond ASCII, and where they end."""
    assert isinstance(error, UnicodeDecodeError)
    run = _RUN.match(error.object, error.start)
    assert run is not None
    return _without_accents(run[0]), run.end()


codecs.register_error(_FOLDING, _folded_run)


@lru_cache(maxsize=10_000)
def _without_accents(run: bytes) -> str:
    bare = _ACCENTS.sub("", unicodedata.normalize("NFD", run.decode()))
    return unicodedata.normalize("NFC", bare).casefold()


def search_records(reader: LedgerReader, output: Path, words: Sequence[str], *, limit: int) -> Found:
    """Find the records of the recipe that ran last that have every word.

    A word may be part of a longer one, so words are found in languages without spaces, too. Memory grows with `limit`
    and not with the number of records.

    Args:
        reader: The ledger. It stays open while the records are read.
        output: Its folder, for messages.
        words: What to find; at least one.
        limit: Most records.

    Raises:
        UsageError: There is no record yet.
    """
    key = last_key(reader)
    reviews = Reviews.there(reader.run)
    some = "SELECT 1 FROM rows WHERE recipe_key = ? AND kind = ? LIMIT 1"
    if key is None or reader.value(some, (key, RECORD)) is None:
        raise UsageError(f"`{output}` has no records yet", hint="run `olpipe batch` first")
    found = _Search(reader, key, reviews)
    best = found.best([fold(word) for word in words], limit + 1)
    return Found((found.record(seq) for _, _, seq in best[:limit]), has_more=len(best) > limit)


class _Search:
    """The records of one recipe, as people have corrected them."""

    def __init__(self, reader: LedgerReader, key: str, reviews: Reviews | None) -> None:
        self._reader = reader
        self._key = key
        self._reviews = reviews

    def best(self, words: Sequence[str], most: int) -> list[tuple[int, str, int]]:
        """Return the best rows: what each counts, less than 0; the photo's name; and the row's number.

        Most rows need not be taken apart. A word that stands nowhere in a row's JSON stands in none of its values. A
        word that does not stand there in quotes is no whole tag, so the row may count too little to be among the best.
        """
        plain = [word for word in words if not _ESCAPED.search(word)]
        quoted = [f'"{word}"' for word in plain]
        best: list[tuple[int, str, int]] = []
        for seq, name, data in self._rows("rows.recipe_key = ? AND rows.kind = ?", self._key, RECORD):
            text, file = _folded(data), fold(name)
            if not all(word in text or word in file for word in plain):
                continue
            if len(best) == most:
                most_counted = WHOLE * len(words) - (WHOLE - NAMED) * sum(word not in text for word in quoted)
                if (-most_counted, name) > best[-1][:2]:
                    continue
            counted = _counted({**orjson.loads(text), "file": file}, words)
            if counted:
                insort(best, (-counted, name, seq))
                del best[most:]
        return best

    def record(self, number: int) -> dict[str, Any]:
        """Return the record of a row."""
        _, name, data = next(self._rows("seq = ?", number))
        return {**orjson.loads(data), "file": name}

    def _rows(self, which: str, *values: Any) -> Iterator[tuple[int, str, bytes]]:
        """Yield rows: their numbers, the names of their photos, and their JSON with what people corrected."""
        asked = f"SELECT seq, name, photos.sha256, json {_ROWS} WHERE {which}"
        for seq, name, sha256, data in self._reader.rows(asked, values):
            if self._reviews is not None and self._reviews.concerns(sha256):
                yield seq, name, orjson.dumps(self._reviews.of(orjson.loads(data), self._key).row)
            else:
                yield seq, name, data


def _counted(record: Mapping[str, Any], words: Sequence[str]) -> int:
    """Return how well a record fits, whose texts are folded; 0 where it lacks a word."""
    data = record.get("data")
    levels = [record, data] if isinstance(data, dict) else [record]  # the answer to a schema may have a title, too
    tags = _texts([values.get("tags") for values in levels])
    rest = [value for key, value in record.items() if key not in _TOLD]
    places = (
        (NAMED, _joined([tags, [values.get("title") for values in levels]])),
        (PART, _joined([words_read(record), [values.get("objects") for values in levels]])),
        (SAID, _joined([record["file"], rest])),
    )
    counts = [WHOLE if word in tags else next((count for count, text in places if word in text), 0) for word in words]
    return sum(counts) if all(counts) else 0


def _joined(value: Any) -> str:
    return _BETWEEN.join(_texts(value))


def _texts(value: Any) -> list[str]:
    """Return every text in a value, however deep it lies."""
    found: list[str] = []
    waiting = [value]
    for one in waiting:  # it grows
        if isinstance(one, str):
            found.append(one)
        elif isinstance(one, list):
            waiting += one
        elif isinstance(one, dict):
            waiting += one.values()
    return found
