"""Run the server: its sockets, its certificate, and how it ends."""

from __future__ import annotations

import asyncio
import logging
import math
import signal
import socket
import ssl
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any, cast

import uvicorn
from starlette.applications import Starlette
from uvicorn.protocols.http.auto import AutoHTTPProtocol

from olpipe.errors import OlpipeError
from olpipe.server.edge.connections import connection_class
from olpipe.server.edge.sockets import listening
from olpipe.settings import Settings

GRACE_S = 5
"""How long open requests may go on after the server is told to stop."""

ENDING_S = 5
"""How long the last words to clients may take after that."""

FILES_BESIDE = 256
"""Open files that a server needs beside its connections."""

logger = logging.getLogger(__name__)


def serve(app: Starlette, settings: Settings, *, started: Callable[[str], None], stop: Callable[[], None]) -> None:
    """Serve until the process is told to stop, and then end in an orderly way.

    Open requests may go on for a while. What is still being answered then ends as cancelled.

    Args:
        app: The application.
        settings: Where to listen, and the limits.
        started: Told the address when connections are taken.
        stop: Ends what is being answered and unloads all models. It may be called twice.

    Raises:
        OlpipeError: The server cannot listen at its address, or its certificate cannot be used.
    """
    _check_certificate(settings)
    _allow_open_files(settings)
    _log_as_we_do()
    with listening(settings.host) as sockets:
        server = _Server(_config(app, settings), stop)
        server.announce = partial(started, _shown(settings, sockets[0]))
        before = {number: signal.signal(number, server.told_to_stop) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            server.run(sockets)
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
            stop()


class _Server(uvicorn.Server):
    """uvicorn's server, which says when it has started, and ends what is being answered before it ends itself."""

    announce: Callable[[], None]

    def __init__(self, config: uvicorn.Config, stop: Callable[[], None]) -> None:
        super().__init__(config)
        self._stop = stop

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self.announce()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        ending = asyncio.create_task(self._end_answers())
        await super().shutdown(sockets)
        ending.cancel()
        with suppress(asyncio.CancelledError):
            await ending
        if self.force_exit:  # uvicorn then leaves the application as it is
            await asyncio.to_thread(self._stop)

    async def _end_answers(self) -> None:
        """Let answers come to their end, and end those that take too long."""
        await asyncio.sleep(GRACE_S)
        await asyncio.to_thread(self._stop)

    def told_to_stop(self, number: int, frame: FrameType | None) -> None:
        """Note a signal that comes while uvicorn does not listen to signals: before it runs, or after."""
        self.should_exit = True


def _config(app: Starlette, settings: Settings) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=cast(Any, connection_class(AutoHTTPProtocol, settings)),
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=math.ceil(settings.idle_timeout_s),
        timeout_graceful_shutdown=GRACE_S + ENDING_S,
        h11_max_incomplete_event_size=2 * settings.max_header,
        ssl_certfile=settings.tls_cert,
        ssl_keyfile=settings.tls_key,
    )


def _shown(settings: Settings, one: socket.socket) -> str:
    """Return the address at which clients find the server."""
    if settings.host.is_unix:
        return str(settings.host)
    scheme = "https" if settings.tls_cert else "http"
    host, port, *_ = one.getsockname()
    name = settings.host.name or ("0.0.0.0" if host in ("0.0.0.0", "::") else host)
    return f"{scheme}://{f'[{name}]' if ':' in name else name}:{port}"


def _check_certificate(settings: Settings) -> None:
    """Refuse a certificate that cannot be used, before anything else is done.

    Raises:
        OlpipeError: It is missing, damaged, or does not fit its key.
    """
    cert, key = settings.tls_cert, settings.tls_key
    if cert is None:
        if key is not None:
            raise OlpipeError("OLPIPE_TLS_KEY is set without OLPIPE_TLS_CERT", hint="set both, or none")
        return
    for name, path in (("OLPIPE_TLS_CERT", cert), ("OLPIPE_TLS_KEY", key)):
        if path is not None:
            _check_readable(name, path)
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(cert, key, password=_no_password)
    except (ssl.SSLError, ValueError) as error:
        hint = "both have to be PEM files that belong together, and the key must have no password"
        raise OlpipeError(f"the certificate `{cert}` cannot be used: {error}", hint=hint) from error


def _check_readable(name: str, path: Path) -> None:
    try:
        path.open("rb").close()
    except OSError as error:
        raise OlpipeError(f"the file `{path}` cannot be read: {error.strerror}", hint=f"{name} names it") from error


def _no_password() -> str:
    """Stand for a password, so that nobody is asked for one at the terminal."""
    return ""


def _allow_open_files(settings: Settings) -> None:
    """Ask the system for as many open files as there may be connections."""
    if sys.platform == "win32":  # it has no such limit
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = settings.max_connections + FILES_BESIDE
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return
    allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    if allowed < wanted:
        logger.warning("the system allows %d open files, too few for OLPIPE_MAX_CONNECTIONS connections", allowed)


def _log_as_we_do() -> None:
    """Have uvicorn's warnings look like ours."""
    ours, theirs = logging.getLogger("olpipe"), logging.getLogger("uvicorn")
    theirs.handlers[:], theirs.propagate = ours.handlers, False
    theirs.setLevel(max(ours.level, logging.WARNING))
