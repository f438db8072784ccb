"""`olpipe serve`: answer over HTTP until the process is told to stop."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from olpipe.cli.app import App
    from olpipe.interfaces import Progress


@click.command()
@click.pass_obj
def serve(app: App, /) -> None:
    """Answer over HTTP, as Ollama does.

    Clients of Ollama, OpenAI and Anthropic work unchanged. OLLAMA_HOST says where the server listens;
    without it, that is http://127.0.0.1:11434. `olpipe env` lists all settings.
    """
    from olpipe.server.app import application
    from olpipe.server.listen import serve as listen
    from olpipe.server.service import Service

    service = Service(app.settings, app.plugins, app.library, app.engine(_logged), app.evidence)
    listen(application(service), app.settings)


def _logged(progress: Progress) -> None:
    """Log nothing: a server has no terminal for progress."""
