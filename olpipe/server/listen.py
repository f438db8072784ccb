"""Start the server: open its socket, and run the application until it is told to stop."""

from __future__ import annotations

import uvicorn
from starlette.applications import Starlette

from olpipe.settings import Settings

GRACE_S = 5
"""How long open requests may go on after the server is told to stop."""


def serve(app: Starlette, settings: Settings) -> None:
    """Serve until the process is told to stop."""
    host = settings.host
    config = uvicorn.Config(
        app, host=host.name, port=host.port, log_config=None, access_log=False, server_header=False,
        date_header=True, timeout_graceful_shutdown=GRACE_S,
    )  # fmt: skip
    uvicorn.Server(config).run()
