"""The ledger: what was done for which photo, kept in the output folder so that nothing is done twice.

It works as an outbox. An outcome, with its row's JSON, is first committed here. Sinks then append rows from here, and
the ledger remembers how far each target is. So a run may end at any point: rows that a target lacks are still here,
and rows that it has beyond its committed position are cut off and written again.

An outcome belongs to a file's bytes and a recipe's key, a row belongs to a path. So equal photos are described once,
and a renamed photo needs no work. Where the prompt tells where a photo lies, the outcome belongs to that, too. One
process at a time holds the ledger's lock; the system frees it when that process dies.

What people corrected, approved and rejected lies here, too. `olpipe.pipeline.reviews` says what it belongs to, and that
a correction waits where a recipe has no such field. Rows are given out with the corrections in them.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import orjson

from olpipe.errors import OutputUnavailable
from olpipe.image import ImageRef
from olpipe.pipeline.output import writing
from olpipe.pipeline.reviews import Reviews
from olpipe.record import CopiedRecord, Failure, Record

LEDGER_PATH = Path(".olpipe", "ledger.sqlite")
VERSION = 3

RECORD, FAILURE = "record", "failure"
"""Kinds of rows."""

# The triggers see to it that no target keeps a row that is no longer true: the target starts over instead. It keeps its
# position, by which the sink knows what it may replace.
TRIGGERS = """
CREATE TRIGGER row_gone AFTER DELETE ON rows BEGIN
  UPDATE targets SET seq = 0
  WHERE kind = OLD.kind AND recipe_key = OLD.recipe_key AND seq >= OLD.seq;
END;
CREATE TRIGGER photo_renamed AFTER UPDATE OF name ON photos WHEN OLD.name <> NEW.name BEGIN
  UPDATE targets SET seq = 0 WHERE EXISTS (
    SELECT 1 FROM rows WHERE rows.path IN (OLD.path, NEW.path) AND rows.kind = targets.kind
    AND rows.recipe_key = targets.recipe_key AND rows.seq <= targets.seq);
END;
"""
TARGETS = """
CREATE TABLE targets(         -- a target holds this recipe's rows of this kind up to `seq`; they end at `position`
  target TEXT PRIMARY KEY, kind TEXT NOT NULL, recipe_key TEXT NOT NULL, seq INTEGER NOT NULL, position INTEGER NOT NULL
) WITHOUT ROWID;
"""
SCHEMA = f"""
CREATE TABLE photos(          -- every path with a row, as it was when it was read
  path BLOB PRIMARY KEY, name TEXT NOT NULL, size_bytes INTEGER NOT NULL, modified_ns INTEGER NOT NULL, sha256 TEXT
) WITHOUT ROWID;
CREATE INDEX photos_by_digest ON photos(sha256);
CREATE INDEX photos_by_name ON photos(name);
CREATE TABLE outcomes(        -- the outcome of a file's bytes under a recipe; sha256 is NULL if they could not be read
  id INTEGER PRIMARY KEY, recipe_key TEXT NOT NULL, sha256 TEXT, kind TEXT NOT NULL, json BLOB NOT NULL,
  UNIQUE(recipe_key, sha256)
);
CREATE TABLE rows(            -- the current row of each path under each recipe, in the order they go to targets
  seq INTEGER PRIMARY KEY AUTOINCREMENT, path BLOB NOT NULL, recipe_key TEXT NOT NULL,
  kind TEXT NOT NULL, outcome INTEGER NOT NULL REFERENCES outcomes(id),
  UNIQUE(path, recipe_key)
);
CREATE INDEX rows_by_outcome ON rows(outcome);
{TARGETS}{TRIGGERS}
"""

# Version 1 had only two targets, both JSON Lines files, and called the kind of a row its sink.
FROM_VERSION_1 = f"""
DROP TRIGGER row_gone;
DROP TRIGGER photo_renamed;
ALTER TABLE rows RENAME COLUMN sink TO kind;
UPDATE rows SET kind = CASE kind WHEN 'records' THEN '{RECORD}' ELSE '{FAILURE}' END;
{TARGETS}
INSERT INTO targets SELECT 'jsonl:' || name || '.jsonl', CASE name WHEN 'records' THEN '{RECORD}' ELSE '{FAILURE}' END,
  recipe_key, seq, position FROM sinks;
DROP TABLE sinks;
{TRIGGERS}
"""

# Targets of version 2 lost their position when they had to start over.
FROM_VERSION_2 = f"""
DROP TRIGGER row_gone;
DROP TRIGGER photo_renamed;
{TRIGGERS}
"""
STEPS = {0: SCHEMA, 1: FROM_VERSION_1, 2: FROM_VERSION_2}


@dataclass(frozen=True, slots=True)
class TargetState:
    """How far a target is: it holds the rows up to `seq`, and they end at `position`.

    Where `seq` is 0, what it holds up to `position` is no longer true, and the target starts over.
    """

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
        self.told: Callable[[Path], str] | None = None
        self._kinds: dict[str, str] = {}
        self.reviews = Reviews(self.run)
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
        # There is one writer. Its lock belongs to the system, so the lock ends with the process
        for pragma in ("locking_mode = EXCLUSIVE", "journal_mode = WAL", "synchronous = NORMAL"):
            self.run(f"PRAGMA {pragma}")
        with self.transaction():
            version = self.value("PRAGMA user_version")
            if version in STEPS:
                for statement in _statements(STEPS[version]):
                    self.run(statement)
                self.run(f"PRAGMA user_version = {VERSION}")
            elif version != VERSION:
                raise OutputUnavailable(
                    f"`{self.output}` was written by another version of olpipe", hint="give another folder with `-o`"
                )
            self.reviews.prepare()

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

    def begin(self, recipe_key: str, targets: Mapping[str, str], *, told: Callable[[Path], str] | None = None) -> int:
        """Set the recipe that all further calls are about, and the targets that its rows go to.

        No target changes before `advance`, so a run that fails before that has changed nothing.

        Args:
            recipe_key: The recipe's key.
            targets: The kind of rows that each target takes.
            told: What the prompt tells of where a photo lies. None where it tells nothing of it.

        Returns:
            How many records of another recipe the targets hold. These targets start over.
        """
        self.recipe_key, self.told = recipe_key, told
        self._kinds = dict(targets)
        others: set[int] = set()
        for target in targets:
            held = self.run(
                "SELECT rows.seq FROM rows JOIN targets USING (kind, recipe_key)"
                " WHERE target = ? AND kind = ? AND recipe_key <> ?",
                (target, RECORD, recipe_key),
            )
            others.update(seq for (seq,) in held)
        return len(others)

    def digest(self, image: ImageRef) -> str | None:
        """Return the digest of a file that has not changed since it was last read, or None."""
        found: str | None = self.value(
            "SELECT sha256 FROM photos WHERE path = ? AND size_bytes = ? AND modified_ns = ?",
            (os.fsencode(image.path), image.size_bytes, image.modified_ns),
        )
        return found

    def identity(self, sha256: str | None, path: Path) -> str | None:
        """Return what the outcome of a photo belongs to: its bytes, and what the prompt tells of where it lies."""
        if sha256 is None or self.told is None:
            return sha256
        return f"{sha256} {hashlib.sha256(self.told(path).encode()).hexdigest()}"

    def adopt(self, image: ImageRef, sha256: str) -> str | None:
        """Give a photo the outcome that an equal one already has.

        Returns:
            The kind of its row, or None when there is no such outcome.
        """
        found = self.run(
            "SELECT id, kind FROM outcomes WHERE recipe_key = ? AND sha256 = ?",
            (self.recipe_key, self.identity(sha256, image.path)),
        ).fetchone()
        if found is None:
            return None
        kind = RECORD if found[1] == RECORD else FAILURE
        with self.transaction():
            self._add_row(image, sha256, found[0], kind)
        return kind

    def commit(self, outcome: Record | CopiedRecord | Failure, images: Sequence[ImageRef]) -> None:
        """Keep an outcome, with a row for each of these photos: they are done now."""
        kind, reason = (FAILURE, outcome.kind.value) if isinstance(outcome, Failure) else (RECORD, RECORD)
        with self.transaction():
            cursor = self.run(
                "INSERT INTO outcomes(recipe_key, sha256, kind, json) VALUES (?, ?, ?, ?)",
                (
                    self.recipe_key,
                    self.identity(outcome.sha256, images[0].path),
                    reason,
                    orjson.dumps(outcome.to_json()),
                ),
            )
            for image in images:
                self._add_row(image, outcome.sha256, cursor.lastrowid, kind)

    def _add_row(self, image: ImageRef, sha256: str | None, outcome: int | None, kind: str) -> None:
        path = os.fsencode(image.path)
        self.run(
            "REPLACE INTO photos VALUES (?, ?, ?, ?, ?)",
            (path, image.name, image.size_bytes, image.modified_ns, sha256),
        )
        self.run(
            "INSERT INTO rows(path, recipe_key, kind, outcome) VALUES (?, ?, ?, ?)",
            (path, self.recipe_key, kind, outcome),
        )

    # --- targets --------------------------------------------------------------------------------

    def state(self, target: str) -> TargetState:
        """Return how far a target is with the recipe's rows; it is one that `begin` named."""
        found = self.run("SELECT recipe_key, kind, seq, position FROM targets WHERE target = ?", (target,)).fetchone()
        if found is None:
            return TargetState(0, 0)
        recipe_key, kind, seq, position = found
        is_ours = recipe_key == self.recipe_key and kind == self._kinds[target]
        return TargetState(seq if is_ours else 0, position)

    def advance(self, target: str, state: TargetState) -> None:
        """Remember how far a target is with the recipe's rows."""
        values = (target, self._kinds[target], self.recipe_key, state.seq, state.position)
        self.run("REPLACE INTO targets VALUES (?, ?, ?, ?, ?)", values)

    def follow(self, names: Iterable[str]) -> None:
        """Take note that a sink has changed these photos itself: they are not described again for that."""
        for name in names:
            path, before = self.run("SELECT path, sha256 FROM photos WHERE name = ?", (name,)).fetchone() or (b"", None)
            try:
                status = os.stat(path)
                data = Path(os.fsdecode(path)).read_bytes()
            except OSError:
                continue
            after = hashlib.sha256(data).hexdigest()
            self.reviews.follow(before, after)
            # An outcome that belongs to more than bytes is compared with the digest of what was described: it stays
            self.run(
                "UPDATE photos SET size_bytes = ?, modified_ns = ?, sha256 = CASE WHEN EXISTS (SELECT 1 FROM rows"
                " JOIN outcomes ON outcomes.id = outcome WHERE rows.path = photos.path AND outcomes.sha256 LIKE '% %')"
                " THEN sha256 ELSE ? END WHERE path = ?",
                (status.st_size, status.st_mtime_ns, after, path),
            )

    def names(self, kind: str, seq: int, *, rejected: bool = True) -> list[str]:
        """Return the photos' names of the rows up to row `seq`, with those that people rejected or without."""
        found = self.run(
            "SELECT photos.name, outcomes.sha256 FROM rows JOIN outcomes ON outcomes.id = outcome"
            " JOIN photos USING (path) WHERE rows.recipe_key = ? AND rows.kind = ? AND seq <= ?",
            (self.recipe_key, kind, seq),
        ).fetchall()
        return [name for name, identity in found if rejected or not self.reviews.is_rejected(identity)]

    def newest(self) -> int:
        """Return the number of the newest row of any kind; 0 where there is none."""
        return int(self.value("SELECT max(seq) FROM rows") or 0)

    def rows_after(self, kind: str, seq: int) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yield the rows of a kind after row `seq`, each with its number. They have people's corrections in them."""
        cursor = self.run(
            "SELECT seq, photos.name, json FROM rows JOIN outcomes ON outcomes.id = outcome JOIN photos USING (path)"
            " WHERE rows.recipe_key = ? AND rows.kind = ? AND seq > ? ORDER BY seq",
            (self.recipe_key, kind, seq),
        )
        for number, name, text in cursor:
            row = {**orjson.loads(text), "file": name}
            yield number, self.reviews.of(row, self.recipe_key).row if kind == RECORD else row

    def count(self, kind: str) -> int:
        """Return how many rows of a kind there are under the recipe."""
        found = self.value("SELECT count(*) FROM rows WHERE recipe_key = ? AND kind = ?", (self.recipe_key, kind))
        return int(found)


def _statements(script: str) -> Iterator[str]:
    """Cut a script into statements. `executescript` cannot be used: it would commit the transaction first."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
