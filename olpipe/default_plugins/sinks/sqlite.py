"""The sink `sqlite`: a database that can be asked and searched."""

from __future__ import annotations

from collections.abc import Iterable

from olpipe.hookspecs import hookimpl
from olpipe.interfaces import RunInfo, Sink, SinkFactory


class SqliteSinkFactory(SinkFactory):
    """Opens databases. They take records of any schema."""

    scheme = "sqlite"
    usual_target = "records.sqlite"

    def open(self, target: str, run: RunInfo) -> Sink:
        """Return a sink for the file at a path."""
        from olpipe.default_plugins.sinks.database import SqliteSink

        return SqliteSink(run.output / target)


@hookimpl
def register_sinks() -> Iterable[SinkFactory]:
    """Return the sink's factory."""
    return (SqliteSinkFactory(),)
