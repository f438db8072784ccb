"""`olpipe serve`: answer over HTTP until the process is told to stop."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from olpipe.cli.app import App
    from olpipe.interfaces import Progress
    from olpipe.settings import Settings

logger = logging.getLogger(__name__)


@click.command()
@click.pass_obj
def serve(app: App, /) -> None:
    """Answer over HTTP, as Ollama does.

    Clients of Ollama, OpenAI and Anthropic work unchanged. OLLAMA_HOST says where the server listens;
    without it, that is http://127.0.0.1:11434. `olpipe env` lists all settings. Ctrl-C ends the server.
    """
    from olpipe.engine.building import build_apart
    from olpipe.server.app import application
    from olpipe.server.edge.guard import is_loopback
    from olpipe.server.edge.listen import serve as listen
    from olpipe.server.service import Service
    from olpipe.settings.ollama_variables import without_effect

    settings = app.settings
    for warning in without_effect(os.environ):
        logger.warning("%s", warning)
    _warn_of_strangers(settings, is_local=settings.host.is_unix or is_loopback(settings.host))
    build_apart(app.plugins, settings)
    service = Service(settings, app.plugins, app.library, app.engine(_logged), app.evidence)
    listen(application(service), settings, started=_started, stop=service.close)


def _started(address: str) -> None:
    click.echo(f"Listening on {address}", err=True)


def _warn_of_strangers(settings: Settings, *, is_local: bool) -> None:
    """Warn where others than the users of this machine can change its models."""
    if not is_local and not settings.api_keys and settings.management == "any":
        logger.warning(
            "everybody who reaches %s can use the models and change them; "
            "set OLPIPE_API_KEY, or OLPIPE_MANAGEMENT to `local`",
            settings.host,
        )
    if settings.host.scheme == "https" and settings.tls_cert is None:
        logger.warning("OLLAMA_HOST says https, but the server speaks http without OLPIPE_TLS_CERT")


def _logged(progress: Progress) -> None:
    """Log nothing: a server has no terminal for progress."""
