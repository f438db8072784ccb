"""What the ledger remembers of runs: all that a sink has to know, so that records can be written again later."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson

from olpipe.interfaces import RunInfo
from olpipe.pipeline.ledger import RECORD, Ledger
from olpipe.pipeline.ledger_reader import LedgerReader
from olpipe.pipeline.outlets import FAILURES_SCHEME, FAILURES_TARGET
from olpipe.record import RESERVED, TAG_SCORES

# Ledgers of one version may have this table or not: older versions of olpipe take no notice of it.
_TABLE = """
CREATE TABLE IF NOT EXISTS runs(  -- what the last run of each recipe was
  recipe_key TEXT PRIMARY KEY, root BLOB NOT NULL, recipe TEXT NOT NULL, model TEXT NOT NULL,
  model_digest TEXT NOT NULL, schema BLOB NOT NULL
) WITHOUT ROWID
"""
_LANGUAGES = (
    "CREATE TABLE IF NOT EXISTS run_languages(recipe_key TEXT PRIMARY KEY, language TEXT NOT NULL) WITHOUT ROWID"
)
_TYPES: Mapping[type, str] = {str: "string", bool: "boolean", int: "integer", float: "number"}


def remember_run(ledger: Ledger, run: RunInfo) -> None:
    """Note what a run is, for later."""
    ledger.run(_TABLE)
    values = (run.recipe_key, os.fsencode(run.root), run.recipe, run.model, run.model_digest, orjson.dumps(run.schema))
    ledger.run("REPLACE INTO runs VALUES (?, ?, ?, ?, ?, ?)", values)
    ledger.run(_LANGUAGES)
    ledger.run("REPLACE INTO run_languages VALUES (?, ?)", (run.recipe_key, run.language))


def last_run(ledger: Ledger) -> RunInfo | None:
    """Return the last run that has described or tried a photo; None where there was none."""
    key = last_key(ledger)
    if key is None:
        return None
    ledger.run(_TABLE)
    found = ledger.run(
        "SELECT root, recipe, model, model_digest, schema FROM runs WHERE recipe_key = ?", (key,)
    ).fetchone()
    if found is None:
        return _rebuilt(ledger, key)
    root, recipe, model, digest, schema = found
    ledger.run(_LANGUAGES)
    language = ledger.value("SELECT language FROM run_languages WHERE recipe_key = ?", (key,)) or ""
    return RunInfo(Path(os.fsdecode(root)), ledger.output, orjson.loads(schema), recipe, key, model, digest, language)


def last_key(ledger: Ledger | LedgerReader) -> str | None:
    """Return the key of the recipe that ran last; None where nothing has run.

    A run that was killed at its first photo may have no target yet.
    """
    target = f"{FAILURES_SCHEME}:{FAILURES_TARGET}"
    key: str | None = ledger.value("SELECT recipe_key FROM targets WHERE target = ?", (target,))
    return key or ledger.value("SELECT recipe_key FROM rows ORDER BY seq DESC LIMIT 1")


def _rebuilt(ledger: Ledger, key: str) -> RunInfo:
    """Return what the records tell of a run that an older version of olpipe has made."""
    path, name = ledger.run("SELECT path, name FROM photos LIMIT 1").fetchone() or (b"", "")
    below = os.fsencode(name)
    root = path.removesuffix(below) if path.endswith(below) else os.path.dirname(path)
    ledger.begin(key, {})
    run = RunInfo(Path(os.fsdecode(root)), ledger.output, {}, "", key, "", "")
    values: dict[str, Any] = {}
    always: set[str] | None = None
    for _, row in ledger.rows_after(RECORD, 0):
        run = replace(run, recipe=row["recipe"], model=row["model"], model_digest=row["model_digest"])
        answer = row["data"] if isinstance(row.get("data"), dict) else row
        own = () if answer is not row else RESERVED | {TAG_SCORES}
        found = {name: value for name, value in answer.items() if name not in own}
        values |= {name: value for name, value in found.items() if name not in values}
        always = set(found) if always is None else always & found.keys()
    properties = {name: _schema_of(value) for name, value in values.items()}
    return replace(run, schema={"type": "object", "properties": properties, "required": sorted(always or ())})


def _schema_of(value: Any) -> dict[str, Any]:
    """Return a schema that says as much of a value as tables need."""
    if isinstance(value, list):
        kinds = {type(item) for item in value}
        return {"type": "array", "items": {"type": _TYPES[kinds.pop()]}} if len(kinds) == 1 and kinds <= {str} else {}
    return {"type": _TYPES[type(value)]} if type(value) in _TYPES else {}
