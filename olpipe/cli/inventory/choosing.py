"""Choose whose models a command is about."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from olpipe.cli.app import App
    from olpipe.cli.inventory.models import Models


def models_of(app: App) -> Models:
    """Return the models of the server that commands use; where there is none, those of this machine.

    Raises:
        ServerUnreachable: A server was chosen, and nobody answers there.
    """
    server = app.server
    if server is not None:
        from olpipe.cli.inventory.there import There

        return There(server, app.settings.home)
    from olpipe.cli.inventory.here import Here

    return Here(app)
