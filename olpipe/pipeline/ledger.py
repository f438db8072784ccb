"""The ledger: what was done for which photo, kept in the output folder so that nothing is done twice.

It is an outbox. An outcome, with its row's JSON, is committed here first; sinks append rows from here
and keep how far they are. So a run may end at any point: rows that a sink lacks are still here, and
what a sink has beyond its committed position is cut off and written again.

Outcomes belong to bytes (and a recipe's key), rows to paths: equal photos are worked once, a renamed
one not at all. One process at a time has the ledger; the system takes the lock back when it dies.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import orjson

from olpipe.errors import OutputUnavailable
from olpipe.image import ImageRef
from olpipe.pipeline.output import writing
from olpipe.record import Outcome, Record

LEDGER_PATH = Path(".olpipe", "ledger.sqlite")
VERSION = 1

RECORDS, FAILURES = "records", "failures"
SINKS = (RECORDS, FAILURES)

# The triggers keep one promise: a sink never keeps a row that is no longer true. It starts over instead.
SCHEMA = """
CREATE TABLE photos(          -- every path with a row, as it was when it was read
  path BLOB PRIMARY KEY, name TEXT NOT NULL, size_bytes INTEGER NOT NULL, modified_ns INTEGER NOT NULL, sha256 TEXT
) WITHOUT ROWID;
CREATE INDEX photos_by_digest ON photos(sha256);
CREATE INDEX photos_by_name ON photos(name);
CREATE TABLE outcomes(        -- what came of some bytes under a recipe; no digest: they could not be read
  id INTEGER PRIMARY KEY, recipe_key TEXT NOT NULL, sha256 TEXT, kind TEXT NOT NULL, json BLOB NOT NULL,
  UNIQUE(recipe_key, sha256)
);
CREATE TABLE rows(            -- the current row of each path under each recipe, in the order they go to sinks
  seq INTEGER PRIMARY KEY AUTOINCREMENT, path BLOB NOT NULL, recipe_key TEXT NOT NULL,
  sink TEXT NOT NULL, outcome INTEGER NOT NULL REFERENCES outcomes(id),
  UNIQUE(path, recipe_key)
);
CREATE INDEX rows_by_outcome ON rows(outcome);
CREATE TABLE sinks(           -- rows up to `seq` of this recipe lie before `position`
  name TEXT PRIMARY KEY, recipe_key TEXT NOT NULL, seq INTEGER NOT NULL, position INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TRIGGER row_gone AFTER DELETE ON rows BEGIN
  UPDATE sinks SET seq = 0, position = 0
  WHERE name = OLD.sink AND recipe_key = OLD.recipe_key AND seq >= OLD.seq;
END;
CREATE TRIGGER photo_renamed AFTER UPDATE OF name ON photos WHEN OLD.name <> NEW.name BEGIN
  UPDATE sinks SET seq = 0, position = 0 WHERE EXISTS (
    SELECT 1 FROM rows WHERE rows.path IN (OLD.path, NEW.path) AND rows.sink = sinks.name
    AND rows.recipe_key = sinks.recipe_key AND rows.seq <= sinks.seq);
END;
"""


@dataclass(frozen=True, slots=True)
class SinkState:
    """How far a sink is: rows up to `seq` lie before `position`."""

    seq: int
    position: int


class Ledger:
    """The ledger of one output folder. Used from one thread, as a context manager."""

    def __init__(self, output: Path) -> None:
        """Open or create the ledger in an output folder, and lock it.

        Raises:
            OutputBusy: Another run has it.
            OutputUnavailable: The folder cannot be made or written.
        """
        self.output = output
        self.recipe_key = ""
        path = output / LEDGER_PATH
        with writing(output):
            path.parent.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(path, timeout=0, isolation_level=None)
        try:
            self._prepare()
        except BaseException:
            self._connection.close()
            raise

    def _prepare(self) -> None:
        # one writer; the lock is the system's, so it goes with the process
        for pragma in ("locking_mode = EXCLUSIVE", "journal_mode = WAL", "synchronous = NORMAL"):
            self.run(f"PRAGMA {pragma}")
        with self.transaction():
            version = self.value("PRAGMA user_version")
            if version == 0:
                for statement in _statements(SCHEMA):
                    self.run(statement)
                self.run(f"PRAGMA user_version = {VERSION}")
            elif version != VERSION:
                raise OutputUnavailable(
                    f"`{self.output}` was written by another version of olpipe", hint="give another folder with `-o`"
                )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._connection.close()

    # --- statements -----------------------------------------------------------------------------

    def run(self, statement: str, values: Sequence[Any] = ()) -> sqlite3.Cursor:
        """Run one SQL statement."""
        with writing(self.output):
            return self._connection.execute(statement, values)

    def run_many(self, statement: str, rows: Iterable[Sequence[Any]]) -> None:
        """Run one SQL statement for each row of values."""
        with writing(self.output):
            self._connection.executemany(statement, rows)

    def value(self, statement: str, values: Sequence[Any] = ()) -> Any:
        """Return the first value of a statement's first row; None when there is none."""
        row = self.run(statement, values).fetchone()
        return None if row is None else row[0]

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Make a block's statements happen all or not at all."""
        self.run("BEGIN IMMEDIATE")
        try:
            yield
            self.run("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise

    # --- a run ----------------------------------------------------------------------------------

    def begin(self, recipe_key: str) -> int:
        """Name the recipe that everything from here on belongs to.

        Returns:
            How many records of another recipe the sinks hold; they start over.
        """
        self.recipe_key = recipe_key
        with self.transaction():
            left = self.value(
                "SELECT count(*) FROM rows JOIN sinks ON name = sink AND rows.recipe_key = sinks.recipe_key"
                " WHERE sink = ? AND rows.recipe_key <> ?",
                (RECORDS, recipe_key),
            )
            self.run("DELETE FROM sinks WHERE recipe_key <> ?", (recipe_key,))
            for sink in SINKS:
                self.run("INSERT OR IGNORE INTO sinks VALUES (?, ?, 0, 0)", (sink, recipe_key))
        return int(left)

    def digest(self, image: ImageRef) -> str | None:
        """Return the digest of a file that is as it was when it was last read; else None."""
        found: str | None = self.value(
            "SELECT sha256 FROM photos WHERE path = ? AND size_bytes = ? AND modified_ns = ?",
            (os.fsencode(image.path), image.size_bytes, image.modified_ns),
        )
        return found

    def adopt(self, image: ImageRef, sha256: str) -> str | None:
        """Give a photo the outcome that equal bytes already have.

        Returns:
            The sink its row goes to, or None when there is no such outcome.
        """
        found = self.run(
            "SELECT id, kind FROM outcomes WHERE recipe_key = ? AND sha256 = ?", (self.recipe_key, sha256)
        ).fetchone()
        if found is None:
            return None
        sink = RECORDS if found[1] == "record" else FAILURES
        with self.transaction():
            self._add_row(image, sha256, found[0], sink)
        return sink

    def commit(self, outcome: Outcome, images: Sequence[ImageRef]) -> None:
        """Keep an outcome, with a row for every photo it holds for: from here on it is done."""
        is_record = isinstance(outcome, Record)
        kind = "record" if isinstance(outcome, Record) else outcome.kind.value
        with self.transaction():
            cursor = self.run(
                "INSERT INTO outcomes(recipe_key, sha256, kind, json) VALUES (?, ?, ?, ?)",
                (self.recipe_key, outcome.sha256, kind, orjson.dumps(outcome.to_json())),
            )
            for image in images:
                self._add_row(image, outcome.sha256, cursor.lastrowid, RECORDS if is_record else FAILURES)

    def _add_row(self, image: ImageRef, sha256: str | None, outcome: int | None, sink: str) -> None:
        path = os.fsencode(image.path)
        self.run(
            "REPLACE INTO photos VALUES (?, ?, ?, ?, ?)",
            (path, image.name, image.size_bytes, image.modified_ns, sha256),
        )
        self.run(
            "INSERT INTO rows(path, recipe_key, sink, outcome) VALUES (?, ?, ?, ?)",
            (path, self.recipe_key, sink, outcome),
        )

    # --- sinks ----------------------------------------------------------------------------------

    def state(self, sink: str) -> SinkState:
        """Return how far a sink is."""
        return SinkState(*self.run("SELECT seq, position FROM sinks WHERE name = ?", (sink,)).fetchone())

    def advance(self, sink: str, state: SinkState) -> None:
        """Keep how far a sink is."""
        self.run("UPDATE sinks SET seq = ?, position = ? WHERE name = ?", (state.seq, state.position, sink))

    def rows_after(self, sink: str, seq: int) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yield the rows that a sink does not have yet, each with its number."""
        cursor = self.run(
            "SELECT seq, photos.name, json FROM rows JOIN outcomes ON outcomes.id = outcome JOIN photos USING (path)"
            " WHERE rows.recipe_key = ? AND sink = ? AND seq > ? ORDER BY seq",
            (self.recipe_key, sink, seq),
        )
        for number, name, text in cursor:
            yield number, {**orjson.loads(text), "file": name}

    def count(self, sink: str) -> int:
        """Return how many rows a sink holds when it is up to date."""
        found = self.value("SELECT count(*) FROM rows WHERE recipe_key = ? AND sink = ?", (self.recipe_key, sink))
        return int(found)


def _statements(script: str) -> Iterator[str]:
    """Cut a script into statements: `executescript` would commit before the first."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
