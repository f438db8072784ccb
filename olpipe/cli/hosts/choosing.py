"""Choose who answers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from olpipe.cli.app import App
    from olpipe.cli.hosts.host import Host
    from olpipe.cli.repl.spinner import Waiting


@contextmanager
def hosting(app: App, waiting: Waiting) -> Iterator[Host]:
    """Yield the server that commands use; where there is none, the engine of this process.

    Args:
        app: What all commands share.
        waiting: Shows that something is waited for, and how far it is.

    Raises:
        ServerUnreachable: A server was chosen, and nobody answers there.
    """
    server = app.server
    if server is not None:
        from olpipe.cli.hosts.there import There

        yield There(app, server, waiting)
        return
    from olpipe.cli.hosts.here import Here

    with app.engine(waiting) as engine, closing(app.evidence):
        yield Here(app, engine, waiting)
