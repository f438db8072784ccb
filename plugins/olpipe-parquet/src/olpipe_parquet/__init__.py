"""The sink `parquet`: records as a folder of Parquet files, for pyarrow, DuckDB, Spark and their like."""

from __future__ import annotations

from collections.abc import Iterable

from olpipe.hookspecs import hookimpl
from olpipe.interfaces import RunInfo, Sink, SinkFactory


class ParquetSinkFactory(SinkFactory):
    """Opens folders of Parquet files. They take records of any schema."""

    scheme = "parquet"
    usual_target = "records.parquet"

    def open(self, target: str, run: RunInfo) -> Sink:
        """Return a sink for the folder at a path."""
        from olpipe_parquet.sink import ParquetSink

        return ParquetSink(run.output / target, run.schema)


@hookimpl
def register_sinks() -> Iterable[SinkFactory]:
    """Return the sink's factory."""
    return (ParquetSinkFactory(),)
