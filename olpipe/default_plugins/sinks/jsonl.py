"""The sink `jsonl`: a file that grows, with one JSON object on each line."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from olpipe.hookspecs import hookimpl
from olpipe.interfaces import RunInfo, Sink, SinkFactory
from olpipe.row_file import RowFile

BEGINNING = b'{"file":'
"""Every row begins like this. A file that begins in another way was not written by this sink."""


class JsonlSink(Sink):
    """Appends rows to a file."""

    def __init__(self, path: Path) -> None:
        hint = "move it away, or name another target: `jsonl:TARGET`"
        self._rows = RowFile(path, beginning=BEGINNING, foreign="holds something else than rows", hint=hint)

    def recover(self, position: int) -> bool:
        """Go on behind a position, where the file is as it was written. 0 begins a new file."""
        return self._rows.recover(position)

    def keep(self, files: Collection[str]) -> bool:
        """Go on behind rows that somebody has changed, where each line is still the row of one of these photos."""
        return self._rows.keep(files, _names)

    def write(self, row: Mapping[str, Any]) -> None:
        """Append one line."""
        import orjson

        self._rows.append(orjson.dumps(row) + b"\n")

    def flush(self) -> int:
        """Write every line to the disk and return the position."""
        return self._rows.flush()

    def close(self) -> None:
        """Close the file. Rows after the last `flush` may be lost."""
        self._rows.close()


def _names(lines: Iterable[bytes]) -> Iterator[str]:
    """Yield the photo's name of each line."""
    import orjson

    for line in lines:
        row = orjson.loads(line)
        name = row.get("file") if isinstance(row, dict) else None
        if not isinstance(name, str):
            raise ValueError("a line is no row")
        yield name


class JsonlSinkFactory(SinkFactory):
    """Opens JSON Lines files. They take records of any schema."""

    scheme = "jsonl"
    usual_target = "records.jsonl"

    def open(self, target: str, run: RunInfo) -> JsonlSink:
        """Return a sink for the file at a path."""
        return JsonlSink(run.output / target)


@hookimpl
def register_sinks() -> Iterable[SinkFactory]:
    """Return the sink's factory."""
    return (JsonlSinkFactory(),)
