"""`olpipe search --in OUTPUT`: which photos of a batch have words in their records."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import click

from olpipe.cli import words as wording
from olpipe.cli.repl.terminal import printable
from olpipe.errors import UsageError
from olpipe.pipeline.ledger_reader import LedgerReader
from olpipe.pipeline.search import search_records


def find_records(
    output: Path, *, words: tuple[str, ...], limit: int, as_json: bool, hub: bool | None, fits: bool
) -> bool:
    """Show the records that have all words, and return whether there are some.

    Args:
        output: The output folder of the batch.
        words: What to find.
        limit: Most records.
        as_json: Whether the records are written whole.
        hub: What `--hub` says. It is about models.
        fits: What `--fits` says. It is about models.

    Raises:
        UsageError: There are no words, no ledger or no records, or an option is about models.
        OutputBusy: A run writes there.
        OutputUnavailable: The ledger cannot be read.
    """
    if hub is not None or fits:
        option = "--fits" if fits else "--hub" if hub else "--no-hub"
        raise UsageError(f"`{option}` is about models, and `--in` finds photos", hint=f"leave out `{option}`")
    if not any(word.strip() for word in words):
        raise UsageError("`--in` needs something to search for", hint=f"for example `olpipe search cat --in {output}`")
    with LedgerReader(output) as reader:
        found = search_records(reader, output, words, limit=limit)
        shown = (_write if as_json else _show)(found.records)
    if not shown:
        click.echo(f"no record in `{output}` has {' '.join(f'`{word}`' for word in words)}", err=True)
    elif found.has_more:
        click.echo(f"there are more photos than the best {shown}: `--limit` shows more", err=True)
    return shown > 0


def _write(records: Iterable[Mapping[str, Any]]) -> int:
    """Write one JSON array, a record on each line, and return how many there are."""
    import orjson

    count = 0
    for count, record in enumerate(records, 1):
        click.echo(("[\n" if count == 1 else ",\n") + orjson.dumps(record).decode(), nl=False)
    click.echo("\n]" if count else "[]")
    return count


def _show(records: Iterable[Mapping[str, Any]]) -> int:
    """Write a table, and return how many records it has. Where there are none, nothing is written."""
    rows = [("FILE", "TITLE", "TAGS"), *map(_row, records)]
    if len(rows) > 1:
        click.echo(wording.table(rows, columns=wording.screen_columns()))
    return len(rows) - 1


def _row(record: Mapping[str, Any]) -> tuple[str, str, str]:
    """Return a record's file, its title or alt text, and its tags. The answer to a schema may have them, too."""
    data = record.get("data")
    values = {**data, **record} if isinstance(data, Mapping) else record
    texts = (values.get(key) for key in ("title", "alt", "description"))
    title = next((text for text in texts if isinstance(text, str) and text), "")
    tags = values.get("tags")
    names = [tag for tag in tags if isinstance(tag, str)] if isinstance(tags, list) else []
    return _line(record["file"]), _line(title), _line(", ".join(names))


def _line(text: str) -> str:
    return " ".join(printable(text).split())
